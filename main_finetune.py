"""Fine-tuning: the whole encoder and a two-layer head (UmURL: a linear one) on labels; without --finetune, training from scratch.

torchrun --nproc_per_node 2 main_finetune.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth
"""

if __name__ == "__main__":  # --help and mistyped options are answered before torch is imported, which takes seconds
    from util import config

    config.answer("finetune")

import torch
from torch import nn

from feeder.loader import build_feeder, test_loader, train_loader
from model import build
from util import checkpoint, errors, run
from util.logging import say
from util.lr_decay import param_groups_lrd
from util.predictions import Evaluation
from util.training import fit


def main(argv=None):
    args, device = run.start("finetune", argv)
    test = test_loader(build_feeder(args, "test", augment=False), args, device)
    if args.eval:
        return run.evaluate_checkpoint(args, device, test, lambda model, *_: Evaluation(model, test, device, args.enable_amp))

    data = build_feeder(args, "train", augment=True)
    model = build.classifier(args, data, data.num_classes)
    encoder = checkpoint.start_from(model, args.finetune)
    model.to(device)
    groups = param_groups_lrd(model, args.weight_decay, layer_decay=args.layer_decay)
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=tuple(args.betas), fused=True)
    labels = run.labelled(args, data)
    say(f"{labels} labelled sequences, encoder from {args.finetune or 'scratch'}")
    criterion = nn.CrossEntropyLoss(label_smoothing=args.smoothing)
    evaluation = Evaluation(model, test, device, args.enable_amp)
    result = fit(
        args,
        device,
        model,
        data,
        train_loader(data, args, device),
        optimizer,
        loss_of=lambda model, x, label: criterion(model(x), label),
        evaluate=evaluation,
        encoder=encoder,
    )
    run.report(args, "fine-tuning", result, evaluation, labels=labels)


if __name__ == "__main__":
    errors.main(main)

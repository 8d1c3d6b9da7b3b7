"""Fine-tuning: the whole encoder and a two-layer head (UmURL: a linear one) on labels; without --finetune, training from scratch.

torchrun --nproc_per_node 2 main_finetune.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth
"""

if __name__ == "__main__":  # --help and mistyped options are answered before torch is imported, which takes seconds
    from util import config

    config.answer("finetune")

import torch
from torch import nn

from util import methods, run
from util.loader import test_loader, train_loader
from util.logging import say
from util.lr_decay import param_groups_lrd
from util.predictions import Evaluation
from util.training import fit


def main(argv=None):
    args, device = run.start("finetune", argv)
    test = test_loader(run.feeder(args, "test", augment=False), args, device)
    if args.eval:
        return run.evaluate_checkpoint(args, device, test, lambda model, *_: Evaluation(model, test, device, args.enable_amp))

    data = run.feeder(args, "train", augment=True)
    model = methods.classifier(args, data, data.num_classes)
    encoder = run.load_encoder(args, model)
    model.to(device)
    groups = param_groups_lrd(model, args.weight_decay, layer_decay=args.layer_decay)
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=tuple(args.betas), fused=True)
    labels = run.labelled(args, data)
    say(f"{labels} labelled sequences, encoder from {args.finetune or 'scratch'}")
    criterion = nn.CrossEntropyLoss(label_smoothing=args.smoothing)
    evaluation = Evaluation(model, test, device, args.enable_amp)
    result = fit(
        args, device, model, data, train_loader(data, args, device), optimizer,
        loss_of=lambda model, x, label: criterion(model(x), label),
        evaluate=evaluation, encoder=encoder,
    )  # fmt: skip
    run.report(args, "fine-tuning", result, evaluation, labels=labels)


if __name__ == "__main__":
    run.main(main)

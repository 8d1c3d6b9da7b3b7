"""Fine-tuning: train the whole encoder and a two-layer head (UmURL: a linear one) with labels. Without --finetune: from scratch.

torchrun --nproc_per_node 2 main_finetune.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth
"""

if __name__ == "__main__":  # answer --help and wrong options before importing torch, which takes seconds
    from util import config

    config.check_command_line("finetune")

import torch
from torch import nn

from feeder.loader import build_feeder, report_training_set, test_loader, train_loader, warn_about
from model import build
from report.for_mains import write_report
from util import checkpoint, config, errors, run, signals
from util.distributed import compile_and_wrap
from util.engine import train_one_epoch
from util.logging import Log, print_info
from util.lr_decay import param_groups_lrd
from util.predictions import Evaluation
from util.training import Training


@signals.restored
def main(argv=None):
    # options: config/finetune.yaml, then --config, --dataset, the checkpoint's sizes and the rest of the command line
    args = config.parse("finetune", argv)
    device = run.start(args)

    # data: the central crop in testing, random crops and rotations in training; a batch: x (N, C, T, V, M) metres, label (N,)
    test = test_loader(build_feeder(args, "test", augment=False), args, device)
    if args.eval:
        warn_about(test.source)
        model, content = build.trained_classifier(args, test.source)
        run.evaluate(args, device, Evaluation(model.to(device), test, device, args.enable_amp), content)
        return write_report(args)
    data = build_feeder(args, "train", augment=True)
    loader = train_loader(data, args, device)
    num_labels = report_training_set(args, data)

    # model: the encoder of --finetune and a new head; each layer's learning rate is layer_decay times that of the layer above
    model = build.classifier(args, data, data.num_classes)
    encoder = checkpoint.initialize_encoder(model, args.finetune, data)
    model.to(device)
    groups = param_groups_lrd(model, args.weight_decay, layer_decay=args.layer_decay)
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=tuple(args.betas), fused=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=args.smoothing)
    evaluation = Evaluation(model, test, device, args.enable_amp)
    resumed = checkpoint.to_resume(args)
    print_info(f"{num_labels} labelled sequences, encoder from {args.finetune or (resumed and resumed[0]) or 'scratch'}")

    def loss_of(model, x, label):
        return criterion(model(x), label)

    # with --resume: weights, optimizer, random state and position of the interrupted run
    training = Training(args, device, model, optimizer, loader, data, encoder, resumed=resumed)
    ddp_model = compile_and_wrap(model, device, args)
    log = Log(args, training.first_epoch)

    for epoch in range(training.first_epoch, args.epochs):
        with training.save_if_stopped(epoch):
            metrics = train_one_epoch(
                ddp_model, loader, optimizer, loss_of, epoch, args, device, training.scaler, training.progress
            )
            if evaluation.due(epoch, args):
                metrics |= evaluation()
        log.epoch(epoch, metrics, evaluation)
        training.save(epoch, metrics)
    log.close()

    result = training.result(evaluation)
    run.print_result(args, "fine-tuning", result)
    evaluation.save(args)
    run.write(args, device, eval=False, labels=num_labels, **result)
    write_report(args)


if __name__ == "__main__":
    errors.main(main)

"""Tuning: a few epochs of nearest-neighbour contrast on a pre-trained encoder (STARS), without labels. What it leaves is an
encoder like the one it began with, for every later stage.

torchrun --nproc_per_node 4 main_tune.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth
"""

if __name__ == "__main__":  # --help and mistyped options are answered before torch is imported, which takes seconds
    from util import config

    config.answer("tune")

import time

import torch

from feeder.loader import build_feeder, train_loader, training_rows
from model import build
from report.for_mains import leave_report
from util import checkpoint, config, console, errors, run
from util.distributed import parallel
from util.engine import train_one_epoch
from util.logging import Log, say, tell
from util.lr_decay import param_groups_lrd
from util.training import Training


def main(argv=None):
    begin = time.time()

    # options: config/tune.yaml, then --config, --dataset, the checkpoint's sizes and the rest of the command line
    args = config.parse("tune", argv)
    device = run.start(args)

    # data: whole sequences x (N, C, T, V, M) or, with --views 2, two random crops (N, 2, C, T, V, M), rotated and sheared;
    # where other stages have labels, a batch has the rows (N,) of its sequences
    data = build_feeder(args, "train", augment=args.views > 1, views=args.views)
    data.label_by_row()
    loader = train_loader(data, args, device)
    sequences = len(training_rows(args, data))

    # model: the encoder of --finetune and a new head; deep blocks learn, each layer slower than the one above it
    model = build.tuned(args, data)
    encoder = checkpoint.start_from(model, args.finetune)
    model.to(device)
    groups = param_groups_lrd(model, args.weight_decay, layer_decay=args.layer_decay)
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=tuple(args.betas), fused=True)
    say(f"{sequences} sequences, a queue of {build.queue_size(args, data)}, encoder from {args.finetune or 'random weights'}")

    def loss_of(model, x, row):
        return model(x, row)

    # --resume: weights, optimizer, queue, random state and position of the run so far
    training = Training(args, device, model, optimizer, loader, data, encoder, resumed=checkpoint.to_resume(args))
    log = Log(args, training.first_epoch)

    for epoch in range(training.first_epoch, args.epochs):
        # the head alone in the first head_epochs; what exchanges gradients looks once, when it is made, at which weights learn
        if epoch in (training.first_epoch, args.head_epochs):
            model.train_above(None if epoch < args.head_epochs else build.frozen_blocks(args))
            ddp_model = parallel(model, device, args)
        with training.stoppable(epoch):
            metrics = train_one_epoch(
                ddp_model, loader, optimizer, loss_of, epoch, args, device, training.scaler, training.progress
            )
        log.epoch(epoch, metrics)
        training.save(epoch, metrics)
    log.close()

    result = training.result()
    run.write(args, device, labels=sequences, **result)
    tell(
        f"tuning: loss {result['last']['train_loss']:.4f} after {args.epochs} epochs, "
        f"{console.duration(time.time() - begin)}; {args.output_dir}/checkpoint-{args.epochs - 1}.pth\n"
        f"next: {run.judge_command(args, argv)}"
    )
    leave_report(args)


if __name__ == "__main__":
    errors.main(main)

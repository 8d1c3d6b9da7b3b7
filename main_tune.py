"""Tuning (STARS): a few epochs of contrastive learning with nearest neighbours on a pre-trained encoder, without labels.

The result is an encoder of the same form, which every downstream stage takes.

torchrun --nproc_per_node 4 main_tune.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth
"""

if __name__ == "__main__":  # answer --help and wrong options before importing torch, which takes seconds
    from util import config

    config.check_command_line("tune")

import time

import torch

from feeder.loader import build_feeder, report_training_set, train_loader
from model import build
from report.for_mains import write_report
from util import checkpoint, config, console, errors, run, signals
from util.distributed import compile_and_wrap
from util.engine import train_one_epoch
from util.logging import Log, print_always, print_info
from util.lr_decay import param_groups_lrd
from util.training import Training


@signals.restored
def main(argv=None):
    begin = time.time()

    # options: config/tune.yaml, then --config, --dataset, the checkpoint's sizes and the rest of the command line
    args = config.parse("tune", argv)
    device = run.start(args)

    # data: whole sequences x (N, C, T, V, M) or, with --views 2, two random crops of each (N, 2, C, T, V, M), rotated and
    # sheared; instead of labels a batch has the sequences' row numbers (N,)
    data = build_feeder(args, "train", augment=args.views > 1, views=args.views)
    num_sequences, resumed = report_training_set(args, data), checkpoint.to_resume(args)
    data.label_by_row()
    loader = train_loader(data, args, device)

    # model: the encoder of --finetune and a new head; only the upper blocks learn, each more slowly than the one above it
    model = build.tuning_model(args, data)
    encoder = checkpoint.initialize_encoder(model, args.finetune, data)
    model.to(device)
    groups = param_groups_lrd(model, args.weight_decay, layer_decay=args.layer_decay)
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=tuple(args.betas), fused=True)
    source = args.finetune or (resumed and resumed[0]) or "random weights"
    print_info(f"{num_sequences} sequences, a queue of {build.queue_size(args, data)}, encoder from {source}")

    def loss_of(model, x, row):
        return model(x, row)

    # with --resume: weights, optimizer, queue, random state and position of the interrupted run
    training = Training(args, device, model, optimizer, loader, data, encoder, resumed=resumed)
    log = Log(args, training.first_epoch)

    for epoch in range(training.first_epoch, args.epochs):
        # the first head_epochs train the head alone; DDP reads requires_grad only when it is made, so it is made again
        if epoch in (training.first_epoch, args.head_epochs):
            model.train_above(None if epoch < args.head_epochs else build.frozen_blocks(args))
            ddp_model = compile_and_wrap(model, device, args)
        with training.save_if_stopped(epoch):
            metrics = train_one_epoch(
                ddp_model, loader, optimizer, loss_of, epoch, args, device, training.scaler, training.progress
            )
        log.epoch(epoch, metrics)
        training.save(epoch, metrics)
    log.close()

    result = training.result()
    run.write(args, device, labels=num_sequences, **result)
    print_always(
        f"tuning: loss {result['last']['train_loss']:.4f} after {args.epochs} epochs, "
        f"{console.duration(time.time() - begin)}; {args.output_dir}/checkpoint-{args.epochs - 1}.pth\n"
        f"next: {run.linprobe_command(args, argv)}"
    )
    write_report(args)


if __name__ == "__main__":
    errors.main(main)

"""Pre-training: predict the motion of masked joints (MAMP), the joints themselves (SkeletonMAE*, --target joint), or UmURL.

torchrun --nproc_per_node 4 main_pretrain.py --dataset ntu60_xsub
torchrun --nproc_per_node 4 main_pretrain.py --dataset ntu60_xsub_umurl --method umurl
python main_pretrain.py --data_path mine.npz --finetune released.pth --output_dir output/mine     go on with a model
"""

if __name__ == "__main__":  # answer --help and wrong options before importing torch, which takes seconds
    from util import config

    config.check_command_line("pretrain")

import time

from feeder.loader import build_feeder, report_training_set, train_loader
from model import build
from report.for_mains import preview, write_report
from util import checkpoint, config, console, errors, provenance, run, signals
from util.distributed import compile_and_wrap
from util.engine import train_one_epoch
from util.logging import Log, print_always, print_info
from util.training import Training


@signals.restored
def main(argv=None):
    begin = time.time()

    # options: config/pretrain.yaml, then --config, --dataset and the rest of the command line
    args = config.parse("pretrain", argv)
    device = run.start(args)

    # data: random crops, resized to num_frames, and random rotations; a batch is x (N, C, T, V, M) in metres
    data = build_feeder(args, "train", augment=True, views=build.views(args))
    loader = train_loader(data, args, device)
    num_sequences = report_training_set(args, data)

    # model, with random weights or those of --finetune, and optimizer; loss_of(model, x, label) -> scalar
    model, optimizer, loss_of = build.pretrainer(args, data, device)
    initial = checkpoint.initialize_encoder(model, args.finetune, data, decoder=True)
    print_info(
        f"{num_sequences} sequences, {sum(p.numel() for p in model.parameters()):,} parameters from "
        f"{args.finetune or 'random weights'}, {args.batch_size} × {args.accum_iter} accumulated = {args.effective_batch_size} "
        "samples per update"
    )

    # with --resume: weights, optimizer, random state and position of the interrupted run
    training = Training(args, device, model, optimizer, loader, data, initial, resumed=checkpoint.to_resume(args))
    ddp_model = compile_and_wrap(model, device, args)
    log, draw = Log(args, training.first_epoch), preview(model, args)

    for epoch in range(training.first_epoch, args.epochs):
        with training.save_if_stopped(epoch):
            metrics = train_one_epoch(
                ddp_model, loader, optimizer, loss_of, epoch, args, device, training.scaler, training.progress
            )
        log.epoch(epoch, metrics)
        if training.save(epoch, metrics) and draw:
            log.picture("prediction", epoch, draw)
    log.close()

    result = training.result()
    settings = provenance.pretraining_settings(vars(args))
    run.write(args, device, labels=num_sequences, last=result["last"], encoder=result["encoder"], **settings)
    print_always(
        f"pre-training: loss {result['last']['train_loss']:.4f} after {args.epochs} epochs, "
        f"{console.duration(time.time() - begin)}; {args.output_dir}/checkpoint-{args.epochs - 1}.pth\n"
        f"next: {run.linprobe_command(args, argv)}"
    )
    write_report(args)


if __name__ == "__main__":
    errors.main(main)

"""Linear probe: train a linear classifier on a frozen encoder, that of --finetune or a randomly initialised one.

MAMP has three read-outs (ways of pooling the encoder's output). One run trains a classifier for each; --readout names the one
whose accuracy is the headline.

torchrun --nproc_per_node 2 main_linprobe.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth
"""

if __name__ == "__main__":  # answer --help and wrong options before importing torch, which takes seconds
    from util import config

    config.check_command_line("linprobe")

import torch
import torch.nn.functional as F

from feeder.loader import Features, build_feeder, report_training_set, test_loader, train_loader, warn_about
from model import build
from report.for_mains import write_report
from util import checkpoint, config, distributed, errors, provenance, results, ridge, run, signals
from util.distributed import compile_and_wrap
from util.engine import outputs, train_one_epoch
from util.logging import Log, print_info
from util.predictions import Evaluation
from util.training import Training


@signals.restored
def main(argv=None):
    # options: config/linprobe.yaml, then --config, --dataset, the checkpoint's sizes and the rest of the command line
    args = config.parse("linprobe", argv)
    device = run.start(args)

    def compute_features(model, loader):
        """Features of a whole split, {read-out: (N, D')}, computed once, since the encoder is frozen."""
        return Features(*outputs(model.readout_features, loader, device, args.enable_amp), device)

    # test set: the central crop of every sequence; --eval only evaluates a trained classifier on it
    test = test_loader(build_feeder(args, "test", augment=False), args, device)
    if args.eval:
        warn_about(test.source)
        model, content = build.trained_classifier(args, test.source)
        heads = build.heads(args, test.source, provenance.num_classes(content), model.to(device), args.eval, content)
        test_features = test_loader(compute_features(model.eval(), test), args, device)
        run.evaluate(args, device, Evaluation(heads, test_features, device, args.enable_amp, test.source), content)
        return write_report(args)

    # model: a frozen encoder, from --finetune or from the run to be resumed, and a linear head for each read-out
    if args.subset == "released" and args.data_ratio < 1 and not args.augment and distributed.world_size() > 1:
        raise ValueError(
            "subset released: every process has its own samples, but features that are computed once are shared "
            "out; use --augment or --subset shared"
        )
    data = build_feeder(args, "train", augment=args.augment)
    num_labels, resumed = report_training_set(args, data), checkpoint.to_resume(args)
    model = build.classifier(args, data, data.num_classes)
    encoder = checkpoint.initialize_encoder(model, args.finetune, data)
    if resumed:  # now, not in Training below: the encoder is used before that
        checkpoint.load_model(model, *resumed)
    model.freeze_encoder().to(device)
    heads = build.heads(args, data, data.num_classes, model, *resumed or ())
    source = args.finetune or (resumed and resumed[0]) or "random weights"
    print_info(f"{num_labels} labelled sequences, frozen encoder from {source}{results.readout_text(args)}")

    # data: a batch has augmented sequences (N, C, T, V, M) or, with --no-augment, the features of their central crops; either
    # way readout_features(batch) gives {read-out: (N, D')}
    test_features = compute_features(model.eval(), test)
    evaluation = Evaluation(heads, test_loader(test_features, args, device), device, args.enable_amp, test.source)
    readout_features = torch.no_grad()(model.readout_features) if args.augment else lambda features: features
    samples = data if args.augment else compute_features(model, test_loader(data, args, device))
    loader = train_loader(samples, args, device)
    optimizer = torch.optim.SGD(
        heads.parameters(), lr=args.lr, momentum=args.momentum, weight_decay=args.weight_decay, fused=device.type == "cuda"
    )

    def loss_of(heads, x, label):
        """The value is the loss of the headline's head; the gradients are those of all heads' losses."""
        headline, *others = (F.cross_entropy(logits, label) for logits in heads(readout_features(x)).values())
        return headline + sum(loss - loss.detach() for loss in others)  # adds 0, and the gradient of `loss`

    # with --resume: weights, optimizer, random state and position of the interrupted run
    training = Training(args, device, model, optimizer, loader, data, encoder, heads, resumed)
    ddp_heads = compile_and_wrap(heads, device, args)
    log = Log(args, training.first_epoch)

    for epoch in range(training.first_epoch, args.epochs):
        with training.save_if_stopped(epoch):
            metrics = train_one_epoch(
                ddp_heads, loader, optimizer, loss_of, epoch, args, device, training.scaler, training.progress
            )
            if evaluation.due(epoch, args):
                metrics |= evaluation()
        log.epoch(epoch, metrics, evaluation)
        training.save(epoch, metrics)
    log.close()

    result = training.result(evaluation)
    if not args.augment and distributed.is_main():  # the same features, judged as scripts/coordinates.py judges coordinates
        result["ridge"] = ridge.accuracies(samples, test_features, data.num_classes)
    run.print_result(args, "linear probe", result)
    evaluation.save(args)
    run.write(args, device, eval=False, labels=num_labels, **result)
    write_report(args)


if __name__ == "__main__":
    errors.main(main)

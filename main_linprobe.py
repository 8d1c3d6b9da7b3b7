"""Linear probe: a linear classifier on the frozen encoder; without --finetune, on a random encoder. Every way of pooling the
encoder's output, a read-out, gets a classifier of its own, all trained in one run: --readout says which is the headline.

torchrun --nproc_per_node 2 main_linprobe.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth
"""

if __name__ == "__main__":  # --help and mistyped options are answered before torch is imported, which takes seconds
    from util import config

    config.answer("linprobe")

import torch
import torch.nn.functional as F

from feeder.loader import Features, build_feeder, test_loader, train_loader, training_rows
from model import build
from report.for_mains import leave_report
from util import checkpoint, config, distributed, errors, provenance, results, ridge, run
from util.distributed import parallel
from util.engine import outputs, train_one_epoch
from util.logging import Log, say
from util.predictions import Evaluation
from util.training import Training


def main(argv=None):
    # options: config/linprobe.yaml, then --config, --dataset, the checkpoint's sizes and the rest of the command line
    args = config.parse("linprobe", argv)
    device = run.start(args)

    def features(model, loader):
        """Read-outs {name: (N, D')} of a whole split, computed once: the encoder is frozen."""
        return Features(*outputs(model.read_outs, loader, device, args.enable_amp), device)

    # the test set: the central crop, the same in every epoch; --eval: what a checkpoint's classifier says of it, and no training
    test = test_loader(build_feeder(args, "test", augment=False), args, device)
    if args.eval:
        model, content = build.trained_classifier(args, test.source)
        heads = build.heads(args, test.source, provenance.num_classes(content), model.to(device), args.eval, content)
        test_features = test_loader(features(model.eval(), test), args, device)
        run.evaluate(args, device, Evaluation(heads, test_features, device, args.enable_amp, test.source), content)
        return leave_report(args)

    # model: a frozen encoder, of --finetune or of the run to be resumed, and a linear head for every read-out
    if args.subset == "released" and args.data_ratio < 1 and not args.augment and distributed.world_size() > 1:
        raise ValueError(
            "subset released: every process has its own samples, but features that are computed once are shared "
            "out; use --augment or --subset shared"
        )
    data = build_feeder(args, "train", augment=args.augment)
    num_labels, resumed = len(training_rows(args, data)), checkpoint.to_resume(args)
    model = build.classifier(args, data, data.num_classes)
    encoder = checkpoint.start_from(model, args.finetune)
    if resumed:  # here already: without augmentation, its encoder's features are computed next
        checkpoint.load_model(model, *resumed)
    model.freeze_encoder().to(device)
    heads = build.heads(args, data, data.num_classes, model, *resumed or ())
    source = args.finetune or (resumed and resumed[0]) or "random weights"
    say(f"{num_labels} labelled sequences, frozen encoder from {source}{results.readout_text(args)}")

    # data: sequences (N, C, T, V, M) with random crops and rotations or, with --no-augment, features of the central crops;
    # read_outs makes {name: (N, D')} of either, without gradient
    test_features = features(model.eval(), test)
    evaluation = Evaluation(heads, test_loader(test_features, args, device), device, args.enable_amp, test.source)
    read_outs = torch.no_grad()(model.read_outs) if args.augment else lambda features: features
    samples = data if args.augment else features(model, test_loader(data, args, device))
    loader = train_loader(samples, args, device)
    optimizer = torch.optim.SGD(heads.parameters(), lr=args.lr, momentum=args.momentum, weight_decay=args.weight_decay)

    def loss_of(heads, x, label):
        """x: a batch of `samples`, label: (N,) -> a scalar: the headline's loss, with the gradients of all heads' losses."""
        headline, *others = (F.cross_entropy(logits, label) for logits in heads(read_outs(x)).values())
        return headline + sum(loss - loss.detach() for loss in others)  # a difference is 0, its gradient is the loss's

    # --resume: weights, optimizer, random state and position of the run so far
    training = Training(args, device, model, optimizer, loader, data, encoder, heads, resumed)
    ddp_heads = parallel(heads, device, args)
    log = Log(args, training.first_epoch)

    for epoch in range(training.first_epoch, args.epochs):
        with training.stoppable(epoch):
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
    run.write(args, device, eval=False, labels=num_labels, **result)
    evaluation.save(args)
    leave_report(args)


if __name__ == "__main__":
    errors.main(main)

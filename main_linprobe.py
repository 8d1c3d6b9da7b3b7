"""Linear probe: a linear classifier on the frozen encoder; without --finetune, on a random encoder. For every read-out of the
encoder's output one is trained, all from the same pass: --readout says which is the headline.

torchrun --nproc_per_node 2 main_linprobe.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth
"""

if __name__ == "__main__":  # --help and mistyped options are answered before torch is imported, which takes seconds
    from util import config

    config.answer("linprobe")

import torch
import torch.nn.functional as F

from feeder.loader import build_feeder, test_loader, train_loader
from model import build
from util import checkpoint, distributed, errors, results, run
from util.engine import outputs
from util.logging import say
from util.predictions import Evaluation
from util.training import find_resumed, fit


class Features:
    """Read-outs {name: (N, D')} and labels (N,) in place of sequences, for feeder.loader (see feeder.batch)."""

    in_memory = True

    def __init__(self, read_outs, labels, device):
        self.read_outs, self.label = {name: features.to(device) for name, features in read_outs.items()}, labels

    def __len__(self):
        return len(self.label)

    def collect(self, indices, draws):
        indices = torch.from_numpy(indices)
        return (indices,), self.label[indices], indices

    def make(self, indices):
        return {name: features[indices] for name, features in self.read_outs.items()}


def main(argv=None):
    args, device = run.start("linprobe", argv)
    test = test_loader(build_feeder(args, "test", augment=False), args, device)

    def fixed(model, loader):
        return Features(*outputs(model.read_outs, loader, device, args.enable_amp), device)

    def evaluation_of(model, heads):
        features = fixed(model.eval(), test)
        return Evaluation(heads, test_loader(features, args, device), device, args.enable_amp, test.source)

    if args.eval:
        return run.evaluate_checkpoint(
            args,
            device,
            test,
            lambda model, *source: evaluation_of(
                model, build.heads(args, test.source, checkpoint.num_classes(source[1]), model, *source)
            ),
        )

    if args.subset == "released" and args.data_ratio < 1 and not args.augment and distributed.world_size() > 1:
        raise ValueError(
            "subset released: every process has its own samples, but features that are computed once are shared "
            "out; use --augment or --subset shared"
        )
    data = build_feeder(args, "train", augment=args.augment)
    model = build.classifier(args, data, data.num_classes)
    encoder = checkpoint.start_from(model, args.finetune)
    resumed = find_resumed(args)
    if resumed:  # its encoder, too, before features are computed with it
        checkpoint.load_model(model, *resumed)
    model.freeze_encoder().to(device)
    heads = build.heads(args, data, data.num_classes, model, *resumed or ())
    labels = run.labelled(args, data)
    source = args.finetune or (resumed and resumed[0]) or "random weights"
    say(f"{labels} labelled sequences, frozen encoder from {source}{results.read_out(args)}")

    evaluation = evaluation_of(model, heads)
    if args.augment:
        samples, read_outs = data, torch.no_grad()(model.read_outs)
    else:  # nothing in front of the heads changes between epochs
        samples, read_outs = fixed(model, test_loader(data, args, device)), lambda features: features

    def loss_of(heads, x, label):
        own, *others = (F.cross_entropy(logits, label) for logits in heads(read_outs(x)).values())
        return own + sum(loss - loss.detach() for loss in others)  # the headline's value, the gradients of all

    optimizer = torch.optim.SGD(heads.parameters(), lr=args.lr, momentum=args.momentum, weight_decay=args.weight_decay)
    result = fit(
        args,
        device,
        model,
        data,
        train_loader(samples, args, device),
        optimizer,
        loss_of,
        evaluation,
        heads,
        encoder,
        beside=lambda: {"heads": heads.other_state_dicts()},
    )
    run.report(args, "linear probe", result, evaluation, labels=labels)


if __name__ == "__main__":
    errors.main(main)

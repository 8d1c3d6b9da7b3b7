"""Linear probe: a linear classifier on the frozen encoder; without --finetune, on a random encoder.

torchrun --nproc_per_node 2 main_linprobe.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth
"""

import torch
import torch.nn.functional as F

from util import checkpoint, distributed, methods, run
from util.engine import outputs
from util.loader import test_loader, train_loader
from util.logging import say
from util.predictions import Evaluation
from util.training import find_resumed, fit


class Features:
    """Pooled features (N, D) and labels (N,) in place of sequences, for util.loader (see feeder.batch)."""

    in_memory = True

    def __init__(self, features, labels, device):
        self.features, self.label = features.to(device), labels

    def __len__(self):
        return len(self.label)

    def collect(self, indices, draws):
        indices = torch.from_numpy(indices)
        return (indices,), self.label[indices], indices

    def make(self, indices):
        return self.features[indices]


def main(argv=None):
    args, device = run.start("linprobe", argv)
    test = test_loader(run.feeder(args, "test", augment=False), args, device)
    if args.eval:
        return run.evaluate_checkpoint(args, device, test)

    if args.subset == "released" and args.data_ratio < 1 and not args.augment and distributed.world_size() > 1:
        raise ValueError("subset released: every process has its own samples, but features that are computed once are shared "
                         "out; use --augment or --subset shared")  # fmt: skip
    data = run.feeder(args, "train", augment=args.augment)
    model = methods.classifier(args, data, data.num_classes)
    encoder = run.load_encoder(args, model)
    resumed = find_resumed(args)
    if resumed:  # its encoder, too, before features are computed with it
        checkpoint.load_model(model, *resumed)
    model.freeze_encoder().to(device)
    labels = run.labelled(args, data)
    source = args.finetune or (resumed and resumed[0]) or "random weights"
    say(f"{labels} labelled sequences, frozen encoder from {source}{run.read_out(args)}")

    model.eval()

    def fixed(loader):
        return Features(*outputs(model.pooled, loader, device, args.enable_amp), device)

    evaluation = Evaluation(model.classifier, test_loader(fixed(test), args, device), device, args.enable_amp, test.source)
    trained, samples = model, data
    if not args.augment:  # nothing in front of the head changes between epochs
        trained, samples = model.classifier, fixed(test_loader(data, args, device))
    optimizer = torch.optim.SGD(model.classifier.parameters(), lr=args.lr, momentum=args.momentum, weight_decay=args.weight_decay)
    result = fit(
        args, device, model, data, train_loader(samples, args, device), optimizer, trained=trained,
        loss_of=lambda model, x, label: F.cross_entropy(model(x), label),
        evaluate=evaluation, encoder=encoder,
    )  # fmt: skip
    run.report(args, "linear probe", result, evaluation, labels=labels)


if __name__ == "__main__":
    run.main(main)

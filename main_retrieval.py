"""Retrieval: cosine k-NN on frozen features, training set = gallery, test set = queries.

python main_retrieval.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth [--save_features features.npz]
"""

import numpy as np

from util import distributed, methods, run
from util.engine import outputs
from util.files import written_aside
from util.loader import test_loader
from util.logging import say, tell
from util.metrics import accuracy, nearest, vote
from util.predictions import Predictions, class_names, draw


def main(argv=None):
    args, device = run.start("retrieval", argv)
    splits = {split: run.feeder(args, split, augment=False) for split in ("train", "test")}
    data = splits["train"]
    if args.k > len(data):
        raise ValueError(f"k {args.k}: the gallery has only {len(data)} samples")
    model = methods.classifier(args, data, data.num_classes)
    encoder = run.load_encoder(args, model)
    model.to(device).eval()
    (gallery, gallery_labels), (queries, labels) = (
        outputs(model.pooled, test_loader(split, args, device), device, args.enable_amp)
        for split in splits.values()
    )
    if args.save_features and distributed.is_main():
        arrays = {"x_train": gallery, "y_train": gallery_labels, "x_test": queries, "y_test": labels}
        arrays["class_names"] = class_names(data)
        arrays |= {f"name_{split}": data.names[data.indices] for split, data in splits.items() if data.names is not None}
        with written_aside(args.save_features) as file:
            np.savez(file, **{key: np.asarray(value) for key, value in arrays.items()})
        say(f"features: {args.save_features}")
    found = gallery_labels[nearest(gallery, queries, min(max(args.k, 5), len(gallery)))]
    votes, drawn = vote(found[:, : args.k], data.num_classes), draw(len(queries))
    acc1 = accuracy(votes, labels)[0]
    acc5 = 100.0 * (found[:, :5] == labels[:, None]).any(1).double().mean().item()
    result = {"test_acc1": acc1, "test_acc5": acc5, "test_samples": len(labels)}
    tell(f"retrieval: top-1 {acc1:.2f} %, right class among the 5 nearest {acc5:.2f} %, {len(labels)} queries "
        f"({run.about(args)['evaluated_on']}), cosine {args.k}-NN among {len(gallery)}{run.read_out(args)}, "
        f"{args.input_stream} stream, encoder from {args.finetune or 'random weights'}")  # fmt: skip
    predictions = Predictions(votes.numpy(), labels.numpy(), queries[drawn].numpy(), drawn)
    run.finish(args, predictions, splits["test"], encoder=encoder, labels=len(gallery), last=result)


if __name__ == "__main__":
    run.main(main)

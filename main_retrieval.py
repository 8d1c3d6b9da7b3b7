"""Retrieval: cosine k-NN on frozen features, training set = gallery, test set = queries.

python main_retrieval.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth [--save_features features.npz]
"""

if __name__ == "__main__":  # --help and mistyped options are answered before torch is imported, which takes seconds
    from util import config

    config.answer("retrieval")

import numpy as np

from feeder.loader import build_feeder, test_loader
from model import build
from util import checkpoint, distributed, errors, results, run
from util.engine import outputs
from util.files import written_aside
from util.logging import say, tell
from util.metrics import accuracy, nearest, vote
from util.predictions import Predictions, beside, draw


def main(argv=None):
    args, device = run.start("retrieval", argv)
    splits = {split: build_feeder(args, split, augment=False) for split in ("train", "test")}
    data = splits["train"]
    if args.k > len(data):
        raise ValueError(f"k {args.k}: the gallery has only {len(data)} samples")
    model = build.classifier(args, data, data.num_classes)
    encoder = checkpoint.start_from(model, args.finetune)
    model.to(device).eval()
    (galleries, gallery_labels), (queries_of, labels) = (
        outputs(model.read_outs, test_loader(split, args, device), device, args.enable_amp) for split in splits.values()
    )

    def judge(name):
        found = gallery_labels[nearest(galleries[name], queries_of[name], min(max(args.k, 5), len(data)))]
        votes = vote(found[:, : args.k], data.num_classes)
        acc5 = 100.0 * (found[:, :5] == labels[:, None]).any(1).double().mean().item()
        return votes, {"test_acc1": accuracy(votes, labels)[0], "test_acc5": acc5, "test_samples": len(labels)}

    own, *others = model.readouts
    gallery, queries, (votes, result) = galleries[own], queries_of[own], judge(own)
    result |= beside({name: judge(name)[1] for name in others})
    if args.save_features and distributed.is_main():
        arrays = {"x_train": gallery, "y_train": gallery_labels, "x_test": queries, "y_test": labels}
        arrays["class_names"] = data.names_of_classes()
        arrays |= {f"name_{split}": data.names[data.indices] for split, data in splits.items() if data.names is not None}
        with written_aside(args.save_features) as file:
            np.savez(file, **{key: np.asarray(value) for key, value in arrays.items()})
        say(f"features: {args.save_features}")
    tell(
        f"retrieval: top-1 {result['test_acc1']:.2f} %, right class among the 5 nearest {result['test_acc5']:.2f} %, "
        f"{len(labels)} queries ({results.about(args)['evaluated_on']}), cosine {args.k}-NN among {len(gallery)}"
        f"{results.read_out(args, result)}, {args.input_stream} stream, "
        f"encoder from {args.finetune or 'random weights'}"
    )
    drawn = draw(len(queries))
    predictions = Predictions(votes.numpy(), labels.numpy(), queries[drawn].numpy(), drawn)
    run.finish(args, predictions, splits["test"], encoder=encoder, labels=len(gallery), last=result)


if __name__ == "__main__":
    errors.main(main)

"""Retrieval: cosine k-NN on frozen features, training set = gallery, test set = queries.

Also with features standardised by their mean and standard deviation over the gallery, as `standardised_features` in result.json.

python main_retrieval.py --dataset ntu60_xsub --finetune output/pretrain/checkpoint-399.pth [--save_features features.npz]
"""

if __name__ == "__main__":  # answer --help and wrong options before importing torch, which takes seconds
    from util import config

    config.check_command_line("retrieval")


import numpy as np

from feeder.loader import build_feeder, test_loader, warn_about
from model import build
from report.for_mains import write_report
from util import checkpoint, config, distributed, errors, predictions, results, run, signals
from util.engine import allow_tf32, outputs
from util.files import check_output, written_aside
from util.logging import print_always, print_info
from util.metrics import accuracy, nearest, standardised, vote


@signals.restored
def main(argv=None):
    # options: config/retrieval.yaml, then --config, --dataset, the checkpoint's sizes and the rest of the command line
    args = config.parse("retrieval", argv)
    check_output("save_features", args.save_features, [args.data_path, args.finetune])
    device = run.start(args)

    # data: the central crop of every sequence
    gallery, queries = (build_feeder(args, split, augment=False) for split in ("train", "test"))
    warn_about(gallery)
    if args.k > len(gallery):
        raise ValueError(f"k {args.k}: the gallery has only {len(gallery)} samples")

    # model: the encoder of --finetune; features {read-out: (N, D')} and labels (N,) of both splits, on the CPU
    model = build.classifier(args, gallery, gallery.num_classes)
    encoder = checkpoint.initialize_encoder(model, args.finetune, gallery)
    model.to(device).eval()
    (gallery_features, gallery_labels), (query_features, labels) = (
        outputs(model.readout_features, test_loader(data, args, device), device, args.enable_amp) for data in (gallery, queries)
    )
    allow_tf32(device, False)  # similarities of neighbours often differ by less than TF32's rounding

    def retrieve(known, asked):
        """Gallery's and queries' features -> each query's 5 nearest rows (N, 5), votes of the k nearest (N, K), and metrics."""
        count = min(max(args.k, 5), len(gallery))  # at least the 5 of test_acc5
        rows = nearest(known, asked, count, device)  # (N, count), the nearest first
        neighbours = gallery_labels[rows]
        votes = vote(neighbours[:, : args.k], gallery.num_classes)
        acc5 = 100.0 * (neighbours[:, :5] == labels[:, None]).any(1).double().mean().item()
        return rows[:, :5], votes, {"test_acc1": accuracy(votes, labels)[0], "test_acc5": acc5, "test_samples": len(labels)}

    headline, *others = model.readout_names
    features = {name: (gallery_features[name], query_features[name]) for name in model.readout_names}
    nearest_rows, votes, metrics = retrieve(*features[headline])
    metrics |= predictions.suffixed({name: retrieve(*features[name])[-1] for name in others})
    of_standardised = {name: retrieve(*standardised(*pair))[-1]["test_acc1"] for name, pair in features.items()}

    # --save_features: the headline read-out's features with labels and names, for other programs
    if args.save_features and distributed.is_main():
        arrays = {"x_train": gallery_features[headline], "y_train": gallery_labels}
        arrays |= {"x_test": query_features[headline], "y_test": labels, "class_names": gallery.names_of_classes()}
        for split, data in (("train", gallery), ("test", queries)):
            if data.names is not None:
                arrays[f"name_{split}"] = data.names[data.indices]
        with written_aside(args.save_features) as file:
            np.savez(file, **{key: np.asarray(value) for key, value in arrays.items()})
        print_info(f"features: {args.save_features}")

    print_always(
        f"retrieval: top-1 {metrics['test_acc1']:.2f} %, right class among the 5 nearest {metrics['test_acc5']:.2f} %, "
        f"{len(labels)} queries ({results.evaluated_on(args)}), cosine {args.k}-NN among {len(gallery)}"
        f"{results.readout_text(args, metrics)}, {args.input_stream} stream, encoder from {args.finetune or 'random weights'}"
    )
    print_always(f"retrieval with standardised features, {results.accuracies_text(of_standardised)}")
    # scores.npz with the votes, and some of the queries' features for the report
    drawn = predictions.sample_positions(len(queries))
    voted = predictions.Predictions(votes.numpy(), labels.numpy(), query_features[headline][drawn].numpy(), drawn)
    voted.neighbours = nearest_rows.numpy()
    predictions.save(args.output_dir, voted, queries, args.input_stream)
    run.write(args, device, encoder=encoder, labels=len(gallery), last=metrics, standardised_features=of_standardised)
    write_report(args)


if __name__ == "__main__":
    errors.main(main)

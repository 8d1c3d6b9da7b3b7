"""Baselines without any network: ridge regression and cosine 1-NN on coordinates, which an encoder should beat.

    python -m scripts.coordinates --dataset ucla [options of main_linprobe.py]

The input is an encoder's, flattened: the central crop (--test_p_interval) resized to --num_frames, of joints or another
--input_stream. --data_ratio and --subset_seed select the same labels as in fine-tuning, --val_groups evaluates on held-out
performers; options about models and training have no effect. Prints the accuracies, of 1-NN also on standardised coordinates,
and writes OUTPUT_DIR/ridge and OUTPUT_DIR/1-NN (default: output/coordinates), which scripts/compare.py and scripts/tables.py
read. All coordinates of all samples are held in memory several times; the time grows with samples times coordinates times the
smaller of the two.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder

from util.results import COORDINATES, COORDINATES_KEYS, evaluated_on


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", default=f"output/{COORDINATES}", metavar="FOLDER", help="[output/coordinates]")
    return parser


if __name__ == "__main__":  # answer --help before importing torch, which takes seconds
    build_parser().parse_known_args()


from feeder.loader import build_feeder, test_loader
from util import config, console, distributed, errors
from util.engine import outputs
from util.hardware import hardware
from util.logging import print_always, write_result
from util.metrics import accuracy, nearest, standardised
from util.ridge import ridge


def main(argv=None):
    folder, rest = build_parser().parse_known_args(argv)
    args = config.parse("linprobe", rest)
    console.be_quiet(args.quiet)
    device = distributed.setup(args.device)
    train, test = (build_feeder(args, split, augment=False) for split in ("train", "test"))
    # (N, C·T·V·M) inputs and labels (N,) of both splits
    (x, y), (x_test, y_test) = (outputs(lambda x: x.flatten(1), test_loader(d, args, device), device) for d in (train, test))
    scores, chosen = ridge(x, y, x_test, train.num_classes)
    as_they_are, of_standardised = (
        100.0 * (y[nearest(known, asked, 1, device)[:, 0]] == y_test).double().mean().item()
        for known, asked in ((x, x_test), standardised(x, x_test))
    )
    top1 = {"ridge": accuracy(scores, y_test)[0], "1-NN": as_they_are}
    how = f"{'standardised' if chosen['standardised'] else 'centred'}, strength {chosen['strength']:g}"
    print_always(
        f"coordinates: ridge regression {top1['ridge']:.2f} % ({how}, chosen by leave-one-out), "
        f"cosine 1-NN {top1['1-NN']:.2f} % (standardised: {of_standardised:.2f} %), {len(y):,} training sequences, "
        f"{len(y_test):,} {evaluated_on(args)} samples, {args.num_frames} frames, {args.input_stream} stream"
    )
    used = {"stage": COORDINATES} | {key: getattr(args, key) for key in COORDINATES_KEYS}
    for method in top1:
        path = Path(folder.output_dir, method)
        path.mkdir(parents=True, exist_ok=True)
        config.save(argparse.Namespace(**used), path / "config.yaml")
        write_result(
            path,
            **used,
            **{"method": method, "seed": args.subset_seed, "evaluated_on": evaluated_on(args), "labels": len(y)},
            **(chosen if method == "ridge" else {"standardised_features": {COORDINATES: of_standardised}}),
            last={"test_acc1": top1[method], "test_samples": len(y_test)},
            config="config.yaml",
            hardware=hardware(device),
        )


if __name__ == "__main__":
    errors.main(main)

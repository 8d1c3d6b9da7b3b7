"""PYSKL's pickles, such as ntu60_3danno.pkl: one npz for every pair of splits, such as xsub_train and xsub_val."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import arguments, pyskl
from feeder.skeleton import LAYOUTS


def main():
    parser = arguments.parser("PYSKL's pickles: write one npz for every pair of splits.", out=Path(__file__).resolve().parent)
    arguments.add_raw(parser, "such as ntu60_3danno.pkl", metavar="PICKLE")
    which = parser.add_mutually_exclusive_group()
    forms = "instead of the pickle's own: .json, .pkl or .txt of splits as there, or of names of the test part"
    which.add_argument("--split", type=Path, dest="split_file", metavar="FILE", help=forms)
    names = "names, or performers such as P003, that are for testing"
    which.add_argument("--test", nargs="+", default=(), metavar="NAME", help=names)
    which.add_argument("--test_pickle", type=Path, metavar="FILE", help="another pickle, which is the test part")
    parser.add_argument("--name", help="what the npz files are called; default: as the pickle")
    parser.add_argument("--layout", choices=LAYOUTS, help="default: by the number of joints")
    parser.add_argument("--num_bodies", type=int, default=2, help="persons; of more, those that move most are kept")
    arguments.add_second_body(parser, "zeros")
    center = "origin at this joint of the first frame; without a name at the spine of Kinect v2"
    parser.add_argument("--center", nargs="?", const="spine mid", metavar="JOINT", help=center)
    arguments.add_unit(parser)
    args = vars(parser.parse_args())
    if not args["raw"]:
        parser.error("no PICKLE given")
    pyskl.generate(args.pop("raw"), **args)


if __name__ == "__main__":
    arguments.run(main)

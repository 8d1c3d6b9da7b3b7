"""PYSKL's pickles, such as ntu60_3danno.pkl -> one npz for every pair of splits, such as xsub_train and xsub_val."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import arguments, pyskl
from feeder.skeleton import LAYOUTS
from util import errors


def main():
    parser = arguments.parser("PYSKL's pickles: write one npz for every pair of splits.", out=Path(__file__).resolve().parent)
    arguments.add_raw(parser, "such as ntu60_3danno.pkl", metavar="PICKLE")
    which = parser.add_mutually_exclusive_group()
    forms = "instead of the pickle's own splits: a .json, .pkl or .txt file of splits, or of the names of the test set"
    which.add_argument("--split", type=Path, dest="split_file", metavar="FILE", help=forms)
    names = "names of the test set, or performers such as P003"
    which.add_argument("--test", nargs="+", default=(), metavar="NAME", help=names)
    which.add_argument("--test_pickle", type=Path, metavar="FILE", help="another pickle that is the test set")
    parser.add_argument("--name", help="first part of the npz names; default: the pickle's name")
    parser.add_argument("--layout", choices=LAYOUTS, help="joint layout; default: by the number of joints")
    parser.add_argument("--num_bodies", type=int, default=2, help="of more bodies, those with the most motion are used")
    arguments.add_second_body(parser, "zeros")
    center = "joint whose position in the first frame is the origin; without a name the spine of Kinect v2"
    parser.add_argument("--center", nargs="?", const="spine mid", metavar="JOINT", help=center)
    arguments.add_unit(parser)
    args = vars(parser.parse_args())
    if not args["raw"]:
        parser.error("no PICKLE given")
    pyskl.generate(args.pop("raw"), **args)


if __name__ == "__main__":
    errors.main(main)

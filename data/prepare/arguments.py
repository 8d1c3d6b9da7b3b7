"""What the preparation scripts share on the command line."""

import argparse
import sys
from pathlib import Path

import numpy as np

from feeder.units import UNITS
from util import console


class Quiet(argparse.Action):
    """--quiet switches progress off as soon as it is read; scripts need not know it."""

    def __init__(self, option_strings, dest, help):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, *_):
        console.be_quiet()


def parser(description, out, strict=True):
    """A parser with --out (default: the folder `out`) and, for steps that can leave files out, --strict."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, default=out, help="folder for the results and what leads to them")
    parser.add_argument("--quiet", action=Quiet, help="no progress")
    if strict:
        parser.add_argument("--strict", action="store_true", help="stop at the first file that cannot be used")
    return parser


def run(main):
    """main(), with a user's mistake as one line and exit code 2 instead of a traceback."""
    try:
        main()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing incomplete was left under its final name")


def add_raw(parser, what, default=None, many=False, metavar="RAW"):
    """What is to be read, RAW or --raw RAW, becomes `raw`: a path or, if there may be many, a list of paths."""

    class Take(argparse.Action):
        def __call__(self, parser, namespace, paths, option_string=None):
            if getattr(namespace, "raw", default) is not default or not many and len(paths) > 1:
                parser.error(
                    f"{paths[-1]}: " + ("name all at once, behind one --raw or without it" if many else "one is read at a time")
                )
            namespace.raw = paths if many else paths[0]

    add = parser.add_argument_group(metavar).add_argument
    add("--raw", dest="raw", type=Path, nargs="+", metavar=metavar, action=Take, default=default, help=what)
    add("positional_raw", type=Path, nargs="*", metavar=metavar, action=Take, default=argparse.SUPPRESS, help="the same")


def add_workers(parser):
    parser.add_argument("--workers", type=int, help="processes; all cores if not given")


def add_second_body(parser, default):
    what = "what stands for the second person where there is but one"
    parser.add_argument("--second_body", choices=("zeros", "copy"), default=default, help=what)


def add_unit(parser, default=1.0, what="of the coordinates"):
    """Options --unit and --scale; either gives `unit`, metres per unit."""
    unit = parser.add_mutually_exclusive_group()
    unit.add_argument("--unit", type=_named_unit, default=default, metavar="{m,cm,mm}", help=what)
    unit.add_argument("--scale", type=_above_zero, dest="unit", default=argparse.SUPPRESS, help="metres per unit, such as 1e-4")


def _named_unit(text):
    if text not in UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(UNITS)}; --scale takes metres per unit")
    return UNITS[text]


def _above_zero(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < np.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def _frames(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of frames, or 0")
    return int(text)


def add_pose(parser, joints=True):
    """Options --body_frame and --min_max. joints: whether --body_frame may name its four joints."""
    turned = "turn every recording so that x runs across the shoulders and y up the spine of its mean pose"
    if joints:
        parser.add_argument(
            "--body_frame",
            nargs="*",
            metavar="JOINT",
            help=f"{turned}; the origin is the first spine (else hip), unless --center says another. "
            "Four joints, if their names do not tell: hip, neck, left and right shoulder",
        )
    else:
        parser.add_argument("--body_frame", action="store_true", help=f"{turned}: ..._body")
    parser.add_argument(
        "--min_max",
        action="store_true",
        help="stretch every axis of every recording to -1 .. 1, as supervised methods do on NW-UCLA; bodies lose their size",
    )


def add_window(parser, default):
    what = "cut longer files into equal pieces of at most so many frames; 0: do not"
    parser.add_argument("--window", type=_frames, default=default, metavar="FRAMES", help=what)


def add_format(parser, whole=True):
    """The options that make an `array_files.ArrayFormat`; whole: also those that are not about the form of a file."""
    add = parser.add_argument
    add("--row", type=int, nargs=3, dest="form", metavar=("BODIES", "JOINTS", "COORDINATES"), help="of a frame in text files")
    add("--axes", help="order of axes: M bodies, T frames, V joints, C coordinates [TVC and MTVC, of a .mat VCT; of text TMVC]")
    add("--columns", help="what the numbers of a joint are, such as xyz_ where a confidence follows")
    add("--skip_columns", type=int, nargs="+", default=(), help="columns of text files that are no coordinates, from 0; -1: last")
    add("--joint_order", type=_whole_numbers, metavar="3,2,1,...", help="which joint of the file each joint is, from 0")
    if whole:
        add("--fps", type=float, help="frames per second of the recordings, if more than --target_fps")
        add_time_and_up(parser)
        add("--no_checks", dest="checks", action="store_false", help="do not refuse what looks misread")


def add_time_and_up(parser):
    """Options --target_fps and --up."""
    parser.add_argument("--target_fps", type=_above_zero, default=30.0, help="frames per second they are brought to")
    parser.add_argument("--up", choices=("y", "z"), default="y", help="axis of the recordings that points upwards; it becomes y")


def given_format(args):
    """{field of `ArrayFormat`: value} of the options that somebody gave, but for axes."""
    return {key: value for key in ("form", "columns", "skip_columns", "joint_order") if (value := getattr(args, key))}


def _whole_numbers(text):
    try:
        return tuple(map(int, text.replace(",", " ").split()))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 3,2,1,0") from None

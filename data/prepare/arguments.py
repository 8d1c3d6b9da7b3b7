"""Command-line options that the preparation scripts share."""

import argparse
from pathlib import Path

import numpy as np

from data.prepare.transforms import UP
from feeder.units import UNITS
from util import console

FILL = "interpolate joints that are missing (not a number, or 0 now and then) in at most this many frames on end"


class Quiet(argparse.Action):
    """--quiet switches progress bars off when it is parsed; it leaves no attribute behind."""

    def __init__(self, option_strings, dest, help):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, *_):
        console.be_quiet()


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not those of options that are simply off, and lists as one would type them."""

    def _get_help_string(self, action):
        default = action.default
        if default is None or default == () or isinstance(default, bool):
            return action.help
        if isinstance(default, list):
            return f"{action.help} (default: {' '.join(map(str, default))})"
        return super()._get_help_string(action)


def parser(description, out, strict=True):
    """A parser with --out (default: the folder `out`), --quiet and, for steps that may skip files, --strict."""
    parser = argparse.ArgumentParser(description=description, formatter_class=_HelpFormatter)
    parser.add_argument("--out", type=Path, default=out, help="folder for the npz and intermediate files")
    parser.add_argument("--quiet", action=Quiet, help="no progress bars")
    if strict:
        parser.add_argument("--strict", action="store_true", help="stop at the first unusable file instead of listing it")
    return parser


def add_raw(parser, what, default=None, many=False, metavar="RAW"):
    """The raw data, as a positional argument or after --raw; args.raw is a path or, with `many`, a list of paths."""

    class Take(argparse.Action):
        def __call__(self, parser, namespace, paths, option_string=None):
            if getattr(namespace, "raw", default) is not default or not many and len(paths) > 1:
                parser.error(f"{paths[-1]}: " + ("name all after one --raw, or all without it" if many else "only one is read"))
            namespace.raw = paths if many else paths[0]

    add = parser.add_argument_group(metavar).add_argument
    add("--raw", dest="raw", type=Path, nargs="+", metavar=metavar, action=Take, default=default, help=what)
    add("positional_raw", type=Path, nargs="*", metavar=metavar, action=Take, default=argparse.SUPPRESS, help="the same")


def add_workers(parser):
    parser.add_argument("--workers", type=int, help="number of processes; all cores if not given")


def add_second_body(parser, default):
    what = "second body of recordings with only one: zeros, or a copy of the first"
    parser.add_argument("--second_body", choices=("zeros", "copy"), default=default, help=what)


def add_labels(parser):
    """Options --labels, --label_pattern, --test_groups, --test_ratio and --split_seed."""
    labels = parser.add_mutually_exclusive_group()
    what = "CSV table with the columns name, label, split and perhaps group"
    labels.add_argument("--labels", type=Path, dest="table", metavar="TABLE", help=what)
    pattern = (
        "instead of a table: regular expression searched in each file's path below RAW; "
        "its named groups are the columns: (?P<label>[a-z]+)_(?P<group>s\\d+)"
    )
    labels.add_argument("--label_pattern", metavar="REGEX", help=pattern)
    test = "groups that are the test set, instead of a column split; all others are for training"
    split = parser.add_mutually_exclusive_group()
    split.add_argument("--test_groups", nargs="+", default=(), metavar="GROUP", help=test)
    ratio = "draw about this share of the recordings as the test set: whole groups, or single recordings where there are none"
    split.add_argument("--test_ratio", type=_ratio, metavar="RATIO", help=ratio)
    parser.add_argument(
        "--split_seed", type=_seed, default=0, metavar="SEED", help="another seed is another draw of --test_ratio"
    )


def add_unit(parser, default="m", what="unit of the coordinates"):
    """Options --unit and --scale; both set args.unit, in metres per unit. default: a name of UNITS, or None."""
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
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _ratio(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0.05 <= value <= 0.5:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0.05 to 0.5")
    return value


def _seed(text):
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return int(text)


def _midpoint(text):
    name, _, pair = text.partition("=")
    numbers = pair.split("+")
    if not name or len(numbers) != 2 or not all(map(str.isdecimal, numbers)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name and the numbers of two joints, such as neck=11+12")
    return name, *map(int, numbers)


class _Columns(argparse.Action):
    """Numbers of columns as a list, which is empty for the word none."""

    def __call__(self, parser, namespace, words, option_string=None):
        try:
            setattr(namespace, self.dest, [] if words == ["none"] else list(map(int, words)))
        except ValueError:
            parser.error(f"argument {option_string}: {' '.join(words)}: numbers of columns, or none")


def _frames(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, or 0")
    return int(text)


def add_body_frame(parser, joints=True):
    """Options --body_frame and --min_max. joints: whether --body_frame accepts its four joints."""
    turned = "rotate every recording into the body frame: in its mean pose x runs across the shoulders and y up the spine"
    if joints:
        parser.add_argument(
            "--body_frame",
            nargs="*",
            metavar="JOINT",
            help=f"{turned}; the origin is the spine (else the hip) of the first frame, unless --center is given. "
            "Joints without usual names: name hip, neck, left and right shoulder",
        )
    else:
        parser.add_argument("--body_frame", action="store_true", help=f"{turned}: ..._body")
    parser.add_argument(
        "--min_max",
        action="store_true",
        help="scale every axis of every recording to -1 .. 1, as supervised methods do on NW-UCLA; body sizes are lost",
    )


def add_window(parser, default):
    what = "cut longer recordings into equal pieces of at most this many frames; 0: do not cut"
    parser.add_argument("--window", type=_frames, default=default, metavar="FRAMES", help=what)


def add_format(parser, whole=True):
    """The options for the fields of `array_files.ArrayFormat`; whole: also --fps, --target_fps, --up and --no_checks."""
    add = parser.add_argument
    row = ("BODIES", "JOINTS", "COORDINATES")
    add("--row", type=int, nargs=3, dest="form", metavar=row, help="shape of a frame in text files")
    add("--axes", help="order of axes: M bodies, T frames, V joints, C coordinates [TVC or MTVC; .mat: VCT; text: TMVC]")
    add("--columns", help="meaning of a joint's numbers: xyz_ if a confidence follows, which is left out")
    what = "columns of text files to leave out, from 0; -1: the last; none: keep all"
    add("--skip_columns", nargs="+", action=_Columns, default=(), help=what)
    add(
        "--skip_rows",
        type=_frames,
        default=0 if whole else None,
        metavar="LINES",
        help="lines at the top of text files to leave out",
    )
    add("--fill", type=_frames, default=0 if whole else None, metavar="FRAMES", help=FILL)
    add("--joint_order", type=_whole_numbers, metavar="3,2,1,...", help="numbers of the file's joints, from 0, in the new order")
    if whole:
        what = "one more joint in the middle of two, such as a hip or neck for --center and --body_frame"
        add("--midpoints", type=_midpoint, nargs="+", default=(), metavar="NAME=I+J", help=what)
        add("--fps", type=float, help="frames per second of the recordings, if more than --target_fps")
        add_time_and_up(parser)
        add("--no_checks", dest="checks", action="store_false", help="accept recordings that look misread")


def add_time_and_up(parser):
    """Options --target_fps and --up."""
    parser.add_argument("--target_fps", type=_above_zero, default=30.0, help="frames per second after resampling")
    parser.add_argument(
        "--up", choices=UP, default="y", help="axis that points up in the recordings (--up=-y: down); it becomes y"
    )


def given_format(args):
    """{field of `ArrayFormat`: value} of the given options of add_format(whole=False), without axes."""
    keys = ("form", "columns", "skip_columns", "skip_rows", "joint_order", "fill")
    return {key: value for key in keys if (value := getattr(args, key)) not in (None, ())}  # [] is: --skip_columns none


def options_of(form):
    """{option: value} of the values in `form` that are given, {field of `ArrayFormat`: value}."""
    return {f"--{'row' if key == 'form' else key}": value for key, value in form.items() if value}


def _whole_numbers(text):
    try:
        return tuple(map(int, text.replace(",", " ").split()))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 3,2,1,0") from None

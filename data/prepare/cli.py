"""What the preparation scripts share on the command line."""

import argparse
import sys
from pathlib import Path

from util import display


class Quiet(argparse.Action):
    """--quiet switches progress off as soon as it is read; scripts need not know it."""

    def __init__(self, option_strings, dest, help):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, *_):
        display.be_quiet()


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

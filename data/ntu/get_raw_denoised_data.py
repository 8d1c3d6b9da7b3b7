"""NTU RGB+D 60, step 2 of 3: find the one or two actors among the bodies of every recording."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.prepare import cli, ntu

HERE = Path(__file__).resolve().parent


def main():
    args = cli.parser(__doc__, out=HERE).parse_args()
    ntu.denoise_raw(args.out, args.strict)


if __name__ == "__main__":
    cli.run(main)

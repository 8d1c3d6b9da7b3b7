"""NTU RGB+D 60, step 3 of 3: move the origin, split, and write NTU60_XSub.npz and NTU60_XView.npz."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.prepare import cli, ntu

HERE = Path(__file__).resolve().parent


def main():
    parser = cli.parser(__doc__, out=HERE, strict=False)
    parser.add_argument("--name", default="NTU60", help="the npz files are called NAME_XSub.npz and NAME_XView.npz")
    args = parser.parse_args()
    ntu.write_npz(args.out, args.name, ntu.NTU60)


if __name__ == "__main__":
    cli.run(main)

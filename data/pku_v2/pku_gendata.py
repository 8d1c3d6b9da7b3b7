"""PKU-MMD phase 2: from the skeleton and label files to PKUv2_XSub.npz and PKUv2_XView.npz."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.prepare import cli
from data.prepare.pku import PKU2, generate

HERE = Path(__file__).resolve().parent


def main():
    parser = cli.parser(__doc__, out=HERE)
    parser.add_argument(
        "--raw", type=Path, default=HERE.parent / "pku_raw" / "v2", help="folder with skeleton/, label/ and the split files"
    )
    parser.add_argument("--workers", type=int, help="processes; all cores if not given")
    args = parser.parse_args()
    generate(args.raw, args.out, PKU2, args.workers, args.strict)


if __name__ == "__main__":
    cli.run(main)

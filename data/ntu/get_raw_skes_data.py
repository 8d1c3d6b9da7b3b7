"""NTU RGB+D 60, step 1 of 3: read the raw .skeleton files."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.prepare import cli, ntu

HERE = Path(__file__).resolve().parent


def main():
    parser = cli.parser(__doc__, out=HERE)
    parser.add_argument("--raw", type=Path, default=HERE.parent / "nturgbd_raw" / "nturgb+d_skeletons",
                        help="folder of the .skeleton files")  # fmt: skip
    parser.add_argument("--workers", type=int, help="processes; all cores if not given")
    args = parser.parse_args()
    ntu.read_raw(args.raw, args.out, ntu.NTU60, args.workers, args.strict)


if __name__ == "__main__":
    cli.run(main)

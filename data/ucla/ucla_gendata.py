"""NW-UCLA Multiview Action3D: from the distributed JSON files to UCLA_XView.npz."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import arguments, ucla

HERE = Path(__file__).resolve().parent
RAW = [HERE.parent / "ucla_raw" / name for name in ("all_sqe", "nw_ucla_all_sqe.zip", "all_sqe.zip")]


def main():
    parser = arguments.parser("NW-UCLA: write UCLA_XView.npz from the JSON files.", out=HERE)
    raw = next((raw for raw in RAW if raw.exists()), RAW[0])
    arguments.add_raw(parser, "folder all_sqe, or a zip of it", raw)
    parser.add_argument("--align", action="store_true", help="turn every sequence to the front by its first frame: ..._align")
    arguments.add_pose(parser, joints=False)
    what = "without the test sequences that are training sequences (95 in the files that are passed around): ..._unique"
    parser.add_argument("--unique", action="store_true", help=what)
    ucla.generate(**vars(parser.parse_args()))


if __name__ == "__main__":
    arguments.run(main)

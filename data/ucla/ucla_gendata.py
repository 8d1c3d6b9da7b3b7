"""NW-UCLA Multiview Action3D: JSON files -> UCLA_XView.npz."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import arguments, ucla
from util import errors

HERE = Path(__file__).resolve().parent
RAW = [HERE.parent / "ucla_raw" / name for name in ("all_sqe", "nw_ucla_all_sqe.zip", "all_sqe.zip")]


def main():
    parser = arguments.parser("NW-UCLA: write UCLA_XView.npz from the JSON files.", out=HERE)
    raw = next((raw for raw in RAW if raw.exists()), RAW[0])
    arguments.add_raw(parser, "folder all_sqe, or a zip of it", raw)
    align = "rotate every sequence to face the camera in its first frame: ..._align"
    parser.add_argument("--align", action="store_true", help=align)
    arguments.add_body_frame(parser, joints=False)
    what = "leave out test sequences that equal a training sequence (95 in the distributed files): ..._unique"
    parser.add_argument("--unique", action="store_true", help=what)
    ucla.generate(**vars(parser.parse_args()))


if __name__ == "__main__":
    errors.main(main)

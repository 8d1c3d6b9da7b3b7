"""Describe a file, and draw one of its sequences.

    python -m data.prepare.inspect FILE

FILE is an npz (docs/data.md), or raw data: an NTU .skeleton file, a PKU-MMD skeleton text file, a NW-UCLA json file, a recording
of one's own (.npy, .mat, .csv, .tsv, .txt or, with an option such as --joint_order, .skeleton; read as data/own/own_gendata.py
does), a .bvh, or a pickle, as PYSKL's. One sequence is drawn as a moving stick figure (GIF) and as a sheet of frames side by side
(PNG).
"""

import argparse
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder

from data.prepare import arguments
from data.prepare.inspect import inspect
from feeder import skeleton
from report import skeletons
from util import console, errors
from util.files import written_aside


def draw(sequence, gif=None, sheet=None, fps=30, view="front", up=None):
    """Write a `Sequence` as a GIF and a PNG; by default both, named after it, in the current folder.

    view, up: as in skeletons.turned. Returns a message for each file. Raises ValueError if there is no body.
    """
    if gif is None and sheet is None:
        stem = re.sub(r"[^\w.+-]+", "_", sequence.name)[:100].lstrip(".") or "sequence"
        stem += f"_{view}" * (view != "front")
        gif, sheet = Path(f"{stem}.gif"), Path(f"{stem}.png")
    joints = skeletons.turned(sequence.joints, view, up or sequence.up)
    how = {
        "parents": sequence.parents,
        "side": None if sequence.joint_names is None else skeletons.sides(sequence.joint_names),
        "title": " · ".join(filter(None, (sequence.name, sequence.label))),
        "fps": fps,
        "frames": np.arange(len(joints)) + sequence.first,
        "unit": sequence.unit,
    }
    lines = []
    for path in filter(None, (gif, sheet)):
        old = path.exists()
        with written_aside(path) as file:
            if path == gif:
                skeletons.animate(joints, path=file, **how)
            else:
                skeletons.contact_sheet(joints, **how).savefig(file, format="png", dpi=110)
        lines.append(f"written: {path}{' (in place of an older one)' if old else ''}")
    return lines


def _file(suffix):
    def path(text):
        if Path(text).suffix.lower() != suffix:
            raise argparse.ArgumentTypeError(f"{text!r} has to end in {suffix}")
        return Path(text)

    return path


def main():
    parser = argparse.ArgumentParser(
        "python -m data.prepare.inspect", description="Describe a file, and draw one of its sequences."
    )
    parser.add_argument(
        "file",
        type=Path,
        help="npz, .skeleton (NTU), skeleton .txt (PKU-MMD), .json (NW-UCLA), .bvh, .pkl "
        "(PYSKL) or a recording of your own: .npy, .mat, .csv, .tsv, .txt",
    )
    parser.add_argument("--split", choices=("train", "test"), help="of an npz (default: train, or where the name is)")
    parser.add_argument("--index", type=int, help="which sequence is drawn, counted from 0; of a PKU-MMD video: which action")
    parser.add_argument("--name", help="which sequence of an npz is drawn, by name")
    parser.add_argument("--gif", type=_file(".gif"), help="where the moving figure goes; alone: no sheet (default: NAME.gif)")
    parser.add_argument("--sheet", type=_file(".png"), help="where the sheet of frames goes; alone: no GIF (default: NAME.png)")
    parser.add_argument("--fps", type=float, default=30, help="frames per second of the recording (default: 30)")
    parser.add_argument("--view", choices=skeletons.VIEWS, default="front", help="along z, or along x (default: front)")
    parser.add_argument("--up", choices=skeletons.UP, help="axis that points up (default: y; --up=-y for keypoints of pictures)")
    parser.add_argument("--layout", choices=skeleton.LAYOUTS, help="of a recording of your own; default: by the number of joints")
    arguments.add_format(parser, whole=False)
    args = vars(parser.parse_args())
    file, gif, sheet, fps, view, up = (args.pop(key) for key in ("file", "gif", "sheet", "fps", "view", "up"))
    if not 1 <= fps <= 1000:
        parser.error(f"--fps {fps:g}: frames per second, 1 to 1000")
    lines, sequence = inspect(file, **args)
    print(*lines, sep="\n")
    if sequence is not None:
        print(*draw(sequence, gif, sheet, fps, view, up), sep="\n")


if __name__ == "__main__":
    console.end_with_reader()
    errors.main(main)

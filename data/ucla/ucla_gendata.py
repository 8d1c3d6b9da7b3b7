"""NW-UCLA Multiview Action3D: from the distributed JSON files to UCLA_XView.npz.

One body of 20 joints (Kinect v1), 10 classes. Train on views 1 and 2 (1,020 sequences), test on view 3 (464), sorted by
name. The origin is the middle of the spine in the first frame; with --align every sequence is also turned about the
vertical so that in the first frame the shoulders lie along x, left to right; with --body_frame, instead, x, y and z are
the directions of the mean pose; --min_max then stretches every axis to -1 .. 1, as supervised methods do on these data.
Sequences of one frame (two in the release, a02_s09_e04_v02 and _v03) are kept as still poses: the published counts
include them, and resizing in time turns one frame into a motionless sequence.
"""

import json
import re
import sys
import zipfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.prepare import batch, cli, sequences
from feeder.metadata import body_sizes
from feeder.npz import Split, write_dataset
from feeder.skeleton import joint_names

HERE = Path(__file__).resolve().parent
DEFAULT_RAW = tuple(HERE.parent / "ucla_raw" / name for name in ("all_sqe", "nw_ucla_all_sqe.zip", "all_sqe.zip"))

NUM_JOINTS, NUM_BODIES, NUM_CLASSES, LAYOUT = 20, 1, 10, "kinect_v1"
ORIGIN, SHOULDER_LEFT, SHOULDER_RIGHT = 1, 4, 8  # joints
VIEWS = {"train": (1, 2), "test": (3,)}
PUBLISHED = {"train": 1020, "test": 464}
_NAME = re.compile(r"a\d\d_(s\d\d)_e\d\d_v(\d\d)\.json")


def find_files(raw):
    """The JSON files, sorted by name, of the folder `raw` or inside the zip `raw`: paths with name and read_bytes()."""
    files = batch.find(raw, ".json", "; give the folder all_sqe or its zip with --raw", deep=False)
    return sorted(files, key=lambda file: file.name)


def read_sequence(file):
    """(joints (T, 20, 3) float64 in metres, class 0 .. 9, view 1 .. 3) of one JSON file.

    Raises ValueError naming the file: name, JSON, shape, label or values are not as they should be.
    """
    match = _NAME.fullmatch(file.name)
    if not match or int(match[2]) not in sum(VIEWS.values(), ()):
        raise ValueError(f"{file}: not a name of the form aXX_sYY_eZZ_vVV.json with view 01, 02 or 03")
    try:
        record = json.loads(file.read_bytes())
    except (ValueError, RecursionError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file}: not valid JSON ({error})") from error
    if not isinstance(record, dict) or not {"skeletons", "label"} <= record.keys():
        raise ValueError(f"{file}: needs the keys 'skeletons' and 'label'")
    try:
        joints = np.array(record["skeletons"], dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: 'skeletons' is not an array of numbers, T x {NUM_JOINTS} x 3") from error
    if joints.ndim != 3 or joints.shape[1:] != (NUM_JOINTS, 3) or not len(joints):
        shape = " x ".join(map(str, joints.shape))
        raise ValueError(f"{file}: 'skeletons' is {shape} instead of T x {NUM_JOINTS} x 3")
    bad = np.argwhere(~(np.abs(joints) <= np.finfo(np.float32).max))
    if len(bad):
        raise ValueError(f"{file}: frame {bad[0][0]}, joint {bad[0][1]} has a coordinate that is not a finite number")
    label = record["label"]
    if type(label) is not int or not 1 <= label <= NUM_CLASSES:
        raise ValueError(f"{file}: label {label!r} is not one of 1..{NUM_CLASSES}")
    return joints, label - 1, int(match[2])


def center(joints):
    """Origin at the middle of the spine of the first frame: (T, V, 3) -> the same shape."""
    return joints - joints[0, ORIGIN]


def face_front(joints):
    """Turn about the vertical axis y so that the first frame's shoulders lie along +x from left to right.

    (T, V, 3) -> the same shape; as it is if the shoulders lie above one another.
    """
    across = joints[0, SHOULDER_RIGHT] - joints[0, SHOULDER_LEFT]
    angle = np.arctan2(across[2], across[0])
    cos, sin = np.cos(angle), np.sin(angle)
    return joints @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])


def generate(raw, out, align=False, strict=False, body_frame=False, min_max=False, unique=False):
    """Write out/UCLA_XView.npz, with what was done to the coordinates in its name; returns its path.

    raw: folder all_sqe or a zip of it. align: `face_front`; body_frame, min_max: see data.prepare.sequences.row. unique: without
    the test sequences that equal a training sequence. Unusable files are left out and listed in out/raw_data/skipped.txt; with
    `strict` the first one is a ValueError. So is `align` together with body_frame or min_max.
    """
    if align and (body_frame or min_max):
        raise ValueError("--align: --body_frame turns the sequences, too, and better; give --align alone")
    files, skipped, sizes = find_files(raw), batch.Skipped(strict), []
    names = joint_names(LAYOUT)
    axes = sequences.pose(None, [], names, NUM_JOINTS)[1] if body_frame else None
    rows = {key: [] for key in VIEWS}

    def prepared(file):
        joints, label, view = read_sequence(file)
        if align:
            return face_front(center(joints)).reshape(len(joints), -1).astype(np.float32), label, view
        try:
            row = sequences.row(joints[None], origin=ORIGIN, axes=axes, min_max=min_max)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        sizes.append(np.median(body_sizes(joints)))
        return row, label, view

    for file, (row, label, view) in batch.each(prepared, files, "reading", skipped):
        key = next(key for key, views in VIEWS.items() if view in views)
        rows[key].append((file.name.removesuffix(".json"), label, row))
    if not any(rows.values()):
        raise ValueError(f"{raw}: none of the {len(files)} files can be used; the first: {skipped.reasons[0]}")
    known = {row.tobytes() for _, _, row in rows["train"]}
    others = [item for item in rows["test"] if item[2].tobytes() not in known]
    repeated = len(rows["test"]) - len(others)
    if unique:
        rows["test"] = others
    elif repeated:
        print(f"note: {repeated} of the test sequences are training sequences, number by number; --unique leaves them out")
    num_frames = max(len(sequence) for split in rows.values() for _, _, sequence in split)
    splits = {
        key: Split(
            [row[0] for row in split],
            np.array([row[1] for row in split], int),
            [row[2] for row in split],
            [_NAME.fullmatch(f"{row[0]}.json")[1] for row in split],
        )
        for key, split in rows.items()
    }
    path = Path(out) / f"UCLA_XView{'_align' * align}{'_body' * body_frame}{'_minmax' * min_max}{'_unique' * unique}.npz"
    told = {"center": ORIGIN, "body_frame": axes, "min_max": int(min_max), "unit": 1.0}
    told["body_size"] = float(np.median(sizes)) if min_max else None
    write_dataset(path, splits, num_frames, NUM_CLASSES, NUM_JOINTS, NUM_BODIES, LAYOUT, **told if body_frame or min_max else {})
    counts = ", ".join(f"{len(rows[key])} {key} (published: {PUBLISHED[key]:,})" for key in rows)
    print(f"{len(files)} files found, {len(skipped.reasons)} unusable; {path}: {counts}, {num_frames} frames")
    skipped.write(Path(out) / "raw_data" / "skipped.txt")
    return path


def main():
    parser = cli.parser("NW-UCLA: write UCLA_XView.npz from the JSON files.", out=HERE)
    parser.add_argument(
        "--raw",
        type=Path,
        default=next((raw for raw in DEFAULT_RAW if raw.exists()), DEFAULT_RAW[0]),
        help="folder all_sqe, or a zip of it",
    )
    parser.add_argument("--align", action="store_true", help="turn every sequence to the front by its first frame: ..._align")
    parser.add_argument(
        "--body_frame",
        action="store_true",
        help="turn every sequence so that x runs across the shoulders and y up the spine of its mean pose: ..._body",
    )
    parser.add_argument("--min_max", action="store_true", help="stretch every axis of every sequence to -1 .. 1: ..._minmax")
    parser.add_argument(
        "--unique",
        action="store_true",
        help="without the test sequences that are training sequences (95 in the files that are passed around): ..._unique",
    )
    generate(**vars(parser.parse_args()))


if __name__ == "__main__":
    cli.run(main)

"""NW-UCLA Multiview Action3D: JSON files -> UCLA_XView.npz.

One body of 20 joints (Kinect v1), 10 classes. Views 1 and 2 are for training (1,020 sequences), view 3 for testing (464), sorted
by name. The origin is the middle of the spine in the first frame; docs/data.md describes --align, --body_frame and --min_max.
Sequences of one frame (two in the release) stay in, as in the published counts.
"""

import json
import re
from pathlib import Path

import numpy as np

from data.prepare import parallel, transforms
from feeder.npz import Split, write_dataset
from feeder.skeleton import joint_names
from feeder.units import body_size

NUM_JOINTS, NUM_BODIES, NUM_CLASSES, LAYOUT = 20, 1, 10, "kinect_v1"
ORIGIN, SHOULDER_LEFT, SHOULDER_RIGHT = 1, 4, 8  # joints
VIEWS = {"train": (1, 2), "test": (3,)}
PUBLISHED = {"train": 1020, "test": 464}
_NAME = re.compile(r"a\d\d_(s\d\d)_e\d\d_v(\d\d)\.json")


def find_files(raw):
    """The JSON files of the folder or zip `raw`, sorted by name."""
    files = parallel.find_files(raw, ".json", "; give the folder all_sqe or its zip with --raw", deep=False)
    return sorted(files, key=lambda file: file.name)


def read_sequence(file):
    """(joints (T, 20, 3) float64 in metres, class 0 .. 9, view 1 .. 3) of one JSON file.

    Raises ValueError naming the file if its name, JSON, shape, label or values are invalid.
    """
    match = _NAME.fullmatch(file.name)
    if not match or int(match[2]) not in sum(VIEWS.values(), ()):
        raise ValueError(f"{file}: not a name of the form aXX_sYY_eZZ_vVV.json with view 01, 02 or 03")
    content = parallel.read_bytes(file)
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
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


def face_front(joints):
    """Joints (T, V, 3) with the origin at the spine of the first frame, rotated about the vertical axis y so that its shoulders
    are along x, left to right; not rotated if one shoulder is above the other."""
    joints = joints - joints[0, ORIGIN]
    across = joints[0, SHOULDER_RIGHT] - joints[0, SHOULDER_LEFT]
    angle = np.arctan2(across[2], across[0])
    cos, sin = np.cos(angle), np.sin(angle)
    return joints @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])


def place(persons, align=False, frame_joints=None, min_max=False):
    """Persons (M, T, V, 3) as a row (T, M·V·3) of an npz. align: use `face_front`; frame_joints, min_max: see transforms.row."""
    persons = face_front(persons[0])[None] if align else persons
    return transforms.row(persons, origin=ORIGIN, frame_joints=frame_joints, min_max=min_max)


def generate(raw, out, align=False, strict=False, body_frame=False, min_max=False, unique=False):
    """Write out/UCLA_XView.npz, whose name also lists the options used; returns its path.

    raw: folder all_sqe or a zip of it. align: use `face_front`. body_frame: rotate into the body frame. min_max: see
    data.prepare.transforms.row. unique: leave out test sequences that equal a training sequence. Unusable files are listed in
    out/raw_data/skipped.txt; with `strict` the first one raises ValueError. Raises ValueError for `align` together with
    body_frame or min_max.
    """
    if align and (body_frame or min_max):
        raise ValueError("--align: --body_frame rotates the sequences, too; give --align alone")
    files, skipped, sizes = find_files(raw), parallel.Skipped(strict), []
    _, frame_joints = transforms.origin_and_frame_joints(None, [] if body_frame else None, joint_names(LAYOUT), NUM_JOINTS)

    def prepare(file):
        """(row (T, V·3) float32, class, view) of a file."""
        joints, label, view = read_sequence(file)
        with parallel.naming(file):
            row = place(joints[None], align, frame_joints, min_max)
        sizes.append(body_size(joints))
        return row, label, view

    samples = {key: [] for key in VIEWS}
    for file, (row, label, view) in parallel.each(prepare, files, "reading", skipped):
        key = next(key for key, views in VIEWS.items() if view in views)
        samples[key].append((file.name.removesuffix(".json"), label, row))
    if not any(samples.values()):
        raise ValueError(f"{raw}: none of the {len(files)} files can be used{skipped.first()}")
    # in the distributed files, 95 test sequences equal training sequences
    train = {row.tobytes() for _, _, row in samples["train"]}
    new = [sample for sample in samples["test"] if sample[2].tobytes() not in train]
    repeated = len(samples["test"]) - len(new)
    if unique:
        samples["test"] = new
    elif repeated:
        print(f"note: {repeated} of the test sequences are equal to training sequences; --unique leaves them out")
    splits = {}
    for key, chosen in samples.items():
        names, labels, rows = zip(*chosen, strict=True) if chosen else ((), (), ())
        subjects = [_NAME.fullmatch(f"{name}.json")[1] for name in names]
        splits[key] = Split(names, np.array(labels, int), rows, subjects)
    num_frames = max(len(row) for split in splits.values() for row in split.sequences)
    path = Path(out) / f"UCLA_XView{'_align' * align}{'_body' * body_frame}{'_minmax' * min_max}{'_unique' * unique}.npz"
    pose = {}
    if body_frame or min_max:  # for main_predict.py, which prepares raw recordings alike
        pose = {"center": ORIGIN, "body_frame": frame_joints, "min_max": int(min_max), "unit": 1.0}
        pose["body_size"] = float(np.median(sizes)) if min_max else None
    write_dataset(path, splits, num_frames, NUM_CLASSES, NUM_JOINTS, NUM_BODIES, LAYOUT, **pose)
    counts = ", ".join(f"{len(split.names)} {key} (published: {PUBLISHED[key]:,})" for key, split in splits.items())
    print(f"{len(files)} files found, {len(skipped.reasons)} unusable; {path}: {counts}, {num_frames} frames")
    skipped.write(Path(out) / "raw_data" / "skipped.txt")
    return path

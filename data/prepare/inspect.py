"""Look at a file: what is in it, printed, and one of its sequences, drawn.

    python -m data.prepare.inspect FILE

FILE is an npz (docs/data.md), or raw data: an NTU .skeleton file, a PKU-MMD skeleton text file, a NW-UCLA json file, a recording
of one's own (.npy, .mat, .csv, .txt; read as data/own/own_gendata.py does), a .bvh, or a pickle, as PYSKL's. One sequence is
drawn as a moving stick figure (GIF) and as a sheet of frames side by side (PNG).
"""

import argparse
import difflib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.prepare import cli, inspect_raw, pku
from data.prepare.denoise import denoise, motion, noisy_frames
from data.prepare.facts import Values, class_name, rows, split_facts
from data.prepare.reading import Reading, add_options
from data.prepare.skeleton_file import read_skeleton
from data.ucla import ucla_gendata as ucla
from feeder import skeleton
from feeder.npz import open_npz
from report import skeletons as plots
from util import display
from util.files import written_aside

MOST_FRAMES = 300  # that are drawn of an untrimmed video


@dataclass
class Sequence:
    """What is drawn. joints: (T, M, V, 3) metres. parents, joint_names: (V,) or None. first: number of its first frame. up: see
    plots.UP."""

    name: str
    label: str
    joints: np.ndarray
    parents: np.ndarray | None
    joint_names: tuple | None
    first: int = 0
    up: str = "y"


def inspect(path, split=None, index=None, name=None, layout=None, **how):
    """(lines that say what is in a file, the chosen `Sequence` or None if there is none).

    split, index, name: which sequence of an npz, by default the first with a frame; index alone: which action of a PKU-MMD video,
    which annotation of a pickle. layout, how: of a recording of one's own, see data.prepare.reading.Reading.
    Raises FileNotFoundError or ValueError in one line: no such file, split or sequence, a file of another kind, or a damaged one.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; name one file in it")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix not in KINDS:
        raise ValueError(
            f"{path}: unknown kind of file {path.suffix!r}; known are .npz, .skeleton (NTU), .txt (PKU-MMD "
            "skeletons or your own), .json (NW-UCLA), .bvh, .npy, .mat, .csv and .pkl"
        )
    if path.suffix == ".npz":
        return inspect_npz(path, split, index, name)
    if split is not None or name is not None:
        raise ValueError(f"{path}: holds one recording; --split and --name choose a sequence of an npz")
    if path.suffix == ".txt" and not any(how.values()) and _is_pku(path):
        return inspect_pku(path, index)
    if path.suffix in OWN:
        known = len(skeleton.parents(layout)) if layout and not how.get("joint_order") else None
        lines, joints, layout = inspect_raw.recording(path, Reading(num_joints=known, **how), layout, index)
        return lines, _own(path.stem, "", joints, layout)
    if path.suffix in PICKLES:
        lines, joints, layout, names = inspect_raw.pickle(path, layout, index)
        return lines, _own(*names, joints, layout)
    if index not in (None, 0):
        raise ValueError(f"{path}: holds one recording, --index {index} chooses nothing in it")
    return KINDS[path.suffix](path)


def inspect_npz(path, split=None, index=None, name=None):
    """As `inspect`, for an npz; its sequences are read piece by piece."""
    from feeder.feeder_ntu import Feeder  # here, because torch takes seconds to import and raw files do not need it

    arrays = open_npz(path)
    splits = [key for key in ("train", "test") if f"x_{key}" in arrays]
    if not splits:
        raise ValueError(f"{path}: neither x_train nor x_test in it; it has {', '.join(sorted(arrays)) or 'nothing'}")
    if split not in (None, *splits):
        raise ValueError(f"{path}: has no split {split!r}, only {' and '.join(splits)}")
    feeders = {key: Feeder(path, key, labelled=False) for key in splits}
    feeder, row = _choose(path, {split: feeders[split]} if split else feeders, index, name)
    joints = rows(feeder.x, row, row + 1)[0].reshape(-1, feeder.num_bodies, feeder.num_joints, 3)
    there = np.flatnonzero(joints.any(axis=(1, 2, 3)))
    if not len(there):
        raise ValueError(f"{path}: {feeder.name(row)} has no frame with a body; --index or --name chooses another")
    joints = joints[: there[-1] + 1]

    parents, names, known = _skeleton(arrays, feeder)
    lines = [f"{path}: {feeder.num_joints} joints ({known}), bodies: {feeder.num_bodies}, classes: {feeder.num_classes}"]
    seen = {}
    for each in splits:
        lines += [f"{each}: {len(feeders[each]):,} sequences", *split_facts(feeders[each], seen)]
    title = f"{feeder.key}_{row}" if feeder.names is None else str(feeder.names[row])
    label = class_name(feeder, feeder.label[row])
    lines.append(f"drawn: {feeder.key} --index {row}, {title}, {label}, {len(joints)} frames")
    picture = feeder.layout == "coco17" and not joints[..., 2].any()  # rows of a picture are counted downwards
    return lines, Sequence(title, label, joints, parents, names, up="-y" if picture else "y")


def _choose(path, feeders, index, name):
    """(feeder, row) of a sequence: by number in the first split, by name in any, else the first that is not all zero."""
    if index is not None and name is not None:
        raise ValueError("--index and --name both choose a sequence; give one")
    first = next(iter(feeders.values()))
    if name is not None:
        return _named(path, feeders, name)
    if index is None:
        return first, next((row for row in range(len(first)) if rows(first.x, row, row + 1).any()), 0)
    if not 0 <= index < len(first):
        raise ValueError(f"{path}: --index {index}: {first.key} has the sequences 0 to {len(first) - 1}")
    return first, index


def _named(path, feeders, name):
    every = []
    for feeder in feeders.values():
        names = [] if feeder.names is None else feeder.names.tolist()
        if name in names:
            return feeder, names.index(name)
        every += names
    if not every:
        raise ValueError(f"{path}: the sequences have no names; choose with --split and --index")
    near = [other for other in every if name and name in other][:3] or difflib.get_close_matches(name, every)
    raise ValueError(f"{path}: no sequence {name!r}; {'near are' if near else 'the first is'} {', '.join(near or every[:1])}")


def _skeleton(arrays, feeder):
    """(parents, joint names, what to call the skeleton) of an npz; the first two are None if unknown."""
    try:
        parents = skeleton.parents_of(arrays, feeder.num_joints)
    except ValueError as error:
        return None, None, f"no bones: {error}"
    names = feeder.joint_names()
    return parents, names and tuple(names), "a skeleton of its own" if "parents" in arrays else f"layout {feeder.layout}"


def inspect_skeleton(path):
    """As `inspect`, for an NTU .skeleton file: drawn are its actors, or all bodies if denoising leaves none."""
    layout = "kinect_v2"
    num_frames, bodies = read_skeleton(path)
    if not bodies:
        raise ValueError(f"{path}: no body in any frame; preparation leaves it out")
    lines = [f"{path}: NTU recording, {num_frames} frames with a body, 25 joints (layout {layout}), bodies: {len(bodies)}"]
    for body in bodies:
        wide = 100 * noisy_frames(body.joints).mean()
        lines.append(
            f"  body {body.id}: frames {body.start} to {body.end} ({len(body.joints)}), moves "
            f"{motion(body.joints):.3g} m², too wide in {wide:.0f} %"
        )
    try:
        joints = denoise(num_frames, bodies)
        seen = " and ".join(str(actor.any(axis=(1, 2)).sum()) for actor in joints.swapaxes(0, 1))
        lines.append(f"  denoised: {len(joints)} frames, actors: {joints.shape[1]}, seen in {seen} frames")
    except ValueError as error:
        lines.append(f"  denoised: left out, {error}; drawn as recorded")
        joints = np.zeros((max(body.end for body in bodies) + 1, len(bodies), *bodies[0].joints.shape[1:]), np.float32)
        for i, body in enumerate(bodies):
            joints[body.start : body.end + 1, i] = body.joints
    lines += Values().add(joints).lines()
    action = re.search(r"A(\d{3})$", path.stem)
    return lines, _kinect(path.stem, f"class {int(action[1]) - 1} ({action[0]})" if action else "", joints, layout)


def inspect_pku(path, index=None):
    """As `inspect`, for a PKU-MMD skeleton file. With its labels in ../label, `index` is an action; else the beginning counts."""
    frames = pku.read_frames(path)
    if not frames.any():
        raise ValueError(f"{path}: no body in any frame")
    shape = pku.NUM_BODIES, pku.NUM_JOINTS, 3
    seen = " and ".join(f"{n:,}" for n in frames.reshape(-1, *shape).any(axis=(2, 3)).sum(axis=0))
    lines = [
        f"{path}: PKU-MMD video, {len(frames):,} frames, {pku.NUM_JOINTS} joints (layout {pku.LAYOUT}), "
        f"bodies: {pku.NUM_BODIES}, seen in {seen} frames",
        *Values().add(frames.reshape(-1, *shape)).lines(),
    ]
    labels = path.parent.parent / "label" / path.name
    if not labels.is_file():
        if index is not None:
            raise ValueError(f"{path}: --index {index} chooses an action, but there is no label file {labels}")
        there = frames.any(axis=1)
        start, end = there.argmax(), min(len(frames), there.argmax() + MOST_FRAMES)
        lines += [f"  no label file {labels}", f"drawn: frames {start} to {end - 1}"]
        return lines, _kinect(path.stem, "", frames[start:end].reshape(-1, *shape), pku.LAYOUT, start)
    actions, *remarks = pku.read_instances(path, labels)
    lines += [f"  actions: {len(actions)} of {len({number for number, *_ in actions})} classes"]
    lines += [f"  {line}" for line in sum(remarks, [])]
    if not 0 <= (index or 0) < len(actions):
        raise ValueError(f"{path}: --index {index or 0}: {labels} has {len(actions)} usable actions, counted from 0")
    number, start, action = actions[index or 0]
    name = f"{path.stem}_{start}_{start + len(action)}"
    lines.append(f"drawn: --index {index or 0}, class {number}, frames {start} to {start + len(action) - 1}")
    return lines, _kinect(name, f"class {number}", action.reshape(-1, *shape), pku.LAYOUT, start)


def inspect_ucla(path):
    """As `inspect`, for a NW-UCLA json file."""
    joints, label, view = ucla.read_sequence(path)
    lines = [
        f"{path}: NW-UCLA recording, {len(joints)} frames, {ucla.NUM_JOINTS} joints (layout {ucla.LAYOUT}), class {label}, "
        f"view {view}",
        *Values().add(joints).lines(),
    ]
    return lines, _kinect(path.stem, f"class {label}", joints[:, None], ucla.LAYOUT)


def inspect_bvh(path):
    """As `inspect`, for a BVH file; drawn with its End Sites."""
    lines, *drawn = inspect_raw.motion(path, MOST_FRAMES)
    return lines, Sequence(path.stem, "", *drawn)


def _kinect(name, label, joints, layout, first=0):
    return Sequence(name, label, joints, skeleton.parents(layout), skeleton.joint_names(layout), first)


def _own(name, label, joints, layout):
    if joints is None:
        return None
    above, names = (skeleton.parents(layout), skeleton.joint_names(layout)) if layout else (None, None)
    return Sequence(name, label, joints[:MOST_FRAMES], above, names)


def _is_pku(path):
    """Whether the first line of a text file is PKU-MMD's, or none at all."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return len(file.readline(100_000).split()) in (0, 2 * 3 * pku.NUM_JOINTS)


OWN, PICKLES = (".npy", ".mat", ".csv", ".txt"), (".pkl", ".pickle")
KINDS = {".npz": inspect_npz, ".skeleton": inspect_skeleton, ".json": inspect_ucla, ".bvh": inspect_bvh}
KINDS |= dict.fromkeys((*OWN, *PICKLES))


def draw(sequence, gif=None, sheet=None, fps=30, view="front", up=None):
    """Write a `Sequence` as a GIF and as a PNG; by default both, named after it, in the current folder.

    view, up: as in plots.turned. Returns a line per file that says where it is. Raises ValueError if the sequence has no body.
    """
    if gif is None and sheet is None:
        stem = re.sub(r"[^\w.+-]+", "_", sequence.name)[:100].lstrip(".") or "sequence"
        stem += f"_{view}" * (view != "front")
        gif, sheet = Path(f"{stem}.gif"), Path(f"{stem}.png")
    joints = plots.turned(sequence.joints, view, up or sequence.up)
    how = {
        "parents": sequence.parents,
        "side": None if sequence.joint_names is None else plots.sides(sequence.joint_names),
        "title": " · ".join(filter(None, (sequence.name, sequence.label))),
        "fps": fps,
        "frames": np.arange(len(joints)) + sequence.first,
    }
    pictures = {
        gif: lambda file: plots.animate(joints, path=file, **how),
        sheet: lambda file: plots.contact_sheet(joints, **how).savefig(file, format="png", dpi=110),
    }
    lines = []
    for path, write in pictures.items():
        if path is not None:
            old = path.exists()
            with written_aside(path) as file:
                write(file)
            lines.append(f"written: {path}{' (in place of an older one)' if old else ''}")
    return lines


def _file(suffix):
    def path(text):
        if Path(text).suffix.lower() != suffix:
            raise argparse.ArgumentTypeError(f"{text!r} has to end in {suffix}")
        return Path(text)

    return path


def main():
    parser = argparse.ArgumentParser("python -m data.prepare.inspect", description="What is in a file, and how a sequence looks.")
    parser.add_argument(
        "file",
        type=Path,
        help="npz, .skeleton (NTU), skeleton .txt (PKU-MMD), .json (NW-UCLA), .bvh, .pkl "
        "(PYSKL) or a recording of your own: .npy, .mat, .csv, .txt",
    )
    parser.add_argument("--split", choices=("train", "test"), help="of an npz (default: train, or where the name is)")
    parser.add_argument("--index", type=int, help="which sequence is drawn, counted from 0; of a PKU-MMD video: which action")
    parser.add_argument("--name", help="which sequence of an npz is drawn, by name")
    parser.add_argument("--gif", type=_file(".gif"), help="where the moving figure goes; alone: no sheet (default: NAME.gif)")
    parser.add_argument("--sheet", type=_file(".png"), help="where the sheet of frames goes; alone: no GIF (default: NAME.png)")
    parser.add_argument("--fps", type=float, default=30, help="frames per second of the recording (default: 30)")
    parser.add_argument("--view", choices=plots.VIEWS, default="front", help="along z, or along x (default: front)")
    parser.add_argument("--up", choices=plots.UP, help="axis that points upwards (default: y; --up=-y for keypoints of pictures)")
    parser.add_argument("--layout", choices=skeleton.LAYOUTS, help="of a recording of your own; default: by the number of joints")
    add_options(parser, whole=False)
    args = vars(parser.parse_args())
    file, gif, sheet, fps, view, up = (args.pop(key) for key in ("file", "gif", "sheet", "fps", "view", "up"))
    if not 1 <= fps <= 1000:
        parser.error(f"--fps {fps:g}: frames per second, 1 to 1000")
    lines, sequence = inspect(file, **args)
    print(*lines, sep="\n")
    if sequence is not None:
        print(*draw(sequence, gif, sheet, fps, view, up), sep="\n")


if __name__ == "__main__":
    display.end_with_reader()
    cli.run(main)

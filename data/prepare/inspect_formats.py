"""What is in raw files, a function per format: NTU and PKU-MMD skeletons, NW-UCLA, arrays and text of one's own, BVH, pickles.

Each gives (lines of text, the `Sequence` to draw or None), and raises ValueError naming a file that cannot be read.
"""

import re
import reprlib
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from data.prepare import bvh, checks, kinect, pickles, pku, pyskl, transforms, ucla
from data.prepare.array_files import ArrayFormat, read_array
from data.prepare.axes import to_mtvc
from data.prepare.denoise import denoise, motion, noisy_frames
from data.prepare.npz_summary import Values
from data.prepare.skeleton_file import read_skeleton
from feeder import skeleton, units

MOST_FRAMES = 300  # that are drawn of an untrimmed video


@dataclass
class Sequence:
    """What is drawn. joints: (T, M, V, 3) metres. parents, joint_names: (V,) or None. first: number of its first frame. up: axis
    of the joints that points upwards, 'y', '-y' or 'z'."""

    name: str
    label: str
    joints: np.ndarray
    parents: np.ndarray | None
    joint_names: tuple | None
    first: int = 0
    up: str = "y"


def with_layout(name, label, joints, layout, first=0):
    """A `Sequence` whose bones are those of a layout, or '' for none."""
    bones = (skeleton.parents(layout), skeleton.joint_names(layout)) if layout else (None, None)
    return Sequence(name, label, joints, *bones, first)


def refuse_index(path, index):
    if index not in (None, 0):
        raise ValueError(f"{path}: holds one recording, --index {index} chooses nothing in it")


# ---- published data sets ------------------------------------------------------------------------------------------------


def inspect_skeleton(path):
    """An NTU .skeleton file: drawn are its actors, or all bodies if denoising leaves none."""
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
        present = " and ".join(str(actor.any(axis=(1, 2)).sum()) for actor in joints.swapaxes(0, 1))
        lines.append(f"  denoised: {len(joints)} frames, actors: {joints.shape[1]}, seen in {present} frames")
    except ValueError as error:
        lines.append(f"  denoised: left out, {error}; drawn as recorded")
        joints = np.zeros((max(body.end for body in bodies) + 1, len(bodies), *bodies[0].joints.shape[1:]), np.float32)
        for i, body in enumerate(bodies):
            joints[body.start : body.end + 1, i] = body.joints
    action = re.search(r"A(\d{3})$", path.stem)
    label = f"class {int(action[1]) - 1} ({action[0]})" if action else ""
    return lines + Values().add(joints).lines(), with_layout(path.stem, label, joints, layout)


def is_pku(path):
    """Whether the first line of a text file is PKU-MMD's, or none at all."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return len(file.readline(100_000).split()) in (0, pku.NUMBERS)


def inspect_pku(path, index=None):
    """A PKU-MMD skeleton file. With its labels in ../label, `index` is an action; else the beginning counts."""
    frames = pku.read_frames(path)
    if not frames.any():
        raise ValueError(f"{path}: no body in any frame")
    shape = pku.NUM_BODIES, pku.NUM_JOINTS, 3
    present = " and ".join(f"{n:,}" for n in frames.reshape(-1, *shape).any(axis=(2, 3)).sum(axis=0))
    lines = [
        f"{path}: PKU-MMD video, {len(frames):,} frames, {pku.NUM_JOINTS} joints (layout {pku.LAYOUT}), "
        f"bodies: {pku.NUM_BODIES}, seen in {present} frames",
        *Values().add(frames.reshape(-1, *shape)).lines(),
    ]
    labels = pku.label_file(path)
    if not labels.is_file():
        if index is not None:
            raise ValueError(f"{path}: --index {index} chooses an action, but there is no label file {labels}")
        start = frames.any(axis=1).argmax()
        action = frames[start : start + MOST_FRAMES]
        lines += [f"  no label file {labels}", f"drawn: frames {start} to {start + len(action) - 1}"]
        return lines, with_layout(path.stem, "", action.reshape(-1, *shape), pku.LAYOUT, start)
    actions, *remarks = pku.read_instances(path)
    lines += [f"  actions: {len(actions)} of {len({number for number, *_ in actions})} classes"]
    lines += [f"  {line}" for line in sum(remarks, [])]
    if not 0 <= (index or 0) < len(actions):
        raise ValueError(f"{path}: --index {index or 0}: {labels} has {len(actions)} usable actions, counted from 0")
    number, start, action = actions[index or 0]
    end = start + len(action)
    lines.append(f"drawn: --index {index or 0}, class {number}, frames {start} to {end - 1}")
    return lines, with_layout(f"{path.stem}_{start}_{end}", f"class {number}", action.reshape(-1, *shape), pku.LAYOUT, start)


def inspect_ucla(path):
    """A NW-UCLA json file."""
    joints, label, view = ucla.read_sequence(path)
    lines = [
        f"{path}: NW-UCLA recording, {len(joints)} frames, {ucla.NUM_JOINTS} joints (layout {ucla.LAYOUT}), class {label}, "
        f"view {view}",
        *Values().add(joints).lines(),
    ]
    return lines, with_layout(path.stem, f"class {label}", joints[:, None], ucla.LAYOUT)


# ---- recordings of others -----------------------------------------------------------------------------------------------


def inspect_array(path, layout=None, index=None, **form):
    """A .npy, .mat, .csv or .txt file; what preparation would refuse is a line.

    layout: as it is given, or else a likely one if its bones fit. form: of an `ArrayFormat`. index: sample of a .npy of
    (N, C, T, V, M), as ST-GCN and UmURL write it.
    """
    if path.suffix == ".npy":
        array = read_array(path)
        given = " x ".join(map(str, array.shape))
        if array.ndim == 5 and array.shape[1] in (2, 3):
            if not 0 <= (index or 0) < len(array):
                raise ValueError(f"{path}: --index {index}: it has the samples 0 to {len(array) - 1}")
            lines, drawn = _inspect_bodies(to_mtvc(array[index or 0], "CTVM"), path.stem, "", layout)
            what = f"{path}: {given}: samples x coordinates x frames x joints x bodies; drawn: --index {index or 0}, "
            return [what + lines[0], *lines[1:]], drawn
        if array.ndim not in (2, 3, 4) or array.dtype.kind not in "iuf":
            return [f"{path}: {transforms.described(array)}: no recording; labels or counts, perhaps"], None
    refuse_index(path, index)
    num_joints = len(skeleton.parents(layout)) if layout and not form.get("joint_order") else None
    form, doubtful = ArrayFormat(num_joints=num_joints, **form), []
    try:
        bodies = form.read(path)
    except ValueError as error:
        bodies, doubtful = replace(form, checks=False).read(path), [f"  doubtful: {str(error).removeprefix(f'{path}: ')}"]
    lines, drawn = _inspect_bodies(bodies, path.stem, "", layout)
    return [f"{path}: taken for a recording, {lines[0]}", *doubtful, *lines[1:]], drawn


def _inspect_bodies(bodies, name, label, layout):
    """Bodies (M, T, V, C) of whatever unit; the first line says their shape."""
    count, frames, num_joints, dims = bodies.shape
    bodies = transforms.drop_empty(bodies)
    lines = [f"bodies: {count}, {frames} frames ({bodies.shape[1]} with a body), {num_joints} joints, {dims} coordinates"]
    joints = transforms.row(bodies).reshape(bodies.shape[1], len(bodies), num_joints, 3)
    lines += Values().add(joints).lines()
    if dims == 3:
        doubt = units.doubt_unit(units.body_size(bodies[0]), 1.0)
        lines += [f"  unit: {doubt or 'metres, as the size of the body suggests'}"]
    likely = layout or skeleton.layout_of(num_joints, skeleton.KINECTS)
    if likely and dims == 3:
        if len(above := skeleton.parents(likely)) != num_joints:
            raise ValueError(f"--layout {layout} has {len(above)} joints, this recording {num_joints}")
        tree, change = checks.bones(bodies, above)
        fits = tree <= checks.WRONG_TREE
        verdict = "fit" if fits else "do not fit, the joints have another order"
        lines.append(
            f"  layout {likely}: bones {verdict} ({tree:.2f} times "
            f"the shortest that join them) and change their length {change:.2f} times"
        )
        layout = layout or (likely if fits else "")
    return lines, with_layout(name, label, joints[:MOST_FRAMES], layout)


def inspect_bvh(path):
    """A BVH file, drawn with its End Sites, in the unit in which it is most like a person."""
    joints, hierarchy = bvh.read(path)
    unit = units.likely_unit(units.body_size(joints), units=(bvh.UNIT, *units.NAMED, units.CMU))
    names = [name for name, end in zip(hierarchy.names, hierarchy.ends, strict=True) if not end]
    lines = [
        f"{path}: BVH recording, {len(joints)} frames, {1 / hierarchy.frame_time:.5g} a second, "
        f"{len(names)} joints and {np.count_nonzero(hierarchy.ends)} End Sites",
        f"  joints: {', '.join(names)}",
        *Values().add(joints * unit).lines(),
        f"  unit: {units.unit_name(unit) or f'{unit:.5g} m'}, as the size of the body suggests",
        *(f"  {line}" for line in filter(None, checks.standing(checks.extents(joints[None]), unit))),
    ]
    try:
        kinect.kinect_v1(joints[:1], hierarchy.names, hierarchy.parents, path)
        lines.append(f"  --joints {kinect.LAYOUT}: all 20 joints are found or derived")
    except ValueError as error:
        lines.append(f"  --joints {kinect.LAYOUT}: {str(error).removeprefix(f'{path}: ')}")
    drawn = (joints[:MOST_FRAMES] * unit)[:, None]
    return lines, Sequence(path.stem, "", drawn, hierarchy.parents, tuple(hierarchy.names))


def _described(content):
    """What a pickle holds, in words."""
    if isinstance(content, np.ndarray):
        return f"an array, {transforms.described(content)}"
    size = f" of {len(content):,}" if isinstance(content, (list, tuple, dict)) else ""
    return f"a {type(content).__name__}{size}: {' '.join(reprlib.repr(content).split())}"


def inspect_pickle(path, layout=None, index=None):
    """A pickle, of which nothing is executed: PYSKL's annotations, with or without splits, or anything. index: which of them."""
    content = pickles.load(path)
    split, annotations = {}, content
    if type(content) is dict and "annotations" in content:
        split, annotations = content.get("split"), content["annotations"]
    if type(annotations) is not list or not annotations or type(annotations[0]) is not dict:
        return [f"{path}: {_described(content)}; no annotations as PYSKL has them"], None
    lines = [f"{path}: {len(annotations):,} annotations as PYSKL has them, " + ("with splits" if split else "without splits")]
    if type(split) is dict:
        lines += [f"  split {str(name)[:80]!r}: {len(names):,}" for name, names in split.items() if type(names) in (list, tuple)]
    usable, wrong = {}, []
    for i, annotation in enumerate(annotations):
        try:
            usable[i] = pyskl.check(annotation)
        except ValueError as error:
            wrong.append(f"annotation {i}: {error}")
    shapes = Counter(bodies.shape[2:] for _, _, bodies in usable.values())
    lines += [f"  {count:,} of {joints} joints x {dims} coordinates" for (joints, dims), count in shapes.most_common(5)]
    if labels := {label for _, label, _ in usable.values()}:
        lines.append(f"  classes: {len(labels)}, {min(labels)} to {max(labels)}")
    if wrong:
        lines.append(f"  cannot be used: {len(wrong):,}, the first: {wrong[0]}")
    if index is not None and index not in usable:
        raise ValueError(f"{path}: --index {index}: no annotation that can be used; there are {len(annotations)}, counted from 0")
    if not usable:
        return lines, None
    index = next(iter(usable)) if index is None else index
    name, label, bodies = usable[index]
    more, drawn = _inspect_bodies(bodies, name, f"class {label}", layout)
    return [*lines, f"drawn: --index {index}, {name}, class {label}, {more[0]}", *more[1:]], drawn

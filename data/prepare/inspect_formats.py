"""Describe raw files, a function per format: NTU and PKU-MMD skeletons, NW-UCLA, your own arrays and text, BVH, pickles.

Each returns (lines of text, the `Sequence` to draw or None), and raises ValueError naming a file that cannot be read.
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
from feeder.labels import ordered

MOST_FRAMES = 300  # drawn of a long recording


@dataclass
class Sequence:
    """A sequence to draw. joints: (T, M, V, 3). parents, joint_names: (V,) or None. first: number of its first frame. up: axis
    that points up, 'y', '-y' or 'z'. unit: of the joints."""

    name: str
    label: str
    joints: np.ndarray
    parents: np.ndarray | None
    joint_names: tuple | None
    first: int = 0
    up: str = "y"
    unit: str = units.METRES


def with_layout(name, label, joints, layout, first=0):
    """A `Sequence` with the bones of a layout, without bones if that is ''."""
    bones = (skeleton.parents(layout), skeleton.joint_names(layout)) if layout else (None, None)
    return Sequence(name, label, joints, *bones, first)


def refuse_index(path, index):
    if index not in (None, 0):
        raise ValueError(f"{path}: holds one recording, so --index {index} does not exist")


# ---- published data sets ------------------------------------------------------------------------------------------------


def inspect_skeleton(path):
    """An NTU .skeleton file; its actors are drawn, or all bodies if denoising leaves none."""
    layout = "kinect_v2"
    num_frames, bodies = read_skeleton(path)
    if not bodies:
        raise ValueError(f"{path}: no body in any frame; preparation leaves it out")
    lines = [f"{path}: NTU recording, {num_frames} frames with a body, 25 joints (layout {layout}), bodies: {len(bodies)}"]
    for body in bodies:
        wide = 100 * noisy_frames(body.joints).mean()
        lines.append(
            f"  body {body.id}: frames {body.start} to {body.end} ({len(body.joints)}), motion "
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
    """Whether the first line of a text file has as many numbers as PKU-MMD's, or is empty."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return len(file.readline(100_000).split()) in (0, pku.NUMBERS)


def inspect_pku(path, index=None):
    """A PKU-MMD skeleton file. Action `index` is drawn, or the first frames if there is no label file in ../label."""
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
    """An NW-UCLA JSON file."""
    joints, label, view = ucla.read_sequence(path)
    lines = [
        f"{path}: NW-UCLA recording, {len(joints)} frames, {ucla.NUM_JOINTS} joints (layout {ucla.LAYOUT}), class {label}, "
        f"view {view}",
        *Values().add(joints).lines(),
    ]
    return lines, with_layout(path.stem, f"class {label}", joints[:, None], ucla.LAYOUT)


# ---- other recordings ---------------------------------------------------------------------------------------------------


def inspect_array(path, layout=None, index=None, **form):
    """A .npy, .mat, .csv, .txt or .skeleton file; the reason for which the preparation would not accept it is one of the lines.

    layout: by default one with this number of joints whose bones fit. form: fields of `ArrayFormat`. index: sample of a .npy of
    ST-GCN or UmURL, (N, C, T, V, M).
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
            return [f"{path}: {transforms.describe_array(array)}: not a recording; labels or counts, perhaps"], None
    refuse_index(path, index)
    num_joints = len(skeleton.parents(layout)) if layout and not form.get("joint_order") else None
    form, warnings = ArrayFormat(num_joints=num_joints, **form), []
    try:
        bodies = form.read(path)
    except ValueError as error:
        bodies, warnings = replace(form, checks=False).read(path), [f"  warning: {str(error).removeprefix(f'{path}: ')}"]
    lines, drawn = _inspect_bodies(bodies, path.stem, "", layout)
    return [f"{path}: read as a recording, {lines[0]}", *warnings, *lines[1:]], drawn


def _inspect_bodies(bodies, name, label, layout):
    """Bodies (M, T, V, C) in any unit; the first line is their shape."""
    count, frames, num_joints, dims = bodies.shape
    bodies = transforms.drop_empty(bodies)
    lines = [f"bodies: {count}, {frames} frames ({bodies.shape[1]} with a body), {num_joints} joints, {dims} coordinates"]
    joints = transforms.row(bodies).reshape(bodies.shape[1], len(bodies), num_joints, 3)
    lines += Values().add(joints).lines("coordinates")
    unit = units.unit_of({"coordinates": dims})
    if dims == 3:
        doubt = units.doubt_unit(units.body_size(bodies[0]), 1.0)
        unit = "unknown unit" if doubt else unit
        lines += [f"  unit: {doubt or 'metres, as the size of the body suggests'}"]
    likely = layout or skeleton.layout_of(num_joints, skeleton.KINECTS)
    if likely and dims == 3:
        if len(above := skeleton.parents(likely)) != num_joints:
            raise ValueError(f"--layout {layout} has {len(above)} joints, this recording {num_joints}")
        tree, change = checks.bone_statistics(bodies, above)
        fits = tree <= checks.WRONG_TREE
        verdict = "fit" if fits else "do not fit, the joints are in another order"
        lines.append(
            f"  layout {likely}: bones {verdict} ({tree:.2f} times as long as "
            f"the shortest that connect the joints); their lengths change {change:.2f} times"
        )
        layout = layout or (likely if fits else "")
    return lines, replace(with_layout(name, label, joints[:MOST_FRAMES], layout), unit=unit)


def inspect_bvh(path):
    """A BVH file, drawn with its End Sites, in the unit in which its size is closest to a person's."""
    joints, hierarchy = bvh.read(path)
    unit = units.likely_unit(units.body_size(joints), units=(bvh.UNIT, *units.NAMED, units.CMU))
    names = [name for name, end in zip(hierarchy.names, hierarchy.ends, strict=True) if not end]
    lines = [
        f"{path}: BVH recording, {len(joints)} frames, {1 / hierarchy.frame_time:.5g} a second, "
        f"{len(names)} joints and {np.count_nonzero(hierarchy.ends)} End Sites",
        f"  joints: {', '.join(names)}",
        *Values().add(joints * unit).lines(),
        f"  unit: {units.unit_name(unit) or f'{unit:.5g} m'}, as the size of the body suggests",
        *(f"  {line}" for line in filter(None, checks.standing_warnings(checks.extents(joints[None]), unit))),
    ]
    try:
        kinect.kinect_v1(joints[:1], hierarchy.names, hierarchy.parents, path)
        lines.append(f"  --joints {kinect.LAYOUT}: all 20 joints are found or computed")
    except ValueError as error:
        lines.append(f"  --joints {kinect.LAYOUT}: {str(error).removeprefix(f'{path}: ')}")
    drawn = (joints[:MOST_FRAMES] * unit)[:, None]
    return lines, Sequence(path.stem, "", drawn, hierarchy.parents, tuple(hierarchy.names))


def _describe(content):
    """The type and content of a pickle, shortened."""
    if isinstance(content, np.ndarray):
        return f"an array, {transforms.describe_array(content)}"
    size = f" of {len(content):,}" if isinstance(content, (list, tuple, dict)) else ""
    return f"a {type(content).__name__}{size}: {' '.join(reprlib.repr(content).split())}"


def inspect_pickle(path, layout=None, index=None):
    """A pickle, without executing it: PYSKL's annotations, with or without splits, or other content. index: of an annotation."""
    content = pickles.load(path)
    split, annotations = {}, content
    if type(content) is dict and "annotations" in content:
        split, annotations = content.get("split"), content["annotations"]
    if type(annotations) is not list or not annotations or type(annotations[0]) is not dict:
        return [f"{path}: {_describe(content)}; not PYSKL's annotations"], None
    lines = [f"{path}: {len(annotations):,} annotations of PYSKL's form, " + ("with splits" if split else "without splits")]
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
    if labels := ordered({str(label) for _, label, _ in usable.values()}):
        lines.append(f"  classes: {len(labels)}, {labels[0]} to {labels[-1]}")
    if wrong:
        lines.append(f"  cannot be used: {len(wrong):,}, the first: {wrong[0]}")
    if index is not None and index not in usable:
        raise ValueError(f"{path}: --index {index}: not a usable annotation; there are {len(annotations)}, counted from 0")
    if not usable:
        return lines, None
    index = next(iter(usable)) if index is None else index
    name, label, bodies = usable[index]
    more, drawn = _inspect_bodies(bodies, name, f"class {label}", layout)
    return [*lines, f"drawn: --index {index}, {name}, class {label}, {more[0]}", *more[1:]], drawn

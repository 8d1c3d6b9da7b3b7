"""What is in raw files of others: arrays, MATLAB, text and BVH files of a recording, and pickles. See data.prepare.inspect."""

from collections import Counter
from dataclasses import replace

import numpy as np

from data.prepare import axes_and_units, bvh, doubts, kinect, pickles, sequences
from data.prepare.npz_summary import Values
from data.prepare.reading import arrays
from data.pyskl.pyskl_gendata import check
from feeder import skeleton

LIKELY = {25: "kinect_v2", 20: "kinect_v1"}  # V -> the layout that so many joints often have


def recording(path, reading, layout=None, index=None):
    """(lines, (T, M, V, 3) or None if nothing can be drawn, layout or '') of a .npy, .mat, .csv or .txt file.

    What would be refused by preparation is a line; `layout` as it is given, or else a likely one if its bones fit. index: sample
    of a .npy of (N, C, T, V, M), as ST-GCN and UmURL write it. Raises ValueError naming the file if it cannot be read.
    """
    if path.suffix == ".npy":
        array = arrays(path)
        given = " x ".join(map(str, array.shape))
        if array.ndim == 5 and array.shape[1] in (2, 3):
            if not 0 <= (index or 0) < len(array):
                raise ValueError(f"{path}: --index {index}: it has the samples 0 to {len(array) - 1}")
            lines, joints, layout = _seen(np.moveaxis(array[index or 0], (3, 1, 2, 0), (0, 1, 2, 3)), layout)
            about = f"{path}: {given}: samples x coordinates x frames x joints x bodies; drawn: --index {index or 0}, "
            return [about + lines[0], *lines[1:]], joints, layout
        if array.ndim not in (2, 3, 4) or array.dtype.kind not in "iuf":
            return (
                [f"{path}: {given or 'a single value'} of type {array.dtype}: no recording; labels or counts, perhaps"],
                None,
                "",
            )
    if index not in (None, 0):
        raise ValueError(f"{path}: holds one recording, --index {index} chooses nothing in it")
    try:
        bodies, doubt = reading.read(path), []
    except ValueError as error:
        bodies, doubt = replace(reading, checks=False).read(path), [f"  doubtful: {str(error).removeprefix(f'{path}: ')}"]
    lines, joints, layout = _seen(bodies, layout)
    return [f"{path}: taken for a recording, {lines[0]}", *doubt, *lines[1:]], joints, layout


def _seen(bodies, layout):
    """As `recording`, of (M, T, V, C); the first line says its shape."""
    count, frames, num_joints, dims = bodies.shape
    bodies = sequences.seen(bodies)
    lines = [f"bodies: {count}, {frames} frames ({bodies.shape[1]} with a body), {num_joints} joints, {dims} coordinates"]
    joints = sequences.row(bodies).reshape(bodies.shape[1], len(bodies), num_joints, 3)
    lines += Values().add(joints).lines()
    if dims == 3:
        lines += [f"  unit: {doubts.unit(doubts.extent(bodies), 1.0) or 'metres, as the size of the body suggests'}"]
    likely = layout or LIKELY.get(num_joints)
    if likely and dims == 3:
        if len(above := skeleton.parents(likely)) != num_joints:
            raise ValueError(f"--layout {layout} has {len(above)} joints, this recording {num_joints}")
        tree, change = doubts.bones(bodies, above)
        fits = tree <= doubts.WRONG_TREE
        verdict = "fit" if fits else "do not fit, the joints have another order"
        lines.append(
            f"  layout {likely}: bones {verdict} ({tree:.2f} times "
            f"the shortest that join them) and change their length {change:.2f} times"
        )
        layout = layout or (likely if fits else "")
    return lines, joints, layout or ""


def motion(path, most):
    """(lines, the first `most` frames (T, 1, V, 3) in metres, parents, joint names) of a BVH file, End Sites among the joints.

    Its unit is that in which it is most like a person. Raises ValueError naming the file if it cannot be read.
    """
    found = bvh.read(path)
    skeleton, bodies = found.skeleton, found.joints[None]
    unit = axes_and_units.likely_unit(bodies, axes_and_units.PERSON_SIZE, bvh.UNIT, *sequences.UNITS.values(), doubts.CMU)
    word = next((name for name, metres in sequences.UNITS.items() if metres == unit), f"{unit:.5g} m")
    joints = (found.joints * unit)[:, None]
    lines = [
        f"{path}: BVH recording, {len(joints)} frames, {1 / skeleton.frame_time:.5g} a second, "
        f"{np.count_nonzero(~skeleton.ends)} joints and {np.count_nonzero(skeleton.ends)} End Sites",
        f"  joints: {', '.join(name for name, end in zip(skeleton.names, skeleton.ends, strict=True) if not end)}",
        *Values().add(joints).lines(),
        f"  unit: {word}, as the size of the body suggests",
        *(f"  {line}" for line in filter(None, doubts.standing(doubts.extents(bodies), unit))),
    ]
    try:
        kinect.kinect_v1(found.joints[:1], skeleton.names, skeleton.parents, path)
        lines.append(f"  --joints {kinect.LAYOUT}: all 20 joints are found or derived")
    except ValueError as error:
        lines.append(f"  --joints {kinect.LAYOUT}: {str(error).removeprefix(f'{path}: ')}")
    return lines, joints[:most], skeleton.parents, tuple(skeleton.names)


def pickle(path, layout=None, index=None):
    """As `recording`, for a pickle, of which nothing is executed: PYSKL's annotations, with or without splits, or anything.

    index: which annotation. Also gives its name and label.
    """
    content = pickles.load(path)
    split, annotations = {}, content
    if type(content) is dict and "annotations" in content:
        split, annotations = content.get("split"), content["annotations"]
    if type(annotations) is not list or not annotations or type(annotations[0]) is not dict:
        return [f"{path}: {_form(content)}; no annotations as PYSKL has them"], None, "", ("", "")
    lines = [f"{path}: {len(annotations):,} annotations as PYSKL has them, " + ("with splits" if split else "without splits")]
    if type(split) is dict:
        lines += [f"  split {str(name)[:80]!r}: {len(names):,}" for name, names in split.items() if type(names) in (list, tuple)]
    usable, shapes, labels, wrong = {}, Counter(), set(), []
    for i, annotation in enumerate(annotations):
        try:
            name, label, bodies = check(annotation)
        except ValueError as error:
            wrong.append(f"annotation {i}: {error}")
            continue
        usable[i] = name, label, bodies
        shapes[bodies.shape[2:]] += 1
        labels.add(label)
    lines += [f"  {count:,} of {joints} joints x {dims} coordinates" for (joints, dims), count in shapes.most_common(5)]
    if labels:
        lines.append(f"  classes: {len(labels)}, {min(labels)} to {max(labels)}")
    if wrong:
        lines.append(f"  cannot be used: {len(wrong):,}, the first: {wrong[0]}")
    if index is not None and index not in usable:
        raise ValueError(f"{path}: --index {index}: no annotation that can be used; there are {len(annotations)}, counted from 0")
    if not usable:
        return lines, None, "", ("", "")
    index = next(iter(usable)) if index is None else index
    name, label, bodies = usable[index]
    more, joints, layout = _seen(bodies, layout)
    return (
        [*lines, f"drawn: --index {index}, {name}, class {label}, {more[0]}", *more[1:]],
        joints,
        layout,
        (name, f"class {label}"),
    )


def _form(content):
    """What a pickle holds, in a few words."""
    if isinstance(content, dict):
        return f"a dict with {', '.join(map(repr, list(content)[:8]))}"[:200]
    if isinstance(content, list | tuple):
        parts = ", ".join(
            f"{type(part).__name__}{f' of {len(part):,}' if hasattr(part, '__len__') else ''}" for part in content[:4]
        )
        return f"a {type(content).__name__} of {len(content):,}: {parts}"[:200]
    if isinstance(content, np.ndarray):
        return f"an array, {' x '.join(map(str, content.shape))} of type {content.dtype}"
    return f"a {type(content).__name__}"

"""Recordings with fields (data.prepare.recordings) become one npz: what is train and what is test, classes, doubts."""

import json
import re
from collections import Counter

import numpy as np

from data.prepare import batch, doubts, sequences
from feeder.npz import Split, write_dataset

SIDES = ("train", "test")


def write(
    source, path, found, skeleton, label_keys, group_key, test_groups, unit, pose, reading, skipped, remarks, standing=False
):
    """Write the npz `path` of recordings; without label_keys it has no labels, and without test_groups then no test set, either.

    source: what to call where they come from. pose: center, body_frame and min_max, see data.prepare.sequences. reading: how the
    files were read. skipped: gets what cannot be used, and then `remarks`. standing: bodies are of people, most of whom stand.
    Raises ValueError if nothing is left, or nothing for one of the sides.
    """
    fields = set.intersection(*(set(recording.fields) for recording in found)) if found else set()
    group_key = group_key or next((key for key in ("group", "subject") if key in fields), None)
    for key in (*label_keys, *filter(None, [group_key])):
        if found and key not in fields:
            raise ValueError(f"{source}: no field {key!r}; there are {', '.join(sorted(fields))}")
    if absent := set(test_groups) - {recording.fields[group_key] for recording in found if group_key}:
        raise ValueError(f"--test_groups {sorted(absent)[0]}: no recording is of this group")
    looks = Looks(skeleton, standing)
    facts = examine(source, found, label_keys, group_key, test_groups, looks, skipped, remarks)
    center, body_frame, min_max = pose
    num_joints = facts[0][1][5]
    origin, axes = sequences.pose(center, body_frame, skeleton.joint_names, num_joints)

    def row(recording):
        try:
            return sequences.row(load(recording), unit, origin, axes, min_max)
        except ValueError as error:
            raise ValueError(f"{recording.where}: {error}") from error

    if axes is not None:  # not every body has them
        facts = [fact for fact, _ in batch.each(lambda fact: row(fact[0]), facts, "turning", skipped)]
        if not facts:
            raise ValueError(f"{source}: no recording can be turned; the first: {skipped.reasons[-1]}")
    number = classes([result[0] for _, result in facts])
    num_bodies, num_frames = max(result[4] for _, result in facts), max(result[3] for _, result in facts)
    warnings = looks.lines(unit, facts[0][1][6]) if reading.checks else []
    splits, absent = {}, {}
    for key in SIDES if label_keys or test_groups else SIDES[:1]:
        here = [(recording, result) for recording, result in facts if result[1] == key]
        if not here:
            raise ValueError(f"{source}: no recording that can be used is for {key}")
        labels = np.array([number[result[0]] for _, result in here]) if label_keys else None
        arrays = (row(recording) for recording, _ in here)
        splits[key] = Split([recording.name for recording, _ in here], labels, arrays, [result[2] for _, result in here])
        absent[key] = [" ".join(label) for label, i in number.items() if label_keys and i not in labels]
    write_dataset(
        path,
        splits,
        num_frames,
        len(number),
        num_joints,
        num_bodies,
        skeleton.layout,
        class_names=np.array([" ".join(label) for label in number]) if label_keys else None,
        joint_names=None if skeleton.layout else skeleton.joint_names,
        parents=None if skeleton.layout else skeleton.parents,
        center=-1 if origin is None else origin,
        body_frame=axes,
        min_max=int(min_max) or None,
        body_size=looks.size() * unit if min_max else None,
        unit=unit,
        coordinates=facts[0][1][6],
        how=json.dumps(reading.plain()) if reading.plain() else None,
    )
    counts = ", ".join(f"{len(split.names):,} {key}" for key, split in splits.items())
    kinds = f"{len(number)} classes" if label_keys else "no labels"
    notes = [", z is 0"] * (facts[0][1][6] == 2) + ["; no bones: see --layout and --joints"] * (skeleton.parents is None)
    print(f"{path}: {counts}, {kinds}, up to {num_frames} frames, {num_bodies} bodies, {num_joints} joints", *notes, sep="")
    if label_keys and list(number) != [(str(i),) for i in range(len(number))]:
        shown = [f"{i} = {' '.join(label)!r}" for label, i in number.items()]
        print("  classes:", ", ".join(shown[:4]) + (f", ... {shown[-1]}" if len(shown) > 4 else ""))
    for key, missing in absent.items():
        if missing:
            print(f"  {key} has no sample of {len(missing)} classes: {', '.join(missing[:10])}")
    for warning in warnings:
        print(f"  warning: {warning}")


def side(recording, group_key, test_groups):
    """'train' or 'test'. Raises ValueError if the recording does not say which."""
    if test_groups:
        if group_key is None:
            raise ValueError(f"{recording.where}: has no field group or subject for --test_groups; name one with --group_key")
        return "test" if recording.fields[group_key] in test_groups else "train"
    word = recording.fields.get("split")
    if word not in SIDES:
        raise ValueError(
            f"{recording.where}: {recording.name!r}: split "
            + (
                f"{word!r} is neither train nor test"
                if word
                else "is missing; it is train or test, or --test_groups says which groups are test"
            )
        )
    return word


def classes(labels):
    """[(label, ...)] -> {label: class from 0}: the different labels in order, as numbers where all of them are numbers."""
    different = set(labels)
    numeric = [all(re.fullmatch(r"-?\d+", label[i]) for label in different) for i in range(len(labels[0]))]
    ordered = sorted(different, key=lambda label: [int(x) if n else x for x, n in zip(label, numeric, strict=True)])
    return {label: i for i, label in enumerate(ordered)}


def examine(source, found, label_keys, group_key, test_groups, looks, skipped, remarks=()):
    """Read every recording once: [(recording, (label, side, group, T, M, V, C)), ...] of those that can be used.

    looks: a `Looks`, which gets to see them. remarks go to `skipped` after what is wrong with recordings. Raises ValueError
    naming `source` if there are none.
    """
    facts, names, doubtful = [], {}, []
    expected = looks.skeleton.num_joints()

    def fact(recording):
        if recording.name in names:
            raise ValueError(f"{recording.where}: {recording.name!r} is the name of {names[recording.name]}, too")
        if len(recording.name) > sequences.MAX_NAME:
            raise ValueError(f"{recording.where}: its name is longer than {sequences.MAX_NAME} characters")
        label = tuple(recording.fields[key] for key in label_keys)
        if not all(label):
            raise ValueError(f"{recording.where}: {recording.name!r}: has no label")
        which = side(recording, group_key, test_groups) if label_keys or test_groups else SIDES[0]
        group = recording.fields.get(group_key) or recording.name
        try:
            bodies = load(recording)
        except doubts.Doubt as error:
            doubtful.append(error)
            raise
        if expected and bodies.shape[2] != expected:
            raise ValueError(f"{recording.where}: {bodies.shape[2]} joints, the skeleton has {expected}")
        names[recording.name] = recording.where
        looks.add(recording.where, bodies)
        num_bodies, num_frames, *shape = bodies.shape
        return label, which, group, num_frames, num_bodies, *shape

    for recording, result in batch.each(fact, found, "reading", skipped):
        facts.append((recording, result))
    for remark in remarks:
        skipped.add(remark)
    if not facts:
        reason = f"; the first: {skipped.reasons[0]}" if skipped.reasons else ""
        raise ValueError(f"{source}: no recording can be used{reason}")
    if len(doubtful) > len(facts):
        share = f"{len(doubtful)} of {len(found)} recordings look misread, so the others may be, too"
        raise ValueError(f"{source}: {share}; the first: {doubtful[0]}")
    most = Counter(result[5:] for _, result in facts).most_common(1)[0][0]
    for recording, result in facts:
        if result[5:] != most:
            skipped.add(f"{recording.where}: {result[5]} joints x {result[6]} coordinates, most have {most[0]} x {most[1]}")
    return [(recording, result) for recording, result in facts if result[5:] == most]


class Looks:
    """How large the bodies of all recordings are and how their bones are, of which the whole data set is doubted.

    standing: whether they are of people, most of whom stand.
    """

    def __init__(self, skeleton, standing=False):
        self.skeleton, self.standing, self.sizes, self.extents, self.trees, self.changing = skeleton, standing, [], [], [], []

    def add(self, where, bodies):
        self.extents.append(doubts.extents(bodies))
        self.sizes.append(doubts.extent(bodies))
        if self.skeleton.parents is not None and bodies.shape[3] == 3:
            tree, change = doubts.bones(bodies, self.skeleton.parents)
            self.trees.append(tree)
            self.changing += [where] * bool(change > doubts.CHANGE)

    def size(self):
        return float(np.median(self.sizes))

    def lines(self, unit, dims):
        """Warnings. Raises ValueError if the bones are not those of the layout."""
        lines = [doubts.unit(self.size(), unit)] if dims == 3 and not self.standing else []
        if self.standing:
            lines = doubts.standing(np.median(self.extents, axis=0), unit)
        if self.trees and (tree := np.median(self.trees)) > doubts.WRONG_TREE:
            layout = self.skeleton.layout
            line = f"bones are {tree:.1f} times as long as the shortest that join these joints, so the joints have another order"
            if layout:
                raise ValueError(f"--layout {layout}: {line}; --joint_order puts them right, --no_checks takes them as they are")
            lines.append(f"{line} than 'parents' says")
        if self.changing:
            count, all_of_them = len(self.changing), len(self.sizes)
            lines.append(
                f"{count} of {all_of_them} recordings have bones that change their length {doubts.CHANGE} times or more: "
                f"perhaps misread; the first: {self.changing[0]}"
            )
        return list(filter(None, lines))


def load(recording):
    """(M, T, V, C) of a recording, what is empty left out. Raises ValueError naming it."""
    try:
        return sequences.seen(recording.load())
    except doubts.Doubt:
        raise
    except ValueError as error:
        known = str(error).startswith(recording.where)
        raise ValueError(str(error) if known else f"{recording.where}: {error}") from error

"""Write the recordings of data.prepare.custom_recordings as one npz: splits, classes, and warnings about what looks wrong."""

import json
import re
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from data.prepare import checks, parallel, transforms
from data.prepare.custom_recordings import Recording
from feeder import units
from feeder.labels import ordered
from feeder.npz import Split, write_dataset

SPLITS = ("train", "test")
MISSING = 0.002  # share of the joints that may be 0 by chance


@dataclass
class UsableRecording:
    """A recording that can be used. label: a string for each label key; split: one of SPLITS; shape: (M, T, V, C)."""

    recording: Recording
    label: tuple
    split: str
    group: str
    shape: tuple


def write(
    path,
    recordings,
    skeleton,
    skipped,
    source,
    label_keys=(),
    group_key=None,
    test_groups=(),
    test_ratio=None,
    split_seed=0,
    unit=1.0,
    center=None,
    body_frame=None,
    min_max=False,
    form=None,
    remarks=(),
    standing=False,
):
    """Write the npz `path`. Without label_keys it has no labels, and a test set only with test_groups or test_ratio.

    source: where the recordings come from, for messages. test_ratio, split_seed: see `draw_test_set`. unit: metres per unit.
    center, body_frame, min_max: see transforms.origin_and_frame_joints and row. form: the `ArrayFormat` with which they were
    read. skipped: unusable recordings, and then `remarks`, are added to it. standing: most bodies stand upright. Raises
    ValueError if no recording, or none for training or testing, can be used.
    """
    fields = set.intersection(*(set(recording.fields) for recording in recordings)) if recordings else set()
    group_key = group_key or next((key for key in ("group", "subject") if key in fields), None)
    for key in (*label_keys, *filter(None, [group_key])):
        if recordings and key not in fields:
            raise ValueError(f"{source}: no field {key!r}; there are {', '.join(sorted(fields))}")
    groups = {recording.fields[group_key] for recording in recordings if group_key}
    if recordings and (absent := set(test_groups) - groups):
        there = ", ".join(sorted(groups)[:20]) + (", ..." if len(groups) > 20 else "")
        raise ValueError(f"--test_groups {min(absent)}: no recording is of this group; there are {there or 'none'}")
    if test_ratio and recordings:
        recordings = draw_test_set(source, recordings, label_keys, group_key, test_ratio, split_seed)
    # with labels a recording says whether it is for testing, unless all are for training
    says = label_keys and any(recording.fields.get("split") != SPLITS[0] for recording in recordings)
    with_test = test_groups or test_ratio or says
    if skeleton.num_joints() or body_frame == []:  # raises before minutes of reading
        transforms.origin_and_frame_joints(center, body_frame, skeleton.joint_names, skeleton.num_joints())
    statistics = BodyStatistics(skeleton, standing)
    samples = read_samples(source, recordings, label_keys, group_key, test_groups, with_test, statistics, skipped, remarks)
    *_, num_joints, dims = samples[0].shape
    origin, frame_joints = transforms.origin_and_frame_joints(center, body_frame, skeleton.joint_names, num_joints)

    def row(sample):
        with parallel.naming(sample.recording.where):
            return transforms.row(load(sample.recording), unit, origin, frame_joints, min_max)

    if frame_joints is not None:  # leave out bodies that have no body frame
        before = len(skipped.reasons)
        samples = [sample for sample, _ in parallel.each(row, samples, "rotating", skipped)]
        if not samples:
            raise ValueError(f"{source}: no recording has a body frame; the first: {skipped.reasons[before]}")
    number = number_classes({sample.label for sample in samples})
    num_bodies, num_frames = (max(sample.shape[axis] for sample in samples) for axis in (0, 1))
    doubts = statistics.warnings(unit, dims) if form.checks else []
    splits, missing = {}, {}
    for split in SPLITS if with_test else SPLITS[:1]:
        chosen = [sample for sample in samples if sample.split == split]
        if not chosen:
            raise ValueError(f"{source}: no usable recording is for {split}")
        labels = np.array([number[sample.label] for sample in chosen]) if label_keys else None
        names, groups = [sample.recording.name for sample in chosen], [sample.group for sample in chosen]
        splits[split] = Split(names, labels, map(row, chosen), groups, exact=True)
        missing[split] = [" ".join(label) for label, i in number.items() if label_keys and i not in labels]
    write_dataset(
        path,
        splits,
        num_frames,
        len(number),
        num_joints,
        num_bodies,
        skeleton.layout,
        class_names=[" ".join(label) for label in number] if label_keys else None,
        joint_names=None if skeleton.layout else skeleton.joint_names,
        parents=None if skeleton.layout else skeleton.parents,
        center=-1 if origin is None else origin,
        body_frame=frame_joints,
        min_max=int(min_max) or None,
        body_size=statistics.size() * unit if min_max else None,
        unit=unit,
        coordinates=dims,
        how=json.dumps(form.as_dict()) if form.as_dict() else None,
    )
    counts = ", ".join(f"{len(split.names):,} {key}" for key, split in splits.items())
    kinds = f"{len(number)} classes" if label_keys else "no labels"
    notes = [", z is 0"] * (dims == 2) + ["; no bones: see --layout and --joints"] * (skeleton.parents is None)
    print(f"{path}: {counts}, {kinds}, up to {num_frames} frames, {num_bodies} bodies, {num_joints} joints", *notes, sep="")
    if label_keys and not with_test:
        print("  note: no recording is for testing; the stages with labels need a test set, or --val_groups")
    if label_keys and list(number) != [(str(i),) for i in range(len(number))]:
        named = [f"{i} = {' '.join(label)!r}" for label, i in number.items()]
        print("  classes:", ", ".join(named[:4]) + (f", ... {named[-1]}" if len(named) > 4 else ""))
    for split, labels in missing.items():
        if labels:
            print(f"  {split} has no recording of {len(labels)} classes: {', '.join(labels[:10])}")
    frames, rows = sum(sample.shape[1] for sample in samples), num_frames * len(samples)
    if rows > 4 * frames and path.stat().st_size > 2**30:
        size = path.stat().st_size / 2**30
        doubts = [*doubts, f"{1 - frames / rows:.0%} of {size:.1f} GiB are padding to {num_frames} frames; --window cuts"]
    for doubt in doubts:
        print(f"  warning: {doubt}")


def draw_test_set(source, recordings, label_keys, group_key, ratio, seed):
    """The recordings with the field 'split', drawn at random: about this ratio is for testing, whole groups, and of each class
    alike as far as that can be. Recordings without a group are drawn one by one.

    Raises ValueError if some have a split already, or if there are too few groups or recordings.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # imported here because it is slow to import

    if any("split" in recording.fields for recording in recordings):
        raise ValueError(f"{source}: has a field 'split' already; leave out --test_ratio")
    labels = [" ".join(recording.fields[key] for key in label_keys) for recording in recordings]
    groups = [recording.fields.get(group_key) or recording.name for recording in recordings]
    # n parts of like classes, of which k together come nearest to the ratio: 3 of 10 for 0.3
    most = min(len(set(groups)), max(Counter(labels).values()))  # parts that can be made
    if most < 2:
        raise ValueError(f"{source}: --test_ratio {ratio}: needs two groups, and two recordings of a class")
    n = min(Fraction(ratio).limit_denominator(20).denominator, most)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes of few recordings; `write` names those without any
        folds = StratifiedGroupKFold(n, shuffle=True, random_state=seed).split(labels, labels, groups)
        parts = [set(test.tolist()) for _, test in folds]
    unions = [set().union(*parts[i:k]) for i in range(n) for k in range(i + 1, n + 1) if k - i < n]
    drawn = min(unions, key=lambda union: abs(len(union) - ratio * len(recordings)))
    chosen = sorted({groups[i] for i in drawn})
    alone = all(re.fullmatch(rf"{re.escape(group)}(_\d+_\d+)?", r.name) for r, group in zip(recordings, groups, strict=True))
    people = "one by one" if alone else f"{group_key} {', '.join(chosen[:10])}{', ...' if len(chosen) > 10 else ''}"
    print(f"{source}: {len(drawn):,} of {len(recordings):,} recordings drawn for testing (seed {seed}): {people}")
    if alone:  # each recording, perhaps in pieces, is a group of its own
        print("  note: a person may be in both sets, which makes a test easier; a field group or subject keeps people apart")
    return [replace(recording, fields=recording.fields | {"split": SPLITS[i in drawn]}) for i, recording in enumerate(recordings)]


def choose_split(recording, group_key, test_groups):
    """'train' or 'test', from the recording's group or its field 'split'. Raises ValueError if it has neither."""
    if test_groups:
        if group_key is None:
            raise ValueError(f"{recording.where}: has no field group or subject for --test_groups; --group_key names another")
        return "test" if recording.fields[group_key] in test_groups else "train"
    split = recording.fields.get("split")
    if split in SPLITS:
        return split
    wrong = f"{split!r} is neither train nor test" if split else "is missing; give train or test, --test_groups or --test_ratio"
    raise ValueError(f"{recording.where}: {recording.name!r}: split {wrong}")


def number_classes(labels):
    """{(string, ...)} -> {label: class from 0}, sorted: as numbers if all are numbers."""
    columns = [ordered(set(column)) for column in zip(*labels, strict=True)]
    in_order = sorted(labels, key=lambda label: [column.index(text) for column, text in zip(columns, label, strict=True)])
    return {label: i for i, label in enumerate(in_order)}


def read_samples(source, recordings, label_keys, group_key, test_groups, with_test, statistics, skipped, remarks):
    """Read every recording once and return a `UsableRecording` for each that can be used.

    statistics: the `BodyStatistics` to which they are added. skipped: reasons for the others are added to it, then `remarks`.
    Raises ValueError naming `source` if none can be used.
    """
    first_of_name, misread = {}, []
    expected = statistics.skeleton.num_joints()

    def sample(recording):
        where, name = recording.where, recording.name
        if name in first_of_name:
            raise ValueError(f"{where}: {name!r} is also the name of {first_of_name[name]}")
        if len(name) > transforms.MAX_NAME:
            raise ValueError(f"{where}: its name is longer than {transforms.MAX_NAME} characters")
        label = tuple(recording.fields[key] for key in label_keys)
        if not all(label):
            raise ValueError(f"{where}: {name!r}: has no label")
        split = choose_split(recording, group_key, test_groups) if with_test else SPLITS[0]
        try:
            bodies = load(recording)
        except checks.Misread as error:
            misread.append(error)
            raise
        if expected and bodies.shape[2] != expected:
            raise ValueError(f"{where}: {bodies.shape[2]} joints, the skeleton has {expected}")
        first_of_name[name] = where
        statistics.add(where, bodies)
        return UsableRecording(recording, label, split, recording.fields.get(group_key) or name, bodies.shape)

    samples = [sample for _, sample in parallel.each(sample, recordings, "reading", skipped)]
    for remark in remarks:
        skipped.add(remark)
    if not samples:
        raise ValueError(f"{source}: no recording can be used{skipped.first()}")
    if len(misread) > len(samples):
        raise ValueError(f"{source}: {len(misread)} of {len(recordings)} recordings look misread; the first: {misread[0]}")
    most = Counter(sample.shape[2:] for sample in samples).most_common(1)[0][0]
    for sample in samples:
        joints, dims = sample.shape[2:]
        if (joints, dims) != most:
            skipped.add(f"{sample.recording.where}: {joints} joints x {dims} coordinates, most have {most[0]} x {most[1]}")
    return [sample for sample in samples if sample.shape[2:] == most]


class BodyStatistics:
    """Body sizes and bone lengths over all recordings, for warnings. standing: most bodies stand upright."""

    def __init__(self, skeleton, standing=False):
        self.skeleton, self.standing = skeleton, standing
        self.sizes, self.extents, self.trees, self.changing = [], [], [], []
        self.missing = self.joints = 0  # joints of bodies in frames: that a tracker did not find, and all

    def add(self, where, bodies):
        """Add one recording; bodies: (M, T, V, C)."""
        self.sizes.append(units.body_size(bodies[0]))
        self.missing += transforms.missing_joints(bodies).sum()
        self.joints += bodies.any(axis=(2, 3)).sum() * bodies.shape[2]
        self.extents.append(checks.extents(bodies))
        if self.skeleton.parents is not None and bodies.shape[3] == 3:
            tree, change = checks.bone_statistics(bodies, self.skeleton.parents)
            self.trees.append(tree)
            self.changing += [where] * bool(change > checks.CHANGE)

    def size(self):
        """Size of a body, median over the recordings, in the files' unit."""
        return float(np.median(self.sizes))

    def warnings(self, unit, dims):
        """Warnings, one line each. Raises ValueError if the joints are in another order than the layout's."""
        doubt = units.doubt_unit if dims == 3 else units.doubt_pixels
        lines = [] if self.standing else [doubt(self.size(), unit)]
        if not self.standing and self.missing > MISSING * self.joints:
            share = f"{100 * self.missing / self.joints:.2g} %"
            lines.append(
                f"{share} of the joints are exactly 0 now and then, as where a tracker found none; --fill FRAMES interpolates"
            )
        if self.standing:
            lines = checks.standing_warnings(np.median(self.extents, axis=0), unit)
        if self.trees and not self.skeleton.certain and (tree := np.median(self.trees)) > checks.WRONG_TREE:
            layout = self.skeleton.layout
            line = (
                f"bones are {tree:.1f} times as long as the shortest that connect the joints; perhaps joints are in another order"
            )
            if layout:
                raise ValueError(f"--layout {layout}: {line}: give --joint_order, or accept them with --no_checks")
            lines.append(f"{line} than 'parents', or the skeleton lacks a hip or neck")
        if self.changing:
            lines.append(
                f"{len(self.changing)} of {len(self.extents)} recordings have bones that change their length {checks.CHANGE} "
                f"times or more, perhaps misread; the first: {self.changing[0]}"
            )
        return list(filter(None, lines))


def load(recording):
    """(M, T, V, C) of a recording, without empty frames and bodies. Raises ValueError naming it."""
    with parallel.naming(recording.where):
        return transforms.drop_empty(recording.load())

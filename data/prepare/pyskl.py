"""PYSKL's pickles, such as ntu60_3danno.pkl -> one npz for every pair of splits, such as xsub_train and xsub_val.

A file is {'split': {name: [frame_dir, ...]}, 'annotations': [{frame_dir, label, total_frames, keypoint (M, T, V, C), ...}]}, or
only the list of annotations (the older form); then --split, --test or --test_pickle gives the test set. Samples are in the order
of the split.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.prepare import parallel, pickles, splits, transforms
from feeder.labels import ordered
from feeder.npz import Split, write_dataset
from feeder.skeleton import LAYOUTS, joint_names, layout_of
from util.files import bare_name

MAX_CLASSES = 10_000
_TRAIN = re.compile(r"\w*train\w*", re.ASCII)


def protocols(path, split):
    """{protocol: {'train': names, 'test': names}}: xsub_train with xsub_test or xsub_val is 'xsub', train with val is ''.

    Raises ValueError if there is no such pair, or if it holds something that is not a name.
    """
    pairs, used = {}, set()
    for name in split:
        partners = [name.replace("train", test) for test in ("test", "val")]
        partner = next((partner for partner in partners if partner in split), None)
        if _TRAIN.fullmatch(name) and partner:
            pairs[re.sub("_?train_?", "", name)] = {"train": split[name], "test": split[partner]}
            used |= {name, partner}
            for sample in (*split[name], *split[partner]):
                if not isinstance(sample, str):
                    raise ValueError(f"{path}: split {name!r} or {partner!r} holds something that is not a name")
    if not pairs:
        found = ", ".join(map(repr, sorted(split)[:10]))[:200] or "none"
        raise ValueError(f"{path}: no two splits of the form NAME_train and NAME_val or NAME_test; it has {found}")
    for name in sorted(split.keys() - used):
        print(f"{path}: split {name[:80]!r} has no partner and is not used")
    return pairs


def read(path):
    """(split, annotations) of a pickle; split is {} if it has none. Raises ValueError naming the file if it is unsafe, damaged or
    has another structure."""
    content = pickles.load(path)
    if type(content) is list:
        content = {"annotations": content}
    if type(content) is not dict or "annotations" not in content:
        raise ValueError(f"{path}: not one of PYSKL's files: neither a dict with 'annotations' nor a list of annotations")
    split, annotations = content.get("split", {}), content["annotations"]
    if type(split) is not dict or any(type(names) not in (list, tuple) for names in split.values()):
        raise ValueError(f"{path}: 'split' is not a dict of lists of names")
    if type(annotations) is not list:
        raise ValueError(f"{path}: 'annotations' is not a list")
    return split, annotations


def names_of(annotations):
    """The names (frame_dir) of the annotations that have one."""
    return [each["frame_dir"] for each in annotations if type(each) is dict and isinstance(each.get("frame_dir"), str)]


def check(annotation):
    """(name, class number or name, keypoint (M, T, V, C)) of an annotation. Raises ValueError if it cannot be used."""
    if type(annotation) is not dict or not {"frame_dir", "label", "keypoint"} <= annotation.keys():
        raise ValueError("needs the keys frame_dir, label and keypoint")
    name, label, keypoint = annotation["frame_dir"], annotation["label"], annotation["keypoint"]
    if not isinstance(name, str) or not 0 < len(name) <= transforms.MAX_NAME or not name.isprintable():
        raise ValueError(f"frame_dir is not a name of 1 to {transforms.MAX_NAME} printable characters")
    if isinstance(label, str):
        if not label.strip() or not label.isprintable() or len(label) > transforms.MAX_NAME:
            raise ValueError(f"{name!r}: the label is not a text of 1 to {transforms.MAX_NAME} printable characters")
        label = label.strip()
    elif type(label) is bool or not isinstance(label, int | np.integer) or not 0 <= label < MAX_CLASSES:
        raise ValueError(f"{name!r}: the label is not a whole number from 0 (to {MAX_CLASSES - 1})")
    if not isinstance(keypoint, np.ndarray) or keypoint.ndim != 4:
        raise ValueError(f"{name!r}: keypoint is not an array of persons x frames x joints x coordinates")
    frames = annotation.get("total_frames", keypoint.shape[1])
    if not isinstance(frames, int | np.integer) or frames != keypoint.shape[1]:
        raise ValueError(f"{name!r}: total_frames is not the {keypoint.shape[1]} frames of keypoint")
    with parallel.naming(repr(name)):
        return name, label if isinstance(label, str) else int(label), transforms.drop_empty(keypoint)


@dataclass
class Annotation:
    """A usable annotation. content: as in the pickle; label: class number or name; shape: (M, T, V, C) without empty frames and
    bodies."""

    content: dict
    label: int | str
    shape: tuple


def read_samples(path, annotations, skipped):
    """{name: `Annotation`} of those that can be used. The others are added to `skipped`, and so are those with another type of
    label, or other numbers of joints or coordinates, than most."""
    samples = {}
    for i, annotation in enumerate(annotations):
        try:
            name, label, bodies = check(annotation)
            if name in samples:
                raise ValueError(f"{name!r}: an earlier annotation has this name")
        except ValueError as error:
            skipped.add(f"{path}: annotation {i}: {error}")
            continue
        samples[name] = Annotation(annotation, label, bodies.shape)
    if not samples:
        raise ValueError(f"{path}: none of the {len(annotations)} annotations can be used{skipped.first()}")
    kind = Counter(type(sample.label) for sample in samples.values()).most_common(1)[0][0]
    for name in [name for name, sample in samples.items() if type(sample.label) is not kind]:
        skipped.add(f"{path}: {name!r}: the label is not a {'string' if kind is str else 'whole number'}, unlike most")
        del samples[name]
    most = Counter(sample.shape[2:] for sample in samples.values()).most_common(1)[0][0]
    for name, (joints, dims) in [(name, sample.shape[2:]) for name, sample in samples.items()]:
        if (joints, dims) != most:
            skipped.add(f"{path}: {name!r}: {joints} joints x {dims} coordinates, most have {most[0]} x {most[1]}")
            del samples[name]
    return samples


def generate(
    path,
    out,
    name=None,
    layout=None,
    num_bodies=2,
    second_body="zeros",
    center=None,
    unit=1.0,
    strict=False,
    split_file=None,
    test=(),
    test_pickle=None,
):
    """Write out/<name>_<protocol>.npz for every pair of splits of the pickle `path`; returns their paths.

    Instead of the pickle's own splits: split_file, see data.prepare.splits.read; test, names of the test set or performers such
    as P003; or test_pickle, another pickle that is the test set. name: default the pickle's name without .pkl. layout: of
    feeder.skeleton, default by the number of joints. num_bodies: M; of more bodies those with the most motion are used.
    second_body: 'zeros' or 'copy' of the first, for annotations with one body. center: joint (name or number) whose position in
    the first frame is the origin; default: coordinates stay as they are. unit: metres per unit.
    Unusable annotations and names without one are listed in out/raw_data/<name>_skipped.txt; with `strict` the first one
    raises ValueError.
    """
    path, out, skipped = Path(path), Path(out), parallel.Skipped(strict)
    name = bare_name(name or path)
    if num_bodies < 1:
        raise ValueError(f"--num_bodies {num_bodies}: at least 1")
    split, annotations = read(path)
    if split_file:
        split = splits.read(split_file, names_of(annotations))
    elif test:
        split = splits.choose_test(test, names_of(annotations))
    elif test_pickle:
        others = read(test_pickle)[1]
        split = {"train": names_of(annotations), "test": names_of(others)}
        annotations = annotations + others
    elif not split:
        raise ValueError(
            f"{path}: {len(annotations)} annotations without a split; give the test set by --split FILE, --test NAME ... or "
            "--test_pickle FILE"
        )
    pairs, samples = protocols(split_file or path, split), read_samples(path, annotations, skipped)
    num_joints, dims = next(iter(samples.values())).shape[2:]
    num_frames = max(sample.shape[1] for sample in samples.values())
    if layout is None:
        layout = layout_of(num_joints, LAYOUTS if dims == 3 else ["coco17"])
    names = joint_names(layout) if layout else None
    if names and len(names) != num_joints:
        raise ValueError(f"--layout {layout} has {len(names)} joints, {path} has {num_joints}")
    origin = None if center is None else transforms.joint_index(center, names, num_joints)
    number, class_names = {name: sample.label for name, sample in samples.items()}, None
    if type(next(iter(number.values()))) is str:
        class_names = ordered(set(number.values()))
        number = {name: class_names.index(label) for name, label in number.items()}
    num_classes = max(number.values()) + 1

    def row(sample):
        """(T, M·V·3) of the annotation of this name."""
        bodies = transforms.most_moving(check(samples[sample].content)[2], num_bodies)
        return transforms.fill_bodies(transforms.row(bodies, unit, origin), len(bodies), num_bodies, second_body)

    paths = []
    for protocol, wanted in pairs.items():
        chosen = _choose(path, protocol, wanted, samples, skipped)
        npz_splits = {}
        for key, rows in chosen.items():
            labels, groups = np.array([number[name] for name in rows], int), [splits.group(name) for name in rows]
            npz_splits[key] = Split(rows, labels, map(row, rows), groups)
        paths.append(out / f"{'_'.join(filter(None, (name, protocol)))}.npz")
        how = {"center": -1 if origin is None else origin, "unit": unit, "coordinates": dims, "second_body": second_body}
        sizes = num_frames, num_classes, num_joints, num_bodies
        write_dataset(paths[-1], npz_splits, *sizes, layout, class_names=class_names, **how)
        counts = ", ".join(f"{len(rows):,} {key}" for key, rows in chosen.items())
        flat = ", z is 0" * (dims == 2)
        print(f"{paths[-1]}: {counts}, {num_classes} classes, {num_frames} frames, {num_joints} joints{flat}")
    cut = sum(sample.shape[0] > num_bodies for sample in samples.values())
    print(
        f"{len(annotations):,} annotations found, {len(samples):,} usable, {cut:,} of them with more than {num_bodies} bodies, "
        "of which the others were left out"
    )
    skipped.write(parallel.skipped_path(out / f"{name}.npz"))
    return paths


def _choose(path, protocol, wanted, samples, skipped):
    """{'train': names, 'test': names} of a protocol: those wanted, but for repeated names and those without usable annotation."""
    chosen, used = {}, set()
    for key, names in wanted.items():
        chosen[key] = []
        for name in names:
            where = f"{path}: protocol {protocol!r}, {key}: {name[: transforms.MAX_NAME]!r}"
            if name not in samples:
                skipped.add(f"{where}: has no usable annotation")
            elif name in used:
                skipped.add(f"{where}: is repeated in the protocol; only the first one is used")
            else:
                chosen[key].append(name)
                used.add(name)
        if not chosen[key]:
            raise ValueError(f"{path}: protocol {protocol!r} has no usable sample in {key}")
    return chosen

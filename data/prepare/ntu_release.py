"""Facts about NTU RGB+D 60 and 120: file names, folders, protocols, and numbers of files."""

import re
from dataclasses import dataclass

import numpy as np

FIELDS = ("setup", "camera", "performer", "replication", "action")
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
CAMERAS, REPLICATIONS = 3, 2


@dataclass(frozen=True)
class Protocol:
    """A split by one field of the file name; samples are sorted by the order of its values in `train` and `test`."""

    name: str
    field: str
    train: tuple
    test: tuple
    published: tuple  # samples in train and test


@dataclass(frozen=True)
class Release:
    """A data set as released.

    title: as in the papers. prefix: of the npz names. num_classes: actions are 1 .. num_classes. second_body: 'zeros' or 'copy'
    of the first, for recordings of one actor. folders: possible names of each raw folder, of which the first that exists is used.
    num_files: in the release; num_missing of them have no skeleton.
    """

    title: str
    prefix: str
    num_classes: int
    num_setups: int
    second_body: str
    folders: tuple
    num_files: int
    num_missing: int
    protocols: tuple


def _rest(train, last):
    return tuple(i for i in range(1, last + 1) if i not in train)


_XSUB60 = (1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38)
_XSUB120 = (*_XSUB60, 45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89, *range(91, 96), 97, 98, 100, 103)

NTU60 = Release(
    title="NTU RGB+D 60",
    prefix="NTU60",
    num_classes=60,
    num_setups=17,
    second_body="zeros",
    folders=(("nturgb+d_skeletons",),),
    num_files=56880,
    num_missing=302,
    protocols=(
        Protocol("XSub", "performer", _XSUB60, _rest(_XSUB60, 40), (40091, 16487)),
        Protocol("XView", "camera", (2, 3), (1,), (37646, 18932)),
    ),
)
NTU120 = Release(
    title="NTU RGB+D 120",
    prefix="NTU120",
    num_classes=120,
    num_setups=32,
    second_body="copy",
    folders=(("nturgb+d_skeletons",), ("nturgb+d_skeletons120", "nturgb+d_skeletons_120")),
    num_files=114480,
    num_missing=535,
    protocols=(
        Protocol("XSub", "performer", _XSUB120, _rest(_XSUB120, 106), (63026, 50919)),
        Protocol("XSet", "setup", tuple(range(2, 33, 2)), tuple(range(1, 33, 2)), (54468, 59477)),
    ),
)


def parse_name(name):
    """'S001C002P003R002A013' -> {'setup': 1, 'camera': 2, 'performer': 3, 'replication': 2, 'action': 13}.

    Raises ValueError if the name does not have this form.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError(f"{name}: not a name of the form SsssCcccPpppRrrrAaaa")
    return dict(zip(FIELDS, map(int, match.groups()), strict=True))


def parse_names(names):
    """(N, 5) int16, the FIELDS of N names."""
    return np.fromiter((number for name in names for number in parse_name(name).values()), np.int16).reshape(-1, len(FIELDS))


def check_name(name, dataset):
    """Raise ValueError unless a file of this name belongs to the data set and to each of its protocols."""
    fields = parse_name(name)
    if not 1 <= fields["action"] <= dataset.num_classes:
        raise ValueError(f"{name}: action {fields['action']} is outside 1..{dataset.num_classes} of {dataset.title}")
    for field, most in (("setup", dataset.num_setups), ("camera", CAMERAS), ("replication", REPLICATIONS)):
        if not 1 <= fields[field] <= most:
            raise ValueError(f"{name}: {dataset.title} has no {field} {fields[field]}")
    for protocol in dataset.protocols:
        if fields[protocol.field] not in protocol.train + protocol.test:
            raise ValueError(f"{name}: {dataset.title} has no {protocol.field} {fields[protocol.field]}")


def belongs(name, dataset):
    """Whether `check_name` accepts the name."""
    try:
        return check_name(name, dataset) is None
    except ValueError:
        return False


def actions(setup):
    """The 60 actions of a setup: 1 to 60 up to setup 17, 61 to 120 from setup 18 on."""
    return range(1, 61) if setup <= 17 else range(61, 121)


def missing_files(names, dataset):
    """Lines about missing files, by setup and camera; none if the release is complete.

    names: of the raw files found, each once. In the release, every performer and replication of a setup has all its 60 actions
    from all three cameras, so missing files follow from the names of the others; if all files of a performer are missing, only
    the total shows it.
    """
    performers = max(max(protocol.train + protocol.test) for protocol in dataset.protocols)
    size, fields = np.array((CAMERAS, performers, REPLICATIONS, dataset.num_classes)) + 1, parse_names(names)
    count = len(fields)
    lines = [] if count == dataset.num_files else [f"{count:,} of the {dataset.num_files:,} files of {dataset.title}"]
    for setup in range(1, dataset.num_setups + 1):
        files = np.zeros(size, bool)
        files[tuple(fields[fields[:, 0] == setup, 1:].T)] = True
        there = files.any(axis=(0, 3))  # (performers, replications)
        if not there.any():
            lines.append(f"setup {setup}: no file")
        lacking = [np.count_nonzero(~files[camera][there][:, actions(setup)]) for camera in range(1, CAMERAS + 1)]
        if any(lacking):
            each = [f"camera {camera} lacks {n}" for camera, n in enumerate(lacking, 1) if n]
            lines.append(f"setup {setup}: {', '.join(each)}")
    return lines

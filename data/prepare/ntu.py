"""NTU RGB+D: raw `.skeleton` files -> bodies -> actors -> one npz per protocol, in three steps.

    read_raw     raw folder          -> out/raw_data/       every body id of every file
    denoise_raw  out/raw_data/       -> out/denoised_data/  one or two actors per file
    write_npz    out/denoised_data/  -> out/<name>_<protocol>.npz
"""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from data.prepare import batch, store
from data.prepare.denoise import denoise
from data.prepare.npz import Split, write_dataset
from data.prepare.skeleton_file import Body, read_skeleton

NUM_JOINTS, NUM_BODIES, LAYOUT = 25, 2, "kinect_v2"
ORIGIN = 1  # joint: middle of the spine
RAW, DENOISED = "raw_data", "denoised_data"
STEPS = ("get_raw_skes_data.py", "get_raw_denoised_data.py", "seq_transformation.py")

FIELDS = ("setup", "camera", "performer", "replication", "action")
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")


@dataclass(frozen=True)
class Protocol:
    """A split by one field of the file name; samples stand id by id in the order of `train` and `test`."""

    name: str
    field: str
    train: tuple
    test: tuple
    published: tuple  # samples in train and test


@dataclass(frozen=True)
class Dataset:
    """title as in the papers; num_classes: actions 1 .. K; protocols."""

    title: str
    num_classes: int
    protocols: tuple


_NTU60_TRAIN = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
NTU60 = Dataset(
    title="NTU RGB+D 60",
    num_classes=60,
    protocols=(
        Protocol(
            "XSub", "performer", _NTU60_TRAIN, tuple(i for i in range(1, 41) if i not in _NTU60_TRAIN), (40091, 16487)
        ),
        Protocol("XView", "camera", (2, 3), (1,), (37646, 18932)),
    ),
)  # fmt: skip


def parse_name(name):
    """'S001C002P003R002A013' -> {'setup': 1, 'camera': 2, 'performer': 3, 'replication': 2, 'action': 13}.

    Raises ValueError if the name does not have this form.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError(f"{name}: not a name of the form SsssCcccPpppRrrrAaaa")
    return dict(zip(FIELDS, map(int, match.groups()), strict=True))


def check_name(name, dataset):
    """ValueError unless the file belongs to the data set and to a side of each of its protocols."""
    fields = parse_name(name)
    if not 1 <= fields["action"] <= dataset.num_classes:
        raise ValueError(f"{name}: action {fields['action']} is outside 1..{dataset.num_classes} of {dataset.title}")
    for protocol in dataset.protocols:
        if fields[protocol.field] not in protocol.train + protocol.test:
            raise ValueError(f"{name}: {dataset.title} has no {protocol.field} {fields[protocol.field]}")


# ---- step 1: read ----------------------------------------------------------------------------------------------------


def read_raw(raw, out, dataset=NTU60, workers=None, strict=False):
    """Read the `.skeleton` files of the folder `raw` in `workers` processes (None: all cores) into out/raw_data.

    Index: name (N,), num_frames (N,), num_bodies (N,); for the bodies of all files in order body_id, body_start and
    body_frames. Recordings without any body ('missing skeletons') and unusable files are listed in skipped.txt there.
    Raises FileNotFoundError or ValueError if there is nothing to read, and with `strict` for the first unusable file.
    """
    raw, folder = Path(raw), Path(out) / RAW
    files = sorted(raw.glob("*.skeleton"), key=lambda file: file.name)
    if not files:
        raise FileNotFoundError(f"{raw}: " + ("holds no .skeleton file" if raw.is_dir() else "no such folder")
                                + "; unpack the raw skeletons there or name their folder with --raw")  # fmt: skip
    skipped, missing = batch.Skipped(strict), 0
    names, num_frames, num_bodies, body_id, body_start, body_frames = ([] for _ in range(6))
    with store.writing(folder, NUM_JOINTS) as (add, index):
        work = batch.each(partial(_read, dataset), files, "reading", skipped, workers)
        for file, (frames, bodies) in work:
            if not frames:
                missing += 1
                skipped.note(f"{file}: no frame has a body (missing skeleton)")
                continue
            names.append(file.stem)
            num_frames.append(frames)
            num_bodies.append(len(bodies))
            for body in bodies:
                add(body.joints)
                body_id.append(body.id)
                body_start.append(body.start)
                body_frames.append(len(body.joints))
        if not names:
            raise ValueError(f"{raw}: none of the {len(files)} files can be used; the first: {skipped.reasons[0]}")
        index.update(name=names, num_frames=num_frames, num_bodies=num_bodies, body_id=body_id, body_start=body_start,
                     body_frames=body_frames)  # fmt: skip
    print(f"{len(files)} files found, {len(names)} used, {missing} without any skeleton, "
          f"{len(skipped.reasons) - missing} unusable -> {folder}")  # fmt: skip
    skipped.write(folder / "skipped.txt")


def _read(dataset, file):
    check_name(file.stem, dataset)
    return read_skeleton(file, NUM_JOINTS)


# ---- step 2: denoise -------------------------------------------------------------------------------------------------


def denoise_raw(out, strict=False):
    """Find the one or two actors of every recording of out/raw_data; result in out/denoised_data.

    Index: name (N,), num_frames (N,), num_actors (N,). Recordings in which nothing is left are in skipped.txt.
    """
    folder = Path(out) / DENOISED
    joints, raw = store.load(Path(out) / RAW, STEPS[0])
    skipped = batch.Skipped(strict)
    kept, num_frames, num_actors = [], [], []
    with store.writing(folder, NUM_JOINTS) as (add, index):
        work = batch.each(_Denoiser(joints, raw), range(len(raw["name"])), "denoising", skipped)
        for i, actors in work:
            add(actors.reshape(-1, NUM_JOINTS, 3))
            kept.append(i)
            num_frames.append(actors.shape[0])
            num_actors.append(actors.shape[1])
        if not kept:
            raise ValueError(f"nothing is left of any file; the first: {skipped.reasons[0]}")
        index.update(name=raw["name"][kept], num_frames=num_frames, num_actors=num_actors)
    print(f"{len(raw['name'])} recordings, {len(kept)} used ({num_actors.count(2)} with two actors), "
          f"{len(skipped.reasons)} left out -> {folder}")  # fmt: skip
    skipped.write(folder / "skipped.txt")


class _Denoiser:
    """The actors of recording i, (T, M, V, 3), from the result of step 1."""

    def __init__(self, joints, raw):
        self.joints, self.raw = joints, raw
        self.first_body = np.cumsum(raw["num_bodies"]) - raw["num_bodies"]
        self.first_row = np.cumsum(raw["body_frames"]) - raw["body_frames"]

    def __call__(self, i):
        raw, bodies = self.raw, []
        for body in range(self.first_body[i], self.first_body[i] + raw["num_bodies"][i]):
            rows = slice(self.first_row[body], self.first_row[body] + raw["body_frames"][body])
            bodies.append(Body(str(raw["body_id"][body]), int(raw["body_start"][body]), self.joints[rows]))
        try:
            return denoise(int(raw["num_frames"][i]), bodies)
        except ValueError as error:
            raise ValueError(f"{raw['name'][i]}: {error}") from error


# ---- step 3: translate, align, split ---------------------------------------------------------------------------------


def translate(actors):
    """Origin at the first visible position of actor 1's spine: (T, M, V, 3) -> the same shape, metres.

    Of two actors, one that is absent (all zero) in a frame stays zero.
    """
    present = actors.any(axis=(2, 3))
    moved = actors - actors[present[:, 0].argmax(), 0, ORIGIN]
    if actors.shape[1] == 2:
        moved[~present] = 0
    return moved


def order(fields, ids):
    """Rows of the samples whose `fields` (N,) value is in `ids`: id by id, within an id in the given order."""
    return np.concatenate([np.flatnonzero(fields == i) for i in ids])


def write_npz(out, name, dataset=NTU60):
    """Write out/<name>_<protocol>.npz for every protocol of the data set (schema: data.prepare.npz.write_dataset).

    T is the longest recording; the second actor of one-actor recordings is zero. Returns the paths.
    """
    out = Path(out)
    joints, index = store.load(out / DENOISED, STEPS[1])
    if (out / RAW / store.INDEX).is_file():
        if (out / RAW / store.INDEX).stat().st_mtime > (out / DENOISED / store.INDEX).stat().st_mtime:
            raise ValueError(f"{out / RAW} is newer than {out / DENOISED}: run {STEPS[1]} again")
    names, num_frames, num_actors = index["name"], index["num_frames"], index["num_actors"]
    first_row = np.cumsum(num_frames * num_actors) - num_frames * num_actors
    fields = [parse_name(str(name)) for name in names]

    def sequence(i):
        rows = joints[first_row[i] : first_row[i] + num_frames[i] * num_actors[i]]
        return translate(rows.reshape(num_frames[i], num_actors[i], NUM_JOINTS, 3)).reshape(num_frames[i], -1)

    def split(rows):
        labels = np.array([fields[i]["action"] - 1 for i in rows], dtype=np.int64)
        return Split(names[rows], labels, map(sequence, rows), [f"P{fields[i]['performer']:03}" for i in rows])

    paths = []
    for protocol in dataset.protocols:
        values = np.array([f[protocol.field] for f in fields])
        paths.append(out / f"{name}_{protocol.name}.npz")
        rows = {"train": order(values, protocol.train), "test": order(values, protocol.test)}
        splits = {key: split(rows[key]) for key in rows}
        write_dataset(paths[-1], splits, num_frames.max(), dataset.num_classes, NUM_JOINTS, NUM_BODIES, LAYOUT)
        print(f"{paths[-1]}: {len(rows['train'])} train, {len(rows['test'])} test, {num_frames.max()} frames "
              f"({dataset.title} as published: {protocol.published[0]:,} and {protocol.published[1]:,})")  # fmt: skip
    return paths

"""NTU RGB+D 60 and 120: raw `.skeleton` files -> bodies -> actors -> one npz per protocol, in three steps.

read_raw     raw folders         -> out/raw_data/       every body id of every file
denoise_raw  out/raw_data/       -> out/denoised_data/  one or two actors per file
write_npz    out/denoised_data/  -> out/<name>_<protocol>.npz
"""

import os
from contextlib import contextmanager
from functools import partial
from glob import glob
from pathlib import Path

import numpy as np

from data.prepare import intermediate, parallel
from data.prepare.denoise import denoise
from data.prepare.ntu_release import FIELDS, NTU60, belongs, check_name, parse_names, shortfall
from data.prepare.skeleton_file import NUM_JOINTS, Body, read_skeleton
from data.prepare.splits import group
from data.prepare.transforms import fill_bodies
from feeder.npz import Split, write_dataset
from util.files import bare_name, write_text

NUM_BODIES, LAYOUT = 2, "kinect_v2"
ORIGIN = 1  # joint: middle of the spine
RAW, DENOISED = "raw_data", "denoised_data"
SKIPPED, MISSING = "skipped.txt", "no frame has a body (missing skeleton)"
STEPS = ("get_raw_skes_data.py", "get_raw_denoised_data.py", "seq_transformation.py")
PRINTED = 20  # lines of the final report that are printed


# ---- step 1: read ----------------------------------------------------------------------------------------------------


def read_raw(raws, out, dataset=NTU60, workers=None, strict=False):
    """Read the `.skeleton` files of the folders `raws` in `workers` processes (None: all cores) into out/raw_data.

    Index: found (names of all raw files), name (N,), num_frames (N,), num_bodies (N,); for the bodies of all files in order
    body_id, body_start and body_frames. Recordings without any body ('missing skeletons'), unusable files and those that stand in
    two folders are listed in skipped.txt there.
    Raises FileNotFoundError or ValueError if there is nothing to read, and with `strict` for the first unusable file.
    """
    with reading(read_skeleton, raws, Path(out) / RAW, dataset, workers, strict) as (recordings, writer):
        for name, (frames, bodies) in recordings:
            writer.add(name=name, num_frames=frames, num_bodies=len(bodies))
            for body in bodies:
                writer.add(body.joints, body_id=body.id, body_start=body.start, body_frames=len(body.joints))


@contextmanager
def reading(read, raws, folder, dataset, workers=None, strict=False):
    """Gives (recordings, writer): recordings yields (name, read(file)) of the usable files, sorted by name; writer is the
    `IntermediateWriter` of `folder`, where skipped.txt gets the other files and the index gets `found`, as in `read_raw`.

    read: of module level; the first of what it returns is 0 if no frame has a body. Raises as `read_raw`.
    """
    skipped, missing, used = parallel.Skipped(strict), 0, 0
    files = _find(raws, skipped)
    twice = len(skipped.reasons)

    def recordings():
        nonlocal missing, used
        for file, result in parallel.each(partial(_read, dataset, read), files, "reading", skipped, workers):
            if result[0]:
                used += 1
                yield _name(file), result
            else:  # the release has hundreds of these, so not even --strict takes one for an error
                missing += 1
                skipped.reasons.append(f"{file}: {MISSING}")

    with intermediate.writing(folder, NUM_JOINTS) as writer:
        yield recordings(), writer
        if not used:
            raise ValueError(f"none of the {len(files)} files can be used{skipped.first()}")
        writer.index["found"] = np.array([name for name in map(_name, files) if belongs(name, dataset)], "S")
        skipped.write(folder / SKIPPED)  # like everything else, before the index
    print(
        f"{len(files) + twice} files found, {used} used, {missing} without any skeleton, "
        f"{len(skipped.reasons) - missing} unusable -> {folder}"
    )


def _find(raws, skipped):
    """The .skeleton files of the folders, sorted by name; a name that was found in an earlier folder goes to `skipped`.

    Text, since a hundred thousand Path objects would be large.
    """
    folders = {}
    for raw in map(Path, raws):
        here = sorted(glob("*.skeleton", root_dir=raw))
        if not here:
            raise FileNotFoundError(
                f"{raw}: "
                + ("holds no .skeleton file" if raw.is_dir() else "no such folder")
                + "; unpack the raw skeletons there or name their folders with --raw"
            )
        for name in here:
            if name in folders:
                skipped.add(f"{raw / name}: stands in {folders[name]}, too; that one is used")
            folders.setdefault(name, raw)
    return [os.path.join(folders[name], name) for name in sorted(folders)]


def _name(file):
    return os.path.basename(file).removesuffix(".skeleton")


def _read(dataset, read, file):
    check_name(_name(file), dataset)
    return read(file)


# ---- step 2: denoise -------------------------------------------------------------------------------------------------


def denoise_raw(out, strict=False):
    """Find the one or two actors of every recording of out/raw_data; result in out/denoised_data.

    Index: name (N,), num_frames (N,), num_actors (N,). Recordings in which nothing is left are in skipped.txt.
    """
    folder = Path(out) / DENOISED
    parts, raw = intermediate.load(Path(out) / RAW, STEPS[0])
    skipped, names, joints = parallel.Skipped(strict), raw["name"], parts(raw["body_frames"])
    last_body = np.cumsum(raw["num_bodies"])

    def actors_of(i):
        """(T, M, V, 3) of recording i."""
        of_file = range(last_body[i] - raw["num_bodies"][i], last_body[i])
        bodies = [Body(str(raw["body_id"][body]), int(raw["body_start"][body]), joints(body)) for body in of_file]
        with parallel.naming(names[i]):
            return denoise(int(raw["num_frames"][i]), bodies)

    with intermediate.writing(folder, NUM_JOINTS) as writer:
        for i, actors in parallel.each(actors_of, range(len(names)), "denoising", skipped):
            frames, persons = actors.shape[:2]
            writer.add(actors.reshape(-1, NUM_JOINTS, 3), name=names[i], num_frames=frames, num_actors=persons)
        if not writer.count:
            raise ValueError(f"nothing is left of any file{skipped.first()}")
        skipped.write(folder / SKIPPED)
    two = writer.index["num_actors"].count(2)
    used = len(names) - len(skipped.reasons)
    print(f"{len(names)} recordings, {used} used ({two} with two actors), {len(skipped.reasons)} left out -> {folder}")


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


def write_npz(out, dataset=NTU60, name=None, second_body=None):
    """Write out/<name>_<protocol>.npz for every protocol of the data set (schema: feeder.npz.write_dataset).

    T is the longest recording. name: default as published. second_body: 'zeros' or 'copy', what stands for the second actor of
    one-actor recordings (default: the data set's rule). What was found, used and left out is printed and written to
    out/<name>_report.txt; under the data set's own name it is compared with the release. Returns the paths.
    """
    out, second_body = Path(out), second_body or dataset.second_body
    parts, index = intermediate.load(out / DENOISED, STEPS[1])
    _, raw = intermediate.load(out / RAW, STEPS[0], ["found"])
    if (out / RAW / intermediate.INDEX).stat().st_mtime > (out / DENOISED / intermediate.INDEX).stat().st_mtime:
        raise ValueError(f"{out / RAW} is newer than {out / DENOISED}: run {STEPS[1]} again")
    num_frames, num_actors = index["num_frames"], index["num_actors"]
    joints = parts(num_frames * num_actors)

    def sequence(i):
        """(T, M·75) of recording i."""
        actors = translate(joints(i).reshape(num_frames[i], num_actors[i], NUM_JOINTS, 3)).reshape(num_frames[i], -1)
        return fill_bodies(actors, num_actors[i], NUM_BODIES, second_body)

    skipped = [out / folder / SKIPPED for folder in (RAW, DENOISED)]
    return write_protocols(
        out,
        name or dataset.prefix,
        dataset,
        index["name"],
        sequence,
        num_frames.max(),
        raw["found"],
        skipped,
        compare=name in (None, dataset.prefix),
        second_body=second_body,
    )


def write_protocols(
    out, name, dataset, names, sequence, num_frames, found, skipped, compare, order=order, valid_frames=None, **extras
):
    """Write out/<name>_<protocol>.npz for every protocol of the data set, and out/<name>_report.txt; returns the paths.

    names: (N,) recordings; sequence(i): (T_i, M_i·V·3) of recording i in metres; num_frames: T; valid_frames: (N,), see `Split`.
    order: as the function. For the report, found: names of all raw files; skipped: lists of those left out; compare: whether to
    compare with the release. extras: as in write_dataset.
    """
    fields, name = parse_names(map(str, names)), bare_name(name)

    def split(rows):
        labels, frames = fields[rows, FIELDS.index("action")] - 1, None if valid_frames is None else valid_frames[rows]
        return Split(names[rows], labels, map(sequence, rows), list(map(group, names[rows])), frames)

    paths, report = [], [f"{len(found)} files of {dataset.title} found, {len(names)} used"]
    for protocol in dataset.protocols:
        values = fields[:, FIELDS.index(protocol.field)]
        paths.append(out / f"{name}_{protocol.name}.npz")
        rows = {"train": order(values, protocol.train), "test": order(values, protocol.test)}
        splits = {key: split(rows[key]) for key in rows}
        write_dataset(paths[-1], splits, num_frames, dataset.num_classes, NUM_JOINTS, NUM_BODIES, LAYOUT, **extras)
        counts = tuple(len(rows[key]) for key in rows)
        line = f"{paths[-1]}: {counts[0]:,} train, {counts[1]:,} test, {num_frames} frames"
        report.append(line + compare_counts(counts, protocol.published if compare else None))
    reasons = [reason for path in skipped for reason in path.read_text(encoding="utf-8").splitlines()]
    for kind, count in parallel.count_kinds(reasons).most_common():
        release = f"; the release has {dataset.num_missing}" if kind == MISSING and compare else ""
        report.append(f"left out: {count} × {kind}{release}")
    if compare:
        report += shortfall((name.decode() for name in found), dataset)
    write_text(out / f"{name}_report.txt", "".join(f"{line}\n" for line in report))
    print(*report[:PRINTED], sep="\n")
    if len(report) > PRINTED:
        print(f"... {len(report) - PRINTED} more lines in {out / f'{name}_report.txt'}")
    return paths


def compare_counts(counts, published):
    """What to say of the (train, test) counts of a protocol beside the published ones, which may be None."""
    if published is None:
        return ""
    return "; as published" if counts == published else "; published: {:,} and {:,}".format(*published)

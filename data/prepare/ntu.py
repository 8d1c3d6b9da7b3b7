"""NTU RGB+D 60 and 120: raw `.skeleton` files -> bodies -> actors -> one npz per protocol, in three steps.

read_raw     raw folders         -> out/raw_data/       all bodies of every file
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
from data.prepare.denoise import MISSING, denoise
from data.prepare.ntu_release import FIELDS, NTU60, belongs, check_name, missing_files, parse_names
from data.prepare.skeleton_file import NUM_JOINTS, Body, read_skeleton
from data.prepare.splits import group
from data.prepare.transforms import fill_bodies
from feeder.npz import Split, write_dataset
from util.files import bare_name, write_text

NUM_BODIES, LAYOUT = 2, "kinect_v2"
ORIGIN = 1  # joint: middle of the spine
RAW, DENOISED = "raw_data", "denoised_data"
SKIPPED = "skipped.txt"
STEPS = ("get_raw_skes_data.py", "get_raw_denoised_data.py", "seq_transformation.py")
PRINTED = 20  # lines of the final report that are printed


# ---- step 1: read ----------------------------------------------------------------------------------------------------


def read_raw(raws, out, dataset=NTU60, workers=None, strict=False):
    """Read the `.skeleton` files of the folders `raws` in `workers` processes (None: all cores) into out/raw_data.

    Index: found (names of all raw files); name, num_frames and num_bodies of each file (N,); body_id, body_start and body_frames
    of each body. Files without any body ('missing skeletons'), unusable files and files that are in two folders are listed in
    skipped.txt there. Raises FileNotFoundError or ValueError if no file can be used, with `strict` for the first unusable one.
    """
    with reading(read_skeleton, raws, Path(out) / RAW, dataset, workers, strict) as (recordings, writer):
        for name, (frames, bodies) in recordings:
            writer.add(name=name, num_frames=frames, num_bodies=len(bodies))
            for body in bodies:
                writer.add(body.joints, body_id=body.id, body_start=body.start, body_frames=len(body.joints))


@contextmanager
def reading(read, raws, folder, dataset, workers=None, strict=False):
    """Context manager of (recordings, writer): recordings yields (name, read(file)) of the usable files, sorted by name; writer
    is the `IntermediateWriter` of `folder`, in which skipped.txt and the index's `found` are as in `read_raw`.

    read: a picklable function whose first result is 0 if no frame has a body. Raises as `read_raw`.
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
            else:  # the release has hundreds of these, so this is no error even with --strict
                missing += 1
                skipped.reasons.append(f"{file}: {MISSING}")

    with intermediate.writing(folder, NUM_JOINTS) as writer:
        yield recordings(), writer
        if not used:
            raise ValueError(f"none of the {len(files)} files can be used{skipped.first()}")
        writer.index["found"] = np.array([name for name in map(_name, files) if belongs(name, dataset)], "S")
        skipped.write(folder / SKIPPED)  # before the index, which marks the folder as complete
    print(
        f"{len(files) + twice} files found, {used} used, {missing} without any skeleton, "
        f"{len(skipped.reasons) - missing} unusable -> {folder}"
    )


def _find(raws, skipped):
    """The .skeleton files of the folders, sorted by name, as strings: 100,000 Path objects would take much memory.

    A file whose name was already found in an earlier folder is added to `skipped` instead.
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
                skipped.add(f"{raw / name}: is also in {folders[name]}; that one is used")
            folders.setdefault(name, raw)
    return [os.path.join(folders[name], name) for name in sorted(folders)]


def _name(file):
    return os.path.basename(file).removesuffix(".skeleton")


def _read(dataset, read, file):
    check_name(_name(file), dataset)
    return read(file)


# ---- step 2: denoise -------------------------------------------------------------------------------------------------


def denoise_raw(out, strict=False):
    """Find the one or two actors of every recording in out/raw_data and write them to out/denoised_data.

    Index: name, num_frames and num_actors of each recording (N,). Recordings without an actor are listed in skipped.txt there.
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
            raise ValueError(f"no recording has an actor{skipped.first()}")
        skipped.write(folder / SKIPPED)
    two = writer.index["num_actors"].count(2)
    used = len(names) - len(skipped.reasons)
    print(f"{len(names)} recordings, {used} used ({two} with two actors), {len(skipped.reasons)} left out -> {folder}")


# ---- step 3: translate, align, split ---------------------------------------------------------------------------------


def translate(actors):
    """Actors (T, M, V, 3), metres, with the origin at the spine of the first actor in the first frame with it.

    Of two actors, one that is absent (all zero) in a frame stays zero.
    """
    present = actors.any(axis=(2, 3))
    moved = actors - actors[present[:, 0].argmax(), 0, ORIGIN]
    if actors.shape[1] == 2:
        moved[~present] = 0
    return moved


def order(fields, ids):
    """Indices of the samples whose value in `fields` (N,) is in `ids`, sorted by the order of `ids`; stable."""
    return np.concatenate([np.flatnonzero(fields == i) for i in ids])


def write_npz(out, dataset=NTU60, name=None, second_body=None):
    """Write out/<name>_<protocol>.npz for every protocol of the data set (schema: feeder.npz.write_dataset); returns the paths.

    T is the length of the longest recording. name: default as published. second_body: 'zeros' or 'copy' of the first for
    recordings of one actor; default as published. How many files were found, used and left out is printed and written to
    out/<name>_report.txt, compared with the release if `name` is the default.
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

    names: (N,) of the recordings. sequence(i): recording i, (T_i, M_i·V·3) in metres. num_frames: T. valid_frames: (N,), see
    `Split`. order: like the function `order`. found: names of all raw files; skipped: files that list those left out; compare:
    whether to compare with the release; these three are for the report. extras: see write_dataset.
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
        report += missing_files((name.decode() for name in found), dataset)
    write_text(out / f"{name}_report.txt", "".join(f"{line}\n" for line in report))
    print(*report[:PRINTED], sep="\n")
    if len(report) > PRINTED:
        print(f"... {len(report) - PRINTED} more lines in {out / f'{name}_report.txt'}")
    return paths


def compare_counts(counts, published):
    """Text that compares the (train, test) counts of a protocol with the published ones, '' if these are None."""
    if published is None:
        return ""
    return "; as published" if counts == published else "; published: {:,} and {:,}".format(*published)

"""BVH files, the format of open motion capture: from a folder or zip to one npz (docs/data.md, 'BVH')."""

import sys
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.prepare import batch, bvh, cli, dataset, kinect, recordings, sequences
from data.prepare.reading import Reading, add_up

HERE = Path(__file__).resolve().parent
ALL, WINDOW, SUFFIX = "all", 300, ".bvh"


def choose(joints, headers, end_sites):
    """The `recordings.Skeleton` of --joints: every joint of the skeleton that most files have, those named, or Kinect v1's."""
    if joints == kinect.LAYOUT:
        return recordings.named_skeleton(kinect.LAYOUT)
    alike = {}
    for header in headers.values():
        alike.setdefault((*header.names, *header.parents.tolist()), []).append(header)
    header = max(alike.values(), key=len)[0]
    if joints == ALL:
        names = [name for name, end in zip(header.names, header.ends, strict=True) if end_sites or not end]
    else:
        names = [name.strip() for name in joints.split(",")]
    if missing := [name for name in names if name not in header.names] or [name for name in names if names.count(name) > 1]:
        known = f"{', '.join(header.names)[:300]}; or {ALL}, or {kinect.LAYOUT}"
        raise ValueError(f"--joints {joints}: {missing[0]!r} is not a joint, or stands there twice; joints are {known}")
    return recordings.Skeleton("", np.array(names), bvh.parents_among(header, names))


def windows(recording, num_frames, window):
    """The recordings that `window` makes of one: pieces of it, one after the other; all of it if it is not longer."""
    parts = sequences.pieces(num_frames, window)
    if len(parts) == 1:
        return [recording]
    return [
        replace(recording, name=f"{recording.name}_{begin}_{end}", load=lambda begin=begin, end=end: recording.load()[begin:end])
        for begin, end in parts
    ]


def generate(
    raw,
    out,
    name="bvh",
    label_pattern=None,
    table=None,
    test_groups=(),
    joints=ALL,
    end_sites=False,
    window=WINDOW,
    target_fps=30.0,
    up="y",
    unit=bvh.UNIT,
    center=None,
    body_frame=None,
    min_max=False,
    strict=False,
):
    """Write out/<name>.npz of the BVH files of a folder or zip; returns its path. The options are those of the command line.

    Without label_pattern and table the npz has no labels, and without test_groups then no test set, either. What cannot be used
    is listed in out/raw_data/skipped.txt, even if that is all; with `strict` the first is a ValueError.
    """
    raw, skipped = Path(raw), batch.Skipped(strict)
    reading = Reading(target_fps=target_fps, up=up)
    files = batch.find(raw, SUFFIX)
    headers = {str(file): header for file, header in batch.each(bvh.header, files, "hierarchies", skipped)}
    try:
        if not headers:
            raise ValueError(f"{raw}: no recording can be used; the first: {skipped.reasons[0]}")
        skeleton = choose(joints, headers, end_sites)
        read = lru_cache(maxsize=1)(partial(bvh.load, names=tuple(skeleton.joint_names), target_fps=target_fps, up=up))
        files = [file for file in files if str(file) in headers]
        length = {str(file): len(x) for file, x in batch.each(read, files, "frames", skipped)}
        found, remarks = collect(raw, [file for file in files if str(file) in length], read, label_pattern, table, skipped)
        for recording in found:
            recording.fields.setdefault("group", recording.name)  # the pieces of a file stay together
        found = [part for each in found for part in windows(each, length[each.where], window)]
        if center is None and body_frame is None:
            center = sequences.SPINE if skeleton.layout else str(skeleton.joint_names[0])
        pose = None if center == "none" else center, body_frame, min_max
        path = Path(out) / f"{name}.npz"
        label_keys = ["label"] if label_pattern or table else []
        dataset.write(
            raw, path, found, skeleton, label_keys, None, test_groups, unit, pose, reading, skipped, remarks, standing=True
        )
        skipped.write(Path(out) / "raw_data" / "skipped.txt")
        return path
    except ValueError:
        if skipped.reasons:
            skipped.write(Path(out) / "raw_data" / "skipped.txt")
        raise


def collect(raw, files, read, pattern, table, skipped):
    """(recordings, remarks) of the files in a folder or zip: labelled by --label_pattern or --labels, or not at all."""
    if pattern:
        return recordings.from_pattern(raw, pattern, files, read)
    sources = recordings.of_files(raw, files, read)
    if table:
        return recordings.from_table(raw, table, sources, skipped)
    names = [recordings.below(file, raw)[: -len(SUFFIX)] for file in files]
    return [recordings.Recording(str(file), name, {}, partial(read, file)) for file, name in zip(files, names, strict=True)], []


def main():
    parser = cli.parser("BVH files, the format of motion capture: write one npz (docs/data.md, 'BVH').", out=HERE)
    parser.add_argument("raw", type=Path, metavar="RAW", help="folder of .bvh files, at whatever depth, or a zip of it")
    parser.add_argument("--name", default="bvh", help="what the npz is called")
    labels = parser.add_mutually_exclusive_group()
    labels.add_argument(
        "--label_pattern",
        metavar="REGEX",
        help="labels from the files' paths below RAW: a regular expression "
        "whose named groups are the fields: (?P<label>[a-z]+)_(?P<group>subject\\d)",
    )
    labels.add_argument("--labels", type=Path, dest="table", help="labels from a CSV table name,label,split,group")
    parser.add_argument(
        "--test_groups",
        nargs="+",
        default=(),
        help="groups that are test, all others train; without a group of the pattern or table every file is one of its own",
    )
    parser.add_argument(
        "--joints",
        default=ALL,
        metavar=f"{{{ALL},{kinect.LAYOUT},NAME,NAME,...}}",
        help=f"all of the files, these, or the 20 of {kinect.LAYOUT}, found by the names that are usual",
    )
    parser.add_argument("--end_sites", action="store_true", help="End Sites are joints, too, called NAME_end")
    parser.add_argument(
        "--window",
        type=int,
        default=WINDOW,
        metavar="FRAMES",
        help="cut longer files into equal pieces of at most so many frames; 0: do not",
    )
    parser.add_argument("--target_fps", type=float, default=30.0, help="frames per second they are brought to")
    add_up(parser)
    sequences.add_unit(parser, default=bvh.UNIT, what="of the files, which do not tell: metres per unit, or")
    parser.add_argument(
        "--center",
        metavar="JOINT",
        help="origin at this joint (name or number) of the first frame, or none; "
        "default: the middle of the spine of Kinect v1, else the first joint",
    )
    sequences.add_pose(parser)
    args = vars(parser.parse_args())
    if args["window"] < 0 or not args["target_fps"] > 0:
        parser.error("--window has to be at least 0, and --target_fps above 0")
    generate(args.pop("raw"), **args)


if __name__ == "__main__":
    cli.run(main)

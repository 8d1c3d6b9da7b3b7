"""BVH files, the format of open motion capture: from a folder or zip to one npz (docs/data.md, 'BVH')."""

import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import arguments, bvh, custom_dataset, custom_recordings, kinect, parallel, transforms
from data.prepare.array_files import ArrayFormat
from data.prepare.custom_recordings import CustomSkeleton, Recording

HERE = Path(__file__).resolve().parent
ALL, WINDOW, SUFFIX = "all", 300, ".bvh"


def choose_skeleton(joints, headers, end_sites):
    """The `CustomSkeleton` of --joints: every joint of the skeleton that most files have, those named, or Kinect v1's."""
    if joints == kinect.LAYOUT:
        return custom_recordings.layout_skeleton(kinect.LAYOUT)
    alike = {}
    for header in headers:
        alike.setdefault((*header.names, *header.parents.tolist()), []).append(header)
    header = max(alike.values(), key=len)[0]
    if joints == ALL:
        names = [name for name, end in zip(header.names, header.ends, strict=True) if end_sites or not end]
    else:
        names = [name.strip() for name in joints.split(",")]
    if wrong := [name for name in names if name not in header.names] or [name for name in names if names.count(name) > 1]:
        choice = f"{', '.join(header.names)[:300]}; or {ALL}, or {kinect.LAYOUT}"
        raise ValueError(f"--joints {joints}: {wrong[0]!r} is not a joint, or stands there twice; joints are {choice}")
    return CustomSkeleton("", np.array(names), bvh.parents_among(header, names))


def collect(raw, files, load, pattern, table, skipped):
    """(recordings, remarks) of the files in a folder or zip: labelled by --label_pattern or --labels, or not at all."""
    if pattern:
        return custom_recordings.from_pattern(raw, pattern, files, load)
    if table:
        return custom_recordings.from_table(raw, table, custom_recordings.file_sources(raw, files, load), skipped)
    names = [custom_recordings.path_below(file, raw)[: -len(SUFFIX)] for file in files]
    return [Recording(str(file), name, {}, partial(load, file)) for file, name in zip(files, names, strict=True)], []


def cut(recording, num_frames, window):
    """The recordings that a `window` makes of one: pieces of it, one after the other; all of it if it is not longer."""
    for suffix, part in transforms.pieces(num_frames, window):
        yield Recording(recording.where, recording.name + suffix, recording.fields, lambda part=part: recording.load()[part])


def generate(
    raw, out, name="bvh", label_pattern=None, table=None, joints=ALL, end_sites=False, window=WINDOW, strict=False, **how
):
    """Write out/<name>.npz of the BVH files of a folder or zip; returns its path. The options are those of the command line; how:
    target_fps, up, and those of custom_dataset.write (test_groups, unit, center, body_frame, min_max).

    Without label_pattern and table the npz has no labels, and without test_groups then no test set, either. What cannot be used
    is listed in out/raw_data/skipped.txt, even if that is all; with `strict` the first is a ValueError.
    """
    form = {key: how.pop(key) for key in ("target_fps", "up") if key in how}
    how = {"unit": bvh.UNIT, "label_keys": ["label"] if label_pattern or table else []} | how
    raw, path = Path(raw), Path(out) / f"{name}.npz"
    files = parallel.find_files(raw, SUFFIX)
    path.parent.mkdir(parents=True, exist_ok=True)
    # joints are parsed once and kept in a temporary file, (T, V, 3) float64 of one BVH file after the other
    with (
        tempfile.TemporaryFile(dir=path.parent) as parsed,
        parallel.Skipped(strict, path.parent / "raw_data" / "skipped.txt") as skipped,
    ):
        headers = dict(parallel.each(bvh.read_header, files, "hierarchies", skipped))
        if not headers:
            raise ValueError(f"{raw}: no recording can be used{skipped.first()}")
        skeleton = choose_skeleton(joints, headers.values(), end_sites)
        center, body_frame = how.pop("center", None), how.get("body_frame")
        if center is None and body_frame is None:
            center = transforms.SPINE if skeleton.layout else str(skeleton.joint_names[0])
        how["center"] = None if center == "none" else center
        transforms.pose(how["center"], body_frame, skeleton.joint_names, skeleton.num_joints())  # complains before reading
        read = partial(bvh.load, names=skeleton.joint_names, **form)
        begin, shape = {}, {}  # of every file: where it begins in bytes, (T, V, 3)
        for file, x in parallel.each(read, [*headers], "frames", skipped):
            begin[file], shape[file] = parsed.tell(), x.shape
            parsed.write(x.tobytes())
        parsed.flush()

        def load(file):
            return np.memmap(parsed, np.float64, "r", begin[file], shape[file])

        recordings, remarks = collect(raw, [*shape], load, label_pattern, table, skipped)
        length = {str(file): num_frames for file, (num_frames, _, _) in shape.items()}
        for recording in recordings:
            recording.fields.setdefault("group", recording.name)  # the pieces of a file stay together
        recordings = [part for recording in recordings for part in cut(recording, length[recording.where], window)]
        how |= {"form": ArrayFormat(**form), "remarks": remarks, "standing": True}
        custom_dataset.write(path, recordings, skeleton, skipped, raw, **how)
    return path


def main():
    parser = arguments.parser("BVH files, the format of motion capture: write one npz (docs/data.md, 'BVH').", out=HERE)
    arguments.add_raw(parser, "folder of .bvh files, at whatever depth, or a zip of it")
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
    arguments.add_window(parser, WINDOW)
    arguments.add_time_and_up(parser)
    arguments.add_unit(parser, default=bvh.UNIT, what="of the files, which do not tell: metres per unit, or")
    parser.add_argument(
        "--center",
        metavar="JOINT",
        help="origin at this joint (name or number) of the first frame, or none; "
        "default: the middle of the spine of Kinect v1, else the first joint",
    )
    arguments.add_pose(parser)
    args = vars(parser.parse_args())
    if not args["raw"]:
        parser.error("no RAW given")
    generate(args.pop("raw"), **args)


if __name__ == "__main__":
    arguments.run(main)

"""BVH files (motion capture) of a folder or zip -> one npz (docs/data.md, 'BVH')."""

import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import arguments, bvh, custom_dataset, custom_recordings, custom_skeleton, kinect, parallel, transforms
from data.prepare.array_files import ArrayFormat
from data.prepare.custom_skeleton import CustomSkeleton
from util import errors

HERE = Path(__file__).resolve().parent
ALL, WINDOW, SUFFIX = "all", 300, ".bvh"


def choose_skeleton(joints, headers, end_sites):
    """The `CustomSkeleton` of --joints: all or some joints of the most frequent hierarchy among the headers, or Kinect v1's."""
    if joints == kinect.LAYOUT:
        return custom_skeleton.layout_skeleton(kinect.LAYOUT)
    equal = {}
    for header in headers:
        equal.setdefault((*header.names, *header.parents.tolist()), []).append(header)
    header = max(equal.values(), key=len)[0]
    if joints == ALL:
        names = [name for name, end in zip(header.names, header.ends, strict=True) if end_sites or not end]
    else:
        names = [name.strip() for name in joints.split(",")]
    if wrong := [name for name in names if name not in header.names] or [name for name in names if names.count(name) > 1]:
        choice = f"{', '.join(header.names)[:300]}; or {ALL}, or {kinect.LAYOUT}"
        raise ValueError(f"--joints {joints}: {wrong[0]!r} is not a joint, or is named twice; the joints are {choice}")
    return CustomSkeleton("", np.array(names), bvh.parents_among(header, names), certain=True)


def generate(
    raw, out, name="bvh", label_pattern=None, table=None, joints=ALL, end_sites=False, window=WINDOW, strict=False, **how
):
    """Write out/<name>.npz of the BVH files of a folder or zip; returns its path.

    The arguments are the options of the command line. how: target_fps, up, and those of custom_dataset.write (test_groups,
    test_ratio, split_seed, unit, center, body_frame, min_max). Without label_pattern and table the npz has no labels, and a test
    set only with test_groups or test_ratio.
    Unusable files are listed in out/raw_data/<name>_skipped.txt, also if all are; with `strict` the first one raises ValueError.
    """
    form = {key: how.pop(key) for key in ("target_fps", "up") if key in how}
    how = {"unit": bvh.UNIT, "label_keys": ["label"] if label_pattern or table else []} | how
    raw, path = Path(raw), Path(out) / f"{name}.npz"
    files = parallel.find_files(raw, SUFFIX)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Each BVH file is parsed once; its joints, (T, V, 3) float64, are appended to a temporary file.
    with tempfile.TemporaryFile(dir=path.parent) as parsed, parallel.Skipped(strict, parallel.skipped_path(path)) as skipped:
        headers = dict(parallel.each(bvh.read_header, files, "hierarchies", skipped))
        if not headers:
            raise ValueError(f"{raw}: no recording can be used{skipped.first()}")
        skeleton = choose_skeleton(joints, headers.values(), end_sites)
        center, body_frame = how.pop("center", None), how.get("body_frame")
        if center is None and body_frame is None:
            center = transforms.SPINE if skeleton.layout else str(skeleton.joint_names[0])
        how["center"] = None if center == "none" else center
        # raises for unknown joints, before minutes of reading
        transforms.origin_and_frame_joints(how["center"], body_frame, skeleton.joint_names, skeleton.num_joints())
        read = partial(bvh.load, names=skeleton.joint_names, **form)
        begin, shape = {}, {}  # {file: offset of its joints in bytes}, {file: (T, V, 3)}
        for file, x in parallel.each(read, [*headers], "frames", skipped):
            begin[file], shape[file] = parsed.tell(), x.shape
            parsed.write(x.tobytes())
        parsed.flush()

        def load(file):
            return np.memmap(parsed, np.float64, "r", begin[file], shape[file])

        recordings = custom_recordings.from_files(raw, [*shape], load)
        recordings, remarks = custom_recordings.with_fields(raw, recordings, skipped, label_pattern, table)
        length = {str(file): num_frames for file, (num_frames, _, _) in shape.items()}
        recordings = custom_recordings.cut([(recording, length[recording.where]) for recording in recordings], window)
        how |= {"form": ArrayFormat(**form), "remarks": remarks, "standing": True}
        custom_dataset.write(path, recordings, skeleton, skipped, raw, **how)
    return path


def main():
    parser = arguments.parser("BVH files (motion capture): write one npz (docs/data.md, 'BVH').", out=HERE)
    arguments.add_raw(parser, "folder of .bvh files, subfolders included, or a zip of it")
    parser.add_argument("--name", default="bvh", help="name of the npz")
    arguments.add_labels(parser)
    parser.add_argument(
        "--joints",
        default=ALL,
        metavar=f"{{{ALL},{kinect.LAYOUT},NAME,NAME,...}}",
        help=f"all joints of the files, the named ones, or the 20 of {kinect.LAYOUT}, found by their usual names",
    )
    parser.add_argument("--end_sites", action="store_true", help="use End Sites as joints, too, named NAME_end")
    arguments.add_window(parser, WINDOW)
    arguments.add_time_and_up(parser)
    arguments.add_unit(parser, default="cm", what="unit of the files, which do not say it")
    parser.add_argument(
        "--center",
        metavar="JOINT",
        help="joint (name or number) whose position in the first frame is the origin, or none; "
        "default: the middle of the spine of Kinect v1, else the first joint",
    )
    arguments.add_body_frame(parser)
    args = vars(parser.parse_args())
    if not args["raw"]:
        parser.error("no RAW given")
    generate(args.pop("raw"), **args)


if __name__ == "__main__":
    errors.main(main)

"""One's own recordings: from a folder or npz of sequences with a table, or from flat npz files, to one npz (docs/data.md)."""

import dataclasses
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import arguments, custom_dataset, custom_recordings, parallel
from data.prepare.array_files import ArrayFormat
from feeder.skeleton import LAYOUTS

HERE = Path(__file__).resolve().parent


def collect(raws, table, pattern, offset_key, form, skipped):
    """(recordings, `CustomSkeleton`, remarks) of `raws`: flat npz files, or one folder or npz with a table or a pattern."""
    for raw in raws:
        if not raw.exists():
            raise FileNotFoundError(f"{raw}: no such folder or npz file; name it on the command line")
    if table is None and pattern is None and all(custom_recordings.is_flat(raw, offset_key) for raw in raws):
        parts, skeletons = zip(*(custom_recordings.from_flat(raw, form.key, offset_key, form) for raw in raws), strict=True)
        for raw, skeleton in zip(raws, skeletons, strict=True):
            for what in ("joint_names", "parents"):
                if not np.array_equal(getattr(skeleton, what), getattr(skeletons[0], what)):
                    raise ValueError(f"{raw}: its {what} are not those of {raws[0]}")
        return [recording for part in parts for recording in part], skeletons[0], []
    if len(raws) > 1:
        raise ValueError(f"{' '.join(map(str, raws))}: several are for flat npz files (with an array 'offset') only")
    raw, skeleton = raws[0], custom_recordings.CustomSkeleton()
    if pattern is not None:
        if table is not None or not raw.is_dir():
            raise ValueError(f"{raw}: --label_pattern is for the files of a folder, instead of a table")
        recordings, remarks = custom_recordings.from_pattern(raw, pattern, custom_recordings.files_in(raw), form.read)
        return recordings, skeleton, remarks
    table = table or (raw if raw.is_dir() else raw.parent) / custom_recordings.TABLE
    if not table.is_file():
        raise FileNotFoundError(
            f"{table}: no such table (columns name,label,split,group); write it, name it with --labels, or "
            "take labels from file names with --label_pattern"
        )
    if raw.is_dir():
        files = [file for file in custom_recordings.files_in(raw) if file.resolve() != table.resolve()]
        sources = custom_recordings.file_sources(raw, files, form.read)
    else:
        sources = custom_recordings.npz_sources(raw, form)
    recordings, remarks = custom_recordings.from_table(raw, table, sources, skipped)
    return recordings, skeleton, remarks


def generate(
    raws, out, name="own", table=None, label_pattern=None, offset_key="offset", layout=None, joints_file=None, strict=False, **how
):
    """Write out/<name>.npz from folders or files `raws`; returns its path. The options are those of the command line; how: those
    of custom_dataset.write (label_keys, group_key, test_groups, unit, center, body_frame, min_max), and fields of ArrayFormat.

    What cannot be used is listed in out/raw_data/skipped.txt, even if that is all; with `strict` the first is a ValueError.
    """
    raws, path, skeleton = list(map(Path, raws)), Path(out) / f"{name}.npz", None
    if layout:
        skeleton = custom_recordings.layout_skeleton(layout)
    elif joints_file:
        skeleton = custom_recordings.read_skeleton_file(joints_file)
    num_joints = skeleton.num_joints() if skeleton and not how.get("joint_order") else None
    form = {field.name: how.pop(field.name) for field in dataclasses.fields(ArrayFormat) if field.name in how}
    form, how = ArrayFormat(num_joints=num_joints, **form), {"label_keys": ["label"]} | how
    with parallel.Skipped(strict, Path(out) / "raw_data" / "skipped.txt") as skipped:
        recordings, their_skeleton, remarks = collect(raws, table, label_pattern, offset_key, form, skipped)
        skeleton = skeleton or their_skeleton
        custom_dataset.write(path, recordings, skeleton, skipped, raws[0], form=form, remarks=remarks, **how)
    return path


def main():
    parser = arguments.parser("Your own recordings: write one npz (docs/data.md, 'Your own').", out=HERE)
    what = "folder or npz of sequences, or flat npz files (with an array 'offset')"
    arguments.add_raw(parser, what, [HERE.parent / "own_raw"], many=True)
    parser.add_argument("--name", default="own", help="what the npz is called")
    parser.add_argument("--labels", type=Path, dest="table", help="CSV table name,label,split,group; default: labels.csv there")
    parser.add_argument(
        "--label_pattern",
        metavar="REGEX",
        help="instead of a table: regular expression for a file's path below "
        "the folder; its named groups are the fields: (?P<label>a\\d+)_(?P<group>s\\d+)",
    )
    parser.add_argument("--joints_key", dest="key", default="joints", help="array of the joints where a file has several")
    parser.add_argument("--offset_key", default="offset", help="array of the sequences' first frames in a flat npz")
    keys = "fields that make the class together; 'file' is the name of the flat npz"
    parser.add_argument("--label_key", nargs="+", dest="label_keys", default=["label"], help=keys)
    parser.add_argument("--group_key", help="field of the group; default: group or subject")
    parser.add_argument("--test_groups", nargs="+", default=(), help="groups that are test, all others train; instead of a split")
    skeleton = parser.add_mutually_exclusive_group()
    skeleton.add_argument("--layout", choices=LAYOUTS, help="joint layout")
    skeleton.add_argument("--joints", type=Path, dest="joints_file", help="YAML or JSON file with joint_names and parents")
    arguments.add_format(parser)
    arguments.add_unit(parser)
    parser.add_argument("--center", metavar="JOINT", help="move the origin to this joint (name or number) of the first frame")
    arguments.add_pose(parser)
    args = vars(parser.parse_args())
    generate(args.pop("raw"), **args)


if __name__ == "__main__":
    arguments.run(main)

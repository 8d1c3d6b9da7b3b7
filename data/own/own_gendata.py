"""Your own recordings -> one npz (docs/data.md, 'Your own')."""

import dataclasses
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import arguments, custom_dataset, custom_recordings, custom_skeleton, parallel
from data.prepare.array_files import SUFFIXES, ArrayFormat
from feeder.skeleton import LAYOUTS
from util import console, errors
from util.files import check_output

HERE = Path(__file__).resolve().parent
ABOUT = {"file", "name", "group", "subject", "fps"}  # fields that are no labels


def collect(raws, table, pattern, offset_key, form, skipped):
    """(recordings, `CustomSkeleton`, remarks) of `raws`: flat npz files, or one folder, npz of sequences or file of another kind.

    Without table and pattern, recordings have the fields of labels.csv if the folder has one, else none.
    """
    for raw in raws:
        if not raw.exists():
            raise FileNotFoundError(f"{raw}: no such folder or npz file; name it on the command line")
        if raw.is_file() and raw.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{raw}: ends in none of {', '.join(SUFFIXES)}")
    if table is None and pattern is None and all(custom_recordings.is_flat(raw, offset_key) for raw in raws):
        parts, skeletons = zip(*(custom_recordings.from_flat(raw, form.key, offset_key, form) for raw in raws), strict=True)
        for raw, skeleton in zip(raws, skeletons, strict=True):
            for what in ("joint_names", "parents"):
                if not np.array_equal(getattr(skeleton, what), getattr(skeletons[0], what)):
                    raise ValueError(f"{raw}: its {what} are not those of {raws[0]}")
        return [recording for part in parts for recording in part], skeletons[0], []
    if len(raws) > 1:
        raise ValueError(f"{' '.join(map(str, raws))}: only flat npz files (with an array 'offset') can be several")
    (raw,) = raws
    single = raw.is_file() and raw.suffix.lower() != ".npz"
    default = (raw.parent if raw.is_file() else raw) / custom_recordings.TABLE
    table = table or (default if pattern is None and not single and default.is_file() else None)
    if raw.is_dir():
        tables = [path.resolve() for path in (table, default) if path]
        files = [file for file in custom_recordings.files_in(raw) if file.resolve() not in tables]
        recordings = custom_recordings.from_files(raw, files, form.read)
    elif single:
        recordings = custom_recordings.from_files(raw.parent, [raw], form.read)
    else:
        recordings = custom_recordings.from_npz(raw, form)
    recordings, remarks = custom_recordings.with_fields(raw, recordings, skipped, pattern, table)
    return recordings, custom_skeleton.CustomSkeleton(), remarks


def number_of_frames(recording):
    """T; 1 for a recording that cannot be read, which is said when it is read again."""
    try:
        return recording.load().shape[-3]
    except (ValueError, OSError):
        return 1


def generate(
    raws,
    out,
    name="own",
    table=None,
    label_pattern=None,
    offset_key="offset",
    layout=None,
    joints_file=None,
    window=0,
    strict=False,
    **how,
):
    """Write out/<name>.npz of a folder, an npz or flat npz files `raws`; returns its path.

    The arguments are the options of the command line. how: those of custom_dataset.write (label_keys, group_key, test_groups,
    test_ratio, split_seed, unit, center, body_frame, min_max), and the fields of `ArrayFormat`. Without labels all recordings are
    for training. Unusable recordings are listed in out/raw_data/<name>_skipped.txt, also if all are; with `strict` the first one
    raises ValueError.
    """
    raws, path, skeleton = list(map(Path, raws)), Path(out) / f"{name}.npz", None
    check_output("--out and --name:", path, raws)
    if layout:
        skeleton = custom_skeleton.layout_skeleton(layout)
    elif joints_file:
        skeleton = custom_skeleton.read_skeleton_file(joints_file)
    num_joints = skeleton.num_joints() if skeleton and not how.get("joint_order") else None
    form = {field.name: how.pop(field.name) for field in dataclasses.fields(ArrayFormat) if field.name in how}
    form, how = ArrayFormat(num_joints=num_joints, **form), {"label_keys": ["label"]} | how
    with parallel.Skipped(strict, parallel.skipped_path(path)) as skipped:
        recordings, their_skeleton, remarks = collect(raws, table, label_pattern, offset_key, form, skipped)
        if layout and form.checks:
            custom_skeleton.compare_names(their_skeleton.joint_names, skeleton, f"{raws[0]}: joint_names", f"--layout {layout}")
        skeleton = custom_skeleton.with_midpoints(skeleton or their_skeleton, form.midpoints)
        recordings, form = custom_recordings.at_their_rate(recordings, form)
        if window:
            lengths = map(number_of_frames, console.bar(recordings, "lengths", len(recordings), "file"))
            recordings = custom_recordings.cut(zip(recordings, lengths, strict=True), window)
        columns = set().union(*(recording.fields for recording in recordings))
        if recordings and columns <= ABOUT and how["label_keys"] == ["label"]:
            how["label_keys"] = []
            missing = "field 'label'" if columns else f"{custom_recordings.TABLE}, --labels or --label_pattern"
            split = "" if how.get("test_groups") or how.get("test_ratio") else "everything is for training, "
            print(f"{raws[0]}: no {missing}: {split}without labels")
        custom_dataset.write(path, recordings, skeleton, skipped, raws[0], form=form, remarks=remarks, **how)
    return path


def main():
    parser = arguments.parser("Your own recordings: write one npz (docs/data.md, 'Your own').", out=HERE)
    what = "folder of recordings, one recording, npz with an array per recording, or flat npz files (with an array 'offset')"
    arguments.add_raw(parser, what, [HERE.parent / "own_raw"], many=True)
    parser.add_argument("--name", default="own", help="name of the npz")
    arguments.add_labels(parser)
    parser.add_argument("--joints_key", dest="key", default="joints", help="array with the joints, in files of several arrays")
    parser.add_argument("--offset_key", default="offset", help="array with the first frame of each sequence, in a flat npz")
    keys = "columns whose values together are the class; 'file' is the name of the flat npz"
    parser.add_argument("--label_key", nargs="+", dest="label_keys", metavar="COLUMN", default=["label"], help=keys)
    parser.add_argument("--group_key", metavar="COLUMN", help="column with the group; default: group or subject")
    skeleton = parser.add_mutually_exclusive_group()
    skeleton.add_argument("--layout", choices=LAYOUTS, help="joint layout")
    joints = "YAML or JSON file with parents and perhaps joint_names"
    skeleton.add_argument("--joints", type=Path, dest="joints_file", metavar="FILE", help=joints)
    arguments.add_format(parser)
    arguments.add_window(parser, 0)
    arguments.add_unit(parser)
    center = "joint (name or number) whose position in the first frame is the origin"
    parser.add_argument("--center", metavar="JOINT", help=center)
    arguments.add_body_frame(parser)
    args = vars(parser.parse_args())
    generate(args.pop("raw"), **args)


if __name__ == "__main__":
    errors.main(main)

"""One's own recordings: from a folder or npz of sequences with a table, or from flat npz files, to one npz (docs/data.md)."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.prepare import batch, cli, doubts, recordings, sequences
from data.prepare.npz import Split, write_dataset
from data.prepare.reading import Reading, add_options
from feeder.skeleton import LAYOUTS

HERE = Path(__file__).resolve().parent
SIDES = ("train", "test")


def collect(raws, table, pattern, offset_key, reading, skipped):
    """(recordings, `Skeleton`, remarks) of the flat npz files, or of the one folder or npz with a table or a pattern, `raws`."""
    for raw in raws:
        if not raw.exists():
            raise FileNotFoundError(f"{raw}: no such folder or npz file; name it on the command line")
    if table is None and pattern is None and all(recordings.is_flat(raw, offset_key) for raw in raws):
        found, skeletons = zip(*(recordings.from_flat(raw, reading.key, offset_key, reading) for raw in raws), strict=True)
        for raw, skeleton in zip(raws, skeletons, strict=True):
            for what in ("joint_names", "parents"):
                if not np.array_equal(getattr(skeleton, what), getattr(skeletons[0], what)):
                    raise ValueError(f"{raw}: its {what} are not those of {raws[0]}")
        return [recording for part in found for recording in part], skeletons[0], []
    if len(raws) > 1:
        raise ValueError(f"{' '.join(map(str, raws))}: several are for flat npz files (with an array 'offset') only")
    raw = raws[0]
    if pattern is not None:
        if table is not None or not raw.is_dir():
            raise ValueError(f"{raw}: --label_pattern is for the files of a folder, instead of a table")
        found, remarks = recordings.from_pattern(raw, pattern, reading)
        return found, recordings.Skeleton(), remarks
    table = table or (raw if raw.is_dir() else raw.parent) / recordings.TABLE
    if not table.is_file():
        raise FileNotFoundError(f"{table}: no such table (columns name,label,split,group); write it, name it with --labels, or "
                                "take labels from file names with --label_pattern")  # fmt: skip
    found, remarks = recordings.from_table(raw, table, reading, skipped)
    return found, recordings.Skeleton(), remarks


def side(recording, group_key, test_groups):
    """'train' or 'test'. Raises ValueError if the recording does not say which."""
    if test_groups:
        if group_key is None:
            raise ValueError(f"{recording.where}: has no field group or subject for --test_groups; name one with --group_key")
        return "test" if recording.fields[group_key] in test_groups else "train"
    word = recording.fields.get("split")
    if word not in SIDES:
        raise ValueError(f"{recording.where}: {recording.name!r}: split " + (f"{word!r} is neither train nor test" if word else
                         "is missing; it is train or test, or --test_groups says which groups are test"))  # fmt: skip
    return word


def classes(labels):
    """[(label, ...)] -> {label: class from 0}: the different labels in order, as numbers where all of them are numbers."""
    different = set(labels)
    numeric = [all(re.fullmatch(r"-?\d+", label[i]) for label in different) for i in range(len(labels[0]))]
    ordered = sorted(different, key=lambda label: [int(x) if n else x for x, n in zip(label, numeric, strict=True)])
    return {label: i for i, label in enumerate(ordered)}


def examine(source, found, label_keys, group_key, test_groups, skeleton, skipped, remarks=()):
    """Read every recording once: [(recording, (label, side, group, T, M, V, C)), ...] of those that can be used, and `Looks`.

    remarks go to `skipped` after what is wrong with recordings. Raises ValueError naming `source` if there are none.
    """
    facts, names, looks, doubtful = [], {}, Looks(skeleton), []
    expected = skeleton.num_joints()

    def fact(recording):
        if recording.name in names:
            raise ValueError(f"{recording.where}: {recording.name!r} is the name of {names[recording.name]}, too")
        if len(recording.name) > sequences.MAX_NAME:
            raise ValueError(f"{recording.where}: its name is longer than {sequences.MAX_NAME} characters")
        label = tuple(recording.fields[key] for key in label_keys)
        if not all(label):
            raise ValueError(f"{recording.where}: {recording.name!r}: has no label")
        which, group = side(recording, group_key, test_groups), recording.fields.get(group_key) or recording.name
        try:
            bodies = load(recording)
        except doubts.Doubt as error:
            doubtful.append(error)
            raise
        if expected and bodies.shape[2] != expected:
            raise ValueError(f"{recording.where}: {bodies.shape[2]} joints, the skeleton has {expected}")
        names[recording.name] = recording.where
        looks.add(recording.where, bodies)
        num_bodies, num_frames, *shape = bodies.shape
        return label, which, group, num_frames, num_bodies, *shape

    for recording, result in batch.each(fact, found, "reading", skipped):
        facts.append((recording, result))
    for remark in remarks:
        skipped.add(remark)
    if not facts:
        reason = f"; the first: {skipped.reasons[0]}" if skipped.reasons else ""
        raise ValueError(f"{source}: no recording can be used{reason}")
    if len(doubtful) > len(facts):
        share = f"{len(doubtful)} of {len(found)} recordings look misread, so the others may be, too"
        raise ValueError(f"{source}: {share}; the first: {doubtful[0]}")
    most = Counter(result[5:] for _, result in facts).most_common(1)[0][0]
    for recording, result in facts:
        if result[5:] != most:
            skipped.add(f"{recording.where}: {result[5]} joints x {result[6]} coordinates, most have {most[0]} x {most[1]}")
    return [(recording, result) for recording, result in facts if result[5:] == most], looks


class Looks:
    """How large the bodies of all recordings are and how their bones are, of which the whole data set is doubted."""

    def __init__(self, skeleton):
        self.skeleton, self.sizes, self.trees, self.changing = skeleton, [], [], []

    def add(self, where, bodies):
        self.sizes.append(doubts.extent(bodies))
        if self.skeleton.parents is not None and bodies.shape[3] == 3:
            tree, change = doubts.bones(bodies, self.skeleton.parents)
            self.trees.append(tree)
            self.changing += [where] * bool(change > doubts.CHANGE)

    def size(self):
        return float(np.median(self.sizes))

    def lines(self, unit, dims):
        """Warnings. Raises ValueError if the bones are not those of the layout."""
        lines = [doubts.unit(self.size(), unit)] if dims == 3 else []
        if self.trees and (tree := np.median(self.trees)) > doubts.WRONG_TREE:
            layout = self.skeleton.layout
            line = f"bones are {tree:.1f} times as long as the shortest that join these joints, so the joints have another order"
            if layout:
                raise ValueError(f"--layout {layout}: {line}; --joint_order puts them right, --no_checks takes them as they are")
            lines.append(f"{line} than 'parents' says")
        if self.changing:
            count, all_of_them = len(self.changing), len(self.sizes)
            lines.append(
                f"{count} of {all_of_them} recordings have bones that change their length {doubts.CHANGE} times or more: "
                f"perhaps misread; the first: {self.changing[0]}"
            )
        return list(filter(None, lines))


def load(recording):
    """(M, T, V, C) of a recording, what is empty left out. Raises ValueError naming it."""
    try:
        return sequences.seen(recording.load())
    except doubts.Doubt:
        raise
    except ValueError as error:
        known = str(error).startswith(recording.where)
        raise ValueError(str(error) if known else f"{recording.where}: {error}") from error


def generate(raws, out, name="own", table=None, label_pattern=None, offset_key="offset", label_keys=("label",), group_key=None,
             test_groups=(), layout=None, joints_file=None, unit=1.0, center=None, body_frame=None, min_max=False, strict=False,
             joints_key="joints", **how):  # fmt: skip
    """Write out/<name>.npz from folders or files `raws`; returns its path. The options are those of the command line; how: of
    data.prepare.reading.Reading.

    What cannot be used is listed in out/raw_data/skipped.txt, even if that is all; with `strict` the first is a ValueError.
    """
    raws, skipped, skeleton = list(map(Path, raws)), batch.Skipped(strict), None
    if layout:
        skeleton = recordings.named_skeleton(layout)
    elif joints_file:
        skeleton = recordings.read_skeleton_file(joints_file)
    known = skeleton.num_joints() if skeleton and not how.get("joint_order") else None
    reading = Reading(key=joints_key, num_joints=known, **how)
    try:
        found, theirs, remarks = collect(raws, table, label_pattern, offset_key, reading, skipped)
        path, skeleton = Path(out) / f"{name}.npz", skeleton or theirs
        _write(raws[0], path, found, skeleton, label_keys, group_key, test_groups, unit,
               (center, body_frame, min_max), reading, skipped, remarks)
        skipped.write(Path(out) / "raw_data" / "skipped.txt")
        return path
    except ValueError:
        if skipped.reasons:
            skipped.write(Path(out) / "raw_data" / "skipped.txt")
        raise


def _write(source, path, found, skeleton, label_keys, group_key, test_groups, unit, pose, reading, skipped, remarks):
    """Write the npz `path` of recordings."""
    fields = set.intersection(*(set(recording.fields) for recording in found)) if found else set()
    group_key = group_key or next((key for key in ("group", "subject") if key in fields), None)
    for key in (*label_keys, *filter(None, [group_key])):
        if found and key not in fields:
            raise ValueError(f"{source}: no field {key!r}; there are {', '.join(sorted(fields))}")
    if absent := set(test_groups) - {recording.fields[group_key] for recording in found if group_key}:
        raise ValueError(f"--test_groups {sorted(absent)[0]}: no recording is of this group")
    facts, looks = examine(source, found, label_keys, group_key, test_groups, skeleton, skipped, remarks)
    center, body_frame, min_max = pose
    num_joints = facts[0][1][5]
    origin, axes = sequences.pose(center, body_frame, skeleton.joint_names, num_joints)

    def row(recording):
        try:
            return sequences.row(load(recording), unit, origin, axes, min_max)
        except ValueError as error:
            raise ValueError(f"{recording.where}: {error}") from error

    if axes is not None:  # not every body has them
        facts = [fact for fact, _ in batch.each(lambda fact: row(fact[0]), facts, "turning", skipped)]
        if not facts:
            raise ValueError(f"{source}: no recording can be turned; the first: {skipped.reasons[-1]}")
    number = classes([result[0] for _, result in facts])
    num_bodies, num_frames = max(result[4] for _, result in facts), max(result[3] for _, result in facts)
    warnings = looks.lines(unit, facts[0][1][6]) if reading.checks else []
    splits, absent = {}, {}
    for key in SIDES:
        here = [(recording, result) for recording, result in facts if result[1] == key]
        if not here:
            raise ValueError(f"{source}: no recording that can be used is for {key}")
        labels = np.array([number[result[0]] for _, result in here])
        arrays = (row(recording) for recording, _ in here)
        splits[key] = Split([recording.name for recording, _ in here], labels, arrays, [result[2] for _, result in here])
        absent[key] = [" ".join(label) for label, i in number.items() if i not in labels]
    write_dataset(path, splits, num_frames, len(number), num_joints, num_bodies, skeleton.layout,
                  class_names=np.array([" ".join(label) for label in number]),
                  joint_names=None if skeleton.layout else skeleton.joint_names,
                  parents=None if skeleton.layout else skeleton.parents,
                  center=-1 if origin is None else origin, body_frame=axes, min_max=int(min_max) or None,
                  body_size=looks.size() * unit if min_max else None, unit=unit, coordinates=facts[0][1][6],
                  how=json.dumps(reading.plain()) if reading.plain() else None)  # fmt: skip
    counts = ", ".join(f"{len(splits[key].names):,} {key}" for key in SIDES)
    notes = [", z is 0"] * (facts[0][1][6] == 2) + ["; no bones: see --layout and --joints"] * (skeleton.parents is None)
    print(f"{path}: {counts}, {len(number)} classes, up to {num_frames} frames, {num_bodies} bodies, {num_joints} joints",
          *notes, sep="")  # fmt: skip
    if list(number) != [(str(i),) for i in range(len(number))]:
        shown = [f"{i} = {' '.join(label)!r}" for label, i in number.items()]
        print("  classes:", ", ".join(shown[:4]) + (f", ... {shown[-1]}" if len(shown) > 4 else ""))
    for key in SIDES:
        if absent[key]:
            print(f"  {key} has no sample of {len(absent[key])} classes: {', '.join(absent[key][:10])}")
    for warning in warnings:
        print(f"  warning: {warning}")


def main():
    parser = cli.parser("Your own recordings: write one npz (docs/data.md, 'Your own').", out=HERE)
    what = "folder or npz of sequences, or flat npz files (with an array 'offset')"
    parser.add_argument("raws", type=Path, nargs="*", metavar="RAW", help=f"{what}; default: data/own_raw")
    parser.add_argument("--raw", type=Path, nargs="+", help="the same, named")
    parser.add_argument("--name", default="own", help="what the npz is called")
    parser.add_argument("--labels", type=Path, dest="table", help="CSV table name,label,split,group; default: labels.csv there")
    parser.add_argument("--label_pattern", metavar="REGEX", help="instead of a table: regular expression for a file's path below "
                        "the folder; its named groups are the fields: (?P<label>a\\d+)_(?P<group>s\\d+)")  # fmt: skip
    parser.add_argument("--joints_key", default="joints", help="array of the joints where a file has several")
    parser.add_argument("--offset_key", default="offset", help="array of the sequences' first frames in a flat npz")
    parser.add_argument("--label_key", nargs="+", dest="label_keys", default=["label"],
                        help="fields that make the class together; 'file' is the name of the flat npz")  # fmt: skip
    parser.add_argument("--group_key", help="field of the group; default: group or subject")
    parser.add_argument("--test_groups", nargs="+", default=(), help="groups that are test, all others train; instead of a split")
    skeleton = parser.add_mutually_exclusive_group()
    skeleton.add_argument("--layout", choices=LAYOUTS, help="joint layout")
    skeleton.add_argument("--joints", type=Path, dest="joints_file", help="YAML or JSON file with joint_names and parents")
    add_options(parser)
    sequences.add_unit(parser)
    parser.add_argument("--center", metavar="JOINT", help="move the origin to this joint (name or number) of the first frame")
    sequences.add_pose(parser)
    args = vars(parser.parse_args())
    named = args.pop("raw")
    if named and args["raws"]:
        parser.error(f"--raw {named[0]}: {args['raws'][0]} is named already; give all with or all without --raw")
    generate(**args | {"raws": named or args["raws"] or [HERE.parent / "own_raw"]})


if __name__ == "__main__":
    cli.run(main)

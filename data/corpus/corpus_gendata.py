"""An open corpus for pre-training: NW-UCLA, Bandai-Namco, UI-PRMD and IntelliRehabDS, or some of them, as one npz: one body of
the 20 joints of Kinect v1, metres, 30 frames a second, no labels.

Test sets are left out (`Source.without`). Sources, licences and numbers of sequences are in the npz and in a text beside it.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import arguments, bvh, custom_recordings, kinect, parallel, transforms, ucla
from feeder.npz import Split, write_dataset
from feeder.skeleton import joint_names
from feeder.units import body_size
from util import errors
from util.files import write_text

HERE = Path(__file__).resolve().parent
FPS, WINDOW, NUM_JOINTS = 30, 300, 20
ORIGIN = joint_names(kinect.LAYOUT).index("spine mid")

BANDAI_NAMES = re.compile(r"dataset-\d_(?P<label>.+)_(?P<group>.+)_\d+\.bvh")
BANDAI_TEST = ("childish", "elderly", "exhausted", "old", "tired", "youthful")  # the styles of age and of tiredness
UI_PRMD_TEST = ("2", "4", "6", "8", "10")  # subjects
IRDS_TEST = ("217",)  # subjects
# UI-PRMD has other names for Kinect v2's joints. By its bones "neck" is 0.03 m above the shoulders, "head" 0.10 m, "head_tip"
# 0.25 m; in IntelliRehabDS "spine shoulder" is 0.03 m above them, "neck" 0.09 m, "head" 0.23 m.
UI_PRMD_JOINTS = {"spine": "spine mid", "neck": "spine shoulder", "head": "neck", "head_tip": "head"}


@dataclass(frozen=True)
class Source:
    """A data set of the corpus. without: its test set, which is left out. read: (paths, skipped) -> iterable of (name, group,
    joints (T, 20, 3) in metres)."""

    title: str
    licence: str
    paper: str
    without: str
    read: Callable


def read_ucla(paths, skipped):
    """NW-UCLA's training views without sequences that equal a test sequence: in the distributed files, two classes of view 3 are
    copies of view 2."""
    sequences = list(parallel.each(ucla.read_sequence, ucla.find_files(paths[0]), "NW-UCLA", skipped))
    test = {joints.tobytes() for _, (joints, _, view) in sequences if view in ucla.VIEWS["test"]}
    for file, (joints, _, view) in sequences:
        if view in ucla.VIEWS["train"] and joints.tobytes() not in test:
            yield file.name.removesuffix(".json"), re.search(r"s\d+", file.name)[0], joints


def read_bandai(paths, skipped):
    """Bandai-Namco's training styles; the group is the style, since the performers are not named."""
    files = []
    for file in (file for path in paths for file in parallel.find_files(path, ".bvh")):
        match = BANDAI_NAMES.fullmatch(file.name)
        if not match:
            skipped.add(f"{file}: not a name of the form dataset-1_CONTENT_STYLE_001.bvh")
        elif match["group"] not in BANDAI_TEST:
            files.append((file, match["group"]))
    for (file, group), joints in parallel.each(_bandai, files, "Bandai-Namco", skipped):
        yield file.name.removesuffix(".bvh"), group, joints


def _bandai(item):
    return bvh.load(item[0], joint_names(kinect.LAYOUT), FPS) * bvh.UNIT


def read_flat(renamed, test, paths, skipped):
    """Flat npz files of Kinect v2's joints, in 0.1 mm, without the subjects `test`; renamed: {name of a joint: Kinect's name}."""
    for path in paths:
        recordings, skeleton = custom_recordings.from_flat(path, "joints_tenth_mm")
        if skeleton.joint_names is None or "subject" not in recordings[0].fields:
            raise ValueError(f"{path}: needs the arrays subject and joint_names, beside joints_tenth_mm and offset")
        names = [renamed.get(str(name), str(name)) for name in skeleton.joint_names]
        recordings = [recording for recording in recordings if recording.fields["subject"] not in test]

        def load(recording, names=names, skeleton=skeleton):
            joints = transforms.drop_empty(recording.load())[0] * 1e-4
            return kinect.kinect_v1(joints, names, skeleton.parents, recording.where)

        for recording, joints in parallel.each(load, recordings, Path(path).stem, skipped):
            yield recording.name, recording.fields["subject"], joints


# papers, and what is left out of each set
UCLA = "Wang et al., Cross-view Action Modeling, Learning and Recognition, CVPR 2014"
BANDAI = "Kobayashi et al., Motion Capture Dataset for Practical Use of AI-based Motion Editing and Stylization"
UI_PRMD = "Vakanski et al., A Data Set of Human Body Movements for Physical Rehabilitation Exercises, Data 2018"
IRDS = "Miron et al., IntelliRehabDS (IRDS), A Dataset of Physical Rehabilitation Movements, Data 2021"
SAME = "view 3 and sequences that equal one of view 3"
STYLES, SUBJECTS = f"styles {', '.join(BANDAI_TEST)}", f"subjects {', '.join(UI_PRMD_TEST)}"
SOURCES = {
    "ucla": Source("NW-UCLA Multiview Action3D", "for research, no grant to pass it on", UCLA, SAME, read_ucla),
    "bandai": Source("Bandai-Namco Research Motiondataset 1 and 2", "CC BY-NC 4.0", BANDAI, STYLES, read_bandai),
    "ui_prmd": Source(
        "UI-PRMD, Kinect", "PDDL (public domain)", UI_PRMD, SUBJECTS, partial(read_flat, UI_PRMD_JOINTS, UI_PRMD_TEST)
    ),
    "irds": Source("IntelliRehabDS", "CC BY 4.0", IRDS, f"subject {IRDS_TEST[0]}", partial(read_flat, {}, IRDS_TEST)),
}


def generate(out, paths, name="corpus", window=WINDOW, body_frame=False, min_max=False, strict=False):
    """Write out/<name>.npz, whose name also lists the options used, of {key of SOURCES: paths}; returns its path.

    window: longer sequences are cut into equal pieces of at most this many frames; 0: do not cut. body_frame: rotate every
    piece into its body frame. min_max: see data.prepare.transforms.row. Unusable files are listed in
    out/raw_data/<name>_skipped.txt; with `strict` the first one raises ValueError.
    """
    skipped, names, groups, rows, sizes, used = parallel.Skipped(strict), [], [], [], [], {}
    wanted = [] if body_frame else None
    _, frame_joints = transforms.origin_and_frame_joints(None, wanted, joint_names(kinect.LAYOUT), NUM_JOINTS)
    for key, given in paths.items():
        for title, group, joints in SOURCES[key].read(given, skipped):
            for suffix, part in transforms.pieces(len(joints), window):
                piece = f"{key}/{title}{suffix}"
                try:
                    row = transforms.row(joints[None, part], origin=ORIGIN, frame_joints=frame_joints, min_max=min_max)
                except ValueError as error:
                    skipped.add(f"{piece}: {error}")
                    continue
                names.append(piece)
                groups.append(f"{key}/{group}")
                rows.append(row)
                sizes.append(body_size(joints[part]))
        used[key] = SOURCES[key]
    counts = Counter(name.split("/")[0] for name in names)
    if absent := [key for key in used if not counts[key]]:
        raise ValueError(f"{paths[absent[0]][0]}: no sequence of {SOURCES[absent[0]].title} can be used{skipped.first()}")
    path, num_frames = Path(out) / f"{name}{'_body' * body_frame}{'_minmax' * min_max}.npz", max(map(len, rows))
    about = {
        "center": ORIGIN,
        "body_frame": frame_joints,
        "min_max": int(min_max) or None,
        "unit": 1.0,
        "coordinates": 3,
        "body_size": float(np.median(sizes)) if min_max else None,
        "sources": [f"{each.title}: {each.paper}" for each in used.values()],
        "licences": [each.licence for each in used.values()],
        "counts": [counts[key] for key in used],
    }
    write_dataset(
        path, {"train": Split(names, None, rows, groups, exact=True)}, num_frames, 0, NUM_JOINTS, 1, kinect.LAYOUT, **about
    )
    lines = [
        f"{key}: {counts[key]:,} sequences of {each.title} without {each.without}; licence: {each.licence}; {each.paper}"
        for key, each in used.items()
    ]
    write_text(path.with_suffix(".txt"), "".join(f"{line}\n" for line in lines))
    print(f"{path}: {len(rows):,} sequences, up to {num_frames} frames", *lines, sep="\n  ")
    skipped.write(parallel.skipped_path(path))
    return path


def main():
    parser = arguments.parser("An open corpus for pre-training (docs/data.md, 'An open corpus').", out=HERE)
    parser.add_argument("--ucla", type=Path, nargs=1, metavar="RAW", help="NW-UCLA's folder all_sqe or its zip")
    parser.add_argument("--bandai", type=Path, nargs="+", metavar="RAW", help="folders or zips of Bandai-Namco's BVH files")
    parser.add_argument("--ui_prmd", type=Path, nargs="+", metavar="NPZ", help="flat npz files of UI-PRMD's Kinect recordings")
    parser.add_argument("--irds", type=Path, nargs="+", metavar="NPZ", help="flat npz files of IntelliRehabDS")
    parser.add_argument("--name", default="corpus", help="first part of the npz's name")
    arguments.add_window(parser, WINDOW)
    arguments.add_body_frame(parser, joints=False)
    args = vars(parser.parse_args())
    paths = {key: paths for key in SOURCES if (paths := args.pop(key))}
    if not paths:
        parser.error(f"no source; give at least one of --{', --'.join(SOURCES)}")
    generate(args.pop("out"), paths, **args)


if __name__ == "__main__":
    errors.main(main)

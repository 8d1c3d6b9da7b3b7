"""PKU-MMD: untrimmed skeleton videos and their action labels -> one npz per protocol.

A skeleton file has a line of 150 numbers per frame: 2 bodies × 25 joints × xyz, in metres. A label file has a line
`label,start,end,confidence` per action; its instance is frames start to end − 1, counted from 0 as written, and its class is
label − 1. An end beyond the video is cut there, as published. Coordinates stay as they are.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.prepare import arguments, intermediate, parallel
from data.prepare.ntu import compare_counts
from data.prepare.skeleton_file import FAR, is_coordinate, read_text
from feeder.npz import Split, write_dataset
from util.files import write_text

NUM_JOINTS, NUM_BODIES, NUM_CLASSES, MAX_FRAMES, LAYOUT = 25, 2, 51, 300, "kinect_v2"
NUMBERS = NUM_BODIES * NUM_JOINTS * 3
RAW, VIEWS = "raw_data", "LMR"


@dataclass(frozen=True)
class Phase:
    """A phase of PKU-MMD.

    name: regular expression of the file names (recording, view). splits: {protocol: possible names of its split file}.
    published: {protocol: instances in (train, test)}.
    """

    title: str
    prefix: str
    name: str
    splits: dict
    published: dict


PKU1 = Phase(
    title="PKU-MMD I",
    prefix="PKUv1",
    name=r"(\d{4})-([LMR])",
    splits={"XSub": ("cross_subject.txt", "cross-subject.txt"), "XView": ("cross_view.txt", "cross-view.txt")},
    published={"XSub": (18841, 2704)},
)
PKU2 = Phase(
    title="PKU-MMD II",
    prefix="PKUv2",
    name=r"(A\d\dN\d\d)-([LMR])",
    splits={
        "XSub": ("cross_subject_v2.txt", "cross_subject.txt", "cross-subject.txt"),
        "XView": ("cross_view_v2.txt", "cross_view.txt", "cross-view.txt"),
    },
    published={"XSub": (5332, 1613)},
)


def read_frames(path):
    """(T, 150) float32 of a skeleton file. Raises ValueError naming file and line unless every line is 150 finite numbers."""
    rows = [line.split() for line in read_text(path).split(b"\n")]
    for number, row in enumerate(rows, 1):
        if len(row) != NUMBERS:
            raise ValueError(f"{path}: line {number}: {len(row)} numbers instead of {NUMBERS}")
    try:
        frames = np.array(rows, np.float64)
    except ValueError:
        frames = None
    if frames is None or not (np.abs(frames) < FAR).all():
        number, word = next((i, word) for i, row in enumerate(rows, 1) for word in row if not is_coordinate(word))
        word = word.decode("ascii", "replace")[:40]
        raise ValueError(f"{path}: line {number}: {word!r} is not a finite number below {FAR:,.0f} m")
    return frames.astype(np.float32)


def label_file(video):
    """raw/label/NAME.txt of raw/skeleton/NAME.txt."""
    return video.parent.parent / "label" / video.name


def read_instances(video):
    """(instances, reasons, remarks) of one video: [(class, start, frames (T, 150)), ...], a line for each unusable label row, and
    a line for each that is cut at the end of the video.

    Raises ValueError naming the file if it or its label file cannot be read.
    """
    labels = label_file(video)
    if not labels.is_file():
        raise ValueError(f"{video}: has no label file {labels}")
    frames, instances, reasons, remarks = read_frames(video), [], [], []
    text = labels.read_text("utf-8-sig", errors="replace")
    rows = [(line, row) for line, row in enumerate(text.splitlines(), 1) if row.strip()]
    if not rows:
        reasons.append(f"{labels}: the file is empty")
    for line, row in rows:
        try:
            label, start, end = _parse(row)
            instances.append((label - 1, start, _cut(frames, start, end)))
        except ValueError as error:
            reasons.append(f"{labels}: line {line}: {error}")
        else:
            if end > len(frames):
                remarks.append(f"{labels}: line {line}: end {end} is beyond the video's {len(frames)} frames; cut there")
    return instances, reasons, remarks


def _parse(row):
    """label, start and end of a row."""
    fields = row.split(",")
    if len(fields) not in (3, 4) or not all(re.fullmatch(r"[ \t]*[0-9]{1,9}[ \t]*", field) for field in fields[:3]):
        raise ValueError(f"{row.strip()[:40]!r} is not label,start,end,confidence")
    label, start, end = map(int, fields[:3])
    if not 1 <= label <= NUM_CLASSES:
        raise ValueError(f"label {label} is outside 1..{NUM_CLASSES}")
    if not start < end:
        raise ValueError(f"start {start} is not before end {end}")
    return label, start, end


def _cut(frames, start, end):
    """The frames of an instance, at most MAX_FRAMES. Raises ValueError if there are none."""
    if start >= len(frames):
        raise ValueError(f"start {start} is beyond the video's {len(frames)} frames")
    instance = frames[start : min(end, start + MAX_FRAMES)]
    if not instance.any():
        raise ValueError(f"frames {start} to {end - 1} are all zero")
    return instance


def training_names(path):
    """The names on the second line of a split file, without .txt. Raises ValueError naming the file if there are none."""
    lines = Path(path).read_text(errors="replace").splitlines()
    names = {name.strip().removesuffix(".txt") for name in (lines[1].split(",") if len(lines) > 1 else [])} - {""}
    if not names:
        raise ValueError(f"{path}: its second line has to name the training videos, separated by commas")
    return names


def generate(raw, out, dataset, workers=None, strict=False):
    """Write out/<prefix>_<protocol>.npz for each protocol with a split file, from raw/{skeleton,label}; returns the paths.

    Unusable videos and label rows are listed in out/raw_data/skipped.txt; with `strict` the first one raises ValueError. What was
    found, used and left out is printed and written to out/<prefix>_report.txt. Raises FileNotFoundError if there are no videos or
    no split file.
    """
    raw, out, skipped = Path(raw), Path(out), parallel.Skipped(strict)
    split_files, absent = _split_files(raw, dataset)
    files, found = _find(raw / "skeleton", dataset, skipped)
    remarks = []
    with intermediate.writing(out / RAW, NUM_BODIES * NUM_JOINTS) as writer:
        for file, (instances, reasons, more) in parallel.each(read_instances, files, "reading", skipped, workers, chunk=1):
            remarks += more
            for reason in reasons:
                skipped.add(reason)
            for number, begin, frames in instances:
                writer.add(frames.reshape(len(frames), -1, 3), video=file.stem, label=number, start=begin, length=len(frames))
        if not writer.count:
            raise ValueError(f"none of the {len(files)} videos can be used{skipped.first()}")
    parts, index = intermediate.load(out / RAW, f"{dataset.prefix} preparation")
    video, label, start, length = (index[key] for key in ("video", "label", "start", "length"))
    frames = parts(length)
    report = [*absent, f"{found} videos of {dataset.title} found, {len(set(video))} used, with {len(video)} instances"]
    paths = []
    for protocol, split_file in split_files.items():
        train = training_names(split_file)
        for name in sorted(train - {file.stem for file in files}):
            skipped.add(f"{split_file}: names {name}, which has no skeleton file")
        is_train = np.isin(video, sorted(train))
        splits = {}
        for key, chosen in (("train", np.flatnonzero(is_train)), ("test", np.flatnonzero(~is_train))):
            splits[key] = Split(
                names=[f"{video[i]}_{start[i]}_{start[i] + length[i]}" for i in chosen],
                labels=label[chosen],
                sequences=(frames(i).reshape(length[i], NUMBERS) for i in chosen),
                groups=[video[i].split("-")[0] for i in chosen],
            )
        paths.append(out / f"{dataset.prefix}_{protocol}.npz")
        counts = tuple(len(split.names) for split in splits.values())
        write_dataset(paths[-1], splits, MAX_FRAMES, NUM_CLASSES, NUM_JOINTS, NUM_BODIES, LAYOUT)
        compared = compare_counts(counts, dataset.published.get(protocol))
        report.append(f"{paths[-1]}: {counts[0]:,} train, {counts[1]:,} test{compared}")
    report += [f"left out: {count} × {kind}" for kind, count in parallel.count_kinds(skipped.reasons).most_common()]
    report += [*_short_views(files), *remarks]
    write_text(out / f"{dataset.prefix}_report.txt", "".join(f"{line}\n" for line in report))
    print(*report, sep="\n")
    skipped.write(out / RAW / "skipped.txt")
    return paths


def _find(folder, dataset, skipped):
    """(videos sorted by name, number of files). Files with other names, such as '0002-M (1).txt', are added to `skipped`."""
    files, videos = sorted(folder.glob("*.txt")), []
    if not files:
        hint = f"unpack {dataset.title} there or name its folder with --raw"
        raise FileNotFoundError(f"{folder}: holds no .txt file; {hint}")
    for file in files:
        if re.fullmatch(dataset.name, file.stem):
            videos.append(file)
        else:
            skipped.add(f"{file}: not the name of a video of {dataset.title}")
    if not videos:
        raise ValueError(f"none of the {len(files)} videos can be used{skipped.first()}")
    return videos, len(files)


def _short_views(files):
    """Lines that name, for each view, the recordings that only other views have."""
    there = {view: {file.stem[:-2] for file in files if file.stem[-1] == view} for view in VIEWS}
    lacking = {view: sorted(set().union(*there.values()) - there[view]) for view in VIEWS}
    return [f"view {view} lacks {len(names)} recordings: {', '.join(names)}" for view, names in lacking.items() if names]


def _split_files(raw, dataset):
    """({protocol: its split file}, lines about protocols without one). Raises FileNotFoundError if there is no split file."""
    there = {protocol: [raw / name for name in names if (raw / name).is_file()] for protocol, names in dataset.splits.items()}
    if not any(there.values()):
        known = ", ".join(name for names in dataset.splits.values() for name in names)
        raise FileNotFoundError(f"{raw}: no such split file as {known}; name the folder with --raw")
    lines = [
        f"protocol {protocol} skipped: {raw} has none of its split files {', '.join(dataset.splits[protocol])}"
        for protocol, files in there.items()
        if not files
    ]
    return {protocol: files[0] for protocol, files in there.items() if files}, lines


def command(dataset, script):
    """The command line of a script in data/pku_v1 or data/pku_v2, which writes to its own folder by default."""
    here = Path(script).resolve().parent
    parser = arguments.parser(f"{dataset.title}: write {dataset.prefix}_XSub.npz and {dataset.prefix}_XView.npz.", out=here)
    raw = here.parent / "pku_raw" / here.name.removeprefix("pku_")
    arguments.add_raw(parser, "folder with skeleton/, label/ and the split files", raw)
    arguments.add_workers(parser)
    args = parser.parse_args()
    generate(args.raw, args.out, dataset, args.workers, args.strict)

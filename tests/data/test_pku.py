"""PKU-MMD: the published arrays bit for bit, and every kind of damaged video, label row and split file."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.prepare import pku

ROOT = Path(__file__).resolve().parents[2]
PHASES = {"pku_v1": pku.PKU1, "pku_v2": pku.PKU2}


def run(folder, *args):
    return subprocess.run([sys.executable, "pku_gendata.py", *map(str, args)], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("folder", PHASES)
def test_published_command_gives_the_published_arrays_bit_for_bit(folder, shared, tmp_path):
    dataset = PHASES[folder]
    with zipfile.ZipFile(shared(f"parity/{folder}/raw.zip")) as archive:
        archive.extractall(tmp_path / "data/pku_raw" / folder[-2:])
    for part in ("data/prepare", f"data/{folder}", "feeder", "util"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("*.npz", "raw_data"))
    out = tmp_path / "data" / folder
    done = run(out, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "8 videos of PKU-MMD" in done.stdout and "× frames … to … are all zero" in done.stdout
    for protocol in dataset.splits:
        name = f"{dataset.prefix}_{protocol}.npz"
        with np.load(out / name) as ours, np.load(shared(f"parity/{folder}/{name}")) as published:
            for key in published.files:
                assert ours[key].dtype == published[key].dtype and ours[key].shape == published[key].shape
                assert ours[key].tobytes() == published[key].tobytes(), (name, key)
            for split in ("train", "test"):
                lengths = [int(n.split("_")[2]) - int(n.split("_")[1]) for n in ours[f"name_{split}"]]
                filled = [np.flatnonzero(x.any(1))[-1] + 1 for x in published[f"x_{split}"]]
                assert lengths == filled  # no instance of the fixture ends in an empty frame
                assert [n.split("-")[0] for n in ours[f"name_{split}"]] == ours[f"group_{split}"].tolist()


def numbers(frames, seed=0):
    return np.random.default_rng(seed).uniform(-2, 2, (frames, 150)).round(4)


@pytest.fixture
def raw(tmp_path):
    """A raw folder with the videos 0001-L (train) and 0002-M (test), 50 frames each, and a function to add to it."""

    def write(name, rows, frames=None):
        frames = numbers(50) if frames is None else frames
        text = frames if isinstance(frames, bytes) else "".join(" ".join(map(str, row)) + "\n" for row in frames).encode()
        (tmp_path / "raw/skeleton" / f"{name}.txt").write_bytes(text)
        if rows is not None:
            (tmp_path / "raw/label" / f"{name}.txt").write_text(rows)

    for folder in ("skeleton", "label"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
    for split in ("cross_subject.txt", "cross-view.txt"):  # both spellings
        (tmp_path / "raw" / split).write_text("Training videos: \n0001-L, 0003-R.txt\nValidation videos: \n0002-M")
    write("0001-L", "1,0,20,2\n51,20,50,1\n")
    write("0002-M", "7,5,9,2")
    return tmp_path / "raw", write


def prepared(raw, out, **options):
    xsub, xview = pku.generate(raw, out, pku.PKU1, workers=1, **options)
    assert xsub.name == "PKUv1_XSub.npz" and xview.name == "PKUv1_XView.npz"
    return dict(np.load(xsub)), (out / "raw_data/skipped.txt").read_text().splitlines()


def test_instances_by_hand(raw, tmp_path):
    """One-row label file, no newline at the end; frames start to end − 1, counted from 0; label 1 is class 0."""
    arrays, skipped = prepared(raw[0], tmp_path / "out")
    values = numbers(50).astype(np.float32)
    assert arrays["y_train"].argmax(1).tolist() == [0, 50] and arrays["y_test"].argmax(1).tolist() == [6]
    np.testing.assert_array_equal(arrays["x_train"][0, :20], values[:20])
    np.testing.assert_array_equal(arrays["x_train"][1, :30], values[20:50])
    np.testing.assert_array_equal(arrays["x_test"][0, :4], values[5:9])
    assert not arrays["x_test"][0, 4:].any() and arrays["x_test"].shape == (1, 300, 150)
    assert skipped == [
        f"{raw[0] / 'cross_subject.txt'}: names 0003-R, which has no skeleton file",
        f"{raw[0] / 'cross-view.txt'}: names 0003-R, which has no skeleton file",
    ]


def test_long_instances_are_cut_at_300_frames_and_ends_at_the_video(raw, tmp_path, capsys):
    raw[1]("0003-R", "2,10,390,1\n3,390,500,1\n", numbers(400))
    arrays, skipped = prepared(raw[0], tmp_path / "out")
    np.testing.assert_array_equal(arrays["x_train"][2], numbers(400)[10:310].astype(np.float32))
    np.testing.assert_array_equal(arrays["x_train"][3, :10], numbers(400)[390:].astype(np.float32))
    assert arrays["name_train"].tolist()[2:] == ["0003-R_10_310", "0003-R_390_400"] and skipped == []
    report = (tmp_path / "out/PKUv1_report.txt").read_text()
    assert "0003-R.txt: line 2: end 500 is beyond the video's 400 frames; cut there" in report
    assert report in capsys.readouterr().out


@pytest.mark.parametrize(
    "row, reason",
    [
        ("0,1,5,1", "label 0 is outside 1..51"),
        ("3,9,9,1", "start 9 is not before end 9"),
        ("3,50,60,1", "start 50 is beyond the video's 50 frames"),
        ("3,5", "'3,5' is not label,start,end,confidence"),
        ("3,-1,5,1", "'3,-1,5,1' is not label,start,end"),
        ("walk,1,5,1", "'walk,1,5,1' is not"),
        ("\u0663,1,5,1", "'\u0663,1,5,1' is not"),
        (f"{10**10},1,5,1", "'10000000000,1,5,1' is not"),
    ],
)
def test_damaged_label_rows(raw, tmp_path, row, reason):
    raw[1]("0003-R", f"\ufeff1,0,9,1\r\n{row}\n\n2,0,9,1\n")  # a byte order mark and other line ends do not matter
    arrays, skipped = prepared(raw[0], tmp_path / "out")
    assert len(skipped) == 1 and skipped[0].startswith(f"{raw[0] / 'label/0003-R.txt'}: line 2: {reason}")
    assert arrays["y_train"].argmax(1).tolist() == [0, 50, 0, 1]
    with pytest.raises(ValueError, match="0003-R.txt: line 2"):
        prepared(raw[0], tmp_path / "out", strict=True)


def damaged(line, text):
    rows = [" ".join(map(str, row)) for row in numbers(9)]
    rows[line] = text(rows[line])
    return "\n".join(rows).encode()


@pytest.mark.parametrize(
    "frames, reason",
    [
        (b"", "0003-R.txt: the file is empty"),
        (b"1 2\0 3", "0003-R.txt: the file is binary, not text"),
        (damaged(4, lambda row: row + " 1"), "0003-R.txt: line 5: 151 numbers instead of 150"),
        (damaged(4, lambda row: ""), "0003-R.txt: line 5: 0 numbers instead of 150"),
        (damaged(2, lambda row: row.replace(row.split()[7], "x1", 1)), "0003-R.txt: line 3: 'x1' is not a finite number"),
        (damaged(2, lambda row: row.replace(row.split()[7], "-1e30", 1)), "line 3: '-1e30' is not a finite number below"),
        (damaged(0, lambda row: "-inf" + row[row.index(" ") :]), "0003-R.txt: line 1: '-inf' is not a finite number"),
    ],
)
def test_damaged_videos(raw, tmp_path, frames, reason):
    raw[1]("0003-R", "1,0,9,1", frames)
    arrays, skipped = prepared(raw[0], tmp_path / "out")
    assert len(skipped) == 1 and reason in skipped[0] and len(arrays["x_train"]) == 2


def test_videos_without_usable_labels(raw, tmp_path):
    raw[1]("0003-R", "1,0,9,1", np.zeros((9, 150)))
    raw[1]("0004-R", "")
    raw[1]("0005-R", None)
    raw[1]("0006-R", None)
    (raw[0] / "label/0006-R.txt").write_bytes(b"\xff,0,9,1")
    arrays, skipped = prepared(raw[0], tmp_path / "out")
    assert [line.split(": ", 1)[1] for line in skipped] == [
        "line 1: frames 0 to 8 are all zero",
        "the file is empty",
        f"has no label file {raw[0] / 'label/0005-R.txt'}",
        "line 1: '\ufffd,0,9,1' is not label,start,end,confidence",
    ]
    assert len(arrays["x_train"]) == 2 and len(arrays["x_test"]) == 1


@pytest.mark.parametrize("absent, left", [("cross_subject.txt", "XView"), ("cross-view.txt", "XSub")])
def test_one_split_file_makes_one_protocol(raw, tmp_path, capsys, absent, left):
    both = {path.name: path.read_bytes() for path in pku.generate(raw[0], tmp_path / "both", pku.PKU1, workers=1)}
    (raw[0] / absent).unlink()
    (path,) = pku.generate(raw[0], tmp_path / "one", pku.PKU1, workers=1)
    assert path.name == f"PKUv1_{left}.npz" and path.read_bytes() == both[path.name]
    line = f"protocol {'XSub' if left == 'XView' else 'XView'} skipped: {raw[0]} has none of its split files cross_"
    assert line in capsys.readouterr().out and line in (tmp_path / "one/PKUv1_report.txt").read_text()


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda raw: [file.unlink() for file in raw.glob("*.txt")], "raw: no such split file as cross_subject.txt, .*--raw"),
        (lambda raw: (raw / "cross_subject.txt").write_text("Training videos:\n"), "its second line has to name the training"),
        (lambda raw: shutil.rmtree(raw / "skeleton"), "skeleton: holds no .txt file; unpack PKU-MMD I"),
        (lambda raw: shutil.rmtree(raw / "label"), "none of the 2 videos can be used; the first: .*has no label file"),
    ],
)
def test_what_stops_the_preparation(raw, tmp_path, change, message):
    change(raw[0])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepared(raw[0], tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.npz"))


def test_files_with_other_names_are_in_no_split(raw, tmp_path):
    """A browser's copy of a training video must not end up among the test videos."""
    for name in ("0001-L (1)", "A01N01-L", "0001-X", "readme"):
        raw[1](name, "1,0,9,1")
    arrays, skipped = prepared(raw[0], tmp_path / "out")
    assert len(arrays["y_train"]) == 2 and len(arrays["y_test"]) == 1
    assert skipped[:4] == [
        f"{raw[0] / 'skeleton' / name}.txt: not the name of a video of PKU-MMD I"
        for name in ("0001-L (1)", "0001-X", "A01N01-L", "readme")
    ]


def test_views_with_missing_recordings_are_named(raw, tmp_path):
    for name in ("0001-M", "0002-L", "0003-L", "0003-M", "0003-R"):
        raw[1](name, "1,0,9,1")
    prepared(raw[0], tmp_path / "out")
    report = (tmp_path / "out/PKUv1_report.txt").read_text()
    assert "view R lacks 2 recordings: 0001, 0002\n" in report and "view L" not in report and "view M" not in report

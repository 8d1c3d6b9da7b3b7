"""What is said of a file, and how a sequence of it is drawn by the command."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.prepare.inspect import Sequence, inspect
from feeder import skeleton
from scripts.inspect_file import draw, main
from tests.data import bvh_text

ROOT = Path(__file__).resolve().parents[2]


def say(path, **chosen):
    """The lines about a file, as one text."""
    return "\n".join(inspect(path, **chosen)[0]) + "\n"


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """command(file, option, ...) -> what is printed, in a folder of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["inspect", *map(str, words)])
        main()
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="session")
def unpacked(shared, tmp_path_factory):
    """Folder with the raw files of a data set of ../shared/parity."""

    def unpack(name):
        folder = tmp_path_factory.getbasetemp() / f"inspect_{name}"
        if not folder.exists():
            with zipfile.ZipFile(shared(f"parity/{name}/raw.zip")) as archive:
                archive.extractall(folder)
        return folder

    return unpack


def frames_of(gif):
    with Image.open(gif) as picture:
        return picture.n_frames


def spoilt(rng, split, count, frames=9, joints=4):
    """Arrays of a split with empty and copied second bodies, gaps, a sequence without frames and values that are not finite."""
    x = rng.normal(size=(count, frames, 2, joints, 3)).astype(np.float32) * (1, 2, 3) + (0, 0, 5)
    x = x.astype(np.float32)
    for i in range(count):
        x[i, rng.integers(2, frames + 1) :] = 0
        if i % 3 == 0:
            x[i, :, 1] = 0
        if i % 3 == 1:
            x[i, :, 1] = x[i, :, 0]
    x[5, 0] = 0
    x[7, :] = 0
    x[8, 0, 0, 0, 0], x[8, 0, 1, 2, 1], x[10, 1, 0, 1, 2] = np.nan, np.inf, -np.inf
    label = rng.integers(0, 4, count)
    label[label == 2] = 1
    return {f"x_{split}": x.reshape(count, frames, -1), f"y_{split}": np.eye(4, dtype=np.uint8)[label]}, x, label


def test_facts_agree_with_a_count_by_hand(tmp_path):
    rng = np.random.default_rng(3)
    arrays, x, label = spoilt(rng, "train", 23)
    more, _, _ = spoilt(rng, "test", 11)
    group = np.array([f"P{i % 5}" for i in range(23)])
    names = np.array(["clap", "jump", "nap", "run"])
    np.savez(tmp_path / "a.npz", **arrays, **more, num_joints=4, num_bodies=2, class_names=names, group_train=group, layout="")
    text = say(tmp_path / "a.npz")
    train = text[text.index("train: 23 sequences") : text.index("test: 11 sequences")]

    counts = {k: list(label).count(k) for k in range(4) if k in label}
    few, many = min(counts, key=counts.get), max(counts, key=counts.get)
    assert f"classes: 3 of 4 occur; smallest: class {few} ({names[few]}) with {counts[few]}, largest: class {many} " in train
    frames = [sum(bool(frame.any()) for frame in sequence) for sequence in x]
    gaps = [max((t + 1 for t in range(9) if s[t].any()), default=0) - n for s, n in zip(x, frames, strict=True)]
    full = 100 * frames.count(9) / 23
    assert f"frames: {min(frames)} to {max(frames)}, median {np.median(frames):g}; {full:.1f} % fill all 9\n" in train
    assert "without any frame: 1 sequences, the first in row 7\n" in train
    between = f"all-zero frames in between: {sum(gaps)}, in {23 - gaps.count(0)} sequences, the first in row 5\n"
    assert gaps[5] == 1 and between in train
    empty = sum(not s[:, 1].any() for s in x)
    copies = sum(s[:, 1].any() and bool((s[:, 1] == s[:, 0]).all()) for s in x)
    assert f"second body: empty in {empty} sequences, a copy of the first in {copies}\n" in train and empty and copies
    assert f"NaN or infinite: {np.count_nonzero(~np.isfinite(x))} coordinates" in train
    points = np.concatenate([body for body in x.reshape(-1, 4, 3) if body.any()])
    whole = [values[np.isfinite(values)] for values in points.T]
    assert ", ".join(f"{axis} {v.min():.2f} to {v.max():.2f}" for axis, v in zip("xyz", whole, strict=True)) in train
    assert "groups: 5\n" in train and "groups" not in text[text.index("test: 11") :]


def test_the_published_file_without_extra_arrays(shared, tmp_path, command):
    with np.load(shared("parity/ntu60/NTU60_XSub.npz")) as file:
        arrays = {key: file[key] for key in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "published.npz", **arrays)
    text, here = command(tmp_path / "published.npz", "--split", "test", "--index", 4), Path.cwd()
    assert "25 joints (layout kinect_v2), bodies: 2, classes: 60" in text
    x = arrays["x_test"].reshape(len(arrays["x_test"]), -1, 2, 75)
    assert f"second body: empty in {(~x[:, :, 1].any(axis=(1, 2))).sum()} sequences, a copy of the first in 0" in text
    length = int((arrays["x_test"][4].sum(1) != 0).sum())
    assert f"drawn: test --index 4, test_4, class {arrays['y_test'][4].argmax()}, {length} frames" in text
    assert frames_of(here / "test_4.gif") == length and Image.open(here / "test_4.png").size[0] > 1000
    assert "written: test_4.gif\nwritten: test_4.png\n" in text
    lines, sequence = inspect(tmp_path / "published.npz", "test", 4)
    np.testing.assert_array_equal(sequence.joints.reshape(length, -1), arrays["x_test"][4][:length])
    np.testing.assert_array_equal(sequence.parents, skeleton.parents("kinect_v2"))


def test_sequences_are_chosen_by_number_or_name(npz, arrays):
    arrays["valid_frames_test"][[3, 9]] -= 1
    path = npz(arrays)
    text = say(path)
    assert "drawn: train --index 0, train000" in text and "valid_frames_train" not in text
    assert "valid_frames_test says otherwise for 2 sequences, the first in row 3" in text
    assert "drawn: train --index 7, train007" in say(path, index=7)
    assert "drawn: test --index 12, test012" in say(path, name="test012")
    arrays["x_train"][:2] = 0
    assert "drawn: train --index 2, train002" in say(npz(arrays))


def test_own_skeletons_bring_their_bones(npz, arrays, tmp_path):
    arrays |= {"parents": np.array([1, 1, 1, 2, 3]), "joint_names": np.array(["arm left", "hip", "arm right", "x", "y"])}
    _, sequence = inspect(npz(arrays))
    assert sequence.parents.tolist() == [1, 1, 1, 2, 3] and sequence.joint_names[2] == "arm right"
    lines, sequence = inspect(npz(arrays | {"parents": np.array([1, 2, 0, 2, 3])}))
    assert sequence.parents is None and "no bones: parents leads joint 0 around in a circle" in lines[0]
    assert len(draw(sequence, sheet=tmp_path / "dots.png")) == 1


def test_keypoints_of_pictures_are_drawn_upright(tmp_path):
    x = np.random.default_rng(0).uniform(0, 1, (3, 4, 17, 3)).astype(np.float32)
    x[..., 2] = 0
    arrays = {"y_train": np.arange(3), "num_joints": 17, "num_bodies": 1, "layout": "coco17"}
    np.savez(tmp_path / "a.npz", x_train=x.reshape(3, 4, -1), **arrays)
    assert inspect(tmp_path / "a.npz")[1].up == "-y"
    x[..., 2] = 1
    np.savez(tmp_path / "a.npz", x_train=x.reshape(3, 4, -1), **arrays)
    assert inspect(tmp_path / "a.npz")[1].up == "y"


def test_a_skeleton_file(tmp_path, skeleton_text, walk):
    first, second, short = walk(40), walk(40)[5:30] + np.float32([1, 0, 0]), walk(40)[:6] - np.float32([1, 0, 0])
    frames = [[(111, first[t])] for t in range(40)]
    for t in range(10, 35):
        frames[t].append((222, second[t - 10]))
    for t in range(2, 8):
        frames[t].append((333, short[t - 2]))
    frames.insert(0, [])  # a frame without a body does not count
    path = tmp_path / "S001C002P003R002A013.skeleton"
    path.write_text(skeleton_text(frames))
    text = say(path)
    assert "40 frames with a body, 25 joints (layout kinect_v2), bodies: 3\n" in text
    for line in ("body 111: frames 0 to 39 (40)", "body 333: frames 2 to 7 (6)", "body 222: frames 10 to 34 (25)"):
        assert f"  {line}, moves " in text
    moved = np.var(first.reshape(-1, 3), axis=0).sum()
    assert f"body 111: frames 0 to 39 (40), moves {moved:.3g} m², too wide in 0 %" in text
    assert "denoised: 40 frames, actors: 2, seen in 40 and 25 frames" in text or "seen in 25 and 40 frames" in text
    both = np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)])
    assert ", ".join(f"{a} {low:.2f} to {up:.2f}" for a, low, up in zip("xyz", both.min(0), both.max(0), strict=True)) in text
    sequence = inspect(path)[1]
    assert sequence.label == "class 12 (A013)" and sequence.joints.shape == (40, 2, 25, 3)


def test_a_skeleton_file_that_denoising_leaves_out_is_drawn_as_recorded(tmp_path, skeleton_text, walk):
    path = tmp_path / "short.skeleton"
    path.write_text(skeleton_text([[(t // 5, walk(1)[0])] for t in range(15)]))
    lines, sequence = inspect(path)
    assert "  denoised: left out, no body is seen for more than 11 frames; drawn as recorded" in lines
    assert len(sequence.joints) == 15


def test_a_pku_video(unpacked, shared):
    folder = unpacked("pku_v1")
    video = sorted((folder / "skeleton").iterdir())[0]
    frames = np.loadtxt(video)
    rows = [list(map(int, row.split(",")[:3])) for row in (folder / "label" / video.name).read_text().split()]
    text = say(video, index=2)
    assert f"PKU-MMD video, {len(frames):,} frames, 25 joints (layout kinect_v2), bodies: 2" in text
    assert f"seen in {frames[:, :75].any(axis=1).sum()} and {frames[:, 75:].any(axis=1).sum()} frames" in text
    assert f"actions: {len(rows)} of {len({row[0] for row in rows})} classes" in text
    label, start, end = rows[2]
    assert f"drawn: --index 2, class {label - 1}, frames {start} to {end - 1}\n" in text
    _, sequence = inspect(video, index=2)
    assert sequence.first == start
    with np.load(shared("parity/pku_v1/PKUv1_XSub.npz")) as file:
        prepared = np.concatenate([file["x_train"], file["x_test"]])
    action = sequence.joints.reshape(len(sequence.joints), -1)
    assert any(np.array_equal(row[: len(action)], action) and not row[len(action) :].any() for row in prepared)


def test_a_pku_video_without_labels(unpacked, tmp_path):
    video = sorted((unpacked("pku_v1") / "skeleton").iterdir())[0]
    shutil.copy(video, tmp_path / video.name)
    lines, sequence = inspect(tmp_path / video.name)
    assert "no label file" in lines[-2] and lines[-1] == "drawn: frames 0 to 299" and len(sequence.joints) == 300
    with pytest.raises(ValueError, match="--index 1 chooses an action, but there is no label file"):
        inspect(tmp_path / video.name, index=1)


def test_an_ucla_file_from_the_side(shared, tmp_path, command):
    with zipfile.ZipFile(shared("realdata/nw_ucla_all_sqe.zip")) as archive:
        member = next(name for name in archive.namelist() if name.endswith("a08_s01_e01_v01.json"))
        record = json.loads(archive.read(member))
        (tmp_path / "a08_s01_e01_v01.json").write_bytes(archive.read(member))
    joints = np.array(record["skeletons"])
    text = command(tmp_path / "a08_s01_e01_v01.json", "--view", "side")
    assert f"{len(joints)} frames, 20 joints (layout kinect_v1), class {record['label'] - 1}, view 1" in text
    assert f"y {joints[..., 1].min():.2f} to {joints[..., 1].max():.2f}" in text
    assert frames_of("a08_s01_e01_v01_side.gif") == len(joints)


def test_nothing_is_replaced_in_silence_or_by_half(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sequence = Sequence("../a b/c:d", "", np.random.default_rng(0).normal(size=(3, 1, 4, 3)), None, None)
    assert draw(sequence) == ["written: _a_b_c_d.gif", "written: _a_b_c_d.png"]
    assert draw(sequence, gif=Path("_a_b_c_d.gif")) == ["written: _a_b_c_d.gif (in place of an older one)"]
    before = Path("_a_b_c_d.gif").read_bytes()
    with pytest.raises(ValueError, match="no body in the sequence"):
        draw(Sequence("none", "", np.zeros((3, 1, 4, 3)), None, None), gif=Path("_a_b_c_d.gif"))
    assert Path("_a_b_c_d.gif").read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Of 216 MB of zeros, but for the last sequence, 16 MB or so are in memory at a time."""
    (x := np.zeros((1200, 300, 150), np.float32))[-1] = 1
    valid = np.where(x.any(axis=(1, 2)), 300, 0)
    np.savez(tmp_path / "large.npz", x_train=x, y_train=np.arange(1200) % 60, valid_frames_train=valid)
    code = (
        "import resource, feeder.feeder_ntu; from data.prepare.inspect import inspect\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024; before = peak()\n"
        f"print(*inspect({str(tmp_path / 'large.npz')!r})[0], sep='\\n'); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "without any frame: 1,199 sequences" in done.stdout and "drawn: train --index 1199" in done.stdout
    assert "valid_frames_train" not in done.stdout  # they agree
    assert int(done.stdout.split()[-1]) < 120, f"{done.stdout.split()[-1]} MB"


@pytest.mark.parametrize(
    ("file", "chosen", "reason"),
    [
        ("nowhere.npz", {}, "nowhere.npz: no such file"),
        (".", {}, ".: is a folder; name one file in it"),
        ("notes.md", {}, "notes.md: unknown kind of file '.md'; known are .npz, .skeleton"),
        ("data.npz", {"index": 24}, "data.npz: --index 24: train has the sequences 0 to 23"),
        ("data.npz", {"index": 1, "name": "train001"}, "--index and --name both choose a sequence; give one"),
        ("data.npz", {"name": "train0O1"}, "no sequence 'train0O1'; near are train0"),
        ("data.npz", {"name": "???"}, "no sequence '???'; the first is train000"),
        ("half.npz", {"name": "a"}, "half.npz: the sequences have no names; choose with --split and --index"),
        ("half.npz", {"split": "test"}, "half.npz: has no split 'test', only train"),
        ("other.npz", {}, "other.npz: neither x_train nor x_test in it; it has labels"),
        ("zero.npz", {}, "zero.npz: train sample 0 has no frame with a body"),
        ("nobody.skeleton", {}, "nobody.skeleton: no body in any frame; preparation leaves it out"),
        ("whole.skeleton", {"index": 1}, "whole.skeleton: holds one recording, --index 1 chooses nothing in it"),
        ("whole.skeleton", {"name": "a"}, "whole.skeleton: holds one recording; --split and --name choose a sequence of"),
        ("nobody.txt", {}, "nobody.txt: no body in any frame"),
        ("skeleton/video.txt", {"index": 1}, "video.txt has 1 usable actions, counted from 0"),
    ],
)
def test_mistakes(file, chosen, reason, arrays, tmp_path, skeleton_text, walk, monkeypatch):
    monkeypatch.chdir(tmp_path)
    four = {key: arrays[key] for key in ("x_train", "y_train", "num_joints", "num_bodies")}
    np.savez("data.npz", **arrays)
    np.savez("half.npz", **four)
    np.savez("other.npz", labels=np.ones(3))
    np.savez("zero.npz", **four | {"x_train": 0 * four["x_train"]})
    Path("notes.md").write_text("?")
    Path("whole.skeleton").write_text(skeleton_text([[(1, frame)] for frame in walk(2)]))
    Path("nobody.skeleton").write_text(skeleton_text([[], []]))
    Path("nobody.txt").write_text(" ".join(["0"] * 150) + "\n")
    for folder, text in (("skeleton", (" ".join(["1"] * 150) + "\n") * 9), ("label", "3,0,5,1\n52,5,9,1\n")):
        Path(folder).mkdir()
        (Path(folder) / "video.txt").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        inspect(file, **chosen)
    assert reason in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--gif", "a.npz"], "argument --gif: 'a.npz' has to end in .gif"),
        (["--fps", "nan"], "--fps nan: frames per second, 1 to 1000"),
    ],
)
def test_options_that_do_not_fit(invented, words, reason, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["inspect", str(invented), *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and capsys.readouterr().err.splitlines()[-1].endswith(reason)


def test_the_command_as_documented(invented, tmp_path):
    command = [sys.executable, "-m", "data.prepare.inspect", str(invented)]
    pictures = ["--gif", str(tmp_path / "x/a.gif"), "--sheet", str(tmp_path / "x/a.png")]
    done = subprocess.run([*command, *pictures], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "" and "written: " in done.stdout, done.stderr
    assert sorted(file.name for file in (tmp_path / "x").iterdir()) == ["a.gif", "a.png"]


@pytest.mark.parametrize("scale, unit", [(100, "cm"), (1, "m"), (1000, "mm"), (1 / 0.056444, "0.056444 m")])
def test_bvh(scale, unit, tmp_path):
    (tmp_path / "walk.bvh").write_text(bvh_text.text(*bvh_text.person(40, scale=scale), frame_time="0.008333"))
    lines, sequence = inspect(tmp_path / "walk.bvh")
    out = "\n".join(lines)
    assert "BVH recording, 40 frames, 120 a second, 18 joints and 5 End Sites" in out
    assert f"unit: {unit}, as the size of the body suggests" in out and "--joints kinect_v1: all 20 joints are found" in out
    assert len(sequence.joints) == 40 and len(sequence.parents) == 23 and "doubt" not in out and "along z" not in out


def test_other_bvh_files(tmp_path):
    (tmp_path / "other.bvh").write_text(bvh_text.text(*bvh_text.person(4, names={"Head": "Kopf"})))
    assert "no joint that could be Kinect's 'head' among Hips" in say(tmp_path / "other.bvh")
    (tmp_path / "cut.bvh").write_text((tmp_path / "other.bvh").read_text()[:3000])
    with pytest.raises(ValueError, match="cut.bvh: "):
        inspect(tmp_path / "cut.bvh")


def test_sequences_that_occur_twice_are_told(tmp_path):
    x = np.random.default_rng(4).normal(size=(6, 5, 12)).astype(np.float32)
    y = np.eye(2, dtype=np.uint8)[[0, 1, 0, 1, 0]]
    nearly = x[1].copy()
    nearly[4, 11] = np.nextafter(nearly[4, 11], 2)
    test = np.stack([x[4], x[2], nearly, x[5], x[0]])
    sizes = {"num_joints": 4, "num_bodies": 1, "layout": ""}
    train = {"x_train": x[[0, 1, 2, 1, 3]], "y_train": y}
    np.savez(tmp_path / "a.npz", **train, x_test=test, y_test=y, name_test=np.array(list("abcde")), **sizes)
    text = say(tmp_path / "a.npz")
    train, test = text.split("test: 5 sequences")
    line = "equal to an earlier sequence, number by number: 1 in this split; the first: train sample 3 = train sample 1\n"
    assert line in train
    assert "number by number: 2 IN ANOTHER SPLIT; the first: test sample 1 (b) = train sample 2\n" in test
    np.savez(tmp_path / "a.npz", x_train=x[:5], y_train=y, x_test=x[5:], y_test=y[:1], **sizes)
    assert "number by number" not in say(tmp_path / "a.npz")

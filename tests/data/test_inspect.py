"""The description of files, and the pictures that the command draws."""

import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from data.prepare.inspect import Sequence, inspect
from feeder import skeleton
from report import skeletons
from scripts.inspect_file import draw, main

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
    assert "valid_frames_test differs in 2 sequences, the first in row 3" in text
    assert "drawn: train --index 7, train007" in say(path, index=7)
    assert "drawn: test --index 12, test012" in say(path, name="test012")
    arrays["x_train"][:2] = 0
    assert "drawn: train --index 2, train002" in say(npz(arrays))


def test_own_skeletons_have_bones(npz, arrays, tmp_path):
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


def test_labels_of_a_pickle_may_be_numbers_and_names(tmp_path):
    keypoint = np.random.default_rng(0).normal(size=(1, 9, 25, 3))
    notes = [
        {"frame_dir": f"a{i}", "label": label, "total_frames": 9, "keypoint": keypoint} for i, label in enumerate((3, "walk"))
    ]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(notes))
    assert "  classes: 2, 3 to walk" in inspect(tmp_path / "a.pkl")[0]


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
        assert f"  {line}, motion " in text
    assert f"(40), motion {np.var(first.reshape(-1, 3), axis=0).sum():.3g} m², too wide in 0 %" in text
    assert "denoised: 40 frames, actors: 2, seen in 40 and 25 frames" in text or "seen in 25 and 40 frames" in text
    sequence = inspect(path)[1]
    assert sequence.label == "class 12 (A013)" and sequence.joints.shape == (40, 2, 25, 3)


def test_a_skeleton_file_that_denoising_leaves_out_is_drawn_as_recorded(tmp_path, skeleton_text, walk):
    path = tmp_path / "short.skeleton"
    path.write_text(skeleton_text([[(t // 5, walk(1)[0])] for t in range(15)]))
    lines, sequence = inspect(path)
    assert "  denoised: left out, no body is seen for more than 11 frames; drawn as recorded" in lines
    assert len(sequence.joints) == 15


def test_a_skeleton_file_as_own_gendata_reads_it(tmp_path, skeleton_text, walk, command):
    path, joints, order = tmp_path / "a.skeleton", walk(20), [*range(10, 25), *range(10)]
    path.write_text(skeleton_text([[(1, frame)] for frame in joints]))
    text = command(path, "--joint_order", ",".join(map(str, order)))
    assert f"{path}: read as a recording, bodies: 1, 20 frames (20 with a body), 25 joints" in text and "NTU" not in text
    sequence = inspect(path, joint_order=tuple(order), up="z", fps=60)[1]
    np.testing.assert_allclose(sequence.joints[:, 0], joints[::2, order][..., [0, 2, 1]] * (1, 1, -1), atol=1e-6)
    with pytest.raises(ValueError, match="a.skeleton: 25 joints, --joint_order names joint 25"):
        inspect(path, joint_order=(0, 25))


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


def test_replaced_files_are_named_and_never_incomplete(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sequence = Sequence("../a b/c:d", "", np.random.default_rng(0).normal(size=(3, 1, 4, 3)), None, None)
    assert draw(sequence) == ["written: _a_b_c_d.gif", "written: _a_b_c_d.png"]
    assert draw(sequence, gif=Path("_a_b_c_d.gif")) == ["written: _a_b_c_d.gif (in place of an older one)"]
    before = Path("_a_b_c_d.gif").read_bytes()
    with pytest.raises(ValueError, match="no body in the sequence"):
        draw(Sequence("none", "", np.zeros((3, 1, 4, 3)), None, None), gif=Path("_a_b_c_d.gif"))
    assert Path("_a_b_c_d.gif").read_bytes() == before and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("file", "chosen", "reason"),
    [
        ("nowhere.npz", {}, "nowhere.npz: no such file"),
        (".", {}, ".: is a folder; give one file in it"),
        ("notes.md", {}, "notes.md: unknown kind of file '.md'; known are .npz, .skeleton"),
        ("data.npz", {"index": 24}, "data.npz: --index 24: train has the sequences 0 to 23"),
        ("data.npz", {"index": 1, "name": "train001"}, "--index and --name both choose a sequence; give one"),
        ("data.npz", {"name": "train0O1"}, "no sequence 'train0O1'; similar: train0"),
        ("data.npz", {"name": "???"}, "no sequence '???'; the first: train000"),
        ("half.npz", {"name": "a"}, "half.npz: the sequences have no names; choose with --split and --index"),
        ("half.npz", {"split": "test"}, "half.npz: has no split 'test', only train"),
        ("other.npz", {}, "other.npz: neither x_train nor x_test in it; it has labels; data/own/own_gendata.py makes"),
        ("zero.npz", {}, "zero.npz: train sample 0 has no frame with a body"),
        ("nobody.skeleton", {}, "nobody.skeleton: no body in any frame; preparation leaves it out"),
        ("whole.skeleton", {"index": 1}, "whole.skeleton: holds one recording, so --index 1 does not exist"),
        ("whole.skeleton", {"name": "a"}, "whole.skeleton: holds one recording; --split and --name choose a sequence of"),
        ("data.npz", {"joint_order": (1, 0)}, "data.npz: --joint_order has no effect on .npz, only on a recording of"),
        ("notes.bvh", {"form": (1, 25, 3)}, "notes.bvh: --row has no effect on .bvh"),
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
    for notes in ("notes.md", "notes.bvh"):
        Path(notes).write_text("?")
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
    "words, reason",
    [(["--gif", "a.npz"], "'a.npz' has to end in .gif"), (["--fps", "nan"], "--fps nan: frames per second, 1 to")],
)
def test_options_that_do_not_fit(invented, words, reason, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["inspect", str(invented), *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and reason in capsys.readouterr().err.splitlines()[-1]


def test_the_command_as_documented(invented, tmp_path):
    command = [sys.executable, "-m", "data.prepare.inspect", str(invented)]
    pictures = ["--gif", str(tmp_path / "x/a.gif"), "--sheet", str(tmp_path / "x/a.png")]
    done = subprocess.run([*command, *pictures], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "" and "written: " in done.stdout, done.stderr
    assert sorted(file.name for file in (tmp_path / "x").iterdir()) == ["a.gif", "a.png"]


def test_axes_of_scaled_data_are_not_called_metres(arrays, npz, tmp_path):
    for more, unit in ({}, "metres"), ({"min_max": 1}, "scaled to −1 … 1"):
        sequence = inspect(npz(arrays | more))[1]
        assert sequence.unit == unit
        figure = skeletons.contact_sheet(sequence.joints, unit=sequence.unit)
        assert unit in [text.get_text() for text in figure.findobj(Text)]
    x = np.random.default_rng(0).normal(size=(30, 17, 3))
    for of_file, unit in (x, "metres"), (1000 * x, "unknown unit"), (x[..., :2], "no unit"):
        np.save(tmp_path / "x.npy", of_file)
        assert inspect(tmp_path / "x.npy")[1].unit == unit

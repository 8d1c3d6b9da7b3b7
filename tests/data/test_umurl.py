import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.prepare import umurl
from data.prepare.ntu_release import NTU120
from data.prepare.skeleton_file import read_frames
from feeder.feeder_ntu import Feeder

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "umurl_gendata.py"
NAME, OTHER = "S001C001P001R001A001", "S002C002P003R001A060"


def run(*args, cwd=ROOT / "data/ntu"):
    return subprocess.run([sys.executable, SCRIPT, *map(str, args)], cwd=cwd, capture_output=True, text=True)


@pytest.fixture
def raw(tmp_path, skeleton_text):
    """raw(NAME=frames, ...) writes recordings, frames being [[(V, 3) joints of a body, ...], ...]; returns their folder."""

    def write(**recordings):
        folder = tmp_path / "raw"
        folder.mkdir(exist_ok=True)
        for name, frames in recordings.items():
            text = skeleton_text([[(7, joints) for joints in bodies] for bodies in frames])  # ids do not matter
            (folder / f"{name}.skeleton").write_text(text)
        return folder

    return write


@pytest.fixture
def seen(raw):
    """seen(frames): what UmURL sees of a recording, (300, M, 25, 3)."""

    def prepare(frames):
        num_frames, persons = umurl.read_persons(raw(X=frames) / "X.skeleton")
        assert num_frames == len(frames)
        return umurl.normalise(persons).reshape(300, -1, 25, 3)

    return prepare


def slowly(frames):
    """The same from the description, joint by joint, in double precision; the rotation by a quaternion: (300, 2, 25, 3)."""
    bodies = np.zeros((4, len(frames), 25, 3))
    for t, present in enumerate(frames):
        for m, joints in enumerate(present):
            if m < 4:
                bodies[m, t] = joints
    energies = []
    for body in bodies:
        points = np.array([joint for frame in body if frame.any() for joint in frame]).reshape(-1, 3)
        energies.append(sum(np.sqrt(np.mean((axis - np.mean(axis)) ** 2)) for axis in points.T) if len(points) else 0)
    out = np.zeros((2, 300, 25, 3))
    for m, body in enumerate(sorted(range(4), key=lambda i: -energies[i])[:2]):
        person = list(bodies[body])
        if not np.any(person):
            continue
        if not person[0].any():
            person = [frame for frame in person if frame.any()]
        while not person[-1].any():
            person.pop()
        for t in range(300):
            out[m, t] = person[t % len(person)]
    for t in range(300):
        origin = out[0, t, 1].copy()
        for m in range(2):
            for v in range(25):
                if out[m, t, v].any():
                    out[m, t, v] -= origin
    shoulders = out[0, 0, 8] - out[0, 0, 4]
    axis = np.cross(shoulders, (1, 0, 0))
    if np.linalg.norm(axis) < 1e-6:
        return out.transpose(1, 0, 2, 3)
    angle = np.arccos(shoulders[0] / np.linalg.norm(shoulders))
    w, q = np.cos(angle / 2), np.sin(angle / 2) * axis / np.linalg.norm(axis)
    for m in range(2):
        for t in range(300):
            out[m, t] += 2 * np.cross(q, np.cross(q, out[m, t]) + w * out[m, t])
    return out.transpose(1, 0, 2, 3)


def invent(rng, frames):
    """A recording with up to six bodies in a frame, empty frames and joints at zero."""
    walks = rng.normal(size=(6, 1, 25, 3), scale=rng.uniform(0.2, 0.6, (6, 1, 1, 1))) + 0.05 * rng.normal(size=(6, frames, 25, 3))
    walks += rng.uniform(-1, 1, (6, 1, 1, 3)) + (0, 0, 3)
    walks[rng.random((6, frames, 25)) < 0.02] = 0
    there = np.repeat(rng.integers(0, 7, frames // 4 + 1), 4)[:frames]
    if not there.any():
        there[-1] = 1
    return [list(walks[:count, t].astype(np.float32)) for t, count in enumerate(there)]


def extract(path, folder):
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)


def test_the_command_gives_the_published_arrays(shared, tmp_path):
    """In a copy of the repository: cd data/ntu && python umurl_gendata.py."""
    extract(shared("parity/ntu60/raw.zip"), tmp_path / "data/nturgbd_raw")
    for part in ("data/prepare", "data/ntu", "feeder", "util"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("*.npz", "raw_data", "denoised_data"))
    done = run(cwd=tmp_path / "data/ntu")
    assert done.returncode == 0, done.stderr
    assert "25 files found, 24 used, 1 without any skeleton, 0 unusable" in done.stdout
    report = (tmp_path / "data/ntu/UMURL_NTU60_report.txt").read_text()
    assert "13 train, 11 test, 300 frames; published: 40,091 and 16,487\n" in report and "the release has 302\n" in report
    with np.load(shared("parity/umurl_ntu60.npz")) as published:
        for protocol in ("XSub", "XView"):
            path = tmp_path / f"data/ntu/UMURL_NTU60_{protocol}.npz"
            with np.load(path) as ours:
                for key, theirs in (("train", "train"), ("test", "val")):
                    theirs = f"{protocol.lower()}/{theirs}"
                    x = ours[f"x_{key}"].reshape(-1, 300, 2, 25, 3).transpose(0, 4, 1, 3, 2)
                    assert x.dtype == np.float32
                    np.testing.assert_allclose(x, published[f"{theirs}/joint"], rtol=0, atol=1e-5)
                    assert [f"{name}.skeleton" for name in ours[f"name_{key}"]] == published[f"{theirs}/names"].tolist()
                    np.testing.assert_array_equal(ours[f"y_{key}"].argmax(1), published[f"{theirs}/labels"])
                    np.testing.assert_array_equal(ours[f"valid_frames_{key}"], published[f"{theirs}/num_frame"])
                    assert [name[8:12] for name in ours[f"name_{key}"]] == ours[f"group_{key}"].tolist()
                assert (ours["num_joints"], ours["num_bodies"], ours["layout"]) == (25, 2, "kinect_v2")
            feeder = Feeder(path, split="test", window_size=64, p_interval=(1.0,))
            assert feeder[0][0].shape == (3, 64, 25, 2)
            np.testing.assert_array_equal(feeder.count_frames(), published[f"{protocol.lower()}/val/num_frame"])
    assert not list(tmp_path.rglob("*.part"))


def test_ntu120_equals_a_slow_formulation(shared, tmp_path):
    extract(shared("parity/ntu120/raw.zip"), tmp_path)
    raws = [folder for folder in tmp_path.iterdir() if folder.is_dir()]
    paths = umurl.generate(raws, tmp_path / "out", NTU120, workers=1)
    assert [path.name for path in paths] == ["UMURL_NTU120_XSub.npz", "UMURL_NTU120_XSet.npz"]
    files = {file.stem: file for raw in raws for file in raw.glob("*.skeleton")}
    with np.load(paths[0]) as xsub, np.load(paths[1]) as xset:
        assert all(int(name[1:4]) % 2 == 0 for name in xset["name_train"]) and len(xset["name_train"])
        assert all(int(name[1:4]) % 2 == 1 for name in xset["name_test"]) and len(xset["name_test"])
        assert {int(name[9:12]) for name in xsub["name_train"]} <= set(NTU120.protocols[0].train)
        for key in ("train", "test"):
            assert xset[f"name_{key}"].tolist() == sorted(xset[f"name_{key}"])
            assert xset[f"y_{key}"].shape == (len(xset[f"name_{key}"]), 120)
            for name, x, valid in zip(*(xset[f"{array}_{key}"] for array in ("name", "x", "valid_frames")), strict=True):
                num_bodies, _, joints = read_frames(files[name])
                frames = np.split(joints, np.cumsum(num_bodies)[:-1])
                np.testing.assert_allclose(x.reshape(300, 2, 25, 3), slowly(frames), rtol=0, atol=1e-5)
                assert valid == len(num_bodies)
        used = [np.concatenate([npz["name_train"], npz["name_test"]]) for npz in (xsub, xset)]
        assert sorted(used[0]) == sorted(used[1]) and len(used[0]) == len(files) - 1  # one has no skeleton


def test_random_recordings_equal_a_slow_formulation(seen):
    rng = np.random.default_rng(0)
    for length in (1, 2, 5, 30, 61, 299, 300):
        frames = invent(rng, length)
        ours, slow = seen(frames), slowly(frames)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, slow[:, : ours.shape[1]], rtol=0, atol=1e-5)
        assert not slow[:, ours.shape[1] :].any()


@pytest.mark.parametrize("direction", [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0.3, -0.2, 0.9), (-1, 1e-5, 0), (1, 0, -1e-9)])
def test_turning_the_shoulders_onto_x(direction, seen, walk):
    person = walk(5)
    person[:, 8] = person[:, 4] + np.float32(0.4) * np.float32(direction)
    out = seen([[joints] for joints in person])[:5, 0]
    length = 0.4 * np.linalg.norm(direction)
    np.testing.assert_allclose(np.abs(out[0, 8] - out[0, 4]), (length, 0, 0), atol=2e-6)
    centred = person - person[:, 1:2]
    gram = np.einsum("tvc,twc->tvw", centred, centred)
    np.testing.assert_allclose(np.einsum("tvc,twc->tvw", out, out), gram, atol=1e-5)  # distances and angles are as before
    if not any(np.abs(direction[1:]) > 1e-6):
        np.testing.assert_allclose(out, centred, atol=1e-6)
    else:
        assert out[0, 8, 0] > out[0, 4, 0]


def test_what_cannot_be_used_is_listed_and_the_rest_goes_on(raw, tmp_path, walk):
    """What is special to UmURL; damaged files and names are read as in test_ntu.py."""
    person, most = [[joints] for joints in walk(20)], [[joints] for joints in walk(300)]
    zeros = {"S001C001P006R001A001": [[0 * joints] for joints in walk(3)], "S001C001P007R001A001": [[], []]}
    folder, out = raw(**{OTHER: most, NAME: person}, **zeros, S001C001P008R001A001=[*most, []]), tmp_path / "out"
    done = run("--raw", folder, "--out", out, "--name", "MINE", "--workers", 1)
    assert done.returncode == 0 and "5 files found, 2 used, 1 without any skeleton, 2 unusable" in done.stdout, done.stderr
    lines = (out / "raw_data/umurl/skipped.txt").read_text().splitlines()
    reasons = {"P006": "all bodies are zero", "P007": "no frame has a body", "P008": "301 frames; UmURL's arrays"}
    assert all(key in line and why in line for line, (key, why) in zip(lines, reasons.items(), strict=True)), lines
    assert "published" not in (out / "MINE_report.txt").read_text()
    train = Feeder(out / "MINE_XSub.npz")
    assert train.name(0).endswith(f"({NAME})") and train.frames(0).shape == (20, 150) and train.label.tolist() == [0]
    test = Feeder(out / "MINE_XSub.npz", split="test", window_size=64)
    assert test.frames(0).shape == (300, 150) and test.label.tolist() == [59] and test[0][0].shape == (3, 64, 25, 2)


def test_longer_recordings_and_absent_persons_outside_the_npz(raw, walk):
    """What reads a recording to cut it into windows gets all of it; a window may lack a person."""
    num_frames, persons = umurl.read_persons(raw(X=[[joints] for joints in walk(301)]) / "X.skeleton")
    assert num_frames == 301 and persons.shape == (1, 301, 25, 3)
    both = umurl.normalise(np.stack([walk(5), np.zeros((5, 25, 3), np.float32)])).reshape(300, 2, 25, 3)
    assert both[:, 0].any(axis=(1, 2)).all() and not both[:, 1].any()

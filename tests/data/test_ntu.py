import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.prepare import ntu
from data.prepare.ntu_release import NTU60, NTU120, actions, missing_files
from feeder.feeder_ntu import Feeder

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "data" / "ntu"


def run(script, *args, cwd=SCRIPTS):
    return subprocess.run([sys.executable, script, *map(str, args)], cwd=cwd, capture_output=True, text=True)


def prepare(raw, out, name=None, **options):
    ntu.read_raw([raw], out, workers=1, **options)
    ntu.denoise_raw(out)
    return ntu.write_npz(out, name=name)


@pytest.fixture(scope="module")
def raw_fixture(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fixture")
    with zipfile.ZipFile(shared("parity/ntu60/raw.zip")) as archive:
        archive.extractall(folder)
    return folder / "nturgb+d_skeletons"


@pytest.fixture
def raw(tmp_path, skeleton_text, walk):
    """raw(*names, frames=20) writes recordings of one swaying person and returns their folder."""

    def write(*names, frames=20):
        folder = tmp_path / "raw"
        folder.mkdir(exist_ok=True)
        for name in names:
            text = skeleton_text([[(2**56 + 1, joints)] for joints in walk(frames)])
            (folder / f"{name}.skeleton").write_text(text)
        return folder

    return write


@pytest.mark.parametrize("dataset", [NTU60, NTU120], ids=["ntu", "ntu120"])
def test_published_commands_give_the_published_arrays_bit_for_bit(dataset, shared, tmp_path):
    """In a copy of the repository, as published: cd data/ntu120 && python get_raw_skes_data.py && ..."""
    fixture, folder = ("ntu60", "ntu") if dataset is NTU60 else ("ntu120", "ntu120")
    with zipfile.ZipFile(shared(f"parity/{fixture}/raw.zip")) as archive:
        archive.extractall(tmp_path / "data/nturgbd_raw")
    for part in ("data/prepare", f"data/{folder}", "feeder", "util"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("*.npz", "raw_data", "denoised_data"))
    outputs = [run(script, cwd=tmp_path / "data" / folder) for script in ntu.STEPS]
    assert [output.returncode for output in outputs] == [0, 0, 0], outputs
    found, used = (25, 24) if dataset is NTU60 else (31, 30)
    assert f"{found} files found, {used} used, 1 without any skeleton, 0 unusable" in outputs[0].stdout
    out = tmp_path / "data" / folder
    assert "R001A0" in (report := (out / "raw_data/skipped.txt").read_text()) and ": no frame has a body" in report
    report = (out / f"{dataset.prefix}_report.txt").read_text()
    assert f"{found} files of {dataset.title} found, {used} used\n" in report
    assert f"left out: 1 × no frame has a body (missing skeleton); the release has {dataset.num_missing}\n" in report
    assert f"{found} of the {dataset.num_files:,} files of {dataset.title}\n" in report
    for protocol in dataset.protocols:
        name = f"{dataset.prefix}_{protocol.name}.npz"
        assert "train" in outputs[2].stdout and "published: {:,} and {:,}".format(*protocol.published) in outputs[2].stdout
        with np.load(out / name) as ours, np.load(shared(f"parity/{fixture}/{name}")) as published:
            for key in published.files:
                assert ours[key].dtype == published[key].dtype and ours[key].shape == published[key].shape
                assert ours[key].tobytes() == published[key].tobytes(), (name, key)
            for split in ("train", "test"):
                valid = (published[f"x_{split}"].sum(-1) != 0).sum(-1)
                np.testing.assert_array_equal(ours[f"valid_frames_{split}"], valid)
                assert [int(n[-3:]) - 1 for n in ours[f"name_{split}"]] == ours[f"y_{split}"].argmax(1).tolist()
                assert [n[8:12] for n in ours[f"name_{split}"]] == ours[f"group_{split}"].tolist()
        feeder = Feeder(out / name, split="test")
        assert feeder[0][0].shape == (3, 120, 25, 2)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("dataset, second", [(NTU60, "copy"), (NTU120, "zeros")], ids=["ntu60", "ntu120"])
def test_second_actor_of_one_actor_recordings(dataset, second, raw, tmp_path):
    """The other rule than that of the published arrays."""
    prepare(raw("S001C001P001R001A001", "S002C002P003R001A001"), tmp_path)
    path = ntu.write_npz(tmp_path, dataset, "X", second)[0]
    x = np.concatenate([np.load(path)[f"x_{split}"] for split in ("train", "test")])
    assert len(x) == 2 and x[..., :75].any()
    np.testing.assert_array_equal(x[..., 75:], x[..., :75] if second == "copy" else 0)


def test_number_of_workers_does_not_matter(raw_fixture, tmp_path):
    files = {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        many = tmp_path / "many"
        many.mkdir(exist_ok=True)
        for i, file in enumerate(sorted(raw_fixture.iterdir())[:10] * 4):  # enough files for several processes
            link = many / f"S{i // 3 + 1:03}C{i % 3 + 1:03}P001R001A001.skeleton"
            link.exists() or link.symlink_to(file)
        ntu.read_raw([many], folder, workers=workers)
        files[workers] = [(folder / "raw_data" / name).read_bytes() for name in ("joints.npy", "index.npz")]
    assert files[1] == files[2]


def test_splits_are_the_published_ones():
    xsub, xview = NTU60.protocols
    assert len(xsub.train) == len(xsub.test) == 20 and set(xsub.train + xsub.test) == set(range(1, 41))
    assert ",".join(map(str, xsub.train)).replace("13,14,15,16,17,18,19", "13-19") == ("1,2,4,5,8,9,13-19,25,27,28,31,34,35,38")
    assert xsub.test == tuple(sorted(xsub.test)) and (xview.train, xview.test) == ((2, 3), (1,))
    assert sum(xsub.published) == sum(xview.published) == NTU60.num_files - NTU60.num_missing == 56578
    xsub, xset = NTU120.protocols
    assert len(xsub.train) == len(xsub.test) == 53 and set(xsub.train + xsub.test) == set(range(1, 107))
    assert xset.train == tuple(range(2, 33, 2)) and set(xset.train + xset.test) == set(range(1, 33))
    assert sum(xsub.published) == sum(xset.published) == NTU120.num_files - NTU120.num_missing == 113945
    assert set(NTU60.protocols[0].train) == {i for i in xsub.train if i <= 40}  # NTU-60 is the first half


def session(setup, performer, replication=1):
    return [
        f"S{setup:03}C{camera:03}P{performer:03}R{replication:03}A{action:03}"
        for camera in (1, 2, 3)
        for action in actions(setup)
    ]


def test_missing_files_by_setup_and_camera():
    """A made-up release: two performers in setup 17, one in setup 18."""
    whole = session(17, 1) + session(17, 2) + session(18, 41)
    release = dataclasses.replace(NTU120, num_files=len(whole), num_setups=18)
    absent = [f"setup {setup}: no file" for setup in range(1, 17)]
    assert len(whole) == 3 * 180 and "A061" in whole[-60] and missing_files(whole, release) == absent
    lost = [name for name in whole if not (name.startswith("S017C002P002") and name[-2:] > "50")][1:]
    missing = "setup 17: camera 1 lacks 1, camera 2 lacks 10"
    assert missing_files(lost, release) == ["529 of the 540 files of NTU RGB+D 120", *absent, missing]
    assert missing_files(whole[:360], release)[-1] == "setup 18: no file"


def test_the_same_name_in_two_folders(raw, tmp_path, capsys):
    first = raw("S001C001P001R001A001", "S001C001P002R001A001")
    second = tmp_path / "second"
    shutil.copytree(first, second)
    (second / "S001C001P002R001A001.skeleton").rename(second / "S001C001P003R001A001.skeleton")
    ntu.read_raw([first, second], tmp_path / "out", workers=1)
    assert "4 files found, 3 used, 0 without any skeleton, 1 unusable" in capsys.readouterr().out
    report = (tmp_path / "out/raw_data/skipped.txt").read_text()
    assert report == f"{second / 'S001C001P001R001A001.skeleton'}: is also in {first}; that one is used\n"
    with pytest.raises(ValueError, match="is also in"):
        ntu.read_raw([first, second], tmp_path / "out", workers=1, strict=True)


def test_names_that_do_not_belong(raw, tmp_path):
    reasons = {
        "S001C001P001R001A001 (1)": "not a name of the form SsssCcccPpppRrrrAaaa",
        "S001C001P001R001A061": "action 61 is outside 1..60 of NTU RGB",
        "S001C001P001R003A001": "has no replication 3",
        "S001C001P041R001A001": "has no performer 41",
        "S001C004P001R001A001": "has no camera 4",
        "S018C001P001R001A001": "has no setup 18",
    }
    ntu.read_raw([raw("S001C001P001R001A001", *reasons)], tmp_path / "out", workers=1)
    lines = (tmp_path / "out" / "raw_data" / "skipped.txt").read_text().splitlines()
    assert all(name in line and why in line for line, (name, why) in zip(lines, reasons.items(), strict=True)), lines


def test_bad_files_are_reported_and_the_rest_goes_on(raw, tmp_path, capsys):
    folder, out = raw("S001C001P001R001A001", "S001C002P002R001A001", "S001C003P003R001A001"), tmp_path / "out"
    whole = (folder / "S001C002P002R001A001.skeleton").read_bytes()
    (folder / "S001C002P002R001A001.skeleton").write_bytes(whole[:5000])
    (folder / "S001C001P004R001A001.skeleton").write_text("2\n0\n0\n")
    (folder / "S001C001P005R001A001.skeleton").write_bytes(b"\0\1")
    (folder / "notes.txt").write_text("not a recording")
    prepare(folder, out)
    assert "5 files found, 2 used, 1 without any skeleton, 2 unusable" in capsys.readouterr().out
    lines = (out / "raw_data" / "skipped.txt").read_text().splitlines()
    assert [line.split("/")[-1].split(": ")[0] for line in lines] == [
        "S001C001P004R001A001.skeleton",
        "S001C001P005R001A001.skeleton",
        "S001C002P002R001A001.skeleton",
    ]
    assert np.load(out / "NTU60_XSub.npz")["name_train"].tolist() == ["S001C001P001R001A001"]
    strict = run("get_raw_skes_data.py", "--raw", folder, "--out", out, "--strict")
    assert strict.returncode == 2 and strict.stderr.splitlines()[-1].startswith("error: ")
    assert "P005R001A001.skeleton: the file is binary" in strict.stderr and "Traceback" not in strict.stderr


def test_recordings_of_which_nothing_is_left(raw, tmp_path, skeleton_text, walk):
    folder, out = raw("S001C001P001R001A001"), tmp_path / "out"
    frames = [[(1, joints), (2, joints)] for joints in walk(8)]
    (folder / "S001C001P002R001A001.skeleton").write_text(skeleton_text(frames))
    prepare(folder, out)
    report = (out / "denoised_data" / "skipped.txt").read_text()
    assert report == "S001C001P002R001A001: no body is seen for more than 11 frames\n"
    with pytest.raises(ValueError, match="S001C001P002R001A001: no body"):
        ntu.denoise_raw(out, strict=True)


@pytest.mark.parametrize(
    "script, message",
    [
        ("get_raw_skes_data.py", "no such folder; unpack the raw skeletons there or name their folders with --raw"),
        ("get_raw_denoised_data.py", "index.npz is missing: run get_raw_skes_data.py first"),
        ("seq_transformation.py", "index.npz is missing: run get_raw_denoised_data.py first"),
    ],
)
def test_a_step_without_its_input_is_one_line(tmp_path, script, message):
    args = ["--raw", tmp_path / "nowhere"] if "skes" in script else []
    done = run(script, "--out", tmp_path, *args)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and message in done.stderr


def test_a_step_after_a_newer_one_is_refused(raw, tmp_path):
    out = tmp_path / "out"
    prepare(raw("S001C001P001R001A001", "S001C002P003R001A001"), out)
    ntu.read_raw([tmp_path / "raw"], out, workers=1)
    with pytest.raises(ValueError, match="is newer than .*: run get_raw_denoised_data.py again"):
        ntu.write_npz(out)


def test_killed_at_any_moment_and_started_again(raw, tmp_path):
    """kill -9 at random moments of every step; the rerun gives the same bytes as without and leaves nothing behind."""
    folder = raw(*(f"S{i % 17 + 1:03}C{i % 3 + 1:03}P{i % 40 + 1:03}R001A{i % 60 + 1:03}" for i in range(90)), frames=30)
    whole, disturbed = tmp_path / "whole", tmp_path / "disturbed"
    rng, killed = np.random.default_rng(0), 0
    for script in ntu.STEPS:
        more = ["--raw", folder, "--workers", 2] if "skes" in script else []
        begin = time.perf_counter()
        assert run(script, "--out", whole, *more).returncode == 0
        for moment in rng.uniform(0.1, time.perf_counter() - begin, 2):
            words = [sys.executable, script, "--out", str(disturbed), *map(str, more)]
            process = subprocess.Popen(
                words, cwd=SCRIPTS, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
            )
            time.sleep(moment)
            if process.poll() is None:
                killed += 1
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        assert run(script, "--out", disturbed, *more).returncode == 0
    left = [{file.relative_to(out) for file in out.rglob("*") if file.is_file()} for out in (whole, disturbed)]
    assert left[0] == left[1] and len(left[0]) == 9 and killed >= 2
    assert all((whole / file).read_bytes() == (disturbed / file).read_bytes() for file in left[0] if file.suffix != ".txt")

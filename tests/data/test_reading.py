"""Real recordings, written out in the forms in which they are found, are read right, and misread in no other."""

import importlib.util
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from data.prepare import doubts, inspect
from data.prepare.reading import Reading, resampled
from feeder.skeleton import parents

SCRIPT = Path(__file__).resolve().parents[2] / "data" / "own" / "own_gendata.py"
spec = importlib.util.spec_from_file_location("own_gendata", SCRIPT)
own = importlib.util.module_from_spec(spec)
spec.loader.exec_module(own)

# where the joints of UTD-MHAD are in Kinect v1's order, and the other way round: its first four are the torso, from the head down
UTD = [3, 2, 1, 0, *range(4, 20)]


@pytest.fixture(scope="session")
def real(shared):
    """{data set: [(T, V, 3) metres, ...]} of genuine recordings, every fifth to tenth."""

    def flat(name, step):
        with np.load(shared(f"realdata/{name}.npz")) as npz:
            joints, offset = npz["joints_tenth_mm"] / 1e4, npz["offset"]
        return [joints[a:b] for a, b in zip(offset, offset[1:], strict=False)][::step]

    with zipfile.ZipFile(shared("realdata/nw_ucla_all_sqe.zip")) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".json"))[::10]
        ucla = [np.array(json.loads(archive.read(name))["skeletons"]) for name in names]
    return {"irds": flat("irds_kinect25_subset", 4), "uiprmd": flat("ui_prmd_kinect22_correct", 10), "ucla": ucla}


@pytest.fixture
def kinect(real):
    """52 frames of 20 joints in the order of Kinect v1, metres."""
    return next(x for x in real["irds"] if len(x) >= 52)[:52, :20]


def rows(path, array, **options):
    np.savetxt(path, array, delimiter=",", **options)
    return path


def read(path, **how):
    bodies = Reading(**how).read(path)
    assert len(bodies) == 1
    return bodies[0]


def test_every_form_gives_the_same_joints(kinect, tmp_path):
    time, sure = np.arange(52)[:, None] / 30 + 3, np.ones((52, 20, 1)) * 2
    four = np.concatenate([kinect, sure], axis=2)
    np.save(tmp_path / "a.npy", kinect)
    np.save(tmp_path / "t.npy", kinect[:, None])
    np.save(tmp_path / "four.npy", four)
    np.save(tmp_path / "flat.npy", kinect.reshape(52, 60))
    np.save(tmp_path / "c.npy", kinect.transpose(2, 0, 1)[..., None])
    np.savez(tmp_path / "b.npz", joints=kinect, time=time)
    savemat(tmp_path / "utd.mat", {"d_skel": kinect.transpose(1, 2, 0)})
    savemat(tmp_path / "plain.mat", {"x": kinect}, do_compression=True)
    header = ",".join(["time", *(f"{j}_{a}" for j in range(20) for a in "xyzc")])
    rows(tmp_path / "time.csv", np.hstack([time, four.reshape(52, 80)]), header=header, comments="", encoding="utf-8-sig")
    rows(tmp_path / "last.csv", np.hstack([kinect.reshape(52, 60), time]))
    rows(tmp_path / "joints.txt", kinect.reshape(-1, 3))
    rows(tmp_path / "sure.txt", four.reshape(-1, 4))
    rows(tmp_path / "turned.csv", kinect.swapaxes(0, 1).reshape(20, 156))
    rows(tmp_path / "planes.csv", kinect.swapaxes(1, 2).reshape(52, 60))
    forms = {
        "a.npy": {}, "t.npy": {"axes": "TMVC"}, "four.npy": {"columns": "xyz_"}, "flat.npy": {"num_joints": 20}, "b.npz": {},
        "c.npy": {"axes": "CTVM"}, "utd.mat": {}, "plain.mat": {}, "time.csv": {"columns": "xyz_", "skip_columns": [0]},
        "last.csv": {"skip_columns": [-1]}, "joints.txt": {"num_joints": 20}, "sure.txt": {"form": (1, 20, 4), "columns": "xyz_"},
        "turned.csv": {"axes": "VTC"}, "planes.csv": {"axes": "TCV"},
    }  # fmt: skip
    for name, how in forms.items():
        np.testing.assert_allclose(read(tmp_path / name, **how), kinect, atol=1e-12, err_msg=name)
    two = np.stack([kinect, kinect[::-1]])
    np.save(tmp_path / "two.npy", two)
    rows(tmp_path / "two.csv", two.swapaxes(0, 1).reshape(52, 120))
    rows(tmp_path / "two.txt", two.swapaxes(0, 1).reshape(-1, 3))
    for name, how in (("two.npy", {}), ("two.csv", {"num_joints": 20}), ("two.txt", {"form": (2, 20, 3)})):
        np.testing.assert_allclose(Reading(**how).read(tmp_path / name), two, err_msg=name)
    assert np.array_equal(read(tmp_path / "a.npy", columns="xzy"), kinect[..., [0, 2, 1]])
    assert np.array_equal(read(tmp_path / "a.npy", columns="xy_"), kinect[..., :2])


def test_what_would_be_misread_is_refused_with_its_remedy(kinect, tmp_path):
    time, sure = np.arange(52)[:, None] / 30 + 3, np.ones((52, 20, 1)) * 2
    four = np.concatenate([kinect, sure], axis=2)
    wide = [np.hstack([time, four.reshape(52, 80)]), np.hstack([kinect.reshape(52, 60), time, time * 2, sure[:, 0]])]
    wide += [four[:, :15].reshape(52, 60), kinect.swapaxes(0, 1).reshape(20, 156), kinect.reshape(-1, 3), four.reshape(52, 80)]
    reasons = ["column 0 .* time stamps .*--skip_columns 0", "column -2 .*--skip_columns -2", "hardly any values.*--columns xyz_"]
    reasons += ["--axes VTC says", "one joint; --row BODIES JOINTS 3", "--columns xyz_"]
    for i, (array, reason) in enumerate(zip(wide, reasons, strict=True)):
        with pytest.raises(ValueError, match=reason) as error:
            read(rows(tmp_path / f"{i}.csv", array))
        assert str(error.value).startswith(f"{tmp_path / f'{i}.csv'}: ") and "\n" not in str(error.value)
    picture = np.dstack([kinect[..., :2] * 100 + 300, np.random.default_rng(0).uniform(0.5, 1, (52, 20))])
    for array, reason in (
        (kinect[:, None], "52 bodies in 1 frames; --axes TMVC"),
        (kinect.swapaxes(0, 1), "--axes VTC says"),
        (kinect.transpose(1, 2, 0), "20 x 3 x 52 instead of .*--axes VCT"),
        (four, "--columns xyz_"),
        (np.stack([kinect] * 2, -1).transpose(2, 0, 1, 3), "3 bodies in 2 dimensions or 2 in 3; --axes MTVC or --axes CTVM"),
        (picture, "--columns xy_"),
        (kinect.reshape(52, 60), "52 x 60 .*--row says"),
    ):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(ValueError, match=reason):
            read(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="61 numbers a row; 20 joints have 60 .* with --skip_columns 0"):
        read(rows(tmp_path / "known.csv", np.hstack([sure[:, 0], kinect.reshape(52, 60)])), num_joints=20)
    assert read(tmp_path / "0.csv", checks=False).shape == (52, 27, 3)


def test_real_recordings_are_not_doubted(real, tmp_path):
    above = {"irds": parents("kinect_v2"), "ucla": parents("kinect_v1")}
    for name, sequences in real.items():
        for x in sequences:
            for array in (x, x * 1000, x[:, :15]):
                doubts.refuse(array[None], array.shape, name)
                doubts.refuse_columns(array.reshape(len(x), -1), 3, name)
        assert doubts.unit(np.median([doubts.extent(x[None]) for x in sequences]), 1.0) == ""
        assert "--unit mm" in doubts.unit(np.median([doubts.extent(x[None]) * 1000 for x in sequences]), 1.0)
        if name in above:
            tree, change = np.median([doubts.bones(x[None], above[name]) for x in sequences], axis=0)
            assert tree < 1.25 and change < doubts.CHANGE
            for order in (UTD + [*range(20, 25)], [*range(5, x.shape[1]), *range(5)], [*range(x.shape[1])][::-1]):
                wrong = [doubts.bones(x[None][:, :, order[: x.shape[1]]], above[name])[0] for x in sequences]
                assert np.median(wrong) > doubts.WRONG_TREE


def test_frames_are_reduced(kinect):
    t = np.arange(121)[None, :, None, None] * np.ones((1, 1, 2, 3)) + 1.0
    assert (resampled(t, 4.0)[0, :, 0, 0] == np.arange(1, 122, 4)).all()
    assert np.allclose(resampled(t, 2.5)[0, :, 0, 0], np.arange(1, 122, 2.5))
    t[:, 3] = 0  # not seen: what lies beside it is not drawn towards zero
    assert np.allclose(resampled(t, 2.5)[0, 1, 0, 0], t[0, 2, 0, 0])
    out = Reading(fps=60).understood(kinect, "x")
    assert np.array_equal(out[0], kinect[::2])


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"columns": "xyy"}, "--columns xyy: a letter for every number"),
        ({"columns": "abc"}, "--columns abc"),
        ({"axes": "TVX"}, "--axes TVX: T, V, C"),
        ({"fps": 15}, "--fps 15: at least --target_fps 30"),
        ({"joint_order": (1, -1)}, "--joint_order: numbers of joints"),
        ({"form": (1, 20, 5), "columns": "xyz_"}, "--row 1 20 5: 5 numbers a joint, --columns xyz_ has 4"),
    ],
)
def test_readings_that_cannot_be(how, reason):
    with pytest.raises(ValueError, match=reason):
        Reading(**how)


def test_matlab_files_that_cannot_be_used(tmp_path, kinect):
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM"
    (tmp_path / "new.mat").write_bytes(head + bytes(384) + b"\x89HDF\r\n\x1a\n")
    (tmp_path / "junk.mat").write_bytes(b"MATLAB 5.0 and no more")
    savemat(tmp_path / "words.mat", {"a": "text"})
    savemat(tmp_path / "two.mat", {"a": kinect, "b": kinect})
    for name, reason in (
        ("new", "MATLAB 7.3 file .*'-v7'"),
        ("junk", "not a complete MATLAB file"),
        ("words", "holds no array of numbers; it has a"),
        ("two", r"holds 2 arrays \(a, b\) instead of one; --joints_key"),
    ):
        with pytest.raises(ValueError, match=f"{name}.mat: .*{reason}"):
            read(tmp_path / f"{name}.mat")
    assert read(tmp_path / "two.mat", key="a").shape == kinect.shape


@pytest.fixture
def utd(real, tmp_path):
    """A folder as UTD-MHAD's: aA_sS_tT_skeleton.mat, 20 x 3 x T, its joint order; and what is no recording."""
    folder = tmp_path / "Skeleton"
    folder.mkdir()
    for i, x in enumerate(real["irds"][:8]):
        savemat(folder / f"a{i % 2 + 1}_s{i // 2 + 1}_t1_skeleton.mat", {"d_skel": x[:, UTD].transpose(1, 2, 0)})
    (folder / "README.txt").write_text("about 20 joints\n")
    (folder / ".DS_Store").write_bytes(b"\0\0")
    return folder


PATTERN = r"(?P<label>a\d+)_(?P<group>s\d+)_t\d+"


def run(*words):
    return subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True)


def test_a_folder_with_labels_in_the_file_names(utd, real, tmp_path):
    words = [utd, "--label_pattern", PATTERN, "--test_groups", "s2", "s4", "--layout", "kinect_v1", "--out", tmp_path]
    done = run(*words)
    assert done.returncode == 2 and "error: --layout kinect_v1: bones are" in done.stderr and "--joint_order" in done.stderr
    done = run(*words, "--joint_order", ",".join(map(str, UTD)))
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stdout and "README.txt: --label_pattern" in (tmp_path / "raw_data/skipped.txt").read_text()
    with np.load(tmp_path / "own.npz") as npz:
        assert npz["class_names"].tolist() == ["a1", "a2"] and npz["group_test"].tolist() == ["s2", "s4"] * 2
        x = real["irds"][0][:, :20]
        assert npz["name_train"][0] == "a1_s1_t1_skeleton"
        assert np.allclose(npz["x_train"][0, : len(x)], x.reshape(len(x), 60), atol=1e-6)


def test_millimetres_and_changing_bones_are_warned_of(kinect, tmp_path, capsys):
    for i in range(4):
        np.save(tmp_path / f"a{i % 2}_{('train', 'test')[i // 2]}.npy", kinect * 1000)
    how = {"label_pattern": r"(?P<label>a\d)_(?P<split>\w+)", "layout": "kinect_v1"}
    own.generate([tmp_path], tmp_path / "out", **how)
    assert "warning: a body extends over" in (out := capsys.readouterr().out) and "--unit mm would fit" in out
    own.generate([tmp_path], tmp_path / "out", unit=0.001, **how)
    assert "warning" not in capsys.readouterr().out
    grow = kinect * np.linspace(1, 3, 52)[:, None, None]
    np.save(tmp_path / "a0_train.npy", grow * 1000)
    own.generate([tmp_path], tmp_path / "out", unit=0.001, **how)
    assert "warning: 1 of 4 recordings have bones that change their length" in capsys.readouterr().out


def test_the_reason_of_real_files_comes_first(kinect, tmp_path):
    (tmp_path / "AAA.txt").write_text("no recording\n")
    for name in ("a1_train", "a1_test"):
        rows(tmp_path / f"{name}.csv", np.hstack([np.arange(52)[:, None], kinect.reshape(52, 60), kinect[:, 0, :2]]))
    with pytest.raises(ValueError, match=r"no recording can be used; the first: .*a1_test.csv: column 0"):
        own.generate([tmp_path], tmp_path / "out", label_pattern=r"(?P<label>a\d)_(?P<split>\w+)")
    assert len((tmp_path / "out/raw_data/skipped.txt").read_text().splitlines()) == 3


def test_command_lines_that_contradict_themselves(tmp_path):
    for words, reason in (
        ([tmp_path, "--raw", tmp_path], "is named already"),
        ([tmp_path, "--label_pattern", "("], "--label_pattern (: no regular expression"),
        ([tmp_path, "--label_pattern", "a"], "--label_pattern a: needs a group (?P<label>...)"),
        ([tmp_path, "--label_pattern", "(?P<label>a)"], "fits none of 0 files"),
        ([tmp_path, "--joint_order", "a"], "'a' is not a list of whole numbers"),
    ):
        done = run(*words, "--out", tmp_path / "out")
        assert done.returncode == 2 and reason in done.stderr.splitlines()[-1], done.stderr


def test_inspect_says_what_a_file_is_taken_for(kinect, real, tmp_path):
    x = real["irds"][0]
    note = {"frame_dir": "a", "label": 3, "total_frames": len(x), "keypoint": x[None]}
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([note, note | {"label": -1}]))
    (tmp_path / "labels.pkl").write_bytes(pickle.dumps((["a", "b"], [0, 1])))
    np.save(tmp_path / "mm.npy", x * 1000)
    np.save(tmp_path / "five.npy", x.transpose(2, 0, 1)[None, ..., None])
    np.save(tmp_path / "labels.npy", np.arange(4))
    rows(tmp_path / "own.txt", x.reshape(len(x), 75))
    rows(tmp_path / "turned.csv", kinect.swapaxes(0, 1).reshape(20, 156))
    savemat(tmp_path / "utd.mat", {"d_skel": kinect[:, UTD].transpose(1, 2, 0)})
    for name, words in {
        "list.pkl": ["2 annotations as PYSKL has them, without splits", "cannot be used: 1", "drawn: --index 0, a, class 3"],
        "labels.pkl": ["a tuple of 2: list of 2, list of 2; no annotations"],
        "mm.npy": ["25 joints, 3 coordinates", "--unit mm would fit", "layout kinect_v2: bones fit"],
        "five.npy": ["samples x coordinates x frames x joints x bodies", "metres, as the size"],
        "labels.npy": ["no recording; labels or counts"],
        "own.txt": [f"bodies: 1, {len(x)} frames"],
        "turned.csv": ["doubtful: as 20 frames of 52 joints"],
        "utd.mat": ["52 frames", "20 joints", "layout kinect_v1: bones do not fit"],
    }.items():
        lines, sequence = inspect.inspect(tmp_path / name)
        for word in words:
            assert word in "\n".join(lines), lines
        assert (sequence is None) == ("labels" in name)
    lines, sequence = inspect.inspect(tmp_path / "turned.csv", axes="VTC")
    assert np.allclose(sequence.joints[:, 0], kinect, atol=1e-6) and "doubtful" not in "\n".join(lines)


def test_the_recipes_of_the_documentation(real, tmp_path):
    """Recordings written as the sets are described, by the commands as they stand."""
    text = (SCRIPT.parents[2] / "docs/data.md").read_text().split("## Recipes for public sets", 1)[1]
    blocks = {part.split("\n")[0]: part for part in text.split("\n### ")[1:]}
    takes = [real["irds"][i % 8][:60, :20] for i in range(20)]  # of 10 people
    msr = np.argsort([6, 3, 2, 19, 0, 7, 9, 11, 1, 8, 10, 12, 4, 13, 15, 17, 5, 14, 16, 18])
    sbu = [3, 2, 1, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 19]  # of Kinect v1
    for name in ("Skeleton", "MSRAction3D", "joints", "HDM05"):
        (tmp_path / name).mkdir()
    labels = ""
    for i, x in enumerate(takes):
        action, subject, count = i % 2 + 1, i // 2 + 1, np.arange(len(x))[:, None]
        if subject <= 8:
            savemat(tmp_path / f"Skeleton/a{action}_s{subject}_t1_skeleton.mat", {"d_skel": x[:, UTD].transpose(1, 2, 0)})
        four = np.dstack([x[:, msr], np.ones((len(x), 20))])
        np.savetxt(tmp_path / f"MSRAction3D/a0{action}_s{subject:02}_e01_skeleton3D.txt", four.reshape(-1, 4))
        take = f"s{subject:02}_e0{action}"
        np.savetxt(tmp_path / f"joints/joints_{take}.txt", np.hstack([count + 7, x.reshape(len(x), 60)]))
        labels += f"{take}\nwalk: 7 20\nsitDown: 21 {len(x) + 6}\npush: NaN NaN\n"
        folder = tmp_path / f"SBU/{('s01s02', 's03s04', 's05s02', 's06s04', 's02s03')[i // 2 % 5]}/0{action}/00{i}"
        folder.mkdir(parents=True)
        two = np.stack([x[:, sbu], x[:, sbu] + 1], axis=1).reshape(len(x), -1)
        np.savetxt(folder / "skeleton_pos.txt", np.hstack([count + 1, two]), delimiter=",")
        array = real["irds"][0][:40]
        np.save(
            tmp_path / f"HDM05/HDM_{('bd', 'bk', 'dg', 'mm', 'tr')[i // 2 % 5]}_clap{action}Reps_00{i}_120.npy",
            array[:, [*range(25), *range(6)]],
        )
    (tmp_path / "actionLabel.txt").write_text(labels)
    (tmp_path / "data").symlink_to(SCRIPT.parents[2] / "data")
    code = text.split("```python\n")[1].split("```")[0]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    shapes = {"UTD-MHAD": 20, "MSR-Action3D": 20, "UTKinect-Action3D": 20, "SBU Kinect Interaction": 15, "HDM05": 31}
    for name, joints in shapes.items():
        command = blocks[name].split("```bash\n")[1].split("```")[0].replace("python data", f"{sys.executable} data")
        done = subprocess.run(["bash", "-c", command.rstrip() + " --out out"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, (name, done.stderr)
        with np.load(tmp_path / "out" / f"{command.split('--name ')[1].split()[0]}.npz") as npz:
            assert npz["num_joints"] == joints and len(npz["class_names"]) == 2 and len(npz["x_train"]) and len(npz["x_test"])
            if name == "UTD-MHAD":
                x = takes[0] - takes[0][0, 1]
                assert np.allclose(npz["x_train"][0, : len(x)], x.reshape(len(x), 60), atol=1e-6)

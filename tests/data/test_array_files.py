"""Real recordings, written in the formats in which data sets come, are read correctly, and misread ones are refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from data.own import own_gendata as own
from data.prepare import checks, recipes
from data.prepare.array_files import ArrayFormat, read_text
from data.prepare.transforms import resample
from feeder import units
from feeder.feeder_ntu import Feeder
from feeder.skeleton import parents
from predict import load_model, readers
from tests.data.helpers import UTD

SCRIPT = Path(__file__).resolve().parents[2] / "data" / "own" / "own_gendata.py"


def rows(path, array, **options):
    np.savetxt(path, array, delimiter=",", **options)
    return path


def read(path, **how):
    bodies = ArrayFormat(**how).read(path)
    assert len(bodies) == 1
    return bodies[0]


def test_every_form_gives_the_same_joints(kinect, tmp_path):
    time, sure = np.arange(52)[:, None] / 30 + 3, np.ones((52, 20, 1)) * 2
    four = np.concatenate([kinect, sure], axis=2)
    two = np.stack([kinect, kinect[::-1]])
    forms = {
        "a.npy": (kinect, {}),
        "t.npy": (kinect[:, None], {"axes": "TMVC"}),
        "four.npy": (four, {"columns": "xyz_"}),
        "flat.npy": (kinect.reshape(52, 60), {"num_joints": 20}),
        "c.npy": (kinect.transpose(2, 0, 1)[..., None], {"axes": "CTVM"}),
        "utd.mat": (kinect.transpose(1, 2, 0), {}),
        "plain.mat": (kinect, {}),
        "time.csv": (np.hstack([time, four.reshape(52, 80)]), {"columns": "xyz_", "skip_columns": [0]}),
        "last.csv": (np.hstack([kinect.reshape(52, 60), time]), {"skip_columns": [-1]}),
        "joints.txt": (kinect.reshape(-1, 3), {"num_joints": 20}),
        "sure.txt": (four.reshape(-1, 4), {"form": (1, 20, 4), "columns": "xyz_"}),
        "turned.csv": (kinect.swapaxes(0, 1).reshape(20, 156), {"axes": "VTC"}),
        "planes.csv": (kinect.swapaxes(1, 2).reshape(52, 60), {"axes": "TCV"}),
        "two.npy": (two, {}),
        "two.csv": (two.swapaxes(0, 1).reshape(52, 120), {"num_joints": 20}),
        "two.txt": (two.swapaxes(0, 1).reshape(-1, 3), {"form": (2, 20, 3)}),
    }
    for name, (array, how) in forms.items():
        if name.endswith(".npy"):
            np.save(tmp_path / name, array)
        elif name.endswith(".mat"):
            savemat(tmp_path / name, {"d_skel": array}, do_compression=name == "plain.mat")
        else:  # the time stands below a title, behind a byte order mark
            title = {"header": "time,0_x,0_y", "comments": "", "encoding": "utf-8-sig"} if name == "time.csv" else {}
            rows(tmp_path / name, array, **title)
        expected = two if "two" in name else kinect[None]
        np.testing.assert_allclose(ArrayFormat(**how).read(tmp_path / name), expected, atol=1e-12, err_msg=name)
    np.savez(tmp_path / "b.npz", joints=kinect, time=time)
    assert np.array_equal(read(tmp_path / "b.npz"), kinect)
    assert np.array_equal(read(tmp_path / "a.npy", columns="xzy"), kinect[..., [0, 2, 1]])
    assert np.array_equal(read(tmp_path / "a.npy", columns="xy_"), kinect[..., :2])


def test_misread_recordings_are_refused_with_the_option_to_use(kinect, tmp_path):
    time, sure = np.arange(52)[:, None] / 30 + 3, np.ones((52, 20, 1)) * 2
    four = np.concatenate([kinect, sure], axis=2)
    wide = [np.hstack([time, four.reshape(52, 80)]), np.hstack([kinect.reshape(52, 60), time, time * 2, sure[:, 0]])]
    wide += [four[:, :15].reshape(52, 60), kinect.swapaxes(0, 1).reshape(20, 156), kinect.reshape(-1, 3), four.reshape(52, 80)]
    reasons = ["column 0 .* time stamps .*--skip_columns 0", "column -2 .*--skip_columns -2"]
    reasons += ["few different values.*--columns xyz_"]
    reasons += ["--axes VTC", "a row is one joint; --row BODIES JOINTS 3", "--columns xyz_"]
    for i, (array, reason) in enumerate(zip(wide, reasons, strict=True)):
        with pytest.raises(ValueError, match=reason) as error:
            read(rows(tmp_path / f"{i}.csv", array))
        assert str(error.value).startswith(f"{tmp_path / f'{i}.csv'}: ") and "\n" not in str(error.value)
    picture = np.dstack([kinect[..., :2] * 100 + 300, np.random.default_rng(0).uniform(0.5, 1, (52, 20))])
    for array, reason in (
        (kinect[:, None], "52 bodies in 1 frames; if frames come first: --axes TMVC"),
        (
            kinect.swapaxes(0, 1),
            "neighbouring joints are closer together than the same joint in two consecutive frames; .*--axes VTC",
        ),
        (kinect.transpose(1, 2, 0), "20 x 3 x 52 instead of .*--axes VCT"),
        (four, "--columns xyz_"),
        (np.stack([kinect] * 2, -1).transpose(2, 0, 1, 3), "3 bodies in 2D or 2 bodies in 3D: give --axes MTVC or --axes CTVM"),
        (picture, "--columns xy_"),
        (kinect.reshape(52, 60), "52 x 60 .*--row BODIES"),
    ):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(ValueError, match=reason):
            read(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="4 numbers per row .*perhaps a row is one joint: --columns xyz_"):
        read(rows(tmp_path / "sure.txt", four.reshape(-1, 4)))
    with pytest.raises(ValueError, match="61 numbers per row; 20 joints have 60 .* with --skip_columns 0"):
        read(rows(tmp_path / "known.csv", np.hstack([sure[:, 0], kinect.reshape(52, 60)])), num_joints=20)
    assert read(tmp_path / "0.csv", checks=False).shape == (52, 27, 3)


def test_real_recordings_pass_the_checks(real, tmp_path):
    above = {"irds": parents("kinect_v2"), "ucla": parents("kinect_v1")}
    for name, sequences in real.items():
        for x in sequences:
            for array in (x, x * 1000, x[:, :15]):
                checks.check_bodies(array[None], array.shape, name)
                checks.check_columns(array.reshape(len(x), -1), 3, name)
        size = np.median([units.body_size(x) for x in sequences])
        assert units.doubt_unit(size, 1.0) == "" and "--unit mm" in units.doubt_unit(size * 1000, 1.0)
        if name in above:
            tree, change = np.median([checks.bone_statistics(x[None], above[name]) for x in sequences], axis=0)
            assert tree < 1.25 and change < checks.CHANGE
            for order in (UTD + [*range(20, 25)], [*range(5, x.shape[1]), *range(5)], [*range(x.shape[1])][::-1]):
                wrong = [checks.bone_statistics(x[None][:, :, order[: x.shape[1]]], above[name])[0] for x in sequences]
                assert np.median(wrong) > checks.WRONG_TREE


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
def test_z_upwards_is_turned_about_x(kind, tmp_path):
    x = (100 * np.random.default_rng(0).normal(size=(6, 5, 3))).astype(kind)
    np.save(tmp_path / "a.npy", x)
    turned = ArrayFormat(up="z").read(tmp_path / "a.npy")[0]
    about_x = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    assert np.linalg.det(about_x) == 1
    np.testing.assert_array_equal(turned, np.einsum("ij,tvj->tvi", about_x, x))
    assert ArrayFormat(up="z").as_dict() == {"up": "z"} and ArrayFormat().as_dict() == {}


def test_frames_are_reduced(kinect):
    t = np.arange(121)[None, :, None, None] * np.ones((1, 1, 2, 3)) + 1.0
    assert (resample(t, 4.0)[0, :, 0, 0] == np.arange(1, 122, 4)).all()
    assert np.allclose(resample(t, 2.5)[0, :, 0, 0], np.arange(1, 122, 2.5))
    t[:, 3] = 0  # a missing frame is not interpolated
    assert np.allclose(resample(t, 2.5)[0, 1, 0, 0], t[0, 2, 0, 0])
    out = ArrayFormat(fps=60).to_bodies(kinect, "x")
    assert np.array_equal(out[0], kinect[::2])


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"columns": "xyy"}, "--columns xyy: a letter for every number"),
        ({"columns": "abc"}, "--columns abc"),
        ({"axes": "TVX"}, "--axes TVX: T, V, C"),
        ({"fps": 15}, "--fps 15: at least --target_fps 30"),
        ({"joint_order": (1, -1)}, "--joint_order: numbers of joints"),
        ({"form": (1, 20, 5), "columns": "xyz_"}, "--row 1 20 5: 5 numbers per joint, --columns xyz_ has 4"),
    ],
)
def test_readings_that_cannot_be(how, reason):
    with pytest.raises(ValueError, match=reason):
        ArrayFormat(**how)


@pytest.mark.parametrize("line", ["0,12;-3,5;1,0", "0,12 -3,5 1,0", "7;0,12", "0,12\t-3,5", "0,12;1,5E-03", "1;0,12"])
def test_a_decimal_comma_is_not_taken_for_a_separator(line, tmp_path):
    (tmp_path / "a.csv").write_text(f"x;y;z\n{line}\n{line}\n")
    with pytest.raises(ValueError, match=r"a.csv: line 2: '0,12' is one number or two; write decimal points"):
        read_text(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "line", ["1,2,3", "1, 2, 3", "1.0,2;3", "1;2;3", "1,2,3;4,5,6", "1,2", "1.5 , 2 , 3", "1e0,2", "12, 345,1200", "1,2 ,3"]
)
def test_separators_may_be_mixed(line, tmp_path):
    (tmp_path / "a.csv").write_text(f"{line}\n")
    numbers = [float(word) for word in re.split("[,; ]+", line)]
    assert read_text(tmp_path / "a.csv")[0].tolist() == [numbers]


@pytest.mark.parametrize(
    "text, message",
    [
        ("1,2,3\n4,,6\n", "line 2: column 2 of 3 is empty"),
        ("a,b,c\n1,,3\n4,,6\n", "line 2: column 2 of 3 is empty"),  # an unseen joint in all frames: the others would move up
        (",1,2\n,3,4\n", "line 1: column 1 of 3 is empty"),
        ("1;2; ;4\n", "line 1: column 3 of 4 is empty"),
        ("a,b,c,d\n1,2,3\n", "line 2: 3 numbers below 4 names"),
    ],
)
def test_an_empty_cell_is_not_passed_over(text, message, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=f"a.csv: {message}"):
        read_text(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "text", ["1,2,3,\n4,5,6,\n", "x;y;z;\n1;2;3;\n4;5;6;\n", "of a tracker, v2\n1 2  3\n4 5 6\n", "1\t2\t\t3\n4\t5\t6\n"]
)
def test_a_separator_may_end_every_row(text, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    assert read_text(tmp_path / "a.csv")[0].tolist() == [[1, 2, 3], [4, 5, 6]]


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
    """A folder like UTD-MHAD's: aA_sS_tT_skeleton.mat, 20 x 3 x T, its joint order; and two other files."""
    folder = tmp_path / "Skeleton"
    folder.mkdir()
    for i, x in enumerate(real["irds"][:8]):
        savemat(folder / f"a{i % 2 + 1}_s{i // 2 + 1}_t1_skeleton.mat", {"d_skel": x[:, UTD].transpose(1, 2, 0)})
    (folder / "README.txt").write_text("about 20 joints\n")
    (folder / ".DS_Store").write_bytes(b"\0\0")
    return folder


PATTERN = r"(?P<label>a\d+)_(?P<group>s\d+)_t\d+"


def test_a_folder_with_labels_in_the_file_names(utd, real, tmp_path, command):
    words = [SCRIPT, utd, "--label_pattern", PATTERN, "--test_groups", "s2", "s4", "--layout", "kinect_v1", "--out", tmp_path]
    done = command(words)
    assert done.returncode == 2 and "error: --layout kinect_v1: bones are" in done.stderr and "--joint_order" in done.stderr
    done = command([*words, "--joint_order", ",".join(map(str, UTD))])
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stdout and "README.txt: --label_pattern" in (tmp_path / "raw_data/own_skipped.txt").read_text()
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


def test_if_most_files_look_misread_nothing_is_written(kinect, tmp_path):
    time = np.cumsum(np.random.default_rng(0).integers(30, 40, 52))[:, None]
    for i, frames in enumerate((52, 52, 52, 5, 5)):  # a rising column says nothing in five frames
        wide = np.hstack([time, kinect.reshape(52, 60), kinect[:, 0, :2]])[:frames]
        rows(tmp_path / f"a{i % 2}_{('train', 'test')[i // 3]}{i}.csv", wide)
    with pytest.raises(ValueError, match=r"3 of 5 recordings look misread.*the first: .*a0_train0.csv: column 0"):
        own.generate([tmp_path], tmp_path / "out", label_pattern=r"(?P<label>a\d)_(?P<split>train|test)")
    assert not (tmp_path / "out/own.npz").exists()


def test_predict_reads_files_like_the_training_data(utd, tmp_path):
    """Axes, order of joints and frame rate go from the npz into a checkpoint and to the next recording."""
    how = {"joint_order": (*UTD, 2), "fps": 60.0, "axes": "VCT"}
    path = own.generate([utd], tmp_path, label_pattern=PATTERN, test_groups=["s2", "s4"], **how)
    data = load_model.TrainingData(21, 1, coordinates=3, how=Feeder(path, "test").metadata()["how"])
    preparation = readers.prepare_like_training(data, recipes.recipe(path, 21, 2))
    for name, i in (("a1_s2_t1_skeleton", 0), ("a2_s4_t1_skeleton", 3)):
        ((_, load),) = readers.list_recordings(utd / f"{name}.mat", preparation)
        feeder = Feeder(path, "test")
        assert feeder.name(i).endswith(f"({name})") and np.array_equal(load().whole(), feeder.frames(i))

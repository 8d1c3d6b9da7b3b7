"""Folders and zips of BVH files as an npz: labels, splits, windows, joints, units, and errors of one line."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.bvh import bvh_gendata
from data.prepare import bvh, checks, custom_dataset, kinect
from data.prepare.custom_skeleton import CustomSkeleton
from feeder.feeder_ntu import Feeder
from feeder.skeleton import joint_names
from tests.data.bvh_text import person, text
from tests.data.helpers import load, skipped
from tests.predict.conftest import predict  # noqa: F401
from tests.predict.helpers import MAMP, evaluated, probabilities, trained_on

PATTERN = r"(?P<label>[a-z]+)_(?P<group>[a-z]+)"
SCRIPT = Path(bvh_gendata.__file__)


@pytest.fixture
def raw(tmp_path):
    """Eight recordings, two classes by two people, each in a folder; centimetres."""
    for i in range(8):
        label, who = ("walk", "jump")[i % 2], ("anna", "ben")[i // 4]
        file = tmp_path / "raw" / who / f"{label}_{who}_{i}.{'BVH' if i == 3 else 'bvh'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text(*person(40 + i, seed=i)))
    return tmp_path / "raw"


def test_labels_and_groups_from_names(raw, tmp_path):
    path = bvh_gendata.generate(raw, tmp_path, label_pattern=PATTERN, test_groups=["ben"])
    arrays = load(path)
    assert arrays["class_names"].tolist() == ["jump", "walk"] and arrays["y_train"].argmax(1).tolist() == [0, 0, 1, 1]
    assert arrays["name_train"].tolist() == [f"anna/{x}" for x in ("jump_anna_1", "jump_anna_3", "walk_anna_0", "walk_anna_2")]
    assert set(arrays["group_train"]) == {"anna"} and set(arrays["group_test"]) == {"ben"}
    names = arrays["joint_names"].tolist()
    assert sorted(names) == sorted(joint[0] for joint in person(1)[0])
    assert arrays["valid_frames_test"].tolist() == [45, 47, 44, 46]
    parents = {name: names[above] for name, above in zip(names, arrays["parents"], strict=True)}
    assert parents["Hips"] == "Hips" and parents["LeftForeArm"] == "LeftArm" and parents["LeftArm"] == "Neck"
    joints, hierarchy = bvh.read(raw / "ben" / "jump_ben_5.bvh")
    joints = joints[:, [hierarchy.names.index(name) for name in names]] / 100
    x = arrays["x_test"][0].reshape(-1, len(names), 3)
    np.testing.assert_allclose(x[:45], joints - joints[0, 0], atol=1e-6)
    assert not x[45:].any() and not skipped(tmp_path)
    assert Feeder(path, "train").parents().tolist() == arrays["parents"].tolist()


def test_without_labels_everything_is_for_training(raw, tmp_path):
    arrays = load(bvh_gendata.generate(raw, tmp_path, joints="kinect_v1"))
    assert "y_train" not in arrays and "x_test" not in arrays and len(arrays["x_train"]) == 8
    assert str(arrays["layout"]) == "kinect_v1" and arrays["num_joints"] == 20 and "joint_names" not in arrays
    assert arrays["group_train"].tolist() == arrays["name_train"].tolist()
    joints, hierarchy = bvh.read(raw / "anna" / "walk_anna_0.bvh")
    expected = kinect.kinect_v1(joints, hierarchy.names, hierarchy.parents, "") / 100
    row = arrays["name_train"].tolist().index("anna/walk_anna_0")
    np.testing.assert_allclose(arrays["x_train"][row].reshape(-1, 20, 3)[:40], expected - expected[0, 1], atol=1e-6)


def test_a_table(raw, tmp_path):
    rows = "".join(
        f"\n{file.relative_to(raw).as_posix()},{i},{'test' if i > 5 else 'train'}"
        for i, file in enumerate(sorted(raw.rglob("*.[bB]*")))
    )
    (tmp_path / "t.csv").write_text("name,label,split" + rows + "\nnobody,1,train")
    arrays = load(bvh_gendata.generate(raw, tmp_path, table=tmp_path / "t.csv"))
    assert len(arrays["x_train"]) == 6 and len(arrays["x_test"]) == 2 and len(arrays["class_names"]) == 8
    assert len(skipped(tmp_path)) == 1 and "'nobody' is not in" in skipped(tmp_path)[0]


def test_subjects_are_groups_if_no_group_is_named(raw, tmp_path):
    """Of the pattern, and of a table beside its split: people are held out, not files."""
    arrays = load(bvh_gendata.generate(raw, tmp_path, label_pattern=PATTERN.replace("group", "subject"), test_groups=["ben"]))
    assert set(arrays["group_train"]) == {"anna"} and set(arrays["group_test"]) == {"ben"}
    rows = (
        f"{file.relative_to(raw)},a,{'train' if i < 6 else 'test'},{i % 2}" for i, file in enumerate(sorted(raw.rglob("*.*vh")))
    )
    (tmp_path / "t.csv").write_text("\n".join(["name,label,split,subject", *rows]))
    arrays = load(bvh_gendata.generate(raw, tmp_path, table=tmp_path / "t.csv", window=15))
    assert set(arrays["group_train"]) == {"0", "1"} and len(arrays["x_train"]) > 6


def test_windows(raw, tmp_path):
    """The pieces of a file make up the whole, have similar lengths, and are in one group."""
    whole = load(bvh_gendata.generate(raw, tmp_path / "a", window=0, center="none"))
    cut = load(bvh_gendata.generate(raw, tmp_path / "b", window=15, center="none"))
    assert cut["x_train"].shape[1] <= 15 and cut["valid_frames_train"].min() >= 11
    for name, x, frames in zip(whole["name_train"], whole["x_train"], whole["valid_frames_train"], strict=True):
        rows = np.flatnonzero(cut["group_train"] == name)
        assert len(rows) == -(-frames // 15)
        assert [str(cut["name_train"][row]).split("_")[-2] for row in rows][0] == "0"
        together = np.concatenate([cut["x_train"][row, : cut["valid_frames_train"][row]] for row in rows])
        np.testing.assert_array_equal(together, x[:frames])


def test_some_joints(raw, tmp_path):
    arrays = load(bvh_gendata.generate(raw, tmp_path, joints="Head,Hips,LeftHand,LeftArm,RightToeBase"))
    assert arrays["joint_names"].tolist() == ["Head", "Hips", "LeftHand", "LeftArm", "RightToeBase"]
    assert arrays["parents"].tolist() == [1, 1, 3, 1, 1]  # the nearest above that is there
    ends = load(bvh_gendata.generate(raw, tmp_path, end_sites=True))
    assert len(ends["joint_names"]) == 23 and ends["joint_names"][ends["parents"][ends["joint_names"] == "Head_end"]] == ["Head"]


@pytest.mark.parametrize(
    "scale, unit, line",
    [
        (100, 0.01, ""),
        (1, 1, ""),
        (1 / 0.056444, 0.0254 / 0.45, ""),
        (100, 1, "--unit cm would fit"),
        (1 / 0.056444, 0.01, "--scale 0.05644, CMU's unit,"),
    ],
)
def test_units_are_doubted_by_the_height(scale, unit, line, tmp_path, capsys):
    for i in range(3):
        (tmp_path / f"{i}.bvh").write_text(text(*person(20, seed=i, scale=scale)))
    bvh_gendata.generate(tmp_path, tmp_path / "out", unit=unit)
    out = capsys.readouterr().out
    assert out.count("warning") == bool(line) and line in out


def test_z_upwards(raw, tmp_path, capsys):
    """Files with z up cause a warning, and --up z rotates them."""
    for file in raw.rglob("*.[bB]*"):
        joints, values = person(30, seed=len(file.name))
        joints = [(name, above, (x, -z, y), channels) for name, above, (x, y, z), channels in joints]
        values[:, [1, 2]] = values[:, [2, 1]]
        file.write_text(text(joints, values))
    bvh_gendata.generate(raw, tmp_path / "a")
    warning = "warning: bodies extend over 1.5 m along z and 0.36 m along y: which axis points up, --up says"
    assert warning in capsys.readouterr().out
    arrays = load(bvh_gendata.generate(raw, tmp_path / "b", up="z"))
    assert "warning" not in capsys.readouterr().out
    x = arrays["x_train"][0, 0].reshape(-1, 3)
    names = arrays["joint_names"].tolist()
    assert x[names.index("Head"), 1] > 0.5 > -0.7 > x[names.index("LeftFoot"), 1]
    left = x[names.index("LeftArm")] - x[names.index("RightArm")]
    front = x[names.index("LeftToeBase")] - x[names.index("LeftFoot")]
    assert np.cross([0, 1, 0], front) @ left > 0  # turned, not mirrored


def test_a_root_that_never_moves_is_ignored(shared, tmp_path, capsys):
    """In Bandai-Namco's files people walk away from joint_Root, along z, which is not a sign that z is up."""
    with zipfile.ZipFile(shared("realdata/bandai_bvh.zip")) as archive:
        for name in [name for name in archive.namelist() if "dataset-1_run_" in name][:3]:
            (tmp_path / Path(name).name).write_bytes(archive.read(name))
    bvh_gendata.generate(tmp_path, tmp_path / "out")
    assert "warning" not in capsys.readouterr().out


def test_the_bones_of_a_file_are_not_doubted():
    """Some skeletons have bones far longer than the distance to the next joint; in a hierarchy they are what the file says."""
    long, bodies = np.zeros(5, int), np.zeros((1, 9, 5, 3))
    bodies[0, :, 1:, 1] = [1.0, 1.1, 1.2, 1.3]  # a star
    for certain in (False, True):
        statistics = custom_dataset.BodyStatistics(CustomSkeleton(parents=long, certain=certain))
        statistics.add("file", bodies + np.random.default_rng(0).normal(0, 1e-3, bodies.shape))
        assert any("joints are in another order" in line for line in statistics.warnings(1, 3)) != certain


def test_joints_that_do_not_move_count_if_most_do_not():
    standing = np.zeros((1, 9, 20, 3)) + np.linspace(0, 1.6, 20)[:, None]
    standing[0, :, 7] += np.arange(9)[:, None] * 1e-3  # one joint moves
    assert checks.extents(standing).min() > 1.5


def test_damaged_files_are_one_line_each(raw, tmp_path):
    good = (raw / "anna" / "walk_anna_0.bvh").read_text()
    (raw / "cut_anna_9.bvh").write_text(good[: len(good) // 2])
    (raw / "noise_anna_9.bvh").write_bytes(bytes(range(256)))
    (raw / "other_anna_9.bvh").write_text(good.replace("LeftHand", "Tentacle"))
    (raw / "unlabelled.bvh").write_text(good)
    path = bvh_gendata.generate(raw, tmp_path, label_pattern=PATTERN, test_groups=["ben"], window=10)
    lines = skipped(tmp_path)
    assert len(load(path)["x_train"]) + len(load(path)["x_test"]) == 4 + 7 * 5 and len(lines) == 4  # 40 to 47 frames
    for name, reason in (
        ("noise_anna_9", "not a BVH file, since not text"),
        ("cut_anna_9", "values, the hierarchy has 57 channels"),
        ("other_anna_9", "has no joint 'LeftHand'"),
        ("unlabelled", "does not match"),
    ):
        assert sum(str(raw / name) in line and reason in line for line in lines) == 1
    with pytest.raises(ValueError, match="_anna_9.bvh"):
        bvh_gendata.generate(raw, tmp_path, strict=True)


def test_if_no_file_has_usable_frames_the_first_is_named(tmp_path):
    (raw := tmp_path / "raw").mkdir()
    (raw / "walk_anna_0.bvh").write_text(text(*person(40)).rstrip()[:-9] + "x\n")
    with pytest.raises(ValueError, match=f"^{raw}: no recording can be used; the first: {raw}/walk_anna_0.bvh: line"):
        bvh_gendata.generate(raw, tmp_path, label_pattern=PATTERN, test_groups=["ben"])


@pytest.mark.parametrize(
    "words, wrong",
    [
        (["none"], "none: no such folder or zip file"),
        (["raw", "--joints", "Hips,Nose"], "--joints Hips,Nose: 'Nose' is not a joint"),
        (["raw", "--center", "Nose"], "--center Nose: use a number 0..17 or one of Hips"),
        (["raw", "--joints", "Hips,Neck", "--body_frame"], "--body_frame: name the four joints"),
        (["raw", "--label_pattern", "(?P<label>swim)"], "matches none of 8 files; the first is 'anna/jump_anna_1.bvh'"),
        (
            ["raw", "--label_pattern", "(?P<label>walk|jump)"],
            "split is missing; give train or test, --test_groups or --test_ratio",
        ),
        (["raw", "--label_pattern", PATTERN, "--test_groups", "carl"], "--test_groups carl: no recording is of this group"),
        (["raw", "--labels", "none.csv"], "none.csv: no such file"),
        (["raw", "--window", "-1"], "argument --window: '-1' is not a whole number, or 0"),
        (["raw", "--target_fps", "0"], "argument --target_fps: '0' is not a number above 0"),
    ],
)
def test_mistakes_are_one_line(words, wrong, raw, tmp_path, command):
    done = command([SCRIPT, *words, "--out", "out"], tmp_path)
    assert done.returncode == 2 and wrong in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_command_line(raw, tmp_path, command):
    options = "--test_groups ben --joints kinect_v1 --body_frame --min_max --name mine --quiet".split()
    done = command([SCRIPT, raw, "--label_pattern", PATTERN, *options, "--out", tmp_path / "out"])
    assert done.returncode == 0 and not done.stderr, done.stderr
    about = "4 train, 4 test, 2 classes, up to 47 frames, 1 bodies, 20 joints"
    assert done.stdout.startswith(f"{tmp_path / 'out' / 'mine.npz'}: {about}")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"joints": "kinect_v1", "body_frame": [], "min_max": True},
        {"joints": "Head,Hips,LeftHand", "up": "z", "target_fps": 15.0},
    ],
)
def test_prediction_prepares_files_like_the_training_data(options, raw, tmp_path, predict):  # noqa: F811
    npz = bvh_gendata.generate(raw, tmp_path, label_pattern=PATTERN, test_groups=["ben"], **options)
    path = trained_on(npz, tmp_path / "own.pth", "linprobe", *MAMP)
    logits = evaluated("linprobe", path, npz, tmp_path / "eval")
    npz.unlink()
    result, code, messages = predict(path, raw / "ben")
    assert code == 0 and len(result["recordings"]) == 4, messages
    for recording in result["recordings"]:
        own = logits[f"ben/{Path(recording['name']).stem}"]
        np.testing.assert_allclose(probabilities({"recordings": [recording]})[0], np.exp(own) / np.exp(own).sum(), atol=1e-5)
    (tmp_path / "other.bvh").write_text(text(*person(20, names={"Head": "Kopf"})))
    _, code, messages = predict(path, tmp_path / "other.bvh")
    assert code == 2 and "other.bvh: " in messages and "head" in messages.lower()


def test_seconds_of_a_timeline_are_those_of_the_file(raw, tmp_path, predict):  # noqa: F811
    """Ten seconds at 120 frames a second, for a model of 30 and one of 15 frames a second."""
    (tmp_path / "long.bvh").write_text(text(*person(1200), frame_time=repr(1 / 120)))
    for fps in (30.0, 15.0):
        npz = bvh_gendata.generate(raw, tmp_path, label_pattern=PATTERN, test_groups=["ben"], target_fps=fps)
        path = trained_on(npz, tmp_path / "own.pth", "linprobe", *MAMP)
        (recording,) = predict(path, tmp_path / "long.bvh", "--window", 30)[0]["recordings"]
        assert recording["frames"] == 10 * fps and recording["timeline"][-1]["end_s"] == 10
        for words, rate in (((), fps), (("--fps", 60), 60)):  # prepared arrays have the training data's, unless one is given
            prepared = predict(path, npz, "--window", 10, *words)[0]["recordings"]
            assert prepared and all(each["timeline"][-1]["end_s"] == round(each["frames"] / rate, 3) for each in prepared)


@pytest.mark.parametrize("scale", [100, 1, 1000])
def test_a_model_of_kinects_accepts_metres_and_centimetres(scale, tmp_path, predict):  # noqa: F811
    """For training data in metres, the one that gives a person's size is used; other units need --unit."""
    x = np.random.default_rng(0).normal(size=(8, 30, 60)).astype(np.float32) * 0.4
    y = np.eye(2)[[0, 1] * 4]
    about = {"num_joints": 20, "num_bodies": 1, "layout": "kinect_v1", "unit": 1.0}
    np.savez(tmp_path / "k.npz", x_train=x, y_train=y, x_test=x, y_test=y, **about)
    path = trained_on(tmp_path / "k.npz", tmp_path / "k.pth", "linprobe", *MAMP)
    (tmp_path / "a.bvh").write_text(text(*person(30, scale=scale)))
    np.save(tmp_path / "a.npy", bvh.load(tmp_path / "a.bvh", joint_names("kinect_v1")) / scale)
    by_hand, _, _ = predict(path, tmp_path / "a.npy")
    found, code, messages = predict(path, tmp_path / "a.bvh", *(["--unit", "mm"] if scale == 1000 else []))
    assert code == 0, messages
    np.testing.assert_allclose(probabilities(found)[0], probabilities(by_hand)[0], atol=1e-5)

"""Joints that a tracker lost, columns that are no coordinates, and recordings with another axis upwards."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.own import own_gendata as own
from data.prepare import arguments, custom_dataset, recipes, transforms
from data.prepare.array_files import ArrayFormat
from data.prepare.custom_skeleton import CustomSkeleton
from feeder.feeder_ntu import Feeder
from feeder.skeleton import joint_names, opposite_joints, parents_of, up_axis
from predict import load_model, options, readers

PATTERN = r"(?P<label>a\d)_(?P<split>train|test)"


def steady(frames=12, joints=4):
    """(1, T, V, 3): every coordinate rises by an equal step in each frame, so that interpolation gives the lost values."""
    step = np.random.default_rng(0).uniform(0.01, 0.05, (joints, 3))
    return (1.0 + np.arange(frames)[:, None, None] * step)[None]


@pytest.mark.parametrize("lost", [np.nan, 0.0, np.inf])
def test_gaps_inside_are_interpolated_and_at_the_ends_the_nearest_frame_is_held(lost):
    x = steady()
    gone = x.copy()
    gone[0, 4:7, 1] = lost
    gone[0, 3, 2] = lost
    gone[0, :2, 3] = gone[0, -1, 3] = lost
    filled = transforms.fill_gaps(gone, 3)
    expected = x.copy()
    expected[0, :2, 3], expected[0, -1, 3] = x[0, 2, 3], x[0, -2, 3]
    np.testing.assert_allclose(filled, expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"joint 1 is missing in 3 frames from frame 4 on, more than --fill 2"):
        transforms.fill_gaps(gone, 2)


def test_one_coordinate_that_is_no_number_loses_the_joint_but_one_zero_does_not():
    x = steady()
    gone = x.copy()
    gone[0, 5, 0, 1] = np.nan
    gone[0, 5, 1, 1] = 0
    filled = transforms.fill_gaps(gone, 1)
    np.testing.assert_allclose(filled[0, :, 0], x[0, :, 0], rtol=1e-12)
    assert filled[0, 5, 1, 1] == 0


def test_what_is_0_on_purpose_stays_0():
    """A joint at the origin of every frame, and frames without a body; a body that is absent does not end its joints' gap."""
    x = np.concatenate([steady(), steady() + 1])
    x[:, :, 2] = 0
    x[1, 3:6] = 0
    gone = x.copy()
    gone[1, 2, 0] = np.nan
    filled = transforms.fill_gaps(gone, 1)
    assert np.array_equal(filled[0], x[0]) and not filled[1, 3:6].any() and not filled[:, :, 2].any()
    np.testing.assert_allclose(filled[1, 2, 0], x[1, 2, 0], rtol=1e-12)
    gone[0, 7, 2] = np.nan  # once not known where it always is: at the origin
    assert not transforms.fill_gaps(gone, 1)[0, :, 2].any()
    gone[1, :, 0] = np.nan
    with pytest.raises(ValueError, match="joint 0 is missing in 12 frames"):
        transforms.fill_gaps(gone, 5)
    with pytest.raises(ValueError, match="joint 0 is missing in every frame"):
        transforms.fill_gaps(gone, 12)


def test_a_second_body_of_which_nothing_is_known_is_absent():
    gone = np.concatenate([steady(), np.full((1, 12, 4, 3), np.nan)])
    assert np.array_equal(transforms.fill_gaps(gone, 1), np.concatenate([steady(), np.zeros((1, 12, 4, 3))]))
    with pytest.raises(ValueError, match="joint 0 is missing in 12 frames"):
        transforms.fill_gaps(gone[1:], 1)


def test_joints_that_are_left_out_have_no_gaps(tmp_path):
    x = steady()[0]
    x[:, 3] = np.nan
    np.save(tmp_path / "a.npy", x)
    for fill in (0, 5):
        assert np.array_equal(ArrayFormat(joint_order=(0, 1, 2), fill=fill, checks=False).read(tmp_path / "a.npy")[0], x[:, :3])


def test_decimal_commas_are_refused_with_gaps_too(tmp_path):
    lines = "\n".join(";".join(f"{value:.3f}".replace(".", ",") for value in frame.ravel()) for frame in steady()[0])
    (tmp_path / "a.csv").write_text(lines)
    with pytest.raises(ValueError, match="line 1: '1,000' is one number or two"):
        ArrayFormat(fill=3).read(tmp_path / "a.csv")


def test_a_row_of_separators_alone_is_a_frame(tmp_path):
    x = steady()
    rows = [",".join(map(repr, frame.ravel().tolist())) for frame in x[0]]
    rows[4] = "," * 11
    rows[8] = ",".join(["NA", "", "n/a", *rows[8].split(",")[3:]])
    (tmp_path / "a.csv").write_text("\n".join(rows))
    np.testing.assert_allclose(ArrayFormat(fill=1, checks=False).read(tmp_path / "a.csv"), x, rtol=1e-12)


@pytest.mark.parametrize("separator, lost", [(",", ""), (";", ""), (",", "nan"), ("\t", "NaN")])
def test_empty_cells_are_gaps_where_gaps_are_filled(separator, lost, tmp_path):
    x = steady()
    cells = [[f"{value:.17g}" for value in frame.ravel()] for frame in x[0]]
    cells[5][4] = lost
    lines = ["\t".join(f"c{i}" for i in range(12)), *(separator.join(row) for row in cells)]
    (tmp_path / "a.tsv").write_text("\n".join(lines) + "\n")
    np.testing.assert_allclose(ArrayFormat(fill=1, checks=False).read(tmp_path / "a.tsv"), x, rtol=1e-12)
    with pytest.raises(
        ValueError, match="column 5 of 12 is empty|frame 5, joint 1 has a coordinate that is not a finite number; --fill"
    ):
        ArrayFormat(checks=False).read(tmp_path / "a.tsv")
    (tmp_path / "a.tsv").write_text("\n".join(line + separator for line in lines) + "\n")  # a separator ends every row
    np.testing.assert_allclose(ArrayFormat(fill=1, checks=False).read(tmp_path / "a.tsv"), x, rtol=1e-12)


def test_lines_at_the_top_of_a_text_file(kinect, tmp_path):
    about = "NO_OF_FRAMES\t52\nNO_OF_MARKERS\t20\nFREQUENCY\t30\n"
    table = "\n".join("\t".join(f"{value:.17g}" for value in row) for row in kinect.reshape(52, 60))
    (tmp_path / "a.tsv").write_text(about + table)
    with pytest.raises(ValueError, match="line 1: 'NO_OF_FRAMES' is not a number; --skip_rows N"):
        ArrayFormat(num_joints=20).read(tmp_path / "a.tsv")
    assert np.array_equal(ArrayFormat(num_joints=20, skip_rows=3).read(tmp_path / "a.tsv")[0], kinect)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("how", ["values", "names"])
def test_a_visibility_beside_every_joint_is_no_coordinate(first, how, kinect, tmp_path):
    """By its values, from 0 to 1 while coordinates are not; or, where coordinates are shares of a picture, by its name."""
    sure = np.random.default_rng(0).uniform(0, 1, (52, 20, 1))
    joints = kinect if how == "values" else (kinect - kinect.min((0, 1))) / np.ptp(kinect, axis=(0, 1))
    table = np.concatenate([sure, joints] if first else [joints, sure], axis=2).reshape(52, 80)
    letters, names = ("_xyz", "vxyz") if first else ("xyz_", "xyzv")
    title = {"v": "visibility"} if how == "names" else {}
    header = ",".join(f"j{v}_{title.get(letter, letter)}" for v in range(20) for letter in names) if how == "names" else ""
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", header=header, comments="")
    with pytest.raises(ValueError, match=f"one of every 4 columns .* like a confidence; --columns {letters} leaves it out"):
        ArrayFormat().read(tmp_path / "a.csv")
    assert np.allclose(ArrayFormat(columns=letters).read(tmp_path / "a.csv")[0], joints)


@pytest.mark.parametrize("up, axis", [("-y", (0, -1, 0)), ("z", (0, 0, 1)), ("-z", (0, 0, -1)), ("y", (0, 1, 0))])
def test_the_axis_upwards_becomes_y_by_a_rotation_about_x(up, axis):
    turned = transforms.to_y_up(np.concatenate([np.eye(3), [axis]])[None, None], up)[0, 0]
    assert np.array_equal(turned[3], [0, 1, 0]) and np.array_equal(turned[0], [1, 0, 0])
    assert np.linalg.det(turned[:3]) == 1 and (turned[:3] @ turned[:3].T == np.eye(3)).all()
    assert transforms.to_y_up(np.array([[[[2, 3]]]]), up).ravel().tolist() == [2, -3 if up == "-y" else 3]


def recordings(folder, kinect, change=lambda x, i: x, dims=3):
    folder.mkdir(exist_ok=True)
    for i in range(4):
        np.save(folder / f"a{i % 2}_{('train', 'test')[i // 2]}.npy", change(kinect[..., :dims].copy(), i))
    return folder


def test_zeros_now_and_then_and_pixels_are_warned_of(kinect, tmp_path, capsys):
    def lose(x, i):
        x[10 * i : 10 * i + 5, i] = 0
        return x

    raw, how = recordings(tmp_path / "raw", kinect, lose), {"label_pattern": PATTERN, "layout": "kinect_v1"}
    own.generate([raw], tmp_path, **how)
    assert "warning: 0.48 % of the joints are exactly 0 now and then" in capsys.readouterr().out  # 20 of 4 x 52 x 20
    own.generate([raw], tmp_path, fill=5, **how)
    assert "warning" not in capsys.readouterr().out
    recordings(raw, kinect, lambda x, i: x * 200 + 300, dims=2)
    own.generate([raw], tmp_path, **how)
    assert "like pixels; models expect about 1.7: --scale 0.0" in capsys.readouterr().out
    own.generate([raw], tmp_path, unit=0.005, **how)
    assert "warning" not in capsys.readouterr().out


def test_zeros_of_a_bvh_file_are_no_gaps():
    """Its joints are computed, and --fill is not for it."""
    x = steady()
    x[:, 3:6, 0] = 0
    for standing, warned in ((False, True), (True, False)):
        statistics = custom_dataset.BodyStatistics(CustomSkeleton(), standing)
        statistics.add("a", x)
        assert any("--fill" in line for line in statistics.warnings(1.0, 3)) == warned


def test_predictions_fill_gaps_and_read_rows_as_the_training_data_were_read(kinect, tmp_path):
    gone = kinect.copy()
    gone[7:9, 3] = np.nan
    raw = recordings(tmp_path / "raw", kinect, lambda x, i: gone)
    path = own.generate([raw], tmp_path, label_pattern=PATTERN, layout="kinect_v1", fill=2, up="-y")
    feeder = Feeder(path, "test")
    data = load_model.TrainingData(20, 1, coordinates=3, how=feeder.metadata()["how"], center=-1)
    preparation = readers.prepare_like_training(data, recipes.recipe(path, 20, 2))
    ((_, load),) = readers.list_recordings(raw / "a0_test.npy", preparation)
    assert np.array_equal(load().whole(), feeder.frames(0)) and np.isfinite(feeder.frames(0)).all()
    for how, file in (({"columns": "xyz_", "skip_columns": [0]}, "plain.csv"), ({"columns": "xyz_"}, "plain.npy")):
        np.savetxt(tmp_path / "plain.csv", kinect.reshape(52, 60), delimiter=",")  # without the columns of the training data
        np.save(tmp_path / "plain.npy", kinect)
        data = load_model.TrainingData(20, 1, coordinates=3, how=how, center=-1)
        own_way = {} if file == "plain.npy" else {"columns": "xyz", "skip_columns": []}  # --skip_columns none
        preparation = readers.prepare_like_training(data, recipes.recipe(path, 20, 2), how=own_way)
        ((_, load),) = readers.list_recordings(tmp_path / file, preparation)
        assert np.allclose(load().whole().reshape(52, 20, 3), kinect, atol=1e-6)


def test_one_recording_is_a_file(kinect, tmp_path, capsys):
    np.save(tmp_path / "long.npy", np.tile(kinect, (3, 1, 1)))
    np.save(tmp_path / "other.npy", kinect)
    path = own.generate([tmp_path / "long.npy"], tmp_path / "out", window=60)
    assert Feeder(path, "train", labelled=False).names.tolist() == ["long_0_52", "long_52_104", "long_104_156"]


def mediapipe(kinect):
    """(T, 33, 3) like MediaPipe's landmarks, y downwards: the limbs of a Kinect skeleton, and a face about its head."""
    k = {name: kinect[:, i] for i, name in enumerate(joint_names("kinect_v1"))}
    x = np.zeros((len(kinect), 33, 3))
    face = [
        (0, 0),
        *((15 * i, 30) for i in (1, 2, 3)),
        *((-15 * i, 30) for i in (1, 2, 3)),
        (75, 20),
        (-75, 20),
        (25, -30),
        (-25, -30),
    ]
    x[:, :11] = k["head"][:, None] + np.array([(x, y, 0) for x, y in face]) / 1000
    for side, first in (("left", 0), ("right", 1)):
        for joint, kind in (
            (11, "shoulder"),
            (13, "elbow"),
            (15, "wrist"),
            (23, "hip"),
            (25, "knee"),
            (27, "ankle"),
            (31, "foot"),
        ):
            x[:, joint + first] = k[f"{kind} {side}"]
        for joint in (17, 19, 21):
            x[:, joint + first] = k[f"hand {side}"] + 0.01 * joint
        x[:, 29 + first] = k[f"ankle {side}"] - [0, 0.05, 0]
    return x * [1, -1, -1]


def test_mediapipe(kinect, tmp_path):
    """The command of docs/data.md: visibility, two more columns, lost landmarks, y down, a hip and a neck that are not there."""
    joints = mediapipe(kinect)
    for i in range(10):
        table = np.concatenate([joints, np.full((52, 33, 1), 0.9)], axis=2).reshape(52, 132)
        rows = [[t, t / 30, *row] for t, row in enumerate(table.tolist())]
        rows[5 + i][2 + 4 * i] = float("nan")
        names = ",".join(
            ["frame", "time", *(f"{name}_{n}" for name in joint_names("mediapipe33") for n in "x y z visibility".split())]
        )
        (tmp_path / "raw").mkdir(exist_ok=True)
        np.savetxt(
            tmp_path / f"raw/P{i // 2:02}_{('wave', 'bow')[i % 2]}_{i}.csv", rows, delimiter=",", header=names, comments=""
        )
    words = (Path(__file__).resolve().parents[2] / "docs/data.md").read_text().split("own_gendata.py poses ")[1].split("```")[0]
    words = shlex.split(words.replace("\\\n", " "))
    script = Path(own.__file__)
    done = subprocess.run([sys.executable, script, tmp_path / "raw", *words, "--out", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0 and "warning" not in done.stdout, done.stdout + done.stderr
    feeder = Feeder(tmp_path / "own.npz", "train", [1.0], window_size=52)
    assert (feeder.num_joints, len(feeder.names)) == (35, 8) and feeder.joint_names()[-2:] == ["hip", "neck"]
    x = feeder.frames(0).reshape(52, 35, 3)
    hip, neck, left, right = x[:, [33, 34, 11, 12]].mean(0, dtype=np.float64)
    across, up = (right - left) / np.linalg.norm(right - left), (neck - hip) / np.linalg.norm(neck - hip)
    assert np.allclose(across, [1, 0, 0], atol=1e-5) and up[1] > 0.9 and abs(up[2]) < 1e-5  # the body frame
    assert np.allclose(x[:, 33], (x[:, 23] + x[:, 24]) / 2, atol=1e-6) and np.allclose(x[0, 33], 0, atol=1e-6)
    shin = np.linalg.norm(x[:, 25] - x[:, 27], axis=-1)
    assert np.allclose(shin, np.linalg.norm(kinect[:, 13] - kinect[:, 14], axis=-1), atol=1e-5)
    bones = Feeder(tmp_path / "own.npz", "train", [1.0], window_size=52, bone=True)[0][0]  # (C, T, V, M)
    assert not bones[:, :, 0].any() and bones[:, :, 33:].any()
    mirrored = opposite_joints(feeder.joint_names(), parents_of({"parents": feeder.skeleton["parents"]}, 35))
    assert mirrored[33:].tolist() == [33, 34] and mirrored[11] == 12
    data = load_model.TrainingData(35, 1, coordinates=3, how=feeder.metadata()["how"], center=33, body_frame=[33, 34, 11, 12])
    preparation = readers.prepare_like_training(data, recipes.recipe(tmp_path / "own.npz", 35, 2))
    ((_, load),) = readers.list_recordings(tmp_path / "raw" / f"{feeder.names[0]}.csv", preparation)
    assert np.allclose(load().whole(), feeder.frames(0), atol=1e-6)


@pytest.mark.parametrize(
    "midpoints, message",
    [((("hip", 3, 40),), "--midpoints: 20 joints, no joint 40, from 0"), ((("head", 0, 1),), "two joints have one name, 'head'")],
)
def test_midpoints_that_cannot_be(midpoints, message, kinect, tmp_path):
    with pytest.raises(ValueError, match=message):
        own.generate(
            [recordings(tmp_path / "raw", kinect)], tmp_path, label_pattern=PATTERN, layout="kinect_v1", midpoints=midpoints
        )


def test_each_recording_may_have_its_own_frame_rate(kinect, tmp_path):
    (raw := tmp_path / "raw").mkdir()
    fast = np.repeat(kinect, 2, axis=0)
    fast[1:-1:2] = (fast[:-2:2] + fast[2::2]) / 2  # 103 frames at 60 fps, and one more that is not used
    for name, joints in {"slow": kinect, "fast": fast[:-1], "odd": kinect}.items():
        np.save(raw / f"{name}.npy", joints)
    (raw / "labels.csv").write_text("name,label,split,fps\nslow,a,train,30\nfast,a,train,60\nodd,a,train,24\n")
    own.generate([raw], tmp_path, layout="kinect_v1")
    feeder = Feeder(tmp_path / "own.npz", "train")
    assert np.allclose(feeder.frames(0), feeder.frames(1), atol=1e-6) and len(feeder.frames(0)) == 52
    assert (
        "fps '24' is not a number of frames per second, at least --target_fps 30"
        in (tmp_path / "raw_data/own_skipped.txt").read_text()
    )
    how = feeder.metadata()["how"]
    data = load_model.TrainingData(20, 1, coordinates=3, how=how, center=-1)
    for name, fps in (("slow", None), ("fast", 60)):
        preparation = readers.prepare_like_training(data, recipes.recipe(tmp_path / "own.npz", 20, 2), fps=fps)
        ((_, load),) = readers.list_recordings(raw / f"{name}.npy", preparation)
        assert np.allclose(load().whole(), feeder.frames(0), atol=1e-6)
    with pytest.raises(ValueError, match="--fps 60: the labels have a column fps; leave one of them out"):
        own.generate([raw], tmp_path, layout="kinect_v1", fps=60.0)


def test_the_frame_rate_of_a_flat_file(kinect, tmp_path):
    joints, offset = np.concatenate([kinect, kinect[:40]]), np.array([0, 52, 92])
    np.savez(tmp_path / "flat.npz", joints=joints, offset=offset, label=[0, 1], split=["train", "train"], fps=[60.0, 30.0])
    own.generate([tmp_path / "flat.npz"], tmp_path)
    feeder = Feeder(tmp_path / "own.npz", "train")
    assert [len(feeder.frames(i)) for i in (0, 1)] == [26, 40] and np.allclose(
        feeder.frames(0), kinect[::2].reshape(26, 60), atol=1e-6
    )
    np.savez(tmp_path / "plain.npz", joints=joints, offset=offset, label=[0, 1], split=["train", "train"], name=["x", "y"])
    own.generate([tmp_path / "flat.npz", tmp_path / "plain.npz"], tmp_path / "both")
    assert "fps '' is not a number" in (tmp_path / "both/raw_data/own_skipped.txt").read_text()


def test_a_number_of_0_is_given_too(kinect, tmp_path):
    """The training data's files had three lines at the top, this one has none."""
    np.savetxt(tmp_path / "a.csv", kinect.reshape(52, 60), delimiter=",")
    data = load_model.TrainingData(20, 1, coordinates=3, how={"skip_rows": 3}, center=-1)
    words = options.build_parser().parse_args(["a.csv", "--checkpoint", "x.pth", "--skip_rows", "0"])
    preparation = readers.prepare_like_training(data, recipes.recipe("x.npz", 20, 2), how=arguments.given_format(words))
    ((_, load),) = readers.list_recordings(tmp_path / "a.csv", preparation)
    assert len(load().whole()) == 52
    assert arguments.given_format(options.build_parser().parse_args(["a", "--checkpoint", "x", "--skip_columns", "none"])) == {
        "skip_columns": []
    }


@pytest.mark.parametrize(
    "layout, how, up", [("coco17", {}, "-y"), ("coco17", {"up": "-y"}, "y"), ("mediapipe33", {}, "-y"), ("kinect_v1", {}, "y")]
)
def test_which_way_2d_keypoints_are_drawn(layout, how, up):
    assert up_axis(layout, np.zeros((4, 17, 3)), how) == up
    assert up_axis(layout, np.ones((4, 17, 3)), how) == "y"  # 3D

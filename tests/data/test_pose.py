"""The body frame and scaling to -1 .. 1: against independent formulas, and unchanged by another camera."""

import json
import zipfile

import numpy as np
import pytest

from data.own import own_gendata as own
from data.prepare import transforms, ucla
from feeder.feeder_ntu import Feeder
from feeder.skeleton import joint_names
from tests.predict.conftest import predict  # noqa: F401
from tests.predict.helpers import MAMP, evaluated, probabilities, trained_on

AXES = (0, 2, 4, 8)  # hip, neck, left and right shoulder of the Kinects


def rotation(rng):
    """A random rotation, by the QR decomposition."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.linalg.det(q)


@pytest.fixture
def bodies():
    """(M, T, V, 3): two persons, the second absent in three frames, the first in the first of all."""
    x = np.random.default_rng(0).normal(size=(2, 9, 20, 3))
    x[1, 4:7] = x[0, 0] = 0
    return x


@pytest.fixture(scope="module")
def released(shared):
    """[(name, joints (T, 20, 3)), ...] of a few sequences of NW-UCLA, of all three views."""
    with zipfile.ZipFile(shared("realdata/nw_ucla_all_sqe.zip")) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".json") and "MACOSX" not in name)[::150]
        return [(name, np.array(json.loads(archive.read(name))["skeletons"])) for name in names]


def moved(bodies, rng, scale=1.0):
    """The same recording from another camera position."""
    return np.where(bodies.any(axis=(2, 3), keepdims=True), scale * bodies @ rotation(rng) + rng.normal(size=3), 0)


def test_another_camera_gives_the_same_row(bodies):
    rng = np.random.default_rng(1)
    for min_max in (False, True):
        expected = transforms.row(bodies, origin=1, frame_joints=AXES, min_max=min_max)
        assert expected.dtype == np.float32 and expected.shape == (9, 120)
        for _ in range(5):
            np.testing.assert_allclose(transforms.row(moved(bodies, rng), 1.0, 1, AXES, min_max), expected, atol=1e-6)
    np.testing.assert_allclose(transforms.row(moved(bodies, rng, 7.0), 1.0, 1, AXES, True), expected, atol=1e-6)  # nor its unit


def test_distances_stay_and_the_mean_pose_faces_the_reader(released):
    for _, joints in released:
        row = transforms.row(joints[None], origin=1, frame_joints=AXES).reshape(joints.shape)
        for a, b in ((0, 3), (7, 19), (11, 14)):
            before, after = (np.linalg.norm(x[:, a] - x[:, b], axis=1) for x in (joints, row))
            np.testing.assert_allclose(after, before, atol=1e-5)
        np.testing.assert_array_equal(row[0, 1], 0)
        mean = row.mean(axis=0, dtype=np.float64)
        across, up = mean[8] - mean[4], mean[2] - mean[0]
        np.testing.assert_allclose(across[1:], 0, atol=1e-6)
        assert across[0] > 0 and up[1] > 0 and abs(up[2]) < 1e-6


def test_min_max_joint_by_joint(bodies):
    row = transforms.row(bodies, min_max=True).reshape(9, 2, 20, 3)
    there = [(t, m) for m in range(2) for t in range(9) if bodies[m, t].any()]
    for c in range(3):
        values = [bodies[m, t, v, c] for t, m in there for v in range(20)]
        for t, m in there:
            for v in (0, 7, 19):
                share = (bodies[m, t, v, c] - min(values)) / (max(values) - min(values))
                assert row[t, m, v, c] == pytest.approx(2 * share - 1, abs=1e-6)
    assert not row[0, 0].any() and not row[4:7, 1].any()  # absent bodies stay zero


def test_bodies_without_axes(bodies):
    line = np.zeros((1, 3, 20, 3))
    line[..., 1] = np.arange(20)
    for body in (line, np.ones((1, 3, 20, 3)), np.concatenate([bodies[:1, 1:2, :1]] * 20, axis=2)):
        with pytest.raises(ValueError, match="^the body has no axes: in its mean pose hip, neck and shoulders lie on one line$"):
            transforms.row(body, frame_joints=AXES)


def test_the_release_and_prediction(released, predict, tmp_path):  # noqa: F811
    """main_predict.py prepares a raw file like the npz: its probabilities are those of --eval."""
    (raw := tmp_path / "raw").mkdir()
    for name, joints in released:
        label = int(name.split("/")[-1][1:3])
        (raw / name.split("/")[-1]).write_text(json.dumps({"skeletons": joints.tolist(), "label": min(label, 10)}))
    npz = ucla.generate(raw, tmp_path, body_frame=True, min_max=True)
    assert npz.name == "UCLA_XView_body_minmax.npz"
    arrays = dict(np.load(npz))
    assert arrays["body_frame"].tolist() == list(AXES) and arrays["min_max"] == arrays["unit"] == 1 and arrays["center"] == 1
    assert np.abs(arrays["x_train"]).max() == 1
    heights = [np.median(np.ptp(joints, axis=1).max(axis=1)) for _, joints in released]
    assert arrays["body_size"] == pytest.approx(np.median(heights))
    path = trained_on(npz, tmp_path / "ucla.pth", "linprobe", *MAMP)
    logits = evaluated("linprobe", path, npz, tmp_path / "eval")
    result, code, messages = predict(path, *(raw / f"{name}.json" for name in logits))
    assert code == 0 and "axes of the body's mean pose, every axis from -1 to 1" in messages
    for recording, own_logits in zip(result["recordings"], logits.values(), strict=True):
        expected = np.exp(own_logits - own_logits.max())
        np.testing.assert_allclose(probabilities({"recordings": [recording]})[0], expected / expected.sum(), atol=1e-5)
    _, code, messages = predict(path, *(_written(tmp_path / "mm.npy", 1000 * released[0][1]),))
    assert code == 2 and "--unit" in messages  # compared with the body size before min_max


def _written(path, array):
    np.save(path, array)
    return path


def test_both_at_once_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--align: --body_frame rotates the sequences, too"):
        ucla.generate(tmp_path, tmp_path, align=True, body_frame=True)


@pytest.fixture
def folder(tmp_path):
    """Recordings of 20 joints from random cameras, in centimetres, one of them a straight line, and their table."""
    (raw := tmp_path / "own").mkdir()
    rng = np.random.default_rng(5)
    bodies = rng.normal(size=(5, 8, 20, 3)).cumsum(axis=1)
    bodies[4] = np.arange(20)[:, None]
    for i, body in enumerate(bodies):
        np.save(raw / f"{i}.npy", 100 * moved(body[None], rng)[0])
    table = "\n".join(f"{i},{'ab'[i % 2]},{'train' if i < 2 else 'test'}" for i in range(5))
    (raw / "labels.csv").write_text("name,label,split\n" + table)
    return raw, bodies


@pytest.mark.parametrize("words, layout", [([], "kinect_v1"), (["0", "2", "4", "8"], None)])
def test_own_recordings(words, layout, folder, tmp_path):
    raw, bodies = folder
    path = own.generate([raw], tmp_path, unit=0.01, body_frame=words, layout=layout, min_max=True, checks=False)
    with np.load(path) as npz:
        arrays = dict(npz)
    assert arrays["body_frame"].tolist() == list(AXES) and arrays["center"] == (1 if layout else 0)
    assert arrays["name_test"].tolist() == ["2", "3"]
    assert "4.npy: the body has no axes" in (tmp_path / "raw_data/own_skipped.txt").read_text()
    expected = np.stack([transforms.row(body[None], frame_joints=AXES, min_max=True) for body in bodies[:2]])
    np.testing.assert_allclose(arrays["x_train"], expected, atol=1e-5)
    data = Feeder(path)
    assert data.metadata()["min_max"] == 1 and data.metadata()["body_size"] > 2 and not data.complaints


def test_joints_are_found_by_usual_names(shared, tmp_path):
    """UI-PRMD's waist, neck, l_upper_arm and r_upper_arm; a missing one is an error before anything is read."""
    with np.load(shared("realdata/ui_prmd_kinect22_correct.npz")) as file:
        offset, names, parents = file["offset"][:5], file["joint_names"], file["parents"]
        x = file["joints_tenth_mm"][: offset[-1]] / 1e4
    few = {"joints": x, "offset": offset, "label": [0, 0, 1, 1], "split": ["train", "test"] * 2, "parents": parents}
    np.savez(tmp_path / "few.npz", joint_names=names, **few)
    with np.load(own.generate([tmp_path / "few.npz"], tmp_path, body_frame=[])) as npz:
        axes = [names.tolist().index(name) for name in ("waist", "neck", "l_upper_arm", "r_upper_arm")]
        assert npz["body_frame"].tolist() == axes and npz["center"] == axes[0]
        expected = transforms.row(x[None, : offset[1]], origin=axes[0], frame_joints=axes)
        np.testing.assert_allclose(npz["x_train"][0, : offset[1]], expected, atol=1e-6)
    names[0] = "middle"
    np.savez(tmp_path / "few.npz", joint_names=names, **few | {"joints": 0 * x})  # of which nothing can be used
    with pytest.raises(ValueError, match="^--body_frame: .* no joint has a name that could be Kinect's 'spine base'$"):
        own.generate([tmp_path / "few.npz"], tmp_path, body_frame=[])


@pytest.mark.parametrize(
    "words, names, line",
    [
        (["hip"], ["hip"], "--body_frame hip: 1 joints instead of hip, neck, left and right shoulder"),
        ([], ["hip", "neck"], "--body_frame: name the four joints hip, neck, left and right shoulder; no joint has a name that"),
        ([], None, "--body_frame: name the four joints"),
        (["0", "1", "2", "20"], None, "--body_frame 20: use a number 0..19"),
        (["0", "1", "2", "nek"], list(joint_names("kinect_v1")), "--body_frame nek: use a number 0..19 or one of spine base"),
    ],
)
def test_joints_that_are_not_there(words, names, line):
    with pytest.raises(ValueError) as error:
        transforms.origin_and_frame_joints(None, words, names, 20)
    assert str(error.value).startswith(line)

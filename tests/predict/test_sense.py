"""Arrays in other orders, of other coordinates and in other units: taken rightly or refused in one line; and their features."""

import numpy as np
import pytest

import main_pretrain
import main_retrieval
from data.prepare import axes_and_units
from tests.predict.helpers import MAMP, shares, trained_on
from util import checkpoint


@pytest.fixture
def person():
    """(T, V, 3) metres: somebody 1.7 m tall around the origin at the first spine."""
    rng = np.random.default_rng(1)
    joints = rng.uniform(-0.8, 0.8, size=(1, 25, 3)) + 0.05 * np.cumsum(rng.normal(size=(40, 25, 3)), axis=0)
    return (joints - joints[0, 1]).astype(np.float32)


@pytest.fixture
def two(person):
    """(M, T, V, 3)"""
    return np.stack([person, person[::-1] + np.float32([1, 0, 0])])


def answers(result):
    return np.array([shares(recording) for recording in result["recordings"]])


@pytest.mark.parametrize("order", ["MTVC", "CTVM", "TMVC", "batch of one"])
def test_every_order_that_can_be_told_means_the_same(mamp, two, predict, tmp_path, order):
    np.save(tmp_path / "a.npy", two)
    array = two.transpose(["MTVC".index(axis) for axis in ("CTVM" if order == "batch of one" else order)])
    np.save(tmp_path / "b.npy", array[None] if order == "batch of one" else array)
    np.savez(tmp_path / "c.npz", array)
    result, code, messages = predict(mamp, *sorted(tmp_path.glob("?.np?")))
    assert code == 0, messages
    np.testing.assert_allclose(answers(result), answers(result)[[0, 0, 0]], atol=1e-6)


def test_one_person_in_every_order(mamp, person, predict, tmp_path):
    np.save(tmp_path / "a.npy", person)
    for i, array in enumerate((person[None], person.transpose(2, 0, 1), person.transpose(2, 0, 1)[..., None], person[:, None])):
        np.save(tmp_path / f"b{i}.npy", array)
    result, code, messages = predict(mamp, *sorted(tmp_path.glob("*.npy")))
    assert code == 0 and len(result["recordings"]) == 5, messages
    np.testing.assert_allclose(answers(result), answers(result)[[0] * 5], atol=1e-6)


def test_what_may_be_either_is_asked(mamp, person, predict, tmp_path):
    three = np.stack([person, person + 1, person - 1])  # (3, T, V, 3)
    np.save(tmp_path / "three.npy", three)
    _, code, messages = predict(mamp, tmp_path / "three.npy")
    assert code == 2 and r"three.npy: 3 x 40 x 25 x 3 may be (M, T, V, C) or (C, T, V, M)" in messages
    assert "--axes MTVC or CTVM says which" in messages
    persons, _, _ = predict(mamp, tmp_path / "three.npy", "--axes", "MTVC")
    house, _, _ = predict(mamp, tmp_path / "three.npy", "--axes", "CTVM")
    np.save(tmp_path / "house.npy", three.transpose(3, 1, 2, 0))  # the other reading, in the documented order
    again, _, _ = predict(mamp, tmp_path / "house.npy", "--axes", "MTVC")
    np.testing.assert_allclose(answers(house), answers(again), atol=1e-6)
    assert np.abs(answers(persons) - answers(house)).max() > 1e-3


@pytest.mark.parametrize(
    "shape, flat, bodies, expected",
    [
        ((3, 9, 25, 2), False, 2, "CTVM"),
        ((3, 9, 25, 2), None, 2, "CTVM"),
        ((3, 9, 25, 2), True, 3, "MTVC"),
        ((2, 9, 25, 3), False, 2, "MTVC"),
        ((2, 9, 25, 2), True, 1, None),
        ((98, 1, 25, 3), None, 2, "TMVC"),
        ((98, 2, 25, 2), True, 2, "TMVC"),
        ((4, 98, 25, 3), None, 2, "MTVC"),
        ((2, 2, 25, 3), False, 2, None),
        ((1, 1, 25, 3), False, 2, "MTVC"),
        ((2, 98, 25, 1), True, 1, "CTVM"),
    ],
)
def test_the_order_by_what_the_model_knows(shape, flat, bodies, expected):
    array = np.arange(np.prod(shape), dtype=float).reshape(shape)
    if expected is None:
        with pytest.raises(ValueError, match="says which"):
            axes_and_units.arrange(array, 25, bodies, flat)
    else:
        found = axes_and_units.arrange(array, 25, bodies, flat)
        assert (found == np.einsum(f"{expected.lower()}->mtvc", array)).all()


@pytest.mark.parametrize("shape", [(25, 40, 3), (2, 40, 3, 25), (4, 3, 40, 25, 2), (40, 26, 3), (7,), ()])
def test_other_shapes_are_told_what_is_wanted(mamp, predict, tmp_path, shape):
    np.save(tmp_path / "a.npy", np.ones(shape))
    _, code, messages = predict(mamp, tmp_path / "a.npy")
    (line,) = [line for line in messages.splitlines() if "a.npy" in line]
    assert code == 2 and "wanted is (T, 25, 3), frames x joints x xyz, or (M, T, 25, 3)" in line and "Traceback" not in messages


def test_two_and_three_coordinates_are_not_mixed(mamp, person, predict, tmp_path, arrays):
    np.save(tmp_path / "flat.npy", person[..., :2])
    np.save(tmp_path / "zero.npy", person * np.float32([1, 1, 0]))
    result, code, messages = predict(mamp, tmp_path / "flat.npy", tmp_path / "zero.npy")
    assert result is None and code == 2
    assert messages.count("two coordinates (z is 0), the model was trained on three") == 2
    flat = arrays | {f"x_{k}": arrays[f"x_{k}"] * np.tile([1, 1, 0], 5).astype(np.float32) for k in ("train", "test")}
    np.savez(tmp_path / "own.npz", **flat, coordinates=2)
    path = trained_on(tmp_path / "own.npz", tmp_path / "own.pth", "linprobe", *MAMP)
    np.save(tmp_path / "solid.npy", person[:, :5])
    _, code, messages = predict(path, tmp_path / "solid.npy")
    assert code == 2 and "three coordinates, the model was trained on two" in messages
    np.save(tmp_path / "flat.npy", person[:, :5, :2])
    assert predict(path, tmp_path / "flat.npy")[1] == 0


@pytest.mark.parametrize("unit, factor", [("mm", 1000), ("cm", 100)])
def test_another_unit_is_refused_and_named(mamp, person, predict, tmp_path, unit, factor):
    np.save(tmp_path / "a.npy", (person.astype(float) + [0.2, 1, 3]) * factor)
    np.save(tmp_path / "metres.npy", person)
    result, code, messages = predict(mamp, tmp_path / "a.npy")
    assert result is None and code == 2 and f"if its unit is {unit}, give --unit {unit}; --unit m takes it as it is" in messages
    result, code, _ = predict(mamp, tmp_path / "a.npy", "--unit", unit)
    assert code == 0
    metres, _, _ = predict(mamp, tmp_path / "metres.npy")
    np.testing.assert_allclose(answers(result), answers(metres), atol=1e-5)
    assert predict(mamp, tmp_path / "a.npy", "--unit", "m")[1] == 0  # who says so is believed
    older = checkpoint.load(mamp)
    older["data"].pop("body_size")
    checkpoint.save(tmp_path / "older.pth", older)
    assert f"give --unit {unit}" in predict(tmp_path / "older.pth", tmp_path / "a.npy")[2]


def test_own_data_in_any_unit_are_compared_with_themselves(arrays, predict, tmp_path):
    """Trained on numbers a thousand times larger: those are right, and metres are not."""
    large = arrays | {f"x_{k}": arrays[f"x_{k}"] * 1000 for k in ("train", "test")}
    np.savez(tmp_path / "own.npz", **large)
    path = trained_on(tmp_path / "own.npz", tmp_path / "own.pth", "linprobe", *MAMP)
    length = arrays["valid_frames_test"][0]
    for name, factor in (("right", 1000), ("small", 1)):
        np.save(tmp_path / f"{name}.npy", factor * arrays["x_test"][0, :length].reshape(length, 5, 3))
    result, code, messages = predict(path, tmp_path / "right.npy", tmp_path / "small.npy")
    assert code == 2 and len(result["recordings"]) == 1 and "small.npy: a body measures" in messages
    assert "--scale 1000 would fit" in messages


def test_features_are_those_of_retrieval(ntu60, raw, predict, tmp_path, options):
    """Raw recordings give what the encoder makes of the prepared ones, for a pre-training and for a classifier on it."""
    sizes = {"dim_feat": 8, "num_frames": 16, "min_frames": 8, "test_p_interval": 0.95}
    main_pretrain.main(options("pretrain", ntu60, tmp_path / "run", "--epochs", 1, **sizes))
    path = tmp_path / "run/checkpoint-0.pth"
    main_retrieval.main(
        options(
            "retrieval",
            ntu60,
            tmp_path / "near",
            "--finetune",
            path,
            "--save_features",
            tmp_path / "r.npz",
            num_frames=16,
            min_frames=8,
            test_p_interval=0.95,
        )
    )
    with np.load(tmp_path / "r.npz") as file:
        expected = dict(zip(file["name_test"].tolist(), file["x_test"], strict=True))
    result, _, messages = predict(path, raw, "--features", tmp_path / "out/features.npz")
    with np.load(tmp_path / "out/features.npz") as file:
        found = dict(file)
    assert result is None and found["readout"] == "mean" and "read-out mean" in messages
    assert found["features"].shape == (len(found["names"]), 8) and found["checkpoint"] == str(path)
    names = [name.split("/")[-1].removesuffix(".skeleton") for name in found["names"]]
    ours = dict(zip(names, found["features"], strict=True))
    assert len(expected) > 3
    for name, features in expected.items():
        np.testing.assert_allclose(ours[name], features, atol=1e-5 * np.abs(features).max())


def test_features_beside_answers_and_of_windows(mamp, person, predict, tmp_path):
    np.save(tmp_path / "a.npy", person)
    result, code, _ = predict(mamp, tmp_path / "a.npy", "--features", tmp_path / "f.npz", "--window", 16, "--stride", 8)
    assert code == 0 and result["recordings"][0]["timeline"]
    with np.load(tmp_path / "f.npz") as file:
        assert file["start"].tolist() == [0, 8, 16, 24] and file["end"].tolist() == [16, 24, 32, 40]
        assert file["names"].tolist() == [str(tmp_path / "a.npy")] * 4 and len(file["features"]) == 4
    np.save(tmp_path / "b.npy", person[:, :3])
    predict(mamp, tmp_path / "b.npy", "--features", tmp_path / "none.npz")
    assert not (tmp_path / "none.npz").exists()

"""Every kind of input, arrays in other orders and units, and files that cannot be used: taken rightly or refused in one line."""

import json
import pickle
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

import main_predict
import main_pretrain
import main_retrieval
from data.prepare import axes
from data.prepare.array_files import ArrayFormat
from data.prepare.recipes import OTHER
from predict.load_model import TrainingData
from predict.readers import prepare_like_training
from tests.predict.helpers import MAMP, changed, probabilities, trained_on
from util import checkpoint


def same(result, atol=1e-5):
    """All recordings got the same answer."""
    found = probabilities(result)
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), atol=atol)


def test_the_same_joints_in_every_kind_of_file(mamp, person, predict, tmp_path):
    two = np.zeros((40, 2, 25, 3), np.float32)
    two[:, 0] = person
    np.save(tmp_path / "a.npy", person)
    np.save(tmp_path / "b.npy", two.swapaxes(0, 1).astype(np.float64))
    np.savez(tmp_path / "c.npz", one=person, two=two.swapaxes(0, 1))
    np.savez_compressed(tmp_path / "d.npz", person)
    (tmp_path / "e.txt").write_text("\n".join(" ".join(map(repr, map(float, row))) for row in two.reshape(40, -1)))
    x = np.zeros((2, 50, 150), np.float32)
    x[0, :40] = x[1, :40] = two.reshape(40, -1)
    np.savez(tmp_path / "f.npz", x_test=x, y_test=np.eye(60)[:2], x_train=x, y_train=np.eye(60)[:2])
    note = {"frame_dir": "S001", "label": 0, "total_frames": 40, "keypoint": person[None]}
    with open(tmp_path / "g.pkl", "wb") as file:
        pickle.dump({"split": {}, "annotations": [note, note | {"frame_dir": "S002"}]}, file)
    result, code, messages = predict(mamp, *sorted(tmp_path.glob("[a-g].*")))
    assert code == 0, messages
    names = "a.npy,b.npy,c.npz: one,c.npz: two,d.npz: arr_0,e.txt,f.npz: 0,f.npz: 1,g.pkl: S001,g.pkl: S002".split(",")
    assert [r["name"].removeprefix(f"{tmp_path}/") for r in result["recordings"]] == names
    assert {recording["frames"] for recording in result["recordings"]} == {40}
    same(result)
    np.save(tmp_path / "h.npy", (person + np.float32([1, 2, 3])).astype(np.float64) * 1000)  # somewhere in the room
    moved, _, _ = predict(mamp, tmp_path / "h.npy", "--unit", "mm")
    np.testing.assert_allclose(probabilities(moved)[0], probabilities(result)[0], atol=1e-5)


def test_a_flat_file_is_all_its_recordings(mamp, person, predict, tmp_path):
    """What own_gendata.py reads: all frames in one array, and where each recording begins; its other arrays are no recordings."""
    again = np.concatenate([person[::-1], person])
    flat = {"joints": np.concatenate([person, again]), "offset": [0, 40, 120], "label": [3, 4], "subject": ["anna", "ben"]}
    np.savez(tmp_path / "flat.npz", **flat)
    np.save(tmp_path / "one.npy", person)
    np.save(tmp_path / "two.npy", again)
    result, code, messages = predict(mamp, tmp_path / "flat.npz", tmp_path / "one.npy", tmp_path / "two.npy")
    assert code == 0, messages
    assert [r["name"].removeprefix(f"{tmp_path}/") for r in result["recordings"][:2]] == ["flat.npz: flat_0", "flat.npz: flat_1"]
    assert [r["frames"] for r in result["recordings"]] == [40, 80] * 2
    np.testing.assert_allclose(probabilities(result)[:2], probabilities(result)[2:], atol=1e-6)


def test_recordings_of_the_same_name_are_told_apart(mamp, person, predict, tmp_path):
    flat = {"joints": np.concatenate([person] * 3), "offset": [0, 40, 80, 120], "label": [3, 4, 4], "name": ["a", "b", "a"]}
    np.savez(tmp_path / "flat.npz", **flat)
    result, code, _ = predict(mamp, tmp_path / "flat.npz", "--features", tmp_path / "features.npz")
    names = [f"{tmp_path}/flat.npz: {name}" for name in ("a (number 0 of the file)", "b", "a (number 2 of the file)")]
    assert code == 0 and [recording["name"] for recording in result["recordings"]] == names
    with np.load(tmp_path / "features.npz") as features:
        assert features["names"].tolist() == names


def test_a_folder_is_all_its_recordings_and_what_is_empty_is_named(mamp, raw, predict):
    result, code, messages = predict(mamp, raw)
    names = sorted(map(str, raw.glob("*.skeleton")))
    assert [recording["name"] for recording in result["recordings"]] == [n for n in names if n not in result["failed"][0]]
    assert code == 2 and len(result["failed"]) == 1 and "no frame has a body" in messages


def test_the_order_of_joints_is_taken_from_the_user(mamp, raw, predict, tmp_path):
    """Also in .skeleton files, whose order a model of published data knows."""
    file, order = raw / "S001C001P002R001A008.skeleton", list(range(24, -1, -1))
    (body,) = ArrayFormat().read(file)
    np.save(tmp_path / "turned.npy", body[:, order])
    words = "--joint_order", ",".join(map(str, order))
    result, code, messages = predict(mamp, file, tmp_path / "turned.npy")
    assert code == 0, messages
    (own,), (turned,) = (probabilities(predict(mamp, file, *w)[0]) for w in ((), words))
    assert np.abs(own - turned).max() > 1e-3
    np.testing.assert_allclose(turned, probabilities(result)[1], atol=1e-6)


def test_every_order_that_can_be_told_means_the_same(mamp, person, predict, tmp_path):
    two = np.stack([person, person[::-1] + np.float32([1, 0, 0])])  # (M, T, V, 3)
    ctv = person.transpose(2, 0, 1)
    for name, orders in {
        "two": [two, two.transpose(3, 1, 2, 0), two.transpose(1, 0, 2, 3), two.transpose(3, 1, 2, 0)[None]],
        "one": [person, person[None], ctv, ctv[..., None], person[:, None]],
    }.items():
        for i, array in enumerate(orders):
            np.save(tmp_path / f"{name}{i}.npy", array)
        result, code, messages = predict(mamp, *sorted(tmp_path.glob(f"{name}?.npy")))
        assert code == 0 and len(result["recordings"]) == len(orders), messages
        same(result, 1e-6)


def test_what_may_be_either_is_asked(mamp, person, predict, tmp_path):
    three = np.stack([person, person + 1, person - 1])  # (3, T, V, 3)
    np.save(tmp_path / "three.npy", three)
    _, code, messages = predict(mamp, tmp_path / "three.npy")
    assert code == 2 and r"three.npy: 3 x 40 x 25 x 3 may be (M, T, V, C) or (C, T, V, M)" in messages
    assert "--axes MTVC or CTVM says which" in messages
    np.save(tmp_path / "turned.npy", three.transpose(3, 1, 2, 0))  # the other reading, in the documented order
    persons, other = (predict(mamp, tmp_path / "three.npy", "--axes", axes)[0] for axes in ("MTVC", "CTVM"))
    again, _, _ = predict(mamp, tmp_path / "turned.npy", "--axes", "MTVC")
    np.testing.assert_allclose(probabilities(other), probabilities(again), atol=1e-6)
    assert np.abs(probabilities(persons) - probabilities(other)).max() > 1e-3


@pytest.mark.parametrize(
    "shape, flat, bodies, expected",
    [
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
            axes.guess(array, 25, bodies, flat)
    else:
        found = axes.guess(array, 25, bodies, flat)
        assert (found == np.einsum(f"{expected.lower()}->mtvc", array)).all()
        assert (axes.guess(found.transpose(2, 1, 0, 3), 25, bodies, flat, "VTMC") == found).all()  # as --axes says


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
    np.save(tmp_path / "flat.npy", person[:, :5, :2])
    result, code, messages = predict(path, tmp_path / "solid.npy", tmp_path / "flat.npy")
    assert code == 2 and "solid.npy: three coordinates, the model was trained on two" in messages
    assert len(result["recordings"]) == 1


@pytest.mark.parametrize("unit, factor", [("mm", 1000), ("cm", 100)])
def test_another_unit_is_refused_and_named(mamp, person, predict, tmp_path, unit, factor):
    np.save(tmp_path / "a.npy", (person.astype(float) + [0.2, 1, 3]) * factor)
    np.save(tmp_path / "metres.npy", person)
    result, code, messages = predict(mamp, tmp_path / "a.npy")
    assert result is None and code == 2 and f"if its unit is {unit}, give --unit {unit}; --unit m takes it as it is" in messages
    result, _, _ = predict(mamp, tmp_path / "a.npy", "--unit", unit)
    np.testing.assert_allclose(probabilities(result), probabilities(predict(mamp, tmp_path / "metres.npy")[0]), atol=1e-5)
    assert predict(mamp, tmp_path / "a.npy", "--unit", "m")[1] == 0  # who says so is believed
    older = checkpoint.load(mamp)
    older["data"].pop("body_size")
    checkpoint.save(tmp_path / "older.pth", older)
    assert f"give --unit {unit}" in predict(tmp_path / "older.pth", tmp_path / "a.npy")[2]


def scaled(text, factor):
    """A `.skeleton` file with all coordinates multiplied."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        words = line.split()
        if len(words) == 12:  # a joint: x, y, z, and what is not read
            lines[i] = " ".join([*(repr(factor * float(word)) for word in words[:3]), *words[3:]])
    return "\n".join(lines)


def test_the_unit_counts_for_files_that_are_usually_in_metres(mamp, raw, predict, tmp_path, shared):
    """Published kinds of files, whose readers know the unit, written by somebody in millimetres."""
    good = raw / "S001C001P002R001A008.skeleton"
    (tmp_path / "mm.skeleton").write_text(scaled(good.read_text(), 1000))
    _, code, messages = predict(mamp, tmp_path / "mm.skeleton")
    assert code == 2 and "give --unit mm" in messages
    (told,), (own,) = (probabilities(predict(mamp, *words)[0]) for words in ((tmp_path / "mm.skeleton", "--unit", "mm"), (good,)))
    np.testing.assert_allclose(told, own, atol=1e-5)

    with zipfile.ZipFile(shared("realdata/nw_ucla_all_sqe.zip")) as archive:
        sequence = json.loads(archive.read(next(name for name in archive.namelist() if name.endswith("a01_s01_e00_v03.json"))))
    frames = np.random.default_rng(0).normal(size=(40, 150))  # of PKU-MMD: two bodies in a row
    for npz, layout, joints, bodies, classes, file in (
        ("PKUv1_XSub.npz", "kinect_v2", 25, 2, 51, "0002-L.txt"),
        ("UCLA_XView.npz", "kinect_v1", 20, 1, 10, "a01_s01_e00_v03.json"),
    ):
        x, y = np.ones((classes, 30, joints * 3 * bodies)), np.eye(classes)
        about = {"num_joints": joints, "num_bodies": bodies, "layout": layout}
        np.savez(tmp_path / npz, x_train=x, y_train=y, x_test=x, y_test=y, **about)
        path, found = trained_on(tmp_path / npz, tmp_path / "published.pth", "linprobe", *MAMP), []
        for unit, factor in (("m", 1), ("mm", 1000)):
            (tmp_path / unit).mkdir(exist_ok=True)
            if bodies == 2:
                np.savetxt(tmp_path / unit / file, factor * frames)
            else:
                scaled_one = sequence | {"skeletons": (factor * np.array(sequence["skeletons"])).tolist()}
                (tmp_path / unit / file).write_text(json.dumps(scaled_one))
            found.append(probabilities(predict(path, tmp_path / unit / file, "--unit", unit)[0]))
        np.testing.assert_allclose(*found, atol=1e-5)


def test_options_without_effect_on_a_file_are_refused(mamp, ntu60, raw, predict, tmp_path):
    for name in ("a.json", "a.bvh", "a.pkl"):
        (tmp_path / name).write_text("{}")
    good = raw / "S001C001P002R001A008.skeleton"
    for file, words in (
        (tmp_path / "a.json", ("--joint_order", "0,1")),
        (tmp_path / "a.bvh", ("--columns", "xyz_")),
        (tmp_path / "a.bvh", ("--fps", "60")),
        (tmp_path / "a.pkl", ("--axes", "MTVC")),
        (good, ("--row", 2, 25, 3)),
        (ntu60, ("--joint_order", "0,1")),
        (ntu60, ("--unit", "mm")),
    ):
        _, code, messages = predict(mamp, file, *words)
        assert code == 2 and f"error: {file}: {words[0]} has no effect on this kind of file" in messages


def test_own_data_in_any_unit_are_compared_with_themselves(arrays, predict, tmp_path):
    """Trained on numbers a thousand times larger: those are right, and metres are not."""
    np.savez(tmp_path / "own.npz", **arrays | {f"x_{k}": arrays[f"x_{k}"] * 1000 for k in ("train", "test")})
    path = trained_on(tmp_path / "own.npz", tmp_path / "own.pth", "linprobe", *MAMP)
    length = arrays["valid_frames_test"][0]
    for name, factor in (("right", 1000), ("small", 1)):
        np.save(tmp_path / f"{name}.npy", factor * arrays["x_test"][0, :length].reshape(length, 5, 3))
    result, code, messages = predict(path, tmp_path / "right.npy", tmp_path / "small.npy")
    assert code == 2 and len(result["recordings"]) == 1 and "small.npy: a body measures" in messages
    assert "--scale 1000 would fit" in messages


def test_each_bad_file_is_one_line_and_the_others_go_on(mamp, raw, person, predict, tmp_path):
    good = raw / "S001C001P002R001A008.skeleton"
    whole = good.read_bytes()
    spoilt = {
        "cut.skeleton": whole[: len(whole) // 2],
        "binary.skeleton": b"\0\1\2",
        "empty.txt": b"",
        "short.txt": b"1 2 3\n",
        "notes.docx": b"PK",
        "broken.npz": b"PK\3\4 and no more",
        "broken.npy": b"\x93NUMPY",
        "evil.pkl": pickle.dumps({"split": {}, "annotations": [print]}),
        "a01_s01_e01_v01.json": b"{}",
    }
    for name, content in spoilt.items():
        (tmp_path / name).write_bytes(content)
    nan = person.copy()
    nan[3, 4, 1] = np.nan
    odd = {"nan": nan, "zero": 0 * person, "joints": person[:, :20], "row": person[:, 0], "none": person[:0]}
    odd |= {f"shape{i}": np.ones(shape) for i, shape in enumerate([(25, 40, 3), (2, 40, 3, 25), (4, 3, 40, 25, 2), (7,), ()])}
    for name, array in odd.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "nothing").mkdir()
    names = [*spoilt, *(f"{name}.npy" for name in odd), "absent.npy", "no_folder", "nothing"]
    bad = [tmp_path / name for name in names]
    result, code, messages = predict(mamp, *bad[:7], good, *bad[7:])
    lines = [line for line in messages.splitlines() if line.startswith("error:")]
    assert code == 2 and [r["name"] for r in result["recordings"]] == [str(good)]
    assert len(result["failed"]) == len(bad) == len(lines) - 1 and "Traceback" not in messages
    for path, line in zip(bad, lines, strict=False):
        assert line.startswith(f"error: {path}") and len(line) < 300
        if path.name.startswith("shape"):
            assert "wanted is (T, 25, 3), frames x joints x xyz, or (M, T, 25, 3)" in line
    assert "20 joints, the model knows 25" in messages and "builtins.print" in messages


def test_features_are_those_of_retrieval(ntu60, raw, predict, tmp_path, options):
    """Raw recordings give what the encoder makes of the prepared ones, for a pre-training and for a classifier on it."""
    sizes = {"dim_feat": 8, "num_frames": 16, "min_frames": 8, "test_p_interval": 0.95}
    main_pretrain.main(options("pretrain", ntu60, tmp_path / "run", "--epochs", 1, **sizes))
    path = tmp_path / "run/checkpoint-0.pth"
    words = ["--finetune", path, "--save_features", tmp_path / "r.npz"]
    main_retrieval.main(options("retrieval", ntu60, tmp_path / "near", *words, **sizes))
    with np.load(tmp_path / "r.npz") as file:
        expected = dict(zip(file["name_test"].tolist(), file["x_test"], strict=True))
    result, _, messages = predict(path, raw, "--features", tmp_path / "out/features.npz")
    with pytest.raises(ValueError, match="--output: has no effect, .* has no classifier"):
        predict(path, raw, "--features", tmp_path / "no.npz", "--output", tmp_path / "answers.json")
    with np.load(tmp_path / "out/features.npz") as file:
        found = dict(file)
    assert result is None and found["readout"] == "mean" and "read-out mean" in messages
    assert found["features"].shape == (len(found["names"]), 8) and found["checkpoint"] == str(path)
    names = [name.split("/")[-1].removesuffix(".skeleton") for name in found["names"]]
    ours = dict(zip(names, found["features"], strict=True))
    assert len(expected) > 3
    for name, features in expected.items():
        np.testing.assert_allclose(ours[name], features, atol=1e-5 * np.abs(features).max())


def test_coordinates_that_add_to_zero_are_a_body():
    """As own_gendata.py counts frames; the published code counts by the sum."""
    x = np.random.default_rng(0).integers(1, 9, (1, 40, 4, 3)).astype(np.float32)
    x[:, ::4, 3] = -x[:, ::4, :3].sum(2)
    assert not x[:, ::4].sum((2, 3)).any()
    assert len(prepare_like_training(TrainingData(4, 1), OTHER, unit=1).rows(x)) == 40


def test_a_window_that_cannot_be_prepared_does_not_cost_the_others():
    x = np.random.default_rng(0).normal(size=(1, 80, 4, 3)).astype(np.float32)
    x[:, 32:48] = 1  # all joints at one point: no axes
    preparation = prepare_like_training(TrainingData(4, 1, body_frame=[0, 1, 2, 3]), OTHER, unit=1)
    assert [start for start, _, _ in preparation.windows(x, 16, 16)] == [0, 16, 48, 64]
    with pytest.raises(ValueError, match="axes"):
        list(preparation.windows(x[:, 32:48], 8, 8))


def test_windows_are_made_when_it_is_their_turn(tmp_path, monkeypatch):
    """All those of a long recording would need gigabytes."""
    np.save(tmp_path / "long.npy", np.random.default_rng(0).normal(size=(200, 4, 3)))
    preparation, made = prepare_like_training(TrainingData(4, 1), OTHER, unit=1), []
    rows = preparation.rows
    monkeypatch.setattr(type(preparation), "rows", lambda self, persons: made.append(persons) or rows(persons))
    pieces = main_predict.cut(SimpleNamespace(inputs=[tmp_path / "long.npy"], window=16, stride=1, fps=None), preparation, [], [])
    assert next(pieces)[1:3] == (0, 16) and len(made) == 1
    assert [start for _, start, _, _ in pieces] == list(range(1, 185))


def test_long_recordings_are_noted_but_not_with_quiet(mamp, person, predict, tmp_path):
    np.save(tmp_path / "long.npy", np.tile(person, (8, 1, 1)))
    for words, noted in (([], True), (["--quiet"], False), (["--window", 64], False)):
        _, code, messages = predict(mamp, tmp_path / "long.npy", *words)
        assert code == 0 and ("320 frames for one action; --window 64" in messages) == noted


def test_features_beside_answers_and_of_windows(mamp, person, predict, tmp_path):
    np.save(tmp_path / "a.npy", person)
    result, code, _ = predict(mamp, tmp_path / "a.npy", "--features", tmp_path / "f.npz", "--window", 16, "--stride", 8)
    assert code == 0 and result["recordings"][0]["timeline"]
    with np.load(tmp_path / "f.npz") as file:
        assert file["start"].tolist() == [0, 8, 16, 24] and file["end"].tolist() == [16, 24, 32, 40]
        assert file["names"].tolist() == [str(tmp_path / "a.npy")] * 4 and len(file["features"]) == 4
    np.save(tmp_path / "b.npy", person[:, :3])
    predict(changed(mamp, tmp_path / "same.pth"), tmp_path / "b.npy", "--features", tmp_path / "none.npz")
    assert not (tmp_path / "none.npz").exists()

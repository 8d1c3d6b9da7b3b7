"""What coordinates tell: numbers by other ways, on invented and on real recordings."""

import json
from itertools import product

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from data.ucla import ucla_gendata
from scripts import coordinates, tables
from util import results


def run(folder, *words):
    """{method: result.json} of the script."""
    coordinates.main([*map(str, words), "--output_dir", str(folder)])
    return {method: json.loads((folder / method / "result.json").read_text()) for method in ("ridge", "1-NN")}


def accuracies(found):
    return [found[method]["last"]["test_acc1"] for method in ("ridge", "1-NN")]


@pytest.fixture
def noisy(npz):
    """An npz of classes that overlap; sequences have 8 valid frames, so that the central 95 % resized to 8 are these."""
    rng = np.random.default_rng(0)
    arrays = {"num_joints": 4, "num_bodies": 1, "parents": np.array([0, 0, 1, 2])}
    for split, count in (("train", 40), ("test", 30)):
        label = rng.integers(0, 3, count)
        x = 0.5 * rng.normal(size=(count, 8, 12)) * (1 + np.arange(12)) + np.eye(3)[label].repeat(4, 1)[:, None]
        x[..., 5] = 0.25  # a joint's coordinate that never changes
        arrays |= {f"x_{split}": x.astype(np.float32), f"y_{split}": np.eye(4)[label]}  # of the fourth class there is no sample
        arrays[f"group_{split}"] = np.arange(count) % 5
    return npz(arrays), arrays


def by_hand(x, y, x_test, y_test):
    """Accuracies of ridge regression, scaled and as strong as is best without each sample in turn, and of the nearest by cosine,
    as they are and standardised; between them the strength, and whether ridge regression standardises."""
    mean, spread = x.mean(0), x.std(0)
    moving = spread > 0
    scaled = {
        std: [(part[:, moving] - mean[moving]) / (spread[moving] if std else 1) for part in (x, x_test)] for std in (True, False)
    }
    targets = np.eye(4)[y]

    def predict(a, targets, b, strength):
        center = a.mean(0)
        weights = np.linalg.solve((a - center).T @ (a - center) + strength * np.eye(a.shape[1]), (a - center).T @ targets)
        return (b - center) @ weights + targets.mean(0)

    def left_out(standardised, strength):
        a, _ = scaled[standardised]
        rest = [np.arange(len(a)) != i for i in range(len(a))]
        return sum(((predict(a[r], targets[r], a[~r], strength) - targets[~r]) ** 2).sum() for r in rest)

    standardised, best = min(product((True, False), 10.0 ** np.arange(-3, 7.5, 0.5)), key=lambda both: left_out(*both))
    a, b = scaled[standardised]
    accuracy = 100 * (predict(a, targets, b, best).argmax(1) == y_test).mean()
    nearest = [
        100 * KNeighborsClassifier(1, metric="cosine").fit(known, y).score(asked, y_test)
        for known, asked in ((x, x_test), scaled[True])
    ]
    return accuracy, best, standardised, *nearest


def whole(arrays, split):
    return arrays[f"x_{split}"].astype(float).reshape(-1, 8, 4, 3), arrays[f"y_{split}"].argmax(1)


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_numbers_by_other_ways(stream, noisy, tmp_path, capsys):
    path, arrays = noisy
    words = ["--data_path", path, "--num_frames", 8, "--test_p_interval", 1.0, "--input_stream", stream]
    found = run(tmp_path / "out", *words)
    parts = []
    for split in ("train", "test"):
        x, y = whole(arrays, split)
        if stream == "motion":
            x = np.concatenate([x[:, 1:] - x[:, :-1], 0 * x[:, :1]], axis=1)
        if stream == "bone":
            x = x - x[:, :, [0, 0, 1, 2]]
        parts += [x.reshape(len(x), -1), y]
    ridge, strength, standardised, nearest, scaled = by_hand(*parts)
    assert accuracies(found) == pytest.approx([ridge, nearest])
    assert found["ridge"]["strength"] == pytest.approx(strength) and {result["labels"] for result in found.values()} == {40}
    said = capsys.readouterr().out
    how = f"{'standardised' if standardised else 'centred'}, strength {strength:g}, chosen by leave-one-out"
    assert found["1-NN"]["standardised_features"] == pytest.approx({"coordinates": scaled}) and standardised
    assert f"ridge regression {ridge:.2f} % ({how}), cosine 1-NN {nearest:.2f} % (standardised: {scaled:.2f} %)" in said


def test_few_labels_are_those_of_fine_tuning_and_performers_are_held_out(noisy, tmp_path):
    path, arrays = noisy
    (x, y), (x_test, y_test) = whole(arrays, "train"), whole(arrays, "test")
    words = ["--data_path", path, "--num_frames", 8, "--test_p_interval", 1.0]
    rows = np.random.RandomState(7).permutation(40)[:10]
    few = run(tmp_path / "few", *words, "--data_ratio", 0.25, "--subset_seed", 7)
    ridge, *_, nearest, _ = by_hand(x[rows].reshape(10, -1), y[rows], x_test.reshape(30, -1), y_test)
    assert accuracies(few) == pytest.approx([ridge, nearest])
    assert few["ridge"]["labels"] == 10 and few["ridge"]["seed"] == 7
    validated = run(tmp_path / "val", *words, "--val_groups", 2)
    held = np.isin(np.arange(40) % 5, np.random.RandomState(0).permutation(5)[:2])
    ridge, *_, nearest, _ = by_hand(x[~held].reshape(24, -1), y[~held], x[held].reshape(16, -1), y[held])
    assert accuracies(validated) == pytest.approx([ridge, nearest])
    assert validated["ridge"]["evaluated_on"] == "validation" and validated["ridge"]["last"]["test_samples"] == 16


def test_coordinates_that_hardly_differ_do_not_outweigh_the_others(noisy, npz, tmp_path):
    _, arrays = noisy
    rng = np.random.default_rng(1)
    for split in ("train", "test"):
        x = 1e-3 * rng.normal(size=arrays[f"x_{split}"].shape)
        x[..., :3] += arrays[f"y_{split}"][:, None, :3] + 300 * x[..., :3]
        arrays[f"x_{split}"] = x.astype(np.float32)
    words = ["--num_frames", 8, "--test_p_interval", 1.0]
    found = run(tmp_path / "out", "--data_path", npz(arrays, "small.npz"), *words)
    (x, y), (x_test, y_test) = whole(arrays, "train"), whole(arrays, "test")
    ridge, strength, standardised, *_ = by_hand(x.reshape(40, -1), y, x_test.reshape(30, -1), y_test)
    assert not standardised and not found["ridge"]["standardised"]
    assert found["ridge"]["strength"] == pytest.approx(strength) and accuracies(found)[0] == pytest.approx(ridge)


def test_one_class_alone(noisy, npz, tmp_path):
    _, arrays = noisy
    arrays["y_train"] = np.eye(4)[np.full(40, 2)]
    found = run(tmp_path / "out", "--data_path", npz(arrays, "one.npz"), "--num_frames", 8)
    share = 100 * (arrays["y_test"].argmax(1) == 2).mean()
    assert accuracies(found) == pytest.approx([share, share])


def test_results_name_what_differs(noisy, tmp_path, capsys, monkeypatch):
    path, _ = noisy
    for name, more in {"a": [], "b": ["--num_frames", 8]}.items():
        run(tmp_path / name, "--data_path", path, *more)
    found, complaints = results.find([tmp_path])
    assert not complaints and {result.method()[0] for result in found} == {"coordinates, ridge", "coordinates, 1-NN"}
    assert [result.method()[1] for result in found] == [{}, {}, {"num_frames": 8}, {"num_frames": 8}]
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    tables.main([str(tmp_path)])
    text = capsys.readouterr().out
    assert f"| data | coordinates, ridge | {found[1].accuracy:.1f} (1 seed) |  |" in text
    assert "| data | coordinates, 1-NN, num_frames 8 |" in text


def test_mistakes_are_those_of_the_mains(noisy):
    with pytest.raises(ValueError, match="option '--num_frame' is not known|option .*num_frame.*did you mean 'num_frames'"):
        coordinates.main(["--data_path", str(noisy[0]), "--num_frame", "8"])
    with pytest.raises(ValueError, match="data_path: no data set given"):
        coordinates.main([])


def test_on_real_recordings(shared, tmp_path, monkeypatch):
    """NW-UCLA in the view that training has not seen: chance is 10 %; known from other programs: about 69.0 and 67.7."""
    raw = str(shared("realdata/nw_ucla_all_sqe.zip"))
    monkeypatch.setattr("sys.argv", ["ucla_gendata.py", "--align", "--raw", raw, "--out", str(tmp_path)])
    ucla_gendata.main()
    found = run(tmp_path / "out", "--dataset", "ucla", "--data_path", tmp_path / "UCLA_XView_align.npz")
    assert {result["last"]["test_samples"] for result in found.values()} == {464}
    assert accuracies(found) == pytest.approx([69.0, 67.7], abs=0.5)

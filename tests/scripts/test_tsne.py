"""The t-SNE plot: which sequences and features are in it, of any checkpoint, and what cannot be drawn."""

import csv

import matplotlib.image
import numpy as np
import pytest

from report import charts
from scripts import tsne
from tests.conftest import invent
from tests.runs import MAINS

TINY = ["--num_workers", "0", "--device", "cpu", "--batch_size", "4", "--perplexity", "4"]
SIZES = "--num_frames 8 --min_frames 4 --dim_feat 8 --depth 1 --num_heads 2".split()
SHORT = "--epochs 1 --warmup_epochs 0 --effective_batch_size 4".split()
PREDICTOR = "--decoder_dim_feat 8 --decoder_depth 1 --mask_ratio 0.6".split()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """An npz with 26 test sequences of three classes, whose skeleton UmURL can make bones of."""
    arrays = invent()
    twice = {key: np.concatenate([arrays[key]] * 2) for key in arrays if key.endswith("_test")}
    twice["x_test"] = twice["x_test"] * np.repeat([1, 1.1], 13).astype(np.float32)[:, None, None]
    twice["name_test"] = np.array([f"clip, {i}" for i in range(26)])
    described = {"parents": np.array([0, 0, 1, 1, 3]), "joint_names": np.array([*"abcde"]), "class_names": ["fall", "$x", "sit"]}
    path = tmp_path_factory.mktemp("tsne") / "data.npz"
    np.savez(path, **arrays | twice | described)
    return path


def test_few_points_need_a_small_perplexity(data, tmp_path, capsys):
    tsne.main(["--data_path", str(data), "--out", str(tmp_path / "plot.png"), *TINY[:6], *SIZES])
    assert "perplexity 8, seed 0" in capsys.readouterr().out  # of 26 points


@pytest.fixture
def plot(data, tmp_path, capsys):
    """plot(word, ...) -> (rows of the CSV, what was printed)."""

    def run(*words):
        capsys.readouterr()
        tsne.main(["--data_path", str(data), "--out", str(tmp_path / "new/plot.png"), *TINY, *map(str, words)])
        with open(tmp_path / "new/plot.csv", newline="") as file:
            return list(csv.DictReader(file)), capsys.readouterr().out

    return run


def train(stage, data, folder, *words):
    MAINS[stage].main(["--data_path", str(data), "--output_dir", str(folder), *TINY[:6], "--no-report", *map(str, words)])
    return folder / "checkpoint-last.pth"


def test_the_points_are_the_chosen_test_sequences(plot, data, tmp_path):
    rows, printed = plot("--class_ids", 2, 0, *SIZES)
    assert {(row["label"], row["class_name"]) for row in rows} == {("0", "fall"), ("2", "sit")}
    with np.load(data) as file:
        labels = file["y_test"].argmax(1)
        kept = np.flatnonzero(labels != 1)
        assert [(r["name"], int(r["label"])) for r in rows] == [(str(file["name_test"][i]), labels[i]) for i in kept]
    assert np.isfinite([[float(r["x"]), float(r["y"])] for r in rows]).all()
    assert f"{len(kept)} test sequences of 2 classes; random encoder of MAMP, read-out mean, perplexity 4, seed 0" in printed
    picture = matplotlib.image.imread(tmp_path / "new/plot.png")
    assert picture.shape == (800, 1000, 4) and len(np.unique(picture.reshape(-1, 4), axis=0)) > 10


@pytest.mark.parametrize("method", ["skeletonmae", "umurl"])
def test_any_checkpoint(method, plot, data, tmp_path, monkeypatch):
    """Pre-trained, probed and fine-tuned; the same features as retrieval has, of length 1."""
    words, head = [*PREDICTOR, "--target", "joint", "--motion_aware_tau", 0], ["--head_dim", 8]
    words, head = (["--method", "umurl", "--projector_dim", 8], []) if method == "umurl" else (words, head)
    files = {"pretrain": train("pretrain", data, tmp_path / "p", *SIZES, *SHORT, *words)}
    given = ["--finetune", files["pretrain"], "--min_frames", 4, *SHORT]
    files["linprobe"] = train("linprobe", data, tmp_path / "l", *given)
    files["finetune"] = train("finetune", data, tmp_path / "f", *given, *head)
    seen, points, embed = [], {}, charts.tsne
    monkeypatch.setattr(charts, "tsne", lambda features, *how: seen.append(features) or embed(features, *how))
    for stage, file in files.items():
        rows, printed = plot("--classes", 3, "--finetune", file)
        name = {"skeletonmae": "SkeletonMAE*", "umurl": "UmURL"}[method]
        assert f"26 test sequences of 3 classes; {name}, {stage}, epoch 1, " in printed and f"{file.parent.name}/" in printed
        assert ("features multi" if method == "umurl" else "read-out mean") in printed
        points[stage] = [(r["x"], r["y"]) for r in rows]
    assert points["pretrain"] == points["linprobe"] != points["finetune"]  # the probe's encoder is frozen
    tsne.main(["--finetune", str(files["finetune"]), "--classes", "3", "--out", str(tmp_path / "own.png"), *TINY])  # its own data
    with open(tmp_path / "own.csv", newline="") as file:
        assert [(r["x"], r["y"]) for r in csv.DictReader(file)] == points["finetune"]
    features = tmp_path / "features.npz"
    train("retrieval", data, tmp_path / "r", "--finetune", files["finetune"], "--save_features", features)
    with np.load(features) as file:
        expected = file["x_test"] / np.linalg.norm(file["x_test"], axis=1, keepdims=True)
        np.testing.assert_allclose(seen[-1], expected, atol=1e-6)


def test_several_checkpoints_side_by_side(plot, data, tmp_path, monkeypatch):
    """The same sequences, a panel for each with its name; each panel is what a picture of its own shows."""
    words = [*PREDICTOR, *SIZES, *SHORT]
    files = [train("pretrain", data, tmp_path / name, *words, "--seed", seed) for seed, name in enumerate(("before", "after"))]
    figures, scatter = [], charts.scatter
    monkeypatch.setattr(charts, "scatter", lambda *args, **how: figures.append(scatter(*args, **how)) or figures[-1])
    alone = [[(r["name"], r["x"], r["y"]) for r in plot("--classes", 2, "--finetune", file)[0]] for file in files]
    rows, _ = plot("--classes", 2, "--finetune", *files)
    titles = list(dict.fromkeys(row["panel"] for row in rows))
    assert [[(r["name"], r["x"], r["y"]) for r in rows if r["panel"] == title] for title in titles] == alone
    shown = [ax.get_title(loc="left").replace("\n", " ") for ax in figures[-1].axes]
    assert shown == [f"{title}, perplexity 4, seed 0" for title in titles] and len(figures[-1].legends) == 1
    assert ["before/" in shown[0], "after/" in shown[1]] == [True, True]
    chosen = {row["class_name"] for row in rows}
    assert [{text.get_text() for text in ax.texts} for ax in figures[-1].axes] == [chosen] * 2  # names among the points
    other = tmp_path / "other.npz"
    with np.load(data) as file:
        arrays = dict(file)
    np.savez(other, **arrays | {key: arrays[key][:20] for key in arrays if key.endswith("_test")})
    files[1] = train("pretrain", other, tmp_path / "third", *words)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="other.npz, are others than .*data.npz; name one with --data_path"):
        tsne.main(["--classes", "2", "--finetune", *map(str, files), *TINY])


def test_a_seed_repeats_and_another_draws_other_classes_and_weights(plot, monkeypatch):
    monkeypatch.setattr(charts, "tsne", lambda features, *_: features[:, :2])  # which takes most of the time
    first, again, other = (plot("--classes", 2, "--seed", seed, *SIZES)[0] for seed in (0, 0, 1))
    assert first == again and first != other
    assert {row["label"] for row in plot(*SIZES)[0]} == {"0", "1", "2"}  # of fewer than ten, all
    assert len({plot("--classes", 1, "--seed", seed, *SIZES)[0][0]["label"] for seed in range(4)}) > 1


@pytest.mark.parametrize(
    "words, message",
    [
        (["--classes", "4"], "classes 4: .*data.npz has test sequences of 3; ask for 1 to 3"),
        (["--class_ids", "0", "3"], "class_ids 3: .*data.npz has no test sequences of it; its classes are 0 to 2"),
        (["--class_ids", "1", "--perplexity", "8"], "perplexity 8: from 1 to below 8, the number of sequences of these classes"),
        (["--out", "plot.jpg"], "out plot.jpg: give a file that ends in .png"),
        (["--class_ids", "1", "--finetune", "x.pth"], "x.pth: no such checkpoint"),
        (["--class_ids", "1", "--redout", "mean"], "option 'redout' is not known; did you mean 'readout'?"),
    ],
)
def test_mistakes_get_one_line(words, message, plot, tmp_path):
    with pytest.raises((ValueError, OSError), match=message) as error:
        plot(*SIZES, *words)
    assert "\n" not in str(error.value) and not (tmp_path / "new").exists()


def test_features_that_are_all_the_same_cannot_be_drawn():
    with pytest.raises(ValueError, match="the features of all sequences are the same"):
        charts.tsne(np.ones((30, 4)), 5, 0)

"""The t-SNE plot: which sequences and features are in it, of any checkpoint, and what cannot be drawn."""

import csv

import matplotlib.image
import numpy as np
import pytest

import main_finetune
import main_linprobe
import main_pretrain
import main_retrieval
from scripts import tsne

TINY = ["--num_workers", "0", "--device", "cpu", "--batch_size", "4", "--perplexity", "4"]
SIZES = "--num_frames 8 --min_frames 4 --dim_feat 8 --depth 1 --num_heads 2".split()
SHORT = "--epochs 1 --warmup_epochs 0 --effective_batch_size 4".split()


@pytest.fixture
def data(arrays, npz):
    """An npz with 26 test sequences of three classes, whose skeleton UmURL can make bones of."""
    twice = {key: np.concatenate([arrays[key]] * 2) for key in arrays if key.endswith("_test")}
    twice["x_test"] = twice["x_test"] * np.repeat([1, 1.1], 13).astype(np.float32)[:, None, None]
    twice["name_test"] = np.array([f"clip, {i}" for i in range(26)])
    skeleton = {"parents": np.array([0, 0, 1, 1, 3]), "joint_names": np.array([*"abcde"])}
    return npz(arrays | twice | skeleton | {"class_names": np.array(["fall", "$x", "sit"])})


@pytest.fixture
def plot(data, tmp_path, capsys):
    """plot(word, ...) -> (rows of the CSV, what was printed)."""

    def run(*words):
        capsys.readouterr()
        tsne.main(["--data_path", str(data), "--out", str(tmp_path / "new/plot.png"), *TINY, *map(str, words)])
        with open(tmp_path / "new/plot.csv", newline="") as file:
            return list(csv.DictReader(file)), capsys.readouterr().out

    return run


def train(main, data, folder, *words):
    main.main(["--data_path", str(data), "--output_dir", str(folder), *TINY[:6], *map(str, words)])
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


@pytest.mark.parametrize("method", ["mamp", "skeletonmae", "umurl"])
def test_any_checkpoint(method, plot, data, tmp_path, capsys):
    """Pre-trained, probed and fine-tuned; the same features as retrieval has."""
    words = ["--decoder_dim_feat", 8, "--decoder_depth", 1, "--mask_ratio", 0.6]
    words = ["--method", "umurl", "--projector_dim", 8] if method == "umurl" else words
    words += ["--target", "joint", "--motion_aware_tau", 0] if method == "skeletonmae" else []
    head = ["--head_dim", 8] if method != "umurl" else []
    made = {"pretrain": train(main_pretrain, data, tmp_path / "p", *SIZES, *SHORT, *words)}
    given = ["--finetune", made["pretrain"], "--min_frames", 4, *SHORT]
    made["linprobe"] = train(main_linprobe, data, tmp_path / "l", *given)
    made["finetune"] = train(main_finetune, data, tmp_path / "f", *given, *head)
    points = {}
    for stage, file in made.items():
        rows, printed = plot("--classes", 3, "--finetune", file)
        name = {"mamp": "MAMP", "skeletonmae": "SkeletonMAE*", "umurl": "UmURL"}[method]
        assert f"26 test sequences of 3 classes; {name}, {stage}, epoch 1, " in printed and f"{file.parent.name}/" in printed
        assert ("features multi" if method == "umurl" else "read-out mean") in printed
        points[stage] = [(r["x"], r["y"]) for r in rows]
    assert points["pretrain"] == points["linprobe"] != points["finetune"]  # the probe's encoder is frozen
    tsne.main(["--finetune", str(made["finetune"]), "--classes", "3", "--out", str(tmp_path / "own.png"), *TINY])  # its own data
    with open(tmp_path / "own.csv", newline="") as file:
        assert [(r["x"], r["y"]) for r in csv.DictReader(file)] == points["finetune"]

    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tsne, "embed", lambda features, *_: seen.append(features) or features[:, :2].numpy())
        plot("--classes", 3, "--finetune", made["finetune"])
    train(main_retrieval, data, tmp_path / "r", "--finetune", made["finetune"], "--save_features", tmp_path / "features.npz")
    with np.load(tmp_path / "features.npz") as file:
        np.testing.assert_allclose(seen[0].numpy(), file["x_test"], atol=1e-6)


def test_a_seed_repeats_and_another_draws_other_classes_and_weights(plot):
    first, again, other = (plot("--classes", 2, "--seed", seed, *SIZES)[0] for seed in (0, 0, 1))
    assert first == again and first != other
    drawn = {tuple(sorted({r["label"] for r in plot("--classes", 1, "--seed", s, *SIZES)[0]})) for s in range(12)}
    assert drawn == {("0",), ("1",), ("2",)}


def test_neighbours_of_a_kind_stay_neighbours():
    """Three directions in 20 dimensions, of very different lengths: cosine tells them apart, so the picture does."""
    rng = np.random.default_rng(0)
    label = np.arange(90) % 3
    features = (np.eye(20)[label] + 0.05 * rng.normal(size=(90, 20))) * rng.uniform(0.1, 100, (90, 1))
    points = tsne.embed(tsne.torch.from_numpy(features), 10, 0)
    distance = np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(90)
    assert (label[distance.argmin(1)] == label).all()


def test_legend(data):
    """Every class with its own colour and form, up to NTU-120's number of classes."""
    labels = np.arange(240) % 120
    figure = tsne.draw(np.random.default_rng(0).normal(size=(240, 2)), labels, {c: f"$c_{c}" for c in range(120)}, "t", "h" * 300)
    figure.canvas.draw()
    (ax,) = figure.axes
    looks = {(tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in ax.collections}
    assert len(looks) == 120
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"$c_{c} (2)" for c in range(120)]
    box, axes = legend.get_window_extent(), ax.get_window_extent()
    assert box.x0 >= axes.x1 and box.y0 >= 0 and box.x1 <= figure.bbox.x1  # outside, and all of it there


@pytest.mark.parametrize(
    "words, message",
    [
        (["--classes", "4"], "classes 4: .*data.npz has test sequences of 3; ask for 1 to 3"),
        (["--classes", "0"], "classes 0: "),
        ([], "classes 10: "),
        (["--class_ids", "0", "3"], "class_ids 3: .*data.npz has no test sequences of it; its classes are 0 to 2"),
        (["--class_ids", "1", "--perplexity", "8"], "perplexity 8: from 1 to below 8, the number of sequences of these classes"),
        (["--class_ids", "1", "--perplexity", "0"], "perplexity 0: "),
        (["--class_ids", "1", "--perplexity", "nan"], "perplexity nan: "),
        (["--out", "plot.jpg"], "out plot.jpg: give a file that ends in .png"),
        (["--class_ids", "1", "--finetune", "x.pth"], "x.pth: no such checkpoint"),
        (["--class_ids", "1", "--redout", "mean"], "option 'redout' is not known; did you mean 'readout'?"),
    ],
)
def test_mistakes_get_one_line(words, message, plot, tmp_path):
    with pytest.raises((ValueError, OSError), match=message) as error:
        plot(*SIZES, *words)
    assert "\n" not in str(error.value) and not (tmp_path / "new").exists()


def test_nothing_to_tell_apart():
    with pytest.raises(ValueError, match="the features of all sequences are the same"):
        tsne.embed(tsne.torch.ones(30, 4), 5, 0)

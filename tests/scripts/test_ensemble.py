"""Streams together: arithmetic, and refusal of what does not belong together."""

import re

import numpy as np
import pytest

from scripts import ensemble


@pytest.fixture
def scores(tmp_path):
    """scores(stream, seed, ...) writes a scores.npz of 40 samples and 8 classes and returns its path."""

    def write(stream, seed, **changes):
        rng = np.random.default_rng(seed)
        label = np.arange(40) % 8
        arrays = {
            "scores": (rng.normal(size=(40, 8)) + 1.5 * np.eye(8)[label]).astype(np.float32),
            "label": label,
            "name": np.array([f"S{i:03}" for i in range(40)]),
            "input_stream": stream,
        } | changes
        np.savez(tmp_path / f"{stream}.npz", **{k: v for k, v in arrays.items() if v is not None})
        return str(tmp_path / f"{stream}.npz")

    return write


def table(text):
    """The cells of the printed rows."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[4:]]


def top(total, label, k):
    """Percent of samples for which fewer than k classes score above the right one."""
    above = (total > total[np.arange(len(label)), label][:, None]).sum(1)
    return f"{100 * np.mean(above < k):.2f}"


@pytest.mark.parametrize("how", [[], ["--probabilities"]])
@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 2.0]])
def test_the_weighted_sum_is_ranked(weights, how, scores, capsys):
    files = [scores(stream, seed) for seed, stream in enumerate(("joint", "motion", "bone"))]
    ensemble.main([*files, *(["--weights", *map(str, weights)] if weights else []), *how])
    *rows, together = table(capsys.readouterr().out)
    arrays, label = [np.load(file)["scores"].astype(np.float64) for file in files], np.arange(40) % 8
    for row, file, stream, array in zip(rows, files, ("joint", "motion", "bone"), arrays, strict=True):
        assert row[:2] == [file, stream] and row[3:] == [top(array, label, 1), top(array, label, 5)]
    if how:
        arrays = [np.exp(a) / np.exp(a).sum(1, keepdims=True) for a in arrays]
    total = np.tensordot(weights or [1, 1, 1], np.stack(arrays), 1)
    assert together[0] == "**together**" and together[2] == (how[0][2:] if how else "logits")
    assert together[3:] == [top(total, label, 1), top(total, label, 5)]
    assert float(together[3]) > max(float(row[3]) for row in rows)  # independent errors


@pytest.mark.parametrize("how, winner", [([], "100.00"), (["--probabilities"], "0.00")])
def test_probabilities_are_not_logits(how, winner, scores, capsys):
    """Of two classes: one stream is sure of class 1 by a thousandfold logit; two others are moderately sure of class 0."""
    logits = {"a": [3.0, 0], "b": [3.0, 0], "c": [0, 3000.0]}
    files = [scores(name, 0, scores=np.tile(s, (40, 1)), label=np.ones(40, int)) for name, s in logits.items()]
    ensemble.main([*files, *how])
    assert table(capsys.readouterr().out)[-1][3:] == [winner, "100.00"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"name": np.array([f"T{i}" for i in range(40)])}, "bone.npz: name T0 in row 0, S000 in .*joint.npz; not the same"),
        ({"label": np.arange(40) % 7}, "bone.npz: label 0 in row 7, 7 in .*joint.npz; not the same test set"),
        ({"scores": np.zeros((40, 9))}, r"bone.npz: scores \(40, 9\), those of .*joint.npz are \(40, 8\)"),
        ({"scores": np.full((40, 8), np.nan)}, "bone.npz: .*wanted are finite scores"),
        ({"scores": np.full((40, 8), "x")}, "bone.npz: .*wanted are finite scores"),
        ({"label": np.arange(39)}, r"bone.npz: scores \(40, 8\), label \(39,\)"),
        ({"scores": None}, "bone.npz: not the scores of an evaluation"),
        ({"name": np.array([{}] * 40, dtype=object)}, "bone.npz: not the scores of an evaluation"),
    ],
)
def test_what_does_not_belong_together_is_refused(changes, message, scores, capsys):
    files = [scores("joint", 0), scores("bone", 1, **changes)]
    with pytest.raises(ValueError) as error:
        ensemble.main(files)
    assert re.search(message, str(error.value)) and "\n" not in str(error.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "content, message",
    [(None, "no such file; main_finetune.py or"), (b"", "not the scores"), (b"PK\x03\x04cut", "not the scores")],
)
def test_unreadable_files(content, message, tmp_path):
    if content is not None:
        (tmp_path / "s.npz").write_bytes(content)
    with pytest.raises((ValueError, OSError), match=f"{tmp_path}/s.npz: {message}"):
        ensemble.main([str(tmp_path / "s.npz")])


def test_a_weight_for_each(scores):
    with pytest.raises(ValueError, match="weights 1 2: 2 for 1 files"):
        ensemble.main([scores("joint", 0), "--weights", "1", "2"])

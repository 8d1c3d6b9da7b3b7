"""Small data and data in another unit: what a newcomer is told before hours are spent."""

import re

import numpy as np
import pytest

from data.prepare import inspect
from tests.runs import MAINS
from util import config_files

SMALL = config_files.FOLDER / "small.yaml"


def warnings(capsys, stage, line):
    capsys.readouterr()
    MAINS[stage].main([str(word) for word in line])
    return [text for text in capsys.readouterr().out.splitlines() if text.startswith("warning: ")]


@pytest.mark.parametrize("effective, count, epochs, warmup", [(24, 0, 2, 1), (28, 1, 2, 1), (24, 1, 1, 4), (28, 2, 1, 4)])
def test_a_schedule_in_which_little_is_learnt_is_named(effective, count, epochs, warmup, invented, options, tmp_path, capsys):
    line = options("pretrain", invented, tmp_path, "--epochs", epochs, warmup_epochs=warmup, effective_batch_size=effective)
    found = warnings(capsys, "pretrain", line)
    assert len(found) == count and all("config/small.yaml" in text for text in found)
    assert any("24 samples are fewer than effective_batch_size 28" in text for text in found) == (effective > 24)
    assert any(f"warmup_epochs {warmup}: " in text for text in found) == (warmup >= epochs)


def test_the_small_configuration_is_not_recommended_to_those_who_use_it(invented, options, tmp_path, capsys):
    own = {"effective_batch_size": None, "warmup_epochs": None, "num_frames": 40}
    line = options("pretrain", invented, tmp_path, "--config", SMALL, "--epochs", 1, "--data_ratio", 0.5, **own)
    found = warnings(capsys, "pretrain", line)
    assert len(found) == 2 and not any("small.yaml" in text for text in found)


@pytest.mark.parametrize(
    "more, factor, message",
    [
        ({}, 1, None),
        ({}, 100, "centimetres: divide x by 100"),
        ({}, 1000, "millimetres: divide x by 1000"),
        ({}, 1e5, "x has to be in metres"),
        ({}, 1e-3, "x has to be in metres"),
        ({"coordinates": 2}, 1000, None),
        ({"min_max": 1, "body_size": 1.7}, 1000, None),
        ({"min_max": 1}, 1000, None),
    ],
)
def test_another_unit_than_metres_is_a_warning(more, factor, message, arrays, npz, options, tmp_path, capsys):
    rng = np.random.default_rng(0)
    person = rng.uniform(-0.85, 0.85, (5, 3))
    person[:2] = [[0, 0.85, 0], [0, -0.85, 0]]  # 1.7 m tall
    for split in ("train", "test"):
        there = arrays[f"x_{split}"].any(axis=-1, keepdims=True)
        arrays[f"x_{split}"] = (there * person.ravel() * factor).astype(np.float32)
    path = npz(arrays | more)
    found = warnings(capsys, "pretrain", options("pretrain", path, tmp_path / "out", "--epochs", 2))
    assert len(found) == (message is not None) and all(f"{path}: bodies measure " in text and message in text for text in found)
    lines, _ = inspect.inspect(path)
    printed = [text for text in lines if "warning: " in text]
    assert len(printed) == (2 if message else 0) and all("bodies measure " in text and message in text for text in printed)


@pytest.mark.parametrize("stage", ["retrieval", "eval"])
def test_data_are_doubted_where_nothing_is_trained_too(stage, arrays, npz, options, tmp_path, capsys):
    MAINS["linprobe"].main(options("linprobe", npz(arrays), tmp_path / "lin", "--epochs", 1))
    capsys.readouterr()
    path = npz(arrays | {f"x_{split}": 1000 * arrays[f"x_{split}"] for split in ("train", "test")}, "mm.npz")
    if stage == "eval":
        MAINS["linprobe"].main(options("linprobe", path, tmp_path / "out", "--eval", tmp_path / "lin/checkpoint-0.pth"))
    else:
        MAINS["retrieval"].main(options("retrieval", path, tmp_path / "out", "--finetune", tmp_path / "lin/checkpoint-0.pth"))
    assert capsys.readouterr().out.count("bodies measure ") == 1


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda a: {"y_train": a["y_train"].argmax(1) + 1, "y_test": a["y_test"].argmax(1) + 1},
            "no training sample is of class 0;",
        ),
        (lambda a: {"class_names": np.array(["walk", "run"])}, "class_names are 2 for 3 classes; labels begin at 0"),
        (lambda a: {"x_train": centred(a["x_train"]), "valid_frames_train": None}, "% of the frames count as empty"),
    ],
)
def test_labels_and_frames_that_are_probably_meant_otherwise(change, message, arrays, npz, options, tmp_path, capsys):
    changed = {key: value for key, value in (arrays | change(arrays)).items() if value is not None}
    found = warnings(capsys, "linprobe", options("linprobe", npz(changed), tmp_path, "--epochs", 1))
    assert [message in text for text in found] == [True], found


@pytest.mark.parametrize(
    "words, message",
    [
        (["--data_ratio", 0.1], r"of \d+ training samples that were chosen none is of .*; another --subset_seed, or more"),
        ([], ""),
    ],
)
def test_a_share_of_the_labels_that_lacks_a_class(words, message, arrays, npz, options, tmp_path, capsys):
    found = warnings(capsys, "linprobe", options("linprobe", npz(arrays), tmp_path, "--epochs", 1, *words))
    assert [bool(re.search(message, text)) for text in found if "none is of" in text] == [True] * bool(message)


def centred(x):
    """Every second frame moved so that its coordinates add up to exactly 0."""
    whole = np.round(x * 1000).astype(int)  # millimetres
    there = whole.any(-1)
    whole[..., -1] -= np.where(there & (np.arange(x.shape[1]) % 2 == 1), whole.sum(-1), 0)
    return (whole / 1024).astype(np.float32)


@pytest.mark.parametrize("joints, bodies", [(5, 1), (17, 2)])
def test_the_small_configuration_takes_any_skeleton(joints, bodies, tmp_path, capsys):
    rng = np.random.default_rng(joints)
    x, y = rng.normal(size=(40, 30, joints * bodies * 3)).astype(np.float32), np.eye(2)[np.arange(40) % 2]
    np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8], num_joints=joints, num_bodies=bodies)
    words = ["--config", SMALL, "--data_path", tmp_path / "mine.npz", "--device", "cpu", "--no-report", "--output_dir"]
    assert warnings(capsys, "pretrain", [*words, tmp_path / "pre", "--epochs", 4]) == []
    assert (
        warnings(capsys, "linprobe", [*words, tmp_path / "probe", "--finetune", tmp_path / "pre/checkpoint-3.pth", "--epochs", 2])
        == []
    )

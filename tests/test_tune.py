"""Tuning an encoder: what it starts from and leaves, stopping and resuming, several processes."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

import main_tune
from model.stars import TunedTransformer
from predict import load_model
from tests.processes import ROOT
from tests.runs import MAINS, read, same, weights
from util import checkpoint, provenance, results


@pytest.fixture(scope="module")
def pretrained(invented, options, tmp_path_factory):
    out = tmp_path_factory.mktemp("pretrained")
    MAINS["pretrain"].main(options("pretrain", invented, out, "--epochs", 1))
    return out / "checkpoint-0.pth"


@pytest.fixture(scope="module")
def words(invented, pretrained):
    """words(output, ...) -> a tuning's command line; the sizes are the encoder's."""

    def line(output, *more):
        base = f"--data_path {invented} --device cpu --num_workers 0 --min_frames 4 --batch_size 8 --effective_batch_size 8"
        base += f" --predictor_dim 16 --epochs 3 --no-report --finetune {pretrained} --output_dir {output}"
        return [*base.split(), *map(str, more)]

    return line


@pytest.fixture(scope="module")
def tuned(words, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned")
    main_tune.main(words(out))
    return out


def losses(folder):
    return [line["train_loss"] for line in read(folder, "log.jsonl")]


def test_the_deep_half_learns_and_the_rest_stays(tuned, pretrained):
    before, after = weights(pretrained), weights(tuned / "checkpoint-2.pth")
    changed = {key for key in before.keys() & after.keys() if not torch.equal(before[key], after[key])}
    assert {key.split(".")[1] for key in changed if key.startswith("blocks.")} == {"1"}  # of two
    assert "norm.weight" in changed and not changed & {"joints_embed.proj.weight", "pos_embed", "temp_embed"}
    result = read(tuned)
    assert result["stage"] == "tune" and result["last"]["train_loss"] > 0 and result["encoder"]["path"] == str(pretrained)


def test_later_stages_read_what_it_leaves(tuned, invented, options, tmp_path):
    """And tables tell the tuning by its options, so that another one of the same encoder is not another seed of it."""
    for stage in ("linprobe", "finetune", "retrieval"):
        epochs = () if stage == "retrieval" else ("--epochs", 1)
        MAINS[stage].main(options(stage, invented, tmp_path / stage, "--finetune", tuned / "checkpoint-2.pth", *epochs))
        encoder_of = read(tmp_path / stage)["encoder"]
        assert encoder_of["stage"] == "tune" and encoder_of["target"] == "motion"  # the recipe of its pre-training comes along
        differing = results.read(tmp_path / stage / "result.json").method()[1]
        assert (differing["tune_epochs"], differing["tune_predictor_dim"]) == (3, 16) and "tune_temperature" not in differing
        assert results.read(tmp_path / stage / "result.json").settings["pretrain_epoch"] == 1  # counted from 1
    content = checkpoint.load(tuned / "checkpoint-2.pth")
    usual = yaml.safe_load((tmp_path / "retrieval/config.yaml").read_text())["test_p_interval"]
    assert load_model.encoder_options(content, "it").test_p_interval == usual == [0.95]  # tuning itself takes all frames
    used = weights(tmp_path / "linprobe/checkpoint-0.pth")
    assert all(torch.equal(used[key], value) for key, value in weights(tuned / "checkpoint-2.pth").items() if key in used)


def test_what_it_leaves_is_no_classifier_and_can_be_tuned_again(tuned, words, invented, options, tmp_path):
    path = tuned / "checkpoint-2.pth"
    with pytest.raises(ValueError, match="checkpoint-2.pth: holds no classifier"):
        MAINS["linprobe"].main(options("linprobe", invented, tmp_path, "--eval", path))
    main_tune.main([*words(tmp_path / "again"), "--epochs", "1", "--finetune", str(path)])
    again = tmp_path / "again/checkpoint-0.pth"
    origin = provenance.describe(checkpoint.load(again), again)
    assert (origin["stage"], origin["epoch"], origin["pretrain_epoch"]) == ("tune", 0, 0)  # pre-trained for one epoch


@pytest.mark.parametrize("more", [(), ("--views", 2, "--shear", 0.2), ("--head_epochs", 2)])
def test_resuming_continues_bit_for_bit(more, words, tmp_path, monkeypatch):
    main_tune.main(words(tmp_path / "whole", *more))
    train = main_tune.train_one_epoch

    def interrupted(*args):
        if args[4] == 2:
            raise KeyError
        return train(*args)

    monkeypatch.setattr(main_tune, "train_one_epoch", interrupted)
    with pytest.raises(KeyError):
        main_tune.main(words(tmp_path / "parts", *more, "--save_minutes", 0))
    monkeypatch.undo()
    main_tune.main(words(tmp_path / "parts", *more, "--resume", "auto"))
    one, two = (weights(tmp_path / name / "checkpoint-2.pth") for name in ("whole", "parts"))
    assert same(one, two) and "head.queue" in one


def test_the_head_alone_comes_first(words, pretrained, tmp_path):
    main_tune.main(words(tmp_path, "--head_epochs", 3))
    before, after = weights(pretrained), weights(tmp_path / "checkpoint-2.pth")
    assert all(torch.equal(before[key], after[key]) for key in before.keys() & after.keys())


def test_a_tuning_of_the_head_alone_is_warned_of(words, tmp_path, capsys):
    main_tune.main(words(tmp_path, "--head_epochs", 3))
    assert "warning: head_epochs 3: all 3 epochs train the head alone; the encoder stays as it is" in capsys.readouterr().out


def test_a_subset_is_listed_with_its_labels(words, npz, arrays, tmp_path):
    """Although tuning tells sequences apart by their rows."""
    names = [("bow", "jump high", "wave")[k] for k in arrays["y_train"].argmax(1)]
    texts = {"y_train": np.array(names), "y_test": np.array(["bow"] * 13)}
    main_tune.main(words(tmp_path, "--epochs", 1, "--data_ratio", 0.5, "--data_path", npz(arrays | texts)))
    header, *rows = (line.split(",") for line in (tmp_path / "subset.csv").read_text().splitlines())
    assert header == ["row", "label", "class_name", "name"] and len(rows) == 12
    assert all(
        int(label) == sorted(set(names)).index(names[int(row)]) and name == names[int(row)] for row, label, name, _ in rows
    )


@pytest.mark.parametrize("more", [(), ("--head_epochs", 1)])
def test_two_processes_are_one(more, words, tmp_path):
    """The whole batch's statistics, neighbours and negatives: the same losses up to rounding, which AdamW lets grow."""
    main_tune.main(words(tmp_path / "one", *more))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "main_tune.py"]
    line = [*torchrun, *words(tmp_path / "two", "--batch_size", 4, *more)]
    done = subprocess.run(line, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = (losses(tmp_path / name) for name in ("one", "two"))
    assert two[0] == pytest.approx(one[0], rel=1e-4) and two == pytest.approx(
        one, rel=5e-2
    )  # rounding may choose another neighbour
    rows = [weights(tmp_path / name / "checkpoint-2.pth")["head.rows"].tolist() for name in ("one", "two")]
    assert sorted(rows[0]) == sorted(rows[1])


def test_no_labels_are_needed(words, npz, arrays, tmp_path):
    unlabelled = npz({key: value for key, value in arrays.items() if not key.startswith("y_")})
    main_tune.main([*words(tmp_path / "out"), "--data_path", str(unlabelled)])
    assert (tmp_path / "out/checkpoint-2.pth").is_file()


def test_umurl_has_no_tokens_to_leave_out(invented, tmp_path):
    line = f"--method umurl --data_path {invented} --patch_drop_rate 0.5 --output_dir {tmp_path} --num_frames 8 --min_frames 4"
    with pytest.raises(ValueError, match="patch_drop_rate: is not one of the method umurl"):
        main_tune.main([*line.split(), "--batch_size", "4", "--effective_batch_size", "4"])


def test_views_leave_out_tokens(words, tmp_path, monkeypatch):
    seen, encode = [], TunedTransformer.encode
    monkeypatch.setattr(TunedTransformer, "encode", lambda self, tokens: seen.append(tokens.shape[1]) or encode(self, tokens))
    for ratio in (0, 0.5):
        main_tune.main(words(tmp_path / str(ratio), "--epochs", 1, "--patch_drop_rate", ratio))
    assert set(seen[: len(seen) // 2]) == {max(seen)} and set(seen[len(seen) // 2 :]) == {max(seen) // 2}


@pytest.mark.parametrize(
    "more, message",
    [
        (("--batch_size", 4), "accum_iter 2: tuning compares an update's samples"),
        (("--queue_size", 1), "queue_size 1: neighbours are other samples, so at least 2 projections"),
        (("--queue_size", 2, "--views", 2), "queue_size 2: neighbours are other samples, so at least 3 projections"),
        (("--batch_size", 1, "--effective_batch_size", 1), "effective_batch_size 1: tuning compares samples"),
        (("--frozen_blocks", 3), "frozen_blocks 3: the encoder has 2 blocks, so nothing of it would be trained"),
        (("--shear", 0.1), "option shear: belongs to --views 2"),
        (("--mirror",), "option mirror: belongs to --views 2, this is 1"),
        (("--temperature", 0), "temperature 0.0: above 0"),
        (("--patch_drop_rate", 1), "patch_drop_rate 1.0: a share, at least 0 and below 1"),
        (("--finetune", "absent.pth"), "absent.pth: no such checkpoint"),
    ],
)
def test_mistakes(words, tmp_path, more, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        main_tune.main(words(tmp_path / "out", *more))


def test_neighbours_get_closer(words, tmp_path):
    main_tune.main(words(tmp_path, "--epochs", 20, "--frozen_blocks", 0))
    log = losses(tmp_path)
    assert np.mean(log[-3:]) < 0.8 * np.mean(log[:3])

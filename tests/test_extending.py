"""docs/extending.md: its blocks are run one after another in an empty folder, as a reader would."""

import re
import runpy
import shlex

import numpy as np
import pytest
import torch

import main_pretrain
from tests.processes import ROOT
from tests.runs import read
from util import checkpoint, results

BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def folder(command, tmp_path_factory):
    """The folder in which all blocks have been run."""
    home = tmp_path_factory.mktemp("extending")

    def call(*words):
        done = command(words, home, CUDA_VISIBLE_DEVICES="")
        assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"

    for number, (language, code) in enumerate(BLOCK.findall((ROOT / "docs/extending.md").read_text())):
        named = re.match(r"# (\w+\.\w+)", code)
        if named:
            (home / named[1]).write_text(code)
        elif language == "python":
            (home / f"block{number}.py").write_text(code)
            call(f"block{number}.py")
        else:
            assert language == "bash"
            for line in code.strip().splitlines():
                _, script, *words = shlex.split(line)
                call(script if (home / script).exists() else ROOT / script, *words)
    return home


def test_a_new_data_set(folder):
    result = read(folder / "output/linprobe")
    assert result["last"]["test_acc1"] > 80 > 100 / 3  # a reader sees that something was learnt
    assert result["dataset"] == "exercises" and result["encoder"]["method"] == "mamp"


def test_a_new_joint_layout(folder):
    result = read(folder / "output/arms")
    assert result["input_stream"] == "bone" and result["data_path"] == "arms.npz"


def test_another_mask_and_target(folder):
    log = read(folder / "output/tubes", "log.jsonl")
    assert len(log) == 20 and log[-1]["train_loss"] < log[0]["train_loss"]
    assert read(folder / "output/tubes-linprobe")["encoder"]["method"] == "tubes"
    (result,), complaints = results.find([folder / "output/tubes-linprobe"])
    assert not complaints and result.settings["pretrain_method"] == "tubes"  # no seed of MAMP
    module = runpy.run_path(folder / "main_tubes.py")
    with pytest.raises(ValueError, match="input_stream motion: is not there for the added method tubes"):
        words = ["--config", folder / "output/tubes/config.yaml", "--input_stream", "motion", "--output_dir", folder / "no"]
        main_pretrain.main([*map(str, words), "--data_path", str(folder / read(folder / "output/tubes")["data_path"])])
    model = module["Tubes"](num_joints=5, num_frames=8, dim_feat=8, depth=1, num_heads=2, decoder_dim_feat=8, decoder_depth=1)
    _, _, mask = model(torch.randn(2, 3, 8, 5, 1), 0.6)
    assert torch.equal(mask[:, :5], mask[:, 5:]) and mask.sum(1).tolist() == [6, 6]


def test_a_new_method(folder):
    log = read(folder / "output/denoise", "log.jsonl")
    assert len(log) == 20 and log[-1]["train_loss"] < log[0]["train_loss"]
    assert read(folder / "output/denoise")["method"] == "denoise"
    evaluated = read(folder / "output/denoise-linprobe")
    assert (evaluated["encoder"]["method"], evaluated["encoder"]["epoch"]) == ("denoise", 20)
    assert evaluated["last"]["test_samples"] == 24


def test_another_metric(invented, options, tmp_path, monkeypatch):
    """Numbers of numpy and of torch, too: neither the log nor the checkpoint would be read again with them."""
    train, own = main_pretrain.train_one_epoch, {"gap": np.float64(0.5), "hits": np.int64(3), "norm": torch.tensor(2.0)}
    monkeypatch.setattr(main_pretrain, "train_one_epoch", lambda *words: train(*words) | own)
    main_pretrain.main(options("pretrain", invented, tmp_path, "--epochs", 1))
    written = checkpoint.load(tmp_path / "checkpoint-0.pth")["metrics"], *read(tmp_path, "log.jsonl"), read(tmp_path)["last"]
    assert [{name: metrics[name] for name in own} for metrics in written] == 3 * [{"gap": 0.5, "hits": 3, "norm": 2.0}]

"""A user's mistakes end in one line and exit code 2; docs/errors.md says what to do about the frequent ones."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from model.mamp import MAMP
from model.transformer import Transformer
from tests.conftest import invent
from tests.processes import ROOT
from tests.runs import MAINS
from util import errors

PAGE = (ROOT / "docs/errors.md").read_text()
QUOTED = [".*".join(map(re.escape, re.split(r"\s*…\s*", quoted))) for quoted in re.findall(r"^\| `([^`]+)`", PAGE, re.MULTILINE)]
SIZE = dict(dim_feat=8, depth=2, num_heads=2, mlp_ratio=2, num_frames=8)


@pytest.fixture(scope="module")
def folder(invented, options, tmp_path_factory):
    """A pre-training `pre`, a linear probe `lin`, and files that cannot be used."""
    top = tmp_path_factory.mktemp("mistakes")
    for stage, name in (("pretrain", "pre"), ("linprobe", "lin")):
        MAINS[stage].main(options(stage, invented, top / name, "--epochs", 1))
    content = (top / "pre/checkpoint-0.pth").read_bytes()
    (top / "cut.pth").write_bytes(content[: len(content) // 2])
    (top / "cut.npz").write_bytes(b"PK\x03\x04")
    for name, state in {
        "seven": MAMP(**SIZE, num_joints=7, decoder_dim_feat=8).state_dict(),
        "more": Transformer(**SIZE, num_joints=5, num_classes=3).state_dict() | {"surplus": torch.zeros(1)},
        "three": Transformer(**SIZE, num_joints=5, num_classes=3, head_dim=16).state_dict(),
        "code": {"norm.weight": Path("anything")},
    }.items():
        torch.save({"model": state, "config": {"num_heads": 2}}, top / f"{name}.pth")
    arrays = invent()
    for name, change in {
        "empty": {"x_train": 0 * arrays["x_train"], "valid_frames_train": np.zeros(24, int)},
        "large": {"x_train": 1e30 * arrays["x_train"]},
        "float": {"valid_frames_train": np.full(24, 12.0), "valid_frames_test": np.full(13, 12.0)},
        "five": {"y_train": np.eye(5)[np.arange(24) % 5], "y_test": np.eye(5)[np.arange(13) % 5]},
    }.items():
        np.savez(top / f"{name}.npz", **arrays | change)
    (top / "published").mkdir()
    shutil.copy(top / "pre/checkpoint-0.pth", top / "published/checkpoint-399.pth")  # and log.txt, as the published code has it
    np.savez(top / "bare.npz", num_joints=5)
    return top


@pytest.fixture
def call(capfd):
    """call(stage, line) -> the one line on stderr with which the main ends, as on the command line."""

    def run(stage, line):
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            errors.main(lambda: MAINS[stage].main(line))
        stderr = capfd.readouterr().err.replace("\r", "\n")
        lines = [text for text in stderr.splitlines() if text.strip() and not text.startswith("epoch ")]  # the progress bar
        assert stop.value.code == 2 and len(lines) == 1 and lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")

    return run


def on_page(text):
    return any(re.search(quoted, text) for quoted in QUOTED)


ON_PAGE = [
    ("pretrain", "--data_path absent.npz", "absent.npz: no such npz file"),
    ("pretrain", "--data_path bare.npz", "bare.npz: no array '?x_train'?.*; it has "),
    ("pretrain", "--data_path empty.npz", "empty.npz: train sample .* has no frame with a body"),
    ("pretrain", "--data_path large.npz", r"loss .* in epoch 1, step 1, .*; the last good weights are in .*last.pth"),
    ("pretrain", "--dim_faet 8", "option 'dim_faet' is not known; did you mean 'dim_feat'"),
    ("pretrain", "--dataset ntu60_xsbu", "data set 'ntu60_xsbu' is not known; did you mean 'ntu60_xsub'"),
    ("pretrain", "--dist_url x", "option .*--dist_url.*does not exist; here: "),
    ("pretrain", "--projector_dim 8", "option projector_dim: is not one of the method mamp"),
    ("linprobe", "--no-augment --mirror", "option mirror: belongs to --augment, this is False"),
    ("pretrain", "--query_frames 4", "query_frames.*belongs to --decoder"),
    ("pretrain", "--decoder query --query_frames 3", "query_frames 3: has to divide num_frames"),
    ("pretrain", "--effective_batch_size 7", "effective_batch_size 7 is not a multiple of batch_size "),
    ("pretrain", "--output_dir pre", "output_dir .*pre: holds a run; --resume auto goes on with it"),
    ("pretrain", "--resume pre/checkpoint-0.pth --lr 3", "the run began with lr .*; start anew in another output_dir"),
    ("finetune", "--finetune pre/checkpoint-0.pth --dim_feat 16", "0.pth: made with dim_feat 8, the command line says 16"),
    ("finetune", "--finetune seven.pth", "seven.pth: .*an encoder cannot change its skeleton"),
    ("finetune", "--finetune more.pth", "more.pth: not a checkpoint of this model"),
    ("finetune", "--finetune cut.pth", "cut.pth: .*damaged: "),
    ("finetune", "--finetune code.pth", "code.pth: .*it holds a pathlib.PosixPath, which is no plain data"),
    ("linprobe", "--eval pre/checkpoint-0.pth", "checkpoint-0.pth: holds no classifier"),
    ("linprobe", "--dim_feat 1000000", "out of memory; a smaller --batch_size needs less of it"),
]
OTHERS = [
    ("pretrain", "--output_dir published --resume auto", "published: holds checkpoint-399.pth, of no run of ours .*overwritten"),
    ("finetune", "--output_dir published --finetune published/checkpoint-399.pth", "published: holds checkpoint-399.pth, of no"),
    (
        "pretrain",
        "--batch_size 9 --effective_batch_size 12",
        "effective_batch_size 12 is not a multiple of batch_size 9 .*; give both",
    ),
    ("retrieval", "--save_features lin", "save_features lin: is a folder; name the file"),
    ("retrieval", "--data_path float.npz --save_features ./float.npz", "save_features ./float.npz: is an input of this command"),
    ("pretrain", "--data_path lin/checkpoint-0.pth", "checkpoint-0.pth: is a checkpoint, not an npz of arrays; --finetune and"),
    (
        "linprobe",
        "--config ./config/ntu60_xsub_joint/linprobe.yaml",
        "no such configuration file; --dataset ntu60_xsub has the set",
    ),
    ("linprobe", "--device mps", "device mps: is not here; use auto, cpu, cuda or cuda:N"),
    ("linprobe", "--mlp_ratio -1", "mlp_ratio -1.0: above 0"),
    ("pretrain", "--output_dir pre --resume lin/checkpoint-0.pth", "pre: holds another run than lin/checkpoint-0.pth"),
    ("pretrain", "--output_dir pre --resume=", "output_dir .*pre: holds a run"),  # as of published launches: no resuming
    ("pretrain", "--config=", "option --config: is empty; leave it out, or name a file"),
    ("linprobe", "--finetune absent.pth", "absent.pth: no such checkpoint"),
    ("linprobe", "--data_path float.npz", "float.npz: valid_frames_test has type float64; it has to be whole numbers"),
    ("linprobe", "--config absent.yaml", "absent.yaml: no such configuration file"),
    ("linprobe", "--data_path cut.npz", "cut.npz: not a complete npz file"),
    ("linprobe", "--dim_feat 9", "width 9 is not a multiple of num_heads 2"),
    ("linprobe", "--num_frames 10", "num_frames 10 is not a multiple of t_patch_size 4"),
    ("linprobe", "--test_p_interval 0.5 0.9", "test_p_interval 0.5 0.9: takes 1 number"),
    ("linprobe", "--rot_theta 0.1 0.2", "rot_theta 0.1 0.2: takes 1 or 3 number"),
    ("linprobe", "--device gpu", "device 'gpu'"),
    ("linprobe", "--output_dir cut.npz", "cut.npz: is a file; give a folder"),
    ("linprobe", "--lr -1", "lr -1.0: not below 0"),
    ("linprobe", "--clip_grad -1", "clip_grad -1.0: a norm above 0"),
    ("linprobe", "--drop_path_rate 1.5", "drop_path_rate 1.5: a share, at least 0 and below 1"),
    ("linprobe", "--seed -1", "seed -1: from 0 to 2147483647"),
    ("linprobe", "--val_groups 2", "no array 'group_train', so nothing can be held out"),
    ("linprobe", "--data_ratio 2", "data_ratio 2.0"),
    ("linprobe", "--eval lin/checkpoint-0.pth --output_dir lin", "holds a training run, which an evaluation must not overw"),
    ("finetune", "--eval lin/checkpoint-0.pth", "checkpoint-0.pth: holds a classifier of main_linprobe.py"),
    ("finetune", "--eval three.pth --data_path five.npz", "has the label 4, .*three.pth knows 3 classes"),
    ("retrieval", "--output_dir lin", "holds a training run, which an evaluation must not overwrite"),
    ("retrieval", "--k 25", "k 25: the gallery has only 24 samples"),
]


@pytest.mark.parametrize("stage, words, message", ON_PAGE + OTHERS)
def test_mistakes(stage, words, message, call, folder, invented, options, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    before = (folder / "lin/result.json").read_bytes()
    more = () if stage == "retrieval" else ("--epochs", 1)
    line = call(stage, options(stage, invented, tmp_path, *more, *words.split()))
    assert re.search(message, line) and (on_page(line) or (stage, words, message) in OTHERS)
    assert (folder / "lin/result.json").read_bytes() == before


@pytest.mark.parametrize("workers", [0, 1])
def test_a_spoilt_sample_is_named(workers, call, npz, arrays, options, tmp_path):
    arrays["x_train"][7, 2, 4] = np.nan
    line = call("pretrain", options("pretrain", npz(arrays), tmp_path / "out", "--epochs", 1, num_workers=workers))
    assert "data.npz: train sample 7 (train007) holds values that are not finite" in line and on_page(line)


def test_subsets_of_each_process_with_features_computed_once(invented, options, tmp_path, monkeypatch):
    monkeypatch.setattr("util.distributed.world_size", lambda: 2)
    few = ("--data_ratio", 0.5, "--subset", "released", "--effective_batch_size", 8)
    with pytest.raises(ValueError, match="subset released: every process has its own samples"):
        MAINS["linprobe"].main(options("linprobe", invented, tmp_path, *few, "--no-augment", "--no-dist_eval"))


def test_traceback_on_request(invented, options, tmp_path, monkeypatch):
    monkeypatch.setenv("MAMP_TRACEBACK", "1")
    with pytest.raises(ValueError, match="width 9"):
        errors.main(lambda: MAINS["linprobe"].main(options("linprobe", invented, tmp_path, dim_feat=9)))

"""A user's mistakes end in one line and exit code 2."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import main_finetune
import main_linprobe
import main_pretrain
import main_retrieval
from model.mamp import MAMP
from model.transformer import Transformer
from util import checkpoint, errors

ROOT = Path(__file__).resolve().parents[1]
SIZE = dict(dim_feat=8, depth=2, num_heads=2, mlp_ratio=2, num_frames=8, num_joints=5)


def test_classes_that_a_classifier_does_not_know(npz, arrays, options, tmp_path):
    model = Transformer(**SIZE, num_classes=3, head_dim=16)
    checkpoint.save(tmp_path / "three.pth", {"model": model.state_dict()})
    arrays["y_train"], arrays["y_test"] = (np.eye(5)[np.arange(n) % 5] for n in (24, 13))
    line = options("finetune", npz(arrays), tmp_path / "out", "--eval", tmp_path / "three.pth")
    with pytest.raises(ValueError, match="has the label 4, .*three.pth knows 3 classes"):
        main_finetune.main(line)


def test_evaluating_what_is_no_classifier(invented, options, tmp_path):
    checkpoint.save(tmp_path / "pre.pth", {"model": MAMP(**SIZE, decoder_dim_feat=8).state_dict()})
    line = options("linprobe", invented, tmp_path, "--eval", tmp_path / "pre.pth")
    with pytest.raises(ValueError, match="pre.pth: holds no classifier"):
        main_linprobe.main(line)


def test_evaluating_with_the_other_main_or_into_a_training_run(invented, options, tmp_path):
    main_linprobe.main(options("linprobe", invented, tmp_path / "run", "--epochs", 1))
    path = tmp_path / "run/checkpoint-0.pth"
    with pytest.raises(ValueError, match="checkpoint-0.pth: holds a classifier of main_linprobe.py"):
        main_finetune.main(options("finetune", invented, tmp_path / "eval", "--eval", path))
    with pytest.raises(ValueError, match="output_dir .*run: holds a training run, which an evaluation must not overwrite"):
        main_linprobe.main(options("linprobe", invented, tmp_path / "run", "--eval", path))


def test_retrieval_into_a_training_run(invented, options, tmp_path):
    main_linprobe.main(options("linprobe", invented, tmp_path, "--epochs", 1))
    before = (tmp_path / "result.json").read_bytes()
    with pytest.raises(ValueError, match="holds a training run, which an evaluation must not overwrite"):
        main_retrieval.main(options("retrieval", invented, tmp_path))
    assert (tmp_path / "result.json").read_bytes() == before


def test_subsets_of_each_process_with_features_computed_once(invented, options, tmp_path, monkeypatch):
    monkeypatch.setattr("main_linprobe.distributed.world_size", lambda: 2)
    few = ("--data_ratio", 0.5, "--subset", "released", "--effective_batch_size", 8)
    with pytest.raises(ValueError, match="subset released: every process has its own samples"):
        main_linprobe.main(options("linprobe", invented, tmp_path, *few, "--no-augment", "--no-dist_eval"))


def test_a_size_that_is_not_the_checkpoints(invented, options, tmp_path):
    main_pretrain.main(options("pretrain", invented, tmp_path, "--epochs", 1))
    line = options("finetune", invented, tmp_path / "ft", "--finetune", tmp_path / "checkpoint-0.pth", dim_feat=16)
    with pytest.raises(ValueError, match="checkpoint-0.pth: made with dim_feat 8, the command line says 16"):
        main_finetune.main(line)


def test_more_neighbours_than_samples(invented, options, tmp_path):
    with pytest.raises(ValueError, match="k 25: the gallery has only 24 samples"):
        main_retrieval.main(options("retrieval", invented, tmp_path, "--k", 25))


def call(main, argv, capfd):
    """Exit code and stderr of a main as the command line sees them."""
    with pytest.raises(SystemExit) as stop:
        errors.main(lambda: main.main(argv))
    return stop.value.code, capfd.readouterr().err


@pytest.mark.parametrize(
    "more, message",
    [
        (("--data_path", "absent.npz"), "error: absent.npz: no such npz file"),
        (("--finetune", "absent.pth"), "error: absent.pth: no such checkpoint"),
        (("--config", "absent.yaml"), "error: absent.yaml: no such configuration file"),
        (("--lrr", "1"), "error: option 'lrr' is not known; did you mean 'lr'?"),
        (("--dim_feat", "9"), "error: width 9 is not a multiple of num_heads 2"),
        (("--num_frames", "10"), "error: num_frames 10 is not a multiple of t_patch_size 4"),
        (("--test_p_interval", "0.5", "0.9"), "error: test_p_interval 0.5 0.9: takes 1 number"),
        (("--rot_theta", "0.1", "0.2"), "error: rot_theta 0.1 0.2: takes 1 or 3 number"),
        (("--effective_batch_size", "7"), "error: effective_batch_size 7 is not a multiple"),
        (("--device", "gpu"), "error: device 'gpu'"),
        (("--output_dir", __file__), "test_mistakes.py: is a file; give a folder"),
        (("--lr", "-1"), "error: lr -1.0: not below 0"),
        (("--clip_grad", "-1"), "error: clip_grad -1.0: a norm above 0"),
        (("--drop_path_rate", "1.5"), "error: drop_path_rate 1.5: a share, at least 0 and below 1"),
        (("--seed", "-1"), "error: seed -1: from 0 to 2147483647"),
        (("--seed", "99999999999"), "error: seed 99999999999: from 0"),
        (("--dataset", "ntu60_xsbu"), "error: data set 'ntu60_xsbu' is not known; did you mean 'ntu60_xsub'?"),
        (("--dataset", "absent/a.yaml"), "error: absent/a.yaml: no such configuration file"),
        (("--val_groups", "2"), "no array 'group_train', so nothing can be held out"),
        (("--data_ratio", "2"), "error: data_ratio 2.0"),
        (("--dim_feat", "1000000"), "error: out of memory; a smaller --batch_size needs less of it"),
    ],
)
def test_mistakes_end_in_one_line(more, message, invented, options, tmp_path, capfd):
    code, stderr = call(main_linprobe, options("linprobe", invented, tmp_path, "--epochs", 1, *more), capfd)
    assert code == 2 and message in stderr and "Traceback" not in stderr
    assert len(stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_spoilt_sample_is_named_in_one_line(workers, npz, arrays, options, tmp_path, capfd):
    arrays["x_train"][7, 2, 4] = np.nan
    line = options("pretrain", npz(arrays), tmp_path / "out", "--epochs", 1, num_workers=workers)
    code, stderr = call(main_pretrain, line, capfd)
    lines = [text for text in stderr.replace("\r", "\n").splitlines() if text.strip()]
    lines = [text for text in lines if not text.lstrip().startswith("epoch 0:")]  # the progress bar
    assert code == 2 and "Traceback" not in stderr and len(lines) == 1
    assert lines[0].startswith("error: ") and "data.npz: train sample 7 (train007) holds values that are not finite" in lines[0]


def test_the_command_itself(tmp_path):
    """A process of its own: exit code 2, one line, and the traceback on request."""
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    command = [sys.executable, str(ROOT / "main_pretrain.py"), "--data_path", "cut.npz", "--device", "cpu", "--output_dir", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: cut.npz: not a complete npz file") and done.stderr.count("\n") == 1


def test_traceback_on_request(invented, options, tmp_path, monkeypatch):
    monkeypatch.setenv("MAMP_TRACEBACK", "1")
    with pytest.raises(ValueError, match="width 9"):
        errors.main(lambda: main_linprobe.main(options("linprobe", invented, tmp_path, dim_feat=9)))

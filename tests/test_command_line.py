"""Mistakes on the command line: answered at once, with what would be right, and by the exit code of mistakes."""

import subprocess
import sys

import numpy as np
import pytest

from tests.processes import ROOT
from util import checkpoint, config

WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None
for stage in ("pretrain", "linprobe", "finetune", "retrieval"):
    for word in ("--help", "--dim_faet=3", "--dataset ntu61_xsub"):
        sys.argv = ["main", *word.split()]
        try:
            runpy.run_path(f"main_{stage}.py", run_name="__main__")
        except SystemExit as end:
            print("exit code", end.code)
"""


def test_no_main_imports_torch_before_it_has_read_its_options():
    """With a torch that cannot be imported, whatever can be answered still is."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], cwd=ROOT, capture_output=True, text=True, timeout=100)
    mistakes = [line.split(";")[0] for line in done.stderr.splitlines()]
    assert mistakes == 4 * ["error: option 'dim_faet' is not known", "error: data set 'ntu61_xsub' is not known"]
    assert [line[-1] for line in done.stdout.splitlines() if line.startswith("exit code")] == ["0", "2", "2"] * 4
    assert done.stdout.count("--data_path") >= 4


HELP_WITHOUT_TORCH = """
import contextlib, io, runpy, sys
sys.modules["torch"] = None
for path in sys.argv[1:]:
    sys.argv, out = [path, "--help"], io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_module(path.removesuffix(".py").replace("/", "."), run_name="__main__")
    except SystemExit as end:
        print(path, end.code, "usage" in out.getvalue())
"""


def test_nothing_imports_torch_to_answer_help():
    programs = ("main_*.py", "scripts/*.py", "predict/*.py", "util/*.py", "report/*.py", "data/*/*.py")
    files = [path for pattern in programs for path in sorted(ROOT.glob(pattern)) if '__name__ == "__main__"' in path.read_text()]
    files = [str(path.relative_to(ROOT)) for path in files]
    assert len(files) > 30
    line = [sys.executable, "-c", HELP_WITHOUT_TORCH, *files]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.stdout.splitlines() == [f"{file} 0 True" for file in files], done.stderr


@pytest.mark.parametrize(
    "stage, word, message",
    [
        ("linprobe", "--mask_ratio", "--mask_ratio: belongs to main_pretrain.py; main_linprobe.py does not have it"),
        ("pretrain", "--no-augment", "--no-augment: belongs to main_linprobe.py; main_pretrain.py does not have it"),
        ("retrieval", "--lr=3", "--lr: belongs to main_pretrain.py, main_tune.py, main_linprobe.py, main_f"),
        ("retrieval", "--rot_theta 1", "--rot_theta: belongs to .*; main_retrieval.py does not have it"),
        ("linprobe", "--rot_theta 1 --no-augment --data_path x.npz", "option rot_theta: belongs to --augment, this is False"),
        ("pretrain", "False", "'False' belongs to no option; those of yes or no are --NAME and --no-NAME"),
        ("pretrain", "--epochs=many", "^argument --epochs: invalid int value: 'many'$"),
        ("linprobe", "--finetune=", "option --finetune: is empty; leave it out for a random encoder"),
        ("finetune", "--eval=a --finetune=b", "options --eval and --finetune: .*; leave one of them out"),
        ("pretrain", "--amp", "option '--amp' does not exist; here: --enable_amp"),
        ("finetune", "--pretrained=x.pth", "here: --finetune FILE, or --eval FILE for a classifier"),
        ("pretrain", "--extra", "option 'extra' is not known$"),  # no option is like it
    ],
)
def test_the_main_that_has_an_option_is_named(stage, word, message):
    with pytest.raises(ValueError, match=message):
        config.parse(stage, word.split())


def test_what_is_no_checkpoint_is_told_from_one(tmp_path):
    np.savez(tmp_path / "arrays.npz", x=1)
    with pytest.raises(ValueError, match="arrays.npz: holds arrays, no checkpoint; --data_path takes an npz"):
        checkpoint.load(tmp_path / "arrays.npz")
    with pytest.raises(ValueError, match="is a folder; name a checkpoint in it, it has none"):
        checkpoint.load(tmp_path)
    (tmp_path / "checkpoint-9.pth").touch()
    with pytest.raises(ValueError, match="is a folder; name a checkpoint in it, such as checkpoint-9.pth"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        "-m scripts.tables nowhere",
        "-m scripts.ensemble nowhere.npz",
        "-m scripts.demo --smok",
        "-m util.checkpoint",
        "-m scripts.plan nothing",
    ],
)
def test_mistakes_exit_with_2(words, command):
    done = command(words.split())
    assert done.returncode == 2 and "error: " in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    line = f"{sys.executable} -m scripts.tables {tmp_path} --all | head -n 1"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (0, "") and len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("script", ["tables", "report"])  # the latter has the name of a package of ours
def test_scripts_run_as_files_from_any_folder(script, tmp_path):
    """As well as with `python -m`."""
    run = subprocess.run([sys.executable, ROOT / f"scripts/{script}.py", "nowhere"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 2 and "error: nowhere: no " in run.stderr and "Traceback" not in run.stderr

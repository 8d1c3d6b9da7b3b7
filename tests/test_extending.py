"""docs/extending.md: its blocks are run one after another in an empty folder, as a reader would."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder in which all blocks have been run."""
    home = tmp_path_factory.mktemp("extending")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}

    def call(*words):
        done = subprocess.run([sys.executable, *words], cwd=home, env=environment, capture_output=True, text=True, timeout=120)
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
                call(script if (home / script).exists() else str(ROOT / script), *words)
    return home


def result(folder, name):
    return json.loads((folder / "output" / name / "result.json").read_text())


def test_a_new_data_set(folder):
    about = result(folder, "linprobe")
    assert about["last"]["test_acc1"] > 80 > 100 / 3  # a reader sees that something was learnt
    assert about["dataset"] == "exercises" and about["last"]["test_samples"] == 24 and about["encoder"]["method"] == "mamp"


def test_a_new_joint_layout(folder):
    about = result(folder, "arms")
    assert about["input_stream"] == "bone" and about["data_path"] == "arms.npz"
    with np.load(folder / "arms.npz") as arrays:
        assert arrays["x_train"].shape == (48, 40, 27)


def test_a_new_method(folder):
    log = [json.loads(line) for line in (folder / "output/denoise/log.jsonl").read_text().splitlines()]
    assert len(log) == 20 and log[-1]["train_loss"] < log[0]["train_loss"]
    assert result(folder, "denoise")["method"] == "denoise"
    judged = result(folder, "denoise-linprobe")
    assert judged["encoder"]["method"] == "denoise" and judged["encoder"]["epoch"] == 20 and judged["last"]["test_samples"] == 24

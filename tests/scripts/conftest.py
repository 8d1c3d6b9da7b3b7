import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scripts import plan, variables
from tests.processes import ROOT
from tests.report.conftest import made, opened, two_people  # noqa: F401 (fixtures)
from util import config, distributed


@dataclass
class Command:
    """One printed command: main's stage, number of processes, the words after main_*.py."""

    stage: str
    processes: int
    words: list

    def value(self, name):
        return self.words[self.words.index(f"--{name}") + 1] if f"--{name}" in self.words else None

    @property
    def output(self):
        return self.value("output_dir")

    @property
    def encoder(self):
        return self.value("finetune")

    def options(self):
        """Resolved by the real parser, for this number of processes; --finetune is left out, since there is no such file."""
        at = self.words.index("--finetune") if self.encoder else len(self.words)
        args = config.parse(self.stage, self.words[:at] + self.words[at + 2 :])
        if hasattr(args, "accum_iter"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(distributed, "world_size", lambda: self.processes)
                config.set_batches(args)
        return args


@pytest.fixture(scope="session")
def script():
    """script(name, *arguments, **variables) -> the finished process of scripts/NAME.sh, in an environment of these variables."""

    def run(name, *arguments, timeout=60, **variables):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": os.environ.get("HOME", "/"), "OMP_NUM_THREADS": "1"}
        environment |= {key: str(value) for key, value in variables.items()}
        words = ["bash", f"scripts/{name}.sh", *map(str, arguments)]
        return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout)

    return run


@pytest.fixture
def dry_run(capsys, monkeypatch):
    """dry_run(name, *arguments, **variables) -> the lines that scripts/NAME.sh prints with DRY_RUN=1 and PYTHON=python."""

    def lines(name, *arguments, **given):
        with monkeypatch.context() as patch:
            for key in variables.DEFAULTS:
                patch.delenv(key, raising=False)
            for key, value in ({"DRY_RUN": 1, "PYTHON": "python"} | given).items():
                patch.setenv(key, str(value))
            capsys.readouterr()
            plan.main(name, *arguments)
        return capsys.readouterr().out.splitlines()

    return lines


@pytest.fixture
def planned(dry_run):
    """planned(name, *arguments, **variables) -> the Commands of mains among the lines of a dry run."""

    def commands(*arguments, **variables):
        found = []
        for words in map(shlex.split, dry_run(*arguments, **variables)):
            main = next((i for i, word in enumerate(words) if word.startswith("main_")), None)
            if main is None:
                continue
            processes = int(words[main - 1]) if main > 1 else 1
            torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
            assert words[:main] == ["python", *(torchrun if processes > 1 else [])]
            found.append(Command(words[main].removeprefix("main_").removesuffix(".py"), processes, words[main + 1 :]))
        return found

    return commands


@pytest.fixture
def recorder(tmp_path):
    """A stand-in for Python that plans, but only writes down how it is called for anything else."""
    file, calls = tmp_path / "python", tmp_path / "calls"
    plans = f'[ "$2" != scripts.plan ] || exec {shlex.quote(sys.executable)} "$@"'
    records = f'[ "$1" != -c ] || exit 0\necho "$@" >> "{calls}"\n[ ! -e "{tmp_path}/broken" ] || exit 3'
    file.write_text(f"#!/bin/sh\n{plans}\n{records}\n")
    file.chmod(0o755)
    return file, lambda: calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """An npz whose skeleton UmURL can make bones of: 24 training and 13 test sequences of noise, 5 joints, 1 body, 3 classes."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "data.npz"
    arrays = {"num_joints": 5, "num_bodies": 1, "parents": np.array([0, 0, 1, 1, 3]), "group_train": np.arange(24) % 4}
    for split, count in (("train", 24), ("test", 13)):
        arrays[f"x_{split}"] = rng.normal(size=(count, 12, 15)).astype(np.float32)
        arrays[f"y_{split}"] = np.eye(3, dtype=np.uint8)[np.arange(count) % 3]
    np.savez(path, **arrays)
    return path

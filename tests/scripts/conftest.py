import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.report.conftest import made, opened, two_people  # noqa: F401 (fixtures)
from util import config, distributed

ROOT = Path(__file__).resolve().parents[2]


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

    def options(self, monkeypatch):
        """Resolved by the real parser, for this number of processes; --finetune is left out, since there is no such file."""
        words = list(self.words)
        if "--finetune" in words:
            at = words.index("--finetune")
            del words[at : at + 2]
        args = config.parse(self.stage, words)
        monkeypatch.setattr(distributed, "world_size", lambda: self.processes)
        return config.set_batches(args) if hasattr(args, "accum_iter") else args


@pytest.fixture(scope="session")
def script():
    """script(name, *arguments, **variables) -> the finished process of scripts/NAME.sh, in an environment of these variables."""

    def run(name, *arguments, timeout=60, **variables):
        environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ} | {"OMP_NUM_THREADS": "1"}
        environment |= {key: str(value) for key, value in variables.items()}
        words = ["bash", f"scripts/{name}.sh", *map(str, arguments)]
        return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout)

    return run


@pytest.fixture(scope="session")
def planned(script):
    """planned(name, *arguments, **variables) -> the Commands of mains that a dry run prints."""

    def plan(name, *arguments, **variables):
        done = script(name, *arguments, DRY_RUN=1, PYTHON="python", **variables)
        assert done.returncode == 0, done.stderr
        commands = []
        for line in done.stdout.splitlines():
            words = shlex.split(line)
            main = next((i for i, word in enumerate(words) if word.startswith("main_")), None)
            if main is None:
                continue
            launcher, processes = ["python"], 1
            if main > 1:
                processes = int(words[main - 1])
                launcher = "python -m torch.distributed.run --standalone --nproc_per_node".split() + [words[main - 1]]
            assert words[:main] == launcher
            commands.append(Command(words[main].removeprefix("main_").removesuffix(".py"), processes, words[main + 1 :]))
        return commands

    return plan

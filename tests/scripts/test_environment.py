"""Which interpreter the scripts use, and that --help needs none."""

import os
import re
import sys
import venv
from pathlib import Path

import pytest

from tests.processes import ROOT

LEAST = dict(re.findall(r"(?m)^([\w-]+)>=([\d.]+)$", (ROOT / "requirements.txt").read_text()))
NAMES = sorted(file.stem for file in (ROOT / "scripts").glob("*.sh") if file.read_text().startswith("#!"))


@pytest.fixture
def active(tmp_path):
    """active(**versions) -> a virtual environment that says it has the required packages, but for these versions or None."""

    def make(**versions):
        folder = tmp_path / "env"
        venv.create(folder, symlinks=False)
        (site,) = folder.glob("lib/python*/site-packages")
        for name, version in (LEAST | versions).items():
            if version:
                info = site / f"{name.replace('-', '_')}-{version}.dist-info"
                info.mkdir()
                (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        return folder

    return make


@pytest.mark.parametrize("versions", [{}, {"torch": "2.14.0+cpu", "timm": "1.0.10"}, {"numpy": "10.0rc1"}])
@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_the_active_environment_is_used_if_it_has_everything(active, script, versions, variable):
    folder = active(**versions)
    done = script("pretrain", DRY_RUN=1, DATA="ucla", **{variable: folder})
    assert done.returncode == 0 and done.stdout.startswith(f"{folder}/bin/python main_pretrain.py")
    assert f"using the active one, {folder}" in done.stderr


@pytest.mark.parametrize("timm", ["1.0.9", None])
def test_one_that_is_active_by_path_alone_is_used(active, script, timm):
    """As in a container; if it lacks something, nothing is said of it."""
    folder = active(timm=timm)
    for path in (folder / "bin").glob("python3*"):  # planning takes the python3 that these tests run in
        path.unlink()
    done = script("pretrain", DRY_RUN=1, DATA="ucla", PATH=f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert done.stdout.startswith(f"{f'{folder}/bin' if timm else '.venv/bin'}/python main_pretrain.py")
    assert ("using the active one" in done.stderr) == bool(timm) and "lacks" not in done.stderr


@pytest.mark.parametrize(
    "versions, lacking",
    [
        ({"timm": None, "tqdm": None}, "timm>=1.0.9, tqdm>=4.64"),
        ({"numpy": "1.9.5"}, "numpy>=1.24"),
        ({"torch": "2.5.1"}, "torch>=2.6"),
    ],
)
def test_another_one_is_left_alone_and_what_it_lacks_is_said(active, script, versions, lacking):
    folder = active(**versions)
    done = script("pretrain", DRY_RUN=1, DATA="ucla", VIRTUAL_ENV=folder)
    assert done.stdout.startswith(".venv/bin/python main_pretrain.py")
    assert f"{folder}, lacks {lacking}\n" in done.stderr


def test_what_is_given_counts_more_than_what_is_active(active, script):
    folder = active()
    for given, python in (({"PYTHON": "python"}, "python"), ({"VENV": "elsewhere"}, "elsewhere/bin/python")):
        done = script("pretrain", DRY_RUN=1, DATA="ucla", VIRTUAL_ENV=folder, **given)
        assert done.stdout.startswith(f"{python} main_pretrain.py")


@pytest.mark.parametrize("fails, steps", [("check", 1), ("format", 2), ("pytest", 3), ("nothing", 3)])
def test_the_test_command_fails_where_any_of_its_steps_does(script, tmp_path, fails, steps):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ "$1" = -m ] && echo "step $2"\ncase "$*" in "-m"*{fails}*) exit 1;; esac\n')
    python.chmod(0o755)
    done = script("test", PYTHON=python)
    assert (done.returncode != 0) == (fails != "nothing")
    assert done.stdout.count("step ") == steps


@pytest.mark.parametrize("name", NAMES)
def test_help_needs_no_environment(script, name):
    done = script(name, "--help", PYTHON="/nowhere", timeout=5)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"scripts/\w+\.(sh|py)", done.stdout) and "#" not in done.stdout

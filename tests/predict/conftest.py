import json

import numpy as np
import pytest

import main_predict
from data.demo.make_demo import FOLDER, make_demo
from data.prepare import ntu
from data.prepare.ntu_release import NTU60
from tests.predict.helpers import MAMP, trained_on


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    """Folder of `.skeleton` files of the invented recording: one and two actors, ghosts, lost tracks, one without a skeleton."""
    folder = tmp_path_factory.mktemp("raw")
    make_demo(folder, performers=3, actions=3, replications=1, cameras=2, progress=lambda *_: None)
    return folder / FOLDER


@pytest.fixture(scope="session")
def prepare():
    """prepare(raw folders, out, release) -> the cross-subject npz"""

    def make(raws, out, release):
        ntu.read_raw(raws, out, release, workers=1)
        ntu.denoise_raw(out)
        return ntu.write_npz(out, release)[0]

    return make


@pytest.fixture(scope="session")
def ntu60(raw, prepare, tmp_path_factory):
    return prepare([raw], tmp_path_factory.mktemp("ntu60"), NTU60)


@pytest.fixture(scope="session")
def mamp(ntu60, tmp_path_factory):
    """A linear probe on the recording's NTU-60 arrays."""
    return trained_on(ntu60, tmp_path_factory.mktemp("mamp") / "checkpoint-4.pth", "linprobe", *MAMP)


@pytest.fixture
def person():
    """(T, V, 3) metres, float32: somebody 1.7 m tall who moves, around the origin at the first spine."""
    rng = np.random.default_rng(1)
    joints = rng.uniform(-0.8, 0.8, size=(1, 25, 3)) + 0.05 * np.cumsum(rng.normal(size=(40, 25, 3)), axis=0)
    return (joints - joints[0, 1]).astype(np.float32)


@pytest.fixture
def predict(capsys):
    """predict(checkpoint, *words) -> (what is printed in JSON, exit code, messages)"""

    def call(path, *words):
        code = 0
        capsys.readouterr()
        try:
            main_predict.main(["--checkpoint", *map(str, (path, "--device", "cpu", "--format", "json", "--top_k", 200, *words))])
        except SystemExit as stop:
            code = stop.code
        out, messages = capsys.readouterr()
        return json.loads(out) if out else None, code, messages

    return call

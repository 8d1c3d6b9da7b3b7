import json
import multiprocessing
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import main_finetune
import main_linprobe
import main_pretrain
import main_retrieval
from tests import processes
from util import console, signals

EVIL = '<script>document.title="stolen"</script>'
HANDLERS = {number: signal.getsignal(number) for number in signals.SIGNALS}  # before any main, in whatever fixture, ran
SHARED = Path(__file__).resolve().parents[1] / ".." / "shared"


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The tests' tensors are tiny: threads only get in each other's way."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """A main catches signals, and gives a warning once, for the rest of its process; here that process goes on."""
    yield
    console.warn_once.cache_clear()
    for number, handler in HANDLERS.items():
        signal.signal(number, handler)
    signals.forget()


@pytest.fixture(scope="session")
def fork():
    """fork(function, *arguments) -> the running process, which finds imported what tests/processes.py imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.processes"])
    running = []

    def start(function, *arguments):
        process = context.Process(target=function, args=arguments)
        process.start()
        running.append(process)
        return process

    start(time.sleep, 0).join()  # everything is imported
    yield start
    for process in running:
        process.kill()


@pytest.fixture(scope="session")
def command(fork, tmp_path_factory):
    """command(words, folder=ROOT, **environment) -> the CompletedProcess of `python WORDS...`, run by a fork."""

    def run(words, folder=processes.ROOT, timeout=120, **environment):
        files = [tmp_path_factory.mktemp("printed") / name for name in ("stdout", "stderr")]
        process = fork(processes.run_python, [str(word) for word in words], folder, environment, *files)
        process.join(timeout)
        return subprocess.CompletedProcess(words, process.exitcode, *(file.read_text() for file in files))

    return run


@pytest.fixture(scope="session")
def shared():
    """Path of a fixture beside the project; the test skips if it is absent."""

    def path(name):
        if not (SHARED / name).exists():
            pytest.skip(f"needs ../shared/{name}")
        return SHARED / name

    return path


@pytest.fixture(scope="session")
def parity(shared):
    """Published numbers of one npz: {key: value}; arrays as tensors, JSON strings decoded."""

    def load(name):
        def value(array):
            return json.loads(str(array)) if array.dtype.kind == "U" else torch.as_tensor(array)

        with np.load(shared(f"parity/{name}.npz")) as file:
            return {key: value(file[key]) for key in file.files}

    return load


@pytest.fixture(scope="session")
def products():
    """products(function) -> the (operation, types of what is multiplied) of every matrix product or convolution in it."""

    class Watch(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.seen = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func.overloadpacket.__name__
            if name.endswith("mm") or name.startswith(("convolution", "mkldnn", "linear", "einsum")):
                self.seen.append((name, {a.dtype for a in args if isinstance(a, torch.Tensor)}))
            return func(*args, **kwargs or {})

    def watch(function):
        with Watch() as mode:
            function()
        return mode.seen

    return watch


@pytest.fixture(scope="session")
def part():
    """The entries of a dict below a prefix such as 'state/', without it."""
    return lambda content, prefix: {k.removeprefix(prefix): v for k, v in content.items() if k.startswith(prefix)}


@pytest.fixture(scope="session")
def assert_close():
    """Equal within 1e-5 of the largest published value, as the README of the numbers asks."""

    def check(ours, published, tolerance=1e-5):
        ours, published = torch.as_tensor(ours).detach(), torch.as_tensor(published)
        assert ours.shape == published.shape
        worst, scale = (ours.double() - published.double()).abs().max().item(), published.abs().max().item()
        assert worst <= tolerance * max(scale, 1e-12), f"off by {worst:.3g}, the largest value is {scale:.3g}"

    return check


def invent(seed=0, train=24, test=13, frames=12, joints=5, bodies=1, classes=3):
    """Arrays of a small separable data set: classes differ in pose and rhythm, sequences have 6 to `frames` valid frames."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(size=(classes, bodies * joints, 3))
    swing = rng.normal(size=(classes, bodies * joints, 3))
    arrays = {"num_joints": joints, "num_bodies": bodies}
    for split, count in (("train", train), ("test", test)):
        label = np.arange(count) % classes
        valid = rng.integers(6, frames + 1, count)
        time = np.arange(frames)[None, :, None, None] + rng.uniform(0, 6, (count, 1, 1, 1))
        x = pose[label][:, None] + 0.3 * swing[label][:, None] * np.sin(time * (0.5 + label[:, None, None, None]))
        x = (x + rng.normal(size=x.shape, scale=0.05)).astype(np.float32).reshape(count, frames, -1)
        x[np.arange(frames) >= valid[:, None]] = 0
        arrays |= {
            f"x_{split}": x,
            f"y_{split}": np.eye(classes, dtype=np.uint8)[label],
            f"name_{split}": np.array([f"{split}{i:03}" for i in range(count)]),
            f"valid_frames_{split}": valid.astype(np.int32),
        }
    return arrays


@pytest.fixture
def arrays():
    """Fresh arrays of the invented data set, to be spoilt: 24 training and 13 test sequences, 5 joints, 1 body, 3 classes."""
    return invent()


@pytest.fixture
def npz(tmp_path):
    """npz(arrays, ...) writes an npz and returns its path; without arrays, the invented data set."""

    def write(arrays=None, name="data.npz"):
        np.savez(tmp_path / name, **(arrays or invent()))
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def invented(tmp_path_factory):
    """Path of the invented data set, written once."""
    path = tmp_path_factory.mktemp("invented") / "invented.npz"
    np.savez(path, **invent())
    return path


@pytest.fixture(scope="session")
def options():
    """options(stage, data, output, ...) -> command line of a tiny model on the CPU, in words; later ones win."""
    of_stage = {
        "pretrain": {"save_minutes": 0, "decoder_dim_feat": 8, "decoder_depth": 1, "mask_ratio": 0.6, "warmup_epochs": 1},
        "linprobe": {"save_minutes": 0, "warmup_epochs": 0, "lr": 0.1, "min_lr": 0, "weight_decay": 0},
        "finetune": {"save_minutes": 0, "warmup_epochs": 1, "lr": 5e-3, "head_dim": 16, "drop_path_rate": 0.2},
        "retrieval": {"effective_batch_size": None},
    }

    def line(stage, data, output, *more, **named):
        words = {
            "data_path": data,
            "output_dir": output,
            "device": "cpu",
            "num_workers": 0,
            "num_frames": 8,
            "min_frames": 4,
            "dim_feat": 8,
            "depth": 2,
            "num_heads": 2,
            "mlp_ratio": 2,
            "batch_size": 4,
            "effective_batch_size": 4,
            **of_stage[stage],
            **named,
        }
        words = [word for key, value in words.items() if value is not None for word in (f"--{key}", value)]
        return [str(word) for word in (*words, "--no-report", *more)]  # pages take longer than the tiny runs: see `finished`

    return line


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """An npz of which neither class nor sample names can be trusted; two test labels are wrong, so that no model is perfect."""
    arrays = invent()
    arrays["y_test"][[0, 4]] = arrays["y_test"][[1, 5]]
    arrays["class_names"] = np.array([EVIL, 'drink "water" & tea', "walk"])
    arrays["name_test"] = np.array([f"<img src=x onerror=alert(1)>{i}" for i in range(13)])
    arrays |= {"layout": "five", "parents": np.array([0, 0, 1, 2, 3])}
    path = tmp_path_factory.mktemp("data") / "hostile.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="session")
def finished(hostile, options, tmp_path_factory):
    """Folder with a finished run of every stage, and an evaluation."""
    top = tmp_path_factory.mktemp("runs")
    main_pretrain.main(options("pretrain", hostile, top / "pretrain", "--epochs", 3, "--report"))
    encoder = ("--finetune", top / "pretrain/checkpoint-2.pth")
    main_linprobe.main(options("linprobe", hostile, top / "linprobe", *encoder, "--epochs", 4, "--report"))
    main_finetune.main(options("finetune", hostile, top / "finetune", *encoder, "--epochs", 4, "--report"))
    features = ("--save_features", top / "retrieval/features.npz")
    main_retrieval.main(options("retrieval", hostile, top / "retrieval", *encoder, *features, "--report"))
    line = ["--data_path", hostile, "--device", "cpu", "--num_workers", 0, "--eval", top / "finetune/checkpoint-3.pth"]
    main_finetune.main([*map(str, line), "--output_dir", str(top / "eval")])
    return top

"""Files that mean harm: code, bombs, absurd sizes. Each is refused in one line that names it, before it costs anything.

More of them stand beside what reads them: tests/util/test_checkpoint.py, tests/feeder/test_npz.py, tests/data/test_pickles.py.
"""

import argparse
import io
import os
import pickle
import re
import resource
import zipfile

import numpy as np
import pytest
import torch

from data.prepare import custom_recordings
from feeder.npz import open_npz
from model.transformer import Transformer
from scripts import ensemble
from tests.runs import SIZE
from util import checkpoint, config, config_files, provenance

ROOM = 2 * 2**30  # bytes that a test may ask for on top of what the process has


class Evil:
    """Creates a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.fixture(autouse=True)
def little_room(tmp_path, monkeypatch):
    """Whoever allocates what a file claims gets a MemoryError, which is no ValueError."""
    monkeypatch.chdir(tmp_path)
    before, used = resource.getrlimit(resource.RLIMIT_AS), int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (used * resource.getpagesize() + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def assert_refused(read, path, message):
    with pytest.raises((ValueError, SystemExit)) as caught:
        read(path)
    text = str(caught.value).removeprefix("error: ")
    assert text.startswith(str(path)) and re.search(message, text) and len(text.splitlines()) == 1 and len(text) < 1000
    assert "allocate" in message or "allocate" not in text and not isinstance(caught.value.__cause__, MemoryError)


# ---- checkpoints -------------------------------------------------------------------------------------------------------


STATE = Transformer(**SIZE, num_classes=3, head_dim=8).state_dict()


def write(**content):
    return lambda path: torch.save({"model": STATE} | content, path)


def with_tensor(key, tensor):
    return write(model=STATE | {key: tensor}, config={"num_heads": 2})


def bomb(path):
    """A part of 64 MiB of zeros in 64 KB, which torch.load would allocate."""
    write()(path)
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            with archive.open(name, "w", force_zip64=True) as part:
                part.write(content)
                if name.endswith("/data/0"):
                    for _ in range(64):
                        part.write(bytes(2**20))


def old_format(path):
    """The format before zip: a storage that claims 4 TB."""
    torch.save({"model": {"norm.weight": torch.zeros(7)}}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    at = content.index(b"K\x07N", content.index(b"storage"))
    path.write_bytes(content[:at] + b"\x8a\x05" + (2**38).to_bytes(5, "little") + content[at + 2 :])


def three_quarters(path):
    write()(path)
    os.truncate(path, path.stat().st_size * 3 // 4)


def pickled(path):
    path.write_bytes(pickle.dumps({"model": {}, "args": Evil()}, protocol=2))


CHECKPOINTS = {
    "code in the optimizer": (write(optimizer={"state": [{0: Evil()}]}), "never executed"),
    "code in the settings": (write(args=argparse.Namespace(x=(Evil(),))), "never executed"),
    "code in the weights": (write(model={"norm.weight": Evil()}), "never executed"),
    "code in an old file": (pickled, "not a readable checkpoint"),
    "three quarters": (three_quarters, "damaged: it ends too early"),
    "bomb": (bomb, "its parts claim 67.* bytes, more than the file holds"),
    "old format": (old_format, "not a readable checkpoint .*can't allocate memory"),  # by torch
    "terabytes of width": (
        with_tensor("joints_embed.proj.weight", torch.zeros(1).expand(10**12, 3, 4, 1)),
        r"joints_embed.proj.weight says shape \(1000000000000, 3, 4, 1\), more than the file holds",
    ),
    "terabytes of frames": (with_tensor("temp_embed", torch.zeros(1).expand(1, 10**12, 1, 8)), "temp_embed says shape"),
    "no width": (with_tensor("joints_embed.proj.weight", torch.zeros(0, 3, 4, 1)), "not the weights of a skeleton transformer"),
    "no numbers": (with_tensor("temp_embed", torch.tensor(1.0)), "not the weights of a skeleton transformer"),
    "thin": (with_tensor("temp_embed", torch.zeros(1, 2, 1, 8).to_sparse()), "no state dict under 'model'"),
    "no tensor": (with_tensor("temp_embed", "a text"), "no state dict under 'model'"),
    "no name": (with_tensor(7, torch.zeros(1)), "no state dict under 'model'"),
    "settings that are a list": (write(config=[1, 2]), "config is not what a checkpoint has there"),
    "epoch that is a text": (write(epoch="many"), "epoch is not what a checkpoint has there"),
    "heads without end": (write(config={"num_heads": "9" * 3000}), "num_heads"),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_checkpoints(kind, tmp_path):
    make, message = CHECKPOINTS[kind]
    path = tmp_path / "a.pth"
    make(path)
    assert_refused(lambda path: config.parse("finetune", ["--finetune", str(path), "--data_path", "x.npz"]), path, message)
    assert os.listdir(tmp_path) == ["a.pth"]


def test_checkpoints_with_any_bytes_changed(tmp_path):
    """Pickles of which a few bytes are changed, with checksums that fit: a checkpoint, or one line."""
    path, rng, refused = tmp_path / "a.pth", np.random.default_rng(0), 0
    write(config={"num_heads": 2}, epoch=3)(path)
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    name = next(name for name in parts if name.endswith("data.pkl"))
    for _ in range(400):
        damaged = bytearray(parts[name])
        for at in rng.integers(0, len(damaged), 2):
            damaged[at] = rng.integers(256)
        with zipfile.ZipFile(path, "w") as archive:
            for other, content in parts.items():
                archive.writestr(other, bytes(damaged) if other == name else content)
        try:
            provenance.sizes(checkpoint.load(path), path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(str(path)) and len(str(error).splitlines()) == 1
    assert refused > 100


# ---- npz ---------------------------------------------------------------------------------------------------------------


def header(shape, dtype="<f4"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": dtype})
    return file.getvalue()


def npz_with(content, name="scores.npy", method=zipfile.ZIP_STORED, claim=None):
    def make(path):
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr(name, content)
        if claim:  # the size in the central directory
            written = bytearray(path.read_bytes())
            at = written.index(b"PK\1\2") + 24
            written[at : at + 4] = claim.to_bytes(4, "little")
            path.write_bytes(written)

    return make


NPZ = {
    "objects": (npz_with(header((1,), "|O") + pickle.dumps([Evil()])), "Python objects, which are never read"),
    "objects, compressed": (npz_with(header((1,), "|O") + b"x", method=zipfile.ZIP_DEFLATED), "Python objects"),
    "bomb": (npz_with(bytes(2**20), method=zipfile.ZIP_DEFLATED, claim=2**31), r"\d+ bytes that claim to be 2147483648"),
    "terabytes": (npz_with(header((10**12,)) + bytes(99)), r"it says shape \(1000000000000,\), more than the file holds"),
    "terabytes, compressed": (npz_with(header((10**12,)) + bytes(99), method=zipfile.ZIP_DEFLATED), "more than the member"),
    "terabytes of empty strings": (npz_with(header((10**12,), "<U0")), "more than the file holds"),
    "negative": (npz_with(header((-1, -1)) + bytes(99)), "is not a plain npy array"),
    "many axes": (npz_with(header((1,) * 99) + bytes(99)), "is not a plain npy array"),
    "no characters": (npz_with(header((1,), "<U1") + b"\xff" * 4), "what is no character"),
    "name of two lines": (npz_with(b"", name="a\nb.npy"), "its name is damaged"),
    "deep header": (npz_with(b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10000), "is not a plain npy array"),
}


@pytest.mark.parametrize(
    "read", [open_npz, lambda path: ensemble.main([str(path)]), custom_recordings.from_flat], ids=["data", "scores", "recordings"]
)
@pytest.mark.parametrize("kind", NPZ)
def test_npz(kind, read, tmp_path):
    make, message = NPZ[kind]
    make(tmp_path / "a.npz")
    assert_refused(read, tmp_path / "a.npz", message)
    assert os.listdir(tmp_path) == ["a.npz"]


def test_names_that_lead_out_of_the_folder_are_only_names(tmp_path):
    folder = tmp_path / "deep/down"
    folder.mkdir(parents=True)
    npz_with(header((2,)) + bytes(8), name="../../x.npy")(folder / "a.npz")
    assert list(open_npz(folder / "a.npz")) == ["../../x"]
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "down", "a.npz"]


# ---- YAML --------------------------------------------------------------------------------------------------------------

NAMES = list(zip("abcdefghi", "bcdefghij", strict=True))  # each nine times the one before
LAUGHS = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in NAMES)
MERGES = "a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}\n" for a, b in NAMES)
YAML = {
    "object": ("lr: !!python/object/apply:os.mkdir [owned]", "not readable as YAML"),
    "name": ("lr: !!python/name:os.system", "not readable as YAML"),
    "module": ("lr: !!python/module:antigravity", "not readable as YAML"),
    "laughs": (LAUGHS + "epochs: *j", r"aliases \(\*name\)"),
    "merges": (MERGES + "<<: *j", r"aliases \(\*name\)"),
    "itself": ("epochs: &a [*a]", r"aliases \(\*name\)"),
    "deep": ("epochs: " + "[" * 2000, "not readable as YAML"),
    "many digits": ("epochs: " + "9" * 5000, "not readable as YAML"),
    "no date": ("epochs: 2001-99-99", "not readable as YAML"),
    "not text": ("epochs: \x00", "not readable as YAML"),
    "infinite": ("epochs: 1e999", "is not a whole number"),
    "long list": (f"epochs: [{', '.join(['1'] * 9999)}]", "is not a single value"),
    "a published name": ("model: [os.system]", "model: .* is not known"),
}


@pytest.mark.parametrize("kind", YAML)
def test_yaml(kind, tmp_path):
    text, message = YAML[kind]
    (tmp_path / "a.yaml").write_text(text)
    assert_refused(lambda path: config_files.read_yaml(path, "pretrain"), tmp_path / "a.yaml", message)
    assert os.listdir(tmp_path) == ["a.yaml"]


@pytest.mark.parametrize("key", ["num_frames", "dim_feat", "depth", "batch_size", "epochs"])
def test_absurd_numbers(key, tmp_path):
    (tmp_path / "a.yaml").write_text(f"{key}: 1e15")
    with pytest.raises(ValueError, match=f"^{key} 1000000000000000: at most 2147483647$"):
        config.parse("pretrain", ["--config", str(tmp_path / "a.yaml"), "--data_path", "x.npz"])

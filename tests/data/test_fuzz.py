"""1,750 spoilt files: each is read soundly or refused in one line that names it; never anything else."""

import random
import warnings

import numpy as np
import pytest

from data.prepare import ntu, pku
from data.prepare.denoise import denoise
from data.prepare.skeleton_file import read_skeleton

WORDS = [b"", b" ", b"\n", b"\r", b"\t", b"\0", b"\x0b", b"\x1c", b"\xff\xfe", b"\xef\xbb\xbf", "\u0663".encode(), "²".encode()]
WORDS += b"x nan -inf 1e30 1e39 1e999 1e-400 -1 +1 0 1 2 24 25 1_0 0x1f 1,5 1.#QNAN 1,2,3,4".split() + [b"9" * 30, b"9" * 5000]


def mutate(content, rng):
    """A few random injuries: cut off, overwritten, removed, inserted, repeated bytes, words and lines."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        where, length = rng.randrange(len(content) or 1), rng.choice([1, 2, 30, 300])
        lines = bytes(content).split(b"\n")
        line = min(rng.choice([0, 1, 2, 3, rng.randrange(len(lines))]), len(lines) - 1)
        match rng.randrange(8):
            case 0:
                del content[where:]
            case 1:
                content[where : where + 1] = rng.randbytes(1)
            case 2:
                del content[where : where + length]
            case 3:
                content[where:where] = rng.choice(WORDS)
            case 4:
                content[where:where] = content[:where][-length:]
            case 5 | 6:
                words = lines[line].split(b" ")
                words[rng.randrange(len(words))] = rng.choice(WORDS)
                lines[line] = b" ".join(words)
                content = bytearray(b"\n".join(lines))
            case 7:
                count = rng.choice([1, 2, 27, 28])
                lines[line : line + count] = rng.choice([[], lines[line : line + count] * 2])
                content = bytearray(b"\n".join(lines))
    return bytes(content)


def refused(error, path):
    text = str(error)
    return text.startswith(str(path)) and "\n" not in text and len(text) < len(str(path)) + 150


@pytest.fixture
def recording(skeleton_text, walk):
    """Two people and a ghost in 14 frames, and a frame without anybody."""
    a, b, c = walk(14), walk(14), walk(3)
    frames = [[(2**56 + 1, a[t]), (2**56 + 2, b[t]), *([(7, c[t])] if t < 3 else [])] for t in range(14)]
    return skeleton_text([*frames, []]).encode()


def test_skeleton_files(recording, tmp_path):
    rng, path, sound = random.Random(0), tmp_path / "S001C001P001R001A001.skeleton", 0
    for _ in range(1000):
        path.write_bytes(mutate(recording, rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                frames, bodies = read_skeleton(path)
                actors = ntu.translate(denoise(frames, bodies)) if frames else np.zeros((0, 1, 25, 3), np.float32)
        except ValueError as error:
            assert refused(error, path) or str(error) in (
                "no body is seen for more than 11 frames",
                "a body id stands twice in one frame",
            ), error
        else:
            sound += 1
            assert actors.dtype == np.float32 and np.isfinite(actors).all() and len(actors) <= frames
            assert actors.shape[1] in (1, 2) and actors.shape[2:] == (25, 3)
    assert 100 < sound < 500


def test_pku_videos_labels_and_splits(tmp_path):
    video = "".join(" ".join(f"{x:.3f}" for x in row) + "\n" for row in np.random.default_rng(0).normal(size=(5, 150))).encode()
    labels, split = b"42,0,3,1\n20,2,5,2\n17,2,30,1\n", b"Training videos:\n0001-L, 0003-R\nValidation videos:\n0002-M\n"
    (tmp_path / "label").mkdir()
    paths = tmp_path / "0001-L.txt", tmp_path / "label/0001-L.txt", tmp_path / "split.txt"
    rng, sound, contents = random.Random(0), 0, (video, labels, split)
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    for i in range(750):
        paths[i % 3].write_bytes(mutate(contents[i % 3], rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                instances, reasons, remarks = pku.read_instances(*paths[:2])
                names = pku.training_names(paths[2])
        except ValueError as error:
            assert refused(error, paths[i % 3]), error
        else:
            sound += 1
            assert all(refused(reason, paths[1]) for reason in reasons + remarks) and all(name.strip() for name in names)
            for label, start, frames in instances:
                assert 0 <= label < 51 and start >= 0 and frames.shape[1:] == (150,) and 0 < len(frames) <= 300
                assert frames.dtype == np.float32 and np.isfinite(frames).all() and frames.any()
        paths[i % 3].write_bytes(contents[i % 3])
    assert 250 < sound < 700

"""A raw recording gets what --eval gives for the same one in prepared arrays."""

import zipfile

import numpy as np
import pytest
import torch

from data.prepare import pku, ucla, umurl
from data.prepare.ntu_release import NTU60, NTU120
from feeder.class_names import PKU, UCLA
from predict import load_model
from tests.predict.helpers import MAMP, TINY, evaluated, probabilities, softmax, trained_on
from util import checkpoint

CASES = {
    "per_joint": ("linprobe", NTU60, (*MAMP, "--readout", "per_joint", "--test_p_interval", "0.7")),
    "statistics": ("linprobe", NTU60, (*MAMP, "--readout", "statistics")),
    "finetune": ("finetune", NTU60, (*MAMP, "--head_dim", "16")),
    "bone": ("linprobe", NTU60, (*MAMP, "--input_stream", "bone")),
    "motion": ("finetune", NTU60, (*MAMP, "--input_stream", "motion", "--head_dim", "16")),
    "ntu120": ("linprobe", NTU120, MAMP),
    "umurl": ("linprobe", NTU60, (*TINY, "--method", "umurl")),
    "umurl_arrays": ("linprobe", None, (*TINY, "--method", "umurl", "--features", "bone")),
    "mamp_on_umurl_arrays": ("finetune", None, (*MAMP, "--head_dim", "16")),
}


@pytest.mark.parametrize("case", CASES)
def test_raw_recordings_get_the_logits_of_eval(case, raw, prepare, predict, tmp_path):
    stage, release, words = CASES[case]
    npz = umurl.generate([raw], tmp_path, workers=1)[0] if release is None else prepare([raw], tmp_path, release)
    path = trained_on(npz, tmp_path / "checkpoint-4.pth", stage, *words)
    scores = evaluated(stage, path, npz, tmp_path / "eval")
    files, expected = [raw / f"{name}.skeleton" for name in scores], softmax(list(scores.values()))
    assert len(files) >= 2 and np.ptp(expected, axis=0).max() > 1e-3  # another recording's would be noticed
    npz.unlink()  # the checkpoint alone is enough
    np.testing.assert_allclose(probabilities(predict(path, *files)[0]), expected, atol=2e-6)


@pytest.mark.parametrize("release", [NTU60, NTU120], ids=["ntu60", "ntu120"])
def test_awkward_recordings_get_the_logits_of_eval(release, shared, prepare, predict, tmp_path):
    with zipfile.ZipFile(shared(f"parity/{release.prefix.lower()}/raw.zip")) as archive:
        archive.extractall(tmp_path / "raw")
    npz = prepare(sorted((tmp_path / "raw").iterdir()), tmp_path, release)
    path = trained_on(npz, tmp_path / "checkpoint-4.pth", "linprobe", *MAMP)
    scores = evaluated("linprobe", path, npz, tmp_path / "eval")
    files = [next((tmp_path / "raw").rglob(f"{name}.skeleton")) for name in scores]
    np.testing.assert_allclose(probabilities(predict(path, *files)[0]), softmax(list(scores.values())), atol=2e-6)


def without_bodies(text, begin, end):
    """A `.skeleton` file whose frames begin to end - 1 have no body."""
    lines = text.split("\n")
    out, at = [lines[0]], 1
    for frame in range(int(lines[0])):
        start, at = at, at + 1
        for _ in range(int(lines[start])):
            at += 2 + int(lines[at + 1])  # the body's line, its number of joints, and these
        out += ["0"] if begin <= frame < end else lines[start:at]
    return "\n".join([*out, ""])


@pytest.mark.parametrize("release", [NTU60, None], ids=["ntu60", "umurl"])
def test_a_gap_without_bodies_gets_the_logits_of_eval(release, raw, prepare, predict, tmp_path):
    """UmURL's arrays keep the gap, the others close it."""
    (tmp_path / "raw").mkdir()
    for file in raw.glob("*.skeleton"):
        (tmp_path / "raw" / file.name).write_text(without_bodies(file.read_text(), 10, 16))
    raws = [tmp_path / "raw"]
    npz = umurl.generate(raws, tmp_path, workers=1)[0] if release is None else prepare(raws, tmp_path, release)
    words = (*TINY, "--method", "umurl") if release is None else MAMP
    path = trained_on(npz, tmp_path / "checkpoint-4.pth", "linprobe", *words)
    scores = evaluated("linprobe", path, npz, tmp_path / "eval")
    files = [tmp_path / f"raw/{name}.skeleton" for name in scores]
    found = probabilities(predict(path, *files, npz)[0])
    np.testing.assert_allclose(found, softmax([*scores.values()] * 2), atol=2e-6)


def test_batches_of_any_size_and_prepared_arrays(mamp, raw, ntu60, predict, tmp_path):
    scores = evaluated("linprobe", mamp, ntu60, tmp_path / "eval")
    files = [raw / f"{name}.skeleton" for name in scores]
    for size in (1, 2, 50):
        result, code, _ = predict(mamp, *files, ntu60, "--batch_size", size)
        assert code == 0 and len(result["recordings"]) == 2 * len(files)
        np.testing.assert_allclose(probabilities(result), softmax([*scores.values()] * 2), atol=2e-6)
    assert result["recordings"][0]["name"] == str(files[0])
    assert result["recordings"][-1]["name"] == f"{ntu60}: {[*scores][-1]}"


def test_a_real_video_of_pku_mmd(shared, predict, tmp_path):
    """Cut out by its labels, an action gets what the array of this action gets."""
    with zipfile.ZipFile(shared("parity/pku_v1/raw.zip")) as archive:
        archive.extractall(tmp_path / "raw")
    npz = pku.generate(tmp_path / "raw", tmp_path, pku.PKU1, workers=1)[0]
    path = trained_on(npz, tmp_path / "checkpoint-4.pth", "linprobe", *MAMP)
    scores, files = evaluated("linprobe", path, npz, tmp_path / "eval"), {}
    for name in scores:
        video, start, end = name.rsplit("_", 2)
        lines = (tmp_path / f"raw/skeleton/{video}.txt").read_text().splitlines()[int(start) : int(end)]
        if all(any(map(float, line.split())) for line in lines):
            files[name] = tmp_path / f"{name}.txt"
            files[name].write_text("\n".join(lines))
    assert len(files) >= len(scores) // 2
    result, _, _ = predict(path, *files.values())
    np.testing.assert_allclose(probabilities(result), softmax([scores[name] for name in files]), atol=2e-6)
    for recording, name in zip(result["recordings"], files, strict=True):
        assert recording["predictions"][0]["class_name"] == PKU.class_names()[scores[name].argmax()]


def test_raw_files_of_nw_ucla(shared, predict, tmp_path):
    with zipfile.ZipFile(shared("realdata/nw_ucla_all_sqe.zip")) as archive:
        some = [name for name in archive.namelist() if "a01_s0" in name and name.endswith(".json")][:8]
        some += [name for name in archive.namelist() if "a12_s01" in name and "v03" in name]
        for name in some:
            (tmp_path / name.rsplit("/", 1)[1]).write_bytes(archive.read(name))
    npz = ucla.generate(tmp_path, tmp_path, align=True)
    path = trained_on(npz, tmp_path / "checkpoint-4.pth", "linprobe", *MAMP)
    scores = evaluated("linprobe", path, npz, tmp_path / "eval")
    result, _, _ = predict(path, *(tmp_path / f"{name}.json" for name in scores))
    np.testing.assert_allclose(probabilities(result), softmax(list(scores.values())), atol=2e-6)
    assert {row["class_name"] for row in result["recordings"][0]["predictions"]} == set(UCLA.class_names())


@pytest.mark.parametrize("name", ["linprobe", "finetune"])
def test_released_classifiers(name, shared, predict, person, tmp_path):
    path = shared(f"parity/released_{name}_tiny25.pth")
    np.save(tmp_path / "a.npy", person)
    result, code, _ = predict(path, tmp_path / "a.npy", "--unit", "m")
    assert code == 0 and result["epoch"] == 400 and probabilities(result).shape == (1, 11)
    content = checkpoint.load(path)
    options = load_model.classifier_options(content, path)
    data = load_model.training_data(content, path, vars(options))
    rows = np.concatenate([person.reshape(40, 75), np.zeros((40, 75), np.float32)], axis=1)
    with torch.no_grad():
        logits = load_model.classifier(content, path, options, data)(load_model.make_batch([rows], options, data, "cpu"))
    np.testing.assert_allclose(probabilities(result), softmax(logits.numpy()), atol=2e-6)

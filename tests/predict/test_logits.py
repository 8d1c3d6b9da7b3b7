"""A raw recording gets what --eval gives for the same one in prepared arrays."""

import zipfile

import numpy as np
import pytest

from data.prepare import known, pku, ucla, umurl
from data.prepare.ntu_release import NTU60, NTU120
from feeder.feeder_ntu import Feeder
from tests.predict.helpers import MAMP, TINY, evaluated, predicted, shares, softmax, trained_on

CASES = {
    "linprobe": ("linprobe", NTU60, MAMP),
    "per_joint": ("linprobe", NTU60, (*MAMP, "--readout", "per_joint", "--test_p_interval", "0.7")),
    "finetune": ("finetune", NTU60, (*MAMP, "--head_dim", "16")),
    "bone": ("linprobe", NTU60, (*MAMP, "--input_stream", "bone")),
    "motion": ("finetune", NTU60, (*MAMP, "--input_stream", "motion", "--head_dim", "16")),
    "ntu120": ("linprobe", NTU120, MAMP),
    "umurl": ("linprobe", NTU60, (*TINY, "--method", "umurl")),
    "umurl_arrays": ("linprobe", None, (*TINY, "--method", "umurl", "--features", "bone")),
    "mamp_on_umurl_arrays": ("finetune", None, (*MAMP, "--head_dim", "16")),
}


@pytest.mark.parametrize("case", CASES)
def test_raw_recordings_get_the_logits_of_eval(case, raw, prepare, tmp_path):
    stage, release, words = CASES[case]
    npz = umurl.generate([raw], tmp_path, workers=1)[0] if release is None else prepare([raw], tmp_path, release)
    path = trained_on(npz, tmp_path / "checkpoint-4.pth", stage, *words)
    scores = evaluated(stage, path, npz, tmp_path / "eval")
    files, logits = [raw / f"{name}.skeleton" for name in scores], np.array(list(scores.values()))
    assert len(files) >= 2 and np.ptp(logits, axis=0).max() > 1e-2  # another recording's would be noticed
    for _ in ("beside the arrays", "by the checkpoint alone"):
        np.testing.assert_allclose(predicted(path, files), logits, atol=1e-5 * np.abs(logits).max())
        npz.unlink(missing_ok=True)


@pytest.mark.parametrize("release", [NTU60, NTU120], ids=["ntu60", "ntu120"])
def test_awkward_recordings_get_the_logits_of_eval(release, shared, prepare, tmp_path):
    with zipfile.ZipFile(shared(f"parity/{release.prefix.lower()}/raw.zip")) as archive:
        archive.extractall(tmp_path / "raw")
    folders = sorted((tmp_path / "raw").iterdir())
    npz = prepare(folders, tmp_path, release)
    path = trained_on(npz, tmp_path / "checkpoint-4.pth", "linprobe", *MAMP)
    scores = evaluated("linprobe", path, npz, tmp_path / "eval")
    files, logits = [next((tmp_path / "raw").rglob(f"{name}.skeleton")) for name in scores], np.array(list(scores.values()))
    np.testing.assert_allclose(predicted(path, files), logits, atol=1e-5 * np.abs(logits).max())


def test_the_command_gives_the_probabilities_of_eval_in_batches_of_any_size(mamp, raw, ntu60, predict, tmp_path):
    scores = evaluated("linprobe", mamp, ntu60, tmp_path / "eval")
    files = [raw / f"{name}.skeleton" for name in scores]
    for size in (1, 2, 50):
        result, code, _ = predict(mamp, *files, ntu60, "--batch_size", size)
        assert code == 0 and len(result["recordings"]) == 2 * len(files)
        for recording, logits in zip(result["recordings"], [*scores.values()] * 2, strict=True):
            np.testing.assert_allclose(shares(recording), softmax(logits), atol=2e-6)
    assert result["recordings"][0]["name"] == str(files[0])
    assert result["recordings"][-1]["name"] == f"{ntu60}: {[*scores][-1]}"


def test_a_real_video_of_pku_mmd(shared, predict, tmp_path):
    """Cut out by its labels, an action gets what the array of this action gets."""
    with zipfile.ZipFile(shared("parity/pku_v1/raw.zip")) as archive:
        archive.extractall(tmp_path / "raw")
    pku_npz = pku.generate(tmp_path / "raw", tmp_path, pku.PKU1, workers=1)[0]
    path = trained_on(pku_npz, tmp_path / "checkpoint-4.pth", "linprobe", *MAMP)
    data, checked = Feeder(pku_npz, "test"), 0
    scores = evaluated("linprobe", path, pku_npz, tmp_path / "eval")
    for name, logits in scores.items():
        video, start, end = name.rsplit("_", 2)
        lines = (tmp_path / f"raw/skeleton/{video}.txt").read_text().splitlines()[int(start) : int(end)]
        if all(any(map(float, line.split())) for line in lines):
            (tmp_path / "cut.txt").write_text("\n".join(lines))
            result, code, _ = predict(path, tmp_path / "cut.txt")
            np.testing.assert_allclose(shares(result["recordings"][0]), softmax(logits), atol=2e-6)
            best = result["recordings"][0]["predictions"][0]["class_name"]
            assert best == known.read_names(known.NAMES / "pku.txt")[logits.argmax()]
            checked += 1
    assert checked >= len(data) // 2


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
    for recording, logits in zip(result["recordings"], scores.values(), strict=True):
        np.testing.assert_allclose(shares(recording), softmax(logits), atol=2e-6)
    assert {row["class_name"] for row in recording["predictions"]} == set(known.read_names(known.NAMES / "ucla.txt"))


@pytest.mark.parametrize("name", ["linprobe", "finetune"])
def test_released_classifiers(name, shared, raw, predict):
    path = shared(f"parity/released_{name}_tiny25.pth")
    result, code, _ = predict(path, raw / "S001C001P002R001A008.skeleton")
    ours = shares(result["recordings"][0])
    assert code == 0 and len(ours) == 11 and ours.sum() == pytest.approx(1, abs=1e-4) and result["epoch"] == 400
    logits = predicted(path, [raw / "S001C001P002R001A008.skeleton"])[0]
    np.testing.assert_allclose(ours, softmax(logits), atol=2e-6)

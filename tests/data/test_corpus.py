"""The open corpus out of genuine sets, and out of small ones made here: what is in it, what is not, and how it is told."""

import json
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data.corpus import corpus_gendata as corpus
from data.prepare import bvh
from feeder.feeder_ntu import Feeder
from feeder.skeleton import joint_names
from tests.data.bvh_text import person, text

SCRIPT = Path(corpus.__file__)
NAMES = joint_names("kinect_v1")
SETS = {
    "ucla": ["nw_ucla_all_sqe.zip"],
    "bandai": ["bandai_bvh.zip"],
    "irds": ["irds_kinect25_subset.npz"],
    "ui_prmd": ["ui_prmd_kinect22_correct.npz", "ui_prmd_kinect22_incorrect.npz"],
}

BONES = (
    ("hip left", "knee left", 0.3, 0.55),
    ("knee right", "ankle right", 0.25, 0.45),
    ("shoulder left", "elbow left", 0.2, 0.3),
    ("elbow right", "wrist right", 0.2, 0.3),
    ("wrist left", "hand left", 0.04, 0.1),
    ("neck", "head", 0.1, 0.2),
    ("spine base", "neck", 0.35, 0.65),
    ("shoulder left", "shoulder right", 0.15, 0.4),
    ("ankle left", "foot left", 0.05, 0.15),
)  # metres, of grown-ups as these cameras and suits see them


@pytest.fixture(scope="module")
def whole(shared, tmp_path_factory):
    """(arrays, paths of the sets) of the corpus, pieces of at most 100 frames; of Bandai-Namco a few files."""
    paths = {key: [shared(f"realdata/{file}") for file in SETS[key]] for key in SETS}
    folder = tmp_path_factory.mktemp("corpus")
    with zipfile.ZipFile(paths["bandai"][0]) as archive, zipfile.ZipFile(folder / "bandai.zip", "w") as part:
        for name in [name for i, name in enumerate(archive.namelist()) if "dataset-1" in name and i % 2 or i % 40 == 0]:
            part.writestr(name, archive.read(name))
    paths["bandai"] = [folder / "bandai.zip"]
    with np.load(corpus.generate(folder, paths, window=100)) as npz:
        return dict(npz), paths


def sources_of(names):
    """{set: {name of its sequence}}, without the bounds of pieces."""
    found = {key: set() for key in SETS}
    for name in names.tolist():
        key, own = name.split("/")
        found[key].add(own)
    return found


def test_counts_and_form(whole):
    arrays, _ = whole
    assert len(set(arrays["name_train"].tolist())) == len(arrays["x_train"])
    assert "y_train" not in arrays and "x_test" not in arrays
    assert arrays["x_train"].shape[1:] == (100, 60) and str(arrays["layout"]) == "kinect_v1" and arrays["num_bodies"] == 1
    assert dict(Counter(name.split("/")[0] for name in arrays["name_train"].tolist())) == dict(
        zip(("ucla", "bandai", "irds", "ui_prmd"), arrays["counts"].tolist(), strict=True)
    )
    assert len(arrays["sources"]) == len(arrays["licences"]) == 4 and "CC BY-NC 4.0" in arrays["licences"].tolist()
    assert np.isfinite(arrays["x_train"]).all() and not arrays["x_train"][:, 0, 3:6].any()  # spine mid of the first frame


def test_no_test_sequence_by_name(whole, shared):
    """What is tested on is told by names and fields alone, here once more."""
    arrays, paths = whole
    found = sources_of(arrays["name_train"])
    with zipfile.ZipFile(paths["ucla"][0]) as archive:
        ucla = {Path(name).stem for name in archive.namelist() if name.endswith(".json") and "MACOSX" not in name}
    # of the actions a02 and a03, view 2 is view 3, number by number, wherever there is one
    same = {name for name in ucla if name[:3] in ("a02", "a03") and name.endswith("v02") and f"{name[:-1]}3" in ucla}
    expected = {name for name in ucla if not name.endswith("v03")} - same
    assert {"_".join(name.split("_")[:4]) for name in found["ucla"]} == expected and len(expected) == 1020 - 95
    styles = {name.split("_")[2] for name in found["bandai"]}
    assert len(styles) == 13 and not styles & {"childish", "youthful", "old", "elderly", "tired", "exhausted"}
    assert {group for group in arrays["group_train"].tolist() if group.startswith(("ui", "irds"))} == {
        "ui_prmd/1",
        "ui_prmd/3",
        "ui_prmd/5",
        "ui_prmd/7",
        "ui_prmd/9",
        "irds/215",
        "irds/216",
    }


def test_no_test_sequence_by_content(whole):
    """Distances within the body tell a recording, however it is moved: no frame of a test sequence is in the corpus."""
    arrays, paths = whole
    pairs = np.array([[4, 6], [8, 10], [5, 9], [14, 18], [6, 18], [10, 14]])  # joints that every set has itself

    def marks(joints):
        return {row.tobytes() for row in np.round(np.linalg.norm(joints[:, pairs[:, 0]] - joints[:, pairs[:, 1]], axis=-1), 3)}

    inside = {key: set() for key in SETS}
    for name, x, frames in zip(arrays["name_train"].tolist(), arrays["x_train"], arrays["valid_frames_train"], strict=True):
        inside[name.split("/")[0]] |= marks(x[:frames].reshape(-1, 20, 3).astype(np.float64))

    def share(key, joints):
        own = marks(joints)
        return len(own & inside[key]) / len(own)

    with zipfile.ZipFile(paths["ucla"][0]) as archive:
        ucla = sorted(name for name in archive.namelist() if name.endswith(".json") and "MACOSX" not in name)[::7]
        shares = {name: share("ucla", np.array(json.loads(archive.read(name))["skeletons"])) for name in ucla}
    trained = {"_".join(name.split("/")[1].split("_")[:4]) for name in arrays["name_train"] if name.startswith("ucla/")}
    assert all((value > 0.5) == (Path(name).stem in trained) for name, value in shares.items()), shares
    assert not any(value > 0.5 for name, value in shares.items() if name.endswith("v03.json"))
    parts = {"irds": list(range(20)), "ui_prmd": [0, 1, 4, 5, 7, 8, 9, 9, 11, 12, 13, 13, 14, 15, 16, 17, 18, 19, 20, 21]}
    tested = {"irds": {217}, "ui_prmd": {2, 4, 6, 8, 10}}
    for key, joints in parts.items():
        for path in paths[key]:
            with np.load(path) as npz:
                x, offset, subject = npz["joints_tenth_mm"], npz["offset"], npz["subject"]
            for i in range(0, len(subject), 9):
                value = share(key, x[offset[i] : offset[i + 1], joints] / 1e4)
                assert (value > 0.5) == (subject[i] not in tested[key]), (path, i, value)
    root = zipfile.Path(paths["bandai"][0])
    for name in [name for name in root.root.namelist() if name.endswith(".bvh")][::4]:
        value = share("bandai", bvh.load(root / name, NAMES) / 100)
        assert (value > 0.5) == (name.split("_")[2] not in corpus.BANDAI_TEST), (name, value)


def test_everybody_stands_in_metres(whole):
    """Legs, arms and trunk of the four sets are of one size, heads are above and left is left in all."""
    arrays, _ = whole
    for key in SETS:
        rows = [i for i, name in enumerate(arrays["name_train"].tolist()) if name.startswith(f"{key}/")][::10]
        x = np.concatenate([arrays["x_train"][i, : arrays["valid_frames_train"][i]].reshape(-1, 20, 3) for i in rows])
        at = {name: x[:, i] for i, name in enumerate(NAMES)}
        for one, other, low, high in BONES:
            assert low < np.median(np.linalg.norm(at[one] - at[other], axis=-1)) < high, (key, one, other)
        assert np.median(at["head"] - at["spine base"], axis=0)[1] > 0.4
        assert np.median(at["foot left"] - at["hip left"], axis=0)[1] < -0.5
        up, left = at["neck"] - at["spine base"], at["hip left"] - at["hip right"]
        front = np.cross(left, up)  # x to the left, y up: z to the front
        if key != "ucla":  # its feet point where the noise of an old Kinect takes them
            toes = at["foot left"] - at["ankle left"] + at["foot right"] - at["ankle right"]
            assert np.mean(np.einsum("tc,tc->t", front, toes) > 0) > 0.9, key
        elbows = np.einsum("tc,tc->t", at["elbow left"] - at["elbow right"], left)
        assert np.mean(elbows > 0) > 0.85, key


@pytest.fixture
def small(tmp_path):
    """{set: paths} of sets made here: three, with a test part each."""
    folder = tmp_path / "bandai"
    folder.mkdir()
    for i, style in enumerate(("normal", "old", "sad")):
        (folder / f"dataset-1_walk_{style}_001.bvh").write_text(text(*person(30 + i, seed=i)))
    rng = np.random.default_rng(0)
    limbs = (("Shoulder", "Elbow", "Wrist", "Hand"), ("Hip", "Knee", "Ankle", "Foot"))
    names = ["SpineBase", "SpineMid", "Neck", "Head"]
    names += [part + side for limb in limbs for side in ("Left", "Right") for part in limb]
    names += ["SpineShoulder", "HandTipLeft", "ThumbLeft", "HandTipRight", "ThumbRight"]
    np.savez(
        tmp_path / "irds.npz",
        joints_tenth_mm=rng.integers(-5000, 5000, (25, 25, 3)),
        offset=[0, 5, 12, 25],
        subject=[215, 217, 216],
        joint_names=names,
        parents=np.zeros(25, int),
    )
    (tmp_path / "ucla").mkdir()
    for view in (1, 2, 3):
        record = {"skeletons": rng.normal(size=(4 + view, 20, 3)).tolist(), "label": 1}
        (tmp_path / f"ucla/a01_s0{view}_e00_v0{view}.json").write_text(json.dumps(record))
    return {"ucla": [tmp_path / "ucla"], "bandai": [folder], "irds": [tmp_path / "irds.npz"]}


def test_of_what_is_at_hand(small, tmp_path):
    walks = ["bandai/dataset-1_walk_normal_001", "bandai/dataset-1_walk_sad_001"]
    for chosen, names in (
        (["ucla"], ["ucla/a01_s01_e00_v01", "ucla/a01_s02_e00_v02"]),
        (["bandai", "irds"], [*walks, "irds/irds_0", "irds/irds_2"]),
    ):
        path = corpus.generate(tmp_path / "out", {key: small[key] for key in chosen})
        with np.load(path) as npz:
            assert npz["name_train"].tolist() == names and npz["counts"].tolist() == [2] * len(chosen)
            assert len(npz["sources"]) == len(chosen)
        about = path.with_suffix(".txt").read_text().splitlines()
        assert [line.split(":")[0] for line in about] == chosen
        assert all("licence: " in line and "without " in line for line in about)
        assert len(Feeder(path, "train", labelled=False)) == len(names)


def test_windows_and_axes(small, tmp_path):
    path = corpus.generate(tmp_path / "out", small, window=10, body_frame=True, min_max=True)
    assert path.name == "corpus_body_minmax.npz"
    with np.load(path) as npz:
        names, x, valid = npz["name_train"].tolist(), npz["x_train"], npz["valid_frames_train"]
        assert npz["body_frame"].tolist() == [0, 2, 4, 8] and npz["min_max"] == 1 and 0.5 < npz["body_size"] < 3
    assert [name for name in names if "normal" in name] == [f"bandai/dataset-1_walk_normal_001_{a}_{a + 10}" for a in (0, 10, 20)]
    assert [name for name in names if "irds" in name] == ["irds/irds_0", "irds/irds_2_0_6", "irds/irds_2_6_13"]
    for row, frames in zip(x, valid, strict=True):
        body = row[:frames].reshape(-1, 20, 3)
        np.testing.assert_allclose(body.max(axis=(0, 1)), 1, atol=1e-6)
        np.testing.assert_allclose(body.min(axis=(0, 1)), -1, atol=1e-6)


def test_command_line_and_mistakes(small, tmp_path):
    def run(*words):
        words = [sys.executable, SCRIPT, *map(str, words), "--out", tmp_path / "out"]
        return subprocess.run(words, capture_output=True, text=True)

    (small["bandai"][0] / "dataset-1_walk_sad_002.bvh").write_text("HIERARCHY")
    (small["bandai"][0] / "walk.bvh").write_text("HIERARCHY")
    done = run("--ucla", *small["ucla"], "--bandai", *small["bandai"], "--name", "mine", "--quiet")
    assert done.stdout.startswith(f"{tmp_path / 'out/mine.npz'}: 4 sequences, up to 32 frames"), done.stderr
    assert len((tmp_path / "out/raw_data/skipped.txt").read_text().splitlines()) == 2
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "bare.npz", joints_tenth_mm=np.ones((4, 20, 3), int), offset=[0, 4])
    for words, wrong in (
        ((), "nothing to build it of; give at least one of --ucla, --bandai, --ui_prmd, --irds"),
        (("--ucla", tmp_path / "none"), "none: no such folder or zip file"),
        (("--bandai", tmp_path / "empty"), "empty: holds no .bvh file"),
        (("--irds", tmp_path / "none.npz"), "none.npz: no such file"),
        (("--irds", tmp_path / "bare.npz"), "bare.npz: needs the arrays subject and joint_names"),
        (("--ucla", *small["ucla"], "--window", "-2"), "--window -2: frames, or 0"),
        (("--bandai", *small["bandai"], "--strict"), "walk.bvh: not a name of the form"),
    ):
        done = run(*words)
        assert done.returncode == 2 and wrong in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr, done.stderr

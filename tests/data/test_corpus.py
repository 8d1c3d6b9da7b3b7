"""The open corpus out of genuine sets, and out of small ones made here: what is in it, what is not, and how it is told."""

import json
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from data.corpus import corpus_gendata as corpus
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

BONES = (  # metres, of grown-ups as these cameras and suits see them
    ("hip left", "knee left", 0.3, 0.55),
    ("elbow right", "wrist right", 0.2, 0.3),
    ("wrist left", "hand left", 0.04, 0.1),
    ("neck", "head", 0.1, 0.2),
    ("spine base", "neck", 0.35, 0.65),
    ("shoulder left", "shoulder right", 0.15, 0.4),
)


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


def test_counts_and_form(whole):
    arrays, _ = whole
    assert len(set(arrays["name_train"].tolist())) == len(arrays["x_train"])
    assert "y_train" not in arrays and "x_test" not in arrays
    assert arrays["x_train"].shape[1:] == (100, 60) and str(arrays["layout"]) == "kinect_v1" and arrays["num_bodies"] == 1
    of_set = Counter(name.split("/")[0] for name in arrays["name_train"].tolist())
    assert [of_set[key] for key in SETS] == arrays["counts"].tolist() and sum(of_set.values()) == len(arrays["x_train"])
    assert len(arrays["sources"]) == len(arrays["licences"]) == 4 and "CC BY-NC 4.0" in arrays["licences"].tolist()
    assert np.isfinite(arrays["x_train"]).all() and not arrays["x_train"][:, 0, 3:6].any()  # spine mid of the first frame


def test_no_test_sequence_by_name(whole, shared):
    """What is tested on is told by names and fields alone, here once more."""
    arrays, paths = whole
    found = {
        key: [own for name in arrays["name_train"].tolist() if (own := name.removeprefix(f"{key}/")) != name] for key in SETS
    }
    with zipfile.ZipFile(paths["ucla"][0]) as archive:
        ucla = {Path(name).stem for name in archive.namelist() if name.endswith(".json") and "MACOSX" not in name}
    # of the actions a02 and a03, view 3 is a copy of view 2
    same = {name for name in ucla if name[:3] in ("a02", "a03") and name.endswith("v02") and f"{name[:-1]}3" in ucla}
    expected = {name for name in ucla if not name.endswith("v03")} - same
    assert {"_".join(name.split("_")[:4]) for name in found["ucla"]} == expected and len(expected) == 1020 - 95
    styles = {name.split("_")[2] for name in found["bandai"]}
    assert len(styles) == 13 and not styles & {"childish", "youthful", "old", "elderly", "tired", "exhausted"}
    groups = {group for group in arrays["group_train"].tolist() if group.startswith(("ui", "irds"))}
    assert groups == {*(f"ui_prmd/{i}" for i in (1, 3, 5, 7, 9)), "irds/215", "irds/216"}


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


def test_command_line_and_mistakes(small, tmp_path, command):
    (small["bandai"][0] / "dataset-1_walk_sad_002.bvh").write_text("HIERARCHY")
    (small["bandai"][0] / "walk.bvh").write_text("HIERARCHY")
    line = [SCRIPT, "--out", tmp_path / "out"]
    done = command([*line, "--ucla", *small["ucla"], "--bandai", *small["bandai"], "--name", "mine", "--quiet"])
    assert done.stdout.startswith(f"{tmp_path / 'out/mine.npz'}: 4 sequences, up to 32 frames"), done.stderr
    assert len((tmp_path / "out/raw_data/mine_skipped.txt").read_text().splitlines()) == 2
    np.savez(tmp_path / "bare.npz", joints_tenth_mm=np.ones((4, 20, 3), int), offset=[0, 4])
    for words, wrong in (
        ((), "no source; give at least one of --ucla, --bandai, --ui_prmd, --irds"),
        (("--ucla", tmp_path / "none"), "none: no such folder or zip file"),
        (("--irds", tmp_path / "bare.npz"), "bare.npz: needs the arrays subject and joint_names"),
        (("--ucla", *small["ucla"], "--window", "-2"), "argument --window: '-2' is not a whole number, or 0"),
        (("--bandai", *small["bandai"], "--strict"), "walk.bvh: not a name of the form"),
    ):
        done = command([*line, *words])
        assert done.returncode == 2 and wrong in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr, done.stderr

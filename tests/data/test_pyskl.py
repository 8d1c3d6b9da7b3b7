"""PYSKL's pickles against plain arithmetic on the same arrays."""

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from data.prepare import ntu, pyskl
from feeder.feeder_ntu import Feeder
from tests.data.helpers import load, skipped

SCRIPT = Path(__file__).resolve().parents[2] / "data" / "pyskl" / "pyskl_gendata.py"
NAMES = [f"S001C00{c}P00{p}R001A0{a:02}" for c in (1, 2) for p in (1, 2, 3) for a in (1, 7)]


def annotation(name, label=None, persons=1, frames=5, joints=25, dims=3, kind=np.float16, seed=0):
    rng = np.random.default_rng([seed, *name.encode()])
    keypoint = rng.normal(size=(persons, frames, joints, dims)).astype(kind)
    label = int(name[-3:]) - 1 if label is None else label
    return {"frame_dir": name, "label": label, "total_frames": frames, "keypoint": keypoint}


@pytest.fixture
def content():
    """12 annotations: 5 to 16 frames, one or two persons; cross-subject and cross-view splits, not in the order of the names."""
    annotations = [annotation(name, persons=1 + i % 2, frames=5 + i) for i, name in enumerate(NAMES)]
    train = [name for name in NAMES if "P003" not in name][::-1]
    split = {"xsub_train": train, "xsub_val": [n for n in NAMES if "P003" in n], "xview_train": NAMES[6:], "xview_val": NAMES[:6]}
    return {"split": split, "annotations": annotations}


@pytest.fixture
def written(tmp_path):
    def write(content, name="ntu60_3danno.pkl", protocol=4):
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol))
        return tmp_path / name

    return write


@pytest.mark.parametrize("protocol", (2, 5))
def test_one_npz_per_protocol(written, content, tmp_path, protocol):
    paths = pyskl.generate(written(content, protocol=protocol), tmp_path)
    assert [path.name for path in paths] == ["ntu60_3danno_xsub.npz", "ntu60_3danno_xview.npz"]
    by_name = {a["frame_dir"]: a for a in content["annotations"]}
    for path, key in zip(paths, ("xsub", "xview"), strict=True):
        arrays = load(path)
        assert (arrays["num_joints"], arrays["num_bodies"], arrays["layout"]) == (25, 2, "kinect_v2")
        for side, names in (("train", content["split"][f"{key}_train"]), ("test", content["split"][f"{key}_val"])):
            assert arrays[f"name_{side}"].tolist() == names
            assert arrays[f"group_{side}"].tolist() == [name[8:12] for name in names]
            assert arrays[f"x_{side}"].shape == (len(names), 16, 150) and arrays[f"y_{side}"].shape == (len(names), 7)
            for i, name in enumerate(names):
                keypoint = by_name[name]["keypoint"]
                assert arrays[f"y_{side}"][i].argmax() == by_name[name]["label"]
                assert arrays[f"valid_frames_{side}"][i] == keypoint.shape[1]
                for t in range(16):
                    for m in range(2):
                        given = keypoint[m, t] if m < len(keypoint) and t < keypoint.shape[1] else np.zeros((25, 3))
                        assert (arrays[f"x_{side}"][i, t, m * 75 : (m + 1) * 75] == given.reshape(-1)).all()
    assert skipped(tmp_path) == []


def test_second_body_and_center(written, content, tmp_path):
    plain, copy, moved = (
        load(pyskl.generate(written(content), tmp_path, name=name, **options)[0])["x_train"].reshape(8, 16, 2, 25, 3)
        for name, options in (("a", {}), ("b", {"second_body": "copy"}), ("c", {"center": "spine mid"}))
    )
    names = content["split"]["xsub_train"]
    persons = {a["frame_dir"]: len(a["keypoint"]) for a in content["annotations"]}
    for i, name in enumerate(names):
        frames = 5 + NAMES.index(name)
        if persons[name] == 1:
            assert not plain[i, :, 1].any() and (copy[i, :, 1] == plain[i, :, 0]).all()
        else:
            assert (copy[i] == plain[i]).all()
        expected = ntu.translate(plain[i, :frames, : persons[name]])
        assert (moved[i, :frames, : persons[name]] == expected).all() and not moved[i, 0, 0, 1].any()


def test_more_persons_and_empty_frames(written, content, tmp_path, capsys):
    crowd = annotation(NAMES[0], persons=4, frames=6, kind=np.float32)
    crowd["keypoint"] *= np.array([1, 2, 0, 3])[:, None, None, None]  # the third is never there
    crowd["keypoint"][:, 2] = 0
    content["annotations"][0] = crowd
    arrays = load(pyskl.generate(written(content), tmp_path)[0])
    i = arrays["name_train"].tolist().index(NAMES[0])
    kept = crowd["keypoint"][[1, 3]][:, [0, 1, 3, 4, 5]].transpose(1, 0, 2, 3).reshape(5, 150)
    assert (arrays["x_train"][i, :5] == kept).all() and not arrays["x_train"][i, 5:].any()
    assert arrays["valid_frames_train"][i] == 5
    assert "1 of them with more than 2 bodies, of which the others were left out" in capsys.readouterr().out


def test_two_dimensions(written, tmp_path):
    """HRNet's keypoints: 17 joints, x and y in pixels."""
    annotations = [annotation(name, joints=17, dims=2) | {"keypoint_score": np.ones((1, 5, 17), np.float16)} for name in NAMES]
    path = written({"split": {"train": NAMES[:8], "test": NAMES[8:], "val": NAMES[9:]}, "annotations": annotations}, "gym.pkl")
    (path,) = pyskl.generate(path, tmp_path, num_bodies=1, unit=0.5)
    arrays = load(path)
    assert path.name == "gym.npz" and arrays["layout"] == "coco17" and len(arrays["x_test"]) == 4  # test comes before val
    x = arrays["x_train"].reshape(8, 5, 17, 3)
    assert (x[3, ..., :2] == annotations[3]["keypoint"][0].astype(np.float32) / 2).all() and not x[..., 2].any()
    assert Feeder(path, "train", bone=True)[0][0].shape == (3, 120, 17, 1)


def test_unusable_samples_are_one_line_each(written, content, tmp_path):
    damaged = [
        (annotation("S001C001P001R001A001"), "an earlier annotation has this name"),
        (annotation("a", label=-1), "'a': the label is not a whole number"),
        (annotation("c", label=True), "'c': the label is not"),
        (annotation("d", label="3"), "'d': the label is not"),
        (annotation("e", label=1) | {"total_frames": 6}, "'e': total_frames is not the 5 frames"),
        (annotation("h", label=1) | {"keypoint": np.zeros((1, 5, 25, 3))}, "'h': all coordinates are zero"),
        (annotation("i", label=1) | {"keypoint": np.full((1, 5, 25, 3), np.nan)}, "'i': frame 0, joint 0 has a coordinate"),
        (annotation("l", label=1) | {"keypoint": np.zeros((5, 25, 3))}, "'l': keypoint is not an array"),
        (annotation("m", label=1, dims=4), "'m': 1 x 5 x 25 x 4 of type float16 instead of"),
        (annotation("o", label=1, joints=17), "'o': 17 joints x 3 coordinates, most have 25 x 3"),
        ({"frame_dir": "p"}, "needs the keys frame_dir, label and keypoint"),
        (annotation("r" * 300, label=1), "frame_dir is not a name of 1 to 255"),
        (annotation("t", label=1) | {"frame_dir": "t\n\ud800"}, "frame_dir is not a name"),
    ]
    good = load(pyskl.generate(written(content), tmp_path)[0])
    content["annotations"] += [a for a, _ in damaged]
    content["split"]["xsub_train"] += ["nobody", "i"]
    content["split"]["xsub_val"].append(NAMES[0])
    path = written(content)
    again = load(pyskl.generate(path, tmp_path)[0])
    assert all(np.array_equal(good[key], again[key]) for key in good)
    lines = skipped(tmp_path)
    assert len(lines) == len(damaged) + 3 and all(line.startswith(f"{path}: ") for line in lines)
    for _, reason in damaged:
        assert any(reason in line for line in lines), reason
    assert sum("has no usable annotation" in line for line in lines) == 2
    assert sum("is repeated in the protocol" in line for line in lines) == 1
    with pytest.raises(ValueError, match="an earlier annotation has this name"):
        pyskl.generate(path, tmp_path, strict=True)


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda c: c["annotations"], "12 annotations without a split; give the test set by --split FILE, --test NAME"),
        (lambda c: {"split": c["split"]}, "neither a dict with 'annotations' nor a list of annotations"),
        (lambda c: c | {"split": [1]}, "'split' is not a dict of lists"),
        (lambda c: c | {"split": {"xsub_train": [1], "xsub_val": [2]}}, "holds something that is not a name"),
        (lambda c: c | {"split": {"xsub_train": ["a"]}}, "no two splits of the form NAME_train and NAME_val.*'xsub_train'"),
        (lambda c: c | {"split": {"../x_train": ["a"], "../x_val": ["a"]}}, "no two splits"),
        (lambda c: c | {"split": c["split"] | {"xsub_val": []}}, "protocol 'xsub' has no usable sample in test"),
        (lambda c: c | {"annotations": {}}, "'annotations' is not a list"),
        (lambda c: c | {"annotations": [{}]}, "none of the 1 annotations can be used; the first: .*annotation 0: needs"),
    ],
)
def test_other_files_are_refused_in_one_line(written, content, tmp_path, change, reason):
    path = written(change(content))
    with pytest.raises(ValueError, match=reason) as error:
        pyskl.generate(path, tmp_path)
    assert str(error.value).startswith(str(path))
    assert list(tmp_path.rglob("*.npz*")) == []


def test_command_line(written, content, tmp_path, command):
    done = command([SCRIPT, written(content), "--out", tmp_path / "out", "--name", "NTU60", "--center"])
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").glob("*.npz")} == {"NTU60_xsub.npz", "NTU60_xview.npz"}
    for words, reason in (
        ([tmp_path / "none.pkl"], "none.pkl: no such file"),
        (["a.pkl", "--raw", "b.pkl"], "b.pkl: only one is read"),
        ([written(content), "--center", "knee"], "--center knee: use a number 0..24 or one of spine base"),
        ([written(content), "--layout", "kinect_v1"], "--layout kinect_v1 has 20 joints"),
        ([written(content), "--num_bodies", "0"], "--num_bodies 0: at least 1"),
    ):
        done = command([SCRIPT, *words, "--out", tmp_path / "wrong"])
        assert done.returncode == 2 and reason in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "wrong").exists()


def splits_of(path):
    arrays = load(path)
    return {key: arrays[f"name_{key}"].tolist() for key in ("train", "test")}


TEST = [name for name in NAMES if "P003" in name]
TRAIN = [name for name in NAMES if "P003" not in name]


@pytest.mark.parametrize(
    "name, text",
    [
        ("s.txt", "\n".join(TEST)),
        ("s.txt", "\ufeffname,split\r\n" + "\r\n".join(f"{n},{'test' if n in TEST else 'train'}" for n in NAMES)),
        ("s.csv", "\n".join(f"{n} {'val' if n in TEST else 'train'}" for n in NAMES)),
        ("s.txt", "P003\n"),
        ("s.json", TEST),
        ("s.json", {"train": TRAIN, "val": TEST}),
        ("s.json", {"split": {"train": TRAIN, "test": TEST}}),
        ("s.json", {n: "test" if n in TEST else "train" for n in NAMES}),
        ("s.json", {"test": TEST}),
        ("s.json", {"train": TRAIN}),
        ("s.pkl", {"train": TRAIN, "test": TEST}),
        ("s.pkl", TEST),
    ],
)
def test_a_list_of_annotations_with_a_split_file(written, content, tmp_path, name, text):
    file = tmp_path / name
    file.write_bytes(pickle.dumps(text) if name == "s.pkl" else (text if isinstance(text, str) else json.dumps(text)).encode())
    (path,) = pyskl.generate(written(content["annotations"], "old.list.pkl"), tmp_path, split_file=file)
    assert path.name == "old.list.npz" and splits_of(path) == {"train": TRAIN, "test": TEST}
    assert pyskl.generate(written(content), tmp_path, split_file=file, name="NTU60.npz")[0].name == "NTU60.npz"


def test_a_list_of_annotations_with_names_or_another_pickle(written, content, tmp_path):
    path = written(content["annotations"])
    assert splits_of(pyskl.generate(path, tmp_path, test=["P003"])[0]) == {"train": TRAIN, "test": TEST}
    chosen = splits_of(pyskl.generate(path, tmp_path, test=[NAMES[3], "nobody", NAMES[1]])[0])
    assert chosen["test"] == [NAMES[1], NAMES[3]] and len(chosen["train"]) == 10
    assert len(skipped(tmp_path)) == 1 and "'nobody': has no usable annotation" in skipped(tmp_path)[0]
    first, second = (
        written([a for a in content["annotations"] if a["frame_dir"] in part], name)
        for part, name in ((TRAIN, "xsub_train.pkl"), (TEST, "xsub_val.pkl"))
    )
    assert splits_of(pyskl.generate(first, tmp_path, name="a", test_pickle=second)[0]) == {"train": TRAIN, "test": TEST}


@pytest.mark.parametrize(
    "name, text, reason",
    [
        ("s.txt", "", "no usable sample in test"),
        ("s.json", "{", "not a split file"),
        ("s.json", '{"a": ["b"], "c": ["d"]}', "no two splits of the form"),
        ("s.txt", "a train\nb", "'b' has no split"),
        ("s.pkl", "no pickle", "the pickle uses opcodes"),
        ("s.none", None, "no such split file"),
    ],
)
def test_bad_split_files_are_one_line(written, content, tmp_path, name, text, reason):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=reason) as error:
        pyskl.generate(written(content["annotations"]), tmp_path, split_file=tmp_path / name)
    assert "\n" not in str(error.value) and not list(tmp_path.rglob("*.npz*"))


def test_labels_as_texts(written, tmp_path):
    annotations = [annotation(name, label=("wave", " bow", "clap")[i % 3]) for i, name in enumerate(NAMES)]
    annotations += [annotation("a", label=1), annotation("b", label=" ")]
    path = pyskl.generate(written(annotations), tmp_path, test=["P003"])[0]
    data = Feeder(path, "test")
    assert data.class_names == ["bow", "clap", "wave"]
    expected = [annotations[NAMES.index(name)]["label"].strip() for name in data.names.tolist()]
    assert [data.class_names[label] for label in data.label] == expected
    assert "'a': the label is not a string, unlike most" in "".join(skipped(tmp_path)) and len(skipped(tmp_path)) == 4


def test_what_gzip_compressed_is_named(written, content, tmp_path):
    path = written(content, "ntu60_3danno.pkl.gz")
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ValueError, match="danno.pkl.gz: compressed by gzip; unpack it first"):
        pyskl.generate(path, tmp_path)

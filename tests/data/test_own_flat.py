"""Flat npz files; the arrays of the real ones are computed again by plain arithmetic."""

import numpy as np
import pytest

from data.own import own_gendata as own
from tests.data.helpers import joints, load, skipped

ARM, LEG = "shoulder elbow wrist hand", "hip knee ankle foot"


def flat(**changes):
    arrays = {
        "joints": joints(0, 9, 4, 3),
        "offset": np.array([0, 2, 5, 9]),
        "label": np.array([3, 3, 5]),
        "split": np.array(["train", "test", "train"]),
        "parents": np.array([-1, 0, 1, 2]),
    }
    return {key: value for key, value in (arrays | changes).items() if value is not None}


def test_flat_npz(tmp_path):
    given = flat(joints=joints(0, 9, 2, 4, 3))
    np.savez(tmp_path / "flat.npz", **given)
    arrays = load(own.generate([tmp_path / "flat.npz"], tmp_path))
    assert arrays["name_train"].tolist() == ["flat_0", "flat_2"] and arrays["name_test"].tolist() == ["flat_1"]
    assert arrays["parents"].tolist() == [0, 0, 1, 2] and arrays["class_names"].tolist() == ["3", "5"]
    assert (arrays["x_test"][0, :3] == joints(0, 9, 24)[2:5].astype(np.float32)).all() and not arrays["x_test"][0, 3:].any()
    given |= {"pose": given.pop("joints"), "first": given.pop("offset"), "what": given.pop("label")}
    np.savez(tmp_path / "flat.npz", **given)
    again = load(own.generate([tmp_path / "flat.npz"], tmp_path, key="pose", offset_key="first", label_keys=["what"]))
    assert all(np.array_equal(arrays[key], again[key]) for key in arrays)


def test_flat_names_stand_once(tmp_path):
    np.savez(tmp_path / "flat.npz", **flat(name=np.array(["a", "b", "a"])))
    arrays = load(own.generate([tmp_path / "flat.npz"], tmp_path))
    assert arrays["name_train"].tolist() == ["a"] and arrays["name_test"].tolist() == ["b"]
    (line,) = skipped(tmp_path)
    assert line == f"{tmp_path / 'flat.npz'}: sequence 2: 'a' is also the name of {tmp_path / 'flat.npz'}: sequence 0"


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"joints": None}, "no array 'joints'; it has label, offset, parents, split"),
        ({"joints": joints(0, 9, 12)}, "joints is 9 x 12 instead of frames x joints"),
        ({"offset": np.array([0, 2, 5, 8])}, "offset has to be whole numbers that begin with 0 and end with the 9 frames"),
        ({"offset": np.array([0, 6, 5, 9])}, "offset falls after sequence 1"),
        ({"label": np.array([3, 3])}, r"label has shape \(2,\)"),
        ({"label": None}, "no field 'label'; there are file, split"),
        ({"split": None}, "no recording can be used; the first: .*split is missing; .* --test_groups"),
        ({"parents": np.array([0.5, 0, 0, 0])}, r"parents has shape \(4,\), type float64; it needs a whole number or string"),
        ({"parents": np.array(["a", "b", "c", "d"])}, "parents has to be a list of the number or name"),
        ({"joint_names": np.array(["a", "b"])}, r"joint_names has shape \(2,\), .* a string for each of the 4 joints"),
        ({"offset": np.array([0, 2, 2, 9])}, "no usable recording is for test"),
    ],
)
def test_flat_files_that_cannot_be_used(tmp_path, changes, reason):
    np.savez(tmp_path / "flat.npz", **flat(**changes))
    with pytest.raises(ValueError, match=reason) as error:
        own.generate([tmp_path / "flat.npz"], tmp_path)
    assert str(error.value).startswith(str(tmp_path / "flat.npz"))


def test_layout_and_the_names_in_the_file(kinect, tmp_path, capsys):
    """Joints in another order than the layout's, by their names, would become those of the layout without a word."""
    limbs = [[f"{joint}{side}" for joint in limb.split()] for limb in (ARM, LEG) for side in ("Left", "_right")]
    trunk, made = ["SpineBase", "SpineMid", "Neck", "Head"], {"joints": kinect[:9], "parents": None}

    def generate(*names, **how):
        np.savez(tmp_path / "flat.npz", **flat(**made, joint_names=np.array([*trunk, *sum(names, [])])))
        own.generate([tmp_path / "flat.npz"], tmp_path, layout="kinect_v1", **how)

    generate(*limbs)
    assert "warning: " not in capsys.readouterr().err
    with pytest.raises(ValueError, match="joint_names: are in another order than those of --layout kinect_v1: joint 4 is"):
        generate(*(limbs[i] for i in (1, 0, 3, 2)))
    generate(*(limbs[i] for i in (1, 0, 3, 2)), checks=False)
    trunk[3] = "Nose"
    generate(*limbs)
    assert "joint_names: joint 3 is 'Nose', that of --layout kinect_v1 is 'head'" in capsys.readouterr().err


def test_a_flat_file_without_labels_is_for_pretraining(tmp_path, capsys):
    about = {"label": None, "split": None}
    np.savez(tmp_path / "flat.npz", **flat(**about))
    arrays = load(own.generate([tmp_path / "flat.npz"], tmp_path))
    assert "flat.npz: no field 'label': everything is for training, without labels" in capsys.readouterr().out
    assert len(arrays["x_train"]) == 3 and not {"y_train", "x_test"} & arrays.keys()
    np.savez(tmp_path / "flat.npz", **flat(subject=np.array([1, 2, 1]), **about))
    arrays = load(own.generate([tmp_path / "flat.npz"], tmp_path, test_groups=["2"]))
    assert len(arrays["x_train"]) == 2 and len(arrays["x_test"]) == 1 and "y_test" not in arrays
    np.savez(tmp_path / "flat.npz", **flat(action=np.array([1, 2, 1]), **about))  # perhaps the label, so it is asked for
    with pytest.raises(ValueError, match="no field 'label'; there are action, file"):
        own.generate([tmp_path / "flat.npz"], tmp_path)


def test_as_many_joints_as_sequences(tmp_path, capsys):
    """What is said of each joint is not a column of the sequences."""
    given = flat(offset=np.array([0, 2, 5, 7, 9]), label=None, split=None, joint_names=np.array([*"abcd"]))
    np.savez(tmp_path / "flat.npz", **given)
    arrays = load(own.generate([tmp_path / "flat.npz"], tmp_path))
    assert len(arrays["x_train"]) == 4 and arrays["joint_names"].tolist() == [*"abcd"]
    assert "everything is for training, without labels" in capsys.readouterr().out


def source(shared, name):
    with np.load(shared(f"realdata/{name}.npz")) as npz:
        return dict(npz)


def test_ui_prmd(shared, tmp_path):
    """22 joints with a tree of their own; 20 classes: movement x correct or incorrect; odd subjects train."""
    files = [f"ui_prmd_kinect22_{kind}" for kind in ("correct", "incorrect")]
    path = own.generate(
        [shared(f"realdata/{file}.npz") for file in files],
        tmp_path,
        key="joints_tenth_mm",
        unit=1e-4,
        label_keys=["label", "file"],
        test_groups=["2", "4", "6", "8", "10"],
        center="spine",
    )
    arrays, row = load(path), {"train": 0, "test": 0}
    assert arrays["y_train"].shape == arrays["y_test"].shape == (1000, 20)
    assert arrays["y_train"].sum(0).tolist() == [50] * 20
    for wrong, file in enumerate(files):
        given = source(shared, file)
        for i, (label, subject) in enumerate(zip(given["label"], given["subject"], strict=True)):
            key = "test" if subject % 2 == 0 else "train"
            at = row[key]
            row[key] += 1
            assert arrays[f"name_{key}"][at] == f"{file}_{i:03}" and arrays[f"group_{key}"][at] == str(subject)
            assert arrays[f"y_{key}"][at].argmax() == 2 * label + wrong
            frames = given["joints_tenth_mm"][given["offset"][i] : given["offset"][i + 1]]
            assert arrays[f"valid_frames_{key}"][at] == len(frames)
            if i % 50 == 0:
                expected = (frames - frames[0, given["joint_names"].tolist().index("spine")]).reshape(len(frames), -1) / 1e4
                assert np.allclose(arrays[f"x_{key}"][at, : len(frames)], expected, atol=1e-6, rtol=0)
                assert not arrays[f"x_{key}"][at, len(frames) :].any()
    names = source(shared, files[0])["joint_names"].tolist()
    assert arrays["joint_names"].tolist() == names and arrays["parents"][names.index("l_collar")] == names.index("chest")

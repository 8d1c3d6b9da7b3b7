"""What is known of data sets by name, against the published lists and names."""

import json

import pytest

from data.prepare import known
from util import config


def test_class_names_are_the_published_ones(shared):
    published = json.loads(shared("spec/names.json").read_text())
    for name, begin in (("ntu", "ntu_rgbd_120"), ("pku", "pku_mmd"), ("ucla", "nw_ucla")):
        names = next(value for key, value in published.items() if key.startswith(begin))
        assert known.read_names(known.NAMES / f"{name}.txt") == names


@pytest.mark.parametrize(
    "data_path, title, about",
    [
        ("data/ntu/NTU60_XSub.npz", "NTU RGB+D 60", "origin at the first spine"),
        ("NTU120_XSet.npz", "NTU RGB+D 120", "copied"),
        ("/far/ntu120_xsub.npz", "NTU RGB+D 120", "copied"),
        ("data/ntu/UMURL_NTU60_XView.npz", "NTU RGB+D 60", "UmURL's"),
        ("data/ntu120/UMURL_NTU120_XSet.npz", "NTU RGB+D 120", "UmURL's"),
        ("data/demo/DEMO_XSub.npz", "the INVENTED demo recording", "origin at the first spine"),
        ("PKUv1_XSub.npz", "PKU-MMD", "as they are"),
        ("adventures.npz", "a data set of its own", "as they are"),
    ],
)
def test_recipes_are_found_by_the_name_of_the_arrays(data_path, title, about):
    found = known.recipe(data_path, 25, 60)
    assert found.title == title and about in found.with_copies(2).about
    assert "copied" in found.with_copies(2, "copy").about and "copied" not in found.with_copies(2, "zeros").about
    assert known.recipe(data_path, 17, 60).title == "a data set of its own"  # whatever it is called


def test_every_data_set_of_the_project_is_known():
    for file in (config.FOLDER / "dataset").glob("*.yaml"):
        joints = 20 if file.stem.startswith("ucla") else 25
        data_path = config.read_yaml(file, "linprobe", "umurl" if "umurl" in file.stem else "mamp")["data_path"]
        found = known.recipe(data_path, joints, 10)
        assert found is not known.OTHER and ("UmURL" in found.about) == ("umurl" in file.stem), file


@pytest.mark.parametrize(
    "joints, classes, names",
    [
        (25, 60, "drink water"),
        (25, 120, "drink water"),
        (25, 51, "bow"),
        (20, 10, "pick up with one hand"),
        (25, 61, None),
        (17, 60, None),
    ],
)
def test_weights_that_name_no_data_are_known_by_joints_and_classes(joints, classes, names):
    assert known.class_names(known.recipe(None, joints, classes), classes)[:1] == ([names] if names else [])


def test_names_only_where_the_model_has_the_classes_of_the_data_set():
    ntu60 = known.recipe("NTU60_XView.npz", 25, 120)
    assert len(known.class_names(ntu60, 120)) >= 120  # a released head
    assert known.class_names(ntu60, 11) == []
    pku = known.recipe("PKUv2_XSub.npz", 25, 60)
    assert known.class_names(pku, 60)[50] == "writing" and len(known.class_names(pku, 60)) == 51

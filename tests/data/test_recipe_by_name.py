"""Preparation and class names from the file name of arrays, against the published lists."""

import json

import pytest

from data.prepare import recipes
from feeder import class_names
from util import config_files


def test_class_names_are_the_published_ones(shared):
    published = json.loads(shared("spec/names.json").read_text())
    for data_set, begin in ((class_names.NTU120, "ntu_rgbd_120"), (class_names.PKU, "pku_mmd"), (class_names.UCLA, "nw_ucla")):
        names = next(value for key, value in published.items() if key.startswith(begin))
        assert data_set.class_names() == names and len(names) == data_set.num_classes


@pytest.mark.parametrize(
    "data_path, title, description",
    [
        ("data/ntu/NTU60_XSub.npz", "NTU RGB+D 60", "origin at the first spine"),
        ("NTU120_XSet.npz", "NTU RGB+D 120", "copied"),
        ("data/ntu/UMURL_NTU60_XView.npz", "NTU RGB+D 60", "UmURL's"),
        ("data/demo/DEMO_XSub.npz", "the INVENTED demo recording", "origin at the first spine"),
        ("PKUv1_XSub.npz", "PKU-MMD", "as they are"),
        ("adventures.npz", "a data set of its own", "as they are"),
    ],
)
def test_recipes_are_found_by_the_name_of_the_arrays(data_path, title, description):
    found = recipes.recipe(data_path, 25, 60)
    assert found.title == title and description in found.with_second_body(2).description
    assert "copied" in found.with_second_body(2, "copy").description
    assert "copied" not in found.with_second_body(2, "zeros").description
    assert recipes.recipe(data_path, 17, 60).title == "a data set of its own"  # whatever it is called


def test_every_data_set_of_the_project_is_known():
    for file in (config_files.FOLDER / "dataset").glob("*.yaml"):
        joints = 20 if file.stem.startswith("ucla") else 25
        data_path = config_files.read_yaml(file, "linprobe", "umurl" if "umurl" in file.stem else "mamp")["data_path"]
        found = recipes.recipe(data_path, joints, 10)
        assert found is not recipes.OTHER and ("UmURL" in found.description) == ("umurl" in file.stem), file


@pytest.mark.parametrize(
    "data_path, joints, classes, first",
    [
        (None, 25, 60, "drink water"),  # weights that name no data are known by joints and classes
        (None, 25, 51, "bow"),
        (None, 20, 10, "pick up with one hand"),
        (None, 25, 61, None),
        ("NTU60_XView.npz", 25, 120, "drink water"),  # a released head
        ("NTU60_XView.npz", 25, 11, None),  # these cannot be the classes of the data set
        ("PKUv2_XSub.npz", 25, 60, "bow"),
    ],
)
def test_class_names_are_used_only_if_their_number_fits(data_path, joints, classes, first):
    names = class_names.published_names(data_path, joints, classes)
    assert (names and names[0]) == first
    assert class_names.padded(names, 200)[-1] == "class 199" and len(class_names.padded(names, 3)) == 3

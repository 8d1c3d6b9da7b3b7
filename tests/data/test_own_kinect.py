"""Your own recordings in Kinect v2's .skeleton format: preparation and prediction."""

import shutil

import numpy as np

from data.own import own_gendata as own
from data.prepare import recipes
from feeder.npz_split import NpzSplit
from predict import load_model, readers
from tests.data.helpers import load


def test_kinect_files(tmp_path, skeleton_text, walk):
    """Two people in NTU's format, under any names; one is joined from two tracks."""
    (folder := tmp_path / "kinect").mkdir()
    first, second = walk(30), walk(30)
    for name in ("anna/wave", "ben/clap"):
        (folder / name).parent.mkdir()
        frames = [[(1 if t < 15 else 3, first[t]), (2, second[t])] for t in range(30)]
        (folder / f"{name}.skeleton").write_text(skeleton_text(frames))
    how = {"label_pattern": r"(?P<group>\w+)/(?P<label>\w+)", "test_groups": ["ben"]}
    arrays = load(own.generate([folder], tmp_path, **how))
    assert arrays["name_train"].tolist() == ["anna/wave"] and arrays["name_test"].tolist() == ["ben/clap"]
    found = arrays["x_test"][0].reshape(30, 2, 25, 3).swapaxes(0, 1)
    assert np.allclose(found, [first, second], atol=1e-4) or np.allclose(found, [second, first], atol=1e-4)


def test_prediction_reads_kinect_files_like_the_training_data(tmp_path, skeleton_text, walk):
    """z points up, 60 frames a second; a model of one body gets the one of two that moves most; of arrays in mm, files in m."""
    (folder := tmp_path / "kinect").mkdir()
    person = walk(53)
    person[..., 2] += person[..., 1]  # as tall along z as along y, so that neither is noise
    expected = np.stack([person[::2, :, 0], person[::2, :, 2], -person[::2, :, 1]], axis=-1).reshape(27, 75)
    (folder / "one.skeleton").write_text(skeleton_text([[(1, joints)] for joints in person]))
    path = own.generate([folder], tmp_path, up="z", fps=60.0)
    np.testing.assert_allclose(load(path)["x_train"][0], expected, atol=1e-5)
    still = person[:1] + np.float32([1, 0, 0])
    (tmp_path / "two.skeleton").write_text(skeleton_text([[(1, still[0]), (2, joints)] for joints in person]))
    (array := tmp_path / "array").mkdir()
    np.save(array / "one.npy", 1000 * person)
    millimetres = own.generate([array], tmp_path, name="mm", up="z", fps=60.0, unit=0.001)
    published = shutil.copy(path, tmp_path / "NTU60_own.npz")  # a name that says nothing against how its files were read
    plain = own.generate([folder], tmp_path, name="NTU60_plain"), person.reshape(53, 75)
    for npz, rows in (*((npz, expected) for npz in (path, millimetres, published)), plain):
        said = NpzSplit(npz, "train", labelled=False).metadata()
        keys = ("center", "unit", "coordinates", "body_size", "how")
        data = load_model.TrainingData(25, 1, **{key: said.get(key) for key in keys})
        preparation = readers.prepare_like_training(data, recipes.recipe(npz, 25, 60))
        for file in (folder / "one.skeleton", tmp_path / "two.skeleton"):
            ((_, read),) = readers.list_recordings(file, preparation)
            np.testing.assert_allclose(read().whole(), rows, atol=1e-5)

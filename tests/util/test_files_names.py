"""What files are called after other files, and which are found below a folder."""

import numpy as np
import pytest

from data.prepare import custom_recordings, parallel
from util import config
from util.files import files_below


@pytest.mark.parametrize(
    "data, dataset",
    [("x/Foo.v2.npz", "foo.v2"), ("foo.npz.npz", "foo"), ("b.c/ntu60_3danno.pkl.gz", "ntu60_3danno"), ("mine.v1", "mine.v1")],
)
def test_the_data_set_of_a_run_is_called_as_its_file(data, dataset):
    """Suffixes go, however many; other dots stay."""
    assert config.parse("pretrain", ["--data_path", data]).dataset == dataset


@pytest.mark.parametrize(
    "file, folder",
    [("released_linprobe_tiny25.pth", "released_linprobe_tiny25-eval"), ("v1.2", "v1.2-eval"), ("m.pth.tar", "m-eval")],
)
def test_an_evaluation_keeps_the_dots_of_its_checkpoint(file, folder, shared, tmp_path):
    (tmp_path / file).write_bytes(shared("parity/released_linprobe_tiny25.pth").read_bytes())
    for data, end in (("mine/NTU60_XSub.npz", ""), ("a.v2.npz", "-a.v2")):  # the first is called as the data it was trained on
        args = config.parse("linprobe", ["--data_path", data, "--eval", str(tmp_path / file)])
        assert args.output_dir == str(tmp_path / (folder + end))


def test_linked_folders_are_searched_once(tmp_path):
    """Recordings and runs behind a link were passed over without a word; a link to a parent must not go round in circles."""
    for name in ("elsewhere/deep/b", "raw/a"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "raw/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "raw")
    (tmp_path / "raw/twice").symlink_to(tmp_path / "elsewhere/deep")
    assert [path.relative_to(tmp_path / "raw").as_posix() for path in files_below(tmp_path / "raw")] == ["a", "linked/deep/b"]
    for name in ("walk", "run"):
        folder = tmp_path / "there" / name
        folder.mkdir(parents=True)
        np.save(folder / f"{name}.npy", np.zeros((5, 4, 3)))
    (tmp_path / "top").mkdir()
    (tmp_path / "top/link").symlink_to(tmp_path / "there")
    assert [path.name for path in custom_recordings.files_in(tmp_path / "top")] == ["run.npy", "walk.npy"]
    assert [path.name for path in parallel.find_files(tmp_path / "top", ".npy")] == ["run.npy", "walk.npy"]

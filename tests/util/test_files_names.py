"""What files are called after other files."""

import pytest

from util import config


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

"""What files are called after other files."""

from pathlib import Path

import pytest

from util import config
from util.files import bare_name


@pytest.mark.parametrize(
    "name, bare",
    [
        ("foo.npz.npz", "foo"),
        ("a/b.c/ntu60_3danno.pkl.gz", "ntu60_3danno"),
        ("umurl.pth.tar", "umurl"),
        ("run.v2.npz", "run.v2"),
        ("mine.v1", "mine.v1"),
        (".npz", ".npz"),
    ],
)
def test_suffixes_go_and_other_dots_stay(name, bare):
    assert bare_name(name) == bare_name(Path(name)) == bare


def test_the_data_set_of_a_run_is_called_as_its_file():
    assert config.parse("pretrain", ["--data_path", "x/Foo.v2.npz"]).dataset == "foo.v2"


@pytest.mark.parametrize(
    "file, folder",
    [("released_linprobe_tiny25.pth", "released_linprobe_tiny25-eval"), ("v1.2", "v1.2-eval"), ("m.pth.tar", "m-eval")],
)
def test_an_evaluation_keeps_the_dots_of_its_checkpoint(file, folder, shared, tmp_path):
    (tmp_path / file).write_bytes(shared("parity/released_linprobe_tiny25.pth").read_bytes())
    args = config.parse("linprobe", ["--data_path", "a.npz", "--eval", str(tmp_path / file)])
    assert args.output_dir == str(tmp_path / folder)

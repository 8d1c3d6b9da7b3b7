"""Pages taken to pieces; checkpoints with random weights, opened as the scripts do."""

from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from feeder.loader import build_feeder
from model import build
from report import sequences
from scripts import visualize
from tests.conftest import invent
from util import checkpoint, config

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """A page's elements, texts and tables; `problems` are tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.problems, self.tags, self.rows, self.titles, self.words = [], [], [], [], [], ""
        self.feed(text)
        self.problems += self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "title":
            self.titles.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)

    def handle_data(self, data):
        self.words += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data
        if self.open and self.open[-1] == "title":
            self.titles[-1] += data

    def count(self, tag, **wanted):
        return sum(name == tag and wanted.items() <= attributes.items() for name, attributes in self.tags)


@pytest.fixture(scope="session")
def page():
    """page(folder) -> its report.html as a Page."""
    return lambda folder: Page((folder / "report.html").read_text())


@pytest.fixture(scope="session")
def two_people(tmp_path_factory):
    """Path of invented recordings of two bodies; in the first test sequence the second one is absent."""
    arrays = invent(bodies=2) | {"parents": np.array([0, 0, 1, 0, 3]), "joint_names": np.array([*"abcd", "left foot"])}
    arrays["x_test"].reshape(13, 12, 2, 5, 3)[0, :, 1] = 0
    path = tmp_path_factory.mktemp("two") / "two.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def made(tmp_path, options, two_people):
    """made(stage, option words, ...) -> path of a checkpoint with random weights."""

    def make(stage, *words, **named):
        args = config.parse(stage, options(stage, two_people, tmp_path, *words, **named))
        data = build_feeder(args, "train", augment=False)
        torch.manual_seed(3)
        args.accum_iter = 1
        model = build.pretrainer(args, data, "cpu")[0] if stage == "pretrain" else build.classifier(args, data, 3)
        for parameter in model.parameters():  # so that predictions are not next to nothing
            parameter.data += 0.2 * torch.randn_like(parameter)
        checkpoint.save(tmp_path / f"{stage}.pth", {"model": model.state_dict(), "config": vars(args), "epoch": 6})
        return tmp_path / f"{stage}.pth"

    return make


@pytest.fixture
def opened(made, two_people):
    """opened(stage, words of the script; row, option=value, ...) -> (args, model, Sample) as the script has them."""

    def open_(stage, *words, row=1, no=(), **named):
        path = made(stage, *no, **named)
        args, content = visualize.options(path, ["--data_path", str(two_people), *words])
        data, joint_data = sequences.feeders(args, "test")
        return args, visualize.model_of(args, content, path, data), sequences.load_sample(data, joint_data, row)

    return open_

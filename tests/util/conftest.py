"""Finished runs of every stage, and their pages taken to pieces."""

from html.parser import HTMLParser

import numpy as np
import pytest

import main_finetune
import main_linprobe
import main_pretrain
import main_retrieval
from tests.conftest import invent

EVIL = '<script>document.title="stolen"</script>'
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
def hostile(tmp_path_factory):
    """An npz of which neither class nor sample names can be trusted; two test labels are wrong, so that no model is perfect."""
    arrays = invent()
    arrays["y_test"][[0, 4]] = arrays["y_test"][[1, 5]]
    arrays["class_names"] = np.array([EVIL, 'drink "water" & tea', "walk"])
    arrays["name_test"] = np.array([f"<img src=x onerror=alert(1)>{i}" for i in range(13)])
    arrays |= {"layout": "five", "parents": np.array([0, 0, 1, 2, 3])}
    path = tmp_path_factory.mktemp("data") / "hostile.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="session")
def finished(hostile, options, tmp_path_factory):
    """Folder with a finished run of every stage, and an evaluation."""
    top = tmp_path_factory.mktemp("runs")
    main_pretrain.main(options("pretrain", hostile, top / "pretrain", "--epochs", 3))
    encoder = ("--finetune", top / "pretrain/checkpoint-2.pth")
    main_linprobe.main(options("linprobe", hostile, top / "linprobe", *encoder, "--epochs", 4))
    main_finetune.main(options("finetune", hostile, top / "finetune", *encoder, "--epochs", 4))
    main_retrieval.main(options("retrieval", hostile, top / "retrieval", *encoder))
    line = ["--data_path", hostile, "--device", "cpu", "--num_workers", 0, "--eval", top / "finetune/checkpoint-3.pth"]
    main_finetune.main([*map(str, line), "--output_dir", str(top / "eval")])
    return top

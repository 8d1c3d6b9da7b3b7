"""docs/first_hour.ipynb: its cells one after another, as a reader runs them, with everything it writes in another folder."""

import json
import re

import pytest

from tests.processes import ROOT
from tests.runs import read

NOTEBOOK, OUT = ROOT / "docs/first_hour.ipynb", '"output/first_hour"'


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text())["cells"]


def test_the_notebook_holds_no_outputs_and_python_can_read_it(cells):
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    for number, cell in enumerate(code):
        compile("".join(cell["source"]), f"cell {number}", "exec")
    assert [cell["outputs"] for cell in code] == [[]] * len(code) and NOTEBOOK.stat().st_size < 30_000


def test_files_that_the_notebook_links_to_are_there(cells):
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert len(links) > 3 and all((NOTEBOOK.parent / link).exists() for link in links)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(cells, command, tmp_path):
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert code.count(OUT) == 1
    (tmp_path / "notebook.py").write_text(code.replace(OUT, repr(str(tmp_path / "out"))))
    done = command([tmp_path / "notebook.py"], ROOT / "docs", timeout=900, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "INVENTED" in done.stdout and read(tmp_path / "out/probe")["last"]["test_acc1"] > 3 * 100 / 13
    for name in ("sequence.gif", "tsne.png", "probe/report.html", "pictures/test-0-test_0/prediction.png"):
        assert (tmp_path / "out" / name).stat().st_size > 1000

"""report.html in a browser without a screen, where one is installed."""

import json
import re
import shutil
import subprocess

import pytest

from scripts import report
from tests.conftest import EVIL
from tests.report.conftest import Page


@pytest.fixture(scope="session")
def browse(tmp_path_factory):
    """browse(page) -> (the page as it stands after its scripts ran, what the console said)."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if program is None:
        pytest.skip("needs chromium")
    profile = tmp_path_factory.mktemp("profile")

    def run(path, *more):
        words = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", f"--user-data-dir={profile}"]
        words = [program, *words, *more, "--dump-dom", f"file://{path}"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


@pytest.fixture
def measured(browse, tmp_path):
    """measured(page, width, script) -> what the page's body says of itself after the script ran; how much is too wide, too."""

    def run(path, width, script=""):
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", path.read_text())
        script += "document.body.dataset.wide = document.documentElement.scrollWidth - innerWidth;"
        (tmp_path / "measured.html").write_text(text.replace("</body>", f"<script>{script}</script></body>"))
        dom, console = browse(tmp_path / "measured.html", f"--window-size={width},900")
        assert not console
        return next(attributes for tag, attributes in Page(dom).tags if tag == "body")

    return run


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_opens_without_a_complaint(stage, finished, browse):
    dom, console = browse(finished / stage / "report.html")
    assert not console and "<svg" in dom and "stolen" not in Page(dom).titles[0]


def test_a_page_over_runs_opens_without_a_complaint_and_fits(finished, browse, measured, tmp_path):
    report.main(["--compare", str(tmp_path / "runs.html"), str(finished)])
    for width in (1280, 390):
        assert int(measured(tmp_path / "runs.html", width)["data-wide"]) <= 0, width
    assert not browse(tmp_path / "runs.html")[1]


def test_a_foreign_script_would_not_run(finished, browse, tmp_path):
    text = (finished / "pretrain/report.html").read_text()
    (tmp_path / "page.html").write_text(text.replace("</header>", EVIL + "</header>"))
    dom, console = browse(tmp_path / "page.html")
    assert "<title>stolen" not in dom and any("Content Security Policy" in line for line in console)


def test_a_click_sorts(finished, measured, page):
    """By name, and by name the other way round, by class; and at no width is anything wider than the screen."""
    wrapper = """
      var heads = document.querySelectorAll("#classes th button"), found = [];
      function note() { found.push(Array.from(document.querySelectorAll("#classes tbody tr")).map(r => r.cells[0].textContent)); }
      note(); heads[1].click(); note(); heads[1].click(); note(); heads[0].click(); note();
      document.body.dataset.found = JSON.stringify(found);
      document.body.dataset.sorted = document.querySelector("#classes th[aria-sort]").textContent;"""
    for width in (1280, 390):
        body = measured(finished / "linprobe/report.html", width, wrapper)
        first, by_name, back, by_class = json.loads(body["data-found"])
        worst = [row[0] for row in page(finished / "linprobe").rows if len(row) == 6 and row[0] in "012"]
        assert first == worst and by_name == ["0", "1", "2"] and back == ["2", "1", "0"]
        assert by_class == ["0", "1", "2"] and body["data-sorted"] == "class" and int(body["data-wide"]) <= 0, width

"""The demo command, end to end, at smoke size."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import demo
from tests.runs import read
from util import host


def test_demo_runs_from_raw_files_to_a_table(command, monkeypatch, tmp_path, capsys):
    """Its commands one after another, each in a fork."""

    def run(words):
        done = command(words)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr(demo, "side_by_side", lambda jobs: [run(job) for job in jobs])
    words = ["--smoke", "--seeds", "1", "--ratio", "0.5", "--data", str(tmp_path / "data"), "--output", str(tmp_path / "output")]
    monkeypatch.setattr("sys.argv", ["demo.py", *words])
    demo.main()
    table, printed = (tmp_path / "output/results.md").read_text(), capsys.readouterr().out
    assert "INVENTED" in table and table in printed
    for stage in ("linprobe", "retrieval", "finetune"):
        for encoder in ("random", "mamp"):
            result = read(tmp_path / f"output/seed0/{stage}-{encoder}")
            assert result["last"]["test_samples"] > 0 and f"{result['last']['test_acc1']:.1f}" in table
            assert (result.get("encoder") is None) == (encoder == "random")


def test_commands_side_by_side(tmp_path, capsys):
    """Each prints to a file in its folder; the first that fails ends the demo with the end of what it printed."""
    code = "import sys; print('done'); sys.exit(sys.argv[1] == 'b')"
    jobs = [["-c", code, name, "--output_dir", str(tmp_path / name)] for name in "ab"]
    demo.side_by_side(jobs[:1] * (host.cores() + 1))
    assert (tmp_path / "a/stdout.log").read_text() == "done\n"
    demo.run(["-c", "pass"])
    with pytest.raises(SystemExit, match="python -c .* b --output_dir .* failed:\ndone"):
        demo.side_by_side(jobs)
    with pytest.raises(SystemExit, match="ended with exit code 3"):
        demo.run(["-c", "raise SystemExit(3)"])


def test_sigterm_leaves_nothing_running(tmp_path):
    """The demo, whose first command is replaced by two that sleep, is ended from outside."""
    sleeper = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    jobs = [["-c", sleeper, "--output_dir", str(tmp_path / name)] for name in "ab"]
    start = f"from scripts import demo; demo.run = lambda words: demo.side_by_side({jobs!r}); demo.main()"
    words = [sys.executable, "-c", start, "--smoke", "--output", str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    logs = [tmp_path / name / "stdout.log" for name in "ab"[: host.cores()]]
    end = time.monotonic() + 60
    while not all(log.exists() and log.read_text().strip() for log in logs) and time.monotonic() < end:
        time.sleep(0.1)
    pids = [int(log.read_text()) for log in logs]
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    time.sleep(0.5)
    for pid in pids:
        status = Path(f"/proc/{pid}/status")
        assert not status.exists() or "(zombie)" in status.read_text()


@pytest.mark.parametrize("words, kept", [(["--smoke"], True), ([], False)])
def test_a_smoke_run_leaves_the_full_demo_alone(words, kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("output/demo/seed0").mkdir(parents=True)
    written = []
    monkeypatch.setattr(demo, "run", lambda words: written.append(words[words.index("--out") + 1]))
    monkeypatch.setattr(demo, "side_by_side", lambda jobs: sys.exit(jobs[0][jobs[0].index("--output_dir") + 1]))
    monkeypatch.setattr("sys.argv", ["demo.py", *words])
    with pytest.raises(SystemExit) as stop:
        demo.main()
    places = [f"{path}/" for path in (*written, stop.value.code)]
    assert len(places) == 5 and Path("output/demo/seed0").exists() == kept
    assert {path.startswith(("data/demo/", "output/demo/")) for path in places} == {not kept}

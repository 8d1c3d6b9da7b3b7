"""The demo command, end to end, at smoke size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import demo

ROOT = Path(__file__).resolve().parents[1]


def test_demo_runs_from_raw_files_to_a_table(tmp_path):
    command = [sys.executable, "-m", "scripts.demo", "--smoke", "--seeds", "1", "--ratio", "0.5"]
    command += ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "output")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "INVENTED" in done.stdout
    table = (tmp_path / "output/results.md").read_text()
    assert "INVENTED" in table and table in done.stdout
    for stage in ("linprobe", "retrieval", "finetune"):
        for encoder in ("random", "mamp"):
            result = json.loads((tmp_path / f"output/seed0/{stage}-{encoder}/result.json").read_text())
            assert result["last"]["test_samples"] > 0
            assert f"{result['last']['test_acc1']:.1f}" in table
            assert (result.get("encoder") is None) == (encoder == "random")


@pytest.mark.parametrize("words, kept", [(["--smoke"], True), ([], False)])
def test_a_smoke_run_leaves_the_full_demo_alone(words, kept, tmp_path, monkeypatch):
    earlier = [Path("data/demo/raw/a.skeleton"), Path("output/demo/seed0/pretrain/checkpoint-last.pth")]
    monkeypatch.chdir(tmp_path)
    for file in earlier:
        file.parent.mkdir(parents=True)
        file.write_text("the full demo's")
    written = []
    monkeypatch.setattr(demo, "run", lambda words: written.append(Path(words[words.index("--out") + 1])))
    monkeypatch.setattr(demo, "side_by_side", lambda jobs: sys.exit(str(jobs[0][jobs[0].index("--output_dir") + 1])))
    monkeypatch.setattr("sys.argv", ["demo.py", *words])
    with pytest.raises(SystemExit) as stop:
        demo.main()
    written.append(Path(stop.value.code))
    assert len(written) == 5 and earlier[1].exists() == kept
    full = [path for path in written if Path("data/demo") in (path, *path.parents) or Path("output/demo") in path.parents]
    assert full == ([] if kept else written)


def test_part_of_an_option_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["demo.py", "--smok"])
    with pytest.raises(SystemExit) as stop:
        demo.main()
    assert stop.value.code == 2 and "--smok" in capsys.readouterr().err

"""The demo command, end to end, at smoke size."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_demo_runs_from_raw_files_to_a_table(tmp_path):
    command = [sys.executable, "scripts/demo.py", "--smoke", "--seeds", "1", "--ratio", "0.5"]
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

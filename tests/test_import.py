"""An encoder imported from another project, which has modules of the same names."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PROJECT = """
import importlib.util, sys
import model, util.tools
spec = importlib.util.spec_from_file_location("mamp", sys.argv[1])  # as an editable installation finds it: this name alone
mamp = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mamp)
import torch
for _ in range(2):
    encoder = mamp.load("mamp", dim_feat=16, depth=1, num_heads=2, num_frames=8, t_patch_size=4, num_joints=5)
    assert encoder(torch.randn(2, 3, 8, 5, 1)).shape == (2, 16)
    assert encoder(torch.randn(20, 5, 3)).shape == (1, 16)
    import model, util.tools
    assert (model.MINE, util.tools.MINE) == (1, 2) and "feeder" not in sys.modules
import data
assert data.MINE == 3
"""


def test_names_of_both_projects_live_side_by_side(tmp_path):
    (tmp_path / "model.py").write_text("MINE = 1")
    (tmp_path / "util").mkdir()
    (tmp_path / "util/tools.py").write_text("MINE = 2")
    (tmp_path / "data.py").write_text("MINE = 3")
    (tmp_path / "project.py").write_text(PROJECT)
    words = [sys.executable, "project.py", str(ROOT / "mamp.py")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr

"""PKU-MMD phase 1: skeleton and label files -> PKUv1_XSub.npz and PKUv1_XView.npz."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import pku
from util import errors

if __name__ == "__main__":
    errors.main(lambda: pku.command(pku.PKU1, __file__))

"""NTU RGB+D 120, step 2 of 3: find the one or two actors of every recording."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import ntu_commands
from data.prepare.ntu_release import NTU120
from util import errors

if __name__ == "__main__":
    errors.main(lambda: ntu_commands.denoise(NTU120, __file__))

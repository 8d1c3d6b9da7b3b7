"""NTU RGB+D 60 as UmURL prepares it: raw .skeleton files -> npz files, in one step."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import ntu_commands
from data.prepare.ntu_release import NTU60
from util import errors

if __name__ == "__main__":
    errors.main(lambda: ntu_commands.prepare_umurl(NTU60, __file__))

"""NTU RGB+D 60, step 1 of 3: read the raw .skeleton files."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.prepare import cli, ntu_commands
from data.prepare.ntu_release import NTU60

if __name__ == "__main__":
    cli.run(lambda: ntu_commands.read(NTU60, __file__))

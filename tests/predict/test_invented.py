"""The small classifier of INVENTED data that comes with the repository, for a first look at main_predict.py."""

import re
from pathlib import Path

from feeder.class_names import read_names
from util import checkpoint

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "data/demo/invented"


def test_its_page_s_command_names_the_action_and_says_invented(command):
    """The published file name says which of NTU's actions a recording is: A023 is the 23rd."""
    (words,) = re.findall(r"^python (main_predict\.py .*)", (FOLDER / "README.md").read_text(), re.M)
    done = command(words.split())
    assert done.returncode == 0 and "INVENTED demo recording" in done.stderr
    found = re.findall(r"A(\d+)\.skeleton .*\n *([\d.]+) %  (.*)", done.stdout)
    names = read_names(ROOT / "data/names/ntu.txt")
    assert found and all(names[int(number) - 1] == name and float(share) > 50 for number, share, name in found)


def test_it_is_small_and_names_no_folder_of_the_machine_that_trained_it():
    file = FOLDER / "classifier.pth"
    content = checkpoint.load(file)
    assert file.stat().st_size < 800_000 and not {"optimizer", "random"} & content.keys()
    settings = content["config"], content["encoder"]
    assert not [text for part in settings for text in part.values() if isinstance(text, str) and text.startswith("/")]

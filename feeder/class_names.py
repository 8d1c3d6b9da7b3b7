"""Class names of the published data sets, which are recognised by the file name of their npz."""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "data" / "names"  # text files: one name a line, class 0 first


@dataclass(frozen=True)
class Published:
    """A published data set: its title, the file of its class names, and numbers of joints, bodies and classes."""

    title: str
    file: str
    num_joints: int
    num_bodies: int
    num_classes: int

    def class_names(self):
        """Its class names. NTU RGB+D 60 gets the 120 of NTU RGB+D 120, whose first 60 are its own."""
        return read_names(FOLDER / self.file)


NTU60 = Published("NTU RGB+D 60", "ntu.txt", 25, 2, 60)
NTU120 = Published("NTU RGB+D 120", "ntu.txt", 25, 2, 120)
PKU = Published("PKU-MMD", "pku.txt", 25, 2, 51)
UCLA = Published("NW-UCLA", "ucla.txt", 20, 1, 10)
BY_FILE_NAME = (  # the first pattern that matches the beginning of the file name, ignoring case
    (r"umurl_ntu120|(ntu|nturgbd?)_?120", NTU120),
    (r"umurl_|ntu|demo_", NTU60),
    (r"pku", PKU),
    (r"ucla", UCLA),
)


def published(data_path, num_joints, num_classes):
    """The `Published` data set with this file name and number of joints; if data_path is None, with these numbers of joints and
    classes. None if there is none."""
    if not data_path:
        size = num_joints, num_classes
        return next((each for each in (NTU60, NTU120, PKU, UCLA) if (each.num_joints, each.num_classes) == size), None)
    stem = Path(data_path).stem
    found = next((each for pattern, each in BY_FILE_NAME if re.match(pattern, stem, re.IGNORECASE)), None)
    return found if found and found.num_joints == num_joints else None


def published_names(data_path, num_joints, num_classes):
    """Class names of the data set that `published` finds; None if it finds none, or one with more classes."""
    found = published(data_path, num_joints, num_classes)
    return found.class_names() if found and num_classes >= found.num_classes else None


def padded(names, count):
    """`count` class names: those in `names` (a list or None), and 'class 3' where it has none."""
    names = [str(name) for name in names or ()][:count]
    return names + [f"class {number}" for number in range(len(names), count)]


def read_names(path):
    """Class names, one a line, class 0 first. Raises FileNotFoundError or ValueError naming the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file with class names, one a line")
    try:
        names = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 ({error.reason}); class names stand one a line") from error
    for line, name in enumerate(names, 1):
        if not name.strip() or not name.isprintable():
            raise ValueError(f"{path}: line {line} is empty or no text; class names stand one a line, class 0 first")
    return [name.strip() for name in names]

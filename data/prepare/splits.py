"""Which annotations are for training and which for testing, where PYSKL's pickle does not say: of a file, or of names."""

import json
import re
from pathlib import Path

from data.prepare import ntu_release, pickles

PARTS = ("train", "test", "val")
FORMS = "it holds splits as PYSKL's files do, a part (train, test, val) for each name, or the names of the test part"


def group(name):
    """Performer of a sample with an NTU name, such as 'P001'; the name itself of any other."""
    try:
        return f"P{ntu_release.parse_name(name)['performer']:03}"
    except ValueError:
        return name


def choose_test(chosen, names):
    """{'train': names, 'test': names}: for testing are those that are `chosen` by name or group. What is chosen and not among
    the names stands in 'test', too."""
    parts, used = {"train": [], "test": []}, set()
    for name in names:
        matches = {name, group(name)} & set(chosen)
        parts["test" if matches else "train"].append(name)
        used |= matches
    return parts | {"test": parts["test"] + [name for name in dict.fromkeys(chosen) if name not in used]}


def read(path, names):
    """{name of a split: names} of a split file, .json, .pkl or text, for annotations of these `names`; for its forms see FORMS.

    A text has a name on each line, perhaps with its part after it. Instead of names there may be groups (P003), and of a single
    list of a dict the other part is all the rest. Raises FileNotFoundError, or ValueError naming the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such split file")
    if path.suffix in (".pkl", ".pickle"):
        content = pickles.load(path)
    else:
        try:
            text = path.read_text("utf-8-sig")
            content = json.loads(text) if path.suffix == ".json" else _of_lines(text)
        except ValueError as error:
            raise ValueError(f"{path}: no split file ({' '.join(str(error).split())[:80]}); {FORMS}") from error
    if type(content) is dict and type(content.get("split")) is dict:
        content = content["split"]
    if type(content) is dict and content and all(isinstance(part, str) and part in PARTS for part in content.values()):
        content = {part: [name for name, side in content.items() if side == part] for part in PARTS if part in content.values()}
    lists = list(content.values()) if type(content) is dict else [content]
    if not lists or not all(type(part) in (list, tuple) and all(isinstance(name, str) for name in part) for part in lists):
        raise ValueError(f"{path}: no split file; {FORMS}")
    if len(lists) > 1:
        return content
    parts = choose_test(lists[0], names)
    if type(content) is dict and "train" in next(iter(content)):
        return {"train": parts["test"], "test": parts["train"]}
    return parts


def _of_lines(text):
    """Of a text the names, one a line, or {name: part} if a part stands after them."""
    form = re.compile(r"(.*?)(?:[,;\s]+(train|test|val))?")
    rows = [form.fullmatch(line.strip()).groups() for line in text.splitlines() if line.strip()]
    if rows and any(part for _, part in rows):
        rows = rows if rows[0][1] else rows[1:]  # the first may be the titles of the columns
        if lost := [name for name, part in rows if part is None]:
            raise ValueError(f"{lost[0]!r} has no part")
        return dict(rows)
    return [name for name, _ in rows]

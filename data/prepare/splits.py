"""Training and test split of PYSKL annotations that have none: from a split file, or from names."""

import json
import re
from pathlib import Path

from data.prepare import ntu_release, pickles
from util.validation import one_line

SPLITS = ("train", "test", "val")
FORMS = "it holds splits as in PYSKL's files, the split (train, test, val) of each name, or the names of the test set"


def group(name):
    """The performer, such as 'P001', of a sample with an NTU name; the name itself for other names."""
    try:
        return f"P{ntu_release.parse_name(name)['performer']:03}"
    except ValueError:
        return name


def choose_test(chosen, names):
    """{'train': names, 'test': names}: the test set are those `chosen` by name or group, and what is chosen but not among the
    names, so that it is reported as missing."""
    splits, used = {"train": [], "test": []}, set()
    for name in names:
        matches = {name, group(name)} & set(chosen)
        splits["test" if matches else "train"].append(name)
        used |= matches
    return splits | {"test": splits["test"] + [name for name in dict.fromkeys(chosen) if name not in used]}


def read(path, names):
    """{split: names} from a split file, .json, .pkl or text, for annotations with these `names`; see FORMS for what it may hold.

    Text: a name per line, perhaps followed by its split. Groups (P003) may replace names. If there is only one list, all other
    names are the other split. Raises FileNotFoundError, or ValueError naming the file.
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
            raise ValueError(f"{path}: not a split file ({one_line(error)[:80]}); {FORMS}") from error
    if type(content) is dict and type(content.get("split")) is dict:
        content = content["split"]
    if type(content) is dict and content and all(isinstance(split, str) and split in SPLITS for split in content.values()):
        split_of, content = content, {}
        for name, split in split_of.items():
            content.setdefault(split, []).append(name)
    lists = list(content.values()) if type(content) is dict else [content]
    if not lists or not all(type(each) in (list, tuple) and all(isinstance(name, str) for name in each) for each in lists):
        raise ValueError(f"{path}: not a split file; {FORMS}")
    if len(lists) > 1:
        return content
    splits = choose_test(lists[0], names)
    if type(content) is dict and "train" in next(iter(content)):
        return {"train": splits["test"], "test": splits["train"]}
    return splits


def _of_lines(text):
    """The names in a text, one per line, or {name: split} if splits follow them."""
    form = re.compile(r"(.*?)(?:[,;\s]+(train|test|val))?")
    rows = [form.fullmatch(line.strip()).groups() for line in text.splitlines() if line.strip()]
    if rows and any(split for _, split in rows):
        rows = rows if rows[0][1] else rows[1:]  # the first line may be a header
        if missing := [name for name, split in rows if split is None]:
            raise ValueError(f"{missing[0]!r} has no split")
        return dict(rows)
    return [name for name, _ in rows]

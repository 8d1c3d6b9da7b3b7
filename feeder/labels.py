"""Labels of an npz (one-hot rows, class numbers or strings) as class numbers."""

import re

import numpy as np


def read_labels(arrays, key, path, class_names=None):
    """(labels (N,) int64, number of classes, class names or None) from y_<key> in `arrays`; without labels (-1, 0, class_names).

    class_names: those of the file, or None. Strings are class names themselves, numbered in the order of class_names or else
    sorted over both splits (as numbers where all are numbers). Raises ValueError naming file, array and row for invalid labels.
    """
    if f"y_{key}" not in arrays:
        return np.full(len(arrays[f"x_{key}"]), -1), 0, class_names
    labels = _without_last_axis({name: np.asarray(arrays[name]) for name in ("y_train", "y_test") if name in arrays})
    where, y = f"{path}: y_{key}", labels[f"y_{key}"]
    if len({array.dtype.kind in "US" for array in labels.values()}) > 1:
        raise ValueError(f"{path}: y_train and y_test are of different kinds: texts and numbers")
    if y.dtype.kind in "US":
        texts = {name: _texts(array, f"{path}: {name}") for name, array in labels.items()}
        names = class_names or ordered({text for each in texts.values() for text in each})
        number = {name: i for i, name in enumerate(names)}
        for name, each in texts.items():
            for row, text in enumerate(each):
                if text not in number:
                    raise ValueError(f"{path}: {name}: row {row} has the label {text!r}, which is not in class_names")
        return np.array([number[text] for text in texts[f"y_{key}"]], np.int64), len(names), names
    train = labels.get("y_train", y)  # the number of classes is that of the training labels
    num_classes = train.shape[1] if train.ndim == 2 else int(train.max()) + 1 if train.size else 0
    if y.ndim == 2:
        wrong = np.flatnonzero((y != 0).sum(1) != 1)
        if len(wrong):
            raise ValueError(f"{where}: row {wrong[0]} is not one-hot")
        y = y.argmax(1)
    elif y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(f"{where}: shape {y.shape}, type {y.dtype}; use one-hot (N, classes), class numbers or texts (N,)")
    wrong = np.flatnonzero((y < 0) | (y >= num_classes))
    if len(wrong):
        raise ValueError(f"{where}: row {wrong[0]} has the label {y[wrong[0]]}; the classes are 0..{num_classes - 1}")
    return y.astype(np.int64), num_classes, class_names


def _without_last_axis(labels):
    """{split: (N, 1)} -> {split: (N,)}, unless they are one-hot columns of a single class, 1 in every split."""
    columns = {name: y for name, y in labels.items() if y.ndim == 2 and y.shape[1] == 1}
    one_hot = all(y.dtype.kind not in "US" and (y == 1).all() for y in columns.values())
    return labels if one_hot else labels | {name: y[:, 0] for name, y in columns.items()}


def _texts(y, where):
    """N strings without surrounding blanks. Raises ValueError naming the row of an empty or unprintable one."""
    if y.ndim != 1:
        raise ValueError(f"{where}: shape {y.shape}, type {y.dtype}; texts are (N,)")
    texts = []
    for row, label in enumerate(y.tolist()):
        text = label.decode(errors="replace") if isinstance(label, bytes) else label
        texts.append(text.strip())
        if not texts[-1] or not texts[-1].isprintable():
            raise ValueError(f"{where}: row {row} has the label {text!r}, which is " + ("no text" if texts[-1] else "empty"))
    return texts


def ordered(texts):
    """Strings in the order of the classes: sorted, by value if all are integers."""
    numbers = all(re.fullmatch(r"-?\d+", text) for text in texts)
    return sorted(texts, key=lambda text: (int(text), text) if numbers else text)

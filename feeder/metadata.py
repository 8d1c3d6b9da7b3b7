"""Metadata of an npz, which checkpoints keep, too: names, and how its arrays were made from raw recordings (docs/data.md)."""

import json
from reprlib import repr as shortened

import numpy as np

SECOND_BODY = ("zeros", "copy")  # what a missing second person is replaced by


def read_metadata(values, num_joints):
    """({key: plain value}, [complaint, ...]) for the keys of CHECKS in `values`, {name: array or value}. Invalid values are left
    out, with a complaint for each.
    """
    metadata, complaints = {}, []
    for key, (wanted, check) in CHECKS.items():
        if values.get(key) is not None:
            try:
                metadata[key] = check(values[key], num_joints)
            except (ValueError, OverflowError, TypeError, RuntimeError):  # of numpy and torch, too
                complaints.append(f"{key} is {' '.join(shortened(values[key]).split())[:100]}, not {wanted}")
    return metadata, complaints


# ---- checks: each returns the plain value, or raises an error that read_metadata turns into a complaint ---------------------


def _names(value, count=None):
    """A list of strings (of length `count`); unprintable characters become '?'."""
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "USiu" or count not in (None, len(array)):
        raise ValueError
    texts = (text.decode() if isinstance(text, bytes) else str(text) for text in array.tolist())
    return ["".join(c if c.isprintable() else "?" for c in text) for text in texts]


def _number(value):
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise ValueError
    return float(array.item())


def _whole_number(value, allowed):
    number = _number(value)
    if not number.is_integer() or int(number) not in allowed:
        raise ValueError
    return int(number)


def _positive(value):
    number = _number(value)
    if not 0 < number < np.inf:
        raise ValueError
    return number


def _body_frame(value, num_joints):
    array = np.asarray(value)
    if array.shape != (4,) or array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= num_joints:
        raise ValueError
    return array.tolist()


def _reading(value):
    fields = json.loads(json.dumps(value) if isinstance(value, dict) else str(np.asarray(value)))
    if not isinstance(fields, dict) or any(type(part) not in (int, float, str, list) for part in fields.values()):
        raise ValueError
    return fields


CHECKS = {  # {key: (what the value has to be, its check)}
    "joint_names": ("a name for every joint", _names),
    "class_names": ("a list of names", lambda value, _: _names(value)),
    "center": ("the number of a joint, or -1", lambda value, num_joints: _whole_number(value, range(-1, num_joints))),
    "body_frame": ("the numbers of four joints", _body_frame),
    "min_max": ("0 or 1", lambda value, _: _whole_number(value, (0, 1))),
    "unit": ("a number of metres above 0", lambda value, _: _positive(value)),
    "coordinates": ("2 or 3", lambda value, _: _whole_number(value, (2, 3))),
    "second_body": ("'zeros' or 'copy'", lambda value, _: SECOND_BODY[SECOND_BODY.index(str(np.asarray(value)))]),
    "body_size": ("a number of metres above 0", lambda value, _: _positive(value)),
    "how": ("JSON of how the files of recordings were read", lambda value, _: _reading(value)),
}

"""What the npz of a data set, and after it every checkpoint, tells beside samples and sizes: names, and how raw recordings became
its arrays (docs/data.md)."""

import json
from reprlib import repr as shown

import numpy as np


def read(told, num_joints):
    """({key: plain value}, [complaint, ...]) of the KEYS in `told`, {name: array or value}; what cannot be is complained of."""
    values, complaints = {}, []
    for key, check in KEYS.items():
        if told.get(key) is not None:
            try:
                values[key] = check(told[key], num_joints)
            except (ValueError, OverflowError, TypeError, RuntimeError):  # numpy's and torch's, too, of what is no array
                complaints.append(f"{key} is {' '.join(shown(told[key]).split())[:100]}, not {check.__doc__}")
    return values, complaints


def sizes(joints):
    """(n,) of joints (..., V, 3): the longest side of the box around each body that is there, in their unit."""
    bodies = joints[joints.any(axis=(-1, -2))]
    return np.ptp(bodies, axis=-2).max(axis=-1)


def doubt(told):
    """What to say of a file whose bodies cannot be persons in metres, or ''. told: of Feeder.about. Rows of a picture, and axes
    that min_max stretched, have no metres."""
    size = told.get("body_size")
    if not size or told.get("coordinates") == 2 or told.get("min_max") or 0.1 <= size <= 10:
        return ""
    unit, factor = min((("millimetres", 1000), ("centimetres", 100)), key=lambda unit: abs(np.log(size / unit[1] / 1.7)))
    fits = 0.5 <= size / factor <= 5
    return f"bodies measure {size:.4g} m, persons about 1.7 m" + (
        f"; these are {unit}: divide x by {factor}" if fits else "; x has to be in metres"
    )


def _texts(value, _):
    """a list of names"""
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise ValueError
    texts = (text.decode() if isinstance(text, bytes) else str(text) for text in array.tolist())
    return ["".join(c if c.isprintable() else "?" for c in text) for text in texts]


def _joint_names(value, num_joints):
    """a name for every joint"""
    names = _texts(value, num_joints)
    if len(names) != num_joints:
        raise ValueError
    return names


def _number(value):
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise ValueError
    return float(array.item())


def _center(value, num_joints):
    """the number of a joint, or -1"""
    number = _number(value)
    if not number.is_integer() or not -1 <= number < num_joints:
        raise ValueError
    return int(number)


def _body_frame(value, num_joints):
    """the numbers of four joints"""
    array = np.asarray(value)
    if array.shape != (4,) or array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= num_joints:
        raise ValueError
    return array.tolist()


def _yes_or_no(value, _):
    """0 or 1"""
    number = _number(value)
    if number not in (0, 1):
        raise ValueError
    return int(number)


def _coordinates(value, _):
    """2 or 3"""
    number = _number(value)
    if number not in (2, 3):
        raise ValueError
    return int(number)


def _unit(value, _):
    """a number of metres above 0"""
    number = _number(value)
    if not 0 < number < np.inf:
        raise ValueError
    return number


def _second_body(value, _):
    """'zeros' or 'copy'"""
    word = str(np.asarray(value))
    if word not in ("zeros", "copy"):
        raise ValueError
    return word


def _how(value, _):
    """JSON of how the files of recordings were read"""
    text = str(np.asarray(value)) if not isinstance(value, dict) else json.dumps(value)
    told = json.loads(text)
    if not isinstance(told, dict) or any(type(part) not in (int, float, str, list) for part in told.values()):
        raise ValueError
    return told


KEYS = {
    "joint_names": _joint_names,
    "class_names": _texts,
    "center": _center,
    "body_frame": _body_frame,
    "min_max": _yes_or_no,
    "unit": _unit,
    "coordinates": _coordinates,
    "second_body": _second_body,
    "body_size": _unit,
    "how": _how,
}

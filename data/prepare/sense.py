"""Whether an array can be what a model was trained on: the order of its axes, its coordinates, its unit."""

import numpy as np

from data.prepare.transforms import UNITS
from feeder import about

AXES = ("TVC", "CTV", "MTVC", "CTVM", "TMVC")  # M bodies, T frames, V joints, C coordinates
WANTED = "wanted is (T, {0}, 3), frames x joints x xyz, or (M, T, {0}, 3) with bodies in front, or (3, T, {0}, M)"
CROWD = 10  # bodies; no recording has more
PERSON = 1.7  # metres; how large a body is in the data sets that the project knows
OTHER_UNIT = 20  # times larger or smaller is no other person but another unit


def arranged(array, num_joints, num_bodies, flat=None, axes=None):
    """An array in one of the orders AXES as (M, T, V, C), C = 2 or 3.

    num_joints, num_bodies: of the model; flat: whether it knows two coordinates, None if that is not known; axes: of AXES, the
    order if it is told. A batch of one is taken, too. Raises ValueError, without a file name, if none of the orders is possible,
    or several are.
    """
    array = np.asarray(array)
    if array.ndim == 5 and len(array) == 1:
        array = array[0]
    forms = [form for form in AXES if len(form) == array.ndim]
    forms = [form for form in forms if _size(form, array, "V") == num_joints and _size(form, array, "C") in (2, 3)]
    shape = " x ".join(map(str, array.shape)) or "a single value"
    if not forms or axes and axes not in forms:
        told = f", not in the order {axes}" if axes and forms else ""
        joints = array.shape[-2] if array.ndim in (3, 4) and array.shape[-1] in (2, 3) else num_joints
        told += "" if joints == num_joints else f", {joints} joints, the model knows {num_joints}"
        raise ValueError(f"{shape} of type {array.dtype}{told}; {WANTED.format(num_joints)}")
    for likely in (
        lambda form: form == axes,
        lambda form: flat is None or _size(form, array, "C") == (2 if flat else 3),
        lambda form: _size(form, array, "M") <= num_bodies,
        lambda form: _size(form, array, "M") <= CROWD,
    ):
        forms = [form for form in forms if likely(form)] or forms
    if len(forms) > 1 and array.shape[:2] != (1, 1):
        names = " or ".join(f"({', '.join(form)})" for form in forms)
        raise ValueError(
            f"{shape} may be {names}, M bodies, T frames, V joints, C coordinates; --axes {' or '.join(forms)} says which"
        )
    order = [forms[0].index(axis) for axis in "MTVC" if axis in forms[0]]
    array = array.transpose(order)
    return array if array.ndim == 4 else array[None]


def _size(form, array, axis):
    return array.shape[form.index(axis)] if axis in form else 1


def likely_unit(persons, size, *units):
    """Which of the `units`, metres per unit, makes persons (M, T, V, 3) most like those of the training data.

    size: of these in metres; if that is None, the first.
    """
    own = np.median(about.sizes(persons)) if persons.any() else 0
    if size is None or not own:
        return units[0]
    return min(units, key=lambda unit: abs(np.log(unit * own / size)))


def check(persons, flat=None, size=None, unit=1.0):
    """Raise ValueError, without a file name, if persons (M, T, V, 3) metres are not of the training data's kind.

    flat: whether these have two coordinates; size: of their bodies in metres (feeder.about.sizes); None: not known. unit: metres
    per unit in the file, to say which one it could be.
    """
    own_flat = not persons[..., 2].any()
    if flat is not None and flat != own_flat and persons.any():
        own, trained = ("two coordinates (z is 0)", "three") if own_flat else ("three coordinates", "two")
        raise ValueError(f"{own}, the model was trained on {trained}")
    sizes = about.sizes(persons)
    own = np.median(sizes) if len(sizes) else 0
    if size is None or not own or 1 / OTHER_UNIT < own / size < OTHER_UNIT:
        return
    factor = unit * size / own
    name = min(UNITS, key=lambda name: abs(np.log(UNITS[name] / factor)))
    given = next((word for word, metres in UNITS.items() if metres == unit), None)
    near = max(UNITS[name] / factor, factor / UNITS[name]) < 5 and name != given
    remedy = f"if its unit is {name}, give --unit {name}" if near else f"--scale {10.0 ** round(np.log10(factor)):g} would fit"
    as_is = f"--unit {given}" if given else f"--scale {unit:g}"
    raise ValueError(f"a body measures {own:.3g} m, in the training data {size:.3g} m; {remedy}; {as_is} takes it as it is")

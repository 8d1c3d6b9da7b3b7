"""Whether an array can be what a model was trained on: the order of its axes, its coordinates, its unit."""

import numpy as np

from data.prepare import checks
from data.prepare.transforms import UNITS, described
from feeder.metadata import body_sizes

AXES = ("TVC", "CTV", "MTVC", "CTVM", "TMVC")  # M bodies, T frames, V joints, C coordinates
WANTED = "wanted is (T, {0}, 3), frames x joints x xyz, or (M, T, {0}, 3) with bodies in front, or (3, T, {0}, M)"
MAX_BODIES = checks.MOST_BODIES
PERSON_SIZE = 1.7  # metres; how large a body is in the published data sets
OTHER_UNIT = 20  # times larger or smaller is no other person but another unit


def arrange(array, num_joints, num_bodies, flat=None, axes=None):
    """An array in one of the orders AXES as (M, T, V, C), C = 2 or 3.

    num_joints, num_bodies: of the model; flat: whether it knows two coordinates, None if that is not known; axes: of AXES, the
    order if the user gives it. A batch of one is taken, too. Raises ValueError, without a file name, if none of the orders is
    possible, or several are.
    """
    array = np.asarray(array)
    if array.ndim == 5 and len(array) == 1:
        array = array[0]

    def size(order, axis):
        return array.shape[order.index(axis)] if axis in order else 1

    orders = [order for order in AXES if len(order) == array.ndim]
    orders = [order for order in orders if size(order, "V") == num_joints and size(order, "C") in (2, 3)]
    if not orders or axes and axes not in orders:
        problem = f", not in the order {axes}" if axes and orders else ""
        joints = array.shape[-2] if array.ndim in (3, 4) and array.shape[-1] in (2, 3) else num_joints
        problem += "" if joints == num_joints else f", {joints} joints, the model knows {num_joints}"
        raise ValueError(f"{described(array)}{problem}; {WANTED.format(num_joints)}")
    for likely in (  # each rule counts unless it leaves nothing
        lambda order: order == axes,
        lambda order: flat is None or size(order, "C") == (2 if flat else 3),
        lambda order: size(order, "M") <= num_bodies,
        lambda order: size(order, "M") <= MAX_BODIES,
    ):
        orders = [order for order in orders if likely(order)] or orders
    if len(orders) > 1 and array.shape[:2] != (1, 1):
        names = " or ".join(f"({', '.join(order)})" for order in orders)
        shape, which = " x ".join(map(str, array.shape)), " or ".join(orders)
        raise ValueError(f"{shape} may be {names}, M bodies, T frames, V joints, C coordinates; --axes {which} says which")
    array = array.transpose([orders[0].index(axis) for axis in "MTVC" if axis in orders[0]])
    return array if array.ndim == 4 else array[None]


def likely_unit(persons, size, *units):
    """Which of the `units`, metres per unit, makes persons (M, T, V, 3) most like those of the training data.

    size: of these in metres; if that is None, the first.
    """
    measured = np.median(body_sizes(persons)) if persons.any() else 0
    if size is None or not measured:
        return units[0]
    return min(units, key=lambda unit: abs(np.log(unit * measured / size)))


def check_like_training(persons, flat=None, size=None, unit=1.0):
    """Raise ValueError, without a file name, if persons (M, T, V, 3) metres are not of the training data's kind.

    flat: whether these have two coordinates; size: of their bodies in metres (feeder.metadata.body_sizes); None: not known.
    unit: metres per unit in the file, to say which one it could be.
    """
    if not persons.any():
        return
    is_flat = not persons[..., 2].any()
    if flat is not None and flat != is_flat:
        here, there = ("two coordinates (z is 0)", "three") if is_flat else ("three coordinates", "two")
        raise ValueError(f"{here}, the model was trained on {there}")
    measured = np.median(body_sizes(persons))
    if size is None or not measured or 1 / OTHER_UNIT < measured / size < OTHER_UNIT:
        return
    factor = unit * size / measured  # metres per unit that would make these bodies as large as those
    name = min(UNITS, key=lambda name: abs(np.log(UNITS[name] / factor)))
    given = next((word for word, metres in UNITS.items() if metres == unit), None)
    near = max(UNITS[name] / factor, factor / UNITS[name]) < 5 and name != given
    remedy = f"if its unit is {name}, give --unit {name}" if near else f"--scale {10.0 ** round(np.log10(factor)):g} would fit"
    as_is = f"--unit {given}" if given else f"--scale {unit:g}"
    raise ValueError(f"a body measures {measured:.3g} m, in the training data {size:.3g} m; {remedy}; {as_is} takes it as it is")

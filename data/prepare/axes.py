"""The order of an array's axes, as letters: M bodies, T frames, V joints, C coordinates, 2 or 3."""

import numpy as np

from data.prepare.transforms import describe_array

MOST_BODIES = 10  # no recording has more
ORDERS = ("TVC", "VCT", "CTV", "TCV", "MTVC", "TMVC", "CTVM", "TVCM", "VCTM", "MTCV")  # in which data sets are distributed
GUESSED = ("TVC", "CTV", "MTVC", "CTVM", "TMVC")  # considered by `guess`
WANTED = "wanted is (T, {0}, 3), frames x joints x xyz, or (M, T, {0}, 3) with bodies in front, or (3, T, {0}, M)"


def to_mtvc(array, order):
    """A view (M, T, V, C) of an array whose axes are in this order; without M in the order it has one body."""
    if "M" not in order:
        array, order = array[None], "M" + order
    return array.transpose([order.index(axis) for axis in "MTVC"])


def possible_orders(shape, orders=ORDERS, coordinates=(2, 3), num_joints=None):
    """{order: {axis: length}} of those orders in which an array of this shape has a valid number of coordinates and, if given,
    num_joints joints. For orders without M, M is 1."""
    sizes = {order: {"M": 1} | dict(zip(order, shape, strict=True)) for order in orders if len(order) == len(shape)}
    return {order: size for order, size in sizes.items() if size["C"] in coordinates and num_joints in (None, size["V"])}


def guess(array, num_joints, num_bodies, flat=None, order=None):
    """An array, or a batch of one, as (M, T, V, C) for a model of num_joints joints and num_bodies bodies.

    flat: whether the model was trained on 2D data, None if not known. order: the order of axes, if the user gave it. Raises
    ValueError (without file name) if no order is possible, or several are.
    """
    array = np.asarray(array)
    if array.ndim == 5 and len(array) == 1:
        array = array[0]
    shape = array.shape
    orders = possible_orders(shape, (order,) if order else GUESSED, num_joints=num_joints)
    if not orders:
        problem = f", not in the order {order}" if order else ""
        joints = shape[-2] if array.ndim in (3, 4) and shape[-1] in (2, 3) else num_joints
        problem += "" if joints == num_joints else f", {joints} joints, the model knows {num_joints}"
        raise ValueError(f"{describe_array(array)}{problem}; {WANTED.format(num_joints)}")
    for likely in (  # a rule that would exclude every order is ignored
        lambda size: flat is None or size["C"] == (2 if flat else 3),
        lambda size: size["M"] <= num_bodies,
        lambda size: size["M"] <= MOST_BODIES,
    ):
        orders = {order: size for order, size in orders.items() if likely(size)} or orders
    if len(orders) > 1 and shape[:2] != (1, 1):
        names, which = " or ".join(f"({', '.join(order)})" for order in orders), " or ".join(orders)
        given = " x ".join(map(str, shape))
        raise ValueError(f"{given} may be {names}, M bodies, T frames, V joints, C coordinates; --axes {which} says which")
    return to_mtvc(array, next(iter(orders)))

"""Units of length, and what the size of bodies says of them. A unit is a number: metres per unit of a file."""

import numpy as np

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
NAMED = tuple(UNITS.values())
CMU = 0.0254 / 0.45  # of the BVH files of CMU's motions
PERSON = 1.7  # metres; how large a body is in the published data sets
STANDING = 0.5, 3.0  # metres; people who stand, perhaps with raised hands
PLAUSIBLE = 0.1, 10.0  # metres; bodies of any kind
OTHER_UNIT = 20  # times larger or smaller is no other person but another unit


def body_sizes(joints):
    """(n,) of joints (..., V, 3): the longest side of the box around each body that is not all zero, in their unit."""
    bodies = joints[joints.any(axis=(-1, -2))]
    return np.ptp(bodies, axis=-2).max(axis=-1)


def body_size(joints):
    """The median of `body_sizes`; 0 if nobody is there."""
    sizes = body_sizes(np.asarray(joints, np.float64))
    return float(np.median(sizes)) if len(sizes) else 0.0


def likely_unit(size, wanted=PERSON, units=NAMED):
    """Which of the `units` brings a body of this size, in the unit of its file, closest to `wanted` metres; if one of the two
    sizes is not known (0 or None), the first."""
    return min(units, key=lambda unit: abs(np.log(unit * size / wanted))) if size and wanted else units[0]


def unit_name(unit):
    """'m', 'cm' or 'mm'; None for another unit."""
    return next((name for name, metres in UNITS.items() if metres == unit), None)


def unit_option(unit):
    """The option by which a command takes a unit."""
    name, scale = unit_name(unit), f"--scale {unit:.4g}"
    return f"--unit {name}" if name else scale + ", CMU's unit," * (unit == CMU)


def _within(size, limits):
    return limits[0] <= size <= limits[1]


# ---- what to say, or '': of files that are prepared, of an npz, and of recordings for a model -------------------------------


def doubt_unit(size, unit, limits=PLAUSIBLE):
    """size: of the bodies in files of this unit, in that unit; limits: metres that are not doubted."""
    if not size or _within(size * unit, limits):
        return ""
    fitting = [unit_option(other) for other in (*NAMED, CMU) if _within(size * other, STANDING)]
    remedy = fitting[0] if fitting else "--unit or --scale (metres per unit)"
    return f"a body extends over {size * unit:.3g} m; {remedy} would fit"


def unit_warning(metadata):
    """metadata: of Feeder.metadata. Pixels of a picture, and axes that min_max stretched, have no metres."""
    size = metadata.get("body_size")
    if not size or metadata.get("coordinates") == 2 or metadata.get("min_max") or _within(size, PLAUSIBLE):
        return ""
    unit, remedy = likely_unit(size), "x has to be in metres"
    if 0.5 <= size * unit <= 5:
        remedy = f"these are {'milli' if unit == UNITS['mm'] else 'centi'}metres: divide x by {1 / unit:g}"
    return f"bodies measure {size:.4g} m, persons about {PERSON} m; {remedy}"


def doubt_likeness(size, wanted, unit):
    """size: of bodies in metres, if their file is in this unit; wanted: of the training data's, None if not known."""
    if not size or not wanted or 1 / OTHER_UNIT < size / wanted < OTHER_UNIT:
        return ""
    likely, fitting = likely_unit(size / unit, wanted), unit * wanted / size  # the second makes them as large as those
    remedy = f"--scale {10.0 ** round(np.log10(fitting)):g} would fit"
    if 1 / 5 < likely / fitting < 5 and likely != unit:
        remedy = f"if its unit is {unit_name(likely)}, give {unit_option(likely)}"
    as_is = f"{unit_option(unit)} takes it as it is"
    return f"a body measures {size:.3g} m, in the training data {wanted:.3g} m; {remedy}; {as_is}"

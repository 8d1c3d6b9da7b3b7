"""Units of length, and warnings if the size of bodies does not fit the unit. A unit is a number: metres per unit of a file."""

import numpy as np

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
NAMED, METRES = tuple(UNITS.values()), "metres"
CMU = 0.0254 / 0.45  # of the BVH files of CMU's motions
PERSON = 1.7  # metres; size of a body in the published data sets
STANDING = 0.5, 3.0  # metres; people who stand, perhaps with raised hands
PLAUSIBLE = 0.1, 10.0  # metres; bodies of any kind
OTHER_UNIT = 20  # a body that many times larger or smaller is in another unit


def body_sizes(joints):
    """joints (..., V, 3) -> (n,): for each body that is not all zero the longest side of its bounding box, in the same unit."""
    bodies = joints[joints.any(axis=(-1, -2))]
    return np.ptp(bodies, axis=-2).max(axis=-1)


def body_size(joints):
    """The median of `body_sizes`; 0 if nobody is there."""
    sizes = body_sizes(np.asarray(joints, np.float64))
    return float(np.median(sizes)) if len(sizes) else 0.0


def likely_unit(size, wanted=PERSON, units=NAMED):
    """The one of `units` in which a body of this size is closest to `wanted` metres; the first if size or wanted is not known (0
    or None)."""
    return min(units, key=lambda unit: abs(np.log(unit * size / wanted))) if size and wanted else units[0]


def unit_name(unit):
    """'m', 'cm' or 'mm'; None for another unit."""
    return next((name for name, metres in UNITS.items() if metres == unit), None)


def unit_of(metadata):
    """What the coordinates of an npz are in, from Feeder.file_metadata: METRES, or what to write instead."""
    if metadata.get("min_max"):
        return "scaled to −1 … 1"
    return "no unit" if metadata.get("coordinates") == 2 else METRES


def unit_option(unit):
    """The command-line option that sets this unit."""
    name, scale = unit_name(unit), f"--scale {unit:.4g}"
    return f"--unit {name}" if name else scale + ", CMU's unit," * (unit == CMU)


def _within(size, limits):
    return limits[0] <= size <= limits[1]


# ---- warnings, or '': for files to be prepared, for an npz, and for recordings given to a model ----------------------------


def doubt_unit(size, unit, limits=PLAUSIBLE):
    """A warning if bodies of this size, in this unit, are outside the limits in metres, else ''."""
    if not size or _within(size * unit, limits):
        return ""
    fitting = [unit_option(other) for other in (*NAMED, CMU) if _within(size * other, STANDING)]
    remedy = fitting[0] if fitting else "--unit or --scale (metres per unit)"
    return f"a body extends over {size * unit:.3g} m; {remedy} would fit"


def doubt_pixels(size, unit):
    """A warning if 2D bodies of this size, in this unit, are too large for models, as pixels are, else ''."""
    if size * unit <= PLAUSIBLE[1]:
        return ""
    scale = f"{PERSON / size:.1g}"
    return f"a body extends over {size * unit:.3g}, like pixels; models expect about {PERSON}: --scale {scale} --center JOINT"


def unit_warning(metadata):
    """A warning about an npz, from Feeder.metadata. 2D keypoints and data scaled by min_max are not in metres and not checked."""
    size = metadata.get("body_size")
    if not size or metadata.get("coordinates") == 2 or metadata.get("min_max") or _within(size, PLAUSIBLE):
        return ""
    unit, remedy = likely_unit(size), "x has to be in metres"
    if 0.5 <= size * unit <= 5:
        remedy = f"these are {'milli' if unit == UNITS['mm'] else 'centi'}metres: divide x by {1 / unit:g}"
    return f"bodies measure {size:.4g} m, persons about {PERSON} m; {remedy}"


def doubt_likeness(size, wanted, unit):
    """A warning if bodies, `size` metres if their file is in this unit, differ too much from the training data's `wanted` metres
    (None if not known), else ''."""
    if not size or not wanted or 1 / OTHER_UNIT < size / wanted < OTHER_UNIT:
        return ""
    likely, fitting = likely_unit(size / unit, wanted), unit * wanted / size  # the second makes them as large as those
    remedy = f"--scale {10.0 ** round(np.log10(fitting)):g} would fit"
    if 1 / 5 < likely / fitting < 5 and likely != unit:
        remedy = f"if its unit is {unit_name(likely)}, give {unit_option(likely)}"
    as_is = f"{unit_option(unit)} takes it as it is"
    return f"a body measures {size:.3g} m, in the training data {wanted:.3g} m; {remedy}; {as_is}"

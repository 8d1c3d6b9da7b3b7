"""Parts of the figures in figures.py: the page (1000 pixels wide, readable on a phone), rows of bodies, maps, curves, marks."""

import textwrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from report import skeletons
from report.skeletons import GRID, INK, PAPER

WIDTH, DPI = 6.25, 160  # inches, pixels per inch
MOMENTS = 4  # number of frames in which bodies are drawn
TRUE, GUESS, BONE, PALE, HIDDEN = "#0072b2", "#d55e00", "#b4bac2", "#f7d9b5", "#fcf0e2"
LONGEST_NAME = 17  # letters of a joint's name that fit next to a map


def new(heading, sample, source, heights, note=""):
    """(Figure, a SubFigure for each height in inches): heading, names of sequence and model, the rows, a note."""
    note = textwrap.fill(note, 86, break_on_hyphens=False)
    heights = [0.82, *heights, 0.165 * (note.count("\n") + 1) + 0.15]
    figure = Figure(figsize=(WIDTH, sum(heights)), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    top, *rows, foot = figure.subfigures(len(heights), height_ratios=heights)
    style = {"va": "top", "color": INK, "parse_math": False}
    for y, text, size, weight in ((0.88, heading, 13.5, "bold"), (0.53, sample.title, 10.5, None), (0.29, source, 10.5, None)):
        skeletons.fit(top.text(0.016, y, text, fontsize=size, fontweight=weight, **style))
    skeletons.fit(foot.text(0.016, 0.9, note, fontsize=9.5, linespacing=1.15, **style))
    return figure, rows


def body_row(row, sample, moments, side=None):
    """Bodies at frames `moments` in a SubFigure, grey unless sides are given: [(frame, Axes, its skeletons.Body)]."""
    drawn, extent = [], skeletons.limits(sample.joints)
    for ax, t in zip(row.subplots(1, len(moments), squeeze=False)[0], moments, strict=True):
        skeletons.prepare(ax, *extent)
        ax.tick_params(labelbottom=False, labelleft=False)
        ax.set_title(f"frame {t + 1}", fontsize=10, color=INK, pad=3)
        drawn.append((t, ax, skeletons.draw_bodies(ax, sample.joints[t], sample.parents, side)))
        if side is None:
            grey(drawn[-1][2])
    return drawn


def body_height(sample, count=MOMENTS):
    """Inches of a row of `count` drawings of the bodies."""
    across, up = skeletons.limits(sample.joints)
    return float(np.clip(5.92 / count * np.ptp(up) / np.ptp(across), 1.0, 10.4 / count)) + 0.29


def map_height(sample):
    """Inches of a row with a map."""
    return 0.16 * len(sample.names) + 0.75


def evenly(sample):
    """MOMENTS frames, in the middle of as many equal parts."""
    count = min(MOMENTS, len(sample.joints))
    return ((np.arange(count) + 0.5) * len(sample.joints) / count).astype(int)


def strongest(strength):
    """For each of MOMENTS equal parts, the frame with the largest strength (T,)."""
    parts = np.array_split(np.arange(len(strength)), min(MOMENTS, len(strength)))
    return np.array([part[strength[part].argmax()] for part in parts])


def joint_map(ax, sample, values, title, cmap, norm, unit="segment", named=True):
    """values (T', V) as a map joints × segments, joints grouped by limb. Returns the image, for `colour_bar`. named: whether to
    write the joints' names."""
    limbs = sample.limbs()
    order = [v for limb in limbs for v in limb]
    image = ax.pcolormesh(values[:, order].T, cmap=cmap, norm=norm)
    ax.hlines(np.cumsum([len(limb) for limb in limbs])[:-1], 0, len(values), color="white", linewidth=1.6)
    ax.set_ylim(len(order), 0)
    ax.set_yticks(np.arange(len(order)) + 0.5, [shortened(sample.names[v]) for v in order] if named else [])
    ax.set_title(title, fontsize=9, color=INK, pad=3, parse_math=False)
    number_from_one(ax, len(values))
    quiet(ax, unit)
    return image


def number_from_one(ax, count):
    """Number segments (or frames) on the horizontal axis from 1."""
    step = -(-count // 6)
    ticks = np.arange(step - 1, count, step)
    ax.set_xlim(0, count)
    ax.set_xticks(ticks + 0.5, ticks + 1)


def quiet(ax, xlabel="", ylabel=""):
    """Large labels, no frame."""
    ax.tick_params(colors=INK, labelsize=9, length=0, pad=3)
    ax.set_xlabel(xlabel, fontsize=10, color=INK, labelpad=2)
    ax.set_ylabel(ylabel, fontsize=10, color=INK, labelpad=3)
    ax.spines[:].set_visible(False)


def curve_axes(ax, xlabel, ylabel):
    """A few horizontal lines to read values from."""
    ax.grid(axis="y", color=GRID, linewidth=1)
    ax.set_axisbelow(True)
    ax.yaxis.set_major_locator(MaxNLocator(4))
    quiet(ax, xlabel, ylabel)


def colour_bar(image, unit, axes=None):
    """Colour bar to the right of a map, or of all in `axes`."""
    bar = image.axes.figure.colorbar(image, ax=image.axes if axes is None else axes, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5))
    bar.formatter.set_powerlimits((-2, 3))
    quiet(bar.ax, ylabel=unit)


def dot(colour, face=None):
    """Legend: a dot, or a ring filled with `face`."""
    style = {"color": colour, "markerfacecolor": face or colour, "markeredgewidth": 1.6}
    return {"marker": "o", "linestyle": "", "markersize": 7, **style}


def line(colour, **style):
    """Legend or curve: a line."""
    return {"color": colour, "linewidth": 2.2, **style}


def shortened(name):
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def grey(bodies):
    """Draw bodies in grey, as background."""
    for body in bodies:
        body.bones.set_color(BONE)
        body.dots.set(facecolor=BONE)


def show_mask(bodies, hidden):
    """Hidden joints (M, V) as orange rings, visible ones as larger blue dots."""
    for body, rings in zip(bodies, hidden, strict=True):
        body.dots.set(facecolor=np.where(rings, "#ffffff", TRUE), edgecolor=np.where(rings, GUESS, TRUE), linewidths=1.2)
        body.dots.set_sizes(np.where(rings, 14, 44))


def show_values(bodies, values, cmap, norm):
    """values (M, V) as colours of the joints; joints are larger the farther the value is from zero."""
    for body, each in zip(bodies, values, strict=True):
        body.dots.set(facecolor=cmap(norm(each)), edgecolor=BONE, linewidths=0.6)
        body.dots.set_sizes(8 + 90 * np.minimum(1, np.abs(each) / norm.vmax))


def point(arrows, start, vectors):
    """Move a quiver's arrows. start: (K, 2), NaN to hide an arrow. vectors: (K, 2)."""
    there = ~np.isnan(start[:, 0])
    arrows.set_offsets(np.where(there[:, None], start, 0))
    arrows.set_UVC(*np.ma.masked_array(vectors, np.repeat(~there[:, None], 2, axis=1)).T)

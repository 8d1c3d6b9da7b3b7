"""A figure 1000 pixels wide that a phone can show: title, rows of bodies, maps and curves, a note at the foot.

Blue is what is true or seen, orange what is predicted or hidden (colours that colour-blind people tell apart); shape or size say
the same once more.
"""

import textwrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from report import plots

WIDTH, DPI = 6.25, 160  # inches, pixels per inch
MOMENTS = 4  # at which bodies are drawn
TRUE, GUESS, BONE, PALE, SEEN = "#0072b2", "#d55e00", "#b4bac2", "#f7d9b5", "#d5e8f5"
NAME = 17  # letters of a joint's name that fit beside a map


class Page:
    """Rows of Axes, one below the other; heights and margins in inches. `rows` has a height for each."""

    def __init__(self, heading, sample, source, rows, note=""):
        note = textwrap.fill(note, 86, break_on_hyphens=False)
        foot = 0.165 * (note.count("\n") + 1) + 0.15 if note else 0.1
        self.rows, self.y, self.height = list(rows), 0.82, 0.82 + sum(rows) + foot
        self.figure = Figure(figsize=(WIDTH, self.height), dpi=DPI, facecolor=plots.PAPER)
        FigureCanvasAgg(self.figure)
        plots.fit(self._text(0.1, heading, fontsize=13.5, fontweight="bold"))
        for y, text in ((0.38, sample.title), (0.58, source)):
            plots.fit(self._text(y, text, fontsize=10.5))
        plots.fit(self._text(self.height - foot + 0.04, note, fontsize=9.5))
        self.sample = sample

    def _text(self, y, text, **style):
        place = {"x": 0.1 / WIDTH, "y": 1 - y / self.height, "va": "top"}
        return self.figure.text(s=text, **place, color=plots.INK, linespacing=1.15, parse_math=False, **style)

    def row(self, count=1, left=0.1, right=0.1, top=0.25, bottom=0.05, gap=0.12):
        """The Axes of the next row."""
        height = self.rows.pop(0)
        width = (WIDTH - left - right - gap * (count - 1)) / count
        self.y += height
        box = 1 - (self.y - bottom) / self.height, width / WIDTH, (height - top - bottom) / self.height
        return [self.figure.add_axes(((left + i * (width + gap)) / WIDTH, *box)) for i in range(count)]

    def bodies(self, moments, title="", side=None):
        """The next row: bodies at frames `moments`, grey unless sides are given: [(frame, Axes, its plots.Body)]."""
        drawn, extent = [], plots.limits(self.sample.joints)
        above = ScaledTranslation(0, 0.24, self.figure.dpi_scale_trans)
        for i, (ax, t) in enumerate(zip(self.row(len(moments), top=0.44 if title else 0.24), moments, strict=True)):
            plots.prepare(ax, *extent)
            ax.tick_params(labelbottom=False, labelleft=False)
            heading(ax, f"frame {t + 1}")
            if title and i == 0:
                ax.text(0, 1, title, transform=ax.transAxes + above, fontsize=10.5, fontweight="bold", color=plots.INK)
            people = enumerate(self.sample.joints[t])
            drawn.append((t, ax, [plots.draw_skeleton(ax, body, self.sample.parents, side, m) for m, body in people]))
            if side is None:
                grey(drawn[-1][2])
        return drawn

    def legend(self, entries):
        """The next row says what lines and dots mean: [(text, Line2D keywords)]."""
        height = self.rows.pop(0)
        self.y += height
        legend(self.figure, entries, loc="center", bbox_to_anchor=(0.5, 1 - (self.y - height / 2) / self.height), fontsize=10.5)


def body_height(sample, title=False):
    """Inches of a row of bodies."""
    across, up = plots.limits(sample.joints)
    return float(np.clip(1.48 * np.ptp(up) / np.ptp(across), 1.0, 2.6)) + (0.49 if title else 0.29)


def map_height(sample):
    """Inches of a row with a map."""
    return 0.16 * len(sample.names) + 0.75


def evenly(sample):
    """MOMENTS frames, in the middle of as many equal parts."""
    count = min(MOMENTS, len(sample.joints))
    return ((np.arange(count) + 0.5) * len(sample.joints) / count).astype(int)


def strongest(strength):
    """Of each of MOMENTS equal parts the frame in which strength (T,) is largest."""
    parts = np.array_split(np.arange(len(strength)), min(MOMENTS, len(strength)))
    return np.array([part[strength[part].argmax()] for part in parts])


def joint_map(ax, values, names, title, cmap, norm, unit="segment"):
    """values (T', V) as a map joints × segments; without names a neighbour has them. Returns what a colour bar needs."""
    image = ax.pcolormesh(values.T, cmap=cmap, norm=norm)
    ax.set_ylim(values.shape[1], 0)
    ax.set_yticks(np.arange(values.shape[1]) + 0.5, [] if names is None else [shortened(name) for name in names])
    heading(ax, title)
    over_segments(ax, len(values), unit)
    return image


def over_segments(ax, count, unit="segment"):
    """The horizontal axis counts segments (or frames) from 1."""
    step = -(-count // 6)
    ticks = np.arange(step - 1, count, step)
    ax.set_xlim(0, count)
    ax.set_xticks(ticks + 0.5, ticks + 1)
    quiet(ax, unit)


def quiet(ax, xlabel="", ylabel=""):
    """Labels large enough for a phone, no frame."""
    ax.tick_params(colors=plots.INK, labelsize=9, length=0, pad=3)
    ax.set_xlabel(xlabel, fontsize=10, color=plots.INK, labelpad=2)
    ax.set_ylabel(ylabel, fontsize=10, color=plots.INK, labelpad=3)
    for spine in ax.spines.values():
        spine.set_visible(False)


def curve_axes(ax, xlabel, ylabel):
    """A few horizontal lines to read values from."""
    ax.grid(axis="y", color=plots.GRID, linewidth=1)
    ax.set_axisbelow(True)
    ax.yaxis.set_major_locator(MaxNLocator(4))
    quiet(ax, xlabel, ylabel)


def heading(ax, text, loc="center"):
    ax.set_title(text, fontsize=10, color=plots.INK, pad=3, loc=loc, parse_math=False)


def colour_bar(ax, image, unit):
    """To the right of a map."""
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.03, 0, 0.04, 1)))
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5))
    bar.formatter.set_powerlimits((-2, 3))
    bar.ax.yaxis.get_offset_text().set(fontsize=9, color=plots.INK)
    bar.ax.tick_params(colors=plots.INK, labelsize=9, length=0)
    bar.set_label(unit, fontsize=10, color=plots.INK)


def dot(colour, face=None):
    """A dot, or a ring filled with `face`, in a legend."""
    style = {"color": colour, "markerfacecolor": face or colour, "markeredgewidth": 1.6}
    return {"marker": "o", "linestyle": "", "markersize": 7, **style}


def line(colour, **style):
    return {"color": colour, "linewidth": 2.2, **style}


def legend(figure, entries, fontsize=8, **place):
    place = place or {"loc": "lower center"}
    lines = [Line2D([], [], **style) for _, style in entries]
    figure.legend(
        lines,
        [text for text, _ in entries],
        **place,
        ncols=len(entries),
        fontsize=fontsize,
        labelcolor=plots.INK,
        frameon=False,
        handlelength=1.5,
        columnspacing=1.2,
        handletextpad=0.5,
    )


def shortened(name):
    return name if len(name) <= NAME else name[: NAME - 1] + "…"


def grey(bodies):
    """Bodies that are the background of something else."""
    for body in bodies:
        body.bones.set_color(BONE)
        body.dots.set(facecolor=BONE)


def show_mask(bodies, hidden):
    """Hidden joints (M, V) as orange rings, visible ones as larger blue dots."""
    for body, rings in zip(bodies, hidden, strict=True):
        body.dots.set(facecolor=np.where(rings, "#ffffff", TRUE), edgecolor=np.where(rings, GUESS, TRUE), linewidths=1.2)
        body.dots.set_sizes(np.where(rings, 14, 44))


def show_values(bodies, values, cmap, norm):
    """Joints (M, V) by colour, and the larger the farther from zero."""
    for body, each in zip(bodies, values, strict=True):
        body.dots.set(facecolor=cmap(norm(each)), edgecolor=BONE, linewidths=0.6)
        body.dots.set_sizes(8 + 90 * np.minimum(1, np.abs(each) / norm.vmax))


def point(arrows, start, vectors):
    """Move a quiver: start (K, 2), NaN for none; vectors (K, 2)."""
    there = ~np.isnan(start[:, 0])
    arrows.set_offsets(np.where(there[:, None], start, 0))
    arrows.set_UVC(*np.ma.masked_array(vectors, np.repeat(~there[:, None], 2, axis=1)).T)

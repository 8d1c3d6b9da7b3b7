"""Charts for a web page as SVG text: curves over epochs, the confusion matrix, t-SNE points, moving skeletons.

Matplotlib draws on a transparent background; its black becomes the page's text colour, and the other colours suit light and dark
pages and colour-blind readers. The mouse shows the numbers of each mark.
"""

import io
import itertools
import math
import re
import textwrap
import warnings

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from util import confusion

BLUE, ORANGE, GREEN = "#2f7fc4", "#d9731f", "#009e73"
# of classes: the 7 colours of Okabe and Ito (for colour-blind readers) that are visible on white, times 18 markers
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", "h", "*", ">", "d", (4, 1), (6, 1), (8, 1), "8", "H")
LEGEND_ROWS = 24
SVG_FRAMES = 48  # largest number of poses of a moving skeleton
HOVERED = 400  # largest number of points of a curve that show their numbers


def to_svg(figure, label, places=(), texts=(), size=8):
    """A Figure as SVG for a page; the text is reproducible.

    label: description for screen readers. texts: shown by the mouse at places (x, y) of the first Axes, on squares of `size`
    pixels or, with None, 1 data unit.
    """
    figure.set_dpi(72)  # so that the figure's pixels are those of the SVG
    file = io.StringIO()
    with rc_context({"svg.hashsalt": "mamp", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # characters that matplotlib's font lacks; browsers have them
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = file.getvalue()
    body = drawing[drawing.index("<defs") : drawing.rindex("</svg>")].replace("#000000", "currentColor").replace("\n", "")
    body = re.sub(r"<style.*?</style>|font-family: [^;\"]*;?", "", re.sub(r'<g id="[^"]*">', "<g>", body))
    width, height = figure.bbox.size
    if len(places):
        to_pixels = figure.axes[0].transData.transform
        size = size or np.abs(to_pixels((1, 1)) - to_pixels((0, 0))).min()
        corners = to_pixels(np.asarray(places, float)) * (1, -1) + (-size / 2, height - size / 2)
        square = Markup('<rect class="hover" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')
        body += "".join(square.format(x, y, size, size, text) for (x, y), text in zip(corners, texts, strict=True))
    svg = Markup('<svg viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}" role="img" aria-label="{}">{}</svg>')
    return svg.format(width, height, width, label, Markup(body))


def curves(series, ylabel):
    """SVG of lines over epochs, without non-finite values; None if nothing is left. series: {name: [(epoch, y), ...]}."""
    lines = {name: [line] for name, line in series.items()}
    looks = zip(series, itertools.cycle([(BLUE, "-"), (ORANGE, "-"), (GREEN, "-")]), strict=False)
    return curves_of_runs(lines, ylabel, dict(looks), legend="inside")


def curves_of_runs(groups, ylabel, looks, legend="below"):
    """SVG of groups of lines over epochs: thin lines, and a bold one for a group's mean over the epochs that all its lines have.
    Without non-finite values; None if nothing is left.

    groups: {name: [[(epoch, y), ...], ...]}. looks: {name: (colour, line style)}. legend: 'below', or 'inside' if there are
    several groups.
    """
    groups = {name: [{epoch: y for epoch, y in line if math.isfinite(y)} for line in lines] for name, lines in groups.items()}
    groups = {name: list(filter(None, lines)) for name, lines in groups.items() if any(lines)}
    if not groups:
        return None
    names = {name: textwrap.fill(name, 66) for name in groups}  # in the legend
    rows = sum(1 + name.count("\n") for name in names.values()) if legend == "below" else 0
    figure = Figure(figsize=(5, 2.9 + 0.22 * rows), layout="constrained")
    ax = figure.add_subplot(xlabel="epoch", ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#8888884d")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.get_major_formatter().set_useOffset(False)
    places, texts = [], []
    for name, lines in groups.items():
        colour, style = looks[name]
        for line in lines if len(lines) > 1 else ():
            ax.plot(*zip(*line.items(), strict=True), color=colour, linestyle=style, linewidth=0.8, alpha=0.5)
        epochs = sorted(set.intersection(*map(set, lines)))
        mean = [sum(line[epoch] for line in lines) / len(lines) for epoch in epochs]
        ax.plot(epochs, mean, color=colour, linestyle=style, label=names[name], marker="o" if len(epochs) == 1 else None)
        label = name if len(lines) == 1 else f"{name}, mean of {len(lines)}"
        for epoch, value in list(zip(epochs, mean, strict=True))[:: -(-len(epochs) // HOVERED) or 1]:
            places.append((epoch, value))
            texts.append(f"{label}, epoch {epoch}: {value:.5g}")
    later = np.array([y for lines in groups.values() for line in lines for y in list(line.values())[1:]])
    if len(later) >= 10 and ax.dataLim.height > 2 * np.ptp(later) > 0:  # otherwise the first epoch's value would flatten the rest
        ax.set_ylim(later.min() - 0.1 * np.ptp(later), later.max() + 0.1 * np.ptp(later))
    if legend == "below" or len(groups) > 1:
        below = {"loc": "outside lower left", "fontsize": 9}
        shown = figure.legend(frameon=False, **below) if legend == "below" else ax.legend(frameon=False)
        for text in shown.get_texts():
            text.set_parse_math(False)
    return to_svg(figure, f"{ylabel} over epochs", places, texts)


def confusion_matrix(counts, class_names):
    """SVG of a confusion matrix (K, K), see util.confusion.figure."""
    figure, classes = confusion.figure(counts, class_names)
    position, share = {k: i for i, k in enumerate(classes)}, confusion.shares(counts)
    places = [(position[p], position[t]) for t, p in np.argwhere(counts)]
    texts = [
        f"{class_names[t]} → {class_names[p]}: {counts[t, p]} of {counts[t].sum()} ({share[t, p]:.1%})"
        for t, p in np.argwhere(counts)
    ]
    return to_svg(figure, "confusion matrix: rows are true classes, columns predicted ones", places, texts, size=None)


def tsne(features, perplexity, seed):
    """(N, D) -> (N, 2): t-SNE initialised with principal components. Raises ValueError if all features are the same."""
    from sklearn.manifold import TSNE  # here, since importing it takes a second

    features = np.asarray(features, np.float64)
    if not np.ptp(features, axis=0).any():
        raise ValueError("the features of all sequences are the same; there is nothing to draw")
    return TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(features)


def scatter(panels, labels, names, wrong=None, centres=False):
    """A Figure with panels of points, coloured by class, side by side.

    panels: {title: (N, 2) points}, the same samples in each. names: {label: its name in the legend}. wrong: (N,) bool, drawn
    hollow. centres: write class names among the points, too.
    """
    columns = -(-len(names) // LEGEND_ROWS)
    side = 8 if len(panels) == 1 else 6.4
    figure = Figure(figsize=(0.4 + side * len(panels) + 1.6 * columns, side), layout="constrained")
    blank = {"xticks": [], "yticks": [], "aspect": "equal", "adjustable": "datalim"}
    axes = figure.subplots(1, len(panels), squeeze=False, subplot_kw=blank)[0]
    size = float(np.clip(20000 / len(labels), 10, 60))
    wrong = np.zeros(len(labels), bool) if wrong is None else wrong
    for ax, (title, points) in zip(axes, panels.items(), strict=True):
        ax.set_title(title, loc="left", fontsize=10, parse_math=False)
        ax.spines[:].set_color("#8888884d")
        for (label, name), colour, marker in zip(names.items(), itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False):
            for group, fill in ((False, colour), (True, "none")):
                chosen = points[(labels == label) & (wrong == group)]
                text = f"{name} ({(labels == label).sum()})" if not group else None
                ax.scatter(*chosen.T, s=size, marker=marker, facecolors=fill, edgecolors=colour, linewidths=1, label=text)
            if centres:
                own = points[labels == label]
                # the most central point: the centre itself may be between two clouds
                middle = own[np.linalg.norm(own - np.median(own, axis=0), axis=1).argmin()]
                halo = [withStroke(linewidth=3, foreground="white")]
                ax.annotate(name, middle, fontsize=10, ha="center", path_effects=halo, parse_math=False)
    look = {"loc": "outside right upper", "ncols": columns, "frameon": False, "markerscale": max(1, (40 / size) ** 0.5)}
    legend = figure.legend(*axes[0].get_legend_handles_labels(), **look)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def moving_skeleton(sequence, parents, side, label, fps=30, width=170, height=190):
    """SVG of a sequence (T, M, V, 3) as an endless animation at `fps`, in colours of the page; x to the right, y upwards.

    parents: (V,), or None for joints only. side: (V,) from report.skeletons.sides. Raises ValueError if there is no body.
    """
    there = sequence.any(axis=(2, 3))
    if not there.any():
        raise ValueError("there is no body in the sequence")
    flat = sequence[there][..., :2].reshape(-1, 2)
    low, high = flat.min(0), flat.max(0)
    scale = 10 * min((np.array([width, height]) - 16) / np.maximum(high - low, 1e-6))  # tenths of a pixel per metre
    chosen = np.unique(np.linspace(0, len(sequence) - 1, SVG_FRAMES).round().astype(int))
    places = (sequence[chosen][..., :2] - (low + high) / 2) * (scale, -scale) + (5 * width, 5 * height)
    places = np.rint(places).astype(int)  # (frames, M, V, 2)
    joints = range(sequence.shape[2])
    bones = [(v, v) for v in joints] if parents is None else [(int(parents[v]), v) for v in joints if parents[v] != v]
    path = Markup(
        '<path class="bone p{} b{}" d="{}"><animate attributeName="d" values="{}" dur="{:.2f}s" repeatCount="indefinite" '
        'calcMode="discrete"/></path>'
    )
    paths = Markup()
    for person in np.flatnonzero(there[chosen].any(axis=0)):
        for which in np.unique(side):
            lines = [(a, b) for a, b in bones if side[b] == which]
            poses = [  # an absent body is a point in the corner
                "".join(f"M{at[a][0]} {at[a][1]}L{at[b][0] + (a == b)} {at[b][1]}" for a, b in lines) if seen else "M0 0"
                for at, seen in zip(places[:, person].tolist(), there[chosen, person], strict=True)
            ]
            if lines:
                paths += path.format(person % 4, which, poses[len(poses) // 2], ";".join(poses), len(sequence) / fps)
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return svg.format(10 * width, 10 * height, label, paths)

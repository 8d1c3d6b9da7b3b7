"""Drawings for a web page as SVG text: curves, a confusion matrix, points, moving skeletons.

They hold no colours but classes, which the page's style sheet colours for light and dark screens. Every mark says in its <title>
what it is, which browsers show under the mouse. All text is escaped.
"""

import math
from html import escape

import numpy as np

from util import confusion

FRAMES = 48  # the most pictures of a moving skeleton
HOVERED = 400  # the most points of a curve that say their numbers


def curves(series, label, epochs, width=360, height=210):
    """Lines over epochs (first, last), without what is not finite; '' if nothing is left. series: {name: [(epoch, y), ...]}."""
    series = {name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in series.items()}
    points = [point for line in series.values() for point in line]
    if not points:
        return ""
    left, right, top, bottom = 44, 12, 10, 26
    ys = [y for _, y in points]
    yticks = ticks(min(ys), max(ys), 5)
    across, up = (epochs[0], max(epochs[1], epochs[0] + 1)), (yticks[0], yticks[-1])

    def place(x, y):
        share = (x - across[0]) / (across[1] - across[0]), (y - up[0]) / (up[1] - up[0])
        return left + share[0] * (width - left - right), height - bottom - share[1] * (height - top - bottom)

    parts = []
    for y in yticks:
        at = place(across[0], y)[1]
        parts.append(
            f'<path class="grid" d="M{left} {at:.1f}H{width - right}"/>'
            f'<text x="{left - 6}" y="{at + 3.5:.1f}" text-anchor="end">{number(y)}</text>'
        )
    for x in (x for x in ticks(*across, 6) if epochs[0] <= x <= epochs[1] and x == int(x)):
        parts.append(f'<text x="{place(x, up[0])[0]:.1f}" y="{height - 8}" text-anchor="middle">{int(x)}</text>')
    for order, (name, line) in enumerate(series.items()):
        placed = [place(*point) for point in line]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
        parts.append(f'<path class="line s{order}" d="{path}"/>')
        step = -(-len(line) // HOVERED)
        for (epoch, value), (x, y) in list(zip(line, placed, strict=True))[::step]:
            seen = "dot" if len(line) == 1 else "hover"
            title = escape(f"{name}, epoch {epoch}: {value:.5g}")
            parts.append(f'<circle class="{seen} s{order}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{title}</title></circle>')
    return _svg(width, height, label, parts)


def ticks(low, high, about):
    """Round numbers that enclose low and high, about so many."""
    if low == high:
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    raw = (high - low) / max(1, about - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    return [float(f"{k * step:.10g}") for k in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


def number(value):
    """A number for an axis, short: 0.25, 40k, 1e-05."""
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):g}{letter}"
    return f"{value:g}"


def matrix(counts, class_names):
    """The confusion matrix (K, K): a row per true class, darker where more of its samples went."""
    size, share = len(counts), confusion.shares(counts)
    cell = float(np.clip(420 / size, 7, 40))
    font = float(np.clip(cell * 0.85, 5.5, 12))
    names = [name if name == f"class {k}" else f"{confusion.shortened(name)} {k}" for k, name in enumerate(class_names)]
    left, top = 12 + 0.56 * font * max(map(len, names)), 22
    parts = []
    for k, name in enumerate(names):
        parts.append(
            f'<text x="{left - 4:.1f}" y="{top + (k + 0.5) * cell + font * 0.35:.1f}" text-anchor="end" '
            f'font-size="{font:.1f}">{escape(name)}</text>'
        )
        if k % (1 if cell > 14 else 2 if cell > 9 else 5) == 0:
            parts.append(
                f'<text x="{left + (k + 0.5) * cell:.1f}" y="{top - 5}" text-anchor="middle" font-size="{font:.1f}">{k}</text>'
            )
    for true, predicted in np.argwhere(counts):
        x, y, part = left + predicted * cell, top + true * cell, share[true, predicted]
        title = f"{class_names[true]} → {class_names[predicted]}: {counts[true, predicted]} of {counts[true].sum()} ({part:.1%})"
        kind, shade = "right" if true == predicted else "wrong", 0.06 + 0.94 * part**0.7
        parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{cell:.1f}" height="{cell:.1f}" '
            f'fill-opacity="{shade:.2f}"><title>{escape(title)}</title></rect>'
        )
        if cell >= 28 and part >= 0.005:
            kind = "on" if part > 0.45 else "off"
            parts.append(
                f'<text class="{kind}" x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="middle" '
                f'font-size="11" pointer-events="none">{100 * part:.0f}</text>'
            )
    side = size * cell
    parts.append(f'<rect class="frame" x="{left:.1f}" y="{top}" width="{side:.1f}" height="{side:.1f}"/>')
    label = "confusion matrix: rows are true classes, columns predicted ones"
    return _svg(left + side + 4, top + side + 4, label, parts, least=1 if cell < 28 else 0.75)


def points(places, colours, wrong, titles, width=560, height=400):
    """Dots at (n, 2) places, of these colours; the `wrong` (n,) ones are hollow."""
    low, span = places.min(0), np.maximum(np.ptp(places, axis=0), 1e-9)
    at = 10 + (places - low) / span * (np.array([width, height]) - 20)
    parts = []
    for (x, y), colour, miss, title in zip(at, colours, wrong, titles, strict=True):
        paint = f'fill="none" stroke="{colour}" stroke-width="1.6"' if miss else f'fill="{colour}"'
        parts.append(
            f'<circle cx="{x:.1f}" cy="{height - y:.1f}" r="3.4" {paint} pointer-events="all">'
            f"<title>{escape(title)}</title></circle>"
        )
    return _svg(width, height, "t-SNE of features", parts)


def colours(count):
    """Colours for `count` classes that are far apart for neighbouring numbers and readable on light and dark paper."""
    return [f"hsl({(k * 137.508) % 360:.0f} {(70, 50)[k % 2]}% {(46, 58)[k // 2 % 2]}%)" for k in range(count)]


def skeleton(sequence, parents, side, label, fps=30, width=170, height=190):
    """A body, or several, that move as in a sequence (T, M, V, 3), with x to the right and y upwards, over and over.

    parents: (V,), None draws joints only. side: (V,) of 0 left, 1 middle, 2 right. Raises ValueError if there is no body.
    """
    there = sequence.any(axis=(2, 3))
    if not there.any():
        raise ValueError("there is no body in the sequence")
    shown = sequence[np.unique(np.linspace(0, len(sequence) - 1, FRAMES).round().astype(int))]
    flat = sequence[there][..., :2].reshape(-1, 2)
    low, high = flat.min(0), flat.max(0)
    scale = 10 * min((width - 16) / max(high[0] - low[0], 1e-6), (height - 16) / max(high[1] - low[1], 1e-6))
    middle = (low + high) / 2
    at = np.rint((shown[..., :2] - middle) * (scale, -scale) + (5 * width, 5 * height)).astype(int)  # in tenths
    bones = [(v, v) if parents is None else (int(parents[v]), v) for v in range(sequence.shape[2])]
    bones = [(a, b) for a, b in bones if parents is None or a != b]
    parts = []
    for person in range(sequence.shape[1]):
        for which in range(3):
            own = [(a, b) for a, b in bones if side[b] == which]
            poses = [
                _pose(body[person], own) if body[person].any() and pose[person].any() else "M0 0"
                for body, pose in zip(at, shown, strict=True)
            ]
            if own and any(pose != "M0 0" for pose in poses):
                parts.append(
                    f'<path class="bone p{person % 4} b{which}" d="{poses[len(poses) // 2]}"><animate '
                    f'attributeName="d" values="{";".join(poses)}" dur="{len(sequence) / fps:.2f}s" '
                    'repeatCount="indefinite" calcMode="discrete"/></path>'
                )
    return _svg(10 * width, 10 * height, label, parts)


def _pose(at, bones):
    return "".join(f"M{at[a][0]} {at[a][1]}" + ("h1" if a == b else f"L{at[b][0]} {at[b][1]}") for a, b in bones)


def _svg(width, height, label, parts, least=None):
    """least: how much smaller a narrow screen may make it, if it has a size of its own."""
    size = f' style="width: {width:.0f}px; max-width: max(100%, {least * width:.0f}px)"' if least else ""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}"{size}>' + "".join(parts) + "</svg>"
    )

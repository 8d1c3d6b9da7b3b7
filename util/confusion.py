"""Confusion matrices."""

import warnings

import numpy as np


def counts(labels, predicted, num_classes):
    """(K, K) int64: samples of class [true, predicted]; labels, predicted: (N,)."""
    from sklearn.metrics import confusion_matrix  # here, since pre-training does not need it

    return confusion_matrix(labels, predicted, labels=np.arange(num_classes))


def shares(counts):
    """(K, K): each row divided by its sum; rows without samples are 0."""
    return counts / np.maximum(1, counts.sum(1, keepdims=True))


def confused(counts, most=10):
    """[(true, predicted, samples, share of the true class)] of the most frequent mistakes, worst share first."""
    share = shares(counts)
    wrong = [(t, p) for t, p in np.argwhere(counts) if t != p]
    wrong.sort(key=lambda pair: (-share[pair], -counts[pair], *pair))
    return [(int(t), int(p), int(counts[t, p]), float(share[t, p])) for t, p in wrong[:most]]


def figure(counts, class_names):
    """(matplotlib Figure, classes that occur): rows are true classes, columns predicted ones. Darker cells have a larger share of
    the row; blue is right, orange wrong.
    """
    from matplotlib.colors import to_rgba_array  # here, since importing it takes a second
    from matplotlib.figure import Figure

    classes = np.flatnonzero(counts.any(0) | counts.any(1))
    true, predicted = np.nonzero(counts[np.ix_(classes, classes)])
    share = shares(counts)[np.ix_(classes, classes)][true, predicted]
    names = [str(class_names[k])[:24] for k in classes]
    names = [name if name == f"class {k}" else f"{name} {k}" for k, name in zip(classes, names, strict=True)]
    cell = float(np.clip(420 / len(classes), 10, 40))  # points
    font = min(10, 0.9 * cell)
    left, side, below = 0.58 * font * max(map(len, names)) + 24, cell * len(classes), 3 * font + 20  # points
    width, height = left + side + 6, side + below + 6
    drawing = Figure(figsize=(width / 72, height / 72), dpi=90)
    axes = drawing.add_axes((left / width, below / height, side / width, side / height), xlabel="predicted")
    drawing.text(4 / width, (below + side / 2) / height, "true", rotation=90, va="center")
    axes.set(xlim=(-0.5, len(classes) - 0.5), ylim=(len(classes) - 0.5, -0.5))
    axes.set_xticks(range(len(classes)), classes, fontsize=font, rotation=90 if len(classes) > 20 else 0)
    axes.set_yticks(range(len(classes)), names, fontsize=font, parse_math=False)
    axes.tick_params(length=0)
    colours = to_rgba_array(np.where(true == predicted, "#1f6fb2", "#c8590a"))
    colours[:, 3] = 0.06 + 0.94 * share**0.7
    axes.bar(predicted, 1, 1, true - 0.5, color=colours, linewidth=0)
    for x, y, part in zip(predicted, true, share, strict=True):
        if cell >= 28 and part >= 0.005:
            ink = "white" if part > 0.45 else "black"
            axes.text(x, y, f"{100 * part:.0f}", color=ink, ha="center", va="center", fontsize=10)
    return drawing, classes


def picture(counts, class_names):
    """The `figure` as an RGB image (H, W, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure(counts, class_names)[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # characters that the font lacks are drawn as boxes
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

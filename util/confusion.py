"""Confusion matrices: how often which class was taken for which."""

import warnings

import numpy as np


def counts(labels, predicted, num_classes):
    """(K, K) int64: samples of class [true, predicted]; labels, predicted: (N,)."""
    from sklearn.metrics import confusion_matrix  # here: pre-training does without

    return confusion_matrix(labels, predicted, labels=np.arange(num_classes))


def shares(counts):
    """(K, K) of 1: what share of a true class was taken for each; 0 where there is no sample of it."""
    return counts / np.maximum(1, counts.sum(1, keepdims=True))


def confused(counts, most=10):
    """[(true, predicted, samples, share of the true class)] of the most frequent mistakes, worst share first."""
    share = shares(counts)
    wrong = [(t, p) for t, p in np.argwhere(counts) if t != p]
    wrong.sort(key=lambda pair: (-share[pair], -counts[pair], *pair))
    return [(int(t), int(p), int(counts[t, p]), float(share[t, p])) for t, p in wrong[:most]]


def shortened(name, most=28):
    return name if len(name) <= most else name[: most - 1] + "…"


def picture(counts, class_names):
    """The matrix as an RGB image (H, W, 3) uint8, every row divided by its sum."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here: loading takes a second that a training run can do without
    from matplotlib.figure import Figure

    size, step = len(class_names), 1 if len(class_names) <= 60 else 5
    inches = float(np.clip(0.16 * size, 4, 10))
    figure = Figure(figsize=(inches + 2, inches + 0.6), dpi=90, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
    image = axes.imshow(shares(counts), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    axes.set(xlabel="predicted", ylabel="true", xticks=range(0, size, step), yticks=range(0, size, step))
    fontsize = float(np.clip(72 * inches / size * step * 0.8, 4, 9))
    axes.set_xticklabels(range(0, size, step), fontsize=fontsize, rotation=90 if size > 20 else 0)
    names = [name if name == f"class {k}" else f"{shortened(name)} {k}" for k, name in enumerate(class_names)]
    axes.set_yticklabels(names[::step], fontsize=fontsize, parse_math=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # names in scripts that the font lacks show as boxes
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

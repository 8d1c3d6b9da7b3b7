"""Pictures of what a model hides, predicts and looks at in one sequence: figures, and what films lay over a moving body.

What is drawn is computed by explain.py; how it looks is decided in page.py. A `source` is a line that names the model.
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap, Normalize, to_hex

from report import page, plots
from report.explain import STEPS
from report.page import GUESS, PALE, SEEN, TRUE, Page, dot, line

CURVES = 3  # joints whose prediction is drawn over time
DIVERGING, RISING = colormaps["RdBu_r"], colormaps["viridis"]
LONG = 0.35  # metres in a picture that only the longest hundredth of the arrows exceeds
SHADES = (0.0, 0.12, 0.25, 0.38, 0.62, 0.75, 0.88, 1.0)
COLOURS = [TRUE, GUESS, page.BONE, *(to_hex(colours(v)) for colours in (DIVERGING, RISING) for v in SHADES)]  # of films
GIVEN = line("#6d757f", linewidth=1.4, linestyle=":")


def skeleton_figure(sample, source):
    """The body at a few moments."""
    side, step = plots.sides(sample.names), plots.grid_step(*plots.limits(sample.joints))
    note = f"{len(sample.joints)} frames, after cropping and resizing. The lines of the grid are {step:g} m apart."
    entries = [(text, line(colour)) for text, colour in plots.who(sample.joints, side)]
    rows = [page.body_height(sample), *([0.35] if entries else [])]
    sheet = Page("The sequence as the model sees it", sample, source, rows, note)
    sheet.bodies(page.evenly(sample), side=side)
    if entries:
        sheet.legend(entries)
    return sheet.figure


def mask_figure(sample, source, intensity, masks, note=""):
    """Hidden and visible tokens, on the body at a few moments and as maps joints × segments.

    intensity: (T', M, V) metres. masks: {what it is called: (T', M, V) bool, True is hidden}, one or two side by side.
    """
    there = [m for m, _ in sample.bodies()]
    moved = 100 * intensity[:, there]
    said = [
        f"{name}: {100 * hidden[:, there].mean():.0f} % hidden; from segment to segment hidden tokens move "
        f"{moved[hidden[:, there]].mean():.2f} cm, visible ones {moved[~hidden[:, there]].mean():.2f} cm on average."
        for name, hidden in masks.items()
    ]
    rows = [page.body_height(sample, title=True)] * len(masks) + [0.35] + [page.map_height(sample)] * len(there)
    sheet = Page("What the mask hides", sample, source, rows, " ".join([note, *said]))
    for name, hidden in masks.items():
        for t, _, bodies in sheet.bodies(page.evenly(sample), name):
            page.show_mask(bodies, sample.per_frame(hidden)[t])
    sheet.legend([("visible", dot(TRUE)), ("hidden", dot(GUESS, "white"))])
    for m, body in sample.bodies():
        axes = sheet.row(len(masks), left=1.2, bottom=0.45, gap=0.15)
        for ax, (name, hidden) in zip(axes, masks.items(), strict=True):
            title, names = ", ".join(filter(None, (name, body))), sample.names if ax is axes[0] else None
            page.joint_map(ax, hidden[:, m], names, title, ListedColormap([TRUE, PALE]), Normalize(0, 1))
    return sheet.figure


def prediction_figure(sample, source, found, note=""):
    """Predicted against true motion (or positions) of hidden tokens: on the body, and over time for the joints that move most.

    found: an explain.Prediction.
    """
    hidden, unit = sample.per_frame(found.hidden), 100 if found.motion else 1  # centimetres, or metres
    joints, one = most_moving(sample, found), "query" if found.queries else "token"
    said = [
        note,
        f"Each query predicts {found.queries} frames of a joint, of which a few may be visible." if found.queries else "",
        f"Predictions are UN-NORMALISED WITH THE TRUE mean and deviation of every {one} (norm_skes_loss), which the model does "
        f"not know: only what differs from the dotted mean (over a {one}'s frames and axes) is its own."
        if found.given is not None
        else "",
        f"Loss on {'all queries' if found.queries else 'the hidden tokens'} {found.loss:.3f}; predicting each {one}'s mean would "
        f"cost {found.mean_loss:.3f}.",
        f"Arrows are {arrow_scale(sample, found)} times as long as the {sample.of}s' motion." if found.motion else "",
    ]
    rows = [page.body_height(sample), 0.35, *[1.25] * (len(joints) - 1), 1.5]
    what = "motion" if found.motion else "positions"
    sheet = Page(f"Predicted and true {what} of hidden {sample.of}s", sample, source, rows, " ".join(filter(None, said)))
    for t, ax, _ in sheet.bodies(page.strongest((_speed(found) * hidden).sum((1, 2)))):
        prediction_overlay(sample, found)(ax, [])[1](t)
    given = [("given mean", GIVEN)] if found.given is not None else []
    sheet.legend([("true", line(TRUE)), ("predicted", line(GUESS)), *given, ("visible", line(SEEN, linewidth=9))])
    frames, called = np.arange(1, len(hidden) + 1), dict(sample.bodies())
    for m, v, c in joints:
        last = (m, v, c) == joints[-1]
        (ax,) = sheet.row(left=0.62, bottom=0.45 if last else 0.2)
        seen = ~hidden[:, m, v]
        ax.bar(frames[seen], 1, 1, transform=ax.get_xaxis_transform(), color=SEEN)
        if found.given is not None:
            ax.plot(frames, np.where(seen, np.nan, unit * found.given[:, m, v, c]), **GIVEN)
        ax.plot(frames, unit * found.true[:, m, v, c], **line(TRUE))
        ax.plot(frames, np.where(seen, np.nan, unit * found.predicted[:, m, v, c]), **line(GUESS))
        page.heading(ax, ", ".join(filter(None, (sample.names[v], called[m], f"along {'xyz'[c]}"))), loc="left")
        page.curve_axes(ax, "frame" if last else "", "cm" if found.motion else "m")
        ax.set(xlim=(0.5, len(hidden) + 0.5))
    return sheet.figure


def intensity_figure(sample, source, intensity):
    """Motion intensity (T', M, V) metres: for each body a map joints × segments, and the mean over its joints below."""
    note = (
        "How far the coordinates of a token are from those of the segment before, on average (the first segment has the "
        "value of the second). Motion-aware masking hides tokens with much of it more often."
    )
    rows = [height for _ in sample.bodies() for height in (page.map_height(sample) - 0.2, 1.5)]
    sheet = Page("Motion intensity over time", sample, source, rows, note)
    norm = Normalize(0, max(1e-6, 100 * intensity.max()))
    for m, body in sample.bodies():
        values, margins = 100 * intensity[:, m], {"left": 1.2, "right": 0.85}
        (ax,) = sheet.row(**margins, top=0.25 if body else 0.1, bottom=0.25)
        image = page.joint_map(ax, values, sample.names, body, RISING, norm, unit="")
        page.colour_bar(ax, image, "cm")
        (ax,) = sheet.row(**margins, top=0.1, bottom=0.45)
        page.over_segments(ax, len(values))
        page.curve_axes(ax, "segment", "mean, cm")
        ax.plot(np.arange(len(values)) + 0.5, values.mean(1), marker="o", markersize=5, **line(TRUE))
        ax.set_ylim(0, 1.15 * max(1e-6, values.mean(1).max()))
    return sheet.figure


def saliency_figure(sample, source, found, verdict):
    """What each joint in each segment adds to the predicted class: on the body at a few moments, and as a map.

    found: an explain.Saliency. verdict: a line that says what was predicted, how surely, and what is true.
    """
    segment = len(sample.joints) // len(found.contribution)
    note = (
        f"Saliency: gradient × input, averaged over {STEPS} steps from a body that stands still in its mean posture to this "
        f"sequence (integrated gradients). Red speaks for the predicted class, blue against it. Standing still it would "
        f"have {100 * found.still[found.probability.argmax()]:.0f} %; its logit changes by {found.difference:+.3g}, the "
        f"values of the map add up to {found.contribution.sum():+.3g}."
    )
    rows = [page.body_height(sample), *[page.map_height(sample)] * len(sample.bodies())]
    sheet = Page(verdict, sample, source, rows, note)
    for t, _, bodies in sheet.bodies(page.strongest(sample.per_frame(np.abs(found.contribution)).sum((1, 2)))):
        page.show_values(bodies, found.contribution[t // segment], DIVERGING, _symmetric(found))
    for m, body in sample.bodies():
        (ax,) = sheet.row(left=1.2, right=1.0, top=0.25 if body else 0.1, bottom=0.45)
        unit = "segment" if segment > 1 else "frame"
        image = page.joint_map(ax, found.contribution[:, m], sample.names, body, DIVERGING, _symmetric(found), unit)
        page.colour_bar(ax, image, "logit")
    return sheet.figure


def mask_overlay(sample, hidden):
    """For plots.moving: hidden joints (T', M, V) as rings, visible ones as dots."""
    hidden = sample.per_frame(hidden)

    def overlay(ax, bodies):
        page.grey(bodies)
        page.legend(ax.figure, [("visible", dot(TRUE)), ("hidden", dot(GUESS, "white"))])
        return (), lambda t: page.show_mask(bodies, hidden[t])

    return overlay


def intensity_overlay(sample, intensity):
    """For plots.moving: joints by their motion intensity (T', M, V) metres."""
    values, norm = sample.per_frame(intensity), Normalize(0, max(1e-8, intensity.max()))

    def overlay(ax, bodies):
        page.grey(bodies)
        page.legend(ax.figure, [("at rest", dot(to_hex(RISING(0.0)))), (f"{100 * norm.vmax:.1f} cm", dot(to_hex(RISING(1.0))))])
        return (), lambda t: page.show_values(bodies, values[t], RISING, norm)

    return overlay


def prediction_overlay(sample, found):
    """For plots.moving: true and predicted motion of hidden joints as arrows, or where they are and are predicted to be."""
    hidden = sample.per_frame(found.hidden) & sample.joints.any((2, 3))[:, :, None]
    scale = arrow_scale(sample, found) if found.motion else 1

    def overlay(ax, bodies):
        page.grey(bodies)
        if bodies:
            how = [f"arrows × {scale}"] * found.motion + ["un-normalised"] * (found.given is not None)
            how = f"predicted ({', '.join(how)})" if how else "predicted"
            page.legend(ax.figure, [("true", line(TRUE)), (how, line(GUESS))])
        none = np.zeros(hidden[0].size)
        style = {"angles": "xy", "scale_units": "xy", "scale": 1, "zorder": 4}
        if found.motion:
            artists = [ax.quiver(none, none, none, none, color=c, width=w, **style) for c, w in ((TRUE, 0.02), (GUESS, 0.012))]
        else:
            artists = [
                ax.quiver(none, none, none, none, color=GUESS, width=0.01, headwidth=1, headlength=0, **style),
                ax.scatter(none, none, s=20, c=TRUE, zorder=4),
                ax.scatter(none, none, s=20, facecolors="white", edgecolors=GUESS, linewidths=1.4, zorder=5),
            ]

        def step(t):
            at = np.where(hidden[t, ..., None], sample.joints[t, ..., :2], np.nan).reshape(-1, 2)
            true, predicted = (scale * sample.turned(values[t]).reshape(-1, 2) for values in (found.true, found.predicted))
            if found.motion:
                for arrows, vectors in zip(artists, (true, predicted), strict=True):
                    page.point(arrows, at, vectors)
            else:
                page.point(artists[0], at, predicted - true)
                artists[1].set_offsets(at)
                artists[2].set_offsets(at + predicted - true)

        return artists, step

    return overlay


def saliency_overlay(sample, found, predicted):
    """For plots.moving: joints by what they add to the logit of the class that is predicted, `predicted` by name."""
    values = sample.per_frame(found.contribution)

    def overlay(ax, bodies):
        page.grey(bodies)
        decided = f"for {predicted}"
        page.legend(ax.figure, [(decided, dot(to_hex(DIVERGING(0.9)))), ("against it", dot(to_hex(DIVERGING(0.1))))])
        return (), lambda t: page.show_values(bodies, values[t], DIVERGING, _symmetric(found))

    return overlay


def most_moving(sample, found):
    """[(body, joint, axis)] of the CURVES joints that move most and are hidden at some time, each with its liveliest axis."""
    speed = np.where(found.hidden.any(0), _speed(found).mean(0), -1)
    speed[[m for m in range(len(speed)) if m not in dict(sample.bodies())]] = -1
    order = np.argsort(-speed, axis=None, kind="stable")[: min(CURVES, int((speed >= 0).sum()))]
    chosen = [np.unravel_index(i, speed.shape) for i in order]
    return [(int(m), int(v), int(found.true[:, m, v].std(0).argmax())) for m, v in chosen]


def arrow_scale(sample, found):
    """How many times longer than the motion arrows are: a round number with which nearly all true ones are at most LONG."""
    length = np.percentile(np.linalg.norm(sample.turned(found.true), axis=-1), 99)
    return max(n for n in (1, 2, 3, 5, 10, 20, 30, 50, 100) if n == 1 or n * length <= LONG)


def _speed(found):
    """(T, M, V): how far each joint moves per frame."""
    return np.linalg.norm(found.true if found.motion else np.gradient(found.true, axis=0), axis=-1)


def _symmetric(found):
    """Colours for contributions: white is 0."""
    largest = max(1e-12, np.percentile(np.abs(found.contribution), 99.5))
    return Normalize(-largest, largest)

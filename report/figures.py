"""Figures of masks, predictions, motion intensity and saliency for one sequence, and overlays that show them in films.

masks.py computes what is drawn, sheet.py has the parts of a figure. Blue is true or visible, orange predicted or hidden; shape or
size differ as well. Each of the functions skeleton, mask, prediction, intensity and saliency returns (Figure, overlay for
skeletons.film). source: a line that names the model.
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap, Normalize, to_hex

from report import sheet, skeletons
from report.masks import DRAWS, STEPS
from report.sheet import GUESS, HIDDEN, PALE, TRUE, dot, line
from report.skeletons import INK, legend

CURVES = 3  # number of joints, of different limbs, whose prediction is drawn over time
LONGEST = 0.35  # metres; 99 % of the arrows are at most this long
DIVERGING, RISING = colormaps["RdBu_r"], colormaps["viridis"]
BORDER = {"color": "#9aa2ab", "linewidth": 0.7}
MEAN = {"color": "#6d757f", "linewidth": 1.4, "linestyle": ":"}


def skeleton(sample, source):
    """The body at a few frames."""
    side, step = skeletons.sides(sample.names), skeletons.grid_step(*skeletons.limits(sample.joints))
    entries = {name: line(look["color"]) for name, look in skeletons.body_entries(sample.joints, side).items()}
    apart = f"{step:g} {sample.short_unit()[0]}".strip()
    note = f"{len(sample.joints)} frames, after cropping and resizing. The lines of the grid are {apart} apart."
    heights = [sheet.body_height(sample), 0.35]
    figure, (bodies, key) = sheet.new("The sequence as the model sees it", sample, source, heights, note)
    sheet.body_row(bodies, sample, sheet.evenly(sample), side=side)
    legend(key, entries, loc="center")
    return figure, None


def mask(sample, source, intensity, masks, shares, note=""):
    """Hidden and visible tokens on the body at a few frames, and as maps joints × segments: the first mask, which the film shows,
    too, and each token's probability of being hidden.

    intensity: (T', M, V) metres. masks: {name: (T', M, V) bool, True is hidden}, one or two. shares: {the same names: (T', M, V)
    from masks.hidden_share}.
    """
    there, count, (cm, per_metre) = list(sample.bodies()), len(masks), sample.short_unit("cm")
    moved, cm = per_metre * intensity[:, there], f" {cm}".rstrip()
    numbers = [
        f"{name}: {100 * hidden[:, there].mean():.0f} % hidden; from segment to segment hidden tokens move "
        f"{moved[hidden[:, there]].mean():.2f}{cm}, visible ones {moved[~hidden[:, there]].mean():.2f}{cm} on average."
        for name, hidden in masks.items()
    ]
    heights = [sheet.body_height(sample) + 0.2] * count + [0.35] + [sheet.map_height(sample)] * len(there)
    numbers += [f"Probability: the share of {DRAWS:,} masks that hide a token."]
    figure, rows = sheet.new("What the mask hides", sample, source, heights, " ".join([note, *numbers]))
    for row, (name, hidden) in zip(rows, masks.items(), strict=False):
        row.suptitle(name, fontsize=10.5, fontweight="bold", color=INK)
        for t, _, bodies in sheet.body_row(row, sample, sheet.evenly(sample)):
            sheet.show_mask(bodies, sample.per_frame(hidden)[t])
    entries = {"visible": dot(TRUE), "hidden": dot(GUESS, "white")}
    legend(rows[count], entries, loc="center")
    (name, hidden), *_ = masks.items()
    lowest = min(share[:, there].min() for share in shares.values())
    norm = Normalize(100 * np.floor(10 * lowest) / 10, 100)
    for row, (m, body) in zip(rows[count + 1 :], sample.bodies().items(), strict=True):
        one, *others = row.subplots(1, 1 + count)
        title = ", ".join(filter(None, ("one mask", body)))
        sheet.joint_map(one, sample, hidden[:, m], f"{title}\n{name}", ListedColormap([TRUE, PALE]), Normalize(0, 1))
        for ax, (name_of_share, share) in zip(others, shares.items(), strict=True):
            title = f"probability\n{name_of_share}"
            image = sheet.joint_map(ax, sample, 100 * share[:, m], title, RISING, norm, named=False)
        sheet.colour_bar(image, "hidden, %", others)
    of_frame = sample.per_frame(hidden)
    return figure, restyle(entries, lambda bodies, t: sheet.show_mask(bodies, of_frame[t]))


def prediction(sample, source, found, note=""):
    """Predicted and true motion (or positions) of hidden tokens: on the body in `lively_frame`, and over time for `most_moving`.

    found: a masks.MaskedPrediction.
    """
    hidden, (unit, per_metre) = sample.per_frame(found.hidden), sample.short_unit("cm" if found.motion else "m")
    joints, one = most_moving(sample, found), "query" if found.queries else "token"
    notes = [note]
    if found.queries:
        notes += [f"Each query predicts {found.queries} frames of a joint, of which a few may be visible."]
    if found.mean is not None:
        notes += [
            f"Predictions are UN-NORMALISED WITH THE TRUE mean and deviation of every {one} (norm_skes_loss), which the model "
            f"does not know: only the difference from the dotted mean (over a {one}'s frames and axes) is predicted."
        ]
    notes += [
        f"Loss on {'all queries' if found.queries else 'the hidden tokens'} {found.loss:.3f}; predicting each {one}'s mean would "
        f"cost {found.mean_loss:.3f}."
    ]
    if found.motion:
        notes += [f"Arrows are {arrow_scale(sample, found)} times as long as the {sample.stream}s' motion."]
    title = f"Predicted and true {'motion' if found.motion else 'positions'} of hidden {sample.stream}s"
    heights = [sheet.body_height(sample, 3), 0.35, *[1.25] * (len(joints) - 1), 1.5, 0.35]
    figure, (row, key, *curves, key_of_curves) = sheet.new(title, sample, source, heights, " ".join(filter(None, notes)))
    t = lively_frame(speed(found) * hidden)
    panels = sheet.body_row(row, sample, [t] * 3)
    for (_, ax, _), what in zip(panels, ("what the model sees", "what it predicts", "the truth"), strict=True):
        ax.set_title(f"{what}\nframe {t + 1}", fontsize=10.5, color=INK, pad=3)
    sheet.show_mask(panels[0][2], hidden[t])
    prediction_overlay(sample, found, true=False)(panels[1][1], [])[1](t)
    prediction_overlay(sample, found, predicted=False)(panels[2][1], [])[1](t)
    marks = {"visible": dot(TRUE), "hidden": dot(GUESS, "white")}
    legend(key, marks | {"predicted": line(GUESS), "true": line(TRUE)}, loc="center")
    mean = {"given mean": MEAN} if found.mean is not None else {}
    spans = {"hidden": line(HIDDEN, linewidth=9, solid_capstyle="butt"), "border of a token": BORDER}
    legend(key_of_curves, {"true": line(TRUE), "predicted": line(GUESS), **mean, **spans}, loc="center")
    frames, segment = np.arange(1, len(hidden) + 1), len(hidden) // len(found.hidden)
    for row, (m, v, c) in zip(curves, joints, strict=True):
        ax, seen = row.subplots(), ~hidden[:, m, v]
        ax.bar(frames[~seen], 1, 1, transform=ax.get_xaxis_transform(), color=HIDDEN)
        ax.vlines(frames[segment::segment] - 0.5, 0, 1, transform=ax.get_xaxis_transform(), **BORDER)
        if found.mean is not None:
            ax.plot(frames, np.where(seen, np.nan, per_metre * found.mean[:, m, v, c]), **MEAN)
        ax.plot(frames, per_metre * found.true[:, m, v, c], **line(TRUE))
        ax.plot(frames, np.where(seen, np.nan, per_metre * found.predicted[:, m, v, c]), **line(GUESS))
        title = ", ".join(filter(None, (sample.names[v], sample.bodies()[m], f"along {'xyz'[c]}")))
        ax.set_title(title, fontsize=10, color=INK, pad=3, loc="left", parse_math=False)
        sheet.curve_axes(ax, "frame" if row is curves[-1] else "", unit)
        ax.set_xlim(0.5, len(hidden) + 0.5)
    return figure, prediction_overlay(sample, found)


def intensity(sample, source, values):
    """Motion intensity (T', M, V) metres: for each body a map joints × segments and, below it, the mean over joints."""
    note = (
        "How far the coordinates of a token are from those of the segment before, on average (the first segment has the "
        "value of the second). Motion-aware masking hides tokens with much of it more often."
    )
    heights = [height for _ in sample.bodies() for height in (sheet.map_height(sample), 1.5)]
    figure, rows = sheet.new("Motion intensity over time", sample, source, heights, note)
    cm, per_metre = sample.short_unit("cm")
    values = per_metre * values
    norm, of_frame = Normalize(0, max(1e-6, values.max())), sample.per_frame(values)
    for above, below, (m, body) in zip(rows[::2], rows[1::2], sample.bodies().items(), strict=True):
        ax = above.subplots()
        sheet.colour_bar(sheet.joint_map(ax, sample, values[:, m], body, RISING, norm), cm)
        ax, mean = below.subplots(), values[:, m].mean(1)
        sheet.curve_axes(ax, "segment", f"mean, {cm}" if cm else "mean")
        sheet.number_from_one(ax, len(values))
        ax.plot(np.arange(len(values)) + 0.5, mean, marker="o", markersize=5, **line(TRUE))
        ax.set_ylim(0, 1.15 * max(1e-6, mean.max()))
    entries = {
        "at rest": dot(to_hex(RISING(0.0))),
        f"{norm.vmax:.1f} {cm}" if cm else f"{norm.vmax:.2g}": dot(to_hex(RISING(1.0))),
    }
    return figure, restyle(entries, lambda bodies, t: sheet.show_values(bodies, of_frame[t], RISING, norm))


def saliency(sample, source, found, verdict, predicted):
    """What each joint in each segment adds to the logit of the predicted class: on the body at a few frames, and as a map.

    found: a masks.Saliency. verdict: heading with predicted and true class. predicted: name of the class.
    """
    segment = len(sample.joints) // len(found.contribution)
    note = (
        f"Saliency: gradient × input, averaged over {STEPS} steps from a body that stands still in its mean posture to this "
        f"sequence (integrated gradients). Red speaks for the predicted class, blue against it. Standing still it would "
        f"have {100 * found.still[found.probability.argmax()]:.0f} %; its logit changes by {found.difference:+.3g}, the "
        f"values of the map add up to {found.contribution.sum():+.3g}."
    )
    heights = [sheet.body_height(sample), *[sheet.map_height(sample)] * len(sample.bodies())]
    figure, (row, *maps) = sheet.new(verdict, sample, source, heights, note)
    largest = max(1e-12, np.percentile(np.abs(found.contribution), 99.5))
    norm, of_frame = Normalize(-largest, largest), sample.per_frame(found.contribution)
    for t, _, bodies in sheet.body_row(row, sample, sheet.strongest(np.abs(of_frame).sum((1, 2)))):
        sheet.show_values(bodies, of_frame[t], DIVERGING, norm)
    for row, (m, body) in zip(maps, sample.bodies().items(), strict=True):
        ax, unit = row.subplots(), "segment" if segment > 1 else "frame"
        sheet.colour_bar(sheet.joint_map(ax, sample, found.contribution[:, m], body, DIVERGING, norm, unit), "logit")
    entries = {f"for {predicted}": dot(to_hex(DIVERGING(0.9))), "against it": dot(to_hex(DIVERGING(0.1)))}
    return figure, restyle(entries, lambda bodies, t: sheet.show_values(bodies, of_frame[t], DIVERGING, norm))


def restyle(entries, show):
    """An overlay for skeletons.film: show(bodies, t) restyles the joints of grey bodies. entries: of the legend."""

    def overlay(ax, bodies):
        sheet.grey(bodies)
        legend(ax.figure, entries, fontsize=12)
        return (), lambda t: show(bodies, t)

    return overlay


def prediction_overlay(sample, found, true=True, predicted=True):
    """An overlay for skeletons.film: true and/or predicted motion of hidden joints as arrows, or their positions."""
    hidden = sample.per_frame(found.hidden) & sample.joints.any((2, 3))[:, :, None]
    scale = arrow_scale(sample, found) if found.motion else 1

    def overlay(ax, bodies):
        sheet.grey(bodies)
        if bodies:
            how = [f"arrows × {scale}"] * found.motion + ["un-normalised"] * (found.mean is not None)
            named = f"predicted ({', '.join(how)})" if how else "predicted"
            legend(ax.figure, {"true": line(TRUE), named: line(GUESS)}, fontsize=12)
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
        shown = [true, predicted] if found.motion else [true and predicted, true, predicted]
        for artist, visible in zip(artists, shown, strict=True):
            artist.set_visible(visible)

        def step(t):
            at = np.where(hidden[t, ..., None], sample.joints[t, ..., :2], np.nan).reshape(-1, 2)  # (M·V, 2)
            truth, guess = (scale * sample.turned(values[t]).reshape(-1, 2) for values in (found.true, found.predicted))
            if found.motion:
                for arrows, vectors in zip(artists, (truth, guess), strict=True):
                    sheet.point(arrows, at, vectors)
            else:
                sheet.point(artists[0], at, guess - truth)
                artists[1].set_offsets(at)
                artists[2].set_offsets(at + guess - truth)

        return artists, step

    return overlay


def most_moving(sample, found):
    """[(body, joint, axis)]: of the CURVES limbs that move most, the joint that moves most, and its axis with the largest
    variance. Only joints that are hidden at some time are considered.
    """
    mean = np.where(found.hidden.any(0), speed(found).mean(0), -1)  # (M, V)
    of_limbs = [(m, max(limb, key=lambda v: mean[m, v])) for m in sample.bodies() for limb in sample.limbs()]  # noqa: B023
    of_limbs = sorted((at for at in of_limbs if mean[at] >= 0), key=lambda at: -mean[at])
    return [(m, v, int(found.true[:, m, v].std(0).argmax())) for m, v in of_limbs[:CURVES]]


def lively_frame(strength):
    """The frame at the 90th percentile of the sum of strength (T, M, V); the strongest frames are often noise."""
    return int(np.argsort(strength.sum((1, 2)), kind="stable")[int(0.9 * len(strength))])


def arrow_scale(sample, found):
    """Factor by which arrows are longer than the motion: the largest round number with which 99 % are at most LONGEST."""
    length = np.percentile(np.linalg.norm(sample.turned(found.true), axis=-1), 99)
    return max(n for n in (1, 2, 3, 5, 10, 20, 30, 50, 100) if n == 1 or n * length <= LONGEST)


def speed(found):
    """(T, M, V): metres that each joint moves per frame."""
    return np.linalg.norm(found.true if found.motion else np.gradient(found.true, axis=0), axis=-1)

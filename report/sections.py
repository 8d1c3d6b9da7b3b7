"""The parts of a run's page that are drawn: curves, classes, confusion, features, moving skeletons (report.Run -> HTML)."""

from html import escape

import numpy as np

from feeder.skeleton import up_axis
from report import svg
from util import confusion as matrices

SHOWN = 4  # moving skeletons of right answers, and of wrong ones
SEED = 0  # of t-SNE and of which skeletons are shown


def curves(run):
    log = [line for line in run.log if isinstance(line.get("epoch"), int)]
    if not log:
        return ""
    charts = (
        ("Loss", {"train": "train_loss", "test": "test_loss"}),
        ("Accuracy, %", {"top-1": "test_acc1", "top-5": "test_acc5"}),
        *(
            ("Top-1 of both read-outs, %", {run.result.get("readout"): "test_acc1", key.removeprefix("test_acc1_"): key})
            for key in log[-1]
            if key.startswith("test_acc1_")
        ),
        ("Learning rate", {"learning rate": "lr"}),
        ("Samples per second", {"samples per second": "samples_per_s"}),
        ("Skipped steps", {"skipped steps": "skipped_steps"}),
    )
    where = run.result.get("evaluated_on", "test")
    figures = []
    for title, keys in charts:
        series = {
            name.replace("test", where): [(line["epoch"] + 1, line[key]) for line in log if key in line]
            for name, key in keys.items()
        }
        epochs = log[0]["epoch"] + 1, log[-1]["epoch"] + 1
        drawn = svg.curves({name: line for name, line in series.items() if line}, f"{title} over epochs", epochs)
        if drawn:
            keyed = [name for name, line in series.items() if line]
            keys = "".join(f'<span class="key s{k}">{name}</span>' for k, name in enumerate(keyed)) if len(keyed) > 1 else ""
            figures.append(f"<figure><figcaption>{title}{keys}</figcaption>{drawn}</figure>")
    return f'<div class="charts">{"".join(figures)}</div>'


def _without(run):
    """A word about predictions that are not there."""
    return f'<p class="warning">No predictions to show: {escape(run.without)}</p>'


def classes(run):
    if run.result["stage"] == "pretrain":
        return ""
    if not run.predicted:
        return _without(run)
    counts, names = run.counts, run.class_names
    share, rows = np.diag(matrices.shares(counts)), []
    for k in sorted(np.flatnonzero(counts.sum(1)), key=lambda k: (share[k], -counts[k].sum())):
        others = np.where(np.arange(len(counts)) == k, 0, counts[k])
        other = f"{escape(names[others.argmax()])} ({others.max()})" if others.any() else ""
        bar = f'<span class="bar"><i style="width: {100 * share[k]:.0f}%"></i></span>'
        numbers = ((k, k), (share[k], f"{100 * share[k]:.1f} %{bar}"), *((n, n) for n in (counts[k, k], counts[k].sum())))
        number, *others = (f'<td class="n" data-value="{value:.6g}">{shown}</td>' for value, shown in numbers)
        name, other = (f'<td class="name">{text}</td>' for text in (escape(names[k]), other))
        rows.append(f"<tr>{number}{name}{''.join(others)}{other}</tr>")
    heads = ("class", "n"), ("name", ""), ("accuracy", "n"), ("right", "n"), ("of", "n"), ("most often taken for", "")
    head = "".join(
        f'<th class="{kind}"{" aria-sort=ascending" if name == "accuracy" else ""}><button>{name}</button></th>'
        for name, kind in heads
    )
    return (
        '<p class="soft">Worst first; a click on a column sorts by it.</p><div class="scroll"><table class="sortable" '
        f'id="classes"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def confusion(run):
    if not run.predicted:
        return ""
    counts, names = run.counts, run.class_names
    rows = [
        (escape(names[t]), escape(names[p]), f"{n} of {counts[t].sum()}", f"{share:.0%}")
        for t, p, n, share in matrices.confused(counts)
    ]
    pairs = "<h3>Most frequent mistakes</h3>" + table(("true", "predicted", "samples", "share"), rows, 2) if rows else ""
    return (
        '<p class="soft">Rows are true classes, columns predicted ones, in percent of the row.</p>'
        f'<div class="pair"><figure class="wide">{svg.matrix(counts, names)}</figure><div>{pairs}</div></div>'
    )


def features(run):
    if not run.predicted or len(run.predicted.positions) < 5 or not np.ptp(run.predicted.features):
        return ""
    from sklearn.manifold import TSNE  # here: pre-training reports do without

    at, names = run.predicted.positions, run.class_names
    neighbours = min(30.0, (len(at) - 1) / 3)
    places = TSNE(init="pca", perplexity=neighbours, random_state=SEED).fit_transform(run.predicted.features.astype(np.float64))
    labels, predicted = run.predicted.labels[at], run.predicted.predicted[at]
    palette, wrong = svg.colours(len(names)), labels != predicted
    titles = [
        f"{run.names[i]}: {names[t]}" + (f", predicted {names[p]}" if t != p else "")
        for i, t, p in zip(at, labels, predicted, strict=True)
    ]
    drawn = svg.points(places, [palette[k] for k in labels], wrong, titles)
    keys = (
        "".join(
            f'<span class="key dots" style="--colour: {palette[k]}">{escape(matrices.shortened(names[k]))}</span>'
            for k in range(len(names))
        )
        if len(names) <= 20
        else ""
    )
    which = "what the last linear map sees" if run.result["stage"] != "retrieval" else "what neighbours are found with"
    all_of = f"{len(at):,} of {len(run.names):,}" if len(at) < len(run.names) else f"all {len(at):,}"
    return (
        f'<p class="soft">t-SNE of {which}, {all_of} sequences, coloured by true class, hollow where the prediction is '
        f"wrong; perplexity {neighbours:.0f}, seed {SEED}.</p>"
        f'<figure class="points">{drawn}<figcaption>{keys}</figcaption></figure>'
    )


def skeletons(run):
    if not run.data:
        return f'<p class="warning">No skeletons to show: {escape(run.without)}</p>' if run.predicted else ""
    from report import plots  # here: it loads matplotlib

    data, names = run.data, run.class_names
    try:
        parents = data.parents()
    except ValueError:  # an unknown skeleton: joints without bones
        parents = None
    side = plots.sides(data.joint_names()) if data.joint_names() else np.ones(data.num_joints, int)
    labels, predicted = run.predicted.labels, run.predicted.predicted
    draw, groups = np.random.RandomState(SEED), []
    for right in (False, True):
        figures = []
        rows = draw.permutation(np.flatnonzero((labels == predicted) == right))[:SHOWN]
        for i in rows:
            frames = data.frames(i).reshape(-1, data.num_bodies, data.num_joints, 3)
            drawn = svg.skeleton(plots.turned(frames, up=up_axis(data.layout, frames)), parents, side, str(run.names[i]))
            said = f'predicted <b class="{"yes" if right else "no"}">{escape(names[predicted[i]])}</b>'
            truth = "" if right else f"truth <b>{escape(names[labels[i]])}</b><br>"
            name = f'<span class="soft">{escape(str(run.names[i]))}</span>'
            figures.append(f"<figure>{drawn}<figcaption>{said}<br>{truth}{name}</figcaption></figure>")
        if figures:
            groups.append(f'<h3>{"Right" if right else "Wrong"}</h3><div class="bodies">{"".join(figures)}</div>')
    note = f"Drawn at random (seed {SEED}) among the wrong and the right answers; moving at 30 frames per second."
    return f'<p class="soft">{note}</p>{"".join(groups)}'


def table(head, rows, numbers_from):
    """A table of cells that are HTML already; columns from `numbers_from` on are numbers."""

    def line(tag, cells):
        return (
            "<tr>"
            + "".join(f'<{tag} class="{"n" if k >= numbers_from else "name"}">{cell}</{tag}>' for k, cell in enumerate(cells))
            + "</tr>"
        )

    body = "".join(line("td", row) for row in rows)
    return f'<div class="scroll"><table><thead>{line("th", head)}</thead><tbody>{body}</tbody></table></div>'

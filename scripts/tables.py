"""The paper's tables with our numbers: paper, release, ours with both read-outs, from the result.json files of finished runs.

    python scripts/tables.py output [MORE_FOLDERS...] [--all] [--markdown FILE] [--csv FILE]

Prints the tables that hold a result, as Markdown; --all those without, too. --csv writes all of them, and beside them
FILE-runs.csv with a line per run. Ours is the mean over the seeds ± the standard deviation (n - 1) of the accuracy after the last
epoch. A cell holds only runs of the data set's configuration but for
what the row says (config/paper.yaml); every other result is listed below the tables with the settings in which it differs.
"""

import argparse
import csv
import io
import os
import statistics
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from util import display  # noqa: E402
from util.files import write_text  # noqa: E402
from util.results import COORDINATES, belongs, cells, find, name_of, shown  # noqa: E402

OTHER = ("other read-out", "other mean", "other std")
COLUMNS = ("mean", "std", *OTHER, "runs", "seeds", "encoder epoch", "last epoch", "read-out", "precision")

RUN_COLUMNS = (
    "result",
    "data",
    "stage",
    "method",
    "differs in",
    "seed",
    "last",
    "other read-out",
    "best",
    "samples",
    "encoder",
    "checkpoint",
    "versions",
)
INTRODUCTION = """Top-1 accuracy in %. Ours: mean ± standard deviation over seeds, after the last epoch. Encoder epochs count from
0, as in the names of checkpoints. Other read-out: of the same features; the number before it alone is to be compared with the
paper."""
RUNS = "Last: after the last epoch, the headline. Best: the best one on the samples it was judged by, picked by looking at them."
OTHERS = "Not the protocol of a table above: what differs from the data set's configuration is named."


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="folders to look for result.json in")
    parser.add_argument("--all", action="store_true", help="the tables without a result of ours, too")
    parser.add_argument("--markdown", metavar="FILE", help="write what is printed to this file, too, with links relative to it")
    parser.add_argument("--csv", metavar="FILE", help="write the tables as CSV, and FILE-runs.csv")
    args = parser.parse_args(argv)
    for folder in args.folders:
        if not Path(folder).is_dir():
            parser.error(f"{folder}: no such folder")
    results, complaints = find(args.folders)
    for line in complaints:
        print(f"warning: {line}", file=sys.stderr)
    tables, others, doubles = collect(results)
    home = Path(args.markdown).resolve().parent if args.markdown else Path.cwd()
    wanted = tables if args.all else {title: lines for title, lines in tables.items() if any(line["runs"] for line in lines)}
    text = markdown(wanted, others, doubles, results, complaints, home)
    if len(wanted) < len(tables):
        text += f"\n\n{len(tables) - len(wanted)} tables of the paper have no result here; --all shows them"
    print(text)
    if args.markdown:
        write_text(args.markdown, text + "\n")
    if args.csv:
        path = Path(args.csv)
        write_csv(path, [line for lines in tables.values() for line in lines] + others)
        write_csv(path.with_name(f"{path.stem}-runs{path.suffix}"), [run_line(result) for result in results])


def collect(results):
    """({title: lines}, lines of other results, [(result, the one it doubles)]); a line is a dict, one per row and column."""
    judged = [r for r in results if r["stage"] != "pretrain" and not r.content.get("eval")]
    judged, doubles = without_doubles(judged)
    placed, tables = set(), defaultdict(list)
    for cell in cells():
        ours = [r for r in judged if belongs(r, cell)]
        placed |= {r.path for r in ours}
        head = {"table": cell["table"], "data": cell["column"]} | {key: cell[key] for key in ("row", "paper", "release")}
        if cell["runs"] is not None or cell["paper"] is not None:
            tables[cell["table"]] += [head | part for part in averages(ours)]
    groups = defaultdict(list)
    for result in judged:
        if result.path not in placed:
            groups[result["dataset"], result["stage"], described(result)].append(result)
    others = []
    for (dataset, stage, how), group in sorted(groups.items()):
        row = how if stage == COORDINATES else f"{stage}: {how}"
        head = {"table": "other results", "data": name_of(dataset), "row": row, "paper": None, "release": None}
        others += [head | part for part in averages(group)]
    return tables, others, doubles


def without_doubles(results):
    """Results that differ in seed, subset or encoder from others of their settings, and [(result, the one that it doubles)]."""
    first, doubles = {}, []
    for result in results:
        key = (
            result["stage"],
            result["dataset"],
            described(result),
            _mixed(result),
            result["seed"],
            str(result.content.get("subset_seed")),
            result.encoder.get("sha256"),
        )
        if key in first:
            doubles.append((result, first[key]))
        else:
            first[key] = result
    return list(first.values()), doubles


def averages(results):
    """Our part of a line for each precision and judged epoch; one empty part without results."""
    groups = defaultdict(list)
    for result in results:
        groups[_mixed(result), result.encoder.get("epoch")].append(result)
    parts = [
        {
            **dict(zip(("mean", "std"), spread([r.accuracy for r in group]), strict=True)),
            **dict(zip(OTHER, other(group), strict=True)),
            "runs": len(group),
            "seeds": " ".join(str(r["seed"]) for r in sorted(group, key=lambda r: r["seed"])),
            "encoder epoch": epoch,
            "last epoch": group[0].content.get("epochs"),
            "read-out": group[0].content.get("readout"),
            "precision": "mixed" if amp else "float32",
        }
        for (amp, epoch), group in sorted(groups.items(), key=str)
    ]
    return parts or [dict.fromkeys(COLUMNS)]


def spread(values):
    """(mean, standard deviation (n - 1) or None)."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def other(results):
    """(name, mean, standard deviation) of the read-out beside the headline, Nones where not all runs have it."""
    for name in ("mean", "per_joint"):
        values = [result["last"].get(f"test_acc1_{name}") for result in results]
        if None not in values:
            return name, *spread(values)
    return None, None, None


def _mixed(result):
    """Whether the run or the pre-training it judges was computed in mixed precision."""
    return bool(result.options.get("enable_amp") or result.encoder.get("enable_amp"))


def described(result):
    """A result's method and what else is not as the data set's configuration has it."""
    method, differs = result.method()
    texts = {k: " ".join(map(str, v)) if isinstance(v, tuple) else v for k, v in sorted(differs.items())}
    return ", ".join([method, *(f"{k} {v}" for k, v in texts.items())])


def cell(line):
    """Ours as text: '84.7 ± 0.2 (3 seeds, encoder epoch 400, last epoch 100, mean)'."""
    if line["mean"] is None:
        return ""
    runs, seeds = line["runs"], len(set(line["seeds"].split()))
    how = [f"{runs} seed{'s' if runs > 1 else ''}" if runs == seeds else f"{runs} runs, {seeds} seed{'s' if seeds > 1 else ''}"]
    how += [f"{what} {line[what]}" for what in ("encoder epoch", "last epoch") if line[what] is not None]
    how += [line["read-out"]] if line["read-out"] else []
    how += ["mixed precision"] if line["precision"] == "mixed" else []
    return f"{number(line['mean'], line['std'])} ({', '.join(how)})"


def other_cell(line):
    """The other read-out as text: '81.2 ± 0.3 (per_joint)'."""
    return f"{number(line['other mean'], line['other std'])} ({line['other read-out']})" if line["other read-out"] else ""


def markdown(tables, others, doubles, results, complaints, home):
    """Everything as one Markdown text, with links relative to the folder `home`."""
    blocks = [INTRODUCTION]
    for title, lines in tables.items():
        rows = [
            (line["data"], line["row"], number(line["paper"]), number(line["release"]), cell(line), other_cell(line))
            for line in lines
        ]
        blocks += [f"## {title}", grid(("", "", "paper", "release", "ours", "ours, other read-out"), rows)]
    if others:
        rows = [(line["data"], line["row"], cell(line), other_cell(line)) for line in others]
        blocks += ["## Other results", OTHERS, grid(("", "", "ours", "ours, other read-out"), rows)]
    if doubles:
        told = [f"{shown(r.path.parent)} ({r.accuracy:.1f})" for pair in doubles for r in pair]
        pairs = zip(told[::2], told[1::2], strict=True)
        blocks += ["## Not counted"] + [f"- {one}: same settings, seed and encoder as {other}" for one, other in pairs]
    if complaints:
        blocks += ["## Not readable"] + [f"- {line}" for line in complaints]
    if results:
        rows = [(*(short(v) for v in run_line(result).values()), links(result, home)) for result in results]
        blocks += ["## Runs", RUNS, grid((*RUN_COLUMNS, "files"), rows)]
    return "\n\n".join(blocks)


def grid(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join("" if c is None else str(c).replace("|", "\\|") for c in line) + " |" for line in lines)


def number(value, deviation=None):
    return ("" if value is None else f"{value:.1f}") + ("" if deviation is None else f" ± {deviation:.1f}")


def run_line(result):
    """One run: what it was, its numbers, and the checksums of what was judged and of its last checkpoint."""
    method, _ = result.method()
    last, best, encoder = result["last"], result.content.get("best") or {}, result.encoder
    versions = result.content.get("versions") or {}
    described_as = described(result).removeprefix(method).removeprefix(", ")
    what = result["stage"] + (" (evaluation)" if result.content.get("eval") else "")
    score = f"{result.accuracy:.2f}" if result.accuracy is not None else f"loss {last.get('train_loss', float('nan')):.4f}"
    values = (
        shown(result.path.parent),
        name_of(result["dataset"]),
        what,
        method,
        described_as,
        result["seed"],
        score,
        other_cell(dict(zip(OTHER, other([result]), strict=True))),
        f"{best['test_acc1']:.2f} (epoch {best['epoch']})" if best else "",
        last.get("test_samples", ""),
        encoder.get("sha256") or "",
        (result.content.get("checkpoint") or {}).get("sha256", ""),
        " ".join(f"{k} {versions[k]}" for k in ("torch", "timm") if k in versions),
    )
    return dict(zip(RUN_COLUMNS, values, strict=True))


def short(value):
    """A checksum's first digits; anything else as it is."""
    return value[:12] if isinstance(value, str) and len(value) == 64 else value


def links(result, home):
    files = ["result.json", *(result.content[key] for key in ("config", "log") if result.content.get(key))]
    return " ".join(f"[{name}]({os.path.relpath(result.path.parent / name, home)})" for name in files)


def write_csv(path, lines):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(lines[0]) if lines else [])
    writer.writeheader()
    writer.writerows(lines)
    write_text(path, text.getvalue())


if __name__ == "__main__":
    display.end_with_reader()
    main()

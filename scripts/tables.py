"""The paper's tables with the numbers of paper, release and finished runs (from their result.json), with every read-out.

    python -m scripts.tables output [MORE_FOLDERS...] [--all] [--markdown FILE] [--csv FILE]

Prints the tables that have a result as Markdown, with --all also those without. --csv writes all of them, and FILE-runs.csv with
a line per run. Ours is the mean over seeds ± standard deviation (n - 1) of the accuracy after the last epoch. A cell holds only
runs with the data set's configuration, changed as the row says (config/paper.yaml); all other results are listed below the tables
with the settings that differ.
"""

import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder

from util import console, errors
from util.files import csv_text, write_text
from util.options import READOUTS, UNLABELLED
from util.results import COORDINATES, belongs, cells, find, name_of, settings_text
from util.seeds import description, mean_and_deviation, mixed_precision, number, other_readouts, without_doubles

INTRODUCTION = """Top-1 accuracy in %. Ours: mean ± standard deviation over seeds, after the last epoch. Epochs count from 1: that
of checkpoint-399.pth is 400. Other read-outs: of the same features; the number before them alone is to be compared with the
paper."""
RUNS = "Last: after the last epoch, the headline. Best: the best epoch, chosen on the samples it is evaluated on."
OTHERS = "Not the protocol of a table above: what differs from the data set's configuration is named."


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="folders to look for result.json in")
    parser.add_argument("--all", action="store_true", help="also print tables without a result")
    parser.add_argument("--markdown", metavar="FILE", help="also write the output to this file, with links relative to it")
    parser.add_argument("--csv", metavar="FILE", help="write the tables as CSV, and FILE-runs.csv")
    args = parser.parse_args(argv)
    try:
        results, complaints = find(args.folders)
    except FileNotFoundError as error:
        parser.error(str(error))
    for line in complaints:
        print(f"warning: {line}", file=sys.stderr)
    tables, others, doubles = collect(results)
    wanted = {title: lines for title, lines in tables.items() if args.all or any(line["runs"] for line in lines)}
    home = Path(args.markdown).resolve().parent if args.markdown else Path.cwd()
    text = markdown(wanted, others, doubles, results, complaints, home)
    if len(wanted) < len(tables):
        text += f"\n\n{len(tables) - len(wanted)} tables of the paper have no result here; --all shows them"
    print(text)
    if args.markdown:
        write_text(args.markdown, text + "\n")
    if args.csv:
        path = Path(args.csv)
        write_text(path, csv_text([line for lines in tables.values() for line in lines] + others))
        write_text(path.with_name(f"{path.stem}-runs{path.suffix}"), csv_text([run_line(result) for result in results]))


def collect(results):
    """({title: lines}, lines of other results, [(repetition, result that it repeats)]); a line is a dict, one per row and
    column."""
    evaluated, doubles = without_doubles([r for r in results if r["stage"] not in UNLABELLED and not r.get("eval")])
    tables, placed = defaultdict(list), set()
    for cell in cells():
        ours = [result for result in evaluated if belongs(result, cell)]
        placed |= {result.path for result in ours}
        if cell["runs"] is not None or cell["paper"] is not None:
            tables[cell["table"]] += lines_of(cell["table"], cell["column"], cell["row"], ours, cell["paper"], cell["release"])
    groups = defaultdict(list)
    for result in evaluated:
        if result.path not in placed:
            stage = "" if result["stage"] == COORDINATES else f"{result['stage']}: "
            groups[result["dataset"], result["stage"], stage + description(result)].append(result)
    others = []
    for (dataset, _, row), group in sorted(groups.items()):
        others += lines_of("other results", name_of(dataset), row, group)
    return tables, others, doubles


def lines_of(table, data, row, results, paper=None, release=None):
    """A line for each precision and encoder epoch of the results; one without our numbers if there are none."""
    groups = defaultdict(list)
    for result in results:
        groups[mixed_precision(result), result.encoder.get("epoch")].append(result)
    lines = []
    for (mixed, epoch), group in sorted(groups.items(), key=str) or [((None, None), [])]:
        mean, deviation = mean_and_deviation([result.accuracy for result in group])
        others = other_readouts(group)
        lines.append(
            {
                **{"table": table, "data": data, "row": row, "paper": paper, "release": release, "mean": mean, "std": deviation},
                **{f"{name}, other read-out": others.get(name, (None, None))[0] for name in READOUTS},
                **{f"{name}, other read-out, std": others.get(name, (None, None))[1] for name in READOUTS},
                "runs": len(group) or None,
                "seeds": " ".join(str(seed) for seed in sorted(result["seed"] for result in group)) or None,
                "encoder epoch": epoch,
                "last epoch": group[0].get("epochs") if group else None,
                "read-out": group[0].get("readout") if group else None,
                "precision": None if mixed is None else "mixed" if mixed else "float32",
            }
        )
    return lines


def ours(line):
    """A line's numbers as text: '84.7 ± 0.2 (3 seeds, encoder epoch 400, last epoch 100, mean)' and '81.2 ± 0.3 (per_joint),
    82.0 ± 0.4 (statistics)'."""
    if line["mean"] is None:
        return "", ""
    runs, seeds = line["runs"], len(set(line["seeds"].split()))
    how = [f"{runs} runs"] if runs != seeds else []
    how += [f"{seeds} seed{'s' if seeds > 1 else ''}"]
    how += [f"{key} {line[key]}" for key in ("encoder epoch", "last epoch") if line[key] is not None]
    how += [line["read-out"]] if line["read-out"] else []
    how += ["mixed precision"] if line["precision"] == "mixed" else []
    others = {name: (line[f"{name}, other read-out"], line[f"{name}, other read-out, std"]) for name in READOUTS}
    return f"{number(line['mean'], line['std'])} ({', '.join(how)})", readouts_text(others)


def readouts_text(readouts):
    """{name: (mean, standard deviation)} -> '81.2 ± 0.3 (per_joint), 82.0 ± 0.4 (statistics)'."""
    return ", ".join(f"{number(*values)} ({name})" for name, values in readouts.items() if values[0] is not None)


def markdown(tables, others, doubles, results, complaints, home):
    """Everything as one Markdown text, with links relative to the folder `home`."""
    blocks = [INTRODUCTION]
    for title, lines in tables.items():
        rows = [(line["data"], line["row"], number(line["paper"]), number(line["release"]), *ours(line)) for line in lines]
        blocks += [f"## {title}", markdown_table(("", "", "paper", "release", "ours", "ours, other read-outs"), rows)]
    if others:
        rows = [(line["data"], line["row"], *ours(line)) for line in others]
        blocks += ["## Other results", OTHERS, markdown_table(("", "", "ours", "ours, other read-outs"), rows)]
    if doubles:
        named = [[f"{result.folder} ({result.accuracy:.1f})" for result in pair] for pair in doubles]
        blocks += ["## Not counted", *(f"- {one}: same settings, seed and encoder as {other}" for one, other in named)]
    if complaints:
        blocks += ["## Not readable", *(f"- {line}" for line in complaints)]
    if results:
        lines = [run_line(result) for result in results]
        rows = [(*map(shortened, line.values()), links(result, home)) for line, result in zip(lines, results, strict=True)]
        blocks += ["## Runs", RUNS, markdown_table((*lines[0], "files"), rows)]
    return "\n\n".join(blocks)


def markdown_table(head, rows):
    """A Markdown table; None is an empty cell."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join("" if c is None else str(c).replace("|", "\\|") for c in line) + " |" for line in lines)


def run_line(result):
    """One run: description, numbers, and the checksums of its encoder and its last checkpoint."""
    method, differing = result.method()
    last, best, versions = result["last"], result.get("best"), result.get("versions") or {}
    return {
        "result": result.folder,
        "data": name_of(result["dataset"]),
        "stage": result["stage"] + (" (evaluation)" if result.get("eval") else ""),
        "method": method,
        "differs in": settings_text(differing),
        "seed": result["seed"],
        "last": f"loss {last.get('train_loss', float('nan')):.4f}" if result.accuracy is None else f"{result.accuracy:.2f}",
        "other read-outs": readouts_text(other_readouts([result])),
        "best": f"{best['test_acc1']:.2f} (epoch {best['epoch']})" if best else "",
        "samples": last.get("test_samples", ""),
        "encoder": result.encoder.get("sha256") or "",
        "checkpoint": (result.get("checkpoint") or {}).get("sha256", ""),
        "versions": " ".join(f"{key} {versions[key]}" for key in ("torch", "timm") if key in versions),
    }


def shortened(value):
    """A checksum's first digits; anything else as it is."""
    return value[:12] if isinstance(value, str) and len(value) == 64 else value


def links(result, home):
    files = ["result.json", *(result[key] for key in ("config", "log") if result.get(key))]
    return " ".join(f"[{name}]({os.path.relpath(result.path.parent / name, home)})" for name in files)


if __name__ == "__main__":
    console.end_with_reader()
    errors.main(main)

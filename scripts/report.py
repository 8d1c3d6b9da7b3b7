"""Write the reports of finished runs (again), or one page that compares them.

    python -m scripts.report FOLDER [MORE_FOLDERS...] [--data_path FILE.npz]
    python -m scripts.report --compare PAGE.html FOLDER [MORE_FOLDERS...]

Writes report.html into each folder with a finished run, at or below the given ones. With --compare only PAGE.html is written,
which compares the runs; runs that differ only in their seed are grouped. Runs of older versions have no scores.npz: their last
checkpoint (for retrieval, the encoder) is first evaluated again with the run's settings, and must give the accuracy in
result.json.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="output_dir of a finished run, or a folder above some")
    parser.add_argument("--data_path", metavar="FILE.npz", help="where the data set is now (default: where it was)")
    parser.add_argument("--compare", metavar="PAGE.html", help="write one page that compares all runs instead of a page for each")
    return parser


if __name__ == "__main__":  # answer --help before importing torch, which takes seconds
    build_parser().parse_args()

import tempfile
from importlib import import_module

import yaml

from report import run_folder, run_page, runs_page
from util import errors, predictions, results
from util.files import files_below, replace


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.compare and args.data_path:
        parser.error("--data_path says nothing with --compare, which reads no data set")
    if args.compare and not args.compare.endswith(".html"):
        parser.error(f"--compare {args.compare}: the name of the page to write, ending in .html, comes before the folders")
    folders = {top: sorted(path.parent for path in files_below(top) if path.name == "result.json") for top in args.folders}
    skipped = [f"{top}: no result.json of a finished run, neither there nor below" for top, below in folders.items() if not below]
    if args.compare:
        found, complaints = results.find([top for top, below in folders.items() if below])
        skipped = runs_page.write(args.compare, found, complaints + skipped)
        print(args.compare, flush=True)
    else:
        every = [folder for below in folders.values() for folder in below]
        damaged = write_pages(every, args.data_path)
        skipped = damaged + skipped
        if len(damaged) == len(every):
            raise ValueError(skipped[0])
    for line in skipped:
        print(f"warning: {line}", file=sys.stderr)


def write_pages(folders, data_path):
    """Write report.html into each folder; returns a line for each that holds no finished run, or one that cannot be evaluated."""
    skipped = []
    for folder in folders:
        try:
            run = run_folder.read(folder, data_path)
            if run.has_accuracy and run.predicted is None:
                evaluate(run)
        except (ValueError, OSError) as error:
            skipped.append(str(error))
        else:
            print(run_page.write(folder, data_path), flush=True)
    return skipped


def evaluate(run):
    """Evaluate the run's model again and write scores.npz into its folder. Raises ValueError if the accuracy has changed."""
    left_out = {"output_dir", "log_dir", "wandb", "resume", "save_features", *([] if run.stage == "retrieval" else ["finetune"])}
    options = {key: value for key, value in run.options.items() if key not in left_out} | {"report": False, "num_workers": 0}
    if run.stage != "retrieval" and not options.get("eval"):
        options["eval"] = str(run.folder / Path(run.result["checkpoint"]["path"]).name)
    with tempfile.TemporaryDirectory(dir=run.folder) as aside:
        Path(aside, "config.yaml").write_text(yaml.safe_dump(options))
        output = Path(aside, "evaluation")
        import_module(f"main_{run.stage}").main(["--config", f"{aside}/config.yaml", "--output_dir", str(output)])
        again, before = (r["last"]["test_acc1"] for r in (run_folder.read(output).result, run.result))
        if abs(again - before) > 0.05:
            raise ValueError(
                f"{run.folder}: evaluated again the top-1 is {again:.2f} %, not the {before:.2f} % of result.json; "
                "were weights or data replaced?"
            )
        replace(output / predictions.FILE, run.folder / predictions.FILE)


if __name__ == "__main__":
    errors.main(main)

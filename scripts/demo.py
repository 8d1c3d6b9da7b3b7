"""Demo on invented recordings: raw .skeleton files -> npz -> pre-training with MAMP -> accuracy of its encoder.

Every step is a command that a user could type, and is printed before it runs. Two seeds run at the same time. Everything is
written to data/demo/ and output/demo/; with --smoke (a tenth of the data, two epochs, a test) to output/demo-smoke/.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder

from scripts.tables import markdown_table
from scripts.variables import demo_data
from util import console, errors, host
from util.seeds import spread

ROOT = Path(__file__).resolve().parents[1]
SMOKE_SIZE = ["--num_frames", "16", "--dim_feat", "16"]
SMOKE_SCHEDULE = ["--epochs", "2", "--warmup_epochs", "1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--smoke", action="store_true", help="a tenth of the data, two epochs, in folders of its own")
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds, run at the same time")
    parser.add_argument("--ratio", type=float, default=0.1, help="share of the labels that fine-tuning gets")
    parser.add_argument("--data", help="folder for the recording and the arrays [data/demo; of --smoke output/demo-smoke/data]")
    parser.add_argument("--output", help="folder for the runs [output/demo; of --smoke output/demo-smoke]")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    begin = time.time()
    output = Path(args.output or ("output/demo-smoke" if args.smoke else "output/demo"))
    data = Path(args.data or (output / "data" if args.smoke else "data/demo"))
    print("Everything below is measured on INVENTED data: it shows that the code works, not how well MAMP does on people.")
    print("On two CPU cores this takes about " + ("1 minute." if args.smoke else "7 minutes."), flush=True)

    print("\n1. Invent a recording: raw .skeleton files as a Kinect v2 would have written them", flush=True)
    actions = 6 if args.smoke else 12
    size = ["--performers", "4", "--replications", "1"] if args.smoke else []
    invent, *prepare = demo_data(data, "--actions", str(actions), *size)
    run(invent)

    print("\n2. Read, denoise, translate, split: the published commands, on the invented files", flush=True)
    for words in prepare:
        run(words)

    def command(stage, name, seed, *more):
        line = [f"main_{stage}.py", "--dataset", "demo", "--output_dir", f"{output}/seed{seed}/{name}", "--seed", str(seed)]
        line += ["--num_workers", "0", "--data_path", f"{data}/DEMO_XSub.npz", *(SMOKE_SIZE if args.smoke else [])]
        return [*line, *(SMOKE_SCHEDULE if args.smoke and stage != "retrieval" else []), *more]

    print(f"\n3. Pre-train MAMP without labels, {args.seeds} seeds side by side", flush=True)
    for seed in range(args.seeds):
        shutil.rmtree(output / f"seed{seed}", ignore_errors=True)  # what an earlier demo left
    side_by_side([command("pretrain", "pretrain", seed) for seed in range(args.seeds)])

    print("\n4. Judge it: each measurement on a random and on the pre-trained encoder", flush=True)
    jobs = []
    for stage in ("linprobe", "retrieval", "finetune"):
        for encoder in ("random", "mamp"):
            for seed in range(args.seeds):
                few = ["--data_ratio", str(args.ratio), "--subset_seed", str(seed)] if stage == "finetune" else []
                few += ["--layer_decay", "1"] if stage == "finetune" and encoder == "random" else []
                start = ["--finetune", f"{output}/seed{seed}/pretrain/checkpoint-last.pth"] if encoder == "mamp" else []
                jobs.append(command(stage, f"{stage}-{encoder}", seed, *few, *start))
    side_by_side(jobs)

    table = results(output, args.seeds, args.ratio, chance=100 / actions)
    (output / "results.md").write_text(table + "\n")
    print(f"\n{table}\n\n{(time.time() - begin) / 60:.1f} minutes on {host.cores()} CPU cores.")
    print(f"This table: {output / 'results.md'}; logs and checkpoints: {output}/seed*/")


def run(words):
    """Run a Python command; stop the demo if it fails."""
    print("$ python " + " ".join(words), flush=True)
    code = subprocess.run([sys.executable, *words], cwd=ROOT).returncode
    if code:
        sys.exit(f"error: the command above ended with exit code {code}")


def side_by_side(jobs):
    """Run commands in parallel, one per core with one thread each, with a progress bar over their epochs."""
    print("\n".join("$ python " + " ".join(job) for job in jobs), flush=True)
    folders = [Path(job[job.index("--output_dir") + 1]) for job in jobs]
    waiting, running = list(zip(jobs, folders, strict=True)), []
    bar_format = "{l_bar}{bar}| {n:.2f}/{total} runs, {elapsed} gone, {remaining} left"
    try:
        with console.bar(total=len(jobs), bar_format=bar_format) as bar:
            while waiting or running:
                while waiting and len(running) < host.cores():
                    job, folder = waiting.pop(0)
                    folder.mkdir(parents=True, exist_ok=True)
                    environment = os.environ | {"OMP_NUM_THREADS": "1"}
                    with open(folder / "stdout.log", "w") as log:
                        process = subprocess.Popen([sys.executable, *job], cwd=ROOT, env=environment, stdout=log, stderr=log)
                    running.append((process, job, folder))
                time.sleep(0.2)
                for process, job, folder in running:
                    if process.poll():
                        text = (folder / "stdout.log").read_text()[-2000:]
                        sys.exit(f"error: 'python {' '.join(job)}' failed:\n{text}")
                running = [entry for entry in running if entry[0].poll() is None]
                bar.update(sum(map(progress, folders)) - bar.n)
    finally:  # after a failure, Ctrl-C or SIGTERM nothing is left running
        for process, *_ in running:
            process.kill()


def progress(folder):
    """Share of a command's work that is done: 1 if it has a result, else the share of epochs in its log."""
    if (folder / "result.json").exists():
        return 1.0
    try:
        epochs = yaml.safe_load((folder / "config.yaml").read_text())["epochs"]
        return len((folder / "log.jsonl").read_text().splitlines()) / epochs
    except (FileNotFoundError, KeyError, TypeError):  # not started, or a stage without epochs
        return 0.0


def results(output, seeds, ratio, chance):
    """Markdown table of the result.json files: mean ± standard deviation over the seeds, and every seed's own number."""
    names = {
        "linprobe": "linear probe",
        "retrieval": "1-NN retrieval",
        "finetune": f"fine-tuning, {100 * ratio:g} % of the labels",
    }
    rows = []
    for stage, name in names.items():
        random, mamp = (
            [
                json.loads(Path(output, f"seed{k}/{stage}-{encoder}/result.json").read_text())["last"]["test_acc1"]
                for k in range(seeds)
            ]
            for encoder in ("random", "mamp")
        )
        gains = ", ".join(f"{after - before:+.1f}" for before, after in zip(random, mamp, strict=True))
        rows.append((name, spread(random), spread(mamp), gains))
    title = f"Top-1 accuracy in % on the INVENTED demo recording, cross-subject, {seeds} seeds (chance: {chance:.0f} %):"
    return f"{title}\n\n" + markdown_table(("measurement", "random encoder", "MAMP pre-trained", "gain, seed by seed"), rows)


if __name__ == "__main__":
    errors.main(main)

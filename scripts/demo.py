"""The whole way on an invented recording: raw .skeleton files -> arrays -> MAMP without labels -> what it learned.

Every step is one of the commands a user would type; each is printed before it runs. Two seeds run side by side. Everything lands
in data/demo/ and output/demo/. With --smoke, a tenth of the data and two epochs, to see that it all runs, in output/demo-smoke/.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from util import display  # noqa: E402

STAGES = {  # what is measured -> main, stage YAML, further options
    "linear probe": ("main_linprobe.py", "linprobe", []),
    "1-NN retrieval": ("main_retrieval.py", "retrieval", []),
    "fine-tuning, {labels} % of the labels": ("main_finetune.py", "finetune", ["--data_ratio", "{ratio}"]),
}
SMOKE_SIZE = ["--num_frames", "16", "--dim_feat", "16"]
SMOKE_SCHEDULE = ["--epochs", "2", "--warmup_epochs", "1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--smoke", action="store_true", help="a tenth of the data, two epochs, in folders of its own")
    parser.add_argument("--seeds", type=int, default=2, help="runs, side by side")
    parser.add_argument("--ratio", type=float, default=0.1, help="share of the labels that fine-tuning gets")
    parser.add_argument("--data", help="folder for the recording and the arrays [data/demo; of --smoke output/demo-smoke/data]")
    parser.add_argument("--output", help="folder for the runs [output/demo; of --smoke output/demo-smoke]")
    args = parser.parse_args()
    begin = time.time()
    output = Path(args.output or ("output/demo-smoke" if args.smoke else "output/demo"))
    data = Path(args.data or (output / "data" if args.smoke else "data/demo"))
    print("Everything below is measured on INVENTED data: it shows that the code works, not how well MAMP does on people.")
    print("On two CPU cores this takes about " + ("1 minute." if args.smoke else "7 minutes."), flush=True)

    title("1. Invent a recording: raw .skeleton files as a Kinect v2 would have written them")
    actions = 6 if args.smoke else 12
    size = ["--performers", "4", "--replications", "1"] if args.smoke else []
    run([sys.executable, "data/demo/make_demo.py", "--out", str(data / "raw"), "--actions", str(actions), *size])
    title("2. Read, denoise, translate, split: the published commands, on the invented files")
    run([sys.executable, "data/ntu/get_raw_skes_data.py", "--raw", str(data / "raw/nturgb+d_skeletons"), "--out", str(data)])
    run([sys.executable, "data/ntu/get_raw_denoised_data.py", "--out", str(data)])
    run([sys.executable, "data/ntu/seq_transformation.py", "--out", str(data), "--name", "DEMO"])

    options = ["--data_path", str(data / "DEMO_XSub.npz"), *(SMOKE_SIZE if args.smoke else [])]
    schedule = SMOKE_SCHEDULE if args.smoke else []
    seeds = range(args.seeds)
    for s in seeds:  # what an earlier demo left
        shutil.rmtree(output / f"seed{s}", ignore_errors=True)
    title(f"3. Pre-train MAMP without labels, {args.seeds} seeds side by side")
    folders = [output / f"seed{s}/pretrain" for s in seeds]
    side_by_side([command("main_pretrain.py", "pretrain", f, s, options + schedule) for s, f in zip(seeds, folders, strict=True)])
    title("4. Judge it: each measurement on a random and on the pre-trained encoder")
    jobs = []
    for main_file, stage, extra in STAGES.values():
        extra = [word.format(ratio=args.ratio) for word in extra]
        if stage != "retrieval":
            extra += schedule
        for encoder in ("random", "mamp"):
            for s in seeds:
                folder = output / f"seed{s}/{stage}-{encoder}"
                own = ["--finetune", str(output / f"seed{s}/pretrain/checkpoint-last.pth")] if encoder == "mamp" else []
                if stage == "finetune":
                    own += ["--subset_seed", str(s)] + (["--layer_decay", "1"] if encoder == "random" else [])
                jobs.append(command(main_file, stage, folder, s, [*options, *extra, *own]))
    side_by_side(jobs)
    table = results(output, seeds, args.ratio, actions)
    (output / "results.md").write_text(table + "\n")
    print(f"\n{table}\n\n{(time.time() - begin) / 60:.1f} minutes on {os.cpu_count()} CPU cores.")
    print(f"This table: {output / 'results.md'}; logs and checkpoints: {output}/seed*/")


def title(text):
    print(f"\n{text}", flush=True)


def run(words):
    """Run one command in the foreground; stop the demo if it fails."""
    print("$ " + shown(words), flush=True)
    code = subprocess.run(words, cwd=ROOT).returncode
    if code:
        sys.exit(f"error: the command above ended with exit code {code}")


def shown(words):
    return " ".join("python" if w == sys.executable else str(w) for w in words)


def command(main_file, stage, folder, seed, options):
    return [
        sys.executable,
        main_file,
        "--config",
        f"config/{stage}.yaml",
        "--dataset",
        "config/dataset/demo.yaml",
        "--output_dir",
        str(folder),
        "--seed",
        str(seed),
        "--num_workers",
        "0",
        *options,
    ]


def side_by_side(jobs):
    """Run commands, as many at once as there are cores for, one thread each, with one progress bar over their epochs."""
    print("\n".join("$ " + shown(job) for job in jobs), flush=True)
    folders = [Path(job[job.index("--output_dir") + 1]) for job in jobs]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in ("log.jsonl", "result.json"):
            (ROOT / folder / stale).unlink(missing_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    waiting, running, done = list(zip(jobs, folders, strict=True)), [], 0
    bar_format = "{l_bar}{bar}| {n:.2f}/{total} runs, {elapsed} gone, {remaining} left"
    with display.bar(total=len(jobs), bar_format=bar_format) as bar:
        while waiting or running:
            while waiting and len(running) < max(1, os.cpu_count() or 1):
                job, folder = waiting.pop(0)
                log = open(folder / "stdout.log", "w")
                running.append((subprocess.Popen(job, cwd=ROOT, env=environment, stdout=log, stderr=log), job, folder, log))
            time.sleep(0.2)
            for entry in list(running):
                process, job, folder, log = entry
                if process.poll() is None:
                    continue
                log.close()
                running.remove(entry)
                done += 1
                if process.returncode:
                    for other, *_ in running:
                        other.kill()
                    sys.exit(f"error: '{shown(job)}' failed:\n" + (folder / "stdout.log").read_text()[-2000:])
            bar.update(done + sum(progress(folder) for *_, folder, _ in running) - bar.n)


def progress(folder):
    """Share of the epochs of a running command that are in its log."""
    try:
        epochs = next(int(x.split(":")[1]) for x in (folder / "config.yaml").read_text().splitlines() if x.startswith("epochs:"))
        return len((folder / "log.jsonl").read_text().splitlines()) / epochs
    except (FileNotFoundError, StopIteration):
        return 0.0


def results(output, seeds, ratio, actions):
    """Markdown table of the result.json files: mean ± standard deviation over the seeds, and every seed's own number."""
    lines = [
        f"Top-1 accuracy in % on the INVENTED demo recording, cross-subject, {len(seeds)} seeds (chance: {100 / actions:.0f} %):",
        "",
        "| measurement | random encoder | MAMP pre-trained | gain, seed by seed |",
        "|---|---|---|---|",
    ]
    for what, (_, stage, _) in STAGES.items():
        scores = {}
        for encoder in ("random", "mamp"):
            files = [output / f"seed{s}/{stage}-{encoder}/result.json" for s in seeds]
            scores[encoder] = [json.loads(f.read_text())["last"]["test_acc1"] for f in files]
        gains = ", ".join(f"{b - a:+.1f}" for a, b in zip(*scores.values(), strict=True))
        what = what.format(labels=f"{100 * ratio:g}")
        lines.append(f"| {what} | {spread(scores['random'])} | {spread(scores['mamp'])} | {gains} |")
    return "\n".join(lines)


def spread(values):
    each = ", ".join(f"{v:.1f}" for v in values)
    if len(values) == 1:
        return each
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f} ({each})"


if __name__ == "__main__":
    main()

"""What the mains share: starting a stage, its data and model, what a result says, and one-line errors."""

import csv
import io
import os
import shlex
import sys
import threading
from pathlib import Path

import torch

from feeder.loader import number_as_trained
from model import build
from util import checkpoint, config, display, distributed, predictions, results, stopping
from util.engine import allow_tf32
from util.files import sha256, write_text
from util.hardware import hardware, lacks_bfloat16
from util.logging import say, tell, write_result
from util.memory import keep_freed


def start(stage, argv=None):
    """Parse the options, join the process group, make the output folder: (args, device)."""
    args = config.parse(stage, argv)
    display.be_quiet(args.quiet)
    deterministic(args.deterministic)
    device = distributed.setup(args.device)
    allow_tf32(device, args.tf32)
    if hasattr(args, "accum_iter"):
        config.set_batches(args)
    if device.type == "cpu":
        keep_freed()
    torch.manual_seed(args.seed)
    if threading.current_thread() is threading.main_thread():
        stopping.listen()
    folder = Path(args.output_dir)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output_dir {folder}: is a file; give a folder")
    if getattr(args, "resume", "") is None and not getattr(args, "eval", None) and _has_run(folder):
        raise ValueError(f"output_dir {folder}: holds a run; --resume auto goes on with it, or give another folder")
    if (getattr(args, "eval", None) or stage == "retrieval") and _has_run(folder):
        raise ValueError(f"output_dir {folder}: holds a training run, which an evaluation must not overwrite; give another one")
    if distributed.is_main():
        folder.mkdir(parents=True, exist_ok=True)
    late = [step for step in getattr(args, "lr_steps", ()) if step >= args.epochs]
    if late:
        steps = " ".join(map(str, late))
        tell(f"warning: lr_steps {steps}: not within {args.epochs} epochs, so the learning rate does not fall there")
    if args.enable_amp and device.type == "cpu" and lacks_bfloat16():
        tell("warning: enable_amp: this processor has no bfloat16 products; float32 (--no-enable_amp) is several times faster")
    say(f"{stage}: {distributed.world_size()} process(es) on {device.type}, output in {folder}")
    return args, device


def deterministic(wanted):
    """Whether torch uses only operations that give the same bits each time; to be called before a GPU is touched.

    An operation that has no such form then raises a RuntimeError that names it.
    """
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once
    torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.benchmark = False


def _has_run(folder):
    """Whether a training run has left at least an epoch in its log there."""
    log = folder / "log.jsonl"
    return log.is_file() and log.stat().st_size > 0


def labelled(args, data):
    """Number of training samples used; a subset is written to subset.csv and named. Says which class has which number, too."""
    if data.class_names is not None and data.num_classes:
        named = [f"{number} = {name!r}" for number, name in enumerate(predictions.class_names(data))]
        say("classes: " + ", ".join(named if len(named) < 6 else [*named[:4], "...", named[-1]]))
    shares = distributed.gather(data.indices.tolist())
    rows = sorted(set().union(*shares))
    if len(rows) == len(data.label):
        return len(rows)
    path = Path(args.output_dir, "subset.csv")
    if distributed.is_main():
        classes, text = predictions.class_names(data), io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(("row", "label", "class_name", "name"))
        for row in rows:
            label = [data.label[row], classes[data.label[row]]] if classes else ["", ""]
            table.writerow((row, *label, "" if data.names is None else data.names[row]))
        write_text(path, text.getvalue())
    if args.subset == "released" and len(shares) > 1:
        how = f"released: {len(data)} drawn by each of {len(shares)} processes for itself"
    else:
        how = f"subset_seed {args.subset_seed}, the same on every process"
    say(f"subset: {len(rows)} of {len(data.label)} training samples ({how}), listed in {path}")
    return len(rows)


def identity(path):
    """A file by path and checksum."""
    return {"path": str(path), "sha256": sha256(path)}


def report(args, what, result, evaluation, **how):
    """Print and write down a classifier's result: the last epoch is the headline, the best on the test set stands beside it.

    evaluation: the util.predictions.Evaluation of the last epoch.
    """
    last, best, where = result["last"], result["best"], results.about(args)["evaluated_on"]
    best = f"best on {where} {best['test_acc1']:.2f} % (epoch {best['epoch'] + 1})"
    tell(
        f"{what}: top-1 {last['test_acc1']:.2f} % after the last epoch ({args.epochs}), {best}, {last['test_samples']} {where} "
        f"samples{results.read_out(args, last)}, {args.input_stream} stream, encoder from {args.finetune or 'random weights'}, "
        f"seed {args.seed}"
    )
    finish(args, evaluation.predictions, evaluation.data, eval=False, **how, **result)


def finish(args, predicted=None, data=None, **values):
    """Write result.json of a finished run: its options, numbers, and last checkpoint; then scores.npz and report.html.

    predicted: util.predictions.Predictions about the Feeder `data`.
    """
    if distributed.is_main():
        config.save(args, Path(args.output_dir, "config.yaml"))
        last = Path(args.output_dir, f"checkpoint-{getattr(args, 'epochs', 0) - 1}.pth")
        links = {"checkpoint": identity(last), "log": "log.jsonl"} if last.is_file() else {}
        device = distributed.setup(args.device)  # which it has been long since
        made = {"command": command(args), "hardware": hardware(device), "processes": distributed.world_size()}
        write_result(
            args.output_dir, **results.count_from_one(results.about(args) | links | values), config="config.yaml", **made
        )
        try:
            if predicted:
                predictions.save(args.output_dir, predicted, data, args.input_stream)
            if args.report:
                from report.run_page import write as write_report  # here, so that a run starts without it

                say("drawing report.html, which takes seconds to minutes")
                say(f"report: {write_report(args.output_dir)}")
        except Exception as error:  # the numbers are written; no picture is worth a run that fails at its end
            reason = " ".join(str(error).split()) or type(error).__name__
            tell(f"warning: {args.output_dir}: no report.html ({reason})")


def pretrained(args, result, seconds):
    """Print the result of a pre-training: loss, time, checkpoint, and the command that judges it."""
    file = Path(args.output_dir, f"checkpoint-{args.epochs - 1}.pth")
    known = config.FOLDER / "dataset" / f"{args.dataset}.yaml"
    data = ["--dataset", args.dataset] if known.is_file() else []
    if not data or config.located(config.read_yaml(known, "pretrain")["data_path"]) != args.data_path:
        data += ["--data_path", args.data_path]
    judge = shlex.join(["python", "main_linprobe.py", *data, "--finetune", str(file)])
    tell(
        f"pre-training: loss {result['train_loss']:.4f} after {args.epochs} epochs, {display.duration(seconds)}; {file}\n"
        f"next: {judge}"
    )


def command(args):
    """The command line of this run; of a main that was called from Python, one that does the same."""
    name = f"main_{args.stage}.py"
    words = sys.argv[1:] if Path(sys.argv[0]).name == name else ["--config", str(Path(args.output_dir, "config.yaml"))]
    return shlex.join(["python", name, *words])


def evaluate_checkpoint(args, device, test, evaluation_of):
    """--eval: accuracy and scores of a classifier in a file of ours or of the release; sizes and classes come from the file.

    evaluation_of(model, path, content) -> the util.predictions.Evaluation of the checkpoint's model, which is on the device.
    """
    content = checkpoint.load(args.eval)
    stage = checkpoint.stage(content)
    if stage != args.stage:
        raise ValueError(
            f"{args.eval}: "
            + (
                "holds no classifier; --eval wants a linear-probe or fine-tuning checkpoint"
                f"; main_{args.stage}.py --finetune {args.eval} trains one"
                if stage == "pretrain"
                else f"holds a classifier of main_{stage}.py; evaluate it there"
            )
        )
    data, classes = test.source, checkpoint.num_classes(content)
    number_as_trained(data, content, args.eval)
    model = build.classifier(args, data, classes)
    checkpoint.load_model(model, args.eval, content)
    if data.label.max() >= classes:
        raise ValueError(f"{args.data_path}: has the label {data.label.max()}, {args.eval} knows {classes} classes")
    evaluation = evaluation_of(model.to(device), args.eval, content)
    metrics, where, scores = evaluation(), results.about(args)["evaluated_on"], Path(args.output_dir, predictions.FILE)
    if distributed.is_main():
        predictions.save(args.output_dir, evaluation.predictions, data, args.input_stream)
    tell(
        f"{args.eval} (epoch {content['epoch'] + 1 if 'epoch' in content else 'unknown'}): "
        f"top-1 {metrics['test_acc1']:.2f} %, top-5 {metrics['test_acc5']:.2f} %, loss {metrics['test_loss']:.4f}, "
        f"{metrics['test_samples']} {where} samples{results.read_out(args, metrics)}, {args.input_stream} stream; "
        f"scores in {scores}"
    )
    trained = {k: v for k, v in checkpoint.settings(content, args.eval).items() if k in ("seed", "epochs", *results.SUBSET)}
    finish(args, eval=True, encoder=content.get("encoder"), checkpoint=identity(args.eval), **trained, last=metrics)

"""The start of a run (device, seed, output folder), and its result."""

import argparse
import os
import shlex
import threading
from pathlib import Path

import torch
import yaml

from util import checkpoint, config, config_files, console, distributed, provenance, results, signals, tracking
from util.engine import allow_tf32
from util.files import lock, sha256, unlock
from util.hardware import hardware, lacks_bfloat16
from util.logging import print_always, print_info, write_result
from util.memory import keep_freed

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def start(args):
    """Join the process group, seed, make the output folder, set batch_size and accum_iter for the number of processes. Returns
    this process's torch.device.

    Raises ValueError for an output folder that holds another run, or an effective batch that cannot be divided evenly.
    """
    console.be_quiet(args.quiet)
    deterministic(args.deterministic)
    device = distributed.setup(args.device)
    allow_tf32(device, args.tf32)
    trains = hasattr(args, "epochs") and not getattr(args, "eval", None)
    if trains:  # an evaluation has no updates, so any number of processes will do
        config.set_batches(args)
    if device.type == "cpu":
        keep_freed()
    torch.manual_seed(args.seed)
    if threading.current_thread() is threading.main_thread():
        signals.listen()
    folder = Path(args.output_dir)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output_dir {folder}: is a file; give a folder")
    if _has_run(folder) and not trains:
        raise ValueError(f"output_dir {folder}: holds a training run, which an evaluation must not overwrite; give another one")
    if _has_run(folder) and args.resume != "auto" and not (args.resume and Path(args.resume).parent.samefile(folder)):
        what = f"another run than {args.resume}" if args.resume else "a run"
        raise ValueError(f"output_dir {folder}: holds {what}; --resume auto goes on with it, or give another folder")
    if foreign := sorted(folder.glob("checkpoint-[0-9]*.pth")) if trains and not _is_ours(folder) else []:
        raise ValueError(
            f"output_dir {folder}: holds {foreign[0].name}, of no run of ours (no config.yaml), which would be overwritten; "
            "give another folder"
        )
    if distributed.is_main():
        folder.mkdir(parents=True, exist_ok=True)
        if trains:
            lock(folder)
    for line in setting_warnings(args, device):
        print_always(f"warning: {line}")
    if not trains and (differing := _other_evaluation(args)):
        print_always(f"note: output_dir {folder}: its result of another evaluation is replaced ({differing})")
    config.overridden(args)  # its answer at the end is that of now, even if a file is edited meanwhile
    tracking.start(args)
    print_info(f"{args.stage}: {distributed.world_size()} process(es) on {device.type}, output in {folder}")
    return device


def setting_warnings(args, device):
    """Warnings about settings that are probably a mistake, or slow."""
    late = [step for step in getattr(args, "lr_steps", ()) if step >= args.epochs]
    if late:
        steps = " ".join(map(str, late))
        yield f"lr_steps {steps}: not within {args.epochs} epochs, so the learning rate does not fall there"
    if hasattr(args, "epochs") and not getattr(args, "eval", None) and args.epochs <= args.warmup_epochs:
        yield (
            f"warmup_epochs {args.warmup_epochs}: the learning rate rises in all {args.epochs} epochs and never comes down; "
            f"fewer --warmup_epochs or more --epochs{config_files.small_data_hint(args, 'warmup_epochs')}"
        )
    if hasattr(args, "min_lr") and not getattr(args, "eval", None) and not args.lr_steps and args.min_lr > args.lr:
        yield f"min_lr {args.min_lr:g}: above lr {args.lr:g}, so the learning rate rises to it; a lower --min_lr, too"
    if getattr(args, "head_epochs", 0) >= getattr(args, "epochs", 0) > 0:
        yield f"head_epochs {args.head_epochs}: all {args.epochs} epochs train the head alone; the encoder stays as it is"
    if args.device == "auto" and device.type == "cpu" and NVIDIA_DRIVER.exists():
        built = (
            f"is built for CUDA {torch.version.cuda}; is the driver too old?" if torch.version.cuda else "is built without CUDA"
        )
        yield f"device: running on the CPU, although there is an NVIDIA driver: torch {torch.__version__} {built}"
    if args.enable_amp and device.type == "cpu" and lacks_bfloat16():
        yield "enable_amp: this processor has no bfloat16 products; float32 (--no-enable_amp) is several times faster"


def deterministic(wanted):
    """Whether torch may use only deterministic operations; others then raise a RuntimeError. To be called before using a GPU."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads this only once
    torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.benchmark = False


def _is_ours(folder):
    """Whether a run of ours has written to the folder."""
    return _has_run(folder) or (folder / "config.yaml").is_file()


def _has_run(folder):
    """Whether the folder holds a training run: the log of an epoch, or a checkpoint from within the first one."""
    log, last = folder / "log.jsonl", folder / checkpoint.LAST
    if log.is_file() and log.stat().st_size > 0:
        return True
    try:
        return last.is_file() and bool(checkpoint.load(last).get("progress"))
    except ValueError:  # damaged
        return False


def _other_evaluation(args):
    """Settings with which a result in the output folder of an evaluation was made, as config.differing gives them; else ''."""
    try:
        made = yaml.safe_load(Path(args.output_dir, "config.yaml").read_text(encoding="utf-8"))
        return config.differing(made, vars(args)) if (Path(args.output_dir) / "result.json").exists() else ""
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError):  # none, or damaged
        return ""


def write(args, device, **values):
    """Write result.json (`values`, and how they were made) and config.yaml."""
    if not distributed.is_main():
        return
    config.save(args, Path(args.output_dir, "config.yaml"))
    last = Path(args.output_dir, f"checkpoint-{getattr(args, 'epochs', 0) - 1}.pth")
    links = {"checkpoint": describe_file(last), "log": "log.jsonl"} if last.is_file() else {}
    made = {"command": config.command(args), "hardware": hardware(device), "processes": distributed.world_size()}
    values = results.count_from_one(results.how_made(args) | links | values) | {"overridden": config.overridden(args)}
    write_result(args.output_dir, **values, config="config.yaml", **made)
    unlock(args.output_dir)


def describe_file(path):
    """{'path', 'sha256'} of a file."""
    return {"path": str(path), "sha256": sha256(path)}


def linprobe_command(args, argv=None):
    """The command line of a linear probe on the encoder of a finished pre-training.

    argv: that run's command line (default: this process's), from which --dataset is taken and, if the file has settings for the
    linear probe, as config/small.yaml has, --config.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--config", "--dataset", "--data_path"):
        parser.add_argument(name, nargs="?")
    given = parser.parse_known_args(argv)[0]
    dataset = given.dataset or ("" if given.data_path else args.dataset)
    known = Path(dataset) if Path(dataset).is_file() else config_files.FOLDER / "dataset" / f"{dataset}.yaml"
    try:
        data, data_path = ["--dataset", dataset], config_files.read_yaml(known, args.stage).get("data_path")
    except (OSError, ValueError):  # no such file, or it was edited during the run
        data, data_path = [], None
    if not data_path or config_files.resolve_path(data_path) != args.data_path:
        data += ["--data_path", args.data_path]
    if given.config and config_files.has_exceptions_for(given.config, "linprobe"):
        data = ["--config", given.config, *data]
    folder = Path(args.output_dir)
    words = ["--finetune", str(folder / f"checkpoint-{args.epochs - 1}.pth")]
    if folder.name not in ("", ".."):  # not the working directory or one above it
        words += ["--output_dir", str(folder.with_name(f"{folder.name}-linprobe"))]
    return shlex.join(["python", "main_linprobe.py", *data, *words])


def print_result(args, what, result):
    """Print a classifier's accuracy after the last epoch, and that of the best epoch."""
    last, best, where = result["last"], result["best"], results.evaluated_on(args)
    best = f"best on {where} {best['test_acc1']:.2f} % (epoch {best['epoch'] + 1})"
    print_always(
        f"{what}: top-1 {last['test_acc1']:.2f} % after the last epoch ({args.epochs}), {best}, {last['test_samples']} {where} "
        f"samples{results.readout_text(args, last)}, {args.input_stream} stream, "
        f"encoder from {args.finetune or 'random weights'}, seed {args.seed}"
    )
    if result.get("ridge"):
        print_always(f"ridge regression on the same features, {results.accuracies_text(result['ridge'])}")


def evaluate(args, device, evaluation, content):
    """For --eval: evaluate, print the accuracy, write result.json and scores.npz.

    evaluation: a util.predictions.Evaluation. content: the classifier's checkpoint.
    """
    metrics, where = evaluation(), results.evaluated_on(args)
    scores = evaluation.save(args)
    epoch = content["epoch"] + 1 if "epoch" in content else "unknown"
    print_always(
        f"{args.eval} (epoch {epoch}): top-1 {metrics['test_acc1']:.2f} %, top-5 {metrics['test_acc5']:.2f} %, loss "
        f"{metrics['test_loss']:.4f}, {metrics['test_samples']} {where} samples{results.readout_text(args, metrics)}, "
        f"{args.input_stream} stream; scores in {scores}"
    )
    settings = provenance.settings(content, args.eval)
    trained = {key: value for key, value in settings.items() if key in ("seed", "epochs", *results.SUBSET)}
    origin = {"encoder": content.get("encoder"), "checkpoint": describe_file(args.eval)}
    write(args, device, eval=True, **origin, **trained, last=metrics)

"""What the mains share: starting a stage, its epochs with checkpoints and resuming, and one-line errors."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

from feeder.feeder_ntu import Feeder
from model.transformer import Transformer
from util import checkpoint, config, distributed
from util.engine import outputs, train_one_epoch
from util.files import sha256, write_text, written_aside
from util.logging import Log, say, versions, write_result
from util.metrics import classification

MODEL_KEYS = [
    "dim_in", "dim_feat", "depth", "num_heads", "mlp_ratio", "num_frames", "patch_size", "t_patch_size", "qkv_bias", "qk_scale",
    "drop_rate", "attn_drop_rate", "drop_path_rate",
]  # fmt: skip
SUBSET = ("data_ratio", "subset", "subset_seed")
# may differ when a run is resumed; everything else decides what the weights become
FREE_ON_RESUME = {
    "output_dir", "log_dir", "resume", "device", "num_workers", "print_freq", "save_freq", "eval_freq", "epochs", "batch_size",
    "accum_iter", "data_path", "dataset", "finetune", "dist_eval",
}  # fmt: skip


def start(stage, argv=None):
    """Parse the options, join the process group, make the output folder: (args, device)."""
    args = config.parse(stage, argv)
    device = distributed.setup(args.device)
    if hasattr(args, "accum_iter"):
        config.set_batches(args)
    torch.manual_seed(args.seed)
    folder = Path(args.output_dir)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output_dir {folder}: is a file; give a folder")
    if getattr(args, "eval", None) and (folder / "log.jsonl").exists():
        raise ValueError(f"output_dir {folder}: holds a training run, which an evaluation must not overwrite; give another one")
    if distributed.is_main():
        folder.mkdir(parents=True, exist_ok=True)
        config.save(args, folder / "config.yaml")
    say(f"{stage}: {distributed.world_size()} process(es) on {device.type}, output in {folder}")
    return args, device


def feeder(args, split, augment):
    """Feeder of 'train' or 'test' with the options' crop; `augment` means random crops and rotations.

    With val_groups, 'test' is what they hold out of the training set.
    """
    train = split == "train"
    seed = getattr(args, "subset_seed", 0)
    return Feeder(
        args.data_path,
        "val" if args.val_groups and not train else split,
        p_interval=args.train_p_interval if augment else args.test_p_interval,
        window_size=args.num_frames,
        min_frames=args.min_frames,
        random_rot=args.random_rot and augment,
        rot_theta=args.rot_theta,
        bone=args.input_stream == "bone",
        vel=args.input_stream == "motion" and args.stage != "pretrain",  # there the model makes it: the target needs the joints
        data_ratio=getattr(args, "data_ratio", 1.0) if train else 1.0,
        subset_seed=seed + distributed.rank() if getattr(args, "subset", "") == "released" else seed,
        val_groups=args.val_groups,
    )


def labelled(args, data):
    """Number of training samples used; a subset is written to subset.csv and named."""
    shares = distributed.gather(data.indices.tolist())
    rows = sorted(set().union(*shares))
    if len(rows) == len(data.label):
        return len(rows)
    path = Path(args.output_dir, "subset.csv")
    if distributed.is_main():
        lines = [f"{row},{data.label[row]},{'' if data.names is None else data.names[row]}\n" for row in rows]
        write_text(path, "row,label,name\n" + "".join(lines))
    if args.subset == "released" and len(shares) > 1:
        how = f"released: {len(data)} drawn by each of {len(shares)} processes for itself"
    else:
        how = f"subset_seed {args.subset_seed}, the same on every process"
    say(f"subset: {len(rows)} of {len(data.label)} training samples ({how}), listed in {path}")
    return len(rows)


def model_options(args, data):
    """Constructor keys of the encoder: the options', and the number of joints of the data."""
    return {key: getattr(args, key) for key in MODEL_KEYS} | {"num_joints": data.num_joints}


def fit(args, device, model, loader, optimizer, loss_of, evaluate=None, trained=None, encoder=None):
    """Train for args.epochs, logging and saving after each; returns {'last': metrics, 'best': metrics or None, 'encoder'}.

    model: what checkpoints hold; trained: the part that is called and updated (default: all of it). encoder: where it comes from
    (util.checkpoint.describe), kept in the checkpoints.
    loss_of: see util.engine.train_one_epoch. evaluate() -> metrics with 'test_acc1', every args.eval_freq epochs and at the end.
    """
    first, best, metrics = 0, None, {}
    path = resume_path(args)
    if path:
        content = checkpoint.load_model(model, path)
        missing = [k for k in ("optimizer", "epoch", "best", "config") if k not in content]
        if missing:
            raise ValueError(f"{path}: cannot be resumed, it has no {', '.join(missing)}; --finetune starts from its weights")
        _check_resumed(args, content["config"], path)
        optimizer.load_state_dict(content["optimizer"])
        first, best, metrics = content["epoch"] + 1, content["best"], content["metrics"]
        encoder = content["encoder"]
        if getattr(args, "finetune", "") is None:  # results name the encoder the run began with
            args.finetune = content["config"].get("finetune")
        if first > args.epochs:
            raise ValueError(f"{path}: {first} epochs are done already, more than --epochs {args.epochs}")
        say(f"resuming {path} after {first} epochs")
    ddp = distributed.wrap(trained if trained is not None else model, device)
    log = Log(args.output_dir, args.log_dir, first)

    def save(epoch, *names):
        if distributed.is_main():
            content = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "epoch": epoch,
                "metrics": metrics,
                "best": best,
                "encoder": encoder,
                "config": {k: list(v) if isinstance(v, tuple) else v for k, v in vars(args).items()},
                "versions": versions(),
            }
            for name in names:
                checkpoint.save(Path(args.output_dir, name), content)

    if first == 0:
        save(-1, checkpoint.LAST)  # something to go back to if the first epoch fails
    begin = time.time()
    for epoch in range(first, args.epochs):
        try:
            metrics = train_one_epoch(ddp, loader, optimizer, loss_of, epoch, args, device)
        except FloatingPointError as error:
            raise ValueError(f"{error}; the weights from before this epoch are in {args.output_dir}/{checkpoint.LAST}") from error
        final = epoch + 1 == args.epochs
        names = []
        if evaluate and ((epoch + 1) % args.eval_freq == 0 or final):
            metrics |= evaluate()
            if best is None or metrics["test_acc1"] > best["test_acc1"]:
                best = metrics | {"epoch": epoch}
                names.append(checkpoint.BEST)
        if final or (epoch % args.save_freq == 0 and epoch > 0):
            names.append(f"checkpoint-{epoch}.pth")
        log.epoch(epoch, metrics)  # before the checkpoint that --resume takes, which drops the lines of unfinished epochs
        save(epoch, *names, checkpoint.LAST)
        left = (time.time() - begin) / (epoch + 1 - first) * (args.epochs - 1 - epoch)
        numbers = "  ".join(f"{k} {v:.5g}" for k, v in metrics.items())
        say(f"epoch {epoch + 1}/{args.epochs}  {numbers}  {left / 60:.1f} min left")
    log.close()
    if evaluate and "test_acc1" not in metrics:  # resumed with nothing left to train
        metrics |= evaluate()
        best = best or metrics | {"epoch": first - 1}
    return {"last": metrics, "best": best, "encoder": encoder}


def _check_resumed(args, made_with, path):
    """Refuse to go on with other settings than the run began with: the result would be neither of the two."""
    for key, value in vars(args).items():
        before = made_with.get(key)
        if key not in FREE_ON_RESUME and before != (list(value) if isinstance(value, tuple) else value):
            raise ValueError(f"{path}: the run began with {key} {before}, now it is {value}; start anew in another output_dir")
    if made_with["epochs"] != args.epochs:
        say(f"{path}: began as a run of {made_with['epochs']} epochs; its learning rates were those of another schedule")


def load_encoder(args, model):
    """Start a classifier from --finetune; returns where its encoder comes from, None for random weights."""
    if not args.finetune:
        return None
    return checkpoint.describe(checkpoint.load_encoder(model, args.finetune), args.finetune)


def about(args):
    """What every result says of how it was made: the part that comes from the options."""
    keys = ("stage", "dataset", "data_path", "seed", "epochs", "input_stream", "readout", "k", *SUBSET, "effective_batch_size")
    evaluated_on = {} if args.stage == "pretrain" else {"evaluated_on": "validation" if args.val_groups else "test"}
    return {key: getattr(args, key) for key in keys if hasattr(args, key)} | evaluated_on


def _readout(args):
    return f", read-out {args.readout}" if hasattr(args, "readout") else ""


def identity(path):
    """A file by path and checksum."""
    return {"path": str(path), "sha256": sha256(path)}


def report(args, what, result, **how):
    """Print and write down a classifier's result: the last epoch is the headline, the best on the test set stands beside it."""
    last, best, where = result["last"], result["best"], about(args)["evaluated_on"]
    say(
        f"{what}: top-1 {last['test_acc1']:.2f} % after the last epoch ({args.epochs}), best on {where} "
        f"{best['test_acc1']:.2f} % (epoch {best['epoch'] + 1}), {last['test_samples']} {where} samples{_readout(args)}, "
        f"{args.input_stream} stream, encoder from {args.finetune or 'random weights'}, seed {args.seed}"
    )
    finish(args, eval=False, **how, **result)


def finish(args, **values):
    """Write result.json of a finished run: its options, numbers, and last checkpoint."""
    if distributed.is_main():
        last = Path(args.output_dir, f"checkpoint-{getattr(args, 'epochs', 0) - 1}.pth")
        links = {"checkpoint": identity(last), "log": "log.jsonl"} if last.is_file() else {}
        write_result(args.output_dir, **(about(args) | links | values), config="config.yaml")


def evaluate_checkpoint(args, device, test):
    """--eval: accuracy and scores of a classifier in a file of ours or of the release; sizes and classes come from the file."""
    content = checkpoint.load(args.eval)
    stage = checkpoint.stage(content)
    if stage != args.stage:
        raise ValueError(f"{args.eval}: " + ("holds no classifier; --eval wants a linear-probe or fine-tuning checkpoint"
                         if stage == "pretrain" else f"holds a classifier of main_{stage}.py"))  # fmt: skip
    data, classes = test.dataset.dataset, checkpoint.num_classes(content)
    options = model_options(args, data) | {"num_classes": classes, "protocol": stage}
    if stage == "linprobe":
        options["readout"] = args.readout
    else:
        options |= {"head_dim": args.head_dim, "head_dropout": args.head_dropout}
    model = Transformer(**options)
    if stage == "linprobe":
        model.head.add_norm()
    checkpoint.load_model(model, args.eval, content)
    if data.label.max() >= classes:
        raise ValueError(f"{args.data_path}: has the label {data.label.max()}, {args.eval} knows {classes} classes")
    logits, labels = outputs(model.to(device).eval(), test, device, args.enable_amp)
    metrics, where, scores = classification(logits, labels), about(args)["evaluated_on"], Path(args.output_dir, "scores.npz")
    if distributed.is_main():
        names = [data.name(row) for row in data.indices] if data.names is None else data.names[data.indices]
        with written_aside(scores) as file:
            np.savez(file, scores=logits.numpy(), label=labels.numpy(), name=np.array(names), input_stream=args.input_stream)
    say(f"{args.eval} (epoch {content['epoch'] + 1 if 'epoch' in content else 'unknown'}): "
        f"top-1 {metrics['test_acc1']:.2f} %, top-5 {metrics['test_acc5']:.2f} %, loss {metrics['test_loss']:.4f}, "
        f"{len(labels)} {where} samples{_readout(args)}, {args.input_stream} stream; scores in {scores}")  # fmt: skip
    trained = {k: v for k, v in checkpoint.settings(content).items() if k in ("seed", "epochs", *SUBSET)}
    finish(args, eval=True, encoder=content.get("encoder"), checkpoint=identity(args.eval), **trained, last=metrics)


def resume_path(args):
    """The checkpoint that --resume means, or None to start anew."""
    if args.resume == "auto":
        path = Path(args.output_dir, checkpoint.LAST)
        return path if path.is_file() else None
    return args.resume


def main(function):
    """Run a main: a user's mistake ends in one line and exit code 2 (MAMP_TRACEBACK=1 shows where it came from)."""
    try:
        function()
    except (ValueError, OSError) as error:
        if os.environ.get("MAMP_TRACEBACK") == "1":
            raise
        message = str(error).strip()
        if "Original Traceback" in message:  # from a loader's worker process: its last line is "ValueError: what was wrong"
            message = message.splitlines()[-1].split(": ", 1)[-1]
        print(f"error: {message}", file=sys.stderr, flush=True)
        sys.exit(2)
    finally:
        distributed.cleanup()

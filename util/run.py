"""What the mains share: starting a stage, its epochs with checkpoints and resuming, and one-line errors."""

import os
import sys
import time
from pathlib import Path

import torch

from feeder.feeder_ntu import Feeder
from model.transformer import Transformer
from util import checkpoint, config, distributed
from util.engine import evaluate, train_one_epoch
from util.logging import Log, say, versions, write_result

MODEL_KEYS = [
    "dim_in", "dim_feat", "depth", "num_heads", "mlp_ratio", "num_frames", "patch_size", "t_patch_size", "qkv_bias", "qk_scale",
    "drop_rate", "attn_drop_rate", "drop_path_rate",
]  # fmt: skip


def start(stage, argv=None):
    """Parse the options, join the process group, make the output folder: (args, device)."""
    args = config.parse(stage, argv)
    device = distributed.setup(args.device)
    if hasattr(args, "accum_iter"):
        config.set_batches(args)
    torch.manual_seed(args.seed)
    if distributed.is_main():
        Path(args.output_dir).mkdir(parents=True, exist_ok=True)
        config.save(args, Path(args.output_dir, "config.yaml"))
    say(f"{stage}: {distributed.world_size()} process(es) on {device.type}, output in {args.output_dir}")
    return args, device


def check_settings(args, content, path):
    """Refuse a checkpoint made with other settings that leave no trace in the weights' shapes. Raises ValueError.

    Ours carry the resolved 'config', released ones args.model_args.
    """
    made_with = content.get("config") or getattr(content.get("args"), "model_args", None) or {}
    for key in ("num_heads", "bone", "vel"):
        if key in made_with and made_with[key] != getattr(args, key):
            raise ValueError(f"{path}: made with {key} {made_with[key]}, this run has {getattr(args, key)}")


def feeder(args, split, augment):
    """Feeder of a split with the options' crop; `augment` means random crops and rotations."""
    return Feeder(
        args.data_path,
        split,
        p_interval=args.train_p_interval if augment else args.test_p_interval,
        window_size=args.num_frames,
        min_frames=args.min_frames,
        random_rot=args.random_rot and augment,
        rot_theta=args.rot_theta,
        bone=args.bone,
        vel=args.vel,
        data_ratio=getattr(args, "data_ratio", 1.0) if split == "train" else 1.0,
        subset_seed=getattr(args, "subset_seed", 0),
    )


def model_options(args, data):
    """Constructor keys of the encoder: the options', and the number of joints of the data."""
    return {key: getattr(args, key) for key in MODEL_KEYS} | {"num_joints": data.num_joints}


def fit(args, device, model, loader, optimizer, loss_of, evaluate=None, trained=None):
    """Train for args.epochs, logging and saving after each; returns {'last': metrics, 'best': metrics or None}.

    model: what checkpoints hold; trained: the part that is called and updated (default: all of it).
    loss_of: see util.engine.train_one_epoch. evaluate() -> metrics with 'test_acc1', every args.eval_freq epochs and at the end.
    """
    first, best, metrics = 0, None, {}
    path = resume_path(args)
    if path:
        content = checkpoint.load_model(model, path)
        check_settings(args, content, path)
        missing = [k for k in ("optimizer", "epoch", "best") if k not in content]
        if missing:
            raise ValueError(f"{path}: cannot be resumed, it has no {', '.join(missing)}; --finetune starts from its weights")
        optimizer.load_state_dict(content["optimizer"])
        first, best, metrics = content["epoch"] + 1, content["best"], content["metrics"]
        if getattr(args, "finetune", "") is None:  # results name the encoder the run began with
            args.finetune = content.get("config", {}).get("finetune")
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
    return {"last": metrics, "best": best}


def report(args, what, result, **how):
    """Print and write down a classifier's result: the last epoch is the headline, the best on the test set stands beside it."""
    last, best = result["last"], result["best"]
    say(
        f"{what}: top-1 {last['test_acc1']:.2f} % after the last epoch ({args.epochs}), best on test "
        f"{best['test_acc1']:.2f} % (epoch {best['epoch'] + 1}), {last['test_samples']} test samples, "
        f"encoder from {args.finetune or 'random weights'}, seed {args.seed}"
    )
    write_result(
        args.output_dir, stage=args.stage, data=args.data_path, seed=args.seed, epochs=args.epochs,
        checkpoint=args.finetune, **how, **result,
    )  # fmt: skip


def evaluate_checkpoint(args, device, test):
    """--eval: accuracy of a classifier in a file of ours or of the release; the number of classes comes from the file."""
    content = checkpoint.load(args.eval)
    classes = checkpoint.num_classes(content)
    if classes is None:
        raise ValueError(f"{args.eval}: holds no classifier; --eval wants a linear-probe or fine-tuning checkpoint")
    data = test.dataset.dataset
    options = model_options(args, data) | {"num_classes": classes, "protocol": args.stage}
    if args.stage == "linprobe":
        options["readout"] = args.readout
    else:
        options |= {"head_dim": args.head_dim, "head_dropout": args.head_dropout}
    model = Transformer(**options)
    if args.stage == "linprobe":
        model.head.add_norm()
    checkpoint.load_model(model, args.eval, content)
    check_settings(args, content, args.eval)
    if data.label.max() >= classes:
        raise ValueError(f"{args.data_path}: has the label {data.label.max()}, {args.eval} knows {classes} classes")
    metrics = evaluate(model.to(device), test, device, args.enable_amp)
    say(f"{args.eval}: top-1 {metrics['test_acc1']:.2f} %, top-5 {metrics['test_acc5']:.2f} %, loss {metrics['test_loss']:.4f}, "
        f"{metrics['test_samples']} test samples")  # fmt: skip
    write_result(args.output_dir, stage=args.stage, data=args.data_path, checkpoint=args.eval, last=metrics)


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

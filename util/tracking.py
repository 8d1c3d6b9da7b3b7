"""Weights & Biases, with --wandb: gets what TensorBoard gets, from rank 0. The package is imported only then."""

import secrets
from pathlib import Path

from util import config, distributed
from util.validation import one_line

ID = "wandb_id.txt"  # file in output_dir with the id of the W&B run, for --resume
_active = []  # the W&B run, if there is one


def start(args):
    """Start a W&B run, or continue it with --resume. Raises ValueError on every rank if the package is not installed or W&B
    refuses (no login, for example)."""
    _active.clear()
    if args.wandb is None:
        return
    try:
        import wandb  # optional, not in requirements.txt
    except ImportError:
        raise ValueError("wandb: the package is not installed; pip install wandb, or leave --wandb out") from None
    refused, *_ = distributed.gather(_begin(wandb, args) if distributed.is_main() else None)
    if refused:
        raise ValueError(f"wandb: {refused}; log in with `wandb login`, or set WANDB_MODE=offline")


def _begin(wandb, args):
    """Start the W&B run; returns the reason if it was refused."""
    place = Path(args.output_dir, ID)
    goes_on = getattr(args, "resume", None) and place.is_file()
    identity = place.read_text(encoding="utf-8").strip() if goes_on else secrets.token_hex(4)
    try:
        run = wandb.init(
            project=args.wandb,
            id=identity,
            resume="allow",
            name=args.output_dir,
            job_type=args.stage,
            dir=args.output_dir,
            config=vars(args) | {"command": config.command(args)},
            allow_val_change=True,  # a resumed run may have another folder, device, ...
            settings={"silent": args.quiet},
        )
    except wandb.Error as error:
        return one_line(error)
    place.write_text(identity + "\n")
    _active.append(run)


def log(values, epoch):
    """Send {tag: number} after `epoch`, counted from 1."""
    for run in _active:
        run.log(values, step=epoch)


def log_image(tag, image, epoch):
    """Send an image (H, W, 3) uint8."""
    for run in _active:
        import wandb  # optional, see above

        run.log({tag: wandb.Image(image)}, step=epoch)


def finish(result):
    """Send the result and its last metrics, and end the run."""
    while _active:
        run = _active.pop()
        run.summary.update({"result": result} | tagged(result["stage"], result["last"]))
        run.finish()


def tagged(stage, metrics):
    """Metrics under their names in TensorBoard and W&B, such as 'linprobe/test_acc1', so that each stage has its own charts."""
    return {f"{stage}/{name}": value for name, value in metrics.items()}

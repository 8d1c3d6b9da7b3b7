"""Training a stage: its epochs, the checkpoints it leaves, how it stops and goes on."""

import random
import sys
import time
from pathlib import Path

import numpy as np

from feeder.metadata import unit_warning
from util import checkpoint, config, display, distributed, stopping
from util.engine import compiled, grad_scaler, train_one_epoch
from util.logging import Log, say, tell, versions
from util.options import OPTIONS

# may differ when a run is resumed; everything else decides what the weights become
FREE_ON_RESUME = {
    "output_dir",
    "log_dir",
    "resume",
    "device",
    "num_workers",
    "print_freq",
    "save_freq",
    "save_minutes",
    "eval_freq",
    "epochs",
    "batch_size",
    "accum_iter",
    "data_path",
    "dataset",
    "finetune",
    "dist_eval",
    "data_on_device",
    "compile",
    "deterministic",
    "tf32",
    "report",
    "quiet",
}


def fit(
    args, device, model, data, loader, optimizer, loss_of, evaluate=None, trained=None, encoder=None, preview=None, beside=None
):
    """Train for args.epochs, logging and saving; returns {'last': metrics, 'best': metrics or None, 'encoder'}.

    model: what checkpoints hold; trained: the part that is called and updated (default: all of it). data: the training set's
    Feeder; encoder: where it comes from (util.checkpoint.describe); what there is to know of both is kept in the checkpoints.
    loss_of: see util.engine.train_one_epoch. evaluate: a util.predictions.Evaluation, called every args.eval_freq epochs and at
    the end. preview() -> image (H, W, 3) of what the model does, drawn now and then. beside() -> what checkpoints hold beside the
    model, by key; to be taken up by the caller. Raises Interrupted, with all saved, when the
    run is asked to stop.
    """
    first, best, metrics, progress, about = 0, None, {}, None, data.metadata()
    for complaint in [*data.complaints, *doubts(args, data, about, loader)]:
        tell(f"warning: {complaint}")
    scaler = grad_scaler(device, args.enable_amp)
    resumed = find_resumed(args)
    if resumed:
        path, content = resumed
        _check(args, content, path, loader)
        checkpoint.load_model(model, path, content)
        optimizer.load_state_dict(content["optimizer"])
        _take_up_scaler(scaler, content["scaler"], path, args)
        first, best, metrics, progress = content["epoch"] + 1, content["best"], content["metrics"], content["progress"]
        encoder = content["encoder"]
        if hasattr(args, "finetune"):  # results name the encoder the run began with
            args.finetune = content["config"].get("finetune")
        _set_random_state(content["random"])
        steps = (progress or {}).get("step", 0)
        say(f"resuming {path} after {first} epochs" + (f" and {steps} steps" if steps else ""))
    if distributed.is_main():
        config.save(args, Path(args.output_dir, "config.yaml"))
    called = trained if trained is not None else model
    if getattr(args, "compile", False):
        called = compiled(called, device)
    ddp = distributed.wrap(called, device, static_graph=args.accum_iter == 1)
    log, saver = Log(args.output_dir, args.log_dir, first), Saver(args)

    def state(epoch):
        return {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scaler": scaler.state_dict(),
            "samples": loader.batches.num_samples,
            "epoch": epoch,  # the last one that is complete
            "progress": progress,  # of the one after
            "random": _random_state(),
            "metrics": metrics,
            "best": best,
            "encoder": encoder,
            "data": about,
            "config": {k: list(v) if isinstance(v, tuple) else v for k, v in vars(args).items()},
            "versions": versions(),
            **(beside() if beside else {}),
        }

    if not resumed:
        saver.last(state(-1))  # something to go back to if the first epoch fails
    outlook = _outlook(args, first, evaluate)
    begin = time.time()
    for epoch in range(first, args.epochs):
        final, before = epoch + 1 == args.epochs, metrics
        try:
            if progress and "metrics" in progress:  # stopped between training and evaluation
                metrics = progress["metrics"]
            else:
                metrics = train_one_epoch(ddp, loader, optimizer, loss_of, epoch, args, device, scaler, progress, outlook)
            progress = {"metrics": metrics}
            if evaluate and ((epoch + 1) % args.eval_freq == 0 or final):
                if stopping.asked():
                    raise stopping.Interrupted()
                metrics = metrics | evaluate()
        except FloatingPointError as error:
            raise ValueError(f"{error}; the last good weights are in {args.output_dir}/{checkpoint.LAST}") from error
        except stopping.Interrupted as stop:
            progress, metrics = stop.progress or progress, before
            saver.last(state(epoch - 1), must=True)
            log.close()
            where = f"step {progress['step']}" if "step" in progress else "the evaluation"
            tell(f"stopped by {stopping.by_what()} at {where} of epoch {epoch + 1}; saved, --resume auto goes on there")
            raise stopping.Interrupted(saved=True) from None
        progress = None
        log.epoch(epoch, metrics)  # before the checkpoint that --resume takes, which drops the lines of unfinished epochs
        if "test_acc1" in metrics and (best is None or metrics["test_acc1"] > best["test_acc1"]):
            best = metrics | {"epoch": epoch}
            saver.best(state(epoch))
        stop = stopping.asked()
        if final or (epoch % args.save_freq == 0 and epoch > 0):
            saver.keep(state(epoch), epoch, must=final)
            if preview:
                log.picture("prediction", epoch, preview)
        elif stop or saver.due():
            saver.last(state(epoch), must=stop)
        if "test_acc1" in metrics:
            log.picture("confusion", epoch, evaluate.picture, must=final)
        left = (time.time() - begin) / (epoch + 1 - first) * (args.epochs - 1 - epoch)
        outlook.told = True  # from here on epochs that were measured say it
        say(
            f"{display.stamp(sys.stdout)}epoch {epoch + 1}/{args.epochs}  {display.numbers(metrics, before)}"
            + (f"  {display.ahead(left)}" if left else "")
        )
        if stop and not final:
            tell(f"stopped by {stopping.by_what()} after epoch {epoch + 1}; saved, --resume auto goes on there")
            raise stopping.Interrupted(saved=True)
    log.close()
    if evaluate and evaluate.predictions is None:  # resumed with nothing left to train
        metrics = evaluate() | metrics
        best = best or metrics | {"epoch": first - 1}
    return {"last": metrics, "best": best, "encoder": encoder}


def doubts(args, data, metadata, loader):
    """Lines about data and a schedule with which little can be learnt; metadata: of data.metadata()."""
    size, count, wanted = unit_warning(metadata), loader.batches.num_samples, args.effective_batch_size
    if size:
        yield f"{data.data_path}: {size}"
    small = "; config/small.yaml (--config) is for small data"
    if count < wanted:
        yield (
            f"{count} samples are fewer than effective_batch_size {wanted}: an epoch is one step, in which they are repeated; "
            f"--effective_batch_size {max(1, count // 2)} or less gives more steps{small}"
        )
    if args.epochs <= args.warmup_epochs:
        yield (
            f"warmup_epochs {args.warmup_epochs}: the learning rate rises in all {args.epochs} epochs and never comes "
            f"down; fewer --warmup_epochs or more --epochs{small}"
        )


def _outlook(args, first, evaluate):
    """The display.Outlook of a run. An evaluation passes forward only, which is about a third of a training step."""
    count = args.epochs - first
    steps = 0
    if evaluate:
        times = sum((epoch + 1) % args.eval_freq == 0 or epoch + 1 == args.epochs for epoch in range(first, args.epochs))
        steps = times * len(evaluate.loader.batches) / args.accum_iter / 3
    return display.Outlook(count, f"{count} epochs" if not first else f"the {count} epochs left", steps)


class Saver:
    """Writes a run's checkpoints, on rank 0: the last and the one before it, the best on the test set, and every save_freq-th.

    A disk that is full or gone costs the new checkpoint, never an old one, and the run goes on; must=True: it ends.
    """

    def __init__(self, args):
        self.folder, self.seconds, self.time = Path(args.output_dir), 60 * args.save_minutes, -float("inf")

    def due(self):
        """Whether the last checkpoint is older than save_minutes."""
        return time.monotonic() - self.time >= self.seconds

    def last(self, content, must=False):
        """Write checkpoint-last.pth; what had this name becomes checkpoint-previous.pth."""
        self.time = time.monotonic()
        self._write(content, [checkpoint.LAST], must)

    def best(self, content):
        """Write checkpoint-best.pth, which is for evaluation: without what resuming needs."""
        without = {k: v for k, v in content.items() if k not in ("optimizer", "scaler", "progress", "random")}
        self._write(without, [checkpoint.BEST], must=False)

    def keep(self, content, epoch, must=False):
        """Write checkpoint-<epoch>.pth, which is the last one, too."""
        self.time = time.monotonic()
        self._write(content, [f"checkpoint-{epoch}.pth", checkpoint.LAST], must)

    def _write(self, content, names, must):
        if not distributed.is_main():
            return
        first, *others = (self.folder / name for name in names)
        try:
            checkpoint.save(first, content, previous=checkpoint.PREVIOUS if first.name == checkpoint.LAST else None)
            for path in others:
                checkpoint.link(first, path, previous=checkpoint.PREVIOUS)
        except OSError as error:
            if must:
                raise
            tell(f"warning: {first} could not be written ({error.strerror}); the older checkpoints are still there")


def find_resumed(args):
    """(path, content) of the checkpoint that --resume means, or None to start anew.

    'auto' takes checkpoint-last.pth or, if that is damaged or gone, checkpoint-previous.pth with a warning.
    """
    if args.resume != "auto":
        return (args.resume, checkpoint.load(args.resume)) if args.resume else None
    damaged = None
    for name in (checkpoint.LAST, checkpoint.PREVIOUS):
        path = Path(args.output_dir, name)
        if path.is_file():
            try:
                content = checkpoint.load(path)
            except ValueError as error:
                damaged = error
                continue
            if damaged:
                tell(f"warning: {damaged}; going on from {path}")
            return path, content
    if damaged:
        raise damaged
    return None


def _check(args, content, path, loader):
    """Refuse to go on with other settings than the run began with: the result would be neither of the two."""
    missing = [k for k in ("optimizer", "scaler", "samples", "epoch", "progress", "random", "best", "config") if k not in content]
    if missing:
        raise ValueError(
            f"{path}: cannot be resumed, it has no {', '.join(missing)}; a judging stage starts from its weights with --finetune"
        )
    made_with = content["config"]
    for key, value in vars(args).items():
        before = made_with.get(key, OPTIONS[key].default if key in OPTIONS else None)  # older runs lack newer options
        before = list(before) if isinstance(before, tuple) else before
        if key not in FREE_ON_RESUME and before != (list(value) if isinstance(value, tuple) else value):
            raise ValueError(f"{path}: the run began with {key} {before}, now it is {value}; start anew in another output_dir")
    data, own = Path(made_with["data_path"]).name, Path(args.data_path).name
    if (data, content["samples"]) != (own, loader.batches.num_samples):
        raise ValueError(
            f"{path}: the run began with {content['samples']} samples of {data}, now there are "
            f"{loader.batches.num_samples} of {own}; start anew in another output_dir"
        )
    if content["epoch"] >= args.epochs:
        raise ValueError(f"{path}: {content['epoch'] + 1} epochs are done already, more than --epochs {args.epochs}")
    if made_with["epochs"] != args.epochs:
        tell(f"{path}: began as a run of {made_with['epochs']} epochs; its learning rates were those of another schedule")


def _take_up_scaler(scaler, state, path, args):
    """Go on with the loss scale of the run; what had none, since its 16 bits were bfloat16, begins with one here."""
    if state:
        scaler.load_state_dict(state)
    if args.enable_amp and bool(state) != scaler.is_enabled():
        kinds = ("bfloat16", "float16")
        tell(
            f"warning: {path}: was trained in {kinds[bool(state)]} and goes on in {kinds[scaler.is_enabled()]}, as this device "
            "has it; the numbers are not those of one run"
        )


def _random_state():
    """State of Python's and numpy's generators, in plain types. Training draws from torch's alone, which `progress` holds."""
    version, state, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {"python": [version, list(state), gauss], "numpy": [name, keys.tolist(), position, has_gauss, cached]}


def _set_random_state(state):
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))

"""What a run does around its epochs: write checkpoints, stop when asked to, and resume bit for bit."""

import random
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from util import checkpoint, config, console, distributed, signals
from util.engine import Progress, grad_scaler
from util.logging import print_always, print_info, versions
from util.metrics import plain
from util.options import MAY_CHANGE_ON_RESUME, OPTIONS


class Training:
    """The state of a run besides its model: first epoch, progress within it, loss scaler, metrics and best epoch.

    data: the training set's Feeder, whose metadata go into every checkpoint. encoder: where the model's encoder comes from
    (provenance.describe), for checkpoints and result. heads: of a linear probe, see model.heads. resumed: (path, content) of
    checkpoint.to_resume, which gives weights, optimizer and random state; or None, in which case checkpoint-last.pth is written
    at once with the initial weights. Raises ValueError if `resumed` is of a run with other settings.
    """

    def __init__(self, args, device, model, optimizer, loader, data, encoder=None, heads=None, resumed=None):
        self.args, self.device, self.model, self.optimizer, self.heads = args, device, model, optimizer, heads
        self.samples, self.metadata, self.encoder = loader.batches.num_samples, data.metadata(), encoder
        self.scaler = grad_scaler(device, args.enable_amp)
        self.first_epoch, self.metrics, self.best, self.progress = 0, {}, None, Progress()
        self.saver = Saver(args)
        if resumed:
            self._resume(*resumed, loader)
        if distributed.is_main():
            config.save(args, Path(args.output_dir, "config.yaml"))
            if self.first_epoch < args.epochs:  # that of a finished run which is extended; until it ends again it has none
                Path(args.output_dir, "result.json").unlink(missing_ok=True)
        self.progress.estimate = console.TimeEstimate(args.epochs - self.first_epoch)
        if not resumed:
            self.saver.last(self.state_dict(-1))  # to go back to if the first epoch fails

    def _resume(self, path, content, loader):
        args = self.args
        _check_same_run(args, content, path, loader)
        _check_same_encoder(self.encoder, content["encoder"], path)
        checkpoint.load_model(self.model, path, content)
        self.optimizer.load_state_dict(content["optimizer"])
        self._resume_scaler(content["scaler"], path)
        self.first_epoch, self.metrics, self.best = content["epoch"] + 1, content["metrics"], content["best"]
        self.encoder = content["encoder"]
        if hasattr(args, "finetune"):  # so that the result names the encoder that the run started from
            args.finetune = content["config"].get("finetune")
        _set_random_state(content["random"])
        if content["progress"]:
            accum_iter = content["config"]["accum_iter"]
            self.progress = Progress.from_state_dict(content["progress"], loader.batches.steps, args, accum_iter)
        numbered = ((p, p.stem.removeprefix("checkpoint-")) for p in Path(args.output_dir).glob("checkpoint-*.pth"))
        if left := sorted(path.name for path, number in numbered if number.isdigit() and int(number) > content["epoch"]):
            print_always(f"warning: {args.output_dir}: {', '.join(left)} are of epochs that begin anew here")
        steps = self.progress.step
        print_info(f"resuming {path} after {self.first_epoch} epochs" + (f" and {steps} steps" if steps else ""))
        last = content["epoch"]
        if last + 1 == args.epochs and not Path(args.output_dir, f"checkpoint-{last}.pth").exists():  # began as a longer run
            self.saver.keep(self.state_dict(last), last, must=True)

    def _resume_scaler(self, state, path):
        """Restore the loss scale. A run in bfloat16 has none; if it goes on in float16, a fresh scale is used, with a warning."""
        if state:
            self.scaler.load_state_dict(state)
        if self.args.enable_amp and bool(state) != self.scaler.is_enabled():
            kinds = ("bfloat16", "float16")
            print_always(
                f"warning: {path}: was trained in {kinds[bool(state)]} and goes on in {kinds[self.scaler.is_enabled()]}, as this "
                "device has it; the numbers are not those of one run"
            )

    @contextmanager
    def save_if_stopped(self, epoch):
        """Context for training and evaluating an epoch. If the run is asked to stop, a checkpoint with the epoch's progress is
        saved and Interrupted is raised. A non-finite loss becomes a ValueError that names the last good checkpoint."""
        try:
            yield
        except FloatingPointError as error:
            raise ValueError(f"{error}; the last good weights are in {self.args.output_dir}/{checkpoint.LAST}") from error
        except signals.Interrupted:
            self.saver.last(self.state_dict(epoch - 1, self.progress), must=True)
            print_always(
                f"stopped by {signals.signal_name()} after step {self.progress.step} of epoch {epoch + 1}; saved, "
                "--resume auto goes on there"
            )
            raise signals.Interrupted(saved=True) from None

    def save(self, epoch, metrics):
        """Write the checkpoints that are due after a complete epoch. Returns whether one of them is checkpoint-<epoch>.pth."""
        metrics = plain(metrics)
        args, self.metrics, self.progress = self.args, metrics, Progress()
        if "test_acc1" in metrics and (self.best is None or metrics["test_acc1"] > self.best["test_acc1"]):
            self.best = metrics | {"epoch": epoch}
            self.saver.best(self.state_dict(epoch))
        final = epoch + 1 == args.epochs
        kept = final or (epoch % args.save_freq == 0 and epoch > 0)
        if kept:
            self.saver.keep(self.state_dict(epoch), epoch, must=final)
        elif self.saver.due():
            self.saver.last(self.state_dict(epoch))
        return kept

    def state_dict(self, epoch, progress=None):
        """The content of a checkpoint. epoch: the last complete one; progress: that of the next, if it has begun."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "samples": self.samples,
            "epoch": epoch,
            "progress": progress and progress.state_dict(self.device),
            "random": _random_state(),
            "metrics": self.metrics,
            "best": self.best,
            "encoder": self.encoder,
            "data": self.metadata,
            "config": dict(vars(self.args)),
            "versions": versions(),
        } | ({"heads": self.heads.other_state_dicts()} if self.heads else {})

    def result(self, evaluation=None):
        """For result.json: {'last': metrics of the last epoch, 'best': of the best one, 'encoder': where it comes from}."""
        if evaluation and evaluation.predictions is None:  # nothing was left to train after resuming
            self.metrics = evaluation() | self.metrics
            self.best = self.best or self.metrics | {"epoch": self.first_epoch - 1}
        return {"last": self.metrics, "best": self.best, "encoder": self.encoder}


class Saver:
    """Writes a run's checkpoints on rank 0.

    If a file cannot be written (disk full), older ones are kept and the run goes on with a warning; with must=True it ends. The
    first one is read back: a ValueError for content that could not be loaded again.
    """

    def __init__(self, args):
        self.folder, self.seconds, self.time = Path(args.output_dir), 60 * args.save_minutes, -float("inf")
        self.read_back = False  # whether a checkpoint of this run has been

    def due(self):
        """Whether the last checkpoint is older than save_minutes."""
        return time.monotonic() - self.time >= self.seconds

    def last(self, content, must=False):
        """Write checkpoint-last.pth; the old one becomes checkpoint-previous.pth."""
        self.time = time.monotonic()
        self._write(content, [checkpoint.LAST], must)

    def best(self, content):
        """Write checkpoint-best.pth, for evaluation: without what only resuming needs."""
        without = {k: v for k, v in content.items() if k not in ("optimizer", "scaler", "progress", "random")}
        self._write(without, [checkpoint.BEST], must=False)

    def keep(self, content, epoch, must=False):
        """Write checkpoint-<epoch>.pth, and checkpoint-last.pth as a second name of the same file."""
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
            print_always(f"warning: {first} could not be written ({error.strerror}); the older checkpoints are still there")
        else:
            if not self.read_back:  # content that cannot be loaded again ends the run now, not when it is resumed
                checkpoint.load(first)
                self.read_back = True


def _check_same_run(args, content, path, loader):
    """Refuse to resume with other settings than the run began with."""
    made_with = content["config"]
    for key, value in vars(args).items():
        before = made_with.get(key, OPTIONS[key].default if key in OPTIONS else None)  # older runs lack newer options
        if key not in MAY_CHANGE_ON_RESUME and before != value:
            raise ValueError(f"{path}: the run began with {key} {before}, now it is {value}; start anew in another output_dir")
    before, now = Path(made_with["data_path"]).name, Path(args.data_path).name
    if (before, content["samples"]) != (now, loader.batches.num_samples):
        raise ValueError(
            f"{path}: the run began with {content['samples']} samples of {before}, now there are "
            f"{loader.batches.num_samples} of {now}; start anew in another output_dir"
        )
    done = content["epoch"] + 1
    if done > args.epochs or done == args.epochs and content["progress"]:
        what = f"a part of epoch {done + 1} is" if content["progress"] else f"{done} epochs are"
        raise ValueError(f"{path}: {what} done already, more than --epochs {args.epochs}")
    if made_with["epochs"] != args.epochs:
        print_always(f"{path}: began as a run of {made_with['epochs']} epochs; its learning rates were those of another schedule")


def _check_same_encoder(now, before, path):
    """Refuse to resume with another --finetune than the run began with; under another path the same file may be."""
    if now and before and before.get("sha256", now["sha256"]) != now["sha256"]:
        raise ValueError(
            f"{path}: the run began with the encoder {before['path']}, now it is {now['path']}, with other content; start anew "
            "in another output_dir"
        )
    if now and not before:
        raise ValueError(
            f"{path}: the run began with random weights, now --finetune is {now['path']}; start anew in another output_dir"
        )


def _random_state():
    """State of Python's and numpy's generators, as plain values. Training uses only torch's, whose state is in Progress."""
    version, state, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {"python": [version, list(state), gauss], "numpy": [name, keys.tolist(), position, has_gauss, cached]}


def _set_random_state(state):
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))

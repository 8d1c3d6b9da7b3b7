"""Messages, log.jsonl (a line per epoch), TensorBoard and result.json, on rank 0 only."""

import json
import platform
import sys
import textwrap
import time
from pathlib import Path

import numpy
import timm
import torch
import torchvision
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from util import config, console, distributed, tracking
from util.files import write_text
from util.metrics import plain
from util.validation import one_line


def print_info(*words):
    """Print on rank 0, unless --quiet."""
    if not console.quiet():
        print_always(*words)


def print_always(*words):
    """Print results and warnings on rank 0, also with --quiet."""
    if distributed.is_main():
        print(*words, flush=True)


def versions():
    """Versions of Python and the packages that results depend on."""
    return {"python": platform.python_version(), **{m.__name__: str(m.__version__) for m in (torch, torchvision, timm, numpy)}}


PICTURE_SECONDS = 20  # at least, between two pictures in TensorBoard: drawing must not slow down short epochs
NO_STEP = 2**31  # larger than any epoch


class Log:
    """Logs epochs to log.jsonl, TensorBoard, Weights & Biases and the console. On resuming, what log.jsonl and TensorBoard
    already hold from `first_epoch` on is dropped.
    """

    def __init__(self, args, first_epoch=0):
        self.path, self.args, self.first_epoch = Path(args.output_dir) / "log.jsonl", args, first_epoch
        self.board, self.drawn, self.before, self.begin = None, time.monotonic(), None, time.time()
        if not distributed.is_main():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        try:
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["epoch"] < first_epoch]  # complete lines
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path}: a line is damaged ({error}); delete that line, or the file") from error
        write_text(self.path, "".join(line + "\n" for line in kept))
        # TensorBoard drops entries from purge_step on, but ignores the first such mark: a new run writes one that drops nothing
        self.board = SummaryWriter(args.log_dir or args.output_dir, purge_step=first_epoch + 1 if lines else NO_STEP)

    def epoch(self, epoch, metrics, evaluation=None):
        """Log an epoch (from 0): a line {'epoch', **metrics} in log.jsonl, scalars STAGE/NAME in TensorBoard (epochs from 1), a
        line on the console. The first epoch also logs command and configuration.

        evaluation: a util.predictions.Evaluation whose confusion matrix is drawn now and then.
        """
        if self.board is None:
            return
        metrics = plain(metrics)
        with open(self.path, "a") as file:
            file.write(json.dumps({"epoch": epoch, **metrics}) + "\n")
        stage, epochs, tagged = self.args.stage, self.args.epochs, tracking.tagged(self.args.stage, metrics)
        if epoch == self.first_epoch:
            for name, text in (("command", config.command(self.args)), ("config", config.as_yaml(self.args))):
                self.board.add_text(f"{stage}/{name}", textwrap.indent(text, "    "), epoch + 1)  # as code in Markdown
        for tag, value in tagged.items():
            self.board.add_scalar(tag, value, epoch + 1)
        self.board.flush()
        tracking.log(tagged, epoch + 1)
        if "test_acc1" in metrics and evaluation:
            self.picture("confusion", epoch, evaluation.picture, must=epoch + 1 == epochs)
        left = (time.time() - self.begin) / (epoch + 1 - self.first_epoch) * (epochs - 1 - epoch)
        line = f"{console.stamp(sys.stdout)}epoch {epoch + 1}/{epochs}  {console.metrics_text(metrics, self.before)}"
        print_info(line + (f"  {console.time_left(left)}" if left else ""))
        self.before = metrics

    def picture(self, name, epoch, draw, must=False):
        """Log the image (H, W, 3) uint8 that draw() returns; skipped within PICTURE_SECONDS of the last one, unless `must`.
        Errors in draw() only cause a warning.
        """
        if self.board is None or not must and time.monotonic() - self.drawn < PICTURE_SECONDS:
            return
        try:
            tag, image = f"{self.args.stage}/{name}", draw()
            self.board.add_image(tag, image, epoch + 1, dataformats="HWC")
            self.board.flush()
            tracking.log_image(tag, image, epoch + 1)
        except Exception as error:
            print_always(f"warning: no picture {name!r} for TensorBoard ({one_line(error)})")
        self.drawn = time.monotonic()

    def close(self):
        """Log the most important options to TensorBoard's HPARAMS, and close it."""
        if self.board is None:
            return
        names = {name: getattr(self.args, name, None) for name in ("method", "dataset", "seed", "finetune")}
        changed = names | config.overridden(self.args)
        changed = {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in changed.items()}
        self.board.close()
        folder, suffix = Path(self.args.log_dir or self.args.output_dir), ".hparams"
        for old in folder.glob(f"*.tfevents.*{suffix}"):  # of the shorter run; TensorBoard shows the first one that it finds
            old.unlink()
        _, *session = hparams(changed, {})  # the first part would mix up the options of different runs
        with SummaryWriter(folder, filename_suffix=suffix) as board:
            for summary in session:
                board.file_writer.add_summary(summary, self.args.epochs)


def write_result(output_dir, **values):
    """Write result.json of a finished run, with versions."""
    if distributed.is_main():
        result = values | {"versions": versions()}
        write_text(Path(output_dir, "result.json"), json.dumps(result, indent=2) + "\n")
        tracking.finish(result)

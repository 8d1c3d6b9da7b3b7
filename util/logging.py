"""What a run writes down: log.jsonl (a line per epoch), TensorBoard scalars, result.json. Rank 0 only."""

import json
import platform
import sys
import time
from pathlib import Path

import numpy
import timm
import torch
import torchvision
from torch.utils.tensorboard import SummaryWriter

from util import console, distributed
from util.files import write_text


def say(*words):
    """Print on rank 0, unless --quiet."""
    if not console.quiet():
        tell(*words)


def tell(*words):
    """Print results and warnings on rank 0."""
    if distributed.is_main():
        print(*words, flush=True)


def versions():
    """Versions of everything a result depends on."""
    return {"python": platform.python_version(), **{m.__name__: str(m.__version__) for m in (torch, torchvision, timm, numpy)}}


FIGURE_SECONDS = 20  # between two pictures in TensorBoard, so that they take little of a run of short epochs


class Log:
    """What a run says of its epochs: log.jsonl, TensorBoard, a line on the console.

    On resuming, lines of log.jsonl from `first_epoch` on are dropped and written anew.
    """

    def __init__(self, args, first_epoch=0):
        self.path, self.epochs, self.first_epoch = Path(args.output_dir) / "log.jsonl", args.epochs, first_epoch
        self.board, self.drawn, self.before, self.begin = None, time.monotonic(), None, time.time()
        if not distributed.is_main():
            return
        lines = self.path.read_text().splitlines() if first_epoch and self.path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["epoch"] < first_epoch]  # not a cut one
        write_text(self.path, "".join(line + "\n" for line in kept))
        self.board = SummaryWriter(args.log_dir or args.output_dir, purge_step=first_epoch + 1 if first_epoch else None)

    def epoch(self, epoch, metrics, evaluation=None):
        """An epoch's metrics: a line {'epoch': from 0, **metrics} of log.jsonl, scalars of TensorBoard from 1, the console's line
        with the time left. evaluation: a util.predictions.Evaluation whose confusion matrix is drawn now and then."""
        if self.board is None:
            return
        with open(self.path, "a") as file:
            file.write(json.dumps({"epoch": epoch, **metrics}) + "\n")
        for name, value in metrics.items():
            self.board.add_scalar(name, value, epoch + 1)
        self.board.flush()
        if "test_acc1" in metrics and evaluation:
            self.picture("confusion", epoch, evaluation.picture, must=epoch + 1 == self.epochs)
        left = (time.time() - self.begin) / (epoch + 1 - self.first_epoch) * (self.epochs - 1 - epoch)
        line = f"{console.stamp(sys.stdout)}epoch {epoch + 1}/{self.epochs}  {console.numbers(metrics, self.before)}"
        say(line + (f"  {console.ahead(left)}" if left else ""))
        self.before = metrics

    def picture(self, name, epoch, draw, must=False):
        """The image (H, W, 3) uint8 that draw() makes, for TensorBoard; unless it must be, only one every FIGURE_SECONDS.

        Nothing that goes wrong in draw() stops the run: it is a warning.
        """
        if self.board is None or not must and time.monotonic() - self.drawn < FIGURE_SECONDS:
            return
        try:
            self.board.add_image(name, draw(), epoch + 1, dataformats="HWC")
            self.board.flush()
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            tell(f"warning: no picture {name!r} for TensorBoard ({reason})")
        self.drawn = time.monotonic()

    def close(self):
        if self.board is not None:
            self.board.close()


def write_result(output_dir, **values):
    """Write result.json of a finished run: numbers together with how they were made."""
    if distributed.is_main():
        text = json.dumps(values | {"versions": versions()}, indent=2)
        write_text(Path(output_dir, "result.json"), text + "\n")

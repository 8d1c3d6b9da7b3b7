"""What a run writes down: log.jsonl (a line per epoch), TensorBoard scalars, result.json. Rank 0 only."""

import json
import platform
import time
from pathlib import Path

import numpy
import timm
import torch
import torchvision
from torch.utils.tensorboard import SummaryWriter

from util import display, distributed
from util.files import write_text


def say(*words):
    """Print on rank 0, unless --quiet."""
    if not display.quiet():
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
    """log.jsonl and TensorBoard of one run; on resuming, lines from `start_epoch` on are dropped and written anew."""

    def __init__(self, output_dir, log_dir=None, start_epoch=0):
        self.path = Path(output_dir) / "log.jsonl"
        self.board, self.drawn = None, time.monotonic()
        if not distributed.is_main():
            return
        lines = self.path.read_text().splitlines() if start_epoch and self.path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["epoch"] < start_epoch]  # not a cut one
        write_text(self.path, "".join(line + "\n" for line in kept))
        self.board = SummaryWriter(log_dir or output_dir, purge_step=start_epoch + 1 if start_epoch else None)

    def epoch(self, epoch, values):
        """One line {'epoch': epoch, **values}, from 0; numbers also go to TensorBoard under their names, there from 1."""
        if self.board is None:
            return
        with open(self.path, "a") as file:
            file.write(json.dumps({"epoch": epoch, **values}) + "\n")
        for name, value in values.items():
            self.board.add_scalar(name, value, epoch + 1)
        self.board.flush()

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

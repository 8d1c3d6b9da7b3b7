"""Write predictions (most likely classes, or a timeline) as text, JSON or CSV, and features as an npz."""

import json
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from util.files import csv_text, written_aside

FORMATS = ("text", "json", "csv")


@dataclass
class Prediction:
    """The predictions for a recording: its name, number of frames, and windows [(start, end, classes, probabilities)] in order.

    fps: frames per second. A window has frames start to end - 1, from 0. classes: most likely first.
    """

    name: str
    frames: int
    fps: float = 30.0
    windows: list = field(default_factory=list)

    def timeline(self):
        """[(start, end, class, probability)]: overlapping windows are cut in the middle of their overlap; neighbours of the same
        class are merged, with the mean of their probabilities. Frames without a window had no body.
        """
        spans = [[start, end, classes[0], probabilities[0]] for start, end, classes, probabilities in self.windows]
        for before, after in pairwise(spans):
            if after[0] < before[1]:
                before[1] = after[0] = (after[0] + before[1]) // 2
        runs = []  # of neighbouring spans with one class
        for span in spans:
            if runs and runs[-1][-1][1:3] == [span[0], span[2]]:
                runs[-1].append(span)
            else:
                runs.append([span])
        return [(run[0][0], run[-1][1], run[0][2], sum(span[3] for span in run) / len(run)) for run in runs]


class Writer:
    """Formats predictions. names: of all classes. windowed: write timelines instead of the most likely classes. source: a dict
    that JSON output holds, too.
    """

    def __init__(self, names, windowed, source):
        self.names, self.windowed, self.source = names, windowed, source

    def rows(self, prediction):
        """[{column: value}] of a prediction: its most likely classes, or its timeline."""

        def row(number, probability, **when):
            return when | {"class": number, "class_name": self.names[number], "probability": round(probability, 6)}

        if not self.windowed:
            return [row(*pair) for pair in zip(*prediction.windows[0][2:], strict=True)]
        return [
            row(*pair, start=start, end=end, start_s=round(start / prediction.fps, 3), end_s=round(end / prediction.fps, 3))
            for start, end, *pair in prediction.timeline()
        ]

    def text(self, predictions):
        """A line per recording, and below it one for each of its classes or each part of its timeline."""
        lines = []
        for prediction in predictions:
            lines.append(f"{prediction.name}  ({prediction.frames:,} frames)")
            for row in self.rows(prediction):
                when = ""
                if self.windowed:
                    when = f"{row['start_s']:8.1f} - {row['end_s']:6.1f} s   frames {row['start']:6} - {row['end'] - 1:6}  "
                lines.append(f"{when}  {100 * row['probability']:5.1f} %  {row['class_name']}")
        return "".join(f"{line}\n" for line in lines)

    def json(self, predictions):
        """One object: what `source` holds, and 'recordings'."""
        key = "timeline" if self.windowed else "predictions"
        recordings = [
            {"name": prediction.name, "frames": prediction.frames, key: self.rows(prediction)} for prediction in predictions
        ]
        return json.dumps(self.source | {"recordings": recordings}, indent=1, ensure_ascii=False) + "\n"

    def csv(self, predictions):
        """A header, then a line per recording and class, or per recording and part of its timeline."""
        lines = [
            {"name": prediction.name, "frames": prediction.frames} | ({} if self.windowed else {"rank": rank}) | row
            for prediction in predictions
            for rank, row in enumerate(self.rows(prediction), 1)
        ]
        return csv_text(lines, end="\n")


def save_features(path, pieces, readout, checkpoint):
    """Write an npz of features; pieces: [(recording, start, end, features (D,)), ...]; checkpoint: its path and sha256."""
    arrays = dict(zip(("names", "start", "end", "features"), map(np.array, zip(*pieces, strict=True)), strict=True))
    with written_aside(path) as file:
        np.savez(file, **arrays, readout=readout, checkpoint=checkpoint["path"], sha256=checkpoint["sha256"])

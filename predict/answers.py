"""What a classifier says of recordings: collected, put into one timeline, and written as text, JSON or CSV."""

import csv
import io
import json
from dataclasses import dataclass, field
from itertools import groupby

FORMATS = ("text", "json", "csv")


@dataclass
class Answer:
    """Of one recording: its name, its number of frames and, of each window in order, (start, end, classes, probabilities).

    Windows are frames start to end - 1, from 0. classes: the most likely first, with their probabilities.
    """

    name: str
    frames: int
    windows: list = field(default_factory=list)

    def timeline(self):
        """[(start, end, class, probability)]: the recording, cut half-way between the middles of neighbouring windows.

        Neighbours of one class are put together, with the mean of their probabilities. Where no window is, nobody was there.
        """
        spans = [[start, end, classes[0], shares[0]] for start, end, classes, shares in self.windows]
        for before, after in zip(spans, spans[1:], strict=False):
            if after[0] < before[1]:
                before[1] = after[0] = (after[0] + before[1]) // 2
        return [_merged(list(run)) for _, run in groupby(_numbered(spans), key=lambda pair: pair[0])]


def _numbered(spans):
    """(number of the run, span): a new run begins with another class, and after a gap."""
    number = 0
    for i, span in enumerate(spans):
        number += i > 0 and (span[2] != spans[i - 1][2] or span[0] != spans[i - 1][1])
        yield number, span


def _merged(run):
    spans = [span for _, span in run]
    return spans[0][0], spans[-1][1], spans[0][2], sum(span[3] for span in spans) / len(spans)


class Writer:
    """Answers as text.

    names: of classes, [] if unknown; windowed: timelines instead of the likeliest classes; fps: frames per second; about: what
    else JSON says.
    """

    def __init__(self, names, windowed, fps, about):
        self.names, self.windowed, self.fps, self.about = names, windowed, fps, about

    def class_name(self, number):
        return self.names[number] if number < len(self.names) else f"class {number}"

    def rows(self, answer):
        """[{column: value}] of an answer: its likeliest classes, or its timeline."""
        if not self.windowed:
            _, _, classes, shares = answer.windows[0]
            return [
                {"class": c, "class_name": self.class_name(c), "probability": round(p, 6)}
                for c, p in zip(classes, shares, strict=True)
            ]
        return [
            {
                "start": start,
                "end": end,
                "start_s": round(start / self.fps, 3),
                "end_s": round(end / self.fps, 3),
                "class": c,
                "class_name": self.class_name(c),
                "probability": round(p, 6),
            }
            for start, end, c, p in answer.timeline()
        ]

    def text(self, answers):
        """A line per recording, and below it one for each of its classes or each part of its timeline."""
        lines = []
        for answer in answers:
            lines.append(f"{answer.name}  ({answer.frames:,} frames)")
            for row in self.rows(answer):
                when = ""
                if self.windowed:
                    when = f"{row['start_s']:8.1f} - {row['end_s']:6.1f} s   frames {row['start']:6} - {row['end'] - 1:6}  "
                lines.append(f"{when}  {100 * row['probability']:5.1f} %  {row['class_name']}")
        return "".join(f"{line}\n" for line in lines)

    def json(self, answers):
        """One object: what `about` holds, and 'recordings'."""
        key = "timeline" if self.windowed else "predictions"
        recordings = [{"name": answer.name, "frames": answer.frames, key: self.rows(answer)} for answer in answers]
        return json.dumps(self.about | {"recordings": recordings}, indent=1, ensure_ascii=False) + "\n"

    def csv(self, answers):
        """A line of titles, then a line per recording and class, or per recording and part of its timeline."""
        first = ["start", "end", "start_s", "end_s"] if self.windowed else ["rank"]
        out = io.StringIO()
        table = csv.DictWriter(out, ["name", "frames", *first, "class", "class_name", "probability"], lineterminator="\n")
        table.writeheader()
        for answer in answers:
            for rank, row in enumerate(self.rows(answer), 1):
                table.writerow({"name": answer.name, "frames": answer.frames} | ({} if self.windowed else {"rank": rank}) | row)
        return out.getvalue()

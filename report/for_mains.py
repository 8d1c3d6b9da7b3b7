"""What the mains draw, with everything that draws imported only then: matplotlib takes a second of every start."""

import copy

import numpy as np

from util import distributed
from util.logging import say, tell
from util.validation import one_line


def preview(model, args):
    """draw() -> an image (H, W, 3) uint8 for TensorBoard: predicted beside true motion of the first training sequence, always
    with the same mask. None for methods that hide nothing."""
    if args.method != "mamp":
        return None

    def draw():
        from report import figures, masks, sequences

        sample = sequences.load_sample(*sequences.feeders(args, "train"), 0)
        frozen = copy.deepcopy(model).cpu().eval()
        found = masks.predict_masked(frozen, sample.x, args.seed, args.mask_ratio, args.motion_stride, args.motion_aware_tau)
        figure, _ = figures.prediction(sample, "a training sequence", found, f"mask_ratio {args.mask_ratio:g}.")
        figure.canvas.draw()
        return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()

    return draw


def leave_report(args):
    """report.html of the run that has ended, unless --no-report. The numbers are written by now: whatever goes wrong with the
    page is a warning."""
    if not args.report or not distributed.is_main():
        return
    from report import run_page

    say("drawing report.html, which takes seconds to minutes")
    try:
        say(f"report: {run_page.write(args.output_dir)}")
    except Exception as error:
        tell(f"warning: {args.output_dir}: no report.html ({one_line(error)})")

"""Pictures and report of the mains. Drawing code is imported inside the functions, since matplotlib takes a second."""

import copy

import numpy as np

from util import distributed
from util.logging import print_always, print_info
from util.validation import one_line


def preview(model, args):
    """A function draw() that returns an image (H, W, 3) uint8 for TensorBoard: predicted and true motion of the first training
    sequence, always with the same mask. None for UmURL, which has no masks."""
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


def write_report(args):
    """Write report.html of the finished run, unless --no-report. Errors only cause a warning, since all results are written."""
    if not args.report or not distributed.is_main():
        return
    from report import run_page

    print_info("drawing report.html, which takes seconds to minutes")
    try:
        print_info(f"report: {run_page.write(args.output_dir)}")
    except Exception as error:
        print_always(f"warning: {args.output_dir}: no report.html ({one_line(error)})")

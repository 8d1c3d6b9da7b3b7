"""What a MAMP in training predicts of a sequence it trains on: a picture for TensorBoard."""

import copy

import numpy as np


def preview(model, args):
    """draw() -> the predicted beside the true motion of the first training sequence, an image (H, W, 3) uint8; always with the
    same mask. None for methods that hide nothing."""
    if args.method != "mamp":
        return None

    def draw():
        from report import explain, pictures  # here: all this loads matplotlib, which most runs do without
        from report.samples import feeders, sample

        drawn = sample(*feeders(args, "train"), 0)
        found = explain.predict(
            copy.deepcopy(model).cpu().eval(), drawn.x, args.seed, args.mask_ratio, args.motion_stride, args.motion_aware_tau
        )
        figure = pictures.prediction_figure(drawn, "a training sequence", found, f"mask_ratio {args.mask_ratio:g}.")
        figure.canvas.draw()
        return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()

    return draw

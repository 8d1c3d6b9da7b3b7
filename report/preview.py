"""A picture of what a model in training predicts, for TensorBoard."""

import copy

import numpy as np

from report import masks


def preview(model, args):
    """draw() -> an image (H, W, 3) uint8 for TensorBoard: predicted beside true motion of the first training sequence, always
    with the same mask. None for methods that hide nothing."""
    if args.method != "mamp":
        return None

    def draw():
        from report import figures, sequences  # here: they load matplotlib, which takes a second that most runs do without

        sample = sequences.load_sample(*sequences.feeders(args, "train"), 0)
        frozen = copy.deepcopy(model).cpu().eval()
        found = masks.predict_masked(frozen, sample.x, args.seed, args.mask_ratio, args.motion_stride, args.motion_aware_tau)
        figure, _ = figures.prediction(sample, "a training sequence", found, f"mask_ratio {args.mask_ratio:g}.")
        figure.canvas.draw()
        return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()

    return draw

"""Masks, predictions, motion intensity and saliency of a model for one sample, as arrays; figures.py draws them.

Letters: M bodies, T frames, V joints, C coordinates, l segment length, T' = T/l segments, K classes. x is one sample (C, T, V, M)
as a Feeder gives it; models are on the CPU and in eval mode.
"""

from dataclasses import dataclass

import numpy as np
import torch

DRAWS = 1000  # number of masks for estimating how probably each token is hidden
STEPS = 16  # of integrated gradients; see docs/visualize.md


@dataclass
class MaskedPrediction:
    """What a MAMP hid of a sample, and what it predicted.

    motion: whether targets are motions (else positions). hidden: (T', M, V) bool. true, predicted: (T, M, V, C) metres, of all
    tokens (decoder cross: 0 at visible ones). mean: same shape, the true mean of each token or query, if the prediction was
    un-normalised with it, else None. loss: without loss_weight, over the hidden tokens (decoder query: all) of non-empty bodies;
    mean_loss: that of predicting each token's mean. queries: frames per query, or None.
    """

    motion: bool
    hidden: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    mean: np.ndarray | None
    loss: float
    mean_loss: float
    queries: int | None = None


def predict_masked(model, x, seed=0, mask_ratio=0.9, motion_stride=1, motion_aware_tau=0.75):
    """The `MaskedPrediction` of a MAMP with a mask drawn from `seed`; torch's global generator is restored.

    With norm_skes_loss a model predicts targets normalised per token or query. They are converted to metres with the true mean
    and variance, which the model does not know.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, pred, mask = model(x[None], mask_ratio, motion_stride, motion_aware_tau)  # pred: (M, L, l·C), mask: (M, L)
    bodies = model.bodies(x[None]).float()
    target = model.patchify(model.targets(bodies, motion_stride), model.predict_frames)
    counted = torch.ones_like(target[..., 0]) if model.decoder == "query" else mask
    mean = target.mean(-1, keepdim=True).expand_as(target)
    there = bodies.flatten(1).any(1)
    losses = [
        model.forward_loss(target[there], guess[there], counted[there]).item()
        for guess in (pred, torch.zeros_like(pred) if model.norm_skes_loss else mean)
    ]
    metres = pred * (target.var(-1, keepdim=True) + 1e-6).sqrt() + mean if model.norm_skes_loss else pred
    true, predicted, mean = (model.unpatchify(values).transpose(0, 1).numpy() for values in (target, metres, mean))
    queries = model.predict_frames if model.decoder == "query" else None
    hidden = _by_segment(model, mask).astype(bool)
    mean = mean if model.norm_skes_loss else None
    return MaskedPrediction(model.target != "joint", hidden, true, predicted, mean, *losses, queries)


def motion_intensity(model, x):
    """Motion intensity of a sample, (T', M, V) metres, on which motion-aware masking depends."""
    return _by_segment(model, model.motion_intensity(model.bodies(x[None]).float()))


def uniform_mask(model, x, seed=0, mask_ratio=0.9):
    """(T', M, V) bool: the uniform mask for the same random numbers as in `predict_masked`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scores = model.masking_scores(model.bodies(x[None]).float(), 0)
    return _by_segment(model, model.random_masking(scores, mask_ratio)[1]).astype(bool)


def hidden_share(model, x, mask_ratio=0.9, motion_aware_tau=0.75, seed=0, draws=DRAWS):
    """(T', M, V): the share of `draws` masks in which a token is hidden, an estimate of its probability (which has no closed
    form, since tokens are drawn without replacement).
    """
    bodies = model.bodies(x[None]).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scores = (model.masking_scores(bodies, motion_aware_tau) for _ in range(draws))
        hidden = sum(model.random_masking(each, mask_ratio)[1] for each in scores)
    return _by_segment(model, hidden / draws)


@dataclass
class Saliency:
    """probability: (K,) of the sample. still: (K,) of the same body standing still. contribution: (T', M, V), what each joint in
    each segment adds to the logit of the predicted class. difference: logit of the sample − logit of standing still, which is the
    sum of the contributions up to discretisation.
    """

    probability: np.ndarray
    still: np.ndarray
    contribution: np.ndarray
    difference: float


def saliency(model, x, segment=1, moving=False, steps=STEPS):
    """Integrated gradients (Sundararajan et al. 2017) of the predicted class; the baseline is the body standing still in its mean
    posture.

    segment: frames to sum contributions over, a divisor of T. moving: x are motions, which are zero for the baseline.
    """
    model.reuse_encodings = False  # or a copied body, encoded only once, would get no gradient
    try:
        return _saliency(model, x, segment, moving, steps)
    finally:
        model.reuse_encodings = True


def _saliency(model, x, segment, moving, steps):
    there = x.ne(0).any(0).any(1)[None, :, None]  # (1, T, 1, M): absent bodies stay absent
    still = torch.zeros_like(x) if moving else x.sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1) * there
    with torch.no_grad():
        logits = model(torch.stack([x, still])).float()
    predicted = logits[0].argmax()
    gradient = torch.zeros_like(x)
    for share in (torch.arange(steps) + 0.5) / steps:
        point = (still + share * (x - still))[None].requires_grad_()
        gradient += torch.autograd.grad(model(point)[0, predicted], point)[0][0]
    contribution = ((x - still) * gradient / steps).sum(0).permute(0, 2, 1)  # (T, M, V)
    contribution = contribution.unflatten(0, (-1, segment)).sum(1)
    return Saliency(*logits.softmax(1).numpy(), contribution.numpy(), (logits[0] - logits[1])[predicted].item())


def _by_segment(model, tokens):
    """(M, L) -> (T', M, V) numpy."""
    return tokens.unflatten(1, (model.num_segments, model.num_joints)).transpose(0, 1).numpy()

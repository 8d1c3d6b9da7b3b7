"""What is drawn of a checkpoint is what the model hides, predicts and attends to."""

import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from model.mamp import MAMP
from model.transformer import Transformer
from report import figures, masks, sheet

PANELS = "what the model sees", "what it predicts", "the truth"


def predicted(args, model, sample, seed=0):
    return masks.predict_masked(model, sample.x, seed, args.mask_ratio, args.motion_stride, args.motion_aware_tau)


def tokens(frames, segment):
    """(T, M, V, C) -> {(body, token): its l·C values}, token by token."""
    t, m, v, _ = frames.shape
    return {
        (b, s * v + j): frames[s * segment : (s + 1) * segment, b, j].ravel()
        for s in range(t // segment)
        for b in range(m)
        for j in range(v)
    }


def map_of(ax):
    """(V, T') of a map; matplotlib before 3.8 has it flat."""
    return np.reshape(ax.collections[0].get_array(), (5, -1))


def words_of(figure):
    return " ".join(" ".join(text.get_text() for sub in figure.subfigs for text in sub.texts).split())


@pytest.mark.parametrize(
    "target, stride, decoder, frames",
    [
        ("motion", 2, "self", 4),
        ("joint", 1, "self", 4),
        ("motion", 1, "query", 8),
        ("joint", 1, "query", 2),
        ("motion", 1, "cross", 4),
    ],
)
def test_a_perfect_prediction_is_drawn_on_the_truth(target, stride, decoder, frames, opened, monkeypatch):
    """Of hidden tokens; queries are over several tokens, or parts of them, and cover visible ones."""
    named = {"query_frames": frames} if decoder == "query" else {}
    args, model, sample = opened("pretrain", target=target, motion_stride=stride, decoder=decoder, **named)
    true = sample.joints.astype(np.float64)
    if target == "motion":
        true = np.concatenate([true[stride:] - true[:-stride], np.zeros_like(true[:stride])])
    perfect = {at: (x - x.mean()) / np.sqrt(x.var(ddof=1) + 1e-6) for at, x in tokens(true, frames).items()}
    perfect = torch.stack([torch.tensor(np.array([x for (b, _), x in perfect.items() if b == m])).float() for m in range(2)])
    monkeypatch.setattr(model, "forward_decoder", lambda latent, ids: perfect)
    if decoder != "self":
        chosen = lambda asked: perfect.gather(1, asked[..., None].expand(-1, -1, perfect.shape[-1]))  # noqa: E731
        queries = lambda latent, asked=None: perfect if asked is None else chosen(asked)  # noqa: E731
        monkeypatch.setattr(model, "forward_queries", queries, raising=False)
    found = predicted(args, model, sample)
    hidden, everywhere = np.repeat(found.hidden, 4, axis=0), decoder != "cross"
    np.testing.assert_allclose(found.true, true, atol=1e-6)
    np.testing.assert_allclose(found.predicted[hidden | everywhere], true[hidden | everywhere], atol=1e-5)
    for place, values in tokens(found.mean, frames).items():
        np.testing.assert_allclose(values, tokens(true, frames)[place].mean(), atol=1e-6)
    assert found.loss < 1e-5 and 0.7 < found.mean_loss <= 1 and 0 < hidden.mean() < 1
    figure, _ = figures.prediction(sample, "a model", found)
    assert "UN-NORMALISED" in words_of(figure)
    for words in ("Loss on all queries", f"predicts {frames} frames"):
        assert (words in words_of(figure)) == (decoder == "query")
    curves, unit = [ax for ax in figure.axes if ax.lines], 100 if target == "motion" else 1
    for ax, (m, v, c) in zip(curves, figures.most_moving(sample, found), strict=True):
        mean, truth, guess = (drawn.get_ydata() for drawn in ax.lines)
        np.testing.assert_allclose(truth, unit * true[:, m, v, c], atol=1e-4)
        np.testing.assert_allclose(guess[hidden[:, m, v]], truth[hidden[:, m, v]], atol=1e-3)
        assert (np.isnan(guess) == ~hidden[:, m, v]).all() and (np.isnan(mean) == ~hidden[:, m, v]).all()
        assert [bar.get_x() + 0.5 for bar in ax.patches] == (1 + np.flatnonzero(hidden[:, m, v])).tolist()  # shaded
        assert [segment[0, 0] for c in ax.collections for segment in c.get_segments()] == [4.5]  # where a token ends
        assert ax.get_title(loc="left") == f"{sample.names[v]}, body {m + 1}, along {'xyz'[c]}"
    assert len(curves) == 3
    panels, t = figure.axes[:3], figures.lively_frame(figures.speed(found) * hidden)
    assert [ax.get_title() for ax in panels] == [f"{what}\nframe {t + 1}" for what in PANELS]
    marks = [[a for a in ax.collections if a.get_zorder() >= 4 and a.get_visible()] for ax in panels]
    shown = [{to_hex(c) for a in each for c in (*a.get_facecolors(), *a.get_edgecolors())} for each in marks]
    assert [colours - {"#ffffff"} for colours in shown] == [set(), {sheet.GUESS}, {sheet.TRUE}]


def test_without_normalised_targets_predictions_are_drawn_as_they_are_and_absent_bodies_do_not_count(opened):
    args, model, sample = opened("pretrain", row=0, no=["--no-norm_skes_loss"])
    found = predicted(args, model, sample, 4)
    torch.manual_seed(4)
    _, pred, mask = model(sample.x[None], args.mask_ratio, args.motion_stride, args.motion_aware_tau)
    true, losses = tokens(found.true, 4), []
    for (body, token), values in tokens(found.predicted, 4).items():
        np.testing.assert_allclose(values, pred[body, token].detach(), rtol=1e-5)
        losses += [((values - true[body, token]) ** 2).mean()] if body == 0 and mask[0, token] else []
    assert found.mean is None and found.loss == pytest.approx(np.mean(losses), rel=1e-4)
    assert sample.bodies() == {0: ""} and {m for m, *_ in figures.most_moving(sample, found)} == {0}
    assert [v in (0, 1, 2) for _, v, _ in figures.most_moving(sample, found)].count(True) == 1  # one joint of the limb a, b, c
    figure, _ = figures.prediction(sample, "a model", found)
    assert "UN-NORMALISED" not in words_of(figure) and all(len(ax.lines) in (0, 2) for ax in figure.axes)


def test_masks_and_intensity_are_the_models(opened):
    args, model, sample = opened("pretrain", mask_ratio=0.6, motion_aware_tau=0.5)
    before = torch.get_rng_state()
    found, uniform = predicted(args, model, sample, 7), masks.uniform_mask(model, sample.x, 7, 0.6)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    mask = model(sample.x[None], 0.6, 1, 0.5)[2]
    torch.manual_seed(7)
    noise = torch.rand(2, 10)
    for s, m, v in np.ndindex(2, 2, 5):
        assert found.hidden[s, m, v] == bool(mask[m, s * 5 + v])
        assert uniform[s, m, v] == bool((noise[m] < noise[m, s * 5 + v]).sum() >= 4)  # the 4 smallest stay
    assert (found.hidden != uniform).any()
    intensity = masks.motion_intensity(model, sample.x)
    segments = sample.joints.reshape(2, 4, 2, 5, 3)
    expected = np.abs(segments[1] - segments[0]).mean(axis=(0, 3))
    np.testing.assert_allclose(intensity, np.stack([expected, expected]), rtol=1e-4)

    two = {"aware": found.hidden, "random": uniform}
    shares = {name: np.random.default_rng(0).uniform(0.3, 1, uniform.shape) for name in two}
    sample = dataclasses.replace(sample, names=("hip", *"abc", "left wrist"))
    order = [4, 0, 1, 2, 3]  # the arm before the leg
    axes = figures.mask(sample, "a model", intensity, two, shares)[0].axes
    maps = [ax for ax in axes if ax.get_xlabel() == "segment"]
    titles = ["one mask, body {}\naware", "probability\naware", "probability\nrandom"]
    assert [ax.get_title() for ax in maps] == [title.format(m) for m in (1, 2) for title in titles]
    for i, ax in enumerate(maps):
        values = (two["aware"], 100 * shares["aware"], 100 * shares["random"])[i % 3][:, i // 3]
        np.testing.assert_allclose(map_of(ax), values[:, order].T)
        assert ax.get_ylim() == (5, 0)
    assert [label.get_text() for label in maps[0].get_yticklabels()] == [sample.names[v] for v in order]
    rows = [ax for ax in axes if ax.get_title().startswith("frame")]
    assert len(rows) == 8
    for i, ax in enumerate(rows):
        t = int(ax.get_title().split()[1]) - 1
        for m, dots in enumerate(c for c in ax.collections if len(c.get_offsets()) == 5 and c.get_zorder() == 3):
            np.testing.assert_allclose(dots.get_offsets(), sample.joints[t, m, :, :2])
            hidden = two["aware" if i < 4 else "random"][t // 4, m]
            assert [to_hex(c) for c in dots.get_edgecolors()] == [sheet.GUESS if h else sheet.TRUE for h in hidden]

    axes = figures.intensity(sample, "a model", intensity)[0].axes
    maps, curves = [ax for ax in axes if ax.get_xlabel() == "segment" and not ax.lines], [ax for ax in axes if ax.lines]
    for m in range(2):
        np.testing.assert_allclose(map_of(maps[m]), 100 * intensity[:, m, order].T)
        np.testing.assert_allclose(curves[m].lines[0].get_ydata(), 100 * intensity[:, m].mean(1), rtol=1e-5)


def test_moving_tokens_are_hidden_more_often(opened):
    """With uniform masking all alike; with motion-aware masking all the more, the more they move."""
    args, model, sample = opened("pretrain", mask_ratio=0.6)
    intensity, before = masks.motion_intensity(model, sample.x), torch.get_rng_state()
    uniform, aware = (masks.hidden_share(model, sample.x, 0.6, tau) for tau in (0, 0.2))
    assert torch.equal(torch.get_rng_state(), before)
    assert uniform.mean() == pytest.approx(0.6) and np.abs(uniform - 0.6).max() < 5 * (0.24 / masks.DRAWS) ** 0.5
    for m in range(2):
        assert aware[:, m].mean() == pytest.approx(0.6) and np.ptp(aware[:, m]) > 0.2
        assert np.corrcoef(aware[:, m].ravel(), intensity[:, m].ravel())[0, 1] > 0.9
    first = masks.predict_masked(model, sample.x, 5, 0.6, 1, 0.2).hidden
    np.testing.assert_array_equal(masks.hidden_share(model, sample.x, 0.6, 0.2, seed=5, draws=1), first)


@pytest.mark.parametrize("stream, target", [("joint", "motion"), ("bone", "joint")])
def test_arrows_and_rings_stand_at_hidden_joints(stream, target, opened):
    """Also where bones are predicted."""
    args, model, sample = opened("pretrain", input_stream=stream, target=target)
    x = sample.x.permute(1, 3, 2, 0).numpy()
    np.testing.assert_allclose(x, sample.joints - (sample.joints[:, :, [0, 0, 1, 0, 3]] if stream == "bone" else 0), atol=1e-6)
    found = predicted(args, model, sample)
    if target == "motion":
        found = dataclasses.replace(found, true=0.02 * found.true, predicted=0.02 * found.predicted)
        assert figures.arrow_scale(sample, found) > 1
    artists, step = figures.prediction_overlay(sample, found)(Figure().add_subplot(), [])
    for t in (0, 5):
        step(t)
        hidden, scale = found.hidden[t // 4].ravel(), figures.arrow_scale(sample, found)
        joints, true, guess = (a[t].reshape(10, 3)[:, :2] for a in (sample.joints, found.true, found.predicted))
        if target == "motion":
            for arrows, motion in zip(artists, (true, guess), strict=True):
                absent = np.ma.getmaskarray(np.ma.masked_array(arrows.U, arrows.Umask))
                np.testing.assert_array_equal(~absent, hidden)
                np.testing.assert_allclose(arrows.get_offsets()[hidden], joints[hidden], rtol=1e-6)
                np.testing.assert_allclose(np.stack([arrows.U, arrows.V], 1)[hidden], scale * motion[hidden], rtol=1e-5)
        else:
            for dots, error in zip(artists[1:], (0, guess - true), strict=True):
                at = np.ma.filled(dots.get_offsets(), np.nan)
                np.testing.assert_allclose(at[hidden], (joints + error)[hidden], rtol=1e-4, atol=1e-6)
                assert np.isnan(at[~hidden]).all()


def test_a_copied_body_contributes_as_much_as_its_original():
    """NTU-120's second body may be a copy, which is encoded once: its gradient is not lost."""
    torch.manual_seed(0)
    model = Transformer(num_classes=3, protocol="linprobe", dim_feat=8, depth=1, num_heads=2, num_frames=8, num_joints=5).eval()
    torch.nn.init.normal_(model.head.fc.weight)
    found = masks.saliency(model, torch.randn(3, 8, 5, 1).expand(3, 8, 5, 2).clone(), segment=4)
    first, second = np.moveaxis(found.contribution, 1, 0)
    assert np.abs(first).sum() > 0 and np.allclose(first, second, atol=1e-6)
    assert model.reuse_encodings


def test_saliency_of_a_linear_model_is_its_terms():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(3, 8, 5, 2, generator=generator), torch.randn(4, 3, 8, 5, 2, generator=generator)
    x[:, 6:, :, 1] = 0  # the second body leaves, and stays away also when it stands still
    found = masks.saliency(lambda x: torch.einsum("nctvm,kctvm->nk", x, weight), x, segment=4)
    best = torch.einsum("ctvm,kctvm->k", x, weight).argmax()
    still = torch.stack([x[..., 0].mean(1), x[:, :6, :, 1].mean(1)], -1)[:, None].repeat(1, 8, 1, 1)
    still[:, 6:, :, 1] = 0
    terms = ((x - still) * weight[best]).sum(0).reshape(2, 4, 5, 2).sum(1).transpose(1, 2)
    np.testing.assert_allclose(found.contribution, terms, atol=1e-4)
    assert found.probability.argmax() == best and found.probability.sum() == pytest.approx(1)
    motion = masks.saliency(lambda x: torch.einsum("nctvm,kctvm->nk", x, weight), x, segment=8, moving=True)
    np.testing.assert_allclose(motion.contribution[0], (x * weight[best]).sum((0, 1)).T, atol=1e-4)


@pytest.mark.parametrize(
    "stage, named",
    [
        ("finetune", {}),
        ("linprobe", {"input_stream": "motion"}),
        ("linprobe", {"method": "umurl", "mlp_ratio": None, "features": "motion"}),
    ],
)
def test_contributions_add_up_to_the_logit(stage, named, opened):
    args, model, sample = opened(stage, **named)
    segment = getattr(args, "t_patch_size", 1)
    found = masks.saliency(model, sample.x, segment, args.input_stream == "motion", steps=64)
    with torch.no_grad():
        logits = model(sample.x[None])[0]
    assert found.probability == pytest.approx(logits.softmax(0).numpy(), rel=1e-5)
    assert found.contribution.shape == (8 // segment, 2, 5) and abs(found.difference) > 0.01
    assert found.contribution.sum() == pytest.approx(found.difference, rel=0.05, abs=5e-3)
    axes = figures.saliency(sample, "a model", found, "verdict", "wave")[0].axes
    for m, ax in enumerate(ax for ax in axes if ax.get_xlabel() in ("segment", "frame")):
        np.testing.assert_allclose(map_of(ax), found.contribution[:, m].T)


class Accelerations(MAMP):
    """A target that somebody has added, as a subclass."""

    def targets(self, x, motion_stride=1):
        return self.extract_motion(self.extract_motion(x, motion_stride), motion_stride)


def test_a_target_that_was_added_is_what_is_drawn(opened):
    args, model, sample = opened("pretrain", target="motion")
    model.__class__ = Accelerations
    found = predicted(args, model, sample)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loss = model(sample.x[None], args.mask_ratio, args.motion_stride, args.motion_aware_tau)[0].item()
    assert found.loss == pytest.approx(loss, rel=1e-4) != pytest.approx(predicted(*opened("pretrain", target="motion")).loss)
    stride, true = args.motion_stride, sample.joints.astype(np.float64)
    for _ in range(2):
        true = np.concatenate([true[stride:] - true[:-stride], np.zeros_like(true[:stride])])
    np.testing.assert_allclose(found.true, true, atol=1e-5)

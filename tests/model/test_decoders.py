"""The three decoders: what they predict, what it depends on, and the loss, against formulas in loops."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.mamp import MAMP, gather_tokens
from tests.model.helpers import predictor, sequences

DECODERS, QUERIES = ("self", "query", "cross"), ("query", "cross")
WEIGHTED = {"loss_weight": "motion", "loss_weight_windows": (4, 6), "loss_weight_k": 0.5}


def tiny(decoder, **options):
    model = predictor(decoder, **options)
    for name, parameter in model.named_parameters():  # larger embeddings, so that predictions differ more
        if name.startswith("decoder_") and name.endswith("_embed"):
            parameter.data *= 50
    return model


def seeded(model, *args, seed=3):
    torch.manual_seed(seed)
    return model(*args)


def places(model, mask):
    """Ids of all that a decoder predicts in eval mode, of bodies whose mask hides 9 tokens."""
    return torch.arange(10).expand(len(mask), -1) if model.decoder == "query" else model.draw_hidden(mask, 9)


def weight_by_loops(body, k, windows, epsilon=1e-8):
    """(T, V, C) -> (T, V), in double precision."""
    frames, joints, _ = body.shape
    weight = np.zeros((frames, joints))
    for n in windows:
        energy = np.zeros((frames // n, joints))
        for s, v in itertools.product(range(frames // n), range(joints)):
            part = body[s * n : (s + 1) * n, v]
            energy[s, v] = sum(np.sum((point - part.mean(0)) ** 2) for point in part) / n
        for t, v in itertools.product(range(frames), range(joints)):
            weight[t, v] += 1 / (1 + k * energy.mean() / (energy[t // n, v] + epsilon)) / len(windows)
    return weight if body.any() else 0 * weight


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target, normalise", [("motion", True), ("motion", False), ("joint", True)])
@pytest.mark.parametrize("decoder", DECODERS)
def test_the_loss_by_loops(decoder, target, normalise, weighted):
    """self: over the hidden tokens; query: over all frames of all joints; cross: over the predicted tokens."""
    x = sequences(2)
    x[0, :, :, 1], x[1, :, 6:, 2], x[1, ..., 1] = 0.3, 1e-3 * x[1, :, 6:, 2], 0  # a joint at rest, a slow one, an empty body
    model = tiny(decoder, target=target, norm_skes_loss=normalise, **WEIGHTED if weighted else {})
    loss, pred, mask = seeded(model, x, 0.6, 2)
    counts = {"self": mask == 1, "query": torch.ones(4, 10), "cross": pred.ne(0).any(-1)}[decoder].reshape(4, -1, 5)
    assert pred.shape == (4, counts.shape[1] * 5, 12 // counts.shape[1] * 3) and mask.shape == (4, 15)
    predicted, errors = model.unpatchify(pred).detach().double().numpy(), []
    for b, body in enumerate(model.bodies(x).double().numpy()):
        goal = body if target == "joint" else np.concatenate([body[2:] - body[:-2], np.zeros((2, 5, 3))])
        weight = weight_by_loops(body, 0.5, (4, 6)) if weighted else np.ones((12, 5))
        for s, v in counts[b].nonzero().tolist():
            frames = slice(s * 12 // counts.shape[1], (s + 1) * 12 // counts.shape[1])
            part = goal[frames, v]
            if normalise:
                part = (part - part.mean()) / np.sqrt(part.var(ddof=1) + 1e-6)
            errors.append((weight[frames, v, None] * (predicted[b, frames, v] - part) ** 2).mean())
    assert loss.item() == pytest.approx(np.mean(errors), rel=2e-5)


@pytest.mark.parametrize("decoder", QUERIES)
def test_the_loss_over_shares_is_on_average_the_loss_over_all(decoder):
    model, x = tiny(decoder).eval(), sequences()
    torch.manual_seed(3)
    bodies = model.bodies(x)
    latent, mask, _ = model.forward_encoder(bodies, 0.6, 0.8)
    every = places(model, mask)
    target = model.patchify(model.extract_motion(bodies), model.predict_frames)

    def loss_of(ids):
        return model.forward_loss(gather_tokens(target, ids), model.forward_queries(latent, ids), torch.ones(ids.shape)).item()

    shuffled = every.gather(1, torch.rand(every.shape).argsort(1))  # every body its own share
    parts = [loss_of(ids) for ids in shuffled.split({"query": 2, "cross": 3}[decoder], dim=1)]
    assert len(parts) > 2 and max(parts) > 1.01 * min(parts)
    assert np.mean(parts) == pytest.approx(loss_of(every), rel=1e-6)
    assert seeded(model, x, 0.6, 1, 0.8)[0].item() == pytest.approx(loss_of(every), rel=1e-6)


@pytest.mark.parametrize("ratio, count", [(1, 9), (0.5, 4), (0.01, 1)])
def test_cross_predicts_a_share_of_the_hidden_tokens(ratio, count):
    model, x = tiny("cross", predict_ratio=ratio), sequences(40)
    for training, expected in ((False, 9), (True, count)):
        _, pred, mask = model.train(training)(x, 0.6, 1, 0.0)
        made = pred.ne(0).any(-1)
        assert not made[mask == 0].any() and (made.sum(1) == expected).all()
    assert ratio == 1 or len(made.unique(dim=0)) > 5 * count, "every body has its own"
    share = made.float().mean(0)
    assert share.min() > 0.2 * ratio and share.max() < 1.7 * max(ratio, 0.1)


def test_masks_do_not_depend_on_the_decoder():
    masks = [seeded(tiny(decoder), sequences(), 0.6, 1, 0.8)[2] for decoder in DECODERS]
    assert torch.equal(masks[0], masks[1]) and torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("decoder", DECODERS)
def test_predictions_see_nothing_of_the_hidden_tokens(decoder):
    model, x = tiny(decoder).eval(), sequences()
    bodies = model.bodies(x)
    assert torch.equal(model.unpatchify(model.patchify(bodies, model.predict_frames)), bodies)
    _, pred, mask = seeded(model, x, 0.6, 1, 0.0)
    hidden = model.unpatchify(mask[..., None].expand(-1, -1, 12).contiguous())
    hidden = hidden.unflatten(0, (3, 2)).permute(0, 4, 2, 3, 1).bool()
    assert torch.allclose(pred, seeded(model, torch.where(hidden, 100.0, x), 0.6, 1, 0.0)[1], atol=1e-6)
    assert not torch.allclose(pred, seeded(model, torch.where(hidden, x, x + 1), 0.6, 1, 0.0)[1], atol=1e-3)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_parameter_learns_and_other_decoders_differ_in_names_that_begin_with_decoder(decoder):
    model = tiny(decoder, qk_scale=0.2, drop_rate=0.1, attn_drop_rate=0.1, drop_path_rate=0.1)
    assert all(block.attn.scale == 0.2 for block in model.decoder_blocks)
    seeded(model, sequences(), 0.6)[0].backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    names = set(model.state_dict()) ^ set(tiny("self").state_dict())
    assert all(name.startswith("decoder_blocks.") or (decoder, name) == ("query", "mask_token") for name in names)


@pytest.mark.parametrize("decoder", DECODERS)
def test_in_16_bits_and_traced_by_the_compiler_it_is_nearly_the_same(decoder):
    """What the compiler makes of it takes minutes; here it has to find a single graph."""

    def results(run):
        model = tiny(decoder, depth=1, decoder_depth=1, **WEIGHTED)
        loss, pred, _ = run(model)
        loss.backward()
        return pred.detach().float(), torch.cat([p.grad.flatten() for p in model.parameters()])

    def half(model):
        with torch.autocast("cpu", torch.bfloat16):
            return seeded(model, sequences(), 0.6)

    exact = results(lambda model: seeded(model, sequences(), 0.6))
    traced = results(lambda model: seeded(torch.compile(model, backend="eager", fullgraph=True), sequences(), 0.6))
    for value, other, rough in zip(exact, traced, results(half), strict=True):
        assert torch.allclose(value, other, rtol=1e-4, atol=1e-6)
        assert 0 < (value - rough).norm() < 0.03 * value.norm()


@pytest.mark.parametrize("decoder, gflop", [("self", 19.55), ("query", 3.9), ("cross", 4.5)])
def test_operations_at_paper_size(decoder, gflop):
    """Of the forward pass of two bodies, by torch's counter."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        MAMP(decoder=decoder)(torch.randn(1, 3, 120, 25, 1))
    assert 2 * counter.get_total_flops() / 1e9 == pytest.approx(gflop, abs=0.05)

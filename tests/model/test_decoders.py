"""The decoders that only ask: what they predict, what it depends on, and how it is weighted, against formulas in loops."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.decoder import CrossAttention
from model.mamp import MAMP, take

TINY = dict(dim_feat=16, decoder_dim_feat=8, depth=2, decoder_depth=2, num_heads=2, mlp_ratio=2, num_frames=12, num_joints=5)
ASKING = ("query", "cross")


def tiny(decoder, **options):
    torch.manual_seed(0)
    model = MAMP(**TINY | {"query_frames": 6} | options, decoder=decoder)
    for name, parameter in model.named_parameters():  # predictions that differ more than tiny embeddings make them
        if name.startswith("decoder_") and name.endswith("_embed"):
            parameter.data *= 50
    return model


def sequences(n=3, bodies=2, seed=0):
    return torch.randn(n, 3, 12, 5, bodies, generator=torch.Generator().manual_seed(seed))


def places(model, mask):
    """All that a decoder predicts of bodies whose mask hides 9 tokens."""
    return torch.arange(10).expand(len(mask), -1) if model.decoder == "query" else model.places_to_ask(mask, 9)


def weight_by_loops(body, k=0.01, windows=(4, 6), epsilon=1e-8):
    """(T, V, C) -> (T, V), in double precision."""
    frames, joints, _ = body.shape
    found = np.zeros((frames, joints))
    for n in windows:
        energy = np.zeros((frames // n, joints))
        for s in range(frames // n):
            for v in range(joints):
                part = body[s * n : (s + 1) * n, v].astype(np.float64)
                energy[s, v] = sum(np.sum((point - part.mean(0)) ** 2) for point in part) / n
        for t in range(frames):
            for v in range(joints):
                found[t, v] += 1 / (1 + k * energy.mean() / (energy[t // n, v] + epsilon)) / len(windows)
    return found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("target", ["motion", "joint"])
def test_the_query_loss_is_over_all_frames_of_all_joints(target, normalise, weighted):
    how = {"loss_weight": "motion", "loss_weight_windows": (4, 6)} if weighted else {}
    model, x = tiny("query", target=target, norm_skes_loss=normalise, **how), sequences(2)
    loss, pred, mask = model(x, 0.6, 2)
    assert pred.shape == (4, 10, 18) and mask.shape == (4, 15)
    predicted, total = model.unpatchify(pred).detach().double().numpy(), 0.0
    for n in range(2):
        for m in range(2):
            body = x[n, ..., m].permute(1, 2, 0).numpy()
            goal = body.astype(np.float64)
            if target == "motion":
                goal = np.concatenate([goal[2:] - goal[:-2], np.zeros((2, 5, 3))])
            weight = weight_by_loops(body) if weighted else np.ones((12, 5))
            for s in range(2):
                for v in range(5):
                    part = goal[6 * s : 6 * s + 6, v]
                    if normalise:
                        part = (part - part.mean()) / np.sqrt(part.var(ddof=1) + 1e-6)
                    error = (predicted[2 * n + m, 6 * s : 6 * s + 6, v] - part) ** 2
                    total += (weight[6 * s : 6 * s + 6, v, None] * error).mean() / 40
    assert loss.item() == pytest.approx(total, rel=1e-5)


def test_the_motion_weight_by_loops():
    x = sequences(2)
    x[0, :, :, 1] = 0.3  # stands still
    x[1, :, 6:, 2] *= 1e-3
    x[1, ..., 1] = 0  # is not there
    model = tiny("query", loss_weight="motion", loss_weight_windows=(4, 6), loss_weight_k=0.5)
    weight = model.motion_weight(model.bodies(x))
    for n in range(2):
        for m in range(2):
            expected = weight_by_loops(x[n, ..., m].permute(1, 2, 0).numpy(), k=0.5) if (n, m) != (1, 1) else np.zeros((12, 5))
            np.testing.assert_allclose(weight[2 * n + m, ..., 0], expected, rtol=1e-4)
    assert weight[0, :, 1].max() < 1e-6 and weight[2, 8:, 2].max() < 1e-3 * weight[2, :4, 2].min()


@pytest.mark.parametrize("decoder", ["self", *ASKING])
def test_an_empty_body_weighs_nothing_and_its_values_get_no_gradient(decoder):
    x = sequences(2)
    x[1] = 0
    model = tiny(decoder, loss_weight="motion", loss_weight_windows=(4, 6), norm_skes_loss=True)
    kept = []
    hook = model.decoder_pred.register_forward_hook(lambda module, args, out: out.retain_grad() or kept.append(out))
    torch.manual_seed(1)
    loss = model(x, 0.6)[0]
    loss.backward()
    hook.remove()
    assert loss > 0 and not kept[0].grad[2:].any() and kept[0].grad[:2].any()
    torch.manual_seed(1)
    plain = tiny(decoder, norm_skes_loss=True)(x, 0.6)[0]
    assert not torch.isclose(loss, plain, rtol=1e-3)


@pytest.mark.parametrize("decoder", ASKING)
def test_a_prediction_does_not_depend_on_which_others_are_made(decoder):
    model, x = tiny(decoder).eval(), sequences()
    latent, mask, _ = model.forward_encoder(model.bodies(x), 0.6, 0.8)
    every = places(model, mask)
    pred = model.forward_queries(latent, None if decoder == "query" else every)
    for ids in ([3], [7, 0, 4]):
        alone = model.forward_queries(latent, every[:, ids])
        assert torch.allclose(alone, pred[:, ids], atol=1e-6)
    assert (pred.std(1) > 1e-3).any(), "queries are told apart"


@pytest.mark.parametrize("decoder", ASKING)
def test_the_loss_over_shares_is_on_average_the_loss_over_all(decoder):
    model, x = tiny(decoder, norm_skes_loss=True).eval(), sequences()
    bodies = model.bodies(x)
    latent, mask, _ = model.forward_encoder(bodies, 0.6, 0.8)
    every = places(model, mask)
    target = model.patchify(model.extract_motion(bodies), model.predict_frames)
    size = every.shape[1] // {"query": 5, "cross": 3}[decoder]

    def loss_of(ids):
        return model.forward_loss(take(target, ids), model.forward_queries(latent, ids), torch.ones(ids.shape))

    shuffled = every.gather(1, torch.rand(every.shape).argsort(1))  # every body its own share
    parts = [loss_of(ids) for ids in shuffled.split(size, dim=1)]
    assert len(parts) > 2 and max(parts) > 1.01 * min(parts)
    assert torch.stack(parts).mean().item() == pytest.approx(loss_of(every).item(), rel=1e-6)
    torch.manual_seed(3)
    whole = model(x, 0.6, 1, 0.8)[0]
    torch.manual_seed(3)
    latent, mask, _ = model.forward_encoder(bodies, 0.6, 0.8)
    assert whole.item() == pytest.approx(loss_of(places(model, mask)).item(), rel=1e-6)


@pytest.mark.parametrize("ratio, count", [(1, 9), (0.5, 4), (0.01, 1)])
def test_cross_asks_for_a_share_of_the_hidden_tokens(ratio, count):
    model, x = tiny("cross", predict_ratio=ratio), sequences(40)
    shares = []
    for training in (True, False):
        _, pred, mask = model.train(training)(x, 0.6, 1, 0.0)
        made = pred.ne(0).any(-1)
        assert not made[mask == 0].any() and (made.sum(1) == (count if training else 9)).all()
        shares.append(made)
    assert ratio == 1 or len(shares[0].unique(dim=0)) > 5 * count, "every body has its own"
    places = shares[0].float().mean(0)
    assert places.min() > 0.2 * ratio and places.max() < 1.7 * max(ratio, 0.1)


def test_what_cross_asks_for_is_drawn_after_the_mask_and_masks_stay_as_they_are():
    masks, x = [], sequences()
    for decoder in ("self", *ASKING):
        model = tiny(decoder)
        torch.manual_seed(7)
        masks.append(model(x, 0.6, 1, 0.8)[2])
    assert torch.equal(masks[0], masks[1]) and torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("decoder", ["self", *ASKING])
def test_unpatchify_puts_every_value_in_its_frame(decoder):
    model, x = tiny(decoder), sequences()
    bodies = model.bodies(x)
    assert torch.equal(model.unpatchify(model.patchify(bodies, model.predict_frames)), bodies)
    assert model.unpatchify(model(x)[1]).shape == bodies.shape


@pytest.mark.parametrize("decoder", ASKING)
def test_predictions_see_nothing_of_the_hidden_tokens(decoder, monkeypatch):
    model, x = tiny(decoder).eval(), sequences()
    noise = torch.rand(6, 15)
    monkeypatch.setattr(torch, "rand", lambda *size, **_: noise)
    _, pred, mask = model(x, 0.6, 1, 0.0)
    hidden = model.unpatchify(mask[..., None].expand(-1, -1, 12).contiguous())
    hidden = hidden.unflatten(0, (3, 2)).permute(0, 4, 2, 3, 1).bool()
    _, same, _ = model(torch.where(hidden, 100 * torch.randn(1), x), 0.6, 1, 0.0)
    assert torch.allclose(pred, same, atol=1e-6)
    _, other, _ = model(torch.where(hidden, x, x + 1), 0.6, 1, 0.0)
    assert not torch.allclose(pred, other, atol=1e-3)


@pytest.mark.parametrize("scale", [None, 0.3])
def test_cross_attention_by_its_formula(scale):
    torch.manual_seed(0)
    layer, queries, tokens = CrossAttention(8, 2, True, 0.0, 0.0), torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    layer.scale = layer.scale if scale is None else scale
    out = layer(queries, tokens)
    q, k, v = layer.q(queries), layer.kv(tokens)[..., :8], layer.kv(tokens)[..., 8:]
    heads = []
    for h in (slice(0, 4), slice(4, 8)):
        share = (q[..., h] @ k[..., h].mT * (scale or 0.5)).softmax(-1)
        heads.append(share @ v[..., h])
    assert torch.allclose(out, layer.proj(torch.cat(heads, -1)), atol=1e-6)


@pytest.mark.parametrize("decoder", ASKING)
def test_every_parameter_learns_and_new_ones_are_named_decoder(decoder):
    model = tiny(decoder, qk_scale=0.2, drop_rate=0.1, attn_drop_rate=0.1, drop_path_rate=0.1)
    assert all(block.attn.scale == 0.2 for block in model.decoder_blocks)
    model(sequences(), 0.6)[0].backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    new = set(model.state_dict()) - set(tiny("self").state_dict())
    assert new and all(name.startswith("decoder_blocks.") for name in new)
    missing = set(tiny("self").state_dict()) - set(model.state_dict())
    assert all(name.startswith("decoder_blocks.") or (decoder, name) == ("query", "mask_token") for name in missing)


@pytest.mark.parametrize("decoder", ASKING)
def test_skipping_empty_bodies_is_training_on_the_others(decoder):
    x = sequences(4)
    x[0, ..., 1], x[2, ..., 1], x[3] = 0, x[2, ..., 0], 0
    bodies = x.permute(0, 4, 1, 2, 3).reshape(8, 3, 12, 5)[[0, 2, 3, 4], ..., None]
    results = []
    for inputs, skip in ((x, True), (bodies, False)):
        model = tiny(decoder, skip_empty_bodies=skip)
        torch.manual_seed(3)
        loss, pred, mask = model(inputs, 0.6)
        loss.backward()
        results.append((loss.detach(), pred.detach(), mask, *(p.grad for p in model.parameters())))
    assert results[0][1].shape[0] == 4
    for ours, others in zip(*results, strict=True):
        assert torch.allclose(ours, others, atol=1e-6)


def losses_of(decoder, run):
    """(loss, gradient of the prediction's bias) of a new model, called by run(model, x)."""
    model = tiny(decoder, depth=1, decoder_depth=1, norm_skes_loss=True, loss_weight="motion", loss_weight_windows=(4, 6))
    torch.manual_seed(5)
    loss = run(model, sequences())
    loss.backward()
    return loss.detach(), model.decoder_pred.bias.grad


@pytest.mark.parametrize("decoder", ASKING)
def test_in_16_bits(decoder):
    def half(model, x):
        with torch.autocast("cpu", torch.bfloat16):
            return model(x, 0.6)[0]

    exact, rough = losses_of(decoder, lambda model, x: model(x, 0.6)[0]), losses_of(decoder, half)
    assert rough[0].item() == pytest.approx(exact[0].item(), rel=0.02)
    assert torch.allclose(rough[1], exact[1], atol=0.02)


@pytest.mark.parametrize("decoder", ASKING)
def test_compiled(decoder):
    """In one graph; what a compiler makes of it takes minutes."""
    exact = losses_of(decoder, lambda model, x: model(x, 0.6)[0])
    traced = losses_of(decoder, lambda model, x: torch.compile(model, backend="aot_eager", fullgraph=True)(x, 0.6)[0])
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(exact, traced, strict=True))


@pytest.mark.parametrize("decoder, gflop", [("self", 19.55), ("query", 3.9), ("cross", 4.5)])
def test_operations_at_paper_size(decoder, gflop):
    """Of the forward pass of two bodies, by torch's counter."""
    model, x = MAMP(decoder=decoder), torch.randn(1, 3, 120, 25, 2)
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(x)
    assert counter.get_total_flops() / 1e9 == pytest.approx(gflop, abs=0.05)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"decoder": "both"}, "decoder 'both': use one of self, query, cross"),
        ({"decoder": "query", "query_frames": 5}, "query_frames 5: has to divide num_frames, 12"),
        ({"decoder": "query", "query_frames": 24}, "query_frames 24: has to divide num_frames, 12"),
        ({"decoder": "cross", "predict_ratio": 0}, "predict_ratio 0: a share"),
        ({"decoder": "cross", "predict_ratio": 1.1}, "predict_ratio 1.1: a share"),
        ({"decoder": "query", "loss_weight": "energy"}, "loss_weight 'energy': use one of none, motion"),
        ({"decoder": "query", "loss_weight": "motion", "loss_weight_windows": (4, 8)}, "loss_weight_windows 8: has to divide"),
    ],
)
def test_sizes_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message) as error:
        MAMP(**TINY | {"query_frames": 6} | options)
    assert "\n" not in str(error.value)

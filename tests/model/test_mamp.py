"""The masked motion predictor against the published numbers, and against formulas written out in loops."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from model.mamp import MAMP

TINY = dict(dim_feat=16, decoder_dim_feat=8, depth=2, decoder_depth=1, num_heads=2, mlp_ratio=2, num_frames=12, num_joints=5)
CASES = [(method, case) for method in ("mamp", "mae") for case in ("a", "b", "random")]


def tiny(seed=0, **options):
    torch.manual_seed(seed)
    return MAMP(**TINY | options)


def sequences(n=2, frames=12, joints=5, bodies=2, seed=0):
    return torch.randn(n, 3, frames, joints, bodies, generator=torch.Generator().manual_seed(seed))


def published_model(content, part, method):
    model = MAMP(**content["config"], target="motion" if method == "mamp" else "joint")
    model.load_state_dict(part(content, "state/"), strict=True)
    return model


@pytest.mark.parametrize("name", ["pretrain_tiny25", "pretrain_tiny20"])
@pytest.mark.parametrize("method, case", CASES)
def test_forward_and_gradients_are_the_published_ones(name, method, case, parity, part, assert_close):
    content = parity(name)
    published = part(content, f"{method}/{case}/")
    model = published_model(content, part, method)
    kwargs = {"motion_aware_tau": 0.0} | published["kwargs"]  # SkeletonMAE* masks uniformly
    torch.manual_seed(int(published["seed"]))
    loss, pred, mask = model(content["x"], **kwargs)
    loss.backward()
    assert torch.equal(mask, published["mask"])
    assert_close(pred, published["pred"])
    assert loss.item() == pytest.approx(float(published["loss"]), rel=1e-5)
    squares = sum(p.grad.double().square().sum() for p in model.parameters())
    assert squares.sqrt().item() == pytest.approx(float(published["grad_norm"]), rel=1e-5)
    gradients = part(published, "grad/")
    assert len(gradients) >= 5
    for key, gradient in gradients.items():
        assert_close(model.get_parameter(key).grad, gradient)


@pytest.mark.parametrize("name", ["pretrain_tiny25", "pretrain_tiny20"])
def test_patchify_and_motion_are_the_published_ones(name, parity, part):
    content = parity(name)
    model = published_model(content, part, "mamp")
    bodies = model.bodies(content["x"])
    assert torch.equal(model.patchify(bodies), content["patchify"])
    assert torch.equal(model.extract_motion(bodies, 1), content["motion1"])
    assert torch.equal(model.extract_motion(bodies, 2), content["motion2"])


def test_one_uniform_draw_per_forward(parity, part, monkeypatch):
    content = parity("pretrain_tiny25")
    model, draws, rand = published_model(content, part, "mamp"), [], torch.rand
    monkeypatch.setattr(torch, "rand", lambda *a, **k: draws.append(rand(*a, **k)) or draws[-1])
    torch.manual_seed(1003)
    model(content["x"])
    after = torch.get_rng_state()
    assert len(draws) == 1 and torch.equal(draws[0], content["mamp/a/uniform_noise"])
    torch.manual_seed(1003)
    rand(6, 150)
    assert torch.equal(after, torch.get_rng_state()), "something else drew random numbers"


def test_patchify_is_time_major_tokens_and_frame_major_values():
    model, x = tiny(), sequences()
    bodies = model.bodies(x)
    patches = model.patchify(bodies)
    for n in range(2):
        for m in range(2):
            for t in range(12):
                for v in range(5):
                    for c in range(3):
                        token, value = (t // 4) * 5 + v, (t % 4) * 3 + c
                        assert patches[n * 2 + m, token, value] == x[n, c, t, v, m]


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_motion_by_loops(stride):
    bodies = tiny().bodies(sequences())
    motion = MAMP.extract_motion(bodies, stride)
    for t in range(12):
        expected = bodies[:, t + stride] - bodies[:, t] if t < 12 - stride else torch.zeros_like(bodies[:, t])
        assert torch.equal(motion[:, t], expected)


def expected_visible(bodies, uniform, tau, keep, length=4):
    """The kept tokens of each body by the spec's formulas, token by token, in double precision."""
    visible = []
    for body, noise in zip(bodies.double().numpy(), uniform.double().numpy(), strict=True):
        segments = body.reshape(len(body) // length, length, body.shape[1], 3)
        intensity = np.zeros((len(segments), body.shape[1]))
        for t in range(1, len(segments)):
            for v in range(body.shape[1]):
                intensity[t, v] = np.mean(np.abs(segments[t, :, v] - segments[t - 1, :, v]))
        intensity[0] = intensity[1]
        strength = intensity.ravel() / (intensity.max() * tau + 1e-10)
        probability = np.exp(strength) / np.exp(strength).sum()
        scores = [math.log(p) - math.log(-math.log(u + 1e-10) + 1e-10) for p, u in zip(probability, noise, strict=True)]
        visible.append(set(np.argsort(scores)[:keep].tolist()))
    return visible


@pytest.mark.parametrize("tau", [0.3, 0.75, 2.0])
def test_masks_by_the_gumbel_formula(tau):
    model = tiny()
    bodies = model.bodies(sequences(n=8))
    torch.manual_seed(5)
    _, mask, _ = model.forward_encoder(bodies, 0.6, tau)
    torch.manual_seed(5)
    expected = expected_visible(bodies, torch.rand(16, 15), tau, keep=6)
    assert [set((row == 0).nonzero().flatten().tolist()) for row in mask] == expected


@pytest.mark.parametrize("tau", [0.0, -1.0])
def test_without_tau_the_smallest_uniform_numbers_stay(tau):
    model = tiny()
    torch.manual_seed(5)
    _, mask, _ = model.forward_encoder(model.bodies(sequences(n=8)), 0.6, tau)
    torch.manual_seed(5)
    threshold = torch.rand(16, 15).sort(1).values[:, 5:6]
    torch.manual_seed(5)
    assert torch.equal(mask == 0, torch.rand(16, 15) <= threshold)


@pytest.mark.parametrize("ratio, keep", [(0.9, 74), (0.8, 149), (0.85, 112), (0.7, 225), (0.95, 37)])
def test_number_of_visible_tokens_at_paper_size(ratio, keep):
    model = MAMP(dim_feat=4, decoder_dim_feat=4, depth=1, decoder_depth=1, num_heads=1, mlp_ratio=1)
    latent, mask, ids_restore = model.forward_encoder(torch.randn(2, 120, 25, 3), ratio, 0.8)
    assert latent.shape == (2, keep, 4)
    assert (mask == 0).sum(1).tolist() == [keep, keep] and (mask == 1).sum(1).tolist() == [750 - keep] * 2
    assert torch.equal(ids_restore.sort(1).values, torch.arange(750).expand(2, -1))


def hidden_share(x, tau, ratio=0.5, draws=60):
    """How often each token (T', V) of one still-or-moving sequence is hidden, over many bodies and draws."""
    model = tiny()
    torch.manual_seed(0)
    masks = [model.forward_encoder(model.bodies(x), ratio, tau)[1] for _ in range(draws)]
    return torch.cat(masks).mean(0).reshape(3, 5)


def test_moving_joints_are_hidden_more_often():
    x = torch.zeros(20, 3, 12, 5, 2)
    x[:, :, :, 3] = torch.arange(12.0)[:, None]  # joint 3 walks away, the others stand still
    rates = {tau: hidden_share(x, tau) for tau in (0.0, 0.5, 1.5)}
    still, moving = [0, 1, 2, 4], 3
    kept = 7 / 15
    assert (rates[0.0] - (1 - kept)).abs().max() < 0.05, "tau 0: every token alike"
    gap = {tau: (rate[:, moving].mean() - rate[:, still].mean()).item() for tau, rate in rates.items()}
    assert gap[1.5] > 0.08 and gap[0.5] > gap[1.5] + 0.1, "a smaller temperature favours motion more"
    assert (rates[0.5][:, still] - rates[0.5][:, still].mean()).abs().max() < 0.05, "joints that stand still are alike"


def test_a_body_that_is_not_there_is_masked_uniformly():
    rate = hidden_share(torch.zeros(20, 3, 12, 5, 2), tau=0.8)
    assert (rate - 8 / 15).abs().max() < 0.05


@pytest.mark.parametrize("normalise", [True, False])
def test_loss_by_loops(normalise):
    model = tiny(norm_skes_loss=normalise)
    target, pred = sequences(1).reshape(-1)[:120].reshape(2, 5, 12), torch.randn(2, 5, 12)
    mask = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 1, 0.0]])
    total, count = 0.0, 0
    for b in range(2):
        for token in range(5):
            if mask[b, token]:
                goal = target[b, token].tolist()
                if normalise:
                    mean = sum(goal) / 12
                    variance = sum((g - mean) ** 2 for g in goal) / 11  # unbiased
                    goal = [(g - mean) / math.sqrt(variance + 1e-6) for g in goal]
                total += sum((p - g) ** 2 for p, g in zip(pred[b, token].tolist(), goal, strict=True)) / 12
                count += 1
    assert count == 4
    assert model.forward_loss(target, pred, mask).item() == pytest.approx(total / count, rel=1e-5)


def test_target_is_motion_or_joints():
    x = sequences()
    for target in ("motion", "joint"):
        model = tiny(target=target)
        torch.manual_seed(1)
        loss, pred, mask = model(x, motion_stride=2)
        bodies = model.bodies(x)
        goal = model.patchify(model.extract_motion(bodies, 2) if target == "motion" else bodies)
        expected = ((pred - goal) ** 2).mean(-1)[mask == 1].mean()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_prediction_sees_nothing_of_the_hidden_tokens(monkeypatch):
    model, x = tiny(), sequences()
    noise = torch.rand(4, 15)
    monkeypatch.setattr(torch, "rand", lambda *size, **_: noise)
    _, pred, mask = model(x, 0.6, 1, 0.0)
    tokens = mask.reshape(2, 2, 3, 5).repeat_interleave(4, dim=2)  # (N, M, T, V)
    hidden = tokens.permute(0, 2, 3, 1)[:, None].bool()  # as x: (N, 1, T, V, M)
    _, same, _ = model(torch.where(hidden, 100 * torch.randn(1), x), 0.6, 1, 0.0)
    assert torch.equal(pred, same)
    _, other, _ = model(torch.where(hidden, x, x + 1), 0.6, 1, 0.0)
    assert not torch.allclose(pred, other)


def test_bodies_and_samples_do_not_mix(monkeypatch):
    model, x = tiny(), sequences()
    noise = torch.rand(4, 15)
    monkeypatch.setattr(torch, "rand", lambda *size, **_: noise)
    _, pred, _ = model(x)
    changed = x.clone()
    changed[1, ..., 0] += 1  # sample 1, body 0 is row 2
    _, other, _ = model(changed)
    differs = [(a != b).any().item() for a, b in zip(pred, other, strict=True)]
    assert differs == [False, False, True, False]


def test_every_parameter_learns():
    model = tiny()
    model(sequences(), 0.6)[0].backward()
    lazy = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not lazy


def test_initialisation():
    model = MAMP(depth=1, decoder_depth=1)
    assert model.pos_embed.std().item() == pytest.approx(0.02, rel=0.05)
    for name in ("temp_embed", "decoder_temp_embed", "decoder_pos_embed", "mask_token"):
        value = model.get_parameter(name)
        assert value.std().item() == pytest.approx(0.02, rel=0.2) and abs(value.mean().item()) < 0.005
    for module in model.modules():
        if isinstance(module, nn.Linear):
            bound = math.sqrt(6 / (module.in_features + module.out_features))
            assert 0.97 * bound < module.weight.abs().max().item() <= bound and not module.bias.any()
        if isinstance(module, nn.LayerNorm):
            assert module.eps == 1e-5 and (module.weight == 1).all() and not module.bias.any()
    bound = 1 / math.sqrt(3 * 4)  # PyTorch's default for a convolution of 3·4 inputs
    assert 0.97 * bound < model.joints_embed.proj.weight.abs().max().item() <= bound
    assert model.joints_embed.proj.bias.any()


def test_both_methods_share_one_key_list():
    assert list(tiny(target="joint").state_dict()) == list(tiny().state_dict())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"target": "velocity"}, "target 'velocity'.*motion, joint"),
        ({"dim_feat": 15}, "width 15 is not a multiple of num_heads 2"),
        ({"decoder_dim_feat": 7}, "width 7"),
        ({"num_frames": 10}, "num_frames 10 is not a multiple of t_patch_size 4"),
        ({"patch_size": 2}, "patch_size 2"),
    ],
)
def test_sizes_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


@pytest.mark.parametrize("wrong", [(2, 3, 8, 5, 2), (2, 3, 12, 6, 2), (2, 2, 12, 5, 2)])
def test_input_of_another_size(wrong):
    with pytest.raises(ValueError, match="num_frames=12, num_joints=5"):
        tiny()(torch.zeros(wrong))


@pytest.mark.parametrize("target", ["motion", "joint"])
def test_with_the_motion_stream_the_encoder_sees_the_motion_while_masking_and_target_stay(target):
    x = sequences()
    motion = torch.zeros_like(x)
    motion[:, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
    on_joints, on_motion = (tiny(target=target, input_stream=stream) for stream in ("joint", "motion"))
    seen, targets = [], []
    for model, inputs in ((on_joints, motion), (on_motion, x)):  # the same tokens, once handed over and once made by the model
        embed = model.joints_embed.embed_patches
        model.joints_embed.embed_patches = lambda patches, embed=embed: seen.append(patches) or embed(patches)
        model.forward_loss = lambda target, pred, mask: targets.append(target) or pred.sum()
        torch.manual_seed(1)
        model(inputs, 0.5, 2, 0.0)
    assert torch.equal(*seen)
    torch.manual_seed(1)
    mask = on_motion(x, 0.5, 2, 0.8)[2]
    reference = tiny(target=target)
    torch.manual_seed(1)
    reference.forward_loss = lambda target, pred, mask: targets.append(target) or pred.sum()
    assert torch.equal(mask, reference(x, 0.5, 2, 0.8)[2])
    assert torch.equal(targets[2], targets[3])


def test_unknown_input_stream_is_refused():
    with pytest.raises(ValueError, match="input_stream 'bones': use one of joint, motion"):
        tiny(input_stream="bones")

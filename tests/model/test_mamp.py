"""The masked motion predictor: masks, motion and encoder against the published numbers and formulas in loops. Its decoders and
losses: test_decoders.py."""

import inspect
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from model.mamp import MAMP
from model.transformer import Encoder, Transformer
from tests.model.helpers import predictor, sequences
from util import config

CASES = [(method, case) for method in ("mamp", "mae") for case in ("a", "b", "random")]


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


def expected_visible(bodies, uniform, tau, keep, length=4):
    """The kept tokens of each body by the spec's formulas, token by token, in double precision."""
    visible = []
    for body, noise in zip(bodies.double().numpy(), uniform.double().numpy(), strict=True):
        segments = body.reshape(len(body) // length, length, body.shape[1], 3)
        intensity = np.zeros((len(segments), body.shape[1]))
        for t, v in itertools.product(range(1, len(segments)), range(body.shape[1])):
            intensity[t, v] = np.mean(np.abs(segments[t, :, v] - segments[t - 1, :, v]))
        intensity[0] = intensity[1]
        strength = intensity.ravel() / (intensity.max() * tau + 1e-10)
        probability = np.exp(strength) / np.exp(strength).sum()
        scores = [math.log(p) - math.log(-math.log(u + 1e-10) + 1e-10) for p, u in zip(probability, noise, strict=True)]
        visible.append(set(np.argsort(scores)[:keep].tolist()))
    return visible


@pytest.mark.parametrize("tau", [0.3, 0.8, 2.0])
def test_masks_by_the_gumbel_formula(tau):
    model, x = predictor(), sequences(n=8)
    x[2] = 0
    torch.manual_seed(5)
    _, mask, _ = model.forward_encoder(model.bodies(x), 0.6, tau)
    torch.manual_seed(5)
    expected = expected_visible(model.bodies(x), torch.rand(16, 15), tau, keep=6)
    assert [set((row == 0).nonzero().flatten().tolist()) for row in mask] == expected


@pytest.mark.parametrize("ratio, keep", [(0.9, 74), (0.8, 149), (0.85, 112), (0.7, 225), (0.95, 37)])
def test_the_smallest_scores_are_kept_and_their_number_at_paper_size(ratio, keep):
    scores = torch.rand(2, 750)
    ids_keep, mask, ids_restore = predictor().random_masking(scores, ratio)
    ordered, order = scores.sort(1)
    assert torch.equal(ids_keep, order[:, :keep]) and torch.equal(mask == 1, scores > ordered[:, keep - 1 : keep])
    assert torch.equal(ordered.gather(1, ids_restore), scores)


def test_bodies_and_samples_do_not_mix():
    model, x = predictor(), sequences(2)
    changed = x.clone()
    changed[1, ..., 0] += 1  # sample 1, body 0 is row 2
    preds = [model(inputs, motion_aware_tau=0)[1] for inputs in (x, changed) if torch.manual_seed(1)]
    assert [(a != b).any().item() for a, b in zip(*preds, strict=True)] == [False, False, True, False]


def test_with_the_motion_stream_the_encoder_sees_motion_and_masks_stay():
    x = sequences()
    on_joints, on_motion = predictor(), predictor(input_stream="motion")
    bodies = on_joints.bodies(x)

    def encoded(model, inputs, tau):
        torch.manual_seed(1)
        return model.forward_encoder(inputs, 0.5, tau)

    assert torch.equal(encoded(on_joints, on_joints.extract_motion(bodies), 0)[0], encoded(on_motion, bodies, 0)[0])
    assert torch.equal(encoded(on_joints, bodies, 0.8)[1], encoded(on_motion, bodies, 0.8)[1])


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


@pytest.mark.parametrize(
    "stage, function", [("pretrain", MAMP), ("pretrain", Encoder), ("linprobe", Transformer), ("finetune", Transformer)]
)
def test_defaults_are_those_of_the_options(stage, function):
    """Whoever builds a model without the mains gets what they build."""
    options = vars(config.parse(stage, ["--data_path", "x.npz"]))
    defaults = {name: parameter.default for name, parameter in inspect.signature(function).parameters.items() if name in options}
    defaults = {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}
    assert defaults and defaults == {name: options[name] for name in defaults}


@pytest.mark.parametrize("wrong", [(2, 3, 8, 5, 2), (2, 3, 12, 6, 2), (2, 2, 12, 5, 2)])
def test_input_of_another_size(wrong):
    with pytest.raises(ValueError, match="num_frames=12, num_joints=5"):
        predictor()(torch.zeros(wrong))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dim_feat": 15}, "width 15 is not a multiple of num_heads 2"),
        ({"decoder_dim_feat": 7}, "width 7"),
        ({"num_frames": 10}, "num_frames 10 is not a multiple of t_patch_size 4"),
        ({"patch_size": 2}, "patch_size 2"),
        ({"target": "velocity"}, "target 'velocity': use one of motion, joint"),
        ({"input_stream": "bones"}, "input_stream 'bones': use one of joint, motion"),
        ({"decoder": "both"}, "decoder 'both': use one of self, query, cross"),
        ({"decoder": "query", "query_frames": 5}, "query_frames 5: has to divide num_frames, 12"),
        ({"decoder": "cross", "predict_ratio": 0}, "predict_ratio 0: a share"),
        ({"decoder": "cross", "predict_ratio": 1.1}, "predict_ratio 1.1: a share"),
        ({"decoder": "query", "loss_weight": "energy"}, "loss_weight 'energy': use one of none, motion"),
        ({"decoder": "query", "loss_weight": "motion", "loss_weight_windows": (4, 8)}, "loss_weight_windows 8: has to divide"),
    ],
)
def test_sizes_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message) as error:
        predictor(**options)
    assert "\n" not in str(error.value)

"""Empty and copied bodies: they are encoded once, and training leaves them out."""

import pytest
import torch
from torch import nn

from tests.model.helpers import classifier, predictor, sequences


def with_gaps():
    """(6, 3, 12, 5, 3): the second body is a copy of the first, the third empty; the last sample is empty. Six bodies differ."""
    x = sequences(6, bodies=3)
    x[..., 1], x[..., 2], x[-1] = x[..., 0], 0, 0
    return x


def encoded_bodies(model):
    """A list to which every pass adds the number of bodies that were encoded."""
    counts = []
    model.joints_embed.register_forward_hook(lambda module, args, out: counts.append(len(out)))
    return counts


def test_in_eval_mode_they_are_encoded_once():
    model, x = classifier().eval(), with_gaps()
    counts = encoded_bodies(model)
    features = model.forward_features(x)
    model.forward_features(sequences(4))
    model.reuse_encodings = False
    each = model.forward_features(x)
    assert counts == [6, 8, 18] and torch.allclose(features, each, atol=1e-5)


@pytest.mark.parametrize("options, freeze, expected", [({}, True, 6), ({}, False, 18), ({"skip_empty_bodies": True}, False, 6)])
def test_in_training_they_are_if_the_encoder_is_frozen_or_it_is_asked_for(options, freeze, expected):
    model = classifier(protocol="linprobe", **options)
    counts = encoded_bodies(model.freeze_encoder() if freeze else model)
    model.train()(with_gaps())
    assert counts == [expected]


def test_fine_tuning_has_the_same_gradient_either_way():
    gradients = []
    for skip in (False, True):
        model = classifier(skip_empty_bodies=skip, head_dropout=0.0)
        nn.functional.cross_entropy(model.train()(with_gaps()), torch.arange(6) % 4).backward()
        gradients.append({k: p.grad for k, p in model.named_parameters()})
    for key, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][key], atol=1e-5 + 1e-4 * gradient.abs().max()), key


def test_a_body_with_one_tiny_number_is_not_empty():
    model, x = classifier(), torch.zeros(2, 3, 12, 5, 2)
    x[0, 1, 7, 3, 0], x[1, 2, 0, 0, 1] = 1e-30, -1.0
    source, empty = model.find_redundant(model.bodies(x), 2)
    assert source.tolist() == [0, 1, 1, 3] and empty.tolist() == [False, True, True, False]


@pytest.mark.parametrize("decoder", ["self", "query", "cross"])
def test_pretraining_without_them_is_pretraining_on_the_others(decoder):
    """Loss and gradients are those of a batch that never had them; evaluation keeps them."""
    x = sequences(4)
    x[0, ..., 1], x[2, ..., 1], x[3] = 0, x[2, ..., 0], 0
    others = x.permute(0, 4, 1, 2, 3).reshape(8, 3, 12, 5)[[0, 2, 3, 4], ..., None]
    results = []
    for inputs, skip in ((x, True), (others, False)):
        model = predictor(decoder, skip_empty_bodies=skip)
        torch.manual_seed(3)
        loss, pred, mask = model(inputs, 0.6)
        loss.backward()
        results.append((loss.detach(), pred.detach(), mask, *(p.grad for p in model.parameters())))
    assert len(results[0][1]) == 4
    assert all(torch.allclose(ours, theirs, atol=1e-6) for ours, theirs in zip(*results, strict=True))
    assert len(predictor(decoder, skip_empty_bodies=True).eval()(x)[1]) == len(predictor(decoder)(x)[1]) == 8


def test_a_batch_of_empty_bodies_has_finite_gradients_and_weighs_nothing():
    model = predictor(skip_empty_bodies=True)
    loss, pred, mask = model(torch.zeros(3, 3, 12, 5, 2))
    loss.backward()
    assert len(pred) == 1 and loss.isfinite() and not mask.any()
    assert all(p.grad.isfinite().all() for p in model.parameters())

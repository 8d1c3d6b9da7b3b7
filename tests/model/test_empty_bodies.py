"""Empty and copied bodies: what is encoded once, and what training leaves out."""

import pytest
import torch
from torch import nn

from model.mamp import MAMP
from model.transformer import Transformer

SIZE = dict(dim_feat=16, depth=2, num_heads=2, mlp_ratio=2, num_frames=12, num_joints=5)


def classifier(**options):
    torch.manual_seed(0)
    return Transformer(**SIZE, num_classes=4, **options)


def predictor(**options):
    torch.manual_seed(0)
    return MAMP(**SIZE, decoder_dim_feat=8, decoder_depth=1, **options)


def with_gaps(n=6, seed=0):
    """Sequences (n, 3, 12, 5, 3): the second body is a copy of the first, the third empty; the last sample is empty."""
    x = torch.randn(n, 3, 12, 5, 3, generator=torch.Generator().manual_seed(seed))
    x[..., 1] = x[..., 0]
    x[..., 2] = 0
    x[-1] = 0
    return x


def encoded_bodies(model):
    counts = []
    model.joints_embed.register_forward_hook(lambda module, args, out: counts.append(len(out)))
    return counts


@pytest.mark.parametrize("protocol", ["linprobe", "finetune"])
def test_in_eval_mode_empty_and_copied_bodies_are_encoded_once(protocol):
    model, x = classifier(protocol=protocol).eval(), with_gaps()
    counts = encoded_bodies(model)
    features = model.forward_features(x)
    assert counts == [6], "five first bodies and one empty one"
    for n in range(6):
        for m in range(3):
            alone = model.forward_features(x[n : n + 1, ..., m : m + 1])[0, 0]
            assert torch.allclose(features[n, m], alone, atol=1e-5)
    counts.clear()
    model.forward_features(torch.randn(4, 3, 12, 5, 2))
    assert counts == [8]


def test_a_frozen_encoder_shares_encodings_and_a_training_one_does_not_unless_asked():
    x = with_gaps()
    for options, freeze, expected in (({}, True, 6), ({}, False, 18), ({"skip_empty_bodies": True}, False, 6)):
        model = classifier(protocol="linprobe", **options)
        model = model.freeze_encoder() if freeze else model
        counts = encoded_bodies(model.train())
        model(x)
        assert counts == [expected]


def test_fine_tuning_with_shared_encodings_has_the_same_gradient():
    """Without random depth: shared encodings get the sum of what the bodies would have got."""
    gradients = []
    for skip in (False, True):
        model, x = classifier(protocol="finetune", skip_empty_bodies=skip, head_dropout=0.0), with_gaps()
        nn.functional.cross_entropy(model.train()(x), torch.arange(6) % 4).backward()
        gradients.append({k: p.grad for k, p in model.named_parameters()})
    for key, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][key], atol=1e-5 + 1e-4 * gradient.abs().max()), key


def test_bodies_that_only_touch_zero_are_not_empty():
    model, x = classifier().eval(), torch.zeros(2, 3, 12, 5, 2)
    x[0, 1, 7, 3, 0], x[1, 2, 0, 0, 1] = 1e-30, -1.0
    bodies = model.bodies(x)
    index, empty = model.shared_bodies(bodies, 2)
    assert index.tolist() == [0, 1, 1, 3] and empty.tolist() == [False, True, True, False]


def test_skipping_empty_bodies_is_training_on_the_others():
    """Loss and gradients are those of a batch that never had empty or copied bodies; evaluation keeps them."""
    x = torch.randn(4, 3, 12, 5, 2, generator=torch.Generator().manual_seed(0))
    x[0, ..., 1], x[2, ..., 1] = 0, x[2, ..., 0]
    x[3] = 0
    bodies = x.permute(0, 4, 1, 2, 3).reshape(8, 3, 12, 5)[[0, 2, 3, 4], ..., None]
    results = []
    for inputs, skip in ((x, True), (bodies, False)):
        model = predictor(skip_empty_bodies=skip)
        torch.manual_seed(3)
        loss, pred, mask = model(inputs, 0.6, 1, 0.8)
        loss.backward()
        results.append((loss.detach(), pred.detach(), mask, *(p.grad for p in model.parameters())))
    assert results[0][1].shape[0] == 4
    for ours, others in zip(*results, strict=True):
        assert torch.allclose(ours, others, atol=1e-6)
    assert predictor(skip_empty_bodies=True).eval()(x)[1].shape[0] == 8
    assert predictor()(x)[1].shape[0] == 8


def test_a_batch_of_empty_bodies_has_a_finite_loss_and_gradients():
    model = predictor(skip_empty_bodies=True, norm_skes_loss=True)
    loss, pred, _ = model(torch.zeros(3, 3, 12, 5, 2))
    loss.backward()
    assert pred.shape[0] == 1 and loss.isfinite() and all(p.grad is not None for p in model.parameters())

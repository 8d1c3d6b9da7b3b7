"""The classifier against the published numbers, key lists and formulas."""

import json

import pytest
import torch
from torch import nn

from model.mamp import MAMP
from model.transformer import Transformer
from tests.model.helpers import classifier, sequences


@pytest.mark.parametrize("name", ["linprobe_tiny25", "linprobe_tiny20", "finetune_tiny25"])
def test_logits_are_the_published_ones(name, parity, part, assert_close):
    content = parity(f"classifier_{name}")
    model = Transformer(**content["config"])  # the published linear-probe weights are those without a norm in front
    model.load_state_dict(part(content, "state/"), strict=True)
    assert_close(model.eval()(content["x"]), content["logits_eval"])


@pytest.mark.parametrize(
    "name, build, count",
    [
        ("pretrain_8+3", lambda: MAMP(decoder_depth=3), 8_789_004),
        ("pretrain_8+5", lambda: MAMP(decoder_depth=5), 10_368_524),
        ("finetune_60", lambda: Transformer(num_classes=60, protocol="finetune"), 19_572_284),
        ("linprobe_60", lambda: Transformer(num_classes=60, protocol="linprobe"), 6_336_000 + 257 * 60),
    ],
)
def test_keys_shapes_and_parameters_at_paper_size(name, build, count, shared):
    published = json.loads(shared("parity/checkpoint_keys.json").read_text())[name]
    model = build()
    if name.startswith("linprobe"):
        model.head.add_norm()
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == published
    assert sum(p.numel() for p in model.parameters()) == count
    encoder = [p for k, p in model.named_parameters() if not k.startswith(("decoder_", "mask_token", "head."))]
    assert sum(p.numel() for p in encoder) == 6_336_000


@pytest.mark.parametrize("skip_empty_bodies", [False, True])
def test_patch_dropout(skip_empty_bodies):
    model, x = classifier(skip_empty_bodies=skip_empty_bodies), sequences()
    whole = model.train().forward_features(x)
    model.patch_drop_rate = 0.8
    features = model.forward_features(x)  # (N, M, T', V, D)
    tokens, features = model.embed(model.bodies(x)), features.flatten(0, 1).flatten(1, 2)
    seen = features.any(2)
    assert (seen.sum(1) == 3).all() and len(seen.unique(dim=0)) > 1  # a fifth of 15 tokens, drawn for each body
    for body in range(len(seen)):  # what is seen is encoded as if there was nothing else, and grows by 15 / 3
        alone = model.encode(tokens[body][seen[body]][None])[0]
        assert torch.allclose(features[body][seen[body]], 5 * alone, atol=1e-5)
    assert not torch.equal(model.forward_features(x).flatten(0, 1).flatten(1, 2), features)
    model.patch_drop_rate = 1e-18  # leaves nothing out, but takes the tokens in another order
    assert torch.allclose(model.forward_features(x), whole, atol=1e-5)
    model.patch_drop_rate = 0.8
    assert model.eval().forward_features(x).flatten(3).any(3).all()  # in eval mode and under a frozen encoder every token is used
    assert model.train().freeze_encoder().train().forward_features(x).flatten(3).any(3).all()


@pytest.mark.parametrize("readout", ["mean", "per_joint", "statistics"])
def test_linear_probe_reads_out_what_is_named(readout):
    model = classifier(protocol="linprobe", readout=readout)
    assert model.head.fc.weight.std().item() == pytest.approx(0.01, rel=0.2)
    model.head.add_norm()
    norm, linear = model.eval().head.fc
    norm.running_mean += torch.randn_like(norm.running_mean)
    norm.running_var *= 2
    x = sequences()
    features = model.forward_features(x)
    logits, inputs = model.logits_and_features(x)
    assert features.shape == (3, 2, 3, 5, 16) and torch.equal(logits, model(x)) and torch.equal(logits, linear(inputs))
    for n in range(3):
        per_joint = [sum(features[n, m, t, v] for m in range(2) for t in range(3)) / 6 for v in range(5)]
        pooled = sum(per_joint) / 5 if readout == "mean" else torch.cat(per_joint)
        if readout == "statistics":  # of each joint's 3 tokens, the mean of two bodies' deviations
            each = [[features[n, m, :, v].var(0, correction=0).sqrt() for m in range(2)] for v in range(5)]
            pooled = torch.cat([pooled, *(sum(bodies) / 2 for bodies in each)])
        assert torch.allclose(model.pooled(x)[n], pooled, atol=1e-5)
        expected = linear.weight @ ((pooled - norm.running_mean) / (norm.running_var + 1e-6).sqrt()) + linear.bias
        assert torch.allclose(logits[n], expected, atol=1e-5)


def test_a_frozen_encoder_stays_as_it_is():
    model = classifier(protocol="linprobe", drop_path_rate=0.5, drop_rate=0.5)
    model.head.add_norm()
    model.freeze_encoder().train()
    assert model.head.training and not any(m.training for k, m in model.named_modules() if k and not k.startswith("head"))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=1.0)
    nn.functional.cross_entropy(model(sequences(4)), torch.arange(4)).backward()
    assert {k for k, p in model.named_parameters() if p.grad is not None} == {"head.fc.1.weight", "head.fc.1.bias"}
    optimizer.step()
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(k.startswith("head.") for k in changed)
    assert not model.eval().head.training


@pytest.mark.parametrize("protocol", ["linprobe", "finetune"])
def test_order_of_bodies_and_samples_does_not_matter(protocol):
    model, x = classifier(protocol=protocol).eval(), sequences()
    assert torch.allclose(model(x), model(x.flip(-1)), atol=1e-5)
    assert torch.allclose(model(x).flip(0), model(x.flip(0)), atol=1e-5)


@pytest.mark.parametrize(
    "options, message", [({"protocol": "knn"}, "linprobe, finetune"), ({"readout": "max"}, "mean, per_joint, statistics")]
)
def test_unknown_choices(options, message):
    with pytest.raises(ValueError, match=message):
        classifier(**options)


def test_the_features_of_a_classifier_are_what_its_last_linear_map_gets():
    model, x = classifier(head_dim=6).eval(), sequences()
    logits, features = model.logits_and_features(x)
    assert features.shape == (3, 6) and torch.equal(logits, model(x)) and torch.equal(logits, model.head.fc2(features))

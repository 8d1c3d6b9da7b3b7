"""The classifier against the published numbers, key lists and formulas."""

import json

import pytest
import torch
from torch import nn

from model.mamp import MAMP
from model.transformer import Transformer

TINY = dict(dim_feat=16, depth=3, num_heads=2, mlp_ratio=2, num_frames=12, num_joints=5, num_classes=4)


def tiny(seed=0, **options):
    torch.manual_seed(seed)
    return Transformer(**TINY | options)


def sequences(n=4, seed=0):
    return torch.randn(n, 3, 12, 5, 2, generator=torch.Generator().manual_seed(seed))


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


def test_token_order_of_the_embedding():
    model, x = tiny(), sequences(1)
    before = model.embed(model.bodies(x))
    x[0, 1, 9, 3, 1] += 1  # frame 9 is in segment 2, joint 3, body 1
    changed = (model.embed(model.bodies(x)) != before).any(-1).nonzero().tolist()
    assert changed == [[1, 2 * 5 + 3]]


def test_embedding_is_linear_map_plus_positions():
    model, x = tiny(), sequences(1)
    tokens = model.embed(model.bodies(x))
    weight, bias = model.joints_embed.proj.weight, model.joints_embed.proj.bias
    for t in range(3):
        for v in range(5):
            patch = x[0, :, 4 * t : 4 * t + 4, v, 0]  # (C, l)
            expected = (weight[..., 0] * patch).sum((1, 2)) + bias + model.temp_embed[0, t, 0] + model.pos_embed[0, 0, v]
            assert torch.allclose(tokens[0, 5 * t + v], expected, atol=1e-5)


def test_blocks_are_prenorm_with_erf_gelu():
    model = tiny(depth=1).eval()
    block, x = model.blocks[0], torch.randn(2, 7, 16)
    q, k, v = block.attn.qkv(block.norm1(x)).reshape(2, 7, 3, 2, 8).permute(2, 0, 3, 1, 4)
    attention = (q @ k.transpose(-1, -2) * 8**-0.5).softmax(-1) @ v
    y = x + block.attn.proj(attention.transpose(1, 2).reshape(2, 7, 16))
    hidden = block.mlp.fc1(block.norm2(y))
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    assert torch.allclose(block(x), y + block.mlp.fc2(gelu), atol=1e-5)
    assert model.norm.eps == block.norm1.eps == block.norm2.eps == 1e-5


def test_attention_scale_can_be_set():
    x = sequences()
    default, same, other = (tiny(qk_scale=scale).eval()(x) for scale in (None, 8**-0.5, 1.0))
    assert torch.allclose(default, same, atol=1e-6) and not torch.allclose(default, other, atol=1e-4)


def test_stochastic_depth_grows_linearly():
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in tiny(drop_path_rate=0.3).blocks]
    assert rates == pytest.approx([0, 0.15, 0.3])


@pytest.mark.parametrize("readout", ["mean", "per_joint"])
def test_linear_probe_reads_out_the_named_average(readout):
    model = tiny(protocol="linprobe", readout=readout)
    model.head.add_norm()
    model.eval()
    norm, linear = model.head.fc
    norm.running_mean += torch.randn_like(norm.running_mean)
    norm.running_var *= 2
    x = sequences()
    features = model.forward_features(x)
    assert features.shape == (4, 2, 3, 5, 16)
    for n in range(4):
        per_joint = [sum(features[n, m, t, v] for m in range(2) for t in range(3)) / 6 for v in range(5)]
        pooled = sum(per_joint) / 5 if readout == "mean" else torch.cat(per_joint)
        expected = linear.weight @ ((pooled - norm.running_mean) / (norm.running_var + 1e-6).sqrt()) + linear.bias
        assert torch.allclose(model(x)[n], expected, atol=1e-5)


def test_linear_probe_starts_small_and_without_affine():
    model = tiny(protocol="linprobe", dim_feat=256, num_classes=60)
    assert model.head.fc.weight.std().item() == pytest.approx(0.01, rel=0.03)
    model.head.add_norm()
    assert not model.head.fc[0].affine and model.head.fc[0].eps == 1e-6


def test_finetune_head_by_hand():
    model = tiny(head_dim=6).eval()
    model.head.bn.running_mean += 0.1
    x = sequences()
    features = model.forward_features(x)
    for n in range(4):
        flat = torch.stack([torch.cat([features[n, m, :, v].mean(0) for v in range(5)]) for m in range(2)]).mean(0)
        hidden = model.head.fc1.weight @ flat + model.head.fc1.bias
        hidden = (hidden - 0.1) / (1 + 1e-5) ** 0.5
        expected = model.head.fc2.weight @ hidden.clamp(min=0) + model.head.fc2.bias
        assert torch.allclose(model(x)[n], expected, atol=1e-5)
    assert model.head.dropout.p == 0.3


def test_a_frozen_encoder_stays_as_it_is():
    model = tiny(protocol="linprobe", drop_path_rate=0.5, drop_rate=0.5)
    model.head.add_norm()
    model.freeze_encoder().train()
    assert model.head.training and not any(m.training for k, m in model.named_modules() if k and not k.startswith("head"))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=1.0)
    nn.functional.cross_entropy(model(sequences()), torch.arange(4)).backward()
    assert {k for k, p in model.named_parameters() if p.grad is not None} == {"head.fc.1.weight", "head.fc.1.bias"}
    optimizer.step()
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(k.startswith("head.") for k in changed)
    assert not model.eval().head.training


@pytest.mark.parametrize("protocol", ["linprobe", "finetune"])
def test_order_of_bodies_and_samples_does_not_matter(protocol):
    model, x = tiny(protocol=protocol).eval(), sequences()
    assert torch.allclose(model(x), model(x.flip(-1)), atol=1e-5)
    assert torch.allclose(model(x).flip(0), model(x.flip(0)), atol=1e-5)


@pytest.mark.parametrize(
    "options, message", [({"protocol": "knn"}, "linprobe, finetune"), ({"readout": "max"}, "mean, per_joint")]
)
def test_unknown_choices(options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)

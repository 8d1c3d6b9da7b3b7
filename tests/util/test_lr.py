"""Learning rates, parameter groups and whole optimizer steps against the published numbers."""

import argparse

import pytest
import torch

from model.mamp import MAMP
from model.transformer import Transformer
from util.lr_decay import param_groups_lrd, param_groups_wd
from util.lr_sched import adjust_learning_rate


def optimizer_of(**group):
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], **group}], lr=0.0)


@pytest.mark.parametrize(
    "name, schedule",
    [
        ("pre", dict(lr=1e-3, min_lr=5e-4, warmup_epochs=20, epochs=400)),
        ("ft", dict(lr=3e-4, min_lr=1e-5, warmup_epochs=5, epochs=100)),
    ],
)
def test_schedules_are_the_published_ones(name, schedule, parity):
    content, optimizer = parity("schedules"), optimizer_of()
    for epoch, lr in zip(content[f"{name}_epoch"].tolist(), content[f"{name}_lr"].tolist(), strict=True):
        assert adjust_learning_rate(optimizer, epoch, argparse.Namespace(**schedule)) == pytest.approx(lr, rel=1e-9, abs=1e-15)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(lr, rel=1e-9, abs=1e-15)


def test_layer_scale_multiplies_the_rate():
    optimizer = optimizer_of(lr_scale=0.25)
    args = argparse.Namespace(lr=1.0, min_lr=0.0, warmup_epochs=2, epochs=4)
    assert [adjust_learning_rate(optimizer, e, args) for e in (0, 1, 2, 3, 4)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    adjust_learning_rate(optimizer, 3, args)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.125)


def test_layer_decay_is_the_published_one(parity):
    content = parity("schedules")
    model = Transformer(**content["layer_decay_config"])
    groups = param_groups_lrd(model, weight_decay=0.05, layer_decay=0.8)
    ours = {name: (g["lr_scale"], g["weight_decay"]) for g in groups for name in g["names"]}
    published = content["layer_decay"]
    assert ours.keys() == published.keys() == dict(model.named_parameters()).keys()
    for name, (scale, decay) in published.items():
        assert ours[name] == (pytest.approx(scale), decay), name
    for group in groups:
        assert all(model.get_parameter(n) is p for n, p in zip(group["names"], group["params"], strict=True))


def test_named_parameters_can_be_spared_from_decay_and_frozen_ones_are_left_out():
    model = Transformer(dim_feat=8, depth=1, num_heads=1, num_frames=4, num_joints=3, num_classes=2)
    model.norm.weight.requires_grad = False
    groups = param_groups_lrd(model, 0.05, ("pos_embed",), 0.5)
    decay = {name: g["weight_decay"] for g in groups for name in g["names"]}
    assert decay["pos_embed"] == 0 and decay["temp_embed"] == 0.05 and "norm.weight" not in decay


def test_pretraining_decays_everything_but_vectors():
    model = MAMP(dim_feat=8, decoder_dim_feat=8, depth=1, decoder_depth=1, num_heads=1, num_frames=4, num_joints=3)
    decayed, spared = param_groups_wd(model, 0.05)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0)
    names = {id(p): n for n, p in model.named_parameters()}
    spared_names = {names[id(p)] for p in spared["params"]}
    assert spared_names == {n for n in names.values() if n.endswith("bias") or "norm" in n}
    assert {"pos_embed", "mask_token"} <= {names[id(p)] for p in decayed["params"]}
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


def test_eight_training_steps_are_the_published_ones(parity, part, assert_close):
    content = parity("train_steps_tiny25")
    model = MAMP(**parity("pretrain_tiny25")["config"])
    model.load_state_dict(part(content, "state/"))
    groups = param_groups_wd(model, float(content["weight_decay"]))
    args = argparse.Namespace(**content["schedule"])
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=tuple(content["betas"].tolist()), fused=True)
    losses, lrs = [], []
    torch.manual_seed(int(content["seed"]))
    for step in range(8):
        lrs.append(adjust_learning_rate(optimizer, step / int(content["steps_per_epoch"]), args))
        loss = model(content["x"], 0.9, 1, 0.8)[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert lrs == pytest.approx(content["lrs"].tolist())
    assert_close(losses, content["losses"])
    final = part(content, "final/")
    assert final.keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert not value.is_floating_point() or torch.any(value != content[f"state/{key}"]), f"{key} never moved"
        parts = zip(value.chunk(3), final[key].chunk(3), strict=True) if key.endswith("qkv.bias") else [(value, final[key])]
        for i, (ours, published) in enumerate(parts):  # the keys' bias has no gradient but rounding, which Adam blows up
            assert_close(ours, published, tolerance=1e-3 if i == 1 else 1e-6)


def test_steps():
    """UmURL: a tenth from epoch 351 on, counted from 0, not before; without steps the cosine."""
    args = argparse.Namespace(lr=5e-4, min_lr=0, warmup_epochs=0, epochs=451, lr_steps=[351, 400])
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rates = [adjust_learning_rate(optimizer, epoch, args) for epoch in (0, 350.99, 351, 399.9, 400, 450)]
    assert rates == pytest.approx([5e-4, 5e-4, 5e-5, 5e-5, 5e-6, 5e-6]) and optimizer.param_groups[0]["lr"] == rates[-1]
    args.lr_steps = []
    assert adjust_learning_rate(optimizer, 225.5, args) == pytest.approx(2.5e-4)

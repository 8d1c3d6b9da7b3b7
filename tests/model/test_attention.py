"""Attention of the CPU in 16 bits against the formula in float64, with gradients."""

import pytest
import torch

from model import attention
from model.mamp import MAMP


def formula(q, k, v):
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v


@pytest.mark.parametrize("at_once", [1, 500, 10**7])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_output_and_gradients(monkeypatch, dtype, tolerance, at_once):
    monkeypatch.setattr(attention, "SCORES_PER_CORE", at_once)  # one head at a time, two, all
    generator = torch.Generator().manual_seed(0)
    packed = torch.randn(3, 15, 3, 4, 8, generator=generator, dtype=torch.float64).to(dtype)
    weight = torch.randn(3, 4, 15, 8, generator=generator, dtype=torch.float64)
    results = []
    for function, kind in ((attention.attention, dtype), (formula, torch.float64)):
        leaf = packed.detach().to(kind).clone().requires_grad_()
        out = function(*leaf.permute(2, 0, 3, 1, 4))
        (out * weight.to(kind)).sum().backward()
        results.append((out.detach().double(), leaf.grad.double()))
    for ours, exact in zip(*results, strict=True):
        assert (ours - exact).abs().max() < tolerance * exact.abs().max()


def test_gradients_numerically():
    q, k, v = (torch.randn(1, 2, 5, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    assert torch.autograd.gradcheck(attention.attention, (q, k, v))


def test_model_in_bfloat16_is_near_the_one_in_float32(monkeypatch):
    torch.manual_seed(0)
    model = MAMP(dim_feat=32, decoder_dim_feat=32, depth=2, decoder_depth=2, num_heads=4, num_frames=16, num_joints=5)
    x, calls = torch.randn(4, 3, 16, 5, 2), []
    own = attention.attention
    monkeypatch.setattr("model.transformer.attention", lambda *qkv: calls.append(1) or own(*qkv))
    results = []
    for amp in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            loss, pred, _ = model(x)
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
        model.zero_grad()
        results.append((pred.detach().float(), gradient))
    assert len(calls) == 4, "float32 keeps torch's attention"
    for exact, half in zip(*results, strict=True):
        assert 0 < (exact - half).norm() < 0.03 * exact.norm()

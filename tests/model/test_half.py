"""The model in 16 bits beside the one in float32, with gradients."""

import torch

from model.mamp import MAMP


def test_model_in_bfloat16_is_near_the_one_in_float32():
    torch.manual_seed(0)
    model = MAMP(dim_feat=32, decoder_dim_feat=32, depth=2, decoder_depth=2, num_heads=4, num_frames=16, num_joints=5)
    x, results = torch.randn(4, 3, 16, 5, 2), []
    for amp in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            loss, pred, _ = model(x)
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
        model.zero_grad()
        results.append((pred.detach().float(), gradient))
    for exact, half in zip(*results, strict=True):
        assert 0 < (exact - half).norm() < 0.03 * exact.norm()

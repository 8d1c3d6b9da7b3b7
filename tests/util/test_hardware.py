"""Operations of the method against the published costs and against torch's own count."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.mamp import MAMP
from model.transformer import Transformer
from util.hardware import PEAKS, flops, hardware, peak_tflops

PAPER = dict(dim_feat=256, depth=8, decoder_depth=5, num_frames=120, num_joints=25, classes=60)
SMALL = dict(dim_feat=32, depth=2, decoder_depth=3, num_frames=16, num_joints=5, classes=7)


@pytest.mark.parametrize("decoder, own, gflop", [
    ("self", {}, 58.6), ("query", {}, 11.75), ("query", {"query_frames": 4}, 37.7), ("cross", {}, 13.6),
    ("cross", {"predict_ratio": 1.0}, 34.6),
])
def test_forward_operations_of_the_decoders(decoder, own, gflop):
    model, x = MAMP(**{k: v for k, v in PAPER.items() if k != "classes"}, decoder=decoder, **own), torch.randn(1, 3, 120, 25, 2)
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(x)
    found = flops("pretrain", **PAPER, decoder=decoder, **own)
    assert 3 * counter.get_total_flops() == pytest.approx(found, rel=1e-3)
    assert found / 1e9 == pytest.approx(gflop, rel=0.01)


def test_cost_at_paper_size():
    assert flops("pretrain", **PAPER) / 1e9 == pytest.approx(58.6, abs=0.1)
    assert flops("finetune", **PAPER) / 1e9 == pytest.approx(84.4, abs=0.1)


@pytest.mark.parametrize("part", ["pretrain", "finetune", "inference"])
def test_forward_operations_are_those_torch_counts(part):
    size = {k: v for k, v in SMALL.items() if k not in ("decoder_depth", "classes")}
    if part == "pretrain":
        model = MAMP(**size, decoder_dim_feat=32, decoder_depth=3)
    else:
        model = Transformer(**size, num_classes=7)
    x = torch.randn(4, 3, 16, 5, 2)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # its products are counted by every torch
        model.forward_features(x) if part == "inference" else model(x)
    whole = flops(part, **SMALL) / (1 if part == "inference" else 3)
    assert counter.get_total_flops() / 4 == pytest.approx(whole, rel=0.01)


def test_peaks(monkeypatch):
    cpu = torch.device("cpu")
    assert hardware(cpu) and 0.0001 < peak_tflops(cpu, amp=False) < 100
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert [peak_tflops(torch.device("cuda"), amp) for amp in (True, False)] == [989, 67]
    assert all(half > full for half, full in PEAKS.values())

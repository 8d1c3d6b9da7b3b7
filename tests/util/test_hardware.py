"""Operations of the method against the published costs and against torch's own count."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.mamp import MAMP
from model.transformer import Transformer
from util import config, run
from util.hardware import flops, hardware, lacks_bfloat16, peak_tflops
from util.memory import keep_freed

PAPER = dict(dim_feat=256, depth=8, decoder_depth=5, num_frames=120, num_joints=25, classes=60)
SMALL = dict(dim_feat=32, depth=2, decoder_depth=3, num_frames=16, num_joints=5, classes=7)


@pytest.mark.parametrize(
    "decoder, own, gflop",
    [
        ("self", {}, 58.6),
        ("query", {}, 11.6),
        ("query", {"query_frames": 4}, 37.1),
        ("cross", {}, 13.5),
        ("cross", {"predict_ratio": 1.0}, 34.6),
    ],
)
def test_forward_operations_of_the_decoders(decoder, own, gflop):
    """Of 64 samples, so that what a batch does once does not count; tensors hold nothing."""
    model = MAMP(**{k: v for k, v in PAPER.items() if k != "classes"}, decoder=decoder, **own).requires_grad_(False)
    empty = FakeTensorMode(allow_non_fake_inputs=True)
    with empty, FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(torch.randn(64, 3, 120, 25, 2))
    found = flops("pretrain", **PAPER, decoder=decoder, **own)
    assert 3 * counter.get_total_flops() / 64 == pytest.approx(found, rel=1e-3)
    assert found / 1e9 == pytest.approx(gflop, rel=0.005)


@pytest.mark.parametrize("part", ["finetune", "inference"])
def test_forward_operations_are_those_torch_counts(part):
    model = Transformer(**{k: v for k, v in SMALL.items() if k not in ("decoder_depth", "classes")}, num_classes=7)
    x = torch.randn(4, 3, 16, 5, 2)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # its products are counted by every torch
        model.forward_features(x) if part == "inference" else model(x)
    whole = flops(part, **SMALL) / (1 if part == "inference" else 3)
    assert counter.get_total_flops() / 4 == pytest.approx(whole, rel=0.01)
    assert flops("finetune", **PAPER) / 1e9 == pytest.approx(84.4, abs=0.1)  # as published


def test_peaks(monkeypatch):
    cpu = torch.device("cpu")
    assert hardware(cpu) and 0.0001 < peak_tflops(cpu, amp=False) < 100
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert [peak_tflops(torch.device("cuda"), amp) for amp in (True, False)] == [989, 67]
    assert peak_tflops(torch.device("cuda"), amp=False, tf32=True) == 495


WITHOUT, WITH = "flags\t\t: fpu avx2 fma\n", "flags\t\t: fpu avx512f avx512_bf16\n"


@pytest.mark.parametrize(
    "text, lacks",
    [
        (WITHOUT, True),
        ("flags\t\t: fpu avx512f amx_bf16 amx_tile\n", False),
        ("model name\t: Xeon, bf16\nflags\t\t: fpu avx512f\n", True),
        ("Features\t: fp asimd svebf16 bf16\n", False),
        ("Features\t: fp asimd\n", True),
        ("", False),
    ],
)
def test_processors_that_lack_bfloat16(monkeypatch, text, lacks):
    monkeypatch.setattr("util.hardware.cpuinfo", lambda: f"processor\t: 0\n{text}")
    assert lacks_bfloat16() == lacks


@pytest.mark.parametrize("text", [WITHOUT, WITH])
@pytest.mark.parametrize("words", ["mamp", "mamp --enable_amp", "umurl", "umurl --no-enable_amp"])
def test_16_bits_that_cost_time_are_warned_of(monkeypatch, tmp_path, capsys, text, words):
    """UmURL's configuration asks for 16 bits; they are warned of, and left as they are."""
    monkeypatch.setattr("util.hardware.cpuinfo", lambda: text)
    line = ["--data_path", "x.npz", "--output_dir", str(tmp_path), "--device", "cpu", "--method", *words.split()]
    args = config.parse("pretrain", line)
    run.start(args)
    keep_freed(False)
    asked = words in ("mamp --enable_amp", "umurl")
    assert args.enable_amp == asked
    warned = "warning: enable_amp: this processor has no bfloat16 products" in capsys.readouterr().out
    assert warned == (asked and text == WITHOUT)


@pytest.mark.parametrize("driver", [True, False])
@pytest.mark.parametrize(
    "device, cuda, reason",
    [
        ("auto", "13.0", "is built for CUDA 13.0; is the driver too old?"),
        ("auto", None, "is built without CUDA"),
        ("cpu", None, None),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_named(monkeypatch, tmp_path, capsys, driver, device, cuda, reason):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(run, "NVIDIA_DRIVER", tmp_path / "driver")
    if driver:
        (tmp_path / "driver").touch()
    run.start(config.parse("pretrain", ["--data_path", "x.npz", "--output_dir", str(tmp_path / "run"), "--device", device]))
    keep_freed(False)
    warned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: device")]
    assert len(warned) == (driver and device == "auto") and all(line.endswith(f" {reason}") for line in warned)

"""Names and peak speeds of devices, and the floating-point operations of the models."""

import time
from pathlib import Path

import torch

# dense peaks in TFLOP/s from the makers' data sheets: bfloat16 with float32 sums, TF32, and float32
PEAKS = {
    "NVIDIA H200": (989, 495, 67),
    "NVIDIA H100 80GB HBM3": (989, 495, 67),
    "NVIDIA A100-SXM4-80GB": (312, 156, 19.5),
    "NVIDIA A100-SXM4-40GB": (312, 156, 19.5),
    "NVIDIA GeForce RTX 4090": (165, 82.6, 82.6),
    "NVIDIA GeForce RTX 3090": (71, 35.6, 35.6),
}


def hardware(device):
    """Name of the GPU, or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = cpuinfo().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")


def lacks_bfloat16():
    """Whether the processor (x86, ARM) has no bfloat16 products by its flags; False where these cannot be read."""
    flags = [line.partition(":")[2].split() for line in cpuinfo().splitlines() if line.startswith(("flags", "Features"))]
    return bool(flags) and not {"avx512_bf16", "amx_bf16", "bf16"} & set(flags[0])


def cpuinfo():
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def peak_tflops(device, amp, tf32=False):
    """Peak TFLOP/s of a device: from PEAKS, else the measured speed of a large matrix product."""
    if hardware(device) in PEAKS:
        return PEAKS[hardware(device)][0 if amp else 1 if tf32 else 2]
    size = 8192 if device.type == "cuda" else 2048  # so large that starting it takes no time
    size = 512 if amp and device.type == "cpu" and lacks_bfloat16() else size  # a hundred times slower there
    a, times = torch.randn(size, size, device=device, dtype=torch.bfloat16 if amp else torch.float32), []
    for _ in range(10):
        begin = time.perf_counter()
        (a @ a)[0, 0].item()
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / min(times) / 1e12


def flops(
    part, dim_feat, depth, decoder_depth, num_frames, num_joints, classes, decoder="self", query_frames=24, predict_ratio=0.25
):
    """Operations of one sample with two bodies in 'pretrain' (90 % masked), 'finetune' (two-layer head) or 'inference'
    (features).

    Only matrix products are counted, for 4 frames per token and a decoder as wide as the encoder; backward is twice forward. Not
    counted: recomputation, savings by skip_empty_bodies, and the first projection of the queries, which is done once per batch.
    decoder, query_frames and predict_ratio are MAMP's.
    """
    d, tokens = dim_feat, num_frames // 4 * num_joints

    def blocks(depth, n):
        return depth * (24 * n * d**2 + 4 * n**2 * d)

    if part == "pretrain":
        seen = int(tokens * (1 - 0.9))
        encoder = 2 * seen * 12 * d + blocks(depth, seen) + 2 * seen * d**2
        if decoder == "self":
            return 6 * (encoder + blocks(decoder_depth, tokens) + 2 * tokens * d * 12)
        frames = query_frames if decoder == "query" else 4
        queries = num_frames // frames * num_joints if decoder == "query" else max(1, int(predict_ratio * (tokens - seen)))
        cross = decoder_depth * (20 * queries * d**2 + 4 * seen * d**2 + 4 * queries * seen * d)
        cross -= 2 * queries * d**2 if decoder == "query" else 0
        return 6 * (encoder + cross + 2 * queries * d * frames * 3)
    features = 2 * (2 * tokens * 12 * d + blocks(depth, tokens))
    return features if part == "inference" else 3 * (features + 2 * 2048 * (num_joints * d + classes))

"""What compare.py says a method costs: operations and parameters, against formulas and published numbers."""

import numpy as np
import pytest

from scripts import compare
from util import config
from util.hardware import flops


def resolved(data, **options):
    words = [str(word) for key, value in options.items() for word in (f"--{key}", value)]
    return vars(config.set_batches(config.parse("pretrain", ["--data_path", str(data), *words])))


def test_mamps_operations_by_formula(data):
    """Those of one body, without the gradient of the input; whatever the batch, and whether empty bodies are skipped."""
    sizes = dict(num_frames=24, dim_feat=16, depth=3, decoder_depth=2)
    options = resolved(data, **sizes, num_heads=2, decoder_dim_feat=16, effective_batch_size=6)
    expected = flops("pretrain", **sizes, num_joints=5, classes=0) / 2 - 2 * int(30 * (1 - 0.9)) * 12 * 16
    for more in ({}, {"effective_batch_size": 2, "skip_empty_bodies": True}):
        assert compare.pretraining_cost(options | more)[1] == expected


def test_umurls_operations_by_formula(npz):
    """Four views: six embeddings (three alone, three together), four encodings, six projections, every pair in the loss."""
    x, y, bodies = np.ones((4, 20, 30), np.float32), np.eye(4), 2
    described = {"num_joints": 5, "num_bodies": bodies, "parents": np.array([0, 0, 1, 1, 3])}
    data = npz({"x_train": x, "y_train": y, "x_test": x, "y_test": y} | described)
    frames, h, depth, z, n, joints = 16, 8, 2, 32, 6, 5
    sizes = dict(method="umurl", num_frames=frames, dim_feat=h, depth=depth, num_heads=2, projector_dim=z)
    counts = {frames: bodies * joints * 3, bodies * joints: frames * 3}  # tokens: values of each
    first = sum(6 * 2 * tokens * values * h for tokens, values in counts.items())  # made twice, see model/layers.py
    rest = 6 * 2 * (2 * h * 2 * h * 2 + 2 * h * z) + 6 * 2 * n * z
    for tokens in counts:
        rest += 6 * 2 * tokens * h * h + 2 * tokens * h * h
        rest += 4 * depth * (2 * tokens * h * (3 + 1 + 1 + 1) * h + 4 * tokens * tokens * h)
    assert compare.pretraining_cost(resolved(data, **sizes, effective_batch_size=n))[1] == 4 * first + 3 * rest


@pytest.mark.parametrize("method, parameters", [("mamp", 6_336_000), ("umurl", 22_067_200)])
def test_published_numbers_of_parameters(method, parameters, npz):
    """Of the encoder at paper size, whatever its head: NTU's skeleton and two bodies."""
    x, y = np.ones((4, 70, 150), np.float32), np.eye(4)
    data = npz({"x_train": x, "y_train": y, "x_test": x, "y_test": y})
    for stage in ("linprobe", "finetune"):
        args = config.parse(stage, ["--data_path", str(data), "--method", method])
        assert compare.encoder_parameters(vars(args)) == parameters

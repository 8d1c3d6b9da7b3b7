import warnings

import numpy as np
import pytest
import torch

from tests.gpu.rehearsal import Rehearsal
from util import config

NOT_UMURLS = ["decoder_dim_feat", "decoder_depth", "mask_ratio"]


@pytest.fixture
def rehearsal(monkeypatch):
    """A pretended GPU, see tests/gpu/rehearsal.py."""
    if not hasattr(torch._C, "_ensureCUDADeviceGuardSet"):
        pytest.skip("this torch cannot pretend a GPU without one")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'pin_memory' argument is set as true but no accelerator", UserWarning)
        yield Rehearsal(monkeypatch)


@pytest.fixture(scope="session")
def arguments(hostile, tmp_path_factory, options):
    """arguments(stage, ...) -> the options of a tiny run, 3 steps of 8 samples an epoch, of two bodies, half of them empty."""
    path = tmp_path_factory.mktemp("gpu") / "two.npz"
    with np.load(hostile) as file:
        arrays = dict(file)
    for split in ("train", "test"):
        x = arrays[f"x_{split}"]
        second = x * (np.arange(len(x)) % 2)[:, None, None]
        arrays[f"x_{split}"] = np.concatenate([x, second.astype(x.dtype)], -1)
    np.savez(path, **arrays | {"num_bodies": 2})

    def parse(stage, *words):
        named = {"batch_size": 8, "depth": 1, "print_freq": 2}
        if stage == "retrieval":
            del named["print_freq"]
        else:
            named["effective_batch_size"] = 8
        if "umurl" in words:
            foreign = ["mlp_ratio", *{"pretrain": NOT_UMURLS, "finetune": ["head_dim", "drop_path_rate"]}.get(stage, [])]
            named |= dict.fromkeys(foreign) | {"num_heads": 1}
        named |= {"query_frames": 4} if "query" in words else {}
        named |= {"loss_weight_windows": 4} if "--loss_weight" in words else {}
        args = config.parse(stage, options(stage, path, path.parent / "out", *words, **named))
        if stage != "retrieval":
            config.set_batches(args)
        return args

    return parse

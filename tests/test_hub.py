"""hubconf.py by torch.hub, as somebody elsewhere would use it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from feeder.skeleton import parents
from model.transformer import Transformer
from model.umurl import UmURLClassifier
from util import checkpoint

ROOT = Path(__file__).resolve().parents[1]


def hub(name, **arguments):
    before = list(sys.path)
    try:
        return torch.hub.load(str(ROOT), name, source="local", **arguments)
    finally:
        sys.path[:] = before


def close(ours, theirs):
    np.testing.assert_allclose(ours.detach(), theirs.detach(), atol=1e-6 * theirs.abs().max().item())


@pytest.mark.parametrize("stage", ["pretrain", "linprobe", "finetune"])
def test_mamp_with_the_weights_of_any_stage(stage, shared):
    path = shared(f"parity/released_{stage}_tiny25.pth")
    x = torch.randn(3, 3, 24, 25, 2, generator=torch.Generator().manual_seed(0))
    reference = Transformer(protocol="linprobe", dim_feat=32, depth=3, num_heads=4, num_frames=24)
    checkpoint.load_encoder(reference, path)
    features = reference.eval().forward_features(x)
    encoder = hub("mamp", checkpoint=path)
    assert not encoder.training
    close(encoder(x), features.mean((1, 2, 3)))
    close(hub("mamp", checkpoint=str(path), readout="per_joint")(x), features.mean((1, 2)).flatten(1))


def test_mamp_without_weights_has_the_sizes_asked_for_and_can_be_trained():
    encoder = hub("mamp", dim_feat=16, depth=2, num_heads=2, num_frames=8, num_joints=17)
    features = encoder.train()(torch.randn(2, 3, 8, 17, 1))
    assert features.shape == (2, 16) and len(encoder.blocks) == 2
    features.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_umurl_with_and_without_weights(shared):
    path = shared("parity/released_umurl_small.pth.tar")
    x = torch.randn(2, 3, 64, 25, 2, generator=torch.Generator().manual_seed(0))
    reference = UmURLClassifier(parents("kinect_v2"), hidden_size=64)
    checkpoint.load_encoder(reference, path)
    for features in ("multi", "bone"):
        close(hub("umurl", checkpoint=path, features=features)(x), reference.backbone(x, features))
    encoder = hub("umurl", hidden_size=8, num_frames=16, num_bodies=1, layout="kinect_v1")
    assert encoder(torch.randn(3, 3, 16, 20, 1)).shape == (3, 16)


def test_mistakes_are_one_line(shared, tmp_path):
    mamp, umurl = shared("parity/released_linprobe_tiny25.pth"), shared("parity/released_umurl_small.pth.tar")
    for arguments, message in (
        ({"name": "mamp", "pretrained": True}, "no weights are hosted"),
        ({"name": "umurl", "pretrained": True, "checkpoint": umurl}, "no weights are hosted"),
        ({"name": "mamp", "checkpoint": mamp, "depth": 4}, "depth: the sizes are those of"),
        ({"name": "mamp", "checkpoint": umurl}, "holds weights of umurl, not of mamp"),
        ({"name": "umurl", "checkpoint": mamp}, "holds weights of mamp, not of umurl"),
        ({"name": "mamp", "checkpoint": mamp, "readout": "max"}, "readout 'max'"),
        ({"name": "mamp", "checkpoint": tmp_path / "none.pth"}, "none.pth: no such checkpoint"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            hub(**arguments)

"""hubconf.py by torch.hub, as somebody elsewhere would use it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from feeder.feeder_ntu import Feeder
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


@pytest.mark.parametrize("name, file", [("mamp", "released_pretrain_tiny25.pth"), ("umurl", "released_umurl_small.pth.tar")])
def test_one_recording_is_made_into_what_the_feeder_gives(name, file, shared, tmp_path):
    encoder = hub(name, checkpoint=shared(f"parity/{file}"))
    frames, share = {"mamp": (24, 0.95), "umurl": (64, 1.0)}[name]
    one, two = np.random.default_rng(0).normal(size=(2, 50, 25, 3)).astype(np.float32)
    x = np.zeros((2, 50, 2, 25, 3), np.float32)
    x[0, :, 0], x[1, :, 0], x[1, :, 1] = one, one, two
    rows = {"x_test": x.reshape(2, 50, 150), "y_test": np.array([0, 1])}
    np.savez(tmp_path / "a.npz", **rows)
    data = Feeder(tmp_path / "a.npz", "test", [share], window_size=frames)
    expected = encoder(torch.stack([data[0][0], data[1][0]]))
    both = np.stack([one, two])
    close(encoder(torch.from_numpy(one)), expected[:1])
    close(encoder(both), expected[1:])
    close(encoder(both.transpose(3, 1, 2, 0)), expected[1:])


def test_without_weights_one_recording_is_taken_too():
    assert hub("mamp", dim_feat=16, depth=2, num_heads=2, num_frames=8, num_joints=17)(torch.randn(30, 17, 3)).shape == (1, 16)
    encoder = hub("umurl", hidden_size=8, num_frames=16, num_bodies=1, layout="kinect_v1")
    assert encoder(torch.randn(30, 20, 3)).shape == (1, 16)


@pytest.mark.parametrize(
    "shape", [(2, 3, 23, 25, 2), (2, 2, 24, 25, 3), (40, 20, 3), (40, 75), (3, 40, 25, 3, 1), (3, 40, 25, 3)]
)
def test_other_shapes_are_told_what_is_wanted(shared, shape):
    encoder = hub("mamp", checkpoint=shared("parity/released_pretrain_tiny25.pth"))
    with pytest.raises(ValueError, match=r"x has shape .* \(N, 3, 24, 25, 2\), .* or one recording \(T, 25, 3\)"):
        encoder(torch.ones(shape))

"""hubconf.py by torch.hub, as somebody elsewhere would use it, and mamp.py in another project with modules of the same names."""

import shutil
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pytest
import torch

from feeder import tools
from feeder.feeder_ntu import Feeder
from feeder.skeleton import parents
from model.transformer import Transformer
from model.umurl import UmURLClassifier
from predict.load_model import TrainingData
from predict.recordings import ToBatch
from tests.processes import ROOT
from util import checkpoint


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
    path, x = shared(f"parity/released_{stage}_tiny25.pth"), torch.randn(3, 3, 24, 25, 2)
    reference = Transformer(protocol="linprobe", dim_feat=32, depth=3, num_heads=4, num_frames=24)
    checkpoint.load_encoder(reference, path)
    features = reference.eval().forward_features(x)
    encoder = hub("mamp", checkpoint=path)
    assert not encoder.training
    close(encoder(x), features.mean((1, 2, 3)))
    per_joint = features.mean((1, 2)).flatten(1)
    close(hub("mamp", checkpoint=str(path), readout="per_joint")(x), per_joint)
    statistics = hub("mamp", checkpoint=str(path), readout="statistics")(x)
    close(statistics, torch.cat([per_joint, features.std(2, unbiased=False).mean(1).flatten(1)], 1))


@pytest.mark.parametrize("method", ["mamp", "umurl"])
def test_an_encoder_can_be_saved_whole(method, tmp_path):
    sizes = {"dim_feat": 32, "depth": 1, "num_heads": 4, "num_frames": 24} if method == "mamp" else {"hidden_size": 64}
    encoder, recording = hub(method, **sizes), torch.randn(30, 25, 3)
    torch.save(encoder, tmp_path / "encoder.pt")
    close(torch.load(tmp_path / "encoder.pt", weights_only=False)(recording), encoder(recording))


def test_weights_alone_with_the_number_of_heads(shared, tmp_path):
    path, x = shared("parity/released_pretrain_tiny25.pth"), torch.randn(2, 3, 24, 25, 2)
    torch.save(checkpoint.load(path)["model"], tmp_path / "weights.pth")
    wanted = hub("mamp", checkpoint=path)(x)  # 4 heads
    close(hub("mamp", checkpoint=tmp_path / "weights.pth", num_heads=4)(x), wanted)
    assert not torch.allclose(hub("mamp", checkpoint=tmp_path / "weights.pth", num_heads=2)(x), wanted, atol=1e-4)


def test_umurl_with_the_weights_of_a_release(shared):
    path, x = shared("parity/released_umurl_small.pth.tar"), torch.randn(2, 3, 64, 25, 2)
    reference = UmURLClassifier(parents("kinect_v2"), hidden_size=64)
    checkpoint.load_encoder(reference, path)
    for features in ("multi", "bone"):
        close(hub("umurl", checkpoint=path, features=features)(x), reference.backbone(x, features))


def test_without_weights_the_sizes_are_those_asked_for_and_can_be_trained():
    encoder = hub("mamp", dim_feat=16, depth=2, num_heads=2, num_frames=8, num_joints=17)
    features = encoder.train()(torch.randn(2, 3, 8, 17, 1))
    assert features.shape == (2, 16) and len(encoder.blocks) == 2 and encoder(torch.randn(30, 17, 3)).shape == (1, 16)
    features.sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    encoder = hub("umurl", hidden_size=8, num_frames=16, num_bodies=1, layout="kinect_v1")
    assert encoder(torch.randn(3, 3, 16, 20, 1)).shape == (3, 16) and encoder(torch.randn(30, 20, 3)).shape == (1, 16)
    assert encoder(np.random.default_rng(0).normal(size=(3, 3, 16, 20, 1))).dtype == torch.float32


def test_mistakes_are_one_line(shared):
    mamp, umurl = shared("parity/released_pretrain_tiny25.pth"), shared("parity/released_umurl_small.pth.tar")
    for name, arguments, message in (
        ("mamp", {"pretrained": True}, "no weights are hosted"),
        ("mamp", {"checkpoint": mamp, "depth": 4}, "depth: the sizes are those of"),
        ("mamp", {"checkpoint": mamp, "num_heads": 2}, "num_heads: the sizes are those of"),
        ("mamp", {"checkpoint": umurl}, "holds weights of umurl, not of mamp"),
        ("umurl", {"checkpoint": mamp}, "holds weights of mamp, not of umurl"),
        ("mamp", {"checkpoint": mamp, "readout": "max"}, "readout 'max'"),
        ("mamp", {"width": 3}, "width: no size of this encoder; they are dim_in, dim_feat, "),
        ("umurl", {"dim_feat": 64}, "dim_feat: no size of this encoder; they are num_bodies, .*hidden_size"),
    ):
        with pytest.raises(ValueError, match=message):
            hub(name, **arguments)


@pytest.mark.parametrize("name, file", [("mamp", "released_pretrain_tiny25.pth"), ("umurl", "released_umurl_small.pth.tar")])
def test_one_recording_is_made_into_what_the_feeder_gives(name, file, shared, tmp_path):
    encoder = hub(name, checkpoint=shared(f"parity/{file}"))
    frames, share = {"mamp": (24, 0.95), "umurl": (64, 1.0)}[name]
    both = np.random.default_rng(0).normal(size=(2, 50, 25, 3)).astype(np.float32)
    x = np.stack([both, both]).transpose(0, 2, 1, 3, 4)  # (N, T, M, V, C)
    x[0, :, 1] = 0
    np.savez(tmp_path / "a.npz", x_test=x.reshape(2, 50, 150), y_test=np.array([0, 1]))
    data = Feeder(tmp_path / "a.npz", "test", [share], window_size=frames)
    expected = encoder(torch.stack([data[0][0], data[1][0]]))
    close(encoder(torch.from_numpy(both[0])), expected[:1])
    close(encoder(both), expected[1:])
    close(encoder(both.transpose(3, 1, 2, 0)), expected[1:])


def as_batch(both):
    """Persons (M, T, V, C) as a batch of one, central crop of 95 % of 50 frames resized to 24."""
    return tools.valid_crop_resize(both.permute(3, 1, 2, 0), 50, [0.95], 24)[None]


def test_a_second_body_is_what_it_was_in_training(shared, tmp_path):
    """A copy of a single person in NTU-120, zeros in NTU-60; the name of the npz tells it for a released file."""
    content = checkpoint.load(shared("parity/released_pretrain_tiny25.pth"))
    one = torch.randn(50, 25, 3)
    batches = [torch.stack([one, second]) for second in (one, torch.zeros_like(one))]  # (M, T, V, C)
    for npz, which in (("NTU120_XSub", 0), ("NTU60_XSub", 1)):
        made_with = {"num_heads": 4, "train_feeder_args": {"data_path": f"data/{npz}.npz"}}
        torch.save({"model": content["model"], "args": made_with}, tmp_path / f"{npz}.pth")
        encoder = hub("mamp", checkpoint=tmp_path / f"{npz}.pth")
        features = [encoder(as_batch(both)) for both in batches]
        close(encoder(one), features[which])
        assert not torch.allclose(*features, atol=1e-3)


@pytest.mark.parametrize(
    "known, change, message",
    [
        ({"center": 2}, lambda x: x, ""),
        ({"center": -1}, lambda x: x + 1, ""),
        ({"center": 2, "min_max": 1}, lambda x: x / 20, ""),
        ({"center": 2}, lambda x: x + 1, "x does not have joint 2 of its first frame at the origin; main_predict.py prepares"),
        ({"min_max": 1}, lambda x: x, "x is not scaled to -1 .. 1"),
        ({"center": 2, "body_size": 1.7}, lambda x: 1000 * x, "m, the training data have bodies of 1.7 m"),
    ],
)
def test_a_recording_that_was_not_prepared_is_warned_of(known, change, message, capsys):
    joints = np.random.default_rng(0).normal(size=(30, 5, 3))
    joints -= joints[0, 2]
    to_batch = ToBatch(Namespace(num_frames=16, input_stream="joint", test_p_interval=(1.0,)), TrainingData(5, 1, **known))
    to_batch(torch.nn.Linear(1, 1), (torch.from_numpy(change(joints)),))
    printed = capsys.readouterr().err
    assert message in printed and printed.count("warning") == bool(message)


def test_a_batch_of_recordings_is_not_taken_for_one_of_many_bodies():
    """One vector came out, that of the recording that moves most."""
    encoder = hub("umurl", hidden_size=8, num_frames=16, num_bodies=1, layout="kinect_v1")
    with pytest.raises(ValueError, match=r"x has shape \(8, 40, 20, 3\), 8 bodies, and the model knows 1 body; of several"):
        encoder(torch.randn(8, 40, 20, 3))


@pytest.mark.parametrize("stage", ["linprobe", "finetune"])
def test_classifiers(stage, shared):
    """Logits of a batch and of a recording; an encoder alone is no classifier."""
    path, x = shared(f"parity/released_{stage}_tiny25.pth"), torch.randn(3, 3, 24, 25, 2)
    classify, content = hub("classifier", checkpoint=path), checkpoint.load(path)
    classes = len(content["model"]["head.fc.1.weight" if stage == "linprobe" else "head.fc2.weight"])
    sizes = dict(num_classes=classes, dim_feat=32, depth=3, num_heads=4, num_frames=24)
    if stage == "linprobe":
        reference = Transformer(protocol=stage, **sizes)
        reference.head.add_norm()
    else:
        reference = Transformer(protocol=stage, **sizes, head_dim=len(content["model"]["head.fc1.weight"]))
    checkpoint.load_model(reference, path)
    close(classify(x), reference.eval()(x))
    assert classify(torch.randn(50, 25, 3)).shape == (1, classes) and not classify.training
    with pytest.raises(ValueError, match="holds no classifier, only a pre-trained encoder"):
        hub("classifier", checkpoint=shared("parity/released_pretrain_tiny25.pth"))


def test_other_shapes_are_told_what_is_wanted(shared):
    encoder = hub("mamp", checkpoint=shared("parity/released_pretrain_tiny25.pth"))
    for shape in (2, 3, 23, 25, 2), (2, 2, 24, 25, 3), (40, 20, 3), (40, 75), (3, 40, 25, 3, 1), (3, 40, 25, 3):
        with pytest.raises(ValueError, match=r"x has shape .* \(N, 3, 24, 25, M\), .* or one recording \(T, 25, 3\)"):
            encoder(torch.ones(shape))
    one = torch.randn(2, 3, 24, 25, 1)  # of one person, for a model of two
    close(encoder(one.expand(-1, -1, -1, -1, 2)), encoder(one))
    encoder = hub("umurl", checkpoint=shared("parity/released_umurl_small.pth.tar"))
    with pytest.raises(ValueError, match=r"x has shape \(2, 3, 64, 25, 1\); x is \(N, 3, 64, 25, 2\)"):
        encoder(torch.ones(2, 3, 64, 25, 1))


PROJECT = """
import importlib.util, sys
import model, util.tools
spec = importlib.util.spec_from_file_location("mamp", sys.argv[1])  # as an editable installation finds it: this name alone
mamp = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mamp)
import torch
for _ in range(2):
    encoder = mamp.load("mamp", dim_feat=16, depth=1, num_heads=2, num_frames=8, t_patch_size=4, num_joints=5)
    assert encoder(torch.randn(2, 3, 8, 5, 1)).shape == (2, 16)
    assert encoder(torch.randn(20, 5, 3)).shape == (1, 16)
    import model, util.tools
    assert (model.MINE, util.tools.MINE) == (1, 2) and "feeder" not in sys.modules
import data
assert data.MINE == 3
try:
    mamp.load("stars")
except ValueError as error:
    assert str(error) == "'stars': no such model; use one of classifier, mamp, umurl"
else:
    raise AssertionError("stars")
"""


def test_names_of_both_projects_live_side_by_side(tmp_path):
    (tmp_path / "util").mkdir()
    for file, text in {"model.py": "MINE = 1", "util/tools.py": "MINE = 2", "data.py": "MINE = 3", "project.py": PROJECT}.items():
        (tmp_path / file).write_text(text)
    words = [sys.executable, "project.py", str(ROOT / "mamp.py")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def test_without_the_repository_beside_it_the_module_says_so(tmp_path):
    """As pip install without -e would leave it among all other packages."""
    shutil.copy(ROOT / "mamp.py", tmp_path)
    done = subprocess.run([sys.executable, "-c", "import mamp"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "mamp.py: the other modules are not beside it; install the repository with pip install -e" in done.stderr

"""Scripts of one's own: the Feeder and the models are constructed with the arguments of a published configuration, and weights
are handed back to the published code."""

import json
import re

import numpy as np
import pytest
import torch

from feeder.feeder_ntu import Feeder
from feeder.skeleton import parents
from model.mamp import MAMP
from model.transformer import Transformer
from model.umurl import UmURL
from tests.conftest import invent
from tests.processes import ROOT
from util import checkpoint

SMALL = {"dim_feat": 8, "depth": 1, "num_heads": 2, "num_frames": 24}
WITHOUT_EFFECT = ("debug", "random_choose", "random_shift", "random_move", "normalization")


@pytest.fixture(scope="module")
def configs(shared):
    return json.loads(shared("spec/published_configs.json").read_text())


def test_feeders_of_all_published_configurations(configs, tmp_path):
    path = tmp_path / "ntu.npz"
    np.savez(path, **invent(train=120, test=4, frames=70, joints=25, bodies=2))
    seen = []
    for content in configs.values():
        for section in ("train_feeder_args", "val_feeder_args"):
            given = content.get(section, {}) | {"data_path": path}
            if section in content and given not in seen:
                seen.append(given)
                assert WITHOUT_EFFECT[0] in given
                np.random.seed(1)
                x = Feeder(**given)[0][0]
                np.random.seed(1)
                known = {key: value for key, value in given.items() if key not in WITHOUT_EFFECT}
                assert torch.equal(x, Feeder(**known)[0][0]) and x.shape == (3, 120, 25, 2)
    assert len(seen) > 2


@pytest.mark.parametrize(
    "given, error, message",
    [
        ({"debug": True}, ValueError, "^debug: True does not exist here .--data_ratio takes a share"),
        ({"random_shift": True}, ValueError, "^random_shift: True does not exist here"),
        ({"mixup": 0}, TypeError, "Feeder has no argument 'mixup'"),
        ({"window_sise": 8}, TypeError, "Feeder has no argument 'window_sise'"),
    ],
)
def test_arguments_that_would_change_the_samples(given, error, message, invented):
    with pytest.raises(error, match=message):
        Feeder(invented, **given)
    assert len(Feeder(invented, use_mmap=True, debug=False)) == 24


def test_models_of_all_published_configurations(configs):
    x, seen = torch.randn(1, 3, 24, 25, 2), set()
    for content in configs.values():
        options = content["model_args"] | SMALL
        if (key := str(options)) in seen:
            continue
        seen.add(key)
        assert options["qk_scale"] == "None"
        if "decoder_depth" in options:
            assert MAMP(**options)(x, 0.9, 1, 0.8)[0].isfinite()
        else:
            model = Transformer(**options).eval()
            plain = Transformer(**options | {"qk_scale": None}).eval()
            plain.load_state_dict(model.state_dict())
            assert torch.equal(model(x), plain(x))


def test_weights_are_handed_back_to_umurl(shared, tmp_path, monkeypatch):
    """The lines of docs/training.md give a file with the published names."""
    monkeypatch.chdir(tmp_path)
    names = json.loads(shared("parity/umurl_checkpoint_keys.json").read_text())["pretrain"]
    model = UmURL(parents("kinect_v2"), hidden_size=8, num_frames=8, projector_dim=8)
    checkpoint.save("checkpoint-450.pth", {"model": model.state_dict(), "epoch": 450})
    snippet = re.search(r"^content = .*\n.*umurl.pth.tar.*$", (ROOT / "docs/training.md").read_text(), re.M)[0]
    exec(snippet, {"torch": torch})
    found = torch.load("umurl.pth.tar", weights_only=True)
    assert found["epoch"] == 450 and found["state_dict"].keys() == names.keys()
    assert all(torch.equal(value, found["state_dict"][key]) for key, value in model.state_dict().items())

"""Scripts of one's own: the Feeder and the models are constructed with the arguments of a published configuration."""

import json

import numpy as np
import pytest
import torch

from feeder.feeder_ntu import Feeder
from model.mamp import MAMP
from model.transformer import Transformer
from tests.conftest import invent

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

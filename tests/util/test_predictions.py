"""What is kept of an evaluation, in scores.npz and in TensorBoard."""

from pathlib import Path

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import main_finetune
import main_pretrain
from feeder.feeder_ntu import Feeder
from model.transformer import Transformer
from tests.runs import same, weights
from util import checkpoint, logging, predictions

ROOT = Path(__file__).resolve().parents[2]


def test_training_leaves_the_scores_and_features_of_its_last_evaluation(finished, hostile):
    """Those of --eval, and of a forward pass by plain tensor operations; features keep their distances."""
    with np.load(finished / "finetune/scores.npz") as trained, np.load(finished / "eval/scores.npz") as evaluated:
        for key in ("scores", "label", "name", "positions"):
            assert np.array_equal(trained[key], evaluated[key]) or np.allclose(trained[key], evaluated[key], atol=1e-5)
    state = checkpoint.load(finished / "linprobe/checkpoint-3.pth")["model"]
    model = Transformer(dim_feat=8, depth=2, num_heads=2, mlp_ratio=2, num_frames=8, num_joints=5, protocol="linprobe")
    checkpoint.load_encoder(model, finished / "pretrain/checkpoint-2.pth")
    feeder = Feeder(hostile, "test", [0.95], window_size=8)
    features = model.eval().forward_features(torch.stack([feeder[i][0] for i in range(13)])).mean((1, 2)).mean(1)
    features = (features - state["head.fc.0.running_mean"]) / (state["head.fc.0.running_var"] + 1e-6).sqrt()
    logits = (features @ state["head.fc.1.weight"].T + state["head.fc.1.bias"]).detach()
    with np.load(finished / "linprobe/scores.npz") as file:
        assert np.allclose(file["scores"], logits, atol=1e-5) and file["positions"].tolist() == list(range(13))
        kept = torch.from_numpy(file["features"])
        assert np.allclose(torch.cdist(kept, kept), torch.cdist(features, features).detach(), atol=1e-3)


def test_features_are_kept_of_some_samples_of_many(finished, hostile, options, tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "MAX_FEATURES", 5)
    encoder = ("--finetune", finished / "pretrain/checkpoint-2.pth")
    main_finetune.main(options("finetune", hostile, tmp_path, *encoder, "--epochs", 4))
    with np.load(tmp_path / "scores.npz") as some, np.load(finished / "finetune/scores.npz") as every:
        at = some["positions"]
        assert len(set(at)) == 5 and some["features"].shape[0] == 5 and (np.diff(at) > 0).all()
        distances = [np.linalg.norm(f[:, None] - f[None], axis=-1) for f in (some["features"], every["features"][at])]
        assert np.allclose(*distances, atol=1e-4) and distances[0].max() > 0.1


def test_a_pretraining_shows_what_it_predicts(invented, options, tmp_path, monkeypatch):
    """The picture changes as the model learns; the run does not change by being watched."""
    seen = []
    for seconds in (0, 20):
        monkeypatch.setattr(logging, "PICTURE_SECONDS", seconds)
        main_pretrain.main(options("pretrain", invented, tmp_path / str(seconds), "--epochs", 3, "--save_freq", 1))
        seen.append(weights(tmp_path / str(seconds) / "checkpoint-2.pth"))
    events = EventAccumulator(str(tmp_path / "0")).Reload()
    images = events.Images("pretrain/prediction")
    assert [image.step for image in images] == [2, 3] and images[0].encoded_image_string != images[1].encoded_image_string
    assert "`prediction`" in (ROOT / "docs/report.md").read_text()
    assert not list(tmp_path.rglob("report.html"))  # --no-report
    assert EventAccumulator(str(tmp_path / "20")).Reload().Tags()["images"] == []
    assert same(*seen)

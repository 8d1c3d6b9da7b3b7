"""A classifier with random weights, what --eval and what main_predict.py say of recordings."""

import numpy as np
import torch

import main_finetune
import main_linprobe
from feeder.feeder_ntu import Feeder
from model import build
from util import checkpoint, config

TINY = "--dim_feat 8 --depth 2 --num_heads 2 --num_frames 16 --num_workers 0 --device cpu".split()
MAMP = (*TINY, "--mlp_ratio", "2")
MAINS = {"linprobe": main_linprobe, "finetune": main_finetune}


def trained_on(npz, path, stage, *words):
    """A classifier with random weights, as `stage` would save it after training on `npz`."""
    args = config.parse(stage, [*map(str, words), "--data_path", str(npz)])
    data = Feeder(npz, "test")
    torch.manual_seed(0)
    model = build.classifier(args, data, data.num_classes)
    for name, value in model.named_buffers():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    for name, value in model.named_parameters():  # larger than they begin, so that answers differ
        if name in ("head.fc.1.weight", "head.fc2.weight", "fc.weight"):
            torch.nn.init.normal_(value)
    checkpoint.save(path, {"model": model.state_dict(), "epoch": 4, "config": vars(args), "data": data.metadata()})
    return path


def changed(path, new, **config):
    """A copy of the checkpoint with other settings; with data=None without what it keeps of its data."""
    content = checkpoint.load(path)
    if config.pop("data", True) is None:
        del content["data"]
    checkpoint.save(new, content | {"config": content["config"] | config})
    return new


def evaluated(stage, path, npz, out):
    """{name: logits} by --eval."""
    share = checkpoint.load(path)["config"]["test_p_interval"][0]
    words = ["--eval", path, "--data_path", npz, "--output_dir", out, "--no-report", "--test_p_interval", share]
    MAINS[stage].main([*map(str, words), *TINY[-4:]])
    with np.load(out / "scores.npz") as file:
        return dict(zip(file["name"].tolist(), file["scores"], strict=True))


def probabilities(result):
    """(N, K) of the recordings in the JSON, whatever the order of the classes there."""
    out = np.zeros((len(result["recordings"]), len(result["recordings"][0]["predictions"])))
    for i, recording in enumerate(result["recordings"]):
        for row in recording["predictions"]:
            out[i, row["class"]] = row["probability"]
    return out


def softmax(scores):
    power = np.exp(np.subtract(scores, np.max(scores, -1, keepdims=True)))
    return power / power.sum(-1, keepdims=True)

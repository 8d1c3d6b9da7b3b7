"""A classifier with random weights, what --eval and what main_predict.py say of recordings."""

import numpy as np
import torch

import main_finetune
import main_linprobe
from data.prepare import recipes
from feeder.feeder_ntu import Feeder
from model import build
from predict import load_model, readers
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
    settings = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(args).items()}
    checkpoint.save(path, {"model": model.state_dict(), "epoch": 4, "config": settings, "data": data.metadata()})
    return path


def evaluated(stage, path, npz, out):
    """{name: logits} by --eval."""
    MAINS[stage].main(
        [
            "--eval",
            str(path),
            "--data_path",
            str(npz),
            "--output_dir",
            str(out),
            *TINY[-4:],
            "--no-report",
            "--test_p_interval",
            str(checkpoint.load(path)["config"]["test_p_interval"][0]),
        ]
    )
    with np.load(out / "scores.npz") as file:
        return dict(zip(file["name"].tolist(), file["scores"], strict=True))


def predicted(path, files):
    """Logits (N, K) of raw files, by the functions of main_predict.py."""
    content = checkpoint.load(path)
    made_with = load_model.classifier_options(content, path)
    data = load_model.training_data(content, path, vars(made_with))
    recipe = recipes.recipe(made_with.data_path, data.num_joints, checkpoint.num_classes(content))
    recipe = recipe.with_second_body(data.num_bodies, data.second_body)
    preparation = readers.Preparation(recipe, data.num_joints, data.num_bodies)
    model = load_model.classifier(content, path, made_with, data)
    rows = [load().whole() for file in files for _, load in readers.list_recordings(file, preparation)]
    with torch.no_grad():
        return model(load_model.make_batch(rows, made_with, data, torch.device("cpu"))).numpy()


def shares(recording):
    """(K,) probabilities of a recording in the JSON."""
    out = np.zeros(len(recording["predictions"]))
    for row in recording["predictions"]:
        out[row["class"]] = row["probability"]
    return out


def softmax(scores):
    power = np.exp(scores - scores.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)

"""What the tests of the mains share: the mains by stage, the model's size, and reading what a run leaves."""

import json

import torch

import main_finetune
import main_linprobe
import main_pretrain
from util import checkpoint

MAINS = {"pretrain": main_pretrain, "linprobe": main_linprobe, "finetune": main_finetune}
SIZE = dict(dim_feat=8, depth=2, num_heads=2, mlp_ratio=2, num_frames=8, num_joints=5)  # of conftest.py's `options`


def read(folder, name="result.json"):
    """The content of a JSON file; of a .jsonl file its lines."""
    text = (folder / name).read_text()
    return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)


def weights(path):
    return checkpoint.load(path)["model"]


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)

"""What the tests of the mains share: the mains by stage, the model's size, and reading what a run leaves."""

import json
import shutil

import torch

import main_finetune
import main_linprobe
import main_pretrain
import main_retrieval
from util import checkpoint

TRAINED = {"pretrain": main_pretrain, "linprobe": main_linprobe, "finetune": main_finetune}
MAINS = TRAINED | {"retrieval": main_retrieval}
# whether torch.compile can be tested; see util.distributed.compiled
COMPILES = bool(shutil.which("g++")) and tuple(map(int, torch.__version__.split(".")[:2])) > (2, 6)
SIZE = dict(dim_feat=8, depth=2, num_heads=2, mlp_ratio=2, num_frames=8, num_joints=5)  # of conftest.py's `options`


def read(folder, name="result.json"):
    """The content of a JSON file; of a .jsonl file its lines."""
    text = (folder / name).read_text()
    return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)


def weights(path):
    return checkpoint.load(path)["model"]


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def assert_same_end(one, two, epochs):
    """Two runs have ended with the same bits and, but for the speed, the same log."""
    assert same(*(weights(folder / f"checkpoint-{epochs - 1}.pth") for folder in (one, two)))
    logs = [[line | {"samples_per_s": 0} for line in read(folder, "log.jsonl")] for folder in (one, two)]
    assert logs[0] == logs[1] and [line["epoch"] for line in logs[1]] == list(range(epochs))
    assert not list(two.glob("*.part"))

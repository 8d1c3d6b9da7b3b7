"""What an update sees depends on seed, epoch and step, not on processes, accumulation or workers."""

import argparse

import numpy as np
import pytest
import torch

from feeder.batch import uniforms
from feeder.feeder_ntu import Feeder
from feeder.loader import TrainBatches, build_feeder, test_loader, train_loader
from tests.conftest import invent
from util import config, distributed

CPU = torch.device("cpu")
test_loader.__test__ = False  # pytest takes its name for a test's


def updates(monkeypatch, n, batch_size, world, accum, epoch=0, seed=3):
    """Micro-batches of every update of an epoch: [[(micro, rank) -> indices]], as `world` processes see them."""
    monkeypatch.setattr(distributed, "world_size", lambda: world)
    per_rank = []
    for rank in range(world):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        batches = TrainBatches(n, batch_size, accum, seed)
        batches.epoch = epoch
        micro, table = list(batches), uniforms(seed, epoch, n)
        assert len(micro) == len(batches) and all(len(indices) == batch_size for indices, _ in micro)
        assert all(np.array_equal(draws, table[indices]) for indices, draws in micro), "a sample's random numbers are its own"
        per_rank.append([indices.tolist() for indices, _ in micro])
    steps = len(per_rank[0]) // accum
    return [[per_rank[r][s * accum + a] for a in range(accum) for r in range(world)] for s in range(steps)]


@pytest.mark.parametrize("n, epoch", [(3, 0), (16, 5), (37, 0), (64, 5)])
def test_updates_do_not_depend_on_processes_and_accumulation(monkeypatch, n, epoch):
    settings = [(1, 4), (2, 2), (4, 1)]
    seen = [updates(monkeypatch, n, 4, world, accum, epoch) for world, accum in settings]
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == max(1, n // 16)
    flat = [i for update in seen[0] for batch in update for i in batch]
    if n >= 16:
        assert len(set(flat)) == len(flat), "a sample twice in an epoch"
    else:
        assert set(flat) == set(range(n)), "a small data set is repeated whole"
        assert max(flat.count(i) for i in range(n)) - min(flat.count(i) for i in range(n)) <= 1


def test_order_changes_with_epoch_and_seed_and_every_sample_gets_its_turn(monkeypatch):
    seen = {i for e in range(12) for update in updates(monkeypatch, 37, 4, 1, 4, e) for batch in update for i in batch}
    assert seen == set(range(37))
    orders = {str(updates(monkeypatch, 64, 4, 1, 1, epoch, seed)) for epoch in (0, 1) for seed in (0, 1)}
    assert len(orders) == 4


@pytest.fixture
def data(invented):
    return Feeder(invented, "train", [0.5, 1.0], window_size=8, min_frames=4, random_rot=True)


def loader_args(**changes):
    values = dict(batch_size=4, accum_iter=2, seed=0, num_workers=0, dist_eval=True, data_on_device=False)
    return argparse.Namespace(**values | changes)


def test_workers_and_data_in_memory_make_the_same_batches(data):
    """And the global generators are left alone."""
    states = torch.get_rng_state(), np.random.get_state()[1]
    ways = {"num_workers": 2}, {"data_on_device": True}, {"data_on_device": True, "num_workers": 2}
    loaders = [train_loader(data, loader_args(**way), CPU) for way in ({}, *ways)]
    for epoch in (0, 1):
        for loader in loaders:
            loader.batches.epoch = epoch
        batches = list(zip(*loaders, strict=True))
        assert len(batches) == 6
        for ours, *others in batches:
            assert all(torch.equal(a, b) for other in others for a, b in zip(ours, other, strict=True))
    assert torch.equal(states[0], torch.get_rng_state()) and np.array_equal(states[1], np.random.get_state()[1])


@pytest.mark.parametrize("world", [1, 3, 20])
def test_test_samples_are_shared_out_once(monkeypatch, invented, world):
    data = Feeder(invented, "test", window_size=8)
    monkeypatch.setattr(distributed, "world_size", lambda: world)
    shares = []
    for rank in range(world):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shares.append([i for batch in test_loader(data, loader_args(), CPU) for i in batch[2].tolist()])
        whole = [i for batch in test_loader(data, loader_args(dist_eval=False), CPU) for i in batch[2].tolist()]
        assert whole == list(range(13))
    assert sorted(i for share in shares for i in share) == list(range(13))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_training_batches_are_mirrored_and_test_batches_are_not(tmp_path):
    """Without crops and rotations, the batches of --mirror have the sequences as they are or with x and sides exchanged."""
    names, path = np.array(["hip", "left hand", "right hand", "left foot", "right foot"]), tmp_path / "a.npz"
    np.savez(path, joint_names=names, **invent())
    words = f"--data_path {path} --no-random_rot --train_p_interval 0.95 --num_frames 8 --min_frames 4 --batch_size 24"
    args = config.parse("finetune", [*words.split(), "--num_workers", "0", "--mirror", "--effective_batch_size", "24"])
    args.accum_iter = 1
    x, _, rows = next(iter(train_loader(build_feeder(args, "train", augment=True), args, CPU)))
    original, _, _ = next(iter(test_loader(build_feeder(args, "train", augment=False), args, CPU)))
    original = original[rows]
    image = original[:, :, :, [0, 2, 1, 4, 3]] * torch.tensor([-1.0, 1, 1])[:, None, None, None]
    mirrored, kept = (torch.tensor([torch.equal(a, b) for a, b in zip(x, other, strict=True)]) for other in (image, original))
    assert (mirrored ^ kept).all() and 4 < mirrored.sum() < 20

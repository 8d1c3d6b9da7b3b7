"""What an update sees depends on seed, epoch and step, not on processes, accumulation or workers."""

import argparse

import numpy as np
import pytest
import torch

from feeder.feeder_ntu import Feeder
from util import distributed
from util.loader import Seeded, TrainBatches, test_loader, train_loader

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
        micro = list(batches)
        assert len(micro) == len(batches) and all(len(b) == batch_size for b in micro)
        assert all(e == epoch for b in micro for e, _ in b)
        per_rank.append([[i for _, i in b] for b in micro])
    steps = len(per_rank[0]) // accum
    return [[per_rank[r][s * accum + a] for a in range(accum) for r in range(world)] for s in range(steps)]


@pytest.mark.parametrize("n", [3, 16, 37, 64])
@pytest.mark.parametrize("epoch", [0, 5])
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


def test_order_changes_with_epoch_and_seed(monkeypatch):
    orders = {str(updates(monkeypatch, 64, 4, 1, 1, epoch, seed)) for epoch in (0, 1) for seed in (0, 1)}
    assert len(orders) == 4


def test_every_sample_gets_its_turn(monkeypatch):
    seen = {i for e in range(12) for update in updates(monkeypatch, 37, 4, 1, 4, e) for batch in update for i in batch}
    assert seen == set(range(37))


@pytest.fixture
def data(invented):
    return Feeder(invented, "train", [0.5, 1.0], window_size=8, min_frames=4, random_rot=True)


def test_items_do_not_depend_on_what_was_asked_before(data):
    seeded = Seeded(data, seed=1)
    keys = [(e, i) for e in (0, 1) for i in range(6)]
    forward = {k: seeded[k][0] for k in keys}
    np.random.seed(99)
    backward = {k: seeded[k][0] for k in reversed(keys)}
    assert all(torch.equal(forward[k], backward[k]) for k in keys)
    assert not torch.allclose(forward[0, 2], forward[1, 2], atol=1e-3), "another epoch, another augmentation"
    assert not torch.allclose(forward[0, 2], Seeded(data, seed=2)[0, 2][0], atol=1e-3)


def test_every_item_draws_its_own_augmentation():
    class Draws(torch.utils.data.Dataset):
        def get(self, index, rng):
            return rng.rand()

    draws = {(s, e, i): Seeded(Draws(), s)[e, i] for s in range(3) for e in range(3) for i in range(10)}
    assert len(set(draws.values())) == 90


def loader_args(**changes):
    return argparse.Namespace(**dict(batch_size=4, accum_iter=2, seed=0, num_workers=0, dist_eval=True) | changes)


def test_workers_make_the_same_batches(data):
    loaders = [train_loader(data, loader_args(num_workers=n), CPU) for n in (0, 2)]
    for epoch in (0, 1):
        for loader in loaders:
            loader.batch_sampler.epoch = epoch
        pairs = list(zip(*loaders, strict=True))
        assert len(pairs) == 6
        for ours, workers in pairs:
            assert all(torch.equal(a, b) for a, b in zip(ours, workers, strict=True))


@pytest.mark.parametrize("world", [1, 2, 3, 20])
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

"""Batches whose content depends on seed, epoch and step alone: not on workers, processes or accumulation."""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from util import distributed


class TrainBatches:
    """Batch sampler of one rank: keys (epoch, index) so that an item's augmentation can be seeded by them.

    Step s of an epoch takes the s-th slice of `effective_batch_size` indices of the epoch's permutation, whatever the number
    of ranks; micro-batch a of rank r takes the (a·world + r)-th part of it. The remainder of the permutation is left out; a data
    set smaller than the effective batch is repeated to fill one step.
    """

    def __init__(self, num_samples, batch_size, accum_iter, seed):
        self.num_samples, self.batch_size, self.accum_iter, self.seed = num_samples, batch_size, accum_iter, seed
        self.effective_batch_size = batch_size * accum_iter * distributed.world_size()
        self.steps = max(1, num_samples // self.effective_batch_size)
        self.epoch = 0

    def __len__(self):
        return self.steps * self.accum_iter

    def __iter__(self):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_samples)
        order = np.resize(order, max(len(order), self.effective_batch_size))
        for micro in range(len(self)):
            start = (micro * distributed.world_size() + distributed.rank()) * self.batch_size
            yield [(self.epoch, int(i)) for i in order[start : start + self.batch_size]]


class Seeded(Dataset):
    """A data set with `get(index, rng)`, asked by (epoch, index): the same item whichever process or worker makes it."""

    def __init__(self, dataset, seed):
        self.dataset, self.seed = dataset, seed

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, key):
        epoch, index = key
        return self.dataset.get(index, np.random.RandomState([self.seed, epoch, index]))


def train_loader(dataset, args, device):
    """Loader over (x, label, index); set `loader.batch_sampler.epoch` before each epoch."""
    batches = TrainBatches(len(dataset), args.batch_size, args.accum_iter, args.seed)
    return DataLoader(
        Seeded(dataset, args.seed),
        batch_sampler=batches,
        num_workers=args.num_workers,
        persistent_workers=args.num_workers > 0,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # the loader's own draws, which depend on num_workers, must not move the masks
    )


def test_loader(dataset, args, device):
    """Loader over this rank's share of the samples, each exactly once over all ranks (all of them without --dist_eval)."""
    rank, world = (distributed.rank(), distributed.world_size()) if args.dist_eval else (0, 1)
    return DataLoader(
        torch.utils.data.Subset(dataset, range(rank, len(dataset), world)),
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        pin_memory=device.type == "cuda",
    )

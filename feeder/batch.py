"""Whole batches at once: the random numbers of an epoch, and a split whose frames stay on the device.

A data set for feeder.loader has `collect(indices, draws)`, the host's part (in a worker process): (tensors, labels (N,), rows
(N,)); `make(*tensors)`, the device's part: x of the batch; and `in_memory`: collecting is too little work for workers.
"""

import numpy as np
import torch


def uniforms(seed, epoch, count, views=1):
    """An epoch's random numbers for augmentation: row i of (count, 5·views), U(0, 1), is sample i's, whoever makes its batch."""
    return np.random.Generator(np.random.Philox([seed, epoch])).random((count, 5 * views))


class Draws:
    """Takes the place of a numpy generator and hands out the columns of a table (N, 5): every draw is made for N samples at once.

    With one row (5,) it draws for that sample alone, so Feeder.get(i, Draws(table[i])) is sample i of the batch.
    """

    def __init__(self, table):
        self._columns = iter(np.moveaxis(np.asarray(table), -1, 0))

    def rand(self, count):
        """(count, N) or (count,), U(0, 1)."""
        return np.stack([next(self._columns) for _ in range(count)])

    def uniform(self, low, high, count):
        """(count, N) or (count,), U(low, high)."""
        return low + (high - low) * self.rand(count)

    def randint(self, low, high):
        """(N,) or a number: whole numbers from low to high - 1."""
        return low + np.floor(self.rand(1)[0] * (high - low)).astype(int)


class Resident:
    """A Feeder's sequences with all their valid frames in the memory of `device`, one after another: batches need no host work.

    Raises what Feeder.frames raises, for every sample, when it is made.
    """

    in_memory = True

    def __init__(self, feeder, device):
        self.feeder = feeder
        self.valid = feeder.count_frames()
        self.first = np.cumsum(self.valid) - self.valid
        self.flat = torch.empty(self.valid.sum(), feeder.x.shape[2], device=device)
        for i, (first, count) in enumerate(zip(self.first, self.valid, strict=True)):
            self.flat[first : first + count] = torch.from_numpy(feeder.frames(i))

    def __len__(self):
        return len(self.feeder)

    def collect(self, indices, draws):
        """Where the crops of the batch lie: see Feeder.collect."""
        begin, length, *rotation = self.feeder.plan(self.valid[indices], draws)
        first = np.repeat(self.first[indices], self.feeder.views) + begin
        return (torch.from_numpy(first), torch.from_numpy(length), *rotation), *self.feeder.labels(indices)

    def make(self, *crops):
        """See Feeder.make."""
        return self.feeder.make(self.flat, *crops)

"""Making whole batches at once: the random numbers of an epoch, and a split whose frames are kept on the device.

Every data set that feeder.loader takes has
    collect(indices, draws)  the part on the host, in a worker process -> (tensors, labels (N,), row numbers (N,))
    make(*tensors)           the part on the device -> the batch x
    in_memory                whether collecting is so cheap that no workers are used
"""

import numpy as np
import torch


def uniforms(seed, epoch, count, num_draws=5):
    """An epoch's random numbers for augmentation, U(0, 1): (count, num_draws). Sample i uses row i, in whichever process."""
    return np.random.Generator(np.random.Philox([seed, epoch])).random((count, num_draws))


class Draws:
    """Used like a numpy generator, but returns the columns of a table (N, num_draws) one after another: each draw is for N
    samples at once.

    With a single row (num_draws,) the draws are for one sample: Feeder.get(i, Draws(table[i])) is sample i of the batch.
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
        """(N,) or a number: integers from low to high - 1."""
        return low + np.floor(self.rand(1)[0] * (high - low)).astype(int)


class Resident:
    """A Feeder whose valid frames are all in the memory of `device`, concatenated, so that batches need no work on the host.

    All frames are read here, so it raises what Feeder.frames raises.
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
        """As Feeder.collect, but with the positions of the crops instead of their frames."""
        begin, length, *augmentation = self.feeder.plan(self.valid[indices], draws)
        first = np.repeat(self.first[indices], self.feeder.views) + begin
        return (torch.from_numpy(first), torch.from_numpy(length), *augmentation), *self.feeder.labels(indices)

    def make(self, *crops):
        """See Feeder.make."""
        return self.feeder.make(self.flat, *crops)

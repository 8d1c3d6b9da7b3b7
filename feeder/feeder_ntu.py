"""The Feeder: skeleton sequences from an npz, cropped, resized and augmented."""

import numpy as np
import torch
from torch.utils.data import Dataset

from feeder import tools
from feeder.batch import Draws
from feeder.npz_split import NpzSplit
from util.published import check_feeder_arguments

SPLITS = ("train", "val", "test")


class Feeder(NpzSplit, Dataset):
    """Sequences of one split; item i is (x (C, window, V, M) float32, label, row in the split).

    data_path: npz with x_train, y_train, x_test, y_test (docs/data.md), of which only those of the split are needed. They are
        memory-mapped. Labels may be strings: the classes are then the sorted different ones.
    split: 'train', 'test', or 'val', the groups that val_groups holds out of the training set.
    p_interval: [p] crops the central share p, [p0, p1] a random share (feeder.tools.crop_bounds).
    window_size: frames after resizing. min_frames: shortest random crop, in frames.
    random_rot: rotate by U(-rot_theta, rot_theta) radians about x, y, z (one number, or one per axis).
    random_scale: before that, multiply each axis by a factor of its own, U(1 - random_scale, 1 + random_scale).
    bone, vel: return bones, or frame differences, instead of joints.
    views: random crops of each sample; with more than one, batches are (N, views, C, window, V, M).
    data_ratio: share of the samples to use, int(N · ratio), drawn without replacement with subset_seed.
    val_groups: number of groups (performers) of the training set to hold out, always the same ones.
    labelled: whether labels are required. A file without labels has label -1 everywhere and 0 classes.
    mirror: mirror each sample, or each view of it, with probability 1/2 (feeder.tools.mirror).
    published: further arguments of a published configuration (debug, random_shift, ...), only with values that switch them off.

    Raises ValueError or FileNotFoundError naming the file and key: unreadable npz, missing array, wrong shape, invalid labels, a
    sample without frames or with values that are not finite; when frames are read, also if the file has changed since.
    """

    in_memory = False  # see feeder.batch
    _parents = None  # with bone: parents (V,) on the device of the batches

    def __init__(
        self,
        data_path,
        split="train",
        p_interval=(0.95,),
        window_size=120,
        min_frames=64,
        random_rot=False,
        rot_theta=0.3,
        bone=False,
        vel=False,
        views=1,
        data_ratio=1.0,
        subset_seed=0,
        val_groups=0,
        labelled=True,
        mirror=False,
        random_scale=0.0,
        **published,
    ):
        check_feeder_arguments(published)
        if split not in SPLITS:
            raise ValueError(f"split {split!r}: use one of {', '.join(SPLITS)}")
        if split == "val" and val_groups < 1:
            raise ValueError("split 'val' needs val_groups, the number of groups to hold out of the training set")
        if not 0 < data_ratio <= 1:
            raise ValueError(f"data_ratio {data_ratio}: a share of the samples, above 0 and at most 1")
        p = np.atleast_1d(p_interval)
        if len(p) not in (1, 2) or not (0 < p[0] <= p[-1] <= 1):
            raise ValueError(f"p_interval {p_interval}: one share of the frames, or two in rising order, in (0, 1]")
        super().__init__(data_path, "test" if split == "test" else "train", labelled)
        self.split = split
        self.p_interval, self.window_size, self.min_frames = p, window_size, min_frames
        self.random_rot, self.rot_theta, self.bone, self.vel, self.views = random_rot, rot_theta, bone, vel, views
        self.mirror, self.random_scale, self.val_groups = mirror, random_scale, val_groups
        self.num_draws = (5 + mirror + 3 * bool(random_scale)) * views  # random numbers for each sample
        if bone:
            self.parents()  # raises if they are not known
        self.opposite = torch.from_numpy(self.opposite_joints()) if mirror else None  # raises if they are not known
        # rows of the split to use: first without the held-out ones, then a share of the rest
        if val_groups and split != "test":
            self.indices = self.indices[self._held_out(val_groups) == (split == "val")]
        if data_ratio < 1:
            keep = int(len(self.indices) * data_ratio)
            if keep == 0:
                raise ValueError(f"data_ratio {data_ratio} leaves none of the {len(self.indices)} samples of {data_path}")
            self.indices = self.indices[np.sort(np.random.RandomState(subset_seed).permutation(len(self.indices))[:keep])]

    def _held_out(self, val_groups):
        """(N,) bool: which training samples are held out; the groups are always drawn with the same seed."""
        if self.groups is None:
            raise ValueError(f"{self.data_path}: no array 'group_{self.key}', so nothing can be held out; prepare the data again")
        groups = np.unique(self.groups)
        if len(groups) == 1:
            raise ValueError(
                f"{self.data_path}: val_groups {val_groups}: the training set has one group, which cannot be held out"
            )
        if not 0 < val_groups < len(groups):
            raise ValueError(
                f"val_groups {val_groups}: the training set has {len(groups)} groups, of which 1 to {len(groups) - 1} "
                "can be held out"
            )
        return np.isin(self.groups, np.random.RandomState(0).permutation(groups)[:val_groups])

    def __getitem__(self, index):
        return self.get(index)

    def get(self, index, rng=np.random):
        """One item, with its crop and augmentation drawn from `rng`. `collect` and `make` give the same for whole batches."""
        row = self.indices[index]
        frames = self.frames(index)
        data = torch.from_numpy(frames).reshape(len(frames), self.num_bodies, self.num_joints, 3).permute(3, 0, 2, 1)
        data = tools.valid_crop_resize(data, len(frames), self.p_interval, self.window_size, self.min_frames, rng)
        if (maps := self._draw_maps(rng)) is not None:
            data = tools.apply_maps(data, maps)
        if self.mirror and rng.rand(1)[0] < 0.5:
            data = tools.mirror(data, self.opposite)
        data = tools.stream(data, self.parents() if self.bone else None, self.vel)
        return data.contiguous(), int(self.label[row]), int(row)

    def _draw_maps(self, rng):
        """Random scaling, then rotation, as matrices (3, 3) or, for N samples, (N, 3, 3); None without either."""
        rotation = tools.rotation_matrix(tools.random_angles(self.rot_theta, rng)) if self.random_rot else None
        if not self.random_scale:
            return rotation
        factors = torch.from_numpy(tools.random_factors(self.random_scale, rng).astype(np.float32))
        return factors.diag_embed() if rotation is None else rotation * factors.unsqueeze(-2)  # R·diag(factors)

    def __getstate__(self):
        return {key: value for key, value in super().__getstate__().items() if key != "_parents"}  # which may be on a GPU

    # ---- batches: crops are cut on the host, everything else is done on the device (see feeder.batch) ---------------------

    def plan(self, valid, draws):
        """Draw crops and augmentation for N samples: begin (N·views,), length (N·views,) in frames[, maps (N·views, 3, 3), which
        scale and rotate[, mirrored (N·views,) bool]]. The views of a sample are next to each other.

        valid: (N,) numbers of valid frames. draws: (N, num_draws), their rows of feeder.batch.uniforms.
        """
        rng = Draws(draws.reshape(len(valid) * self.views, -1))
        begin, end = tools.crop_bounds(np.repeat(valid, self.views), self.p_interval, self.min_frames, rng)
        maps = self._draw_maps(rng)
        mirrored = [torch.from_numpy(rng.rand(1)[0] < 0.5)] if self.mirror else []
        if maps is None and mirrored:  # `make` takes them in this order
            maps = torch.eye(3).repeat(len(begin), 1, 1)  # not expanded: such a tensor cannot be pinned
        return begin, end - begin, *([] if maps is None else [maps]), *mirrored

    def labels(self, indices):
        """Labels and row numbers of samples, two tensors (N,)."""
        rows = self.indices[indices]
        return torch.from_numpy(self.label[rows]), torch.from_numpy(rows)

    def collect(self, indices, draws):
        """On the host: ((concatenated crops (R, M·V·3), first row, length, *augmentation), labels (N,), row numbers (N,)); see
        `plan`."""
        with self._unchanged_file():
            sequences = [self._frames(i) for i in indices]
        begin, length, *augmentation = self.plan(np.array([len(frames) for frames in sequences]), draws)
        repeated = (frames for frames in sequences for _ in range(self.views))
        return (*tools.concatenate_crops(repeated, begin, length), *augmentation), *self.labels(indices)

    def make(self, flat, first, length, maps=None, mirrored=None):
        """On the device: resize and augment the crops, rows first[i] to first[i] + length[i] of flat. Returns x (N, C, window, V,
        M) or, with several views, (N, views, C, window, V, M)."""
        if self.bone and (self._parents is None or self._parents.device != flat.device):
            self._parents = torch.from_numpy(self.parents()).to(flat.device)  # once, not in every step
        x = tools.resize_crops(flat, first, length, self.window_size, self.num_bodies, self.num_joints)
        if maps is not None:
            x = tools.apply_maps(x, maps)
        if mirrored is not None:
            opposite = self.opposite.to(x.device, non_blocking=True)  # without waiting for the device
            x = torch.where(mirrored[:, None, None, None, None], tools.mirror(x, opposite), x)
        x = tools.stream(x, self._parents, self.vel)
        return x if self.views == 1 else x.unflatten(0, (-1, self.views))

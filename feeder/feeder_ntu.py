"""The data set of every stage: skeleton sequences out of one npz, cropped, resized and augmented."""

from contextlib import contextmanager, suppress

import numpy as np
import torch
from torch.utils.data import Dataset

from feeder import about, labels, tools
from feeder.batch import Draws
from feeder.npz import identity, open_npz
from feeder.skeleton import LAYOUTS, parents_of

SPLITS = ("train", "val", "test")
_OPENED = ("x", "y", "names", "groups", "valid_frames", "above")  # what `_open` sets and a pickle leaves out
ASSUMED = (("num_joints", 25), ("num_bodies", 2))  # of an npz that says neither, as published ones do not
SEQUENCES = {  # what an array is for, where it is missing
    "train": "its sequences are what a model learns from",
    "test": "its sequences are what a trained model is judged by; only main_pretrain.py, and --val_groups, do without",
}
LABELS = {
    "train": "these are the labels to learn from; only main_pretrain.py does without",
    "test": "these are the labels that answers are compared with",
}


class Feeder(Dataset):
    """Sequences of one split; item i is (x (C, window, V, M) float32, label, row in the split).

    data_path: npz with x_train, y_train, x_test, y_test (docs/data.md). The arrays stay in the file and are memory-mapped.
    Only those of the split have to be there; labels may be texts, of which the sorted different ones become the classes.
    split: 'train', 'test', or 'val': what val_groups holds out of the training set.
    p_interval: [p] crops the central share p, [p0, p1] a random share (feeder.tools.crop_bounds).
    window_size: frames after resizing. min_frames: shortest random crop, in frames.
    random_rot: rotate by U(-rot_theta, rot_theta) radians about x, y, z (one number, or one per axis).
    bone, vel: give bones, or frame differences, instead of joints.
    labelled: whether the labels have to be there, too; without any, all are -1, and there are 0 classes.
    val_groups: number of groups (performers) of the training set that are 'val' and not 'train', always the same ones.
    views: crops of every sample, drawn one by one; with more than one, batches are (N, views, C, window, V, M).
    data_ratio: share of the samples to use, int(N · ratio), drawn without replacement with subset_seed.

    Raises ValueError or FileNotFoundError in one line naming the file and key: unreadable npz, missing array, wrong shape,
    labels that are not one of the classes, a sample without frames or with values that are not finite; later, when frames are
    read, that the file is no longer the one that was opened.
    """

    in_memory = False  # see feeder.batch

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
    ):
        if split not in SPLITS:
            raise ValueError(f"split {split!r}: use one of {', '.join(SPLITS)}")
        if split == "val" and val_groups < 1:
            raise ValueError("split 'val' needs val_groups, the number of groups to hold out of the training set")
        if not 0 < data_ratio <= 1:
            raise ValueError(f"data_ratio {data_ratio}: a share of the samples, above 0 and at most 1")
        p = np.atleast_1d(p_interval)
        if len(p) not in (1, 2) or not (0 < p[0] <= p[-1] <= 1):
            raise ValueError(f"p_interval {p_interval}: one share of the frames, or two in rising order, in (0, 1]")
        self.data_path, self.split = str(data_path), split
        self.key = "test" if split == "test" else "train"  # of the arrays in the file
        self.p_interval, self.window_size, self.min_frames = p, window_size, min_frames
        self.random_rot, self.rot_theta, self.bone, self.vel, self.views = random_rot, rot_theta, bone, vel, views
        self.identity, self.labelled = identity(data_path), labelled
        self._open()
        self.indices = np.arange(len(self.x))
        if val_groups and split != "test":
            self.indices = self.indices[self._held_out(val_groups) == (split == "val")]
        if data_ratio < 1:
            keep = int(len(self.indices) * data_ratio)
            if keep == 0:
                raise ValueError(f"data_ratio {data_ratio} leaves none of the {len(self.indices)} samples of {data_path}")
            self.indices = self.indices[np.sort(np.random.RandomState(subset_seed).permutation(len(self.indices))[:keep])]

    def _held_out(self, val_groups):
        """(N,) bool: the training samples of `val_groups` groups, drawn once and for all."""
        if self.groups is None:
            raise ValueError(f"{self.data_path}: no array 'group_{self.key}', so nothing can be held out; prepare the data again")
        names = np.unique(self.groups)
        if not 0 < val_groups < len(names):
            raise ValueError(
                f"val_groups {val_groups}: the training set has {len(names)} groups, of which 1 to {len(names) - 1} "
                "can be held out"
            )
        return np.isin(self.groups, np.random.RandomState(0).permutation(names)[:val_groups])

    def _open(self):
        arrays = open_npz(self.data_path)
        for key, what in ((f"x_{self.key}", SEQUENCES), (f"y_{self.key}", LABELS))[: 1 + self.labelled]:
            if key not in arrays:
                there = ", ".join(sorted(arrays)) or "none"
                raise ValueError(f"{self.data_path}: no array {key!r}; it has {there}; {what[self.key]}")
        self.x = arrays[f"x_{self.key}"]
        self.num_joints, self.num_bodies = (self._count(arrays, *pair) for pair in ASSUMED)
        self.layout = str(arrays.get("layout", "kinect_v2"))
        self.names, self.groups = arrays.get(f"name_{self.key}"), arrays.get(f"group_{self.key}")
        self.valid_frames = arrays.get(f"valid_frames_{self.key}")
        self.skeleton = {key: np.array(arrays[key]) for key in ("parents", "layout") if key in arrays}
        self.told, complaints = about.read(arrays, self.num_joints)
        self.complaints = [f"{self.data_path}: {complaint}; left out" for complaint in complaints]
        expected = 3 * self.num_joints * self.num_bodies
        if self.x.ndim != 3 or self.x.shape[2] != expected:
            raise ValueError(
                f"{self.data_path}: x_{self.key} has shape {self.x.shape}; {self.num_bodies} bodies of "
                f"{self.num_joints} joints need (N, T, {expected})"
                + "".join(f"; {key} is not in the file, so {default} is assumed" for key, default in ASSUMED if key not in arrays)
            )
        if self.bone:
            self.above = torch.from_numpy(self.parents())
        if len(self.x) == 0:
            raise ValueError(f"{self.data_path}: the split {self.key!r} has no samples")
        told = self.told.get("class_names")
        self.label, self.num_classes, self.class_names = labels.read(arrays, self.key, self.data_path, told)
        self.text_labels = f"y_{self.key}" in arrays and arrays[f"y_{self.key}"].dtype.kind in "US"
        if len(self.x) != len(self.label):
            raise ValueError(f"{self.data_path}: {len(self.x)} sequences but {len(self.label)} labels in {self.key!r}")
        for what in ("name", "group", "valid_frames"):
            extra = arrays.get(f"{what}_{self.key}")
            if extra is not None and extra.shape != (len(self.x),):
                raise ValueError(f"{self.data_path}: {what}_{self.key} has shape {extra.shape} for {len(self.x)} sequences")
        if self.valid_frames is not None and (np.min(self.valid_frames) < 0 or np.max(self.valid_frames) > self.x.shape[1]):
            raise ValueError(f"{self.data_path}: valid_frames_{self.key} is not within 0..{self.x.shape[1]}")

    def _count(self, arrays, key, default):
        value = np.asarray(arrays.get(key, default))
        if value.size != 1 or not np.issubdtype(value.dtype, np.integer) or value < 1:
            raise ValueError(f"{self.data_path}: {key} is {value.tolist()}; it has to be one positive whole number")
        return int(value)

    def number_by(self, names):
        """Give classes whose labels are texts the numbers that they have in another list of names, a model's. Raises ValueError
        for one that is not in it."""
        unknown = [name for name in self.class_names if name not in names]
        if unknown:
            raise ValueError(f"{self.data_path}: has the class {unknown[0]!r}, which is none of the {len(names)}")
        number = np.array([names.index(name) for name in self.class_names])
        self.label, self.class_names, self.num_classes = number[self.label], list(names), len(names)

    def label_by_row(self):
        """Every sequence is a class of its own, whose number is its row: for stages that tell sequences apart, without labels."""
        self.label, self.num_classes, self.class_names = np.arange(len(self.x)), len(self.x), None

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.get(index)

    def get(self, index, rng=np.random):
        """Item `index` with its random crop and rotation drawn from `rng`: the reference for `collect` and `make`."""
        row = self.indices[index]
        frames = self.frames(index)
        data = torch.from_numpy(frames).reshape(len(frames), self.num_bodies, self.num_joints, 3).permute(3, 0, 2, 1)
        data = tools.valid_crop_resize(data, len(frames), self.p_interval, self.window_size, self.min_frames, rng)
        if self.random_rot:
            data = tools.random_rot(data, self.rot_theta, rng)
        return self._stream(data).contiguous(), int(self.label[row]), int(row)

    def plan(self, valid, draws):
        """Crops of N samples, and rotations if there are any: begin (N·views,), length (N·views,) in frames[, rotation
        (N·views, 3, 3)], a sample's views side by side.

        valid: (N,) numbers of frames; draws: their rows of feeder.batch.uniforms, (N, 5·views).
        """
        rng = Draws(draws.reshape(len(valid) * self.views, -1))
        begin, end = tools.crop_bounds(np.repeat(valid, self.views), self.p_interval, self.min_frames, rng)
        rotation = [tools.rotation_matrix(tools.random_angles(self.rot_theta, rng))] if self.random_rot else []
        return begin, end - begin, *rotation

    def labels(self, indices):
        """Classes and rows of samples, two tensors (N,)."""
        rows = self.indices[indices]
        return torch.from_numpy(self.label[rows]), torch.from_numpy(rows)

    def collect(self, indices, draws):
        """Host part of a batch: ((crops one after another (R, M·V·3), first row, length[, rotation]), labels (N,), rows (N,))."""
        with self._undisturbed():
            frames = [self._frames(i) for i in indices]
        begin, length, *rotation = self.plan(np.array([len(f) for f in frames]), draws)
        each = (f for f in frames for _ in range(self.views))
        crops = np.concatenate([f[b : b + n] for f, b, n in zip(each, begin, length, strict=True)])
        first = np.cumsum(length) - length
        tensors = (torch.from_numpy(crops), torch.from_numpy(first), torch.from_numpy(length), *rotation)
        return tensors, *self.labels(indices)

    def make(self, flat, first, length, rotation=None):
        """Device part of a batch: rows first[i] to first[i] + length[i] of flat, resized and rotated: x (N, C, window, V, M)
        or, with several views, (N, views, C, window, V, M).
        """
        x = tools.resize_flat(flat, first, length, self.window_size)
        x = x.view(len(x), self.window_size, self.num_bodies, self.num_joints, 3).permute(0, 4, 1, 3, 2)
        x = self._stream(x if rotation is None else tools.turn(x, rotation))
        return x if self.views == 1 else x.unflatten(0, (-1, self.views))

    def _stream(self, data):
        if self.bone:
            self.above = self.above.to(data.device)  # copied once, not in every step
            data = tools.bone(data, self.above)
        return tools.velocity(data) if self.vel else data

    def parents(self):
        """(V,) int64: the joint each joint hangs on. Raises ValueError if the file's skeleton is not known."""
        try:
            return parents_of(self.skeleton, self.num_joints)
        except ValueError as error:
            raise ValueError(f"{self.data_path}: {error}") from error

    def joint_names(self):
        """V names or None: the file's own, else those of its layout or, where it says nothing of its skeleton, of the Kinect that
        has so many joints."""
        if "joint_names" in self.told:
            return self.told["joint_names"]
        layouts = [self.layout] if "layout" in self.skeleton else [] if self.skeleton else ["kinect_v2", "kinect_v1"]
        named = (list(LAYOUTS[layout][0]) for layout in layouts if layout in LAYOUTS)
        return next((names for names in named if len(names) == self.num_joints), None)

    def about(self):
        """What a model has to know of its data to judge other recordings, as plain values: num_joints, num_bodies and, where they
        are known, parents and the KEYS of feeder.about. What cannot be is left out and stands in `complaints`."""
        sizes = {"num_joints": self.num_joints, "num_bodies": self.num_bodies}
        known = {"joint_names": self.joint_names(), "class_names": self.class_names, "body_size": self.body_size()}
        with suppress(ValueError):  # a skeleton nobody has described
            known["parents"] = self.parents().tolist()
        return sizes | self.told | {key: value for key, value in known.items() if value is not None}

    def body_size(self):
        """Median size of a body (feeder.about.sizes) in 32 samples, metres; None if all of these are damaged. What min_max has
        stretched was as large as the npz tells."""
        found = []
        if self.told.get("min_max"):
            return self.told.get("body_size")
        for index in np.unique(np.linspace(0, len(self) - 1, 32).astype(int)):
            with suppress(ValueError):
                found.append(about.sizes(self.frames(index).reshape(-1, self.num_joints, 3)))
        return float(f"{np.median(np.concatenate(found)):.4g}") or None if found else None

    def count_frames(self):
        """(N,) int64: valid frames of every sample."""
        if self.valid_frames is not None:
            return np.asarray(self.valid_frames)[self.indices].astype(np.int64)
        return np.array([len(self.frames(i)) for i in range(len(self))])

    def frames(self, index):
        """The valid frames of sample `index`, copied out of the map: (T, M·V·3), as many as have a sum that is not 0."""
        with self._undisturbed():
            return self._frames(index)

    @contextmanager
    def _undisturbed(self):
        """Frames that are read in this block come from the file that was opened. Raises ValueError if it is another one, or was
        written to: the map would show a mixture, and end the process where the file has become shorter."""
        self._check_file()
        try:
            yield
        finally:
            self._check_file()

    def _check_file(self):
        if identity(self.data_path) != self.identity:
            raise ValueError(f"{self.data_path}: was replaced, changed or removed while it was in use; start again")

    def _frames(self, index):
        row = self.indices[index]
        sequence = self.x[row]
        if self.valid_frames is not None:
            frames = np.array(sequence[: self.valid_frames[row]], dtype=np.float32)
        else:
            frames = np.array(sequence, dtype=np.float32)
            frames = frames[: np.count_nonzero(frames.sum(1))]
        if not len(frames):
            raise ValueError(f"{self.data_path}: {self.name(row)} has no frame with a body")
        if not np.isfinite(frames.sum()):
            raise ValueError(f"{self.data_path}: {self.name(row)} holds values that are not finite")
        return frames

    def name(self, row):
        """How to call the sequence in row `row` of the split in a message."""
        return f"{self.key} sample {row}" + ("" if self.names is None else f" ({self.names[row]})")

    # a worker process opens the file itself: pickling a memory map would copy the whole split, and `above` may lie on a GPU
    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k not in _OPENED}

    def __setstate__(self, state):
        self.__dict__.update(state)
        with self._undisturbed():
            self._open()
        self.__dict__.update(state)  # once more: numbers of classes may be those of a model

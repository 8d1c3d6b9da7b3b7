"""One split of an npz: its arrays, checked when opened, the frames of its sequences, and their metadata."""

from contextlib import contextmanager, suppress

import numpy as np

from feeder.class_names import padded, published_names
from feeder.labels import read_labels
from feeder.metadata import read_metadata
from feeder.npz import file_stamp, open_npz
from feeder.skeleton import joint_names, joint_names_of, opposite_joints, parents_of
from feeder.units import body_sizes

ASSUMED = {"num_joints": 25, "num_bodies": 2}  # for an npz without these, as published ones are
NEEDED = {  # for the message if it is missing: what an array is needed for
    "x_train": "its sequences are what a model learns from",
    "x_test": "its sequences are what a trained model is judged by; only main_pretrain.py, and --val_groups, do without",
    "y_train": "these are the labels to learn from; only main_pretrain.py does without",
    "y_test": "these are the labels that answers are compared with",
}


class NpzSplit:
    """The arrays x_<key>, y_<key>, ... of an npz (docs/data.md), memory-mapped; key: 'train' or 'test'.

    labelled: whether labels are required; without any, all are -1, and there are 0 classes. indices: the rows of the split that
    are used, here all; sample i is row indices[i]. Raises as the Feeder does.
    """

    def __init__(self, data_path, key, labelled=True):
        self.data_path, self.key, self.labelled, self.identity = str(data_path), key, labelled, file_stamp(data_path)
        self._open()
        self.indices = np.arange(len(self.x))

    def __len__(self):
        return len(self.indices)

    def _open(self):
        """Map the arrays of the split and check everything but the sequences themselves."""
        arrays, path, key = open_npz(self.data_path), self.data_path, self.key
        for name in (f"x_{key}", f"y_{key}")[: 1 + self.labelled]:
            if name not in arrays:
                raise ValueError(f"{path}: no array {name!r}; it has {', '.join(sorted(arrays)) or 'none'}; {NEEDED[name]}")
        self.x = arrays[f"x_{key}"]  # (N, T, M·V·3)
        self.names, self.groups, self.valid_frames = (arrays.get(f"{name}_{key}") for name in ("name", "group", "valid_frames"))
        self.num_joints, self.num_bodies = (self._count(name, arrays.get(name, ASSUMED[name])) for name in ASSUMED)
        self.layout = str(arrays.get("layout", "kinect_v2"))
        self.skeleton = {name: np.array(arrays[name]) for name in ("parents", "layout") if name in arrays}
        self.file_metadata, complaints = read_metadata(arrays, self.num_joints)
        self.complaints = [f"{path}: {complaint}; left out" for complaint in complaints]
        names = self.file_metadata.get("joint_names")
        if not self.skeleton and names and names != list(joint_names("kinect_v2")):
            self.skeleton = {"layout": np.array("")}  # bones are not known; published files have no names, and Kinect v2's bones
        numbers = 3 * self.num_joints * self.num_bodies
        if self.x.ndim != 3 or self.x.shape[2] != numbers:
            assumed = (f"; {n} is not in the file, so {default} is assumed" for n, default in ASSUMED.items() if n not in arrays)
            needed = f"{self.num_bodies} bodies of {self.num_joints} joints need (N, T, {numbers}){''.join(assumed)}"
            raise ValueError(f"{path}: x_{key} has shape {self.x.shape}; {needed}")
        if len(self.x) == 0:
            raise ValueError(f"{path}: the split {key!r} has no samples")
        class_names = self.file_metadata.get("class_names")
        self.label, self.num_classes, self.class_names = read_labels(arrays, key, path, class_names)
        self.text_labels = f"y_{key}" in arrays and arrays[f"y_{key}"].dtype.kind in "US"
        if len(self.x) != len(self.label):
            raise ValueError(f"{path}: {len(self.x)} sequences but {len(self.label)} labels in {key!r}")
        for name, extra in (("name", self.names), ("group", self.groups), ("valid_frames", self.valid_frames)):
            if extra is not None and extra.shape != (len(self.x),):
                raise ValueError(f"{path}: {name}_{key} has shape {extra.shape} for {len(self.x)} sequences")
        if self.valid_frames is not None and self.valid_frames.dtype.kind not in "iu":
            raise ValueError(
                f"{path}: valid_frames_{key} has type {self.valid_frames.dtype}; it has to be whole numbers, such as int32"
            )
        if self.valid_frames is not None and (np.min(self.valid_frames) < 0 or np.max(self.valid_frames) > self.x.shape[1]):
            raise ValueError(f"{path}: valid_frames_{key} is not within 0..{self.x.shape[1]}")

    def _count(self, name, value):
        value = np.asarray(value)
        if value.size != 1 or not np.issubdtype(value.dtype, np.integer) or value < 1:
            raise ValueError(f"{self.data_path}: {name} is {value.tolist()}; it has to be one positive whole number")
        return int(value.item())

    # worker processes open the file themselves: pickling a memory map would copy the whole split
    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k not in ("x", "names", "groups", "valid_frames")}

    def __setstate__(self, state):
        self.__dict__.update(state)
        with self._unchanged_file():
            self._open()
        self.__dict__.update(state)  # again, since classes may have been renumbered

    @contextmanager
    def _unchanged_file(self):
        """Context for reading frames. Raises ValueError if the file was replaced or written to since it was opened: the map would
        show a mixture of old and new, or crash the process if the file became shorter."""
        self._check_file()
        try:
            yield
        finally:
            self._check_file()

    def _check_file(self):
        if file_stamp(self.data_path) != self.identity:
            raise ValueError(f"{self.data_path}: was replaced, changed or removed while it was in use; start again")

    def frames(self, index):
        """A copy of the valid frames of sample `index`, (T, M·V·3): the first valid_frames or, if the npz does not hold that, as
        many as have a sum that is not 0."""
        with self._unchanged_file():
            return self._frames(index)

    def _frames(self, index):
        row = self.indices[index]
        sequence = self.x[row]
        frames = np.array(sequence if self.valid_frames is None else sequence[: self.valid_frames[row]], dtype=np.float32)
        if self.valid_frames is None:
            frames = frames[: np.count_nonzero(frames.sum(1))]
        if not len(frames):
            raise ValueError(f"{self.data_path}: {self.name(row)} has no frame with a body")
        if not np.isfinite(frames.sum()):
            raise ValueError(f"{self.data_path}: {self.name(row)} holds values that are not finite")
        return frames

    def count_frames(self):
        """(N,) int64: number of valid frames of each sample."""
        if self.valid_frames is not None:
            return np.asarray(self.valid_frames)[self.indices].astype(np.int64)
        return np.array([len(self.frames(i)) for i in range(len(self))])

    def frames_lost(self):
        """Percent of the frames of up to 32 samples that have coordinates, but add up to 0, and so are not counted."""
        if self.valid_frames is not None:
            return 0
        drawn = self.x[self.indices[np.unique(np.linspace(0, len(self) - 1, 32).astype(int))]].astype(np.float32)
        frames = np.count_nonzero(drawn.any(2))
        return float(f"{100 * (1 - np.count_nonzero(drawn.sum(2)) / frames):.2g}") if frames else 0

    def name(self, row):
        """What messages call the sequence in a row of the split."""
        return f"{self.key} sample {row}" + ("" if self.names is None else f" ({self.names[row]})")

    def sample_names(self):
        """(N,) names of the samples, 'test sample 3' for one without."""
        return np.array([self.name(row) for row in self.indices]) if self.names is None else self.names[self.indices]

    # ---- metadata -------------------------------------------------------------------------------------------------------

    def names_of_classes(self, count=None):
        """`count` class names (default: one for each class): the file's own, else the published ones of a data set with this file
        name, else 'class 0', ..."""
        names = self.class_names or published_names(self.data_path, self.num_joints, self.num_classes)
        return padded(names, self.num_classes if count is None else count)

    def class_title(self, number):
        """'class 3 (brush teeth)', 'class 3' if the name is not known, 'no label' for -1."""
        if number < 0:
            return "no label"
        title, name = f"class {number}", self.names_of_classes(number + 1)[number]
        return title if name == title else f"{title} ({name})"

    def renumber_classes(self, names):
        """Number the classes that have names as in `names`, those of a model. Raises ValueError for a class that is not
        there."""
        own, names = padded(self.class_names, self.num_classes), padded(names, max(len(names), self.num_classes))
        if own != names[: len(own)]:
            unknown = [own[number] for number in np.unique(self.label) if own[number] not in names]
            if unknown:
                raise ValueError(f"{self.data_path}: has the class {unknown[0]!r}, which is none of the {len(names)}")
            self.label = np.array([names.index(name) if name in names else -1 for name in own])[self.label]
        self.class_names, self.num_classes = names, len(names)

    def label_by_row(self):
        """Replace labels by row numbers: every sequence is a class of its own."""
        self.label, self.num_classes, self.class_names = np.arange(len(self.x)), len(self.x), None

    def parents(self):
        """(V,) int64: each joint's parent. Raises ValueError if they are not known."""
        try:
            return parents_of(self.skeleton, self.num_joints)
        except ValueError as error:
            raise ValueError(f"{self.data_path}: {error}") from error

    def joint_names(self):
        """V names, the file's own or those of its layout; None if not known."""
        return self.file_metadata.get("joint_names") or joint_names_of(self.skeleton, self.num_joints)

    def opposite_joints(self):
        """(V,) int64: for each joint the one on the other side of the body. Raises ValueError if they are not known."""
        names, parents = self.joint_names(), None
        if not names:
            raise ValueError(f"{self.data_path}: mirror: needs the names of the joints, an array 'joint_names' (docs/data.md)")
        with suppress(ValueError):  # not known
            parents = self.parents()
        try:
            return opposite_joints(names, parents)
        except ValueError as error:
            raise ValueError(f"{self.data_path}: mirror: {error}") from error

    def body_size(self):
        """Median body size (feeder.units.body_sizes) in 32 samples, in metres; None if all of them are damaged. For data
        scaled by min_max it is the size before that, which the npz holds."""
        if self.file_metadata.get("min_max"):
            return self.file_metadata.get("body_size")
        found = []
        for index in np.unique(np.linspace(0, len(self) - 1, 32).astype(int)):
            with suppress(ValueError):
                found += list(body_sizes(self.frames(index).reshape(-1, self.num_joints, 3)))
        return float(f"{np.median(found):.4g}") or None if found else None

    def metadata(self):
        """Plain values that a checkpoint keeps, so that a model can later be used on raw recordings: num_joints, num_bodies and,
        if known, parents and the keys of feeder.metadata.CHECKS."""
        found = {"joint_names": self.joint_names(), "class_names": self.class_names, "body_size": self.body_size()}
        with suppress(ValueError):  # not known
            found["parents"] = self.parents().tolist()
        sizes = {"num_joints": self.num_joints, "num_bodies": self.num_bodies}
        return sizes | self.file_metadata | {key: value for key, value in found.items() if value is not None}

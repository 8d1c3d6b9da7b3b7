"""Batches that depend only on seed, epoch and step: not on workers, processes, accumulation or where the data are kept."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from feeder.batch import Resident, uniforms
from feeder.feeder_ntu import Feeder
from feeder.units import unit_warning
from util import config_files, distributed, host, signals
from util.files import csv_text, write_text
from util.logging import print_always, print_info
from util.options import UNLABELLED


class TrainBatches:
    """The batches of one rank: (indices (n,), their rows of the epoch's random numbers (n, num_draws)).

    Step s of an epoch takes the s-th slice of `effective_batch_size` indices of the epoch's permutation, for any number of ranks;
    micro-batch a of rank r is the (a·world + r)-th part of that slice. An incomplete last slice is dropped; a data set smaller
    than the effective batch is repeated to fill one step.
    """

    def __init__(self, num_samples, batch_size, accum_iter, seed, num_draws=5):
        self.num_samples, self.batch_size, self.accum_iter = num_samples, batch_size, accum_iter
        self.seed, self.num_draws = seed, num_draws
        self.effective_batch_size = batch_size * accum_iter * distributed.world_size()
        self.steps = max(1, num_samples // self.effective_batch_size)
        self.start(0)

    def start(self, epoch, micro=0):
        """Set the epoch of the next iteration, and the micro-batch to start from."""
        self.epoch, self.micro = epoch, micro

    def __len__(self):
        return self.steps * self.accum_iter

    def __iter__(self):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_samples)
        order = np.resize(order, max(len(order), self.effective_batch_size))
        draws = uniforms(self.seed, self.epoch, self.num_samples, self.num_draws)
        for micro in range(self.micro, len(self)):
            start = (micro * distributed.world_size() + distributed.rank()) * self.batch_size
            indices = order[start : start + self.batch_size]
            yield indices, draws[indices]


def evaluation_batches(num_samples, batch_size, seed, shared):
    """This rank's share of the samples, each exactly once over all ranks; without --dist_eval (`shared`) every rank has all."""
    rank, world = (distributed.rank(), distributed.world_size()) if shared else (0, 1)
    indices, draws = np.arange(rank, num_samples, world), uniforms(seed, 0, num_samples)
    parts = (indices[start : start + batch_size] for start in range(0, len(indices), batch_size))
    return [(part, draws[part]) for part in parts]


class Loader:
    """Iterates over batches (x, label, row) of `data` (see feeder.batch): x and label on the device, row numbers on the CPU.

    Workers, at most one for each core, only read frames; x is made from them on the device. Call `loader.batches.start` before
    each epoch of training.
    """

    def __init__(self, data, batches, args, device):
        self.source, self.batches, self.device = data, batches, device
        if args.data_on_device and not data.in_memory:
            data = Resident(data, device)
            frames, size = data.flat.shape[0], data.flat.nbytes / 2**30
            print_info(f"{data.feeder.split}: {len(data)} sequences, {frames} frames, {size:.2f} GiB in the memory of {device}")
        self.data = data
        workers = 0 if data.in_memory else min(args.num_workers, host.cores())
        self._host = DataLoader(
            _Host(data),
            batch_size=None,
            sampler=batches,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
            worker_init_fn=signals.in_worker,
            generator=torch.Generator(),  # its own, since its draws depend on num_workers and must not change the masks
        )

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for tensors, label, row in self._host:
            x = self.data.make(*(t.to(self.device, non_blocking=True) for t in tensors))
            yield x, label.to(self.device, non_blocking=True), row


class _Host(Dataset):
    """The host's part of making a batch, run in the workers."""

    def __init__(self, data):
        self.data = data

    def __getitem__(self, batch):
        return self.data.collect(*batch)


class Features:
    """A data set of precomputed features of a frozen encoder, {read-out: (N, D')}, and labels (N,)."""

    in_memory = True

    def __init__(self, features, labels, device):
        self.features, self.label = {name: values.to(device) for name, values in features.items()}, labels

    def __len__(self):
        return len(self.label)

    def collect(self, indices, draws):
        indices = torch.from_numpy(indices)
        return (indices,), self.label[indices], indices

    def make(self, indices):
        return {name: values[indices] for name, values in self.features.items()}


def train_loader(data, args, device):
    """Loader of shuffled, augmented batches."""
    batches = TrainBatches(len(data), args.batch_size, args.accum_iter, args.seed, getattr(data, "num_draws", 5))
    return Loader(data, batches, args, device)


def test_loader(data, args, device):
    """Loader of this rank's share of the samples."""
    batches = evaluation_batches(len(data), args.batch_size, args.seed, args.dist_eval)
    return Loader(data, batches, args, device)


def augmentation(args):
    """The options of random crops, rotations, scaling and mirror images, as the Feeder names them; only training has them."""
    names = ("min_frames", "random_rot", "rot_theta", "random_scale", "mirror")
    return {"p_interval": args.train_p_interval} | {name: getattr(args, name) for name in names}


def build_feeder(args, split, augment, labelled=None, views=1):
    """Feeder of 'train' or 'test' with the options' crops. augment: random crops, rotations, scaling and mirror images.

    With --val_groups 'test' is the held-out part of the training set. labelled: whether labels are required; by default in the
    downstream stages only.
    """
    train, seed = split == "train", getattr(args, "subset_seed", 0)
    return Feeder(
        args.data_path,
        "val" if args.val_groups and not train else split,
        **(augmentation(args) if augment else {"p_interval": args.test_p_interval}),
        window_size=args.num_frames,
        bone=args.input_stream == "bone",
        vel=args.input_stream == "motion"
        and not (args.stage == "pretrain" and args.method == "mamp"),  # which computes motion itself
        views=views,
        data_ratio=getattr(args, "data_ratio", 1.0) if train else 1.0,
        subset_seed=seed + distributed.rank() if getattr(args, "subset", "") == "released" else seed,
        val_groups=args.val_groups,
        labelled=args.stage not in UNLABELLED if labelled is None else labelled,
    )


def data_warnings(data):
    """Lines about what is probably wrong with an npz: metadata that were left out, names, frames, and the unit."""
    warnings = list(data.complaints)
    names = data.class_names or []
    if names and data.num_classes > len(names):
        warnings.append(f"{data.data_path}: class_names are {len(names)} for {data.num_classes} classes; labels begin at 0")
    if lost := data.frames_lost():
        warnings.append(
            f"{data.data_path}: {lost} % of the frames count as empty because their coordinates add up to 0; an array "
            f"valid_frames_{data.key} with the number of frames of each sequence keeps them"
        )
    if size := unit_warning(data.metadata()):
        warnings.append(f"{data.data_path}: {size}")
    return warnings


def warn_about(data):
    """Print the `data_warnings` of a Feeder."""
    for line in data_warnings(data):
        print_always(f"warning: {line}")


def report_training_set(args, data):
    """Number of training samples that are used by any process. Prints warnings about the data, and the classes, and lists the
    samples of a subset (--data_ratio) in subset.csv.
    """
    warnings = data_warnings(data)
    if absent := data.num_classes and sorted(set(range(data.num_classes)) - set(data.label[data.indices].tolist())):
        titles = ", ".join(data.class_title(number) for number in absent[:4]) + (", ..." if len(absent) > 4 else "")
        if getattr(args, "data_ratio", 1.0) < 1:
            warnings.append(
                f"of {len(data)} training samples that were chosen none is of {titles}; another --subset_seed, or more"
            )
        else:
            reason = "the groups held out may have them" if args.val_groups else "labels that are numbers begin at 0"
            warnings.append(f"{data.data_path}: no training sample is of {titles}; {reason}")
    if args.effective_batch_size and len(data) < args.effective_batch_size:
        warnings.append(
            f"{len(data)} samples are fewer than effective_batch_size {args.effective_batch_size}: an epoch is one step, in "
            f"which they are repeated; --effective_batch_size {max(1, len(data) // 2)} or less gives more steps"
            + config_files.small_data_hint(args, "effective_batch_size")
        )
    for line in warnings:
        print_always(f"warning: {line}")
    if data.class_names is not None and data.num_classes:
        named = [f"{number} = {name!r}" for number, name in enumerate(data.names_of_classes())]
        print_info("classes: " + ", ".join(named if len(named) < 6 else [*named[:4], "...", named[-1]]))
    shares = distributed.gather(data.indices.tolist())
    rows = sorted(set().union(*shares))
    if len(rows) == len(data.label):
        return len(rows)
    path = Path(args.output_dir, "subset.csv")
    if distributed.is_main():
        names, lines = data.names_of_classes(), []
        for row in rows:
            label, class_name = (data.label[row], names[data.label[row]]) if names else ("", "")
            name = "" if data.names is None else data.names[row]
            lines.append({"row": row, "label": label, "class_name": class_name, "name": name})
        write_text(path, csv_text(lines, end="\n"))
    if args.subset == "released" and len(shares) > 1:
        how = f"released: {len(data)} drawn by each of {len(shares)} processes for itself"
    else:
        how = f"subset_seed {args.subset_seed}, the same on every process"
    print_info(f"subset: {len(rows)} of {len(data.label)} training samples ({how}), listed in {path}")
    return len(rows)


def match_classes_to_checkpoint(data, content, path):
    """Give a Feeder the class names of the checkpoint `content` if the npz has none. If it has, number the classes as in the
    checkpoint, by name; raises ValueError for a class that it does not have."""
    metadata = content.get("data") if "config" in content else None
    names = metadata.get("class_names") if isinstance(metadata, dict) else None
    if not isinstance(names, list):
        return
    if not data.class_names:
        data.class_names = names
        return
    try:
        data.renumber_classes(names)
    except ValueError as error:
        hint = "" if data.text_labels else "; without class_names in the npz, classes are compared by number"
        raise ValueError(f"{error} of {path}: {', '.join(map(repr, names))[:200]}{hint}") from error

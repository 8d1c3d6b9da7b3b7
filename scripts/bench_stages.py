"""What bench.py measures: invented data, and one step of each part in each mode (see there)."""

import argparse
import resource
import time
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from feeder.batch import Draws
from feeder.feeder_ntu import Feeder
from feeder.loader import train_loader
from model.mamp import MAMP
from model.transformer import Transformer
from util.distributed import compiled
from util.engine import autocast

CLASSES = 60


def invent(path, o, samples):
    """An npz of random walks of two bodies, T/2 to 2T valid frames, the second body empty in o.empty of the samples."""
    rng = np.random.default_rng(0)
    valid = rng.integers(o.num_frames // 2, 2 * o.num_frames, samples)
    x = rng.normal(scale=0.02, size=(samples, int(valid.max()), 2, o.num_joints, 3)).cumsum(1).astype(np.float32)
    x[: round(o.empty * samples), :, 1] = 0
    x[np.arange(x.shape[1]) >= valid[:, None]] = 0
    arrays = {
        "x_train": x.reshape(*x.shape[:2], -1),
        "y_train": np.eye(CLASSES, dtype=np.uint8)[rng.integers(0, CLASSES, samples)],
    }
    np.savez(path, **arrays, num_joints=o.num_joints, num_bodies=2, valid_frames_train=valid.astype(np.int32))


def feeder_of(path, o):
    """Feeder of pre-training's augmentation."""
    return Feeder(path, "train", (0.5, 1.0), o.num_frames, min(64, o.num_frames), random_rot=True)


class PerSample:
    """A loader's batches made as in the published code: sample by sample, stacked, then moved to the device."""

    def __init__(self, loader):
        self.feeder, self.batches, self.device = loader.source, loader.batches, loader.device

    def __iter__(self):
        for indices, draws in self.batches:
            items = [self.feeder.get(i, Draws(row)) for i, row in zip(indices, draws, strict=True)]
            x, label, row = zip(*items, strict=True)
            yield torch.stack(x).to(self.device), torch.tensor(label).to(self.device), torch.tensor(row)


def loader(feeder, o, device, resident=False, workers=0):
    """feeder.loader's training loader with the benchmark's options."""
    args = argparse.Namespace(batch_size=o.batch_size, accum_iter=1, seed=0, num_workers=workers, data_on_device=resident)
    return train_loader(feeder, args, device)


def materialised(attn, x, **mask):
    """Attention as in timm 0.3.2, on which the release was built: softmax(q·kᵀ · scale)·v with every intermediate result in
    memory.

    mask: passed by timm's newer blocks, always None.
    """
    b, length, dim = x.shape
    q, k, v = attn.qkv(x).view(b, length, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
    weights = ((q @ k.mT) * attn.scale).softmax(-1)
    return attn.proj((weights @ v).transpose(1, 2).reshape(b, length, dim))


def decoder(name, o):
    """MAMP's keys of a decoder."""
    return {"decoder": name, "query_frames": o.query_frames, "predict_ratio": o.predict_ratio}


class Stage:
    """One part in one mode, pre-training with one of MAMP's decoders: data, model and optimizer, ready to run steps."""

    def __init__(self, part, mode, feeder, o, device, own_decoder="self"):
        self.part, self.mode, self.o, self.device, self.steps = part, mode, o, device, 0
        self.names = ("data", "forward") if part == "inference" else ("data", "forward", "backward", "optimizer")
        torch.manual_seed(0)
        size = dict(dim_feat=o.dim_feat, depth=o.depth, num_frames=o.num_frames, num_joints=o.num_joints)
        size["skip_empty_bodies"] = "skip" in mode
        if part == "pretrain":
            size |= {"decoder_dim_feat": o.dim_feat, "decoder_depth": o.decoder_depth, "norm_skes_loss": True}
            self.model = MAMP(**size, **decoder(own_decoder, o))
        else:
            self.model = Transformer(**size, num_classes=CLASSES, drop_path_rate=0.3 if part == "finetune" else 0)
        self.model.to(device).train(part != "inference" or "release" in mode)  # train mode of release: encode every body
        if "release" in mode:
            for block in [*self.model.blocks, *getattr(self.model, "decoder_blocks", [])]:
                block.attn.forward = partial(materialised, block.attn)
        how = {"foreach": False} if "release" in mode else {"fused": True}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, weight_decay=0.05, **how)
        to_compile = part != "inference" and ("compile" in mode or "resident" in mode and device.type == "cuda")
        self.called = compiled(self.model, device) if to_compile else self.model
        self.loader = loader(feeder, o, device, "resident" in mode, 0 if "release" in mode else o.num_workers)
        self.batches = self._forever()

    def _forever(self):
        batches = PerSample(self.loader) if "release" in self.mode else self.loader
        while True:
            yield from batches
            self.loader.batches.epoch += 1

    def loss(self, model, x, label):
        if self.part == "pretrain":
            return model(x, 0.9, 1, 0.8)[0]
        if self.part == "finetune":
            return F.cross_entropy(model(x), label, label_smoothing=0.1)
        return self.model.forward_features(x).mean()

    def counted(self):
        """Operations of one sample's forward pass by torch's counter, for the bodies that are really encoded."""
        x, label, _ = next(self.batches)
        with (
            torch.no_grad(),
            FlopCounterMode(display=False) as counter,
            sdpa_kernel(SDPBackend.MATH),
        ):  # attention that the counter counts
            self.loss(self.model, x, label)
        return counter.get_total_flops() / len(x)

    def step(self, mark):
        """Forward and backward pass of a batch, and every o.accum_iter-th time an update. mark() is called after each of
        self.names."""
        x, label, _ = next(self.batches)
        mark()
        with autocast(self.device, "amp" in self.mode), torch.set_grad_enabled(self.part != "inference"):
            loss = self.loss(self.called, x, label)
        if "release" in self.mode:
            loss.item()
        mark()
        if self.part != "inference":
            (loss / self.o.accum_iter).backward()
            mark()
            self.steps += 1
            if self.steps % self.o.accum_iter == 0:
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
            mark()

    def run(self):
        """Seconds for o.steps steps: {'wall', 'processor' (all cores), 'data', 'forward', ...}."""
        marks, cuda = [], self.device.type == "cuda"

        def mark():
            marks.append(torch.cuda.Event(enable_timing=True) if cuda else time.perf_counter())
            if cuda:
                marks[-1].record()

        begin, worked = time.perf_counter(), time.process_time()
        mark()
        for _ in range(self.o.steps):
            self.step(mark)
        if cuda:
            torch.cuda.synchronize()
        seconds = {"wall": time.perf_counter() - begin, "processor": time.process_time() - worked}
        spans = [a.elapsed_time(b) / 1e3 if cuda else b - a for a, b in zip(marks, marks[1:], strict=False)]
        return seconds | {name: sum(spans[i :: len(self.names)]) for i, name in enumerate(self.names)}

    def memory(self):
        """Peak memory in GiB: allocated on the GPU, or of the process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    def busy(self, wall):
        """Share of `wall` (seconds of a run without profiler) in which the GPU runs kernels."""
        if self.device.type != "cuda":
            return None
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            self.run()
        return sum(event.self_device_time_total for event in profile.key_averages()) / 1e6 / wall

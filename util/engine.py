"""An epoch of training, and the outputs of a model over a test set."""

import contextlib
import math
import time

import torch
from tqdm import tqdm

from util import distributed
from util.lr_sched import adjust_learning_rate
from util.metrics import classification


def autocast(device, enabled):
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def train_one_epoch(model, loader, optimizer, loss_of, epoch, args, device):
    """One epoch over `loader` with gradient accumulation.

    loss_of(model, x, label) -> scalar, the mean over its samples. Returns {'train_loss': per-sample mean over all ranks, 'lr',
    'samples_per_s'}. Raises FloatingPointError with step and sample indices when a loss, or a weight in the end, is not
    finite; losses stay on the device between checks (every args.print_freq steps, on a CPU every step).
    """
    model.train()
    torch.manual_seed(_mix(args.seed, epoch, distributed.rank()))  # an epoch's masks depend on nothing before it
    loader.batch_sampler.epoch = epoch
    steps = len(loader) // args.accum_iter
    check_every = 1 if device.type == "cpu" else args.print_freq
    total, pending, start, batches = 0.0, [], time.perf_counter(), iter(loader)
    bar = tqdm(range(steps), f"epoch {epoch}", leave=False, disable=None if distributed.is_main() else True, unit="step")
    for step in bar:
        lr = adjust_learning_rate(optimizer, epoch + step / steps, args)
        for micro in range(args.accum_iter):
            x, label, index = next(batches)
            last = micro == args.accum_iter - 1
            sync = contextlib.nullcontext() if last or distributed.world_size() == 1 else model.no_sync()
            with sync:
                with autocast(device, args.enable_amp):
                    loss = loss_of(model, x.to(device, non_blocking=True), label.to(device, non_blocking=True))
                (loss / args.accum_iter).backward()
            pending.append((step, index, loss.detach()))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % check_every == 0 or step + 1 == steps:
            total += _finite_sum(pending, epoch)
            pending.clear()
            if (step + 1) % args.print_freq == 0:
                speed = (step + 1) * args.effective_batch_size / (time.perf_counter() - start)
                bar.set_postfix_str(f"loss {total / (step + 1) / args.accum_iter:.4f}, {speed:.0f} samples/s")
    if not torch.stack([p.detach().isfinite().all() for p in model.parameters()]).all():  # the last update saw no loss after it
        raise FloatingPointError(f"weights are not finite after epoch {epoch}, step {step}, samples {index.tolist()}")
    return {
        "train_loss": distributed.mean(total / len(loader)),
        "lr": lr,
        "samples_per_s": steps * args.effective_batch_size / (time.perf_counter() - start),
    }


def _finite_sum(pending, epoch):
    losses = torch.stack([loss for *_, loss in pending]).tolist()
    for (step, index, _), loss in zip(pending, losses, strict=True):
        if not math.isfinite(loss):
            raise FloatingPointError(f"loss {loss} in epoch {epoch}, step {step}, samples {index.tolist()}")
    return sum(losses)


def _mix(seed, epoch, rank):
    return (seed * 1_000_003 + epoch) * 4096 + rank


@torch.no_grad()
def outputs(function, loader, device, enable_amp=False):
    """function(x) for every sample of the test set, in the data set's order, the same on every rank.

    loader: this rank's share (util.loader.test_loader). Returns outputs (N, ...) float32 and labels (N,) on the CPU. Each sample
    is there exactly once whatever the number of processes.
    """
    results, labels, indices = [], [], []
    for x, label, index in loader:
        with autocast(device, enable_amp):
            results.append(function(x.to(device, non_blocking=True)).float())
        labels.append(label)
        indices.append(index)
    share = (torch.cat(indices), torch.cat(labels), torch.cat(results).cpu()) if indices else None
    shares = [s for s in distributed.gather(share) if s is not None]
    index, label, result = (torch.cat(parts) for parts in zip(*shares, strict=True))
    order = first_of_each(index)
    return result[order], label[order]


def first_of_each(index):
    """Positions that visit every value of `index` (N,) once, in rising order of value."""
    order = index.argsort(stable=True)
    fresh = torch.ones_like(order, dtype=torch.bool)
    fresh[1:] = index[order][1:] != index[order][:-1]
    return order[fresh]


def evaluate(model, loader, device, enable_amp=False):
    """Metrics of a classifier on a test set (util.metrics.classification)."""
    model.eval()
    distributed.share_buffers(model)  # so that what is evaluated is what rank 0 saves
    return classification(*outputs(distributed.unwrap(model), loader, device, enable_amp))

"""One epoch of training, and a model's outputs for a test set."""

import contextlib
import math
import time
import warnings
from dataclasses import dataclass

import torch

from util import console, distributed, signals
from util.logging import print_always, print_info
from util.lr_sched import adjust_learning_rate

MOST_WAITING = 64  # batches whose outputs stay on the device until they are moved to the CPU together


def half(device):
    """The 16-bit type of --enable_amp: bfloat16, or float16 on GPUs without it."""
    lacks = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.float16 if lacks else torch.bfloat16


def autocast(device, enabled):
    return torch.autocast(device.type, half(device), enabled=enabled)


def allow_tf32(device, wanted):
    """Whether float32 matrix products and convolutions may round their inputs to TF32. No effect on a CPU."""
    if device.type == "cuda":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*TF32", UserWarning)  # the newer API does not exist in torch 2.6
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = wanted


def grad_scaler(device, enabled):
    """Loss scaling for float16; disabled for bfloat16 and float32."""
    return torch.amp.GradScaler(device.type, enabled=enabled and half(device) == torch.float16)


@dataclass
class Progress:
    """How far an epoch is: step, sum of losses and time so far."""

    step: int = 0  # updates done, skipped ones included
    loss: float = 0.0  # sum over this process's forward passes
    skipped: int = 0  # updates skipped by --skip_nonfinite
    seconds: float = 0.0  # since the epoch began
    random_state: dict | None = None  # of torch's generators, to resume within an epoch
    estimate: console.TimeEstimate | None = None  # prints once how long the run will take

    def read_losses(self, step, losses, begin, epoch):
        """After `step` updates: copy `losses` from the device, which has to be waited for, add them up, and empty the list.

        losses: [(step from 0, row numbers (N,) of the samples, loss)]. Raises FloatingPointError for the first non-finite one.
        """
        values = torch.stack([loss for *_, loss in losses]).tolist() if losses else []
        for (at, index, _), loss in zip(losses, values, strict=True):
            if not math.isfinite(loss):
                raise FloatingPointError(f"loss {loss} in epoch {epoch + 1}, step {at + 1}, samples {index.tolist()}")
        losses.clear()
        self.step, self.loss, self.seconds = step, self.loss + sum(values), time.perf_counter() - begin

    def state_dict(self, device):
        """The progress of all processes, for a checkpoint. Every process has to call this."""
        of_rank = {"loss": self.loss, "rng": _random_state(device)}
        return {"step": self.step, "skipped": self.skipped, "seconds": self.seconds, "ranks": distributed.gather(of_rank)}

    @classmethod
    def from_state_dict(cls, state, steps, args, accum_iter):
        """The Progress of this process. Warns if the number of processes or accum_iter has changed: samples stay the same, masks
        do not.

        steps: updates in an epoch. accum_iter: forward passes per update when the state was saved.
        """
        if metrics := state.get("metrics"):  # an older checkpoint, stopped in the evaluation: it holds the epoch's metrics
            skipped = metrics.get("skipped_steps", 0)
            loss = metrics["train_loss"] * max(1, steps - skipped) * args.accum_iter
            return cls(steps, loss, skipped, steps * args.effective_batch_size / metrics["samples_per_s"])
        ranks = state["ranks"]
        if len(ranks) == distributed.world_size():
            loss, random_state = ranks[distributed.rank()]["loss"], ranks[distributed.rank()]["rng"]
        else:
            now = distributed.world_size()
            print_always(f"stopped with {len(ranks)} processes, goes on with {now}: the masks are not those of one run")
            loss, random_state = sum(rank["loss"] for rank in ranks) / len(ranks), None
        if accum_iter != args.accum_iter:
            print_always(
                f"stopped with accum_iter {accum_iter}, goes on with {args.accum_iter}: the masks are not those of one run"
            )
        loss *= args.accum_iter / accum_iter  # as if these updates had been made with today's accum_iter
        return cls(state["step"], loss, state["skipped"], state["seconds"], random_state)


def train_one_epoch(model, loader, optimizer, loss_of, epoch, args, device, scaler=None, progress=None):
    """One epoch over `loader` with gradient accumulation. Returns {'train_loss': mean over samples and processes, 'lr',
    'samples_per_s'}, with --skip_nonfinite also 'skipped_steps'.

    loss_of(model, x, label) -> mean loss (a scalar), or (mean loss, share of the batch that it is the mean of): the update's loss
    is then the mean weighted by these shares. scaler: see `grad_scaler`. progress: where to start; kept up to date.

    Losses stay on the device and are read every args.print_freq updates (on a CPU after each). Only then FloatingPointError is
    raised for a loss that is not finite, and Interrupted if the run was asked to stop. At the end weights are checked, too.
    """
    model.train()
    scaler, progress = scaler or grad_scaler(device, False), progress or Progress()
    start_random(args.seed, epoch, device, progress.random_state)
    loader.batches.start(epoch, progress.step * args.accum_iter)
    batches, steps = iter(loader), len(loader) // args.accum_iter
    look_every = 1 if device.type == "cpu" else args.print_freq
    # parts of the model whose gradients are clipped separately: the whole model, or each head of a linear probe
    parts = getattr(distributed.unwrap(model), "clipped_separately", [model])
    parts = [[p for p in part.parameters() if p.requires_grad] for part in parts]
    losses, begin = [], time.perf_counter() - progress.seconds  # losses not read yet: (step, samples, loss)
    style = {"initial": progress.step * args.accum_iter, "leave": False, "disable": not distributed.is_main()}
    title = f"epoch {epoch + 1}/{args.epochs}"  # the bar counts forward passes: a single update may take minutes
    bar = console.bar(None, title, steps * args.accum_iter, "pass", **style)
    # for the metrics, if the epoch was stopped after its last update and only its evaluation is missing
    lr = adjust_learning_rate(optimizer, epoch + max(0, progress.step - 1) / steps, args)

    for step in range(progress.step, steps):
        lr = adjust_learning_rate(optimizer, epoch + step / steps, args)
        if args.skip_nonfinite:  # to undo BatchNorm's running statistics if the update is skipped
            buffers = [buffer.clone() for buffer in model.buffers()]
        shares = []
        try:  # accum_iter batches: x (N, C, T, V, M) and label (N,) on the device, row numbers of the samples (N,)
            fetched = [next(batches) for _ in range(args.accum_iter)]
        except RuntimeError:  # a loader's worker died, maybe of the same signal that asked this run to stop
            if not signals.stop_requested_here():
                raise
            progress.read_losses(step, losses, begin, epoch)
            raise signals.Interrupted(progress) from None
        for part, (x, label, index) in enumerate(fetched):
            # processes exchange gradients once per update, in the backward pass of its last part
            exchange = part == args.accum_iter - 1 or distributed.world_size() == 1
            with contextlib.nullcontext() if exchange else model.no_sync():
                with autocast(device, args.enable_amp):
                    loss = loss_of(model, x, label)
                if isinstance(loss, tuple):  # (mean, share) -> a sum, which is divided below
                    shares.append(loss[1])
                    loss = loss[0] * loss[1]
                scaler.scale(loss / args.accum_iter).backward()
            losses.append((step, index, loss.detach()))
            bar.update()
        if shares:  # gradients and losses are sums: divide them by the mean share of all parts and processes
            factor = 1 / distributed.average_(torch.stack(shares).mean()).clamp(min=1e-12)
            torch._foreach_mul_([p.grad for part in parts for p in part if p.grad is not None], factor)
            losses[-args.accum_iter :] = [(*where, loss * factor) for *where, loss in losses[-args.accum_iter :]]
        if _update(parts, optimizer, scaler, args):
            optimizer.zero_grad(set_to_none=True)
        else:  # --skip_nonfinite: the update was skipped; restore buffers, drop its losses
            for buffer, before in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(before)
            progress.skipped += 1
            del losses[-args.accum_iter :]

        if (step + 1) % look_every and step + 1 < steps:
            continue  # without waiting for the device
        progress.read_losses(step + 1, losses, begin, epoch)
        if progress.estimate and (line := progress.estimate.line(step + 1, steps)):
            bar.clear()
            print_info(line)
        if (step + 1) % args.print_freq == 0:
            speed = (step + 1) * args.effective_batch_size / progress.seconds
            mean = progress.loss / max(1, step + 1 - progress.skipped) / args.accum_iter
            bar.set_postfix_str(f"step {step + 1}/{steps}, loss {mean:.4f}, {speed:.0f} samples/s", refresh=False)
        stop = signals.stop_requested()
        if stop or step + 1 == steps:
            _check_weights(model, epoch, step, index)
        if stop:
            bar.close()
            raise signals.Interrupted(progress)
    bar.close()
    passes = max(1, steps - progress.skipped) * args.accum_iter
    metrics = {
        "train_loss": distributed.mean(progress.loss / passes),
        "lr": lr,
        "samples_per_s": steps * args.effective_batch_size / progress.seconds,
    }
    return metrics | ({"skipped_steps": progress.skipped} if args.skip_nonfinite else {})


def _update(parts, optimizer, scaler, args):
    """Clip and take the optimizer's step. With --skip_nonfinite return False instead if the gradient, the same on
    all ranks, is not finite."""
    if args.clip_grad is not None or args.skip_nonfinite:
        scaler.unscale_(optimizer)
        norms = [torch.nn.utils.clip_grad_norm_(part, args.clip_grad or math.inf) for part in parts]
        if args.skip_nonfinite and not torch.stack(norms).isfinite().all():
            optimizer.zero_grad(set_to_none=True)
            scaler.update()
            return False
    scaler.step(optimizer)
    scaler.update()
    return True


def start_random(seed, epoch, device, state=None):
    """Seed torch for an epoch, so that its random numbers do not depend on earlier ones. state: restore this one afterwards."""
    torch.manual_seed((seed * 1_000_003 + epoch) * 4096 + distributed.rank())
    if state:
        torch.set_rng_state(state["torch"])
        if device.type == "cuda" and "device" in state:
            torch.cuda.set_rng_state(state["device"], device)
        if device.type == "mps" and "device" in state:
            torch.mps.set_rng_state(state["device"])


def _random_state(device):
    state = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["device"] = torch.mps.get_rng_state()
    return state


def _check_weights(model, epoch, step, index):
    """Raise FloatingPointError if a weight is not finite. No loss would show this after the last update."""
    if not torch.stack([p.detach().isfinite().all() for p in model.parameters()]).all():
        raise FloatingPointError(f"weights are not finite after epoch {epoch + 1}, step {step + 1}, samples {index.tolist()}")


@torch.no_grad()
def outputs(function, loader, device, enable_amp=False):
    """function(x) of every sample, each once and in the data set's order, on every rank.

    function: x -> (n, ...), or a dict of these. loader: feeder.loader.test_loader. Returns outputs (N, ...) float32, or a dict of
    these, and labels (N,), on the CPU.
    """
    results, waiting, labels, indices = [], [], [], []

    def fetch():
        """Move what waits to the CPU: seldom, since that waits for the device, but before it fills its memory."""
        results.append({name: torch.cat([result[name] for result in waiting]).cpu() for name in waiting[0]})
        waiting.clear()

    for x, label, index in loader:
        if distributed.world_size() == 1 and signals.stop_requested():  # with more, ranks may have different numbers of batches
            raise signals.Interrupted()
        with autocast(device, enable_amp):
            result = function(x)
            waiting.append({name: part.float() for name, part in (result if isinstance(result, dict) else {"": result}).items()})
        labels.append(label)
        indices.append(index)
        if len(waiting) == MOST_WAITING:
            fetch()
    if waiting:
        fetch()
    names = list(results[0]) if results else []
    # pop: large features are not kept twice
    share = {name: torch.cat([result.pop(name) for result in results]) for name in names}
    mine = (names, torch.cat(labels).cpu(), torch.cat(indices)) if indices else None  # None: a rank without samples
    about = [one for one in distributed.gather(mine) if one]
    order = first_occurrences(torch.cat([index for *_, index in about]))  # without --dist_eval every rank has all samples
    result = {}
    for name in about[0][0]:  # one after another, since gathering takes several times their memory
        parts = [part for part in distributed.gather(share.pop(name, None)) if part is not None]
        result[name] = torch.cat(parts)[order]
    return result.get("", result), torch.cat([label for _, label, _ in about])[order]


def first_occurrences(index):
    """Positions of the first occurrence of every value of `index` (N,), in rising order of value."""
    order = index.argsort(stable=True)
    fresh = torch.ones_like(order, dtype=torch.bool)
    fresh[1:] = index[order][1:] != index[order][:-1]
    return order[fresh]

"""An epoch of training, and the outputs of a model over a test set."""

import contextlib
import math
import time
import warnings

import torch

from util import display, distributed, stopping
from util.logging import say, tell
from util.lr_sched import adjust_learning_rate


def half(device):
    """The 16-bit type of --enable_amp: bfloat16, on GPUs that lack it float16."""
    lacks = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.float16 if lacks else torch.bfloat16


def autocast(device, enabled):
    return torch.autocast(device.type, half(device), enabled=enabled)


def allow_tf32(device, wanted):
    """Whether matrix products and convolutions in float32 may round what goes into them to TF32; nothing changes on a CPU."""
    if device.type == "cuda":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*TF32", UserWarning)  # newer names for the same, which torch 2.6 lacks
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = wanted


def grad_scaler(device, enabled):
    """Keeps float16 gradients from underflowing; does nothing in bfloat16 and float32."""
    return torch.amp.GradScaler(device.type, enabled=enabled and half(device) == torch.float16)


def compiled(model, device):
    """torch.compile of the model for training, with the random numbers of the uncompiled one; `model` itself stays as it is.

    Raises ValueError where torch.compile does not work.
    """
    try:
        torch.compile(torch.sin)(torch.zeros(8, device=device))
    except Exception as error:  # every backend has its own
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"compile: torch.compile does not work here ({reason[0]}); it needs a C++ compiler (CXX) and, on a GPU, Triton"
        ) from error
    return torch.compile(model, options={"fallback_random": True})


def train_one_epoch(model, loader, optimizer, loss_of, epoch, args, device, scaler=None, progress=None, outlook=None):
    """One epoch over `loader` with gradient accumulation; scaler: see grad_scaler; outlook: a display.Outlook.

    loss_of(model, x, label) -> scalar, the mean over its samples; or (mean, share) of what counts in it, where that is not the
    same in all parts of an update: share, a tensor, is how much counts of all that is there. The update is then the mean over all
    that counts, whatever the parts. Returns {'train_loss': per-sample mean over all ranks, 'lr',
    'samples_per_s'}, with --skip_nonfinite also 'skipped_steps'.
    Raises FloatingPointError with epoch and step, from 1, and sample indices when a loss, or a weight in the end, is not finite;
    losses stay on the device between checks (every args.print_freq steps, on a CPU every step). Raises Interrupted between two
    steps when the run is asked to stop; `progress` takes up its progress, and goes on as if nothing had been.
    """
    model.train()
    torch.manual_seed(_mix(args.seed, epoch, distributed.rank()))  # an epoch's masks depend on nothing before it
    state = {"step": 0, "loss": 0.0, "skipped": 0, "seconds": 0.0}
    if progress:
        state = _take_up(progress, device)
    loader.batches.start(epoch, state["step"] * args.accum_iter)
    scaler = scaler or grad_scaler(device, False)
    parts = getattr(distributed.unwrap(model), "clipped_separately", [model])  # of whose gradients each has a norm of its own
    parts = [[p for p in part.parameters() if p.requires_grad] for part in parts]
    steps = len(loader) // args.accum_iter
    check_every = 1 if device.type == "cpu" else args.print_freq
    pending, start, batches = [], time.perf_counter() - state["seconds"], iter(loader)
    if outlook:
        outlook.start(state["step"])
    bar = display.bar(  # of forward passes, since an update may take minutes of them
        None,
        f"epoch {epoch + 1}/{args.epochs}",
        steps * args.accum_iter,
        "pass",
        initial=state["step"] * args.accum_iter,
        leave=False,
        disable=not distributed.is_main(),
    )
    for step in range(state["step"], steps):
        before = [b.clone() for b in model.buffers()], _random_state(device)
        lr, shares = adjust_learning_rate(optimizer, epoch + step / steps, args), []
        for micro in range(args.accum_iter):
            try:
                x, label, index = next(batches)
            except RuntimeError:  # a scheduler's signal went to the workers, too; no step has been taken since
                if not stopping.asked_here():
                    raise
                state["loss"] += _finite_sum(pending[: len(pending) - micro], epoch)
                _restore(model, before[0])
                raise stopping.Interrupted(_progress(state, before[1])) from None
            last = micro == args.accum_iter - 1
            sync = contextlib.nullcontext() if last or distributed.world_size() == 1 else model.no_sync()
            with sync:
                with autocast(device, args.enable_amp):
                    loss = loss_of(model, x, label)
                if isinstance(loss, tuple):
                    shares.append(loss[1])
                    loss = loss[0] * loss[1]
                scaler.scale(loss / args.accum_iter).backward()
            pending.append((step, index, loss.detach()))
            bar.update()
        if shares:
            factor = 1 / distributed.average_(torch.stack(shares).mean()).clamp(min=1e-12)
            torch._foreach_mul_([p.grad for part in parts for p in part if p.grad is not None], factor)
            pending[-args.accum_iter :] = [(*where, loss * factor) for *where, loss in pending[-args.accum_iter :]]
        if _update(parts, optimizer, scaler, args):
            optimizer.zero_grad(set_to_none=True)
        else:
            _restore(model, before[0])
            state["skipped"] += 1
            del pending[-args.accum_iter :]
        state["step"] = step + 1
        stop = stopping.asked()
        early = outlook and not outlook.told and step + 2 == steps  # the last moment to look ahead
        if (step + 1) % check_every == 0 or step + 1 == steps or stop or early:
            state["loss"] += _finite_sum(pending, epoch)
            pending.clear()
            state["seconds"] = time.perf_counter() - start
            if outlook and (line := outlook.look(step + 1, steps)):
                bar.clear()
                say(line)
            if (step + 1) % args.print_freq == 0:
                speed, counted = (step + 1) * args.effective_batch_size / state["seconds"], max(1, step + 1 - state["skipped"])
                loss = state["loss"] / counted / args.accum_iter
                bar.set_postfix_str(f"step {step + 1}/{steps}, loss {loss:.4f}, {speed:.0f} samples/s", refresh=False)
        if stop and step + 1 < steps:
            bar.close()
            _check_weights(model, epoch, step, index)
            raise stopping.Interrupted(_progress(state, _random_state(device)))
    bar.close()
    _check_weights(model, epoch, step, index)
    counted = max(1, steps - state["skipped"]) * args.accum_iter
    metrics = {
        "train_loss": distributed.mean(state["loss"] / counted),
        "lr": lr,
        "samples_per_s": steps * args.effective_batch_size / state["seconds"],
    }
    return metrics | ({"skipped_steps": state["skipped"]} if args.skip_nonfinite else {})


def _update(parts, optimizer, scaler, args):
    """The optimizer's step; with --skip_nonfinite none, and False, if the gradient, the same on all ranks, is not finite."""
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


def _random_state(device):
    return {"torch": torch.get_rng_state()} | ({"device": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _progress(state, rng):
    """Where an epoch stands, with every rank's sum of losses and random state; what `train_one_epoch` takes up."""
    return state | {"ranks": distributed.gather({"loss": state["loss"], "rng": rng})}


def _take_up(progress, device):
    """Set the random state, and return the rest of the state, of `_progress`."""
    ranks = progress["ranks"]
    if len(ranks) == distributed.world_size():
        own = ranks[distributed.rank()]
        torch.set_rng_state(own["rng"]["torch"])
        if device.type == "cuda" and "device" in own["rng"]:
            torch.cuda.set_rng_state(own["rng"]["device"], device)
    else:  # other processes than before: the same data, other masks
        tell(f"stopped with {len(ranks)} processes, goes on with {distributed.world_size()}: the masks are not those of one run")
        own = {"loss": sum(rank["loss"] for rank in ranks) / len(ranks)}
    return {key: progress[key] for key in ("step", "skipped", "seconds")} | {"loss": own["loss"]}


def _restore(model, buffers):
    """BatchNorm's running statistics as they were: it has seen samples of a step that is not taken."""
    for buffer, before in zip(model.buffers(), buffers, strict=True):
        buffer.copy_(before)


def _check_weights(model, epoch, step, index):
    """The last update has seen no loss after it."""
    if not torch.stack([p.detach().isfinite().all() for p in model.parameters()]).all():
        raise FloatingPointError(f"weights are not finite after epoch {epoch + 1}, step {step + 1}, samples {index.tolist()}")


def _finite_sum(pending, epoch):
    losses = torch.stack([loss for *_, loss in pending]).tolist() if pending else []
    for (step, index, _), loss in zip(pending, losses, strict=True):
        if not math.isfinite(loss):
            raise FloatingPointError(f"loss {loss} in epoch {epoch + 1}, step {step + 1}, samples {index.tolist()}")
    return sum(losses)


def _mix(seed, epoch, rank):
    return (seed * 1_000_003 + epoch) * 4096 + rank


@torch.no_grad()
def outputs(function, loader, device, enable_amp=False):
    """function(x) for every sample of the test set, in the data set's order, the same on every rank.

    function: x -> (n, ...), or several such by name, a dict. loader: this rank's share (feeder.loader.test_loader). Returns
    outputs (N, ...) float32, or the dict of them, and labels (N,) on the CPU: each sample once, whatever the number of
    processes.
    """
    results, labels, indices = [], [], []
    for x, label, index in loader:
        if distributed.world_size() == 1 and stopping.asked():  # ranks may have different numbers of batches
            raise stopping.Interrupted()
        with autocast(device, enable_amp):
            result = function(x)
            results.append({name: part.float() for name, part in (result if isinstance(result, dict) else {"": result}).items()})
        labels.append(label)
        indices.append(index)
    share = {name: torch.cat([result[name] for result in results]).cpu() for name in results[0]} if indices else None
    shares = [s for s in distributed.gather((share, torch.cat(labels).cpu(), torch.cat(indices)) if indices else None) if s]
    order = first_of_each(torch.cat([index for *_, index in shares]))
    label = torch.cat([label for _, label, _ in shares])[order]
    result = {name: torch.cat([share[name] for share, *_ in shares])[order] for name in shares[0][0]}
    return result.get("", result), label


def first_of_each(index):
    """Positions that visit every value of `index` (N,) once, in rising order of value."""
    order = index.argsort(stable=True)
    fresh = torch.ones_like(order, dtype=torch.bool)
    fresh[1:] = index[order][1:] != index[order][:-1]
    return order[fresh]

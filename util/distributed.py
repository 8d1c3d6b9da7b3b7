"""Processes and devices: the same code for one CPU process, one GPU, and torchrun (NCCL on GPUs, gloo on CPUs)."""

import os
import time
import warnings

import torch
import torch.distributed as dist

from util import host


def setup(device="auto"):
    """Join torchrun's process group, if there is one; returns this process's torch.device. Raises ValueError for a device that
    does not exist."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r}: use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda") and not (device.type == "mps" and torch.backends.mps.is_available()):
        raise ValueError(f"device {device}: is not here; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        local_rank = int(os.environ.get("LOCAL_RANK", device.index or 0))
        if local_rank >= torch.cuda.device_count():
            raise ValueError(f"device {device}: this process wants GPU {local_rank}, {torch.cuda.device_count()} are here")
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
        torch.backends.cuda.enable_cudnn_sdp(False)  # unlike flash attention it prepares anew for every size of a batch
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        if device.type == "cuda":
            _control.append(dist.new_group(backend="gloo"))
    return device


_control = []  # with GPUs: a gloo group, for exchanges that need not wait for the GPUs


def rank():
    return dist.get_rank() if dist.is_initialized() else 0


def world_size():
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main():
    return rank() == 0 if dist.is_initialized() else host.is_main()


def gather(thing):
    """[thing of rank 0, thing of rank 1, ...] on every rank; anything that can be pickled."""
    if world_size() == 1:
        return [thing]
    things = [None] * world_size()
    dist.all_gather_object(things, thing, group=_control[0] if _control else None)
    return things


def any_of(flag):
    """Whether the flag is set on any rank."""
    if world_size() == 1:
        return flag
    value = torch.tensor(int(flag))
    dist.all_reduce(value, dist.ReduceOp.MAX, group=_control[0] if _control else None)
    return bool(value)


def mean(value):
    """Mean of a number over the ranks."""
    return sum(gather(float(value))) / world_size()


def average_(tensor):
    """Replace a tensor by its mean over the ranks, in place; the host does not wait for the device."""
    if world_size() > 1:
        dist.all_reduce(tensor)
        tensor /= world_size()
    return tensor


def compile_and_wrap(model, device, args):
    """The model to call in training: compiled with --compile, and wrapped in DistributedDataParallel for several processes. It
    trains the weights of `model` itself."""
    if getattr(args, "compile", False):
        model = compiled(model, device)
    return wrap(model, device, static_graph=args.accum_iter == 1)


def compiled(model, device):
    """torch.compile of the model, with the same random numbers as uncompiled. Raises ValueError where torch.compile does not
    work, or computes wrong gradients."""
    weight, rows = torch.ones(4, 16, device=device, requires_grad=True), torch.arange(32, device=device).view(8, 4) % 4
    try:
        torch.compile(_squared_rows)(weight, rows).backward()
    except Exception as error:  # it differs from backend to backend
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"compile: torch.compile does not work here ({reason[0]}); it needs a C++ compiler (CXX) and, on a GPU, Triton"
        ) from error
    # torch 2.6 on a CPU: a row that is taken eight times gets the gradient of one time, as the position embeddings would
    if not torch.equal(weight.grad, torch.full_like(weight, 16)):
        raise ValueError(
            f"compile: torch {torch.__version__} computes wrong gradients with torch.compile on this {device.type}; leave out "
            "--compile, or install a newer torch"
        )
    return torch.compile(model, options={"fallback_random": True})


def _squared_rows(weight, rows):
    return torch.nn.functional.embedding(rows, weight).square().sum()


def wrap(model, device, static_graph=False):
    """DistributedDataParallel if there are several processes, else the model itself.

    static_graph fails with no_sync, so it cannot be used with gradient accumulation. Buffers (BatchNorm's running statistics) are
    not broadcast at every step; `share_buffers` does that before they are used.
    """
    if world_size() == 1:
        return model
    ids = [device.index] if device.type == "cuda" else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)  # the newer option does not exist in torch 2.6
        return torch.nn.parallel.DistributedDataParallel(
            model, device_ids=ids, static_graph=static_graph, gradient_as_bucket_view=True, broadcast_buffers=False
        )


def unwrap(model):
    return model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model


def share_buffers(model):
    """Broadcast rank 0's buffers. Each rank has BatchNorm running statistics of its own samples."""
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def cleanup(together=True):
    """Leave the process group. together: whether all processes do so now; False if this one failed.

    Destroying the NCCL group waits for the other processes, which wait for this one if it failed. Then it is not destroyed: it is
    aborted when the process ends, and torchrun notices the failure.
    """
    if dist.is_initialized():
        # gloo's thread may still have to release tensors, which needs Python's GIL; torch 2.6 waits for that thread while holding
        # the GIL, which would be a deadlock
        time.sleep(0.1)
        control = _control.pop() if _control else None  # only with NCCL
        dist.destroy_process_group(None if together else control)  # None: all groups

"""A GPU that is not there: tensors that say they are on `cuda` and hold nothing, and a count of every wait for them.

torch's FakeTensorMode gives every operation's shape, type and device, and refuses operands on different devices. `Rehearsal` sees
all operations before it, and counts those for which the host would have to wait until the GPU has done all it was given: reading
a value, results whose size depends on values, copies to the host, and copies to the GPU that do not say non_blocking.

What this does not show: NCCL and several processes, kernels and what they compute, memory, speed, torch.compile, pinned memory,
data loader workers, and backward: autograd's engine wants a driver, so every weight that the loss depends on gets an empty
gradient.
"""

import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).resolve().parents[2]
CUDA = torch.device("cuda", 0)
aten = torch.ops.aten


class Rehearsal(TorchDispatchMode):
    """`with rehearsal:` code runs on the pretended GPU. `waits` counts, by file and function of ours, the waits for it.

    Whatever is read from a tensor is 0, or True.
    """

    def __init__(self, monkeypatch):
        super().__init__()
        self.fake, self.waits, self._stacks = FakeTensorMode(allow_non_fake_inputs=True), Counter(), []
        move = torch.nn.Module.to

        def moved(module, *where):  # models are made of real numbers; their weights become fakes where they are moved
            with self:
                return move(module, *where)

        stand_ins = {
            "torch.nn.Module.to": moved,
            "torch.Tensor.backward": backward,
            "torch.cuda.is_bf16_supported": lambda including_emulation=True: True,
            "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,
            "torch.cuda.get_rng_state": lambda device: torch.get_rng_state(),  # kept by the host: no wait
            "torch.cuda.set_rng_state": lambda state, device: None,
            "torch.cuda.synchronize": lambda device=None: self._count(),
        }
        for name, value in stand_ins.items():
            monkeypatch.setattr(name, value)
        monkeypatch.setattr(FakeTensor, "numpy", numbers, raising=False)
        monkeypatch.setattr(FakeTensor, "tolist", lambda tensor: tensor.cpu().numpy().tolist())

    def __enter__(self):
        self._stacks.append(stack := ExitStack())
        stack.enter_context(self.fake)
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._stacks.pop().close()

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # what keeps torch.compile out costs more than all else here

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.prim.device.default:
            return args[0].fake_device
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():  # where operations arrive that are made of others
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if waits(func, args, kwargs):
            self._count()
        if func is aten._pin_memory.default:  # of the loader, where there is a GPU
            if any(stride == 0 and size > 1 for size, stride in zip(args[0].shape, args[0].stride(), strict=True)):
                raise RuntimeError("more than one element of the written-to tensor refers to a single memory location")
            return args[0].clone()
        if func is aten._local_scalar_dense.default:
            return blank(args[0].dtype)
        if func is aten.nonzero.default:
            return torch.zeros(args[0].numel(), args[0].ndim, dtype=torch.int64, device=args[0].device)
        if func is aten._unique2.default:
            place = torch.zeros_like(args[0], dtype=torch.int64)
            return args[0].flatten(), place, place.flatten()
        if func is aten.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1]):  # every row is chosen
            return args[0].clone()
        return func(*args, **kwargs)

    def _count(self):
        frame = sys._getframe(1)
        while frame:
            path = Path(frame.f_code.co_filename)
            if is_ours(path) and frame.f_code.co_name[0] != "<":
                break
            frame = frame.f_back
        self.waits[f"{path.relative_to(ROOT)} {frame.f_code.co_name}" if frame else "elsewhere"] += 1


def is_ours(path):
    """Whether a source file is the project's own: no test, and no library, not even one in the clone's own .venv."""
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] != "tests" and "site-packages" not in path.parts


def waits(func, args, kwargs):
    """Whether the host has to wait for the GPU."""
    if func is aten._to_copy.default:
        source, target = on_gpu(args[0]), on_gpu(args[0]) if kwargs.get("device") is None else kwargs["device"].type == "cuda"
        return source != target and not (target and kwargs.get("non_blocking"))
    if func is aten.copy_.default:
        target, source = map(on_gpu, args[:2])
        return target != source and not (target and len(args) > 2 and args[2])
    if func in (aten.index.Tensor, aten.index_put_.default):  # a mask is counted first, an index on the host copied
        return on_gpu(args[0]) and any(not on_gpu(i) or i.dtype == torch.bool for i in args[1] if i is not None)
    if torch.Tag.data_dependent_output in func.tags or torch.Tag.dynamic_output_shape in func.tags:
        return any(on_gpu(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor))
    return False


def on_gpu(tensor):
    return tensor.device.type == "cuda"


def blank(dtype):
    return True if dtype == torch.bool else 0.0 if dtype.is_floating_point else 0


def numbers(tensor):
    """Of a fake on the host; one on the GPU has no numbers that numpy could see."""
    if tensor.device.type != "cpu":
        raise TypeError(f"can't convert {tensor.device} device type tensor to numpy")
    return np.full(tensor.shape, blank(tensor.dtype), str(tensor.dtype).removeprefix("torch."))


@torch.no_grad()
def backward(loss):
    """An empty gradient for all that the loss depends on, added to one that is there."""
    seen, nodes = set(), [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [above for above, _ in node.next_functions]
        if hasattr(node, "variable"):
            weight = node.variable
            weight.grad = torch.empty_like(weight) if weight.grad is None else weight.grad + torch.empty_like(weight)

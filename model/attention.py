"""Attention in bfloat16 on CPUs, where torch's fused kernel is no faster than in float32.

The products of a few heads at a time are plain matrix products, whose scores stay in the cores' caches; they are computed
again in the backward pass, as fused kernels do, so memory grows with the number of tokens and not with its square.
"""

import torch

SCORES_PER_CORE = 600_000  # about 1 MB: one head of 750 tokens


def attention(q, k, v):
    """softmax(q·kᵀ/√d)·v of (B, heads, L, d), with gradients."""
    return _Attention.apply(q, k, v)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        ctx.shape, ctx.scale = q.shape, q.shape[-1] ** -0.5
        q, k, v = (q * ctx.scale).flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1)
        ctx.save_for_backward(q, k, v)
        out = torch.empty_like(q)
        for h in _parts(q):
            torch.bmm(_weights(q[h], k[h]), v[h], out=out[h])
        return out.view(ctx.shape)

    @staticmethod
    def backward(ctx, grad):
        q, k, v = ctx.saved_tensors
        grad = grad.reshape(q.shape)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for h in _parts(q):
            weights = _weights(q[h], k[h])
            torch.bmm(weights.mT, grad[h], out=dv[h])
            dweights = torch.bmm(grad[h], v[h].mT)
            dscores = torch._softmax_backward_data(dweights, weights, -1, weights.dtype)
            torch.bmm(dscores, k[h], out=dq[h])
            torch.bmm(dscores.mT, q[h], out=dk[h])
        return (dq * ctx.scale).view(ctx.shape), dk.view(ctx.shape), dv.view(ctx.shape)


def _weights(q, k):
    return torch.bmm(q, k.mT).softmax(-1)


def _parts(q):
    """Slices of the B·heads that are worked on together."""
    step = torch.get_num_threads() * max(1, SCORES_PER_CORE // q.shape[1] ** 2)
    return [slice(i, i + step) for i in range(0, len(q), step)]

"""Building blocks of the models: linear maps of coordinates that keep float32 precision, and transformer blocks.

Coordinates are metres. Between 2 and 4 metres bfloat16 has steps of 16 mm and TF32 of 2 mm, more than a joint moves from frame to
frame. `SkeleEmbed` and `ExactLinear` therefore keep float32 precision also under autocast and TF32. `exact = False` turns them
into plain linear maps, for exported programs (predict/export.py), which run in float32 anyway.
"""

from functools import partial

import torch
import torch.nn.functional as F
from timm.models import vision_transformer
from torch import nn

LayerNorm = partial(nn.LayerNorm, eps=1e-5)


def gather_tokens(tokens, ids):
    """Tokens (B, L, D) in the order of ids (B, K): (B, K, D)."""
    return tokens.gather(1, ids.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


class SkeleEmbed(nn.Module):
    """Joint embedding, the same linear map for each (segment, joint): (B, T, V, C) -> (B, T', V, D), T' = T/l.

    The product is computed in float64, which neither autocast nor TF32 rounds; it is half a percent of a model's arithmetic.
    """

    exact = True

    def __init__(self, dim_in, dim_feat, t_patch_size):
        super().__init__()
        # never called as a convolution; it gives the parameters their released names: weight (D, C, l, 1), bias (D,)
        self.proj = nn.Conv2d(dim_in, dim_feat, kernel_size=(t_patch_size, 1), stride=(t_patch_size, 1))

    def forward(self, x):
        segments = x.unflatten(1, (-1, self.proj.kernel_size[0]))  # (B, T', l, V, C)
        return self.embed_patches(segments.transpose(2, 3).flatten(3))  # (B, T', V, l·C) -> (B, T', V, D)

    def embed_patches(self, patches):
        """(..., l·C) in frame-major order, as from MAMP.patchify -> (..., D)."""
        weight, bias = self.proj.weight[..., 0].mT.flatten(1), self.proj.bias  # (D, l·C), (D,)
        if not self.exact or patches.device.type == "mps":  # Apple's devices have no float64
            return F.linear(patches, weight, bias)
        return F.linear(patches.double(), weight.double(), bias.double()).to(weight.dtype)


class ExactLinear(nn.Linear):
    """nn.Linear of float32 coordinates, for UmURL, where float64 would be too slow: (..., K) -> (..., D) float32.

    x is split into a part that bfloat16 holds exactly and a rest of at most x/128, so that TF32 rounds only the rest.
    """

    exact = True

    def forward(self, x):
        if not self.exact or x.dtype != torch.float32:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            high = (x.detach().view(torch.int32) & -0x10000).view(torch.float32)  # keep the upper 16 bits: a bfloat16
            return super().forward(high) + F.linear(x - high, self.weight)


class CrossAttention(nn.Module):
    """Queries (B, Q, D), or (1, Q, D) if they are the same for every body, attend to tokens (B, K, D) -> (B, Q, D)."""

    def __init__(self, dim, num_heads, qkv_bias, attn_drop, proj_drop):
        super().__init__()
        self.num_heads, self.scale, self.attn_drop = num_heads, (dim // num_heads) ** -0.5, attn_drop
        self.q, self.kv = nn.Linear(dim, dim, bias=qkv_bias), nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.proj, self.proj_drop = nn.Linear(dim, dim), nn.Dropout(proj_drop)

    def forward(self, queries, tokens):
        b, _, dim = tokens.shape
        # (1, Q, D) queries are projected once and then expanded to all bodies: (B, heads, Q, D/heads)
        q = self.q(queries).expand(b, -1, -1).reshape(b, -1, self.num_heads, dim // self.num_heads).transpose(1, 2)
        k, v = self.kv(tokens).view(b, -1, 2, self.num_heads, dim // self.num_heads).permute(2, 0, 3, 1, 4)
        dropout = self.attn_drop if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=self.scale)
        return self.proj_drop(self.proj(attended.transpose(1, 2).flatten(2)))


class CrossBlock(vision_transformer.Block):
    """timm's pre-norm ViT block with cross-attention instead of self-attention: (B or 1, Q, D), (B, K, D) -> (B, Q, D).

    Queries do not attend to each other, so a prediction does not depend on the other queries.
    """

    def __init__(self, dim, num_heads, qkv_bias, attn_drop, proj_drop, **block):
        super().__init__(dim, num_heads, proj_drop=proj_drop, **block)
        self.attn = CrossAttention(dim, num_heads, qkv_bias, attn_drop, proj_drop)

    def forward(self, queries, tokens):
        queries = queries + self.drop_path1(self.attn(self.norm1(queries), tokens))
        return queries + self.drop_path2(self.mlp(self.norm2(queries)))


def build_blocks(
    dim,
    depth,
    num_heads,
    mlp_ratio,
    qkv_bias,
    qk_scale,
    drop_rate,
    attn_drop_rate,
    drop_path_rate,
    block=vision_transformer.Block,
):
    """`depth` pre-norm blocks of width dim; stochastic depth grows linearly from 0 to drop_path_rate.

    Raises ValueError if dim is not a multiple of num_heads.
    """
    if dim % num_heads:
        raise ValueError(f"width {dim} is not a multiple of num_heads {num_heads}")
    options = dict(mlp_ratio=mlp_ratio, qkv_bias=qkv_bias, proj_drop=drop_rate, attn_drop=attn_drop_rate, norm_layer=LayerNorm)
    rates = torch.linspace(0, drop_path_rate, depth).tolist()
    blocks = nn.ModuleList(block(dim, num_heads, drop_path=rate, **options) for rate in rates)
    if qk_scale not in (None, "None"):  # as text in published configurations; timm's fused attention always uses head_dim**-0.5
        for made in blocks:
            made.attn.scale, made.attn.fused_attn = qk_scale, False
    return blocks

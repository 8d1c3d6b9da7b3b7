"""The block of decoders that only ask: queries read the tokens the encoder has seen, and not each other.

What one query gets does not depend on which others there are, so a decoder asks for as much as it needs.
"""

import torch.nn.functional as F
from timm.models import vision_transformer
from torch import nn


class CrossAttention(nn.Module):
    """Queries (B, Q, D), or (1, Q, D) the same for every body, gather from tokens (B, K, D) -> (B, Q, D)."""

    def __init__(self, dim, num_heads, qkv_bias, attn_drop, proj_drop):
        super().__init__()
        self.num_heads, self.scale, self.attn_drop = num_heads, (dim // num_heads) ** -0.5, attn_drop
        self.q, self.kv = nn.Linear(dim, dim, bias=qkv_bias), nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.proj, self.proj_drop = nn.Linear(dim, dim), nn.Dropout(proj_drop)

    def forward(self, queries, tokens):
        b, _, dim = tokens.shape
        q = self.q(queries).expand(b, -1, -1).reshape(b, -1, self.num_heads, dim // self.num_heads).transpose(1, 2)
        k, v = self.kv(tokens).view(b, -1, 2, self.num_heads, dim // self.num_heads).permute(2, 0, 3, 1, 4)
        dropped = self.attn_drop if self.training else 0.0
        found = F.scaled_dot_product_attention(q, k, v, dropout_p=dropped, scale=self.scale)
        return self.proj_drop(self.proj(found.transpose(1, 2).flatten(2)))


class CrossBlock(vision_transformer.Block):
    """timm's pre-norm ViT block with cross-attention in place of self-attention: (B or 1, Q, D), (B, K, D) -> (B, Q, D)."""

    def __init__(self, dim, num_heads, qkv_bias, attn_drop, proj_drop, **block):
        super().__init__(dim, num_heads, proj_drop=proj_drop, **block)
        self.attn = CrossAttention(dim, num_heads, qkv_bias, attn_drop, proj_drop)

    def forward(self, queries, tokens):
        queries = queries + self.drop_path1(self.attn(self.norm1(queries), tokens))
        return queries + self.drop_path2(self.mlp(self.norm2(queries)))

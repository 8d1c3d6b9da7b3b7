"""Linear maps of coordinates in metres, and of differences of them, that are as exact as float32 under autocast and TF32, too.

Between 2 and 4 metres bfloat16 has steps of 16 mm and TF32 of 2 mm, more than a joint moves from frame to frame. `exact` = False
leaves the maps to torch: in programs that are exported (predict/export.py), and run in float32.
"""

import torch
import torch.nn.functional as F
from torch import nn


class SkeleEmbed(nn.Module):
    """One linear map per (segment, joint): (B, T, V, C) -> (B, T', V, D), T' = T/l, in the type of the weights.

    In float64, which neither autocast nor TF32 touches: half a percent of a model's work. `proj` holds the parameters, weight
    (D, C, l, 1) and bias (D,).
    """

    exact = True

    def __init__(self, dim_in, dim_feat, t_patch_size):
        super().__init__()
        self.proj = nn.Conv2d(dim_in, dim_feat, kernel_size=(t_patch_size, 1), stride=(t_patch_size, 1))

    def forward(self, x):
        return self.embed_patches(x.unflatten(1, (-1, self.proj.kernel_size[0])).transpose(2, 3).flatten(3))

    def embed_patches(self, patches):
        """(..., l·C), inside a token frame-major as MAMP.patchify gives them -> (..., D)."""
        weight, bias = self.proj.weight[..., 0].mT.flatten(1), self.proj.bias  # (D, l·C)
        if not self.exact or patches.device.type == "mps":  # which has no float64
            return F.linear(patches, weight, bias)
        return F.linear(patches.double(), weight.double(), bias.double()).to(weight.dtype)


class Linear(nn.Linear):
    """nn.Linear of float32 coordinates, for a model in which float64 is too much work: (..., K) -> (..., D) float32.

    Two products, of what 16 bits hold of x without rounding, and of the rest, which is at most a 128th of it.
    """

    exact = True

    def forward(self, x):
        if not self.exact or x.dtype != torch.float32:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            high = (x.detach().view(torch.int32) & -0x10000).view(torch.float32)  # the upper half of the bits is a bfloat16
            return super().forward(high) + F.linear(x - high, self.weight)

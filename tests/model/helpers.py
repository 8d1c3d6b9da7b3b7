"""Tiny models and random sequences of 12 frames and 5 joints."""

import torch

from model.mamp import MAMP
from model.transformer import Transformer

SIZE = dict(dim_feat=16, depth=2, num_heads=2, mlp_ratio=2, num_frames=12, num_joints=5)


def predictor(decoder="self", **options):
    torch.manual_seed(0)
    return MAMP(**SIZE | dict(decoder_dim_feat=8, decoder_depth=2, query_frames=6) | options, decoder=decoder)


def classifier(**options):
    torch.manual_seed(0)
    return Transformer(**SIZE | dict(num_classes=4) | options)


def sequences(n=3, bodies=2, seed=0):
    return torch.randn(n, 3, 12, 5, bodies, generator=torch.Generator().manual_seed(seed))

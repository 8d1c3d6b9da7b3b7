"""The plain ViT over skeleton tokens that every stage shares, and the classifier built on it.

Letters: N samples, M bodies, T frames, V joints, C coordinates, l segment length, T' = T/l segments, L = T'·V tokens, D width.
"""

from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import nn

from model.coordinates import SkeleEmbed
from model.freezable import Freezable
from model.probe import look

LayerNorm = partial(nn.LayerNorm, eps=1e-5)
READOUTS = ("mean", "per_joint")
PROTOCOLS = ("linprobe", "finetune")


def build_blocks(dim, depth, num_heads, mlp_ratio, qkv_bias, qk_scale, drop_rate, attn_drop_rate, drop_path_rate, kind=Block):
    """`depth` pre-norm ViT blocks of a kind; stochastic depth grows linearly from 0 to drop_path_rate."""
    if dim % num_heads:
        raise ValueError(f"width {dim} is not a multiple of num_heads {num_heads}")
    blocks = nn.ModuleList(
        kind(
            dim,
            num_heads,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            proj_drop=drop_rate,
            attn_drop=attn_drop_rate,
            drop_path=rate,
            norm_layer=LayerNorm,
        )
        for rate in torch.linspace(0, drop_path_rate, depth).tolist()
    )
    if qk_scale is not None:  # the fused kernel knows only head_dim**-0.5
        for block in blocks:
            block.attn.scale, block.attn.fused_attn = qk_scale, False
    return blocks


class Encoder(nn.Module):
    """Joint embedding, positions, ViT blocks and the final norm (paper Sec. 3.2). No class token.

    num_frames T, num_joints V, dim_in C, t_patch_size l, dim_feat D. patch_size is the number of joints in a token: 1, kept
    because released configs carry the key. skip_empty_bodies: see `shared_bodies`; in eval mode, where it changes nothing but
    rounding, it is always so, unless `shares` is False: exported programs (predict/export.py) cannot depend on what is in x.
    Raises ValueError for sizes that do not fit.
    """

    shares = True

    def __init__(
        self,
        dim_in=3,
        dim_feat=256,
        depth=8,
        num_heads=8,
        mlp_ratio=4,
        num_frames=120,
        num_joints=25,
        patch_size=1,
        t_patch_size=4,
        qkv_bias=True,
        qk_scale=None,
        drop_rate=0.0,
        attn_drop_rate=0.0,
        drop_path_rate=0.0,
        skip_empty_bodies=False,
    ):
        super().__init__()
        if patch_size != 1:
            raise ValueError(f"patch_size {patch_size}: a token is one joint, use 1")
        if num_frames % t_patch_size:
            raise ValueError(f"num_frames {num_frames} is not a multiple of t_patch_size {t_patch_size}")
        self.dim_in, self.dim_feat, self.depth = dim_in, dim_feat, depth
        self.num_frames, self.num_joints, self.t_patch_size = num_frames, num_joints, t_patch_size
        self.num_segments = num_frames // t_patch_size

        self.joints_embed = SkeleEmbed(dim_in, dim_feat, t_patch_size)
        self.temp_embed = nn.Parameter(torch.zeros(1, self.num_segments, 1, dim_feat))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1, num_joints, dim_feat))
        self.blocks = build_blocks(
            dim_feat, depth, num_heads, mlp_ratio, qkv_bias, qk_scale, drop_rate, attn_drop_rate, drop_path_rate
        )
        self.norm = LayerNorm(dim_feat)
        self.skip_empty_bodies = skip_empty_bodies

    def initialize_weights(self):
        """Xavier-uniform linear maps, normal(0, .02) embeddings; the Conv2d keeps PyTorch's default."""
        for name, parameter in self.named_parameters():
            if name.endswith(("_embed", "mask_token")):
                nn.init.normal_(parameter, std=0.02)
        self.apply(self._init_linear)

    @staticmethod
    def _init_linear(module):
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def bodies(self, x):
        """(N, C, T, V, M) -> (N·M, T, V, C), body index fastest. Raises ValueError if C, T or V is not the model's."""
        n, c, t, v, m = x.shape
        if (c, t, v) != (self.dim_in, self.num_frames, self.num_joints):
            raise ValueError(
                f"input has C={c}, T={t}, V={v}; the model was built for "
                f"dim_in={self.dim_in}, num_frames={self.num_frames}, num_joints={self.num_joints}"
            )
        return x.permute(0, 4, 2, 3, 1).reshape(n * m, t, v, c)

    @staticmethod
    def shared_bodies(x, num_bodies):
        """Whose encoding each body of x (N·M, T, V, C) can take: index (N·M,); and which are empty: bool (N·M,).

        Its own, or if the body equals its sample's first one (the copied second bodies of NTU-120) the first one's; every empty
        body, all zeros, takes that of the first empty one.
        """
        index = torch.arange(len(x), device=x.device)
        first, flat = index - index % num_bodies, x.flatten(1)
        index = torch.where((flat == flat[first]).all(1), first, index)
        empty = ~flat.any(1)
        return torch.where(empty, empty.int().argmax(), index), empty

    def embed(self, x):
        """(N·M, T, V, C) -> tokens with positions (N·M, L, D), time-major: index = t'·V + v."""
        return (self.joints_embed(x) + self.temp_embed + self.pos_embed).flatten(1, 2)

    def encode(self, tokens):
        """(N·M, any number of tokens, D) -> the same, after all blocks and the norm."""
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def forward_features(self, x):
        """(N, C, T, V, M) -> (N, M, T', V, D), every token visible."""
        n, m = x.shape[0], x.shape[-1]
        x = self.bodies(x)
        if m > 1 and self.shares and (self.skip_empty_bodies or not self.blocks.training):
            encoded, place = self.shared_bodies(x, m)[0].unique(return_inverse=True)
            tokens = self.encode(self.embed(x[encoded]))[place]
        else:
            tokens = self.encode(self.embed(x))
        return tokens.reshape(n, m, self.num_segments, self.num_joints, self.dim_feat)


def read_out(features, name):
    """(N, M, T', V, D) -> 'mean' over bodies, segments and joints (N, D); 'per_joint' (N, V·D): the joints side by side."""
    return features.mean((1, 2, 3)) if name == "mean" else features.mean((1, 2)).flatten(1)


class LinearHead(nn.Module):
    """Linear probe: pooled features (N, D) or, per joint, (N, V·D) -> logits (N, K)."""

    def __init__(self, dim, num_classes, readout="mean"):
        super().__init__()
        self.readout = readout
        self.fc = nn.Linear(dim, num_classes)

    def add_norm(self):
        """Put the probe's BatchNorm (affine=False, eps 1e-6) in front: head.fc.0 is the norm, head.fc.1 the linear map."""
        self.fc = nn.Sequential(nn.BatchNorm1d(self.fc.in_features, affine=False, eps=1e-6), self.fc)

    def look(self, features):
        """Logits, and what the last linear map sees."""
        return look(self.fc, read_out(features, self.readout))

    def forward(self, features):
        return self.fc(read_out(features, self.readout))


class FinetuneHead(nn.Module):
    """Fine-tuning: (N, M, T', V, D) -> mean over T', joints side by side, mean over M -> two layers -> logits (N, K)."""

    def __init__(self, dim_feat, num_classes, num_joints, hidden_dim=2048, dropout=0.3):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(dim_feat * num_joints, hidden_dim)
        self.bn = nn.BatchNorm1d(hidden_dim)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden_dim, num_classes)

    def look(self, features):
        """Logits (N, K), and what the last linear map sees, (N, hidden_dim)."""
        x = self.dropout(features).mean(2).flatten(2).mean(1)
        seen = self.relu(self.bn(self.fc1(x)))
        return self.fc2(seen), seen

    def forward(self, features):
        return self.look(features)[0]


class Transformer(Freezable, Encoder):
    """Classifier: (N, C, T, V, M) -> logits (N, num_classes).

    protocol 'linprobe' (a linear map on pooled features, `readout` 'mean' or 'per_joint') or 'finetune' (two layers of
    width head_dim). The other keys are the Encoder's.
    """

    def __init__(self, num_classes=60, protocol="finetune", readout="mean", head_dim=2048, head_dropout=0.3, **encoder):
        super().__init__(**encoder)
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocol {protocol!r}: use one of {', '.join(PROTOCOLS)}")
        if readout not in READOUTS:
            raise ValueError(f"readout {readout!r}: use one of {', '.join(READOUTS)}")
        if protocol == "linprobe":
            dim = self.dim_feat * (self.num_joints if readout == "per_joint" else 1)
            self.head = LinearHead(dim, num_classes, readout)
        else:
            self.head = FinetuneHead(self.dim_feat, num_classes, self.num_joints, head_dim, head_dropout)
        self.initialize_weights()
        if protocol == "linprobe":
            nn.init.normal_(self.head.fc.weight, std=0.01)

    @property
    def classifier(self):
        """What the linear probe trains: pooled features -> logits (N, num_classes)."""
        return self.head.fc

    @property
    def readouts(self):
        """Names of the linear probe's read-outs, its own first."""
        return sorted(READOUTS, key=lambda name: name != self.head.readout)

    def read_outs(self, x):
        """(N, C, T, V, M) -> all read-outs of one pass, the probe's own first: {'mean': (N, D), 'per_joint': (N, V·D)}."""
        features = self.forward_features(x)
        return {name: read_out(features, name) for name in self.readouts}

    def pooled(self, x):
        """(N, C, T, V, M) -> the linear probe's own features, (N, D) or (N, V·D)."""
        return read_out(self.forward_features(x), self.head.readout)

    def look(self, x):
        """Logits (N, num_classes), and what the last linear map sees."""
        return self.head.look(self.forward_features(x))

    def forward(self, x):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.forward_features(x)
        return self.head(features)

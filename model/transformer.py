"""The plain ViT over skeleton tokens that every stage shares, and the classifier built on it.

Letters: N samples, M bodies, T frames, V joints, C coordinates, l segment length, T' = T/l segments, L = T'·V tokens, D width.
A body is one person's sequence. It is redundant if it is empty (all zeros) or a copy of its sample's first body, as many second
bodies of NTU-120 are: its encoding is then that of another body and need not be computed.
"""

import torch
from torch import nn

from model.heads import Classifier, FinetuneHead, LinearHead, pool, pooled_dim
from model.layers import LayerNorm, SkeleEmbed, build_blocks, gather_tokens
from util.options import READOUTS

PROTOCOLS = ("linprobe", "finetune")


class Encoder(nn.Module):
    """Joint embedding, positions, ViT blocks and the final norm (paper Sec. 3.2). No class token.

    num_frames T, num_joints V, dim_in C, t_patch_size l, dim_feat D. patch_size: joints per token, always 1; kept because
    released configurations have it. skip_empty_bodies: encode equal bodies only once in training, too; in eval mode this is
    always done, and changes results by rounding at most. patch_drop_rate: share of each body's tokens that `forward_features`
    leaves out in training (MAMP's pre-training leaves out others, see mask_ratio). Raises ValueError for sizes that do not fit.
    """

    reuse_encodings = True  # False: encode every body; for export, where control flow cannot depend on the values of x

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
        patch_drop_rate=0.0,
        skip_empty_bodies=False,
    ):
        super().__init__()
        if patch_size != 1:
            raise ValueError(f"patch_size {patch_size}: a token is one joint, use 1")
        if not 0 <= patch_drop_rate < 1:
            raise ValueError(f"patch_drop_rate {patch_drop_rate}: a share of the tokens, at least 0 and below 1")
        if num_frames % t_patch_size:
            raise ValueError(f"num_frames {num_frames} is not a multiple of t_patch_size {t_patch_size}")
        self.dim_in, self.dim_feat, self.depth = dim_in, dim_feat, depth
        self.num_frames, self.num_joints, self.t_patch_size = num_frames, num_joints, t_patch_size
        self.num_segments = num_frames // t_patch_size
        self.skip_empty_bodies, self.patch_drop_rate = skip_empty_bodies, patch_drop_rate
        self.block_options = dict(  # also for MAMP's decoder
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            qk_scale=qk_scale,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            drop_path_rate=drop_path_rate,
        )

        self.joints_embed = SkeleEmbed(dim_in, dim_feat, t_patch_size)
        self.temp_embed = nn.Parameter(torch.zeros(1, self.num_segments, 1, dim_feat))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1, num_joints, dim_feat))
        self.blocks = build_blocks(dim_feat, depth, **self.block_options)
        self.norm = LayerNorm(dim_feat)

    def initialize_weights(self):
        """Linear: Xavier uniform, bias 0. Embeddings and mask token: normal(0, .02). The Conv2d keeps PyTorch's default."""
        for name, parameter in self.named_parameters():
            if name.endswith(("_embed", "mask_token")):
                nn.init.normal_(parameter, std=0.02)
        for module in self.modules():
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
    def find_redundant(x, num_bodies):
        """x: (N·M, T, V, C) -> source (N·M,), empty (N·M,) bool.

        source: index of the body whose encoding each body has. For a copy it is the first body of its sample, for an empty body
        the first empty one of the batch, for any other the body itself.
        """
        index, flat = torch.arange(len(x), device=x.device), x.flatten(1)
        first = index - index % num_bodies  # the first body of each body's sample
        source = torch.where((flat == flat[first]).all(1), first, index)
        empty = ~flat.any(1)
        return torch.where(empty, empty.int().argmax(), source), empty

    def drop_redundant(self, x, num_bodies):
        """Leave out redundant bodies: (N·M, T, V, C) -> (B, T, V, C). If all are empty, one of them stays, so B >= 1."""
        source, empty = self.find_redundant(x, num_bodies)
        kept = ((source == torch.arange(len(x), device=x.device)) & ~empty).nonzero().squeeze(1)
        return x[kept] if len(kept) else x[:1]

    def embed(self, x):
        """(N·M, T, V, C) -> tokens with positions (N·M, L, D), in time-major order (index = t'·V + v)."""
        return (self.joints_embed(x) + self.temp_embed + self.pos_embed).flatten(1, 2)

    def encode(self, tokens):
        """Blocks and final norm: (N·M, any number of tokens, D) -> the same shape."""
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def encode_share(self, tokens):
        """As `encode`, for a random share 1 − patch_drop_rate of each body's tokens (B, L, D).

        As in dropout, the encodings of the others are 0, and these are multiplied so that means over tokens keep their scale. (In
        timm only the visible tokens are returned; here a read-out per joint needs all places.)
        """
        b, num_tokens, _ = tokens.shape
        visible = max(1, round(num_tokens * (1 - self.patch_drop_rate)))
        ids = torch.rand(b, num_tokens, device=tokens.device).topk(visible, dim=1).indices  # another draw for each body
        encoded = self.encode(gather_tokens(tokens, ids)) * (num_tokens / visible)  # (B, visible, D)
        return encoded.new_zeros(tokens.shape).scatter(1, ids.unsqueeze(-1).expand_as(encoded), encoded)

    def forward_features(self, x):
        """(N, C, T, V, M) -> (N, M, T', V, D), of every token; see patch_drop_rate for training."""
        n, m = x.shape[0], x.shape[-1]
        x = self.bodies(x)  # (N·M, T, V, C)
        encode = self.encode_share if self.patch_drop_rate and self.blocks.training else self.encode
        if m > 1 and self.reuse_encodings and (self.skip_empty_bodies or not self.blocks.training):
            # encode each different body once, (B, L, D), then repeat the encodings for all bodies, (N·M, L, D)
            encoded, place = self.find_redundant(x, m)[0].unique(return_inverse=True)
            tokens = encode(self.embed(x[encoded]))[place]
        else:
            tokens = encode(self.embed(x))
        return tokens.reshape(n, m, self.num_segments, self.num_joints, self.dim_feat)


class Transformer(Classifier, Encoder):
    """Encoder with a classification head: (N, C, T, V, M) -> logits (N, num_classes).

    protocol: 'linprobe' (a linear map of pooled features, see model.heads.pool for `readout`) or 'finetune' (two layers, hidden
    width head_dim). Further keys are the Encoder's. Raises ValueError for an unknown protocol or read-out.
    """

    def __init__(self, num_classes=60, protocol="finetune", readout="mean", head_dim=2048, head_dropout=0.3, **encoder):
        super().__init__(**encoder)
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocol {protocol!r}: use one of {', '.join(PROTOCOLS)}")
        if readout not in READOUTS:
            raise ValueError(f"readout {readout!r}: use one of {', '.join(READOUTS)}")
        if protocol == "linprobe":
            self.head = LinearHead(pooled_dim(readout, self.dim_feat, self.num_joints), num_classes, readout)
        else:
            self.head = FinetuneHead(self.dim_feat, num_classes, self.num_joints, head_dim, head_dropout)
        self.initialize_weights()
        if protocol == "linprobe":
            nn.init.normal_(self.head.fc.weight, std=0.01)

    @property
    def classifier(self):
        """The linear probe's head: pooled features -> logits (N, num_classes)."""
        return self.head.fc

    @property
    def readout_names(self):
        """Names of all read-outs, that of this model's head first."""
        return sorted(READOUTS, key=lambda name: name != self.head.readout)

    def readout_features(self, x):
        """(N, C, T, V, M) -> {read-out: (N, D')} from one pass, in the order of readout_names; see model.heads.pool."""
        features = self.forward_features(x)
        return {name: pool(features, name) for name in self.readout_names}

    def logits_and_features(self, x):
        """(N, C, T, V, M) -> logits (N, num_classes) and the last linear map's input (N, D')."""
        with self.encoder_gradient():
            features = self.forward_features(x)  # (N, M, T', V, D)
        return self.head.logits_and_features(features)

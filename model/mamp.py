"""MAMP: Masked Motion Predictors are Strong 3D Action Representation Learners (ICCV 2023).

A few joints of a skeleton sequence stay visible, and the motion of the hidden ones is predicted. Which ones are hidden is drawn
at random, the moving ones more often. With target='joint' and motion_aware_tau=0 this file is the paper's baseline SkeletonMAE*.

Letters: N samples, M bodies, T frames, V joints, C coordinates, l segment length, T' = T/l segments, L = T'·V tokens, D width.
"""

import torch
from torch import nn

from model.transformer import Encoder, LayerNorm, build_blocks

TARGETS = ("motion", "joint")
INPUT_STREAMS = ("joint", "motion")


class MAMP(Encoder):
    """Masked motion predictor; the keys that are not named here are the Encoder's.

    decoder_dim_feat, decoder_depth: width and number of blocks of the decoder.
    norm_skes_loss: normalise every token's target to zero mean and unit variance.
    target: 'motion' (MAMP) or 'joint' (SkeletonMAE*). input_stream: what the encoder sees, 'joint' or 'motion' (Table 7); masking
    and target are those of the joints either way.
    """

    def __init__(
        self, decoder_dim_feat=256, decoder_depth=5, norm_skes_loss=False, target="motion", input_stream="joint", num_heads=8,
        mlp_ratio=4, qkv_bias=True, qk_scale=None, drop_rate=0.0, attn_drop_rate=0.0, drop_path_rate=0.0, **encoder,
    ):  # fmt: skip
        shared = dict(
            num_heads=num_heads, mlp_ratio=mlp_ratio, qkv_bias=qkv_bias, qk_scale=qk_scale,
            drop_rate=drop_rate, attn_drop_rate=attn_drop_rate, drop_path_rate=drop_path_rate,
        )  # fmt: skip
        super().__init__(**shared, **encoder)
        if target not in TARGETS:
            raise ValueError(f"target {target!r}: use one of {', '.join(TARGETS)}")
        if input_stream not in INPUT_STREAMS:
            raise ValueError(f"input_stream {input_stream!r}: use one of {', '.join(INPUT_STREAMS)}")
        self.norm_skes_loss, self.target, self.input_stream = norm_skes_loss, target, input_stream

        self.decoder_embed = nn.Linear(self.dim_feat, decoder_dim_feat)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_dim_feat))
        self.decoder_temp_embed = nn.Parameter(torch.zeros(1, self.num_segments, 1, decoder_dim_feat))
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, 1, self.num_joints, decoder_dim_feat))
        self.decoder_blocks = build_blocks(decoder_dim_feat, decoder_depth, **shared)
        self.decoder_norm = LayerNorm(decoder_dim_feat)
        self.decoder_pred = nn.Linear(decoder_dim_feat, self.t_patch_size * self.dim_in)
        self.initialize_weights()

    def only_shown_once(self, x, num_bodies):
        """Drop empty bodies and copies of a sample's first body: (N·M, T, V, C) -> (B, T, V, C), B >= 1."""
        index, empty = self.shared_bodies(x, num_bodies)
        own = index == torch.arange(len(x), device=x.device)
        shown = (own & ~empty).nonzero().squeeze(1)
        return x[shown] if len(shown) else x[:1]

    def patchify(self, x):
        """(N·M, T, V, C) -> (N·M, L, l·C); inside a token frame-major: frame, then coordinate."""
        b, t, v, c = x.shape
        x = x.reshape(b, t // self.t_patch_size, self.t_patch_size, v, c)
        return x.transpose(2, 3).reshape(b, -1, self.t_patch_size * c)

    @staticmethod
    def extract_motion(x, motion_stride=1):
        """m[t] = x[t+s] − x[t], zero in the last s frames. x, m: (N·M, T, V, C)."""
        if not 0 < motion_stride < x.shape[1]:
            raise ValueError(f"motion_stride {motion_stride}: at least 1 and below the {x.shape[1]} frames of a sequence")
        motion = torch.zeros_like(x)
        motion[:, :-motion_stride] = x[:, motion_stride:] - x[:, :-motion_stride]
        return motion

    def motion_intensity(self, x):
        """How much a token moved since the segment before, averaged over its l·C values. (N·M, T, V, C) -> (N·M, L)."""
        segments = self.patchify(x).reshape(len(x), self.num_segments, self.num_joints, -1)
        intensity = (segments[:, 1:] - segments[:, :-1]).abs().mean(-1)
        return torch.cat([intensity[:, :1], intensity], dim=1).flatten(1)  # the first segment borrows the second's

    def masking_scores(self, x, motion_aware_tau):
        """Noise (N·M, L) whose smallest entries stay visible. tau > 0: Gumbel-max over softmax(intensity); else uniform."""
        uniform = torch.rand(len(x), self.num_segments * self.num_joints, device=x.device)
        if motion_aware_tau <= 0:
            return uniform
        if self.num_segments < 2:
            raise ValueError("motion-aware masking compares segments: num_frames must be at least twice t_patch_size")
        intensity = self.motion_intensity(x)
        strength = intensity / (intensity.amax(1, keepdim=True) * motion_aware_tau + 1e-10)
        gumbel = -torch.log(-torch.log(uniform + 1e-10) + 1e-10)
        return strength.log_softmax(1) + gumbel

    def random_masking(self, tokens, scores, mask_ratio):
        """Keep the tokens with the smallest scores.

        tokens: (N·M, L, D), scores: (N·M, L) -> visible tokens (N·M, L_keep, D), mask (N·M, L) with 0 keep and 1 remove,
        ids_restore (N·M, L) which undoes the shuffle.
        """
        b, num_tokens, dim = tokens.shape
        len_keep = int(num_tokens * (1 - mask_ratio))
        if len_keep < 1:
            raise ValueError(f"mask_ratio {mask_ratio} leaves none of the {num_tokens} tokens visible")
        ids_shuffle = scores.argsort(dim=1)
        ids_restore = ids_shuffle.argsort(dim=1)
        ids_keep = ids_shuffle[:, :len_keep]
        visible = tokens.gather(1, ids_keep.unsqueeze(-1).expand(-1, -1, dim))
        mask = torch.ones(b, num_tokens, device=tokens.device).scatter_(1, ids_keep, 0)
        return visible, mask, ids_restore

    def forward_encoder(self, x, mask_ratio, motion_aware_tau):
        """x: (N·M, T, V, C) -> latent (N·M, L_keep, D) in shuffled order, mask and ids_restore (N·M, L)."""
        scores = self.masking_scores(x, motion_aware_tau)
        seen = self.extract_motion(x) if self.input_stream == "motion" else x
        visible, mask, ids_restore = self.random_masking(self.embed(seen), scores, mask_ratio)
        return self.encode(visible), mask, ids_restore

    def forward_decoder(self, latent, ids_restore):
        """latent: (N·M, L_keep, D) -> pred (N·M, L, l·C)."""
        visible = self.decoder_embed(latent)
        b, len_keep, dim = visible.shape
        hidden = self.mask_token.to(visible.dtype).expand(b, ids_restore.shape[1] - len_keep, -1)
        tokens = torch.cat([visible, hidden], dim=1)
        tokens = tokens.gather(1, ids_restore.unsqueeze(-1).expand(-1, -1, dim))
        tokens = tokens + (self.decoder_temp_embed + self.decoder_pos_embed).flatten(1, 2)
        for block in self.decoder_blocks:
            tokens = block(tokens)
        tokens = self.decoder_norm(tokens)
        with torch.autocast(tokens.device.type, enabled=False):  # from here on they are metres
            return self.decoder_pred(tokens.float())

    def forward_loss(self, target, pred, mask):
        """Mean squared error over the hidden tokens of the batch. target, pred: (N·M, L, l·C), mask: (N·M, L) -> scalar."""
        if self.norm_skes_loss:
            mean, var = target.mean(-1, keepdim=True), target.var(-1, keepdim=True)
            target = (target - mean) / (var + 1e-6) ** 0.5
        loss = (pred.float() - target).square().mean(-1)
        return (loss * mask).sum() / mask.sum()

    def forward(self, x, mask_ratio=0.90, motion_stride=1, motion_aware_tau=0.75):
        """x: (N, C, T, V, M) -> loss (scalar), pred (N·M, L, l·C), mask (N·M, L) with 0 kept and 1 removed."""
        num_bodies, x = x.shape[-1], self.bodies(x).float()
        if self.skip_empty_bodies and self.training:
            x = self.only_shown_once(x, num_bodies)
        target = self.patchify(self.extract_motion(x, motion_stride) if self.target == "motion" else x)
        latent, mask, ids_restore = self.forward_encoder(x, mask_ratio, motion_aware_tau)
        pred = self.forward_decoder(latent, ids_restore)
        return self.forward_loss(target, pred, mask), pred, mask

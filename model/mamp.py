"""MAMP: Masked Motion Predictors are Strong 3D Action Representation Learners (ICCV 2023).

A few joints of a skeleton sequence stay visible, and the motion of the hidden ones is predicted. Which ones are hidden is drawn
at random, the moving ones more often. With target='joint' and motion_aware_tau=0 this file is the paper's baseline SkeletonMAE*.

The paper's decoder ('self') is self-attention over all tokens, most of them empty mask tokens, and nine tenths of the arithmetic.
Two others only ask: queries read what the encoder says of the visible tokens, and not each other.
    'query'  one learned query per joint and query_frames frames predicts these, hidden or not, as in AMR (CVPR 2026,
             arXiv 2606.11450). Written from its description; its code was not seen.
    'cross'  mask tokens ask, for a random share of the hidden tokens: the idea of CrossMAE (arXiv 2401.14391), not its code.

Letters: N samples, M bodies, T frames, V joints, C coordinates, l segment length, T' = T/l segments, L = T'·V tokens, D width;
F frames of a prediction (l, of a query query_frames), Q = T/F·V predictions in all (L, or the number of queries).
"""

import torch
from torch import nn

from model.decoder import CrossBlock
from model.transformer import Block, Encoder, LayerNorm, build_blocks

TARGETS = ("motion", "joint")
INPUT_STREAMS = ("joint", "motion")
DECODERS = ("self", "query", "cross")
LOSS_WEIGHTS = ("none", "motion")
EPSILON = 1e-8  # square metres, in the motion weighting: (0.1 mm)²


def take(tokens, ids):
    """Some of the tokens (B, L, D), in the order of ids (B, K): (B, K, D)."""
    return tokens.gather(1, ids.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


class MAMP(Encoder):
    """Masked motion predictor; the keys that are not named here are the Encoder's.

    decoder_dim_feat, decoder_depth: width and number of blocks of the decoder.
    norm_skes_loss: normalise every prediction's target, its F·C values, to zero mean and unit variance.
    target: 'motion' (MAMP) or 'joint' (SkeletonMAE*). input_stream: what the encoder sees, 'joint' or 'motion' (Table 7); masking
    and target are those of the joints either way.
    decoder: 'self', 'query' or 'cross', see above. query_frames: F of 'query', a divisor of num_frames. predict_ratio: share of
    the hidden tokens that 'cross' asks for in training, anew for every body; in eval mode it asks for all.
    loss_weight: 'none', or 'motion' with loss_weight_k and loss_weight_windows, see `motion_weight`.
    Raises ValueError for sizes that do not fit.
    """

    def __init__(
        self,
        decoder_dim_feat=256,
        decoder_depth=5,
        norm_skes_loss=False,
        target="motion",
        input_stream="joint",
        decoder="self",
        query_frames=24,
        predict_ratio=0.25,
        loss_weight="none",
        loss_weight_k=0.01,
        loss_weight_windows=(4, 8, 12),
        num_heads=8,
        mlp_ratio=4,
        qkv_bias=True,
        qk_scale=None,
        drop_rate=0.0,
        attn_drop_rate=0.0,
        drop_path_rate=0.0,
        **encoder,
    ):
        shared = dict(
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            qk_scale=qk_scale,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            drop_path_rate=drop_path_rate,
        )
        super().__init__(**shared, **encoder)
        for key, value, known in (
            ("target", target, TARGETS),
            ("input_stream", input_stream, INPUT_STREAMS),
            ("decoder", decoder, DECODERS),
            ("loss_weight", loss_weight, LOSS_WEIGHTS),
        ):
            if value not in known:
                raise ValueError(f"{key} {value!r}: use one of {', '.join(known)}")
        if decoder == "query" and self.num_frames % query_frames:
            raise ValueError(f"query_frames {query_frames}: has to divide num_frames, {self.num_frames}")
        if not 0 < predict_ratio <= 1:
            raise ValueError(f"predict_ratio {predict_ratio}: a share of the hidden tokens, above 0 and at most 1")
        for window in loss_weight_windows if loss_weight == "motion" else ():
            if self.num_frames % window:
                raise ValueError(f"loss_weight_windows {window}: has to divide num_frames, {self.num_frames}")
        self.norm_skes_loss, self.target, self.input_stream = norm_skes_loss, target, input_stream
        self.decoder, self.predict_ratio = decoder, predict_ratio
        self.predict_frames = query_frames if decoder == "query" else self.t_patch_size  # F
        self.loss_weight, self.loss_weight_k, self.loss_weight_windows = loss_weight, loss_weight_k, tuple(loss_weight_windows)

        self.decoder_embed = nn.Linear(self.dim_feat, decoder_dim_feat)
        if decoder != "query":
            self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_dim_feat))
        self.decoder_temp_embed = nn.Parameter(torch.zeros(1, self.num_frames // self.predict_frames, 1, decoder_dim_feat))
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, 1, self.num_joints, decoder_dim_feat))
        kind = Block if decoder == "self" else CrossBlock
        self.decoder_blocks = build_blocks(decoder_dim_feat, decoder_depth, **shared, kind=kind)
        self.decoder_norm = LayerNorm(decoder_dim_feat)
        self.decoder_pred = nn.Linear(decoder_dim_feat, self.predict_frames * self.dim_in)
        self.initialize_weights()

    def only_shown_once(self, x, num_bodies):
        """Drop empty bodies and copies of a sample's first body: (N·M, T, V, C) -> (B, T, V, C), B >= 1.

        Where none is left one empty body is: `forward` returns a mask of zeros, and the update leaves it out.
        """
        index, empty = self.shared_bodies(x, num_bodies)
        own = index == torch.arange(len(x), device=x.device)
        shown = (own & ~empty).nonzero().squeeze(1)
        return x[shown] if len(shown) else x[:1]

    def patchify(self, x, frames=None):
        """(N·M, T, V, C) -> (N·M, L, l·C), or in pieces of `frames` F: (N·M, Q, F·C); frame-major: frame, then coordinate."""
        (b, t, v, c), frames = x.shape, frames or self.t_patch_size
        return x.reshape(b, t // frames, frames, v, c).transpose(2, 3).reshape(b, -1, frames * c)

    def unpatchify(self, values):
        """What `patchify` undoes, whatever F is: (N·M, Q, F·C) -> (N·M, T, V, C), also of what `forward` predicts."""
        b, v, c = len(values), self.num_joints, self.dim_in
        return values.reshape(b, -1, v, values.shape[2] // c, c).transpose(2, 3).reshape(b, -1, v, c)

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

    def random_masking(self, scores, mask_ratio):
        """Keep the tokens with the smallest of the scores (N·M, L).

        Returns ids_keep (N·M, L_keep), mask (N·M, L) with 0 keep and 1 remove, ids_restore (N·M, L) which undoes the shuffle.
        """
        num_tokens = scores.shape[1]
        len_keep = int(num_tokens * (1 - mask_ratio))
        if len_keep < 1:
            raise ValueError(f"mask_ratio {mask_ratio} leaves none of the {num_tokens} tokens visible")
        ids_shuffle = scores.argsort(dim=1)
        place = torch.arange(num_tokens, device=scores.device).expand_as(ids_shuffle)
        ids_restore = torch.empty_like(ids_shuffle).scatter_(1, ids_shuffle, place)
        ids_keep = ids_shuffle[:, :len_keep]
        mask = torch.ones_like(scores).scatter_(1, ids_keep, 0)
        return ids_keep, mask, ids_restore

    def forward_encoder(self, x, mask_ratio, motion_aware_tau):
        """x: (N·M, T, V, C) -> latent (N·M, L_keep, D) in shuffled order, mask and ids_restore (N·M, L).

        What is hidden is not embedded.
        """
        scores = self.masking_scores(x, motion_aware_tau)
        seen = self.extract_motion(x) if self.input_stream == "motion" else x
        ids_keep, mask, ids_restore = self.random_masking(scores, mask_ratio)
        places = (self.temp_embed + self.pos_embed).flatten(0, 2)  # (L, D)
        visible = self.joints_embed.embed_patches(take(self.patchify(seen), ids_keep))
        return self.encode(visible + nn.functional.embedding(ids_keep, places)), mask, ids_restore

    def forward_decoder(self, latent, ids_restore):
        """decoder 'self': latent (N·M, L_keep, D) -> pred (N·M, L, l·C)."""
        visible = self.decoder_embed(latent)
        b, len_keep, dim = visible.shape
        hidden = self.mask_token.to(visible.dtype).expand(b, ids_restore.shape[1] - len_keep, -1)
        tokens = take(torch.cat([visible, hidden], dim=1), ids_restore)
        tokens = tokens + (self.decoder_temp_embed + self.decoder_pos_embed).flatten(1, 2)
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.predict(tokens)

    def forward_queries(self, latent, asked=None):
        """decoders 'query' and 'cross': latent (N·M, L_keep, D) -> pred (N·M, P, F·C) of the places asked (N·M, P), out of Q.

        asked None: all Q, and until they have seen a body the queries are computed once.
        """
        queries = (self.decoder_temp_embed + self.decoder_pos_embed).flatten(1, 2)  # (1, Q, D), index = segment·V + v
        if self.decoder == "cross":
            queries = queries + self.mask_token
        if asked is not None:
            queries = nn.functional.embedding(asked, queries[0])
        visible = self.decoder_embed(latent)
        for block in self.decoder_blocks:
            queries = block(queries, visible)
        return self.predict(queries)

    def predict(self, tokens):
        """(N·M, P, D) of the decoder -> (N·M, P, F·C)."""
        tokens = self.decoder_norm(tokens)
        with torch.autocast(tokens.device.type, enabled=False):  # from here on they are metres
            return self.decoder_pred(tokens.float())

    def places_to_ask(self, mask, num_hidden):
        """What 'cross' predicts, (N·M, P) out of L: a random share of each body's hidden tokens, in eval mode all.

        mask: (N·M, L) with num_hidden ones in each row.
        """
        share = self.predict_ratio if self.training else 1
        order = mask + torch.rand_like(mask)  # at least 1 where hidden, below 1 where visible
        return order.topk(max(1, int(share * num_hidden)), dim=1).indices

    def motion_weight(self, x):
        """How much a joint's frames count: near 1 where it moves, near 0 where it rests. x: (N·M, T, V, C) -> (N·M, T, V, 1).

        In windows of n frames w = 1 / (1 + k·e_t / (e_s + ε)): e_s, the energy of a joint in a window, is the mean over frames of
        ‖x_t − mean‖², e_t the mean of e_s over all windows and joints of the body. Of several n the mean; empty bodies count 0.
        """
        weights = []
        for n in self.loss_weight_windows:
            windows = x.unflatten(1, (-1, n))  # (N·M, T/n, n, V, C)
            energy = (windows - windows.mean(2, keepdim=True)).square().sum(-1).mean(2)
            share = energy.mean((1, 2), keepdim=True) / (energy + EPSILON)
            weights.append((1 / (1 + self.loss_weight_k * share)).repeat_interleave(n, 1))
        there = x.flatten(1).any(1)
        return (sum(weights) / len(weights) * there[:, None, None])[..., None]

    def forward_loss(self, target, pred, mask, weight=None):
        """Mean squared error over the hidden tokens of the batch. target, pred: (N·M, L, l·C), mask: (N·M, L) -> scalar.

        weight: like target, of each squared error; the mean is still over all.
        """
        if self.norm_skes_loss:
            mean, var = target.mean(-1, keepdim=True), target.var(-1, keepdim=True)
            target = (target - mean) / (var + 1e-6) ** 0.5
        loss = (pred.float() - target).square()
        loss = (loss if weight is None else weight * loss).mean(-1)
        return (loss * mask).sum() / mask.sum()

    def forward(self, x, mask_ratio=0.90, motion_stride=1, motion_aware_tau=0.75):
        """x: (N, C, T, V, M) -> loss (scalar), pred (N·M, Q, F·C), mask (N·M, L) with 0 kept and 1 removed.

        Predictions of 'cross' are 0 at tokens it was not asked for. `unpatchify` gives every prediction its frames.
        """
        num_bodies, x = x.shape[-1], self.bodies(x).float()
        if self.skip_empty_bodies and self.training:
            x = self.only_shown_once(x, num_bodies)
        latent, mask, ids_restore = self.forward_encoder(x, mask_ratio, motion_aware_tau)
        target = self.extract_motion(x, motion_stride) if self.target == "motion" else x
        compared = [self.patchify(target, self.predict_frames)]
        if self.loss_weight == "motion":
            compared.append(self.patchify(self.motion_weight(x).expand_as(x), self.predict_frames))
        if self.decoder == "self":
            pred = self.forward_decoder(latent, ids_restore)
            loss = self.forward_loss(compared[0], pred, mask, *compared[1:])
        elif self.decoder == "query":
            pred = self.forward_queries(latent)
            loss = self.forward_loss(compared[0], pred, torch.ones_like(pred[..., 0]), *compared[1:])
        else:
            asked = self.places_to_ask(mask, mask.shape[1] - latent.shape[1])
            answers = self.forward_queries(latent, asked)
            target, *weight = (take(values, asked) for values in compared)
            loss = self.forward_loss(target, answers, torch.ones_like(answers[..., 0]), *weight)
            everywhere = asked.unsqueeze(-1).expand_as(answers)
            pred = torch.zeros_like(compared[0], dtype=answers.dtype).scatter(1, everywhere, answers)
        if self.skip_empty_bodies and self.training:
            mask = mask * x.flatten(1).any(1, keepdim=True)
        return loss, pred, mask

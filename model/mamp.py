"""MAMP: Masked Motion Predictors are Strong 3D Action Representation Learners (ICCV 2023).

Nine tenths of the tokens of a skeleton sequence are hidden, those of moving joints more often than those of still ones. The
encoder sees the rest, and the decoder predicts the motion of the hidden tokens. With target='joint' and motion_aware_tau=0 this
is the paper's baseline SkeletonMAE*.

The paper's decoder ('self') has self-attention over all tokens, most of them mask tokens, and takes nine tenths of the
arithmetic. In two cheaper decoders, queries attend to the encoder's visible tokens, but not to each other. Both were written from
the papers' descriptions, without looking at their code.
    'query'  one learned query per joint and query_frames frames predicts these frames, hidden or not (AMR, CVPR 2026,
             arXiv 2606.11450)
    'cross'  one mask token is the query for each of a random share of the hidden tokens (CrossMAE, arXiv 2401.14391)

Letters: N samples, M bodies, T frames, V joints, C coordinates, l segment length, T' = T/l segments, L = T'·V tokens; D and D_dec
width of encoder and decoder; F frames that a prediction covers (l, or query_frames for 'query'), Q = T/F·V predictions (L, except
for 'query'), P of which are computed.
"""

import torch
from timm.models.vision_transformer import Block
from torch import nn
from torch.nn.functional import embedding

from model.layers import CrossBlock, LayerNorm, build_blocks, gather_tokens
from model.transformer import Encoder
from util.options import DECODERS, LOSS_WEIGHTS, TARGETS


class MAMP(Encoder):
    """Masked motion predictor. Further keys are the Encoder's; the options of its blocks hold for the decoder's blocks, too.

    decoder_dim_feat, decoder_depth: width and number of blocks of the decoder.
    norm_skes_loss: normalise the F·C target values of each prediction to zero mean and unit variance.
    target: predict 'motion' (MAMP) or 'joint' (SkeletonMAE*).
    input_stream: the encoder's input, 'joint' or 'motion' (Table 7); masking and target are made from the joints either way.
    decoder: 'self', 'query' or 'cross', see above. query_frames: F for 'query'; has to divide num_frames.
    predict_ratio: share of each body's hidden tokens that 'cross' predicts in training; in eval mode it predicts all.
    loss_weight: 'none', or 'motion' with loss_weight_k and loss_weight_windows, see `motion_weight`.
    Raises ValueError for sizes that do not fit and unknown choices.
    """

    def __init__(
        self,
        decoder_dim_feat=256,
        decoder_depth=5,
        norm_skes_loss=True,
        target="motion",
        input_stream="joint",
        decoder="self",
        query_frames=24,
        predict_ratio=0.25,
        loss_weight="none",
        loss_weight_k=0.01,
        loss_weight_windows=(4, 8, 12),
        **encoder,
    ):
        super().__init__(**encoder)
        for key, value, choices in (
            ("target", target, TARGETS),
            ("input_stream", input_stream, ("joint", "motion")),
            ("decoder", decoder, DECODERS),
            ("loss_weight", loss_weight, LOSS_WEIGHTS),
        ):
            if value not in choices:
                raise ValueError(f"{key} {value!r}: use one of {', '.join(choices)}")
        divisors = [("query_frames", query_frames)] if decoder == "query" else []
        divisors += [("loss_weight_windows", window) for window in loss_weight_windows if loss_weight == "motion"]
        for key, value in divisors:
            if self.num_frames % value:
                raise ValueError(f"{key} {value}: has to divide num_frames, {self.num_frames}")
        if not 0 < predict_ratio <= 1:
            raise ValueError(f"predict_ratio {predict_ratio}: a share of the hidden tokens, above 0 and at most 1")
        self.norm_skes_loss, self.target, self.input_stream = norm_skes_loss, target, input_stream
        self.decoder, self.predict_ratio = decoder, predict_ratio
        self.predict_frames = query_frames if decoder == "query" else self.t_patch_size  # F
        self.loss_weight, self.loss_weight_k, self.loss_weight_windows = loss_weight, loss_weight_k, tuple(loss_weight_windows)

        # decoder with its own width, position embeddings and blocks; its last layer gives the F·C values of a prediction
        self.decoder_embed = nn.Linear(self.dim_feat, decoder_dim_feat)
        if decoder != "query":
            self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_dim_feat))
        self.decoder_temp_embed = nn.Parameter(torch.zeros(1, self.num_frames // self.predict_frames, 1, decoder_dim_feat))
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, 1, self.num_joints, decoder_dim_feat))
        block = Block if decoder == "self" else CrossBlock
        self.decoder_blocks = build_blocks(decoder_dim_feat, decoder_depth, **self.block_options, block=block)
        self.decoder_norm = LayerNorm(decoder_dim_feat)
        self.decoder_pred = nn.Linear(decoder_dim_feat, self.predict_frames * self.dim_in)
        self.initialize_weights()

    def patchify(self, x, frames=None):
        """Cut into segments of F = `frames` frames (default l): (N·M, T, V, C) -> (N·M, Q, F·C).

        Tokens are in time-major order (index = segment·V + v), values within a token in frame-major order (frame, coordinate).
        """
        (b, t, v, c), frames = x.shape, frames or self.t_patch_size
        return x.reshape(b, t // frames, frames, v, c).transpose(2, 3).reshape(b, -1, frames * c)

    def unpatchify(self, values):
        """The inverse of `patchify`, for targets or predictions of any F: (N·M, Q, F·C) -> (N·M, T, V, C)."""
        b, v, c = len(values), self.num_joints, self.dim_in
        return values.reshape(b, -1, v, values.shape[2] // c, c).transpose(2, 3).reshape(b, -1, v, c)

    @staticmethod
    def extract_motion(x, motion_stride=1):
        """m[t] = x[t+s] − x[t], zero in the last s frames. x, m: (N·M, T, V, C). Raises ValueError unless 0 < s < T."""
        if not 0 < motion_stride < x.shape[1]:
            raise ValueError(f"motion_stride {motion_stride}: at least 1 and below the {x.shape[1]} frames of a sequence")
        motion = torch.zeros_like(x)
        motion[:, :-motion_stride] = x[:, motion_stride:] - x[:, :-motion_stride]
        return motion

    def targets(self, x, motion_stride=1):
        """What is predicted, before it is cut into pieces and normalised: (N·M, T, V, C) -> the same shape."""
        return self.extract_motion(x, motion_stride) if self.target == "motion" else x

    def motion_intensity(self, x):
        """Mean absolute difference of a token's l·C values from the previous segment's: (N·M, T, V, C) -> (N·M, L)."""
        segments = self.patchify(x).unflatten(1, (self.num_segments, self.num_joints))  # (N·M, T', V, l·C)
        intensity = (segments[:, 1:] - segments[:, :-1]).abs().mean(-1)  # (N·M, T'−1, V)
        return torch.cat([intensity[:, :1], intensity], dim=1).flatten(1)  # the first segment gets the second's value

    def masking_scores(self, x, motion_aware_tau):
        """Random scores (N·M, L); tokens with the smallest scores stay visible. Raises ValueError if there is only one
        segment."""
        uniform = torch.rand(len(x), self.num_segments * self.num_joints, device=x.device)
        if motion_aware_tau <= 0:  # uniform masking
            return uniform
        if self.num_segments < 2:
            raise ValueError("motion-aware masking compares segments: num_frames must be at least twice t_patch_size")
        # hiding probabilities π: softmax over a body's tokens of intensity / (largest intensity · tau)
        intensity = self.motion_intensity(x)
        logits = intensity / (intensity.amax(1, keepdim=True) * motion_aware_tau + 1e-10)
        # Gumbel top-k: hiding the tokens with the largest log π + noise draws them without replacement, with probabilities π
        gumbel = -torch.log(-torch.log(uniform + 1e-10) + 1e-10)
        return logits.log_softmax(1) + gumbel

    def random_masking(self, scores, mask_ratio):
        """Keep the tokens with the smallest scores (N·M, L). Raises ValueError if no token would be kept.

        Returns ids_keep (N·M, L_keep); mask (N·M, L), 0 is keep, 1 is remove; ids_restore (N·M, L), which undoes the shuffle.
        """
        num_tokens = scores.shape[1]
        len_keep = int(num_tokens * (1 - mask_ratio))
        if len_keep < 1:
            raise ValueError(f"mask_ratio {mask_ratio} leaves none of the {num_tokens} tokens visible")
        ids_shuffle = scores.argsort(dim=1)  # the kept ones come first
        # inverse permutation of ids_shuffle (as its argsort, but cheaper)
        place = torch.arange(num_tokens, device=scores.device).expand_as(ids_shuffle)
        ids_restore = torch.empty_like(ids_shuffle).scatter_(1, ids_shuffle, place)
        ids_keep = ids_shuffle[:, :len_keep]
        mask = torch.ones_like(scores).scatter_(1, ids_keep, 0)
        return ids_keep, mask, ids_restore

    def forward_encoder(self, x, mask_ratio, motion_aware_tau):
        """x: (N·M, T, V, C) -> latent (N·M, L_keep, D) in shuffled order; mask, ids_restore (N·M, L), see `random_masking`."""
        # masking depends on the joints, also where the encoder's input is motion
        scores = self.masking_scores(x, motion_aware_tau)
        ids_keep, mask, ids_restore = self.random_masking(scores, mask_ratio)
        if self.input_stream == "motion":
            x = self.extract_motion(x)
        # embed only the visible tokens, and add their positions
        visible = self.joints_embed.embed_patches(gather_tokens(self.patchify(x), ids_keep))  # (N·M, L_keep, D)
        positions = (self.temp_embed + self.pos_embed).flatten(0, 2)  # (L, D)
        return self.encode(visible + embedding(ids_keep, positions)), mask, ids_restore

    def forward_decoder(self, latent, ids_restore):
        """Decoder 'self': latent (N·M, L_keep, D) -> pred (N·M, L, l·C)."""
        visible = self.decoder_embed(latent)
        b, len_keep, dim = visible.shape
        # append a mask token for each hidden token, then unshuffle: (N·M, L, D_dec)
        hidden = self.mask_token.to(visible.dtype).expand(b, ids_restore.shape[1] - len_keep, -1)
        tokens = gather_tokens(torch.cat([visible, hidden], dim=1), ids_restore)
        # position embeddings for all tokens; without them all mask tokens would be alike
        tokens = tokens + (self.decoder_temp_embed + self.decoder_pos_embed).flatten(1, 2)
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.predict_values(tokens)

    def forward_queries(self, latent, ids=None):
        """Decoders 'query' and 'cross': latent (N·M, L_keep, D) -> pred (N·M, P, F·C) for ids (N·M, P), by default for all Q."""
        queries = (self.decoder_temp_embed + self.decoder_pos_embed).flatten(1, 2)  # (1, Q, D_dec), the same for every body
        if self.decoder == "cross":
            queries = queries + self.mask_token
        if ids is not None:
            queries = embedding(ids, queries[0])  # (N·M, P, D_dec)
        visible = self.decoder_embed(latent)
        for block in self.decoder_blocks:
            queries = block(queries, visible)
        return self.predict_values(queries)

    def predict_values(self, tokens):
        """Norm and last linear map, in float32 also under autocast: tokens (N·M, P, D_dec) -> values (N·M, P, F·C)."""
        tokens = self.decoder_norm(tokens)
        with torch.autocast(tokens.device.type, enabled=False):
            return self.decoder_pred(tokens.float())

    def draw_hidden(self, mask, num_hidden):
        """The hidden tokens that 'cross' predicts, ids (N·M, P): in training a random share of each body's, else all.

        mask: (N·M, L) with num_hidden ones in each row.
        """
        share = self.predict_ratio if self.training else 1
        order = mask + torch.rand_like(mask)  # at least 1 where hidden, below 1 where visible
        return order.topk(max(1, int(share * num_hidden)), dim=1).indices

    def motion_weight(self, x):
        """Loss weight of each joint and frame, near 1 where it moves, near 0 where it rests: (N·M, T, V, C) -> (N·M, T, V, 1).

        For windows of n frames w = 1 / (1 + k·e_t / (e_s + ε)) with ε = (0.1 mm)². e_s is a joint's variance in a window, the
        mean over frames of ‖x_t − mean‖²; e_t is the mean of e_s over all windows and joints of the body. The result is the mean
        of w over all n of loss_weight_windows, and 0 for empty bodies.
        """
        weights = []
        for n in self.loss_weight_windows:
            windows = x.unflatten(1, (-1, n))  # (N·M, T/n, n, V, C)
            energy = (windows - windows.mean(2, keepdim=True)).square().sum(-1).mean(2)  # e_s: (N·M, T/n, V)
            ratio = energy.mean((1, 2), keepdim=True) / (energy + 1e-8)
            weights.append((1 / (1 + self.loss_weight_k * ratio)).repeat_interleave(n, 1))  # (N·M, T, V)
        not_empty = x.flatten(1).any(1)
        return (sum(weights) / len(weights) * not_empty[:, None, None])[..., None]

    def forward_loss(self, target, pred, mask, weight=None):
        """Mean squared error over the predictions with mask 1. target, pred: (N·M, Q, F·C), mask: (N·M, Q) -> scalar.

        weight: (N·M, Q, F·C), multiplies the squared errors; the mean is not divided by the sum of the weights.
        """
        if self.norm_skes_loss:
            # normalise the target values of each prediction; the variance is the unbiased one
            mean, var = target.mean(-1, keepdim=True), target.var(-1, keepdim=True)
            target = (target - mean) / (var + 1e-6) ** 0.5
        loss = (pred.float() - target).square()
        loss = (loss if weight is None else weight * loss).mean(-1)  # (N·M, Q)
        return (loss * mask).sum() / mask.sum()

    def forward(self, x, mask_ratio=0.90, motion_stride=1, motion_aware_tau=0.75):
        """x: (N, C, T, V, M) metres -> loss (scalar), pred (N·M, Q, F·C), mask (N·M, L), 0 is keep, 1 is remove.

        With 'cross', pred is 0 for tokens that were not predicted. With skip_empty_bodies in training, pred and mask have no rows
        for redundant bodies. `unpatchify` turns pred into frames. The default of motion_aware_tau is the release's; the mains
        always pass --motion_aware_tau.
        """
        # one row per body; with skip_empty_bodies, without empty and copied bodies
        num_bodies, x = x.shape[-1], self.bodies(x).float()  # (N·M, T, V, C)
        skip = self.skip_empty_bodies and self.training
        if skip:
            x = self.drop_redundant(x, num_bodies)

        # hide most tokens, encode the visible ones
        latent, mask, ids_restore = self.forward_encoder(x, mask_ratio, motion_aware_tau)

        # predictions (N·M, Q, F·C), and which of them count in the loss (N·M, Q)
        if self.decoder == "self":  # MAMP: predict all tokens; the hidden ones count
            pred, counted = self.forward_decoder(latent, ids_restore), mask
        elif self.decoder == "query":  # AMR: predict all frames; all count
            pred = self.forward_queries(latent)
            counted = torch.ones_like(pred[..., 0])
        elif self.decoder == "cross":  # CrossMAE: predict P of the hidden tokens; these count
            ids = self.draw_hidden(mask, mask.shape[1] - latent.shape[1])  # (N·M, P)
            part = self.forward_queries(latent, ids)  # (N·M, P, l·C)
            pred = part.new_zeros(*mask.shape, part.shape[-1]).scatter(1, ids.unsqueeze(-1).expand_as(part), part)
            counted = torch.zeros_like(mask).scatter(1, ids, 1.0)

        # targets and their weights, in pieces of F frames: (N·M, Q, F·C)
        target, weight = self.patchify(self.targets(x, motion_stride), self.predict_frames), None
        if self.loss_weight == "motion":
            weight = self.patchify(self.motion_weight(x).expand_as(x), self.predict_frames)
        loss = self.forward_loss(target, pred, counted, weight)

        if skip:  # if all bodies are empty, one was kept: clear its mask, so that the batch has no weight (build.mamp_loss)
            mask = mask * x.flatten(1).any(1, keepdim=True)
        return loss, pred, mask

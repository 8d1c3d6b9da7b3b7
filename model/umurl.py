"""UmURL: Unified Multi-modal Unsupervised Representation Learning for Skeleton-based Action Understanding (ACM MM 2023).

One small encoder takes joints, bones and motions (the modalities), each alone or all three fused. Pre-training draws four views
of a sequence and makes their features agree: the fused ones with each modality's (intra-modal), and each modality's with their
mean (inter-modal). Variance and covariance terms, as in VICReg, prevent collapse to one point or one direction.

Letters: N samples, C coordinates, T frames, V joints, M bodies, H hidden width, 2H feature width, Z projector width, K classes.
"""

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from feeder.tools import stream, transform_points
from model.heads import Classifier, logits_and_features
from model.layers import ExactLinear

MODALITIES = ("joint", "bone", "motion")
FEATURES = ("multi", *MODALITIES)  # 'multi': all three fused
VIEWS = 4  # one for each modality alone, one for all three fused
MAX_FRAMES = 200  # length of the position table, as in released files
CORRUPTED_SHARE = 0.6  # share of the joints that corruption changes: 15 of 25
INVARIANCE, VARIANCE, COVARIANCE = 5.0, 5.0, 1.0  # weights of the terms of the loss


def modality(joints, name, parents):
    """Joints (N, C, T, V, M) as 'joint', 'bone' or 'motion': the same shape. parents: (V,)."""
    return stream(joints, parents if name == "bone" else None, vel=name == "motion")


class Embedding(nn.Module):
    """Tokens of one modality: (N, C, T, V, M) -> temporal (N, T, H), one per frame, and spatial (N, M·V, H), one per joint."""

    def __init__(self, temporal, spatial, hidden):
        super().__init__()
        self.t_embedding, self.s_embedding = self._layers(temporal, hidden), self._layers(spatial, hidden)

    @staticmethod
    def _layers(size, hidden):
        return nn.Sequential(ExactLinear(size, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden))

    def forward(self, x):
        frames = x.permute(0, 2, 4, 3, 1).flatten(2)  # (N, T, M·V·C)
        joints = x.permute(0, 4, 3, 2, 1).flatten(3).flatten(1, 2)  # (N, M·V, T·C)
        return self.t_embedding(frames), self.s_embedding(joints)


class Fusion(nn.Module):
    """Early fusion: a linear map without bias of the mean of the modalities' tokens."""

    def __init__(self, hidden):
        super().__init__()
        self.t_fusion = nn.Sequential(nn.Linear(hidden, hidden, bias=False))
        self.s_fusion = nn.Sequential(nn.Linear(hidden, hidden, bias=False))

    def forward(self, temporal, spatial):
        return self.t_fusion(sum(temporal) / len(temporal)), self.s_fusion(sum(spatial) / len(spatial))


class PositionalEncoding(nn.Module):
    """Adds sinusoidal positions to tokens (N, T, H)."""

    def __init__(self, hidden):
        super().__init__()
        angle = torch.arange(MAX_FRAMES)[:, None] * torch.exp(torch.arange(0, hidden, 2) * (-math.log(10000.0) / hidden))
        # sine at even, cosine at odd indices: (1, MAX_FRAMES, H)
        self.register_buffer("pe", torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[None, :, :hidden])

    def forward(self, tokens):
        return tokens + self.pe[:, : tokens.shape[1]]


class TwoStreamEncoder(nn.Module):
    """Shared by all modalities: temporal (N, T, H) and spatial (N, M·V, H) tokens -> features (N, 2H).

    Each stream is a transformer of its own; the maximum over frames and the maximum over joints are concatenated.
    """

    def __init__(self, hidden, num_heads, depth):
        super().__init__()
        self.pe = PositionalEncoding(hidden)
        self.t_tr, self.s_tr = self._layers(hidden, num_heads, depth), self._layers(hidden, num_heads, depth)

    @staticmethod
    def _layers(hidden, num_heads, depth):
        layer = nn.TransformerEncoderLayer(hidden, num_heads, dim_feedforward=hidden, dropout=0.0, batch_first=True)
        return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)

    def forward(self, temporal, spatial):
        return torch.cat([self.t_tr(self.pe(temporal)).amax(1), self.s_tr(spatial).amax(1)], dim=1)


class Backbone(nn.Module):
    """Joints (N, C, T, V, M) -> features (N, 2H) of one modality or of all three ('multi').

    hidden_size H; depth and num_heads of the encoder's post-norm layers; parents (V,): the joint each joint hangs on, for bones.
    Raises ValueError for sizes that do not fit.
    """

    def __init__(self, parents, num_bodies=2, num_frames=64, dim_in=3, hidden_size=1024, depth=1, num_heads=1):
        super().__init__()
        if hidden_size % 2 or hidden_size % num_heads:
            raise ValueError(f"width {hidden_size}: has to be even, and a multiple of num_heads {num_heads}")
        if num_frames > MAX_FRAMES:
            raise ValueError(f"num_frames {num_frames}: UmURL's positions end at {MAX_FRAMES}")
        self.shape = (dim_in, num_frames, len(parents), num_bodies)
        self.register_buffer("parents", torch.as_tensor(parents), persistent=False)
        sizes = num_bodies * len(parents) * dim_in, num_frames * dim_in, hidden_size
        self.j_emb, self.b_emb, self.m_emb = Embedding(*sizes), Embedding(*sizes), Embedding(*sizes)
        self.mm_fusion = Fusion(hidden_size)
        self.ma_encoder = TwoStreamEncoder(hidden_size, num_heads, depth)

    def embed(self, x, name):
        """Joints (N, C, T, V, M) -> temporal (N, T, H) and spatial (N, M·V, H) tokens of one modality."""
        if x.shape[1:] != self.shape:
            raise ValueError(
                "input has C={}, T={}, V={}, M={}; the model was built for dim_in={}, num_frames={}, {} joints and "
                "{} bodies".format(*x.shape[1:], *self.shape)
            )
        return getattr(self, f"{name[0]}_emb")(modality(x, name, self.parents))

    def tokens(self, x, features="multi"):
        """Joints (N, C, T, V, M) -> temporal (N, T, H) and spatial (N, M·V, H) tokens for the encoder."""
        if features != "multi":
            return self.embed(x, features)
        temporal, spatial = zip(*(self.embed(x, name) for name in MODALITIES), strict=True)
        return self.mm_fusion(temporal, spatial)

    def forward(self, x, features="multi"):
        return self.ma_encoder(*self.tokens(x, features))


def projector(dim, projector_dim):
    """MLP whose outputs the loss compares: (N, 2H) -> (N, Z)."""
    hidden = (nn.Linear(dim, dim), nn.BatchNorm1d(dim), nn.ReLU(), nn.Linear(dim, dim), nn.BatchNorm1d(dim), nn.ReLU())
    return nn.Sequential(*hidden, nn.Linear(dim, projector_dim))


class UmURL(nn.Module):
    """Pre-training. projector_dim Z; the other keys are the Backbone's."""

    def __init__(self, parents, projector_dim=4096, hidden_size=1024, **backbone):
        super().__init__()
        self.backbone = Backbone(parents, hidden_size=hidden_size, **backbone)
        for name in MODALITIES:
            setattr(self, f"{name[0]}_projector", projector(2 * hidden_size, projector_dim))

    def forward(self, views):
        """views: (N, 4, C, T, V, M), augmented here while training -> loss (scalar), {'intra', 'inter', 'reg'}."""
        if self.training:
            views = augment(views.flatten(0, 1)).unflatten(0, (-1, VIEWS))
        return loss_of(*self.project(views))

    def project(self, views):
        """views (N, 4, C, T, V, M) -> two lists of three (N, Z): each modality alone, and the fused one by each projector.

        N of the result counts the samples of all processes: features are gathered before the projectors, so that in every process
        their BatchNorm sees the whole batch.
        """
        # view 1 as joints, 2 as bones, 3 as motions, 4 as all three fused; one pass of the encoder for all four
        *alone, together = views.unbind(1)
        tokens = [self.backbone.tokens(x, name) for x, name in zip((*alone, together), (*MODALITIES, "multi"), strict=True)]
        features = self.backbone.ma_encoder(*(torch.cat(parts) for parts in zip(*tokens, strict=True)))  # (4·N, 2H)
        features = all_gather_with_gradient(features.unflatten(0, (VIEWS, -1)).transpose(0, 1))  # (N, 4, 2H)
        # each modality has its projector; the fused features pass through all three
        *alone, together = features.unbind(1)
        projectors = [getattr(self, f"{name[0]}_projector") for name in MODALITIES]
        return [p(y) for p, y in zip(projectors, alone, strict=True)], [p(together) for p in projectors]


def all_gather_with_gradient(x):
    """All-gather rows; the gradient is as if one process had the whole batch: (N, ...) -> (processes · N, ...)."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return x
    world = dist.get_world_size()
    x = x.contiguous()  # required by NCCL
    rows = [torch.empty_like(x) for _ in range(world)]
    dist.all_gather(rows, x.detach())
    # only this process's own rows get a gradient here; DistributedDataParallel averages over the processes, where the sum is
    # needed, so multiply by their number
    rows[dist.get_rank()] = ours = x.clone()
    if ours.requires_grad:
        ours.register_hook(lambda gradient: gradient * world)
    return torch.cat(rows)


def loss_of(alone, together):
    """alone, together: from `UmURL.project`. Returns the loss (scalar) and its three terms."""
    alone, together = [z.float() for z in alone], [z.float() for z in together]  # sums of 4,096 squares need float32
    # intra-modal: each modality alone agrees with the fused features from its projector
    intra = sum(F.mse_loss(z, u) for z, u in zip(alone, together, strict=True))
    # inter-modal: each modality agrees with the mean of the three
    centre = sum(alone) / len(alone)
    inter = sum(F.mse_loss(z, centre) for z in alone)
    # against collapse: every dimension varies, and no two are correlated
    reg = sum(VARIANCE * variance_loss(z) + COVARIANCE * covariance_loss(z) for z in (*alone, *together))
    return INVARIANCE * (intra + inter) + reg, {"intra": intra, "inter": inter, "reg": reg}


def variance_loss(z):
    """Mean hinge loss of each dimension's standard deviation being below 1: (N, Z) -> scalar."""
    return F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean()


def covariance_loss(z):
    """Sum of squared off-diagonal entries of the covariance matrix, divided by Z: (N, Z) -> scalar.

    zᵀ·z and z·zᵀ have the same sum of squared entries, so the smaller of the two products is computed.
    """
    count, width = z.shape
    with torch.autocast(z.device.type, enabled=False):
        z = (z - z.mean(0)) / math.sqrt(count - 1)
        products = z @ z.T if count < width else z.T @ z
        variances = z.square().sum(0)  # (Z,), the diagonal of the covariance matrix
        return (products.square().sum() - variances.square().sum()) / width


def augment(x):
    """Corrupt each sample of x (N, C, T, V, M) with p = .5, else shear it; the same for all its frames and bodies.

    Corruption: 15 of 25 joints are set to zero (p = .5), or multiplied by a random matrix with entries from U(-1, 1). Shear: all
    joints are multiplied by a matrix with ones on the diagonal and U(-1, 1) off it.
    """
    n, c, v = x.shape[0], x.shape[1], x.shape[3]

    def coin():
        return torch.rand(n, device=x.device) < 0.5

    eye, random = torch.eye(c, device=x.device), torch.rand(2, n, c, c, device=x.device) * 2 - 1
    hit = torch.rand(n, v, device=x.device).argsort(1) < round(CORRUPTED_SHARE * v)  # (N, V) bool: joints to corrupt
    corruption = torch.where(coin()[:, None, None], 0.0, random[0])  # (N, C, C)
    corrupted = torch.where(hit[..., None, None], corruption[:, None], eye)  # (N, V, C, C)
    sheared = torch.where(eye.bool(), 1.0, random[1])  # (N, C, C)
    maps = torch.where(coin()[:, None, None, None], corrupted, sheared[:, None])  # (N, V, C, C)
    return transform_points(x, maps.movedim(1, -1)[..., None, :, None])  # maps as (N, C, C, 1, V, 1)


class UmURLClassifier(Classifier, nn.Module):
    """Joints (N, C, T, V, M) -> logits (N, num_classes): a linear map of the backbone's `features`, see FEATURES.

    Raises ValueError for unknown features.
    """

    head_name = "fc"

    def __init__(self, parents, num_classes=60, features="multi", hidden_size=1024, depth=1, **backbone):
        super().__init__()
        if features not in FEATURES:
            raise ValueError(f"features {features!r}: use one of {', '.join(FEATURES)}")
        self.features, self.depth = features, depth
        self.backbone = Backbone(parents, hidden_size=hidden_size, depth=depth, **backbone)
        if features != "multi":  # freeze unused parts: weight decay must not change them, nor DDP wait for their gradients
            self.backbone.mm_fusion.requires_grad_(False)
            for name in MODALITIES:
                getattr(self.backbone, f"{name[0]}_emb").requires_grad_(name == features)
        self.fc = nn.Linear(2 * hidden_size, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    @property
    def classifier(self):
        """Features (N, 2H) -> logits (N, num_classes)."""
        return self.fc

    @property
    def readout_names(self):
        """The only one."""
        return [self.features]

    def readout_features(self, x):
        """(N, C, T, V, M) -> {name: (N, 2H)}."""
        return {self.features: self.backbone(x, self.features)}

    def logits_and_features(self, x):
        """(N, C, T, V, M) -> logits (N, num_classes) and the linear map's input (N, 2H)."""
        with self.encoder_gradient():
            features = self.pooled(x)
        return logits_and_features(self.fc, features)

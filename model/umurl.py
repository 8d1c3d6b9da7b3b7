"""UmURL: Unified Multi-modal Unsupervised Representation Learning for Skeleton-based Action Understanding (ACM MM 2023).

One small encoder sees joints, bones and motions, each alone and all three at once. Pre-training draws four views of a recording
and makes what the encoder says of them agree: all three together with each alone (intra-modal), and the three with their mean
(inter-modal), while variance and covariance keep the features from collapsing.

Letters: N samples, C coordinates, T frames, V joints, M bodies, H hidden width, 2H feature width, Z projector width.
"""

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from feeder.tools import bone, mapped, velocity
from model.coordinates import Linear
from model.freezable import Freezable
from model.probe import look

MODALITIES = ("joint", "bone", "motion")
FEATURES = ("multi", *MODALITIES)
VIEWS = 4  # one for each modality alone, one for all three together
LONGEST = 200  # frames that the positions are made for, as in released files
CORRUPTED = 0.6  # share of the joints that a corrupted view loses or distorts: 15 of 25
INVARIANCE, VARIANCE, COVARIANCE = 5.0, 5.0, 1.0  # weights of the terms of the loss


def modality(joints, name, parents):
    """What the encoder sees of joints (N, C, T, V, M) as 'joint', 'bone' or 'motion': the same shape. parents: (V,)."""
    return {"joint": lambda x: x, "bone": lambda x: bone(x, parents), "motion": velocity}[name](joints)


class Embedding(nn.Module):
    """Tokens of one modality: (N, C, T, V, M) -> temporal (N, T, H), one per frame, and spatial (N, M·V, H), one per joint."""

    def __init__(self, temporal, spatial, hidden):
        super().__init__()
        self.t_embedding, self.s_embedding = self._layers(temporal, hidden), self._layers(spatial, hidden)

    @staticmethod
    def _layers(size, hidden):
        return nn.Sequential(Linear(size, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden))

    def forward(self, x):
        frames, joints = x.permute(0, 2, 4, 3, 1).flatten(2), x.permute(0, 4, 3, 2, 1).flatten(3).flatten(1, 2)
        return self.t_embedding(frames), self.s_embedding(joints)


class Fusion(nn.Module):
    """Early fusion: the mean of the modalities' tokens through a linear map without bias."""

    def __init__(self, hidden):
        super().__init__()
        self.t_fusion = nn.Sequential(nn.Linear(hidden, hidden, bias=False))
        self.s_fusion = nn.Sequential(nn.Linear(hidden, hidden, bias=False))

    def forward(self, temporal, spatial):
        return self.t_fusion(sum(temporal) / len(temporal)), self.s_fusion(sum(spatial) / len(spatial))


class Position(nn.Module):
    """Adds sinusoidal positions to tokens (N, T, H)."""

    def __init__(self, hidden):
        super().__init__()
        angle = torch.arange(LONGEST)[:, None] * torch.exp(torch.arange(0, hidden, 2) * (-math.log(10000.0) / hidden))
        self.register_buffer("pe", torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[None, :, :hidden])

    def forward(self, tokens):
        return tokens + self.pe[:, : tokens.shape[1]]


class Encoder(nn.Module):
    """Shared by all modalities: tokens -> features (N, 2H), the largest value over the frames beside that over the joints."""

    def __init__(self, hidden, num_heads, depth):
        super().__init__()
        self.pe = Position(hidden)
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
        if num_frames > LONGEST:
            raise ValueError(f"num_frames {num_frames}: UmURL's positions end at {LONGEST}")
        self.shape = (dim_in, num_frames, len(parents), num_bodies)
        self.register_buffer("parents", torch.as_tensor(parents), persistent=False)
        sizes = num_bodies * len(parents) * dim_in, num_frames * dim_in, hidden_size
        self.j_emb, self.b_emb, self.m_emb = Embedding(*sizes), Embedding(*sizes), Embedding(*sizes)
        self.mm_fusion = Fusion(hidden_size)
        self.ma_encoder = Encoder(hidden_size, num_heads, depth)

    def embed(self, x, name):
        """Temporal and spatial tokens of one modality of the joints x."""
        if x.shape[1:] != self.shape:
            raise ValueError(
                "input has C={}, T={}, V={}, M={}; the model was built for dim_in={}, num_frames={}, {} joints and "
                "{} bodies".format(*x.shape[1:], *self.shape)
            )
        return getattr(self, f"{name[0]}_emb")(modality(x, name, self.parents))

    def tokens(self, x, features="multi"):
        """Temporal (N, T, H) and spatial (N, M·V, H) tokens for the encoder."""
        if features != "multi":
            return self.embed(x, features)
        return self.mm_fusion(*zip(*(self.embed(x, name) for name in MODALITIES), strict=True))

    def forward(self, x, features="multi"):
        return self.ma_encoder(*self.tokens(x, features))


def projector(dim, projector_dim):
    """Where features are compared: (N, 2H) -> (N, Z)."""
    hidden = (nn.Linear(dim, dim), nn.BatchNorm1d(dim), nn.ReLU(), nn.Linear(dim, dim), nn.BatchNorm1d(dim), nn.ReLU())
    return nn.Sequential(*hidden, nn.Linear(dim, projector_dim))


class UmURL(nn.Module):
    """Pre-training; projector_dim Z, the other keys are the Backbone's."""

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
        """Of each modality: z alone, and z of all three together; two lists of three (N, Z), over the samples of all processes.

        The features are gathered before the projectors, so that their BatchNorm sees the whole batch in every process.
        """
        *alone, together = views.unbind(1)
        tokens = [self.backbone.tokens(x, name) for x, name in zip((*alone, together), FEATURES[1:] + FEATURES[:1], strict=True)]
        features = self.backbone.ma_encoder(*(torch.cat(parts) for parts in zip(*tokens, strict=True)))
        *alone, together = gathered(features.unflatten(0, (VIEWS, -1)).transpose(0, 1)).unbind(1)
        projectors = [getattr(self, f"{name[0]}_projector") for name in MODALITIES]
        return [p(y) for p, y in zip(projectors, alone, strict=True)], [p(together) for p in projectors]


def gathered(x):
    """The rows of all processes, in each of them; the gradient is that of one process with the whole batch.

    DistributedDataParallel divides gradients by the number of processes, and those of other processes' rows arise there.
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return x
    world = dist.get_world_size()
    x = x.contiguous()  # NCCL wants it of what it sends and of what it fills
    parts = [torch.empty_like(x) for _ in range(world)]
    dist.all_gather(parts, x.detach())
    parts[dist.get_rank()] = own = x.clone()
    if own.requires_grad:
        own.register_hook(lambda gradient: gradient * world)
    return torch.cat(parts)


def loss_of(alone, together):
    """Of z of each modality alone, and of all together seen as each (lists of (N, Z)): loss, and its three terms."""
    alone, together = [z.float() for z in alone], [z.float() for z in together]  # squares of 4,096 numbers are summed
    intra = sum(F.mse_loss(z, u) for z, u in zip(alone, together, strict=True))
    centre = sum(alone) / len(alone)
    inter = sum(F.mse_loss(z, centre) for z in alone)
    reg = sum(VARIANCE * collapse(z) + COVARIANCE * redundancy(z) for z in (*alone, *together))
    return INVARIANCE * (intra + inter) + reg, {"intra": intra, "inter": inter, "reg": reg}


def collapse(z):
    """How far the features' standard deviations stay below 1: (N, Z) -> scalar."""
    return F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean()


def redundancy(z):
    """Squared covariances of different features, summed, over Z: (N, Z) -> scalar.

    The squares of Zᵀ·Z and of Z·Zᵀ have the same sum, so the smaller of the two is made.
    """
    count, width = z.shape
    with torch.autocast(z.device.type, enabled=False):
        z = (z - z.mean(0)) / math.sqrt(count - 1)
        products = z @ z.T if count < width else z.T @ z
        return (products.square().sum() - z.square().sum(0).square().sum()) / width


def augment(x):
    """Each of x (N, C, T, V, M) with p = .5 corrupted, else sheared; one draw holds for all frames and bodies.

    Corrupted: 15 of 25 joints are, with p = .5, zero, else mapped by a random matrix with entries from U(-1, 1). Sheared: all are
    mapped by a matrix with unit diagonal and U(-1, 1) beside it.
    """
    n, c, v = x.shape[0], x.shape[1], x.shape[3]

    def coin():
        return torch.rand(n, device=x.device) < 0.5

    eye, random = torch.eye(c, device=x.device), torch.rand(2, n, c, c, device=x.device) * 2 - 1
    hit = torch.rand(n, v, device=x.device).argsort(1) < round(CORRUPTED * v)
    corrupt = torch.where(coin()[:, None, None], 0.0, random[0])
    corrupted = torch.where(hit[..., None, None], corrupt[:, None], eye)
    sheared = torch.where(eye.bool(), 1.0, random[1])
    maps = torch.where(coin()[:, None, None, None], corrupted, sheared[:, None])
    return mapped(x, maps.movedim(1, -1)[..., None, :, None])


class UmURLClassifier(Freezable, nn.Module):
    """Joints (N, C, T, V, M) -> logits (N, num_classes): a linear map on the backbone's features, 'multi' or of one modality."""

    head_name = "fc"

    def __init__(self, parents, num_classes=60, features="multi", hidden_size=1024, depth=1, **backbone):
        super().__init__()
        if features not in FEATURES:
            raise ValueError(f"features {features!r}: use one of {', '.join(FEATURES)}")
        self.features, self.depth = features, depth
        self.backbone = Backbone(parents, hidden_size=hidden_size, depth=depth, **backbone)
        if features != "multi":  # the others take no part: they must not decay, nor be waited for
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

    def pooled(self, x):
        """(N, C, T, V, M) -> (N, 2H)."""
        return self.backbone(x, self.features)

    @property
    def readouts(self):
        """There is one."""
        return [self.features]

    def read_outs(self, x):
        """(N, C, T, V, M) -> {name: (N, 2H)}."""
        return {self.features: self.pooled(x)}

    def look(self, x):
        """Logits (N, num_classes), and what the linear map sees."""
        return look(self.fc, self.pooled(x))

    def forward(self, x):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.pooled(x)
        return self.fc(features)

"""STARS (arXiv 2407.10935): tune a pre-trained encoder by contrastive learning with nearest neighbours, for a few epochs.

A sequence's features are pulled towards those of its nearest neighbour in a queue of recent sequences (the positive), and pushed
away from those of the other sequences in the batch (the negatives). No labels are used, and by default no augmentation. Written
from the paper's description.

Letters: N samples of the whole batch, of all processes; D width of the features; Q length of the queue.
"""

import torch
import torch.nn.functional as F
from torch import nn

from feeder.tools import transform_points
from model.transformer import Transformer
from model.umurl import UmURLClassifier, all_gather_with_gradient
from util.lr_decay import layer_id


class NeighbourHead(nn.Module):
    """The loss, and a queue of the Q latest projections with the row numbers of their samples. Defaults are the paper's.

    The projector is a BatchNorm, the predictor has two layers with predictor_dim hidden units.
    """

    def __init__(self, dim, queue_size=32768, predictor_dim=4096, temperature=0.07):
        super().__init__()
        self.projector = nn.BatchNorm1d(dim)
        self.predictor = nn.Sequential(
            nn.Linear(dim, predictor_dim, bias=False), nn.BatchNorm1d(predictor_dim), nn.ReLU(), nn.Linear(predictor_dim, dim)
        )
        self.temperature = temperature
        self.register_buffer("queue", torch.zeros(queue_size, dim))
        self.register_buffer("rows", torch.full((queue_size,), -1))  # the sample of each projection; -1: empty place
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))  # the place that is overwritten next

    def forward(self, features, rows):
        """features: (N, views, D), rows: (N,) -> loss, a scalar.

        A projection's neighbour is compared with the predictions for the same view or, with two views, for the other view.
        """
        n, views, _ = features.shape
        with torch.autocast(features.device.type, enabled=False):  # cosines and statistics in float32
            projected = self.projector(features.float().flatten(0, 1))
            predicted = F.normalize(self.predictor(projected), dim=1).unflatten(0, (n, views))
            projected = F.normalize(projected.detach(), dim=1)  # neighbours are targets: no gradient
            rows = rows.repeat_interleave(views)
            self.enqueue(projected, rows)
            neighbours = self.nearest(projected, rows).unflatten(0, (n, views))
            own = torch.arange(n, device=features.device)
            losses = []
            for view in range(views):
                logits = neighbours[:, view] @ predicted[:, views - 1 - view].T / self.temperature  # (N, N)
                losses.append(F.cross_entropy(logits, own))
            return torch.stack(losses).mean()

    @torch.no_grad()
    def enqueue(self, projected, rows):
        """Overwrite the oldest projections with those (N, D) of the samples `rows` (N,)."""
        projected, rows = projected[-len(self.queue) :], rows[-len(self.queue) :]
        places = (self.oldest + torch.arange(len(rows), device=rows.device)) % len(self.queue)
        self.queue[places], self.rows[places] = projected, rows
        self.oldest.copy_((self.oldest + len(rows)) % len(self.queue))

    @torch.no_grad()
    def nearest(self, projected, rows):
        """For each of projected (N, D) the most similar projection of another sample in the queue: (N, D)."""
        similarity = projected @ self.queue.T  # (N, Q)
        excluded = (rows[:, None] == self.rows) | (self.rows < 0)
        return self.queue[similarity.masked_fill(excluded, -torch.inf).argmax(1)]


class Tuning:
    """Mixin for both encoders. The model is that of a linear probe, with a NeighbourHead in place of the linear map."""

    shear = 0.0  # largest off-diagonal entry of the random matrices that shear two views

    def train_above(self, frozen_blocks):
        """Train the head, the final norm and all but the lowest `frozen_blocks` blocks; with None the head alone."""
        for name, parameter in self.named_parameters():
            in_head = name.startswith(f"{self.head_name}.")
            layer = layer_id(name, self.depth + 1)  # 0 is the embedding, i + 1 is block i
            parameter.requires_grad = in_head or (frozen_blocks is not None and layer > frozen_blocks)
        return self

    def forward(self, x, rows):
        """x: (N, C, T, V, M), or (N, 2, C, T, V, M) two views of each sequence; rows: (N,) of the split -> loss, a scalar.

        Features and rows are gathered from all processes first, so batch statistics and negatives are those of the whole batch.
        """
        views = x if x.ndim == 6 else x[:, None]
        flat = views.flatten(0, 1)
        if views.shape[1] > 1 and self.training:
            flat = sheared(flat, self.shear)
        features = self.pooled(flat).unflatten(0, views.shape[:2])
        return getattr(self, self.head_name)(all_gather_with_gradient(features), all_gather_with_gradient(rows))


class TunedTransformer(Tuning, Transformer):
    """MAMP's encoder; features are the mean over bodies, segments and joints, D = dim_feat. Further keys are the Encoder's."""

    def __init__(self, queue_size, predictor_dim=4096, temperature=0.07, **encoder):
        super().__init__(num_classes=1, protocol="linprobe", **encoder)
        self.head = NeighbourHead(self.dim_feat, queue_size, predictor_dim, temperature)

    def pooled(self, x):
        """(N, C, T, V, M) -> (N, D)."""
        return self.forward_features(x).mean((1, 2, 3))


class TunedUmURL(Tuning, UmURLClassifier):
    """UmURL's encoder; features are those of all modalities fused, D = 2·hidden_size. Further keys are the Backbone's."""

    def __init__(self, queue_size, predictor_dim=4096, temperature=0.07, hidden_size=1024, **backbone):
        super().__init__(num_classes=1, hidden_size=hidden_size, **backbone)
        self.fc = NeighbourHead(2 * hidden_size, queue_size, predictor_dim, temperature)


def sheared(x, amplitude):
    """Multiply each of x (N, C, T, V, M) by a matrix with ones on the diagonal and U(-amplitude, amplitude) off it."""
    c = x.shape[1]
    off_diagonal = (2 * torch.rand(len(x), c, c, device=x.device) - 1) * amplitude
    maps = torch.where(torch.eye(c, device=x.device, dtype=torch.bool), 1.0, off_diagonal)
    return transform_points(x, maps[..., None, None, None])

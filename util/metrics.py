"""Accuracy, and cosine k-nearest-neighbour retrieval."""

import torch
import torch.nn.functional as F


def accuracy(logits, labels, topk=(1, 5)):
    """Share of samples in percent whose label is among the k largest logits. logits: (N, K), labels: (N,)."""
    ranked = logits.topk(min(max(topk), logits.shape[1]), dim=1).indices
    hits = ranked == labels[:, None]
    return [100.0 * hits[:, :k].any(1).double().mean().item() for k in topk]


def knn(gallery, gallery_labels, queries, num_classes, k=1, chunk=1024):
    """Votes of the k gallery features of largest cosine similarity.

    gallery: (G, D), gallery_labels: (G,), queries: (Q, D) -> scores (Q, num_classes): the number of votes, ties decided for the
    nearer neighbours.
    """
    gallery = F.normalize(gallery.float(), dim=1)
    scores = []
    for part in F.normalize(queries.float(), dim=1).split(chunk):
        nearest = (part @ gallery.T).topk(k, dim=1).indices
        votes = F.one_hot(gallery_labels[nearest], num_classes).double()  # (q, k, K)
        nearness = 1 + 1e-6 * torch.arange(k, 0, -1, dtype=torch.float64)
        scores.append((votes * nearness[:, None].to(votes.device)).sum(1))
    return torch.cat(scores)

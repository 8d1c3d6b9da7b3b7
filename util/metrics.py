"""Accuracy, cosine k-nearest-neighbour retrieval, and what numbers are written down as."""

import torch
import torch.nn.functional as F


def plain(metrics):
    """{name: number} with numbers of numpy and tensors as Python's: checkpoint.load refuses others."""
    return {name: value.item() if hasattr(value, "item") else value for name, value in metrics.items()}


def accuracy(logits, labels, topk=(1, 5)):
    """Percentage of samples whose label is among the k largest logits, for each k. logits: (N, K), labels: (N,)."""
    ranked = logits.topk(min(max(topk), logits.shape[1]), dim=1).indices
    hits = ranked == labels[:, None]
    return [100.0 * hits[:, :k].any(1).double().mean().item() for k in topk]


def classification(logits, labels):
    """{'test_acc1', 'test_acc5'} in percent, 'test_loss' (cross entropy per sample) and 'test_samples' of logits (N, K)."""
    acc1, acc5 = accuracy(logits, labels)
    loss = F.cross_entropy(logits.double(), labels).item()
    return {"test_acc1": acc1, "test_acc5": acc5, "test_loss": loss, "test_samples": len(labels)}


def nearest(gallery, queries, k, device="cpu", chunk=1024):
    """Rows of the k gallery features with the largest cosine similarity, nearest first: (G, D), (Q, D) -> (Q, k), on the CPU.

    device: computes the similarities, and needs memory for twice the gallery.
    """
    gallery = F.normalize(gallery.to(device).float(), dim=1)
    parts = (F.normalize(part.to(device).float(), dim=1) for part in queries.split(chunk))
    return torch.cat([(part @ gallery.T).topk(k, dim=1).indices.cpu() for part in parts])


def standardised(gallery, queries):
    """Features (G, D), (Q, D) with mean 0 and standard deviation 1 in the gallery; those constant there, but for rounding,
    are only centred."""
    mean, deviation = gallery.mean(0), gallery.std(0, correction=0)
    deviation[deviation <= 1e-6 * mean.abs()] = 1
    return (gallery - mean) / deviation, (queries - mean) / deviation


def vote(labels, num_classes):
    """Neighbours' labels (Q, k), nearest first -> scores (Q, num_classes): number of votes; ties go to the nearer neighbours."""
    nearness = 1 + 0.5 ** torch.arange(1, labels.shape[1] + 1, dtype=torch.float64)  # the fractions add up to less than a vote
    return torch.zeros(len(labels), num_classes, dtype=torch.float64).scatter_add_(1, labels, nearness.expand(labels.shape))

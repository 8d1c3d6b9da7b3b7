"""Read-outs (poolings of the encoder's output), classification heads, and what MAMP's and UmURL's classifiers have in common.

Letters: N samples, M bodies, T' segments, V joints, D width, K classes.
"""

import torch
from torch import nn


def pool(features, readout):
    """(N, M, T', V, D) -> 'mean' over bodies, segments and joints: (N, D); 'per_joint', joints concatenated: (N, V·D);
    'statistics', those of 'per_joint' and then the standard deviation over segments, averaged over bodies: (N, 2·V·D)."""
    if readout == "mean":
        return features.mean((1, 2, 3))
    per_joint = features.mean((1, 2)).flatten(1)
    if readout == "per_joint":
        return per_joint
    x = features.float()
    variance = (x - x.mean(2, keepdim=True)).square().mean(2)  # as x.var, which is slow on CPUs over a dimension in the middle
    deviation = variance.clamp(min=1e-30).sqrt().mean(1)  # (N, V, D): how much a joint's tokens change; at 0 without gradient
    return torch.cat([per_joint, deviation.flatten(1)], 1)


def pooled_dim(readout, dim_feat, num_joints):
    """Width of what `pool` returns."""
    return dim_feat * {"mean": 1, "per_joint": num_joints, "statistics": 2 * num_joints}[readout]


def logits_and_features(head, features):
    """(N, D) -> logits (N, K) and the input of the last linear map. head: a Linear, or a Sequential that ends in one."""
    *before, last = head if isinstance(head, nn.Sequential) else (head,)
    for layer in before:
        features = layer(features)
    return last(features), features


class LinearHead(nn.Module):
    """Linear probe: encoder features (N, M, T', V, D) -> read-out (N, dim), see `pool` -> logits (N, K)."""

    def __init__(self, dim, num_classes, readout="mean"):
        super().__init__()
        self.readout = readout
        self.fc = nn.Linear(dim, num_classes)

    def add_norm(self):
        """Put a BatchNorm in front. In released files head.fc.0 is the norm and head.fc.1 the linear map."""
        self.fc = nn.Sequential(nn.BatchNorm1d(self.fc.in_features, affine=False, eps=1e-6), self.fc)

    def logits_and_features(self, features):
        return logits_and_features(self.fc, pool(features, self.readout))


class FinetuneHead(nn.Module):
    """Fine-tuning: encoder features (N, M, T', V, D) -> two layers -> logits (N, K)."""

    def __init__(self, dim_feat, num_classes, num_joints, hidden_dim=2048, dropout=0.3):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(dim_feat * num_joints, hidden_dim)
        self.bn = nn.BatchNorm1d(hidden_dim)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden_dim, num_classes)

    def logits_and_features(self, features):
        # mean over segments (N, M, V, D), joints concatenated (N, M, V·D), mean over bodies (N, V·D)
        x = self.dropout(features).mean(2).flatten(2).mean(1)
        hidden = self.relu(self.bn(self.fc1(x)))  # (N, hidden_dim)
        return self.fc2(hidden), hidden


class Classifier:
    """Mixin of MAMP's and UmURL's classifiers: a frozen encoder, and forward.

    head_name: the attribute that holds the head. The module defines `logits_and_features(x)`, `readout_names` (that of its own
    head first) and `readout_features(x)`, {name: features}.
    """

    head_name, frozen = "head", False

    def freeze_encoder(self):
        """Train only the head: the encoder gets no gradients and stays in eval mode."""
        self.frozen = True
        for name, parameter in self.named_parameters():
            parameter.requires_grad = name.startswith(f"{self.head_name}.")
        return self

    def train(self, mode=True):
        super().train(mode)
        if self.frozen:
            for name, child in self.named_children():
                child.train(mode and name == self.head_name)
        return self

    def encoder_gradient(self):
        """Context for the encoder's forward pass: without gradients if it is frozen."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen)

    def pooled(self, x):
        """(N, C, T, V, M) -> features of the model's own read-out, (N, D)."""
        return self.readout_features(x)[self.readout_names[0]]

    def forward(self, x):
        """(N, C, T, V, M) -> logits (N, K)."""
        return self.logits_and_features(x)[0]


class Heads(nn.Module):
    """A linear head per read-out: features {name: (N, D')} -> logits {name: (N, K)}.

    heads: {name: head}; the first is the model's own, whose accuracy is the headline. Each head learns as it would alone: they
    share no weights, and their gradients are clipped separately.
    """

    def __init__(self, heads):
        super().__init__()
        self.heads = nn.ModuleDict(heads)

    @property
    def clipped_separately(self):
        """Modules whose gradients util.engine.train_one_epoch clips by their own norm."""
        return list(self.heads.values())

    def other_state_dicts(self):
        """{name: state dict} of the heads that are not the model's own, which a checkpoint keeps beside the model."""
        _, *others = self.heads.items()
        return {name: head.state_dict() for name, head in others}

    def forward(self, features):
        return {name: head(features[name]) for name, head in self.heads.items()}

    def logits_and_features(self, features):
        """As forward, and the input of the headline's last linear map (N, D')."""
        (name, own), *others = self.heads.items()
        logits, inputs = logits_and_features(own, features[name])
        return {name: logits} | {name: head(features[name]) for name, head in others}, inputs

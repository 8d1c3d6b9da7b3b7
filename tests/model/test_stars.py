"""The tuning's loss and queue against plain loops, and which weights learn."""

import numpy as np
import pytest
import torch

from model.stars import NeighbourHead, TunedTransformer, TunedUmURL, sheared

SIZE = dict(queue_size=16, predictor_dim=8, dim_feat=8, depth=4, num_heads=2, mlp_ratio=2, num_frames=8, num_joints=5)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def by_hand(head, queue, features, rows):
    """The loss of features (N, views, D) in numpy: queue is a list of (row, projection), the oldest first, that is lengthened."""
    weights = {name: value.detach().double().numpy() for name, value in head.named_parameters()}
    n, views, d = features.shape

    def normed(x, weight, bias):
        return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * weight + bias

    flat = normed(features.double().numpy().reshape(n * views, d), weights["projector.weight"], weights["projector.bias"])
    hidden = normed(flat @ weights["predictor.0.weight"].T, weights["predictor.1.weight"], weights["predictor.1.bias"])
    predicted = unit(np.maximum(hidden, 0) @ weights["predictor.3.weight"].T + weights["predictor.3.bias"]).reshape(n, views, d)
    projected = unit(flat).reshape(n, views, d)
    queue += [(row, projected[i, view]) for i, row in enumerate(rows) for view in range(views)]
    del queue[: -len(head.queue)]
    losses = []
    for view in range(views):
        for i, row in enumerate(rows):
            others = [entry for other, entry in queue if other != row]
            neighbour = max(others, key=lambda entry: entry @ projected[i, view])
            logits = np.array([neighbour @ predicted[j, -1 - view] for j in range(n)]) / head.temperature
            losses.append(np.log(np.exp(logits).sum()) - logits[i])
    return np.mean(losses)


@pytest.mark.parametrize("views", [1, 2])
def test_the_loss_and_the_queue(views):
    torch.manual_seed(0)
    head, queue = NeighbourHead(6, queue_size=7, predictor_dim=10, temperature=0.2), []
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    for step in range(5):  # the queue overflows, and a sample comes again
        features, rows = torch.randn(4, views, 6), [(4 * step + i) % 11 for i in range(4)]
        loss = head(features, torch.tensor(rows)).item()
        assert loss == pytest.approx(by_hand(head, queue, features, rows), rel=1e-4)
    assert sorted(head.rows.tolist()) == sorted(row for row, _ in queue)


def test_neighbours_are_targets_without_gradient():
    head, features = NeighbourHead(4, 8, 8), torch.randn(3, 1, 4, requires_grad=True)
    head(features, torch.arange(3)).backward()
    assert not head.queue.requires_grad and features.grad.abs().sum() > 0


@pytest.mark.parametrize("frozen", [0, 2, 4, None])
def test_what_learns(frozen):
    model = TunedTransformer(**SIZE).train_above(frozen)
    model(torch.randn(6, 3, 8, 5, 1), torch.arange(6)).backward()
    learns = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    blocks = {int(name.split(".")[1]) for name in learns if name.startswith("blocks.")}
    assert blocks == (set() if frozen is None else set(range(frozen, 4)))
    assert ("norm.weight" in learns) == (frozen is not None)
    assert all(name in learns for name, _ in model.named_parameters() if name.startswith("head."))
    assert "joints_embed.proj.weight" not in learns and "pos_embed" not in learns


def test_umurl_is_tuned_on_its_fused_features():
    model = TunedUmURL(queue_size=8, predictor_dim=8, hidden_size=8, parents=[0, 0, 1, 1, 3], num_bodies=1, num_frames=8)
    x = torch.randn(4, 3, 8, 5, 1)
    model.train_above(0)(x, torch.arange(4)).backward()
    assert model.fc.queue.shape == (8, 16) and torch.equal(model.pooled(x), model.backbone(x, "multi"))


def test_shear_keeps_the_diagonal():
    x = torch.randn(5, 3, 4, 2, 1)
    assert torch.equal(sheared(x, 0.0), x)
    axis = torch.zeros_like(x)
    axis[:, 1] = 1
    moved = sheared(axis, 0.3)
    assert torch.equal(moved[:, 1], axis[:, 1]) and 0 < moved[:, [0, 2]].abs().max() <= 0.3
    assert (moved - moved[:, :, :1, :1]).abs().max() == 0  # one map for all frames and joints

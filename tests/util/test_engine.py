"""An epoch of training and an evaluation against plain loops."""

import argparse

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from feeder.loader import test_loader, train_loader
from util.engine import outputs, train_one_epoch
from util.predictions import Evaluation

CPU = torch.device("cpu")
test_loader.__test__ = False  # pytest takes its name for a test's


class Points:
    """Labelled points in the plane."""

    in_memory = True

    def __init__(self, n=16, bad=None):
        generator = torch.Generator().manual_seed(0)
        self.x, self.y = torch.randn(n, 2, generator=generator), torch.randint(0, 3, (n,), generator=generator)
        if bad is not None:
            self.x[bad] = torch.nan

    def __len__(self):
        return len(self.y)

    def collect(self, indices, draws):
        indices = torch.as_tensor(indices)
        return (self.x[indices],), self.y[indices], indices

    def make(self, x):
        return x


def arguments(**changes):
    values = dict(batch_size=8, accum_iter=1, effective_batch_size=8, seed=0, num_workers=0, dist_eval=True, print_freq=2)
    values |= dict(enable_amp=False, data_on_device=False, clip_grad=None, skip_nonfinite=False)
    values |= dict(lr=0.5, min_lr=0.0, warmup_epochs=0, epochs=2)
    return argparse.Namespace(**values | changes)


class Plain(nn.Linear):
    def logits_and_features(self, x):
        return self(x), x


def linear():
    torch.manual_seed(0)
    return Plain(2, 3)


def loss_of(model, x, label):
    return F.cross_entropy(model(x), label)


def test_an_epoch_by_hand():
    args, data, model, twin = arguments(), Points(), linear(), linear()
    loader = train_loader(data, args, CPU)
    stats = train_one_epoch(model, loader, torch.optim.SGD(model.parameters(), lr=9.0), loss_of, 1, args, CPU)
    loader.batches.epoch, losses = 1, []
    for step, (x, label, _) in enumerate(loader):
        lr = 0.25 * (1 + torch.cos(torch.tensor(torch.pi * (1 + step / 2) / 2)).item())
        loss = loss_of(twin, x, label)
        gradients = torch.autograd.grad(loss, list(twin.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(twin.parameters(), gradients, strict=True):
                parameter -= lr * gradient
        losses.append(loss.item())
    assert len(losses) == 2
    assert torch.allclose(model.weight, twin.weight, atol=1e-6) and torch.allclose(model.bias, twin.bias, atol=1e-6)
    assert stats["train_loss"] == pytest.approx(sum(losses) / 2) and stats["lr"] == pytest.approx(lr)
    assert stats["samples_per_s"] > 0 and model.training


def test_random_numbers_of_an_epoch_depend_on_seed_and_epoch_alone():
    def draws(epoch, seed=0):
        args, seen = arguments(seed=seed), []
        torch.rand(int(torch.randint(1, 50, ())))  # whatever was drawn before
        model = linear()
        train_one_epoch(
            model,
            train_loader(Points(), args, CPU),
            torch.optim.SGD(model.parameters(), lr=0.1),
            lambda m, x, y: seen.append(torch.rand(()).item()) or loss_of(m, x, y),
            epoch,
            args,
            CPU,
        )
        return seen

    assert draws(1) == draws(1)
    assert len({*map(tuple, (draws(0), draws(1), draws(0, seed=1)))}) == 3 and draws(0)[0] != draws(0)[1]


def test_loss_that_is_not_finite_names_step_and_samples():
    args, model = arguments(), linear()
    loader = train_loader(Points(bad=11), args, CPU)
    loader.batches.epoch = 0
    step = next(s for s, (*_, index) in enumerate(loader) if 11 in index)
    with pytest.raises(FloatingPointError, match=rf"loss nan in epoch 1, step {step + 1}, samples \[.*\b11\b.*\]"):
        train_one_epoch(model, loader, torch.optim.SGD(model.parameters(), lr=0.1), loss_of, 0, args, CPU)


def test_evaluation_by_hand():
    args, data, model = arguments(batch_size=5), Points(13), linear().train()
    metrics = Evaluation(model, test_loader(data, args, CPU), CPU)()
    logits = data.x @ model.weight.T + model.bias
    loss = -sum(row[y] - row.exp().sum().log() for row, y in zip(logits, data.y, strict=True)) / 13
    right = sum(row.argmax() == y for row, y in zip(logits, data.y, strict=True))
    assert metrics["test_acc1"] == pytest.approx(100 * right.item() / 13)
    assert metrics["test_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert metrics["test_samples"] == 13 and metrics["test_acc5"] == 100 and not model.training


@pytest.mark.parametrize("most", [1, 3, 64])
def test_outputs_are_in_the_order_of_the_data_without_gradient(most, monkeypatch):
    """Five batches, moved to the CPU one by one, three and two together, or all at the end."""
    monkeypatch.setattr("util.engine.MOST_WAITING", most)
    data, model = Points(13), linear()
    order = torch.tensor([3, 0, *range(4, 13), 2, 1, 0])
    loader = [(data.x[part], data.y[part], part) for part in order.split(4)]
    out, labels = outputs(model, loader, CPU)
    assert torch.allclose(out, model(data.x), atol=1e-6) and torch.equal(labels, data.y) and not out.requires_grad


def trained(accum_iter=1, lr=0.5, data=None, loss=loss_of, **options):
    """Change of the weights (9,) in one epoch of plain gradient descent, and the epoch's metrics."""
    args = arguments(batch_size=8 // accum_iter, accum_iter=accum_iter, lr=lr, min_lr=lr, **options)
    model = linear()
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    loader = train_loader(data or Points(), args, CPU)
    metrics = train_one_epoch(model, loader, torch.optim.SGD(model.parameters(), lr=lr), loss, 0, args, CPU)
    return nn.utils.parameters_to_vector(model.parameters()).detach() - before, metrics


@pytest.mark.parametrize("limit", [1e-3, 0.05, 1e3])
def test_gradient_clipping(limit):
    free, _ = trained(data=Points(8), lr=1.0)
    change, _ = trained(data=Points(8), lr=1.0, clip_grad=limit)
    assert change.norm().item() == pytest.approx(min(limit, free.norm().item()), rel=1e-4)
    assert torch.allclose(change / change.norm(), free / free.norm(), atol=1e-5)


@pytest.mark.parametrize("bad", [0, 2])
def test_steps_that_are_not_finite_are_left_out_and_counted(bad):
    """Three steps of 8 samples; in step `bad` the loss is infinite."""

    def explodes_in(bad):
        steps = iter(range(9))
        return lambda model, x, label: loss_of(model, x, label) * (float("inf") if next(steps) == bad else 1)

    change, metrics = trained(data=Points(24), loss=explodes_in(bad), skip_nonfinite=True)
    assert change.isfinite().all() and metrics["skipped_steps"] == 1 and metrics["train_loss"] < 5
    model, steps = linear(), []
    loader = train_loader(Points(24), arguments(), CPU)
    for step, (x, label, _) in enumerate(loader):
        if step != bad:
            loss = loss_of(model, x, label)
            steps.append(loss.item())
            for parameter, gradient in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True):
                parameter.data -= 0.5 * gradient
    expected = nn.utils.parameters_to_vector(model.parameters()) - nn.utils.parameters_to_vector(linear().parameters())
    assert torch.allclose(change, expected, atol=1e-6) and metrics["train_loss"] == pytest.approx(sum(steps) / 2)
    assert trained(data=Points(24), skip_nonfinite=True)[1]["skipped_steps"] == 0
    with pytest.raises(FloatingPointError, match=f"loss inf in epoch 1, step {bad + 1},"):
        trained(data=Points(24), loss=explodes_in(bad))


def test_a_skipped_step_leaves_no_trace_in_batch_norm():
    model, args = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 3)), arguments(skip_nonfinite=True)
    loader, optimizer = train_loader(Points(8, bad=3), args, CPU), torch.optim.SGD(model.parameters(), lr=1)
    metrics = train_one_epoch(model, loader, optimizer, loss_of, 0, args, CPU)
    assert metrics["skipped_steps"] == 1 and model[0].running_mean.tolist() == [0, 0] and model[0].num_batches_tracked == 0

"""Accuracy by loops, nearest neighbours against scikit-learn."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from util.metrics import accuracy, classification, nearest, standardised, vote


def test_accuracy_by_loops():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(50, 8, generator=generator), torch.randint(0, 8, (50,), generator=generator)
    for k in (1, 5, 8):
        ranked = [sorted(range(8), key=row.tolist().__getitem__, reverse=True) for row in logits]
        hits = sum(label in order[:k] for order, label in zip(ranked, labels.tolist(), strict=True))
        assert accuracy(logits, labels, (k,)) == [pytest.approx(100 * hits / 50)]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_knn_is_scikit_learns_cosine_vote(k):
    rng = np.random.default_rng(0)
    gallery, labels, queries = rng.normal(size=(60, 6)) + 0.5, rng.integers(0, 4, 60), rng.normal(size=(40, 6)) + 0.5
    reference = KNeighborsClassifier(k, metric="cosine").fit(gallery, labels)
    shares = reference.predict_proba(queries)
    scores = vote(torch.tensor(labels)[nearest(torch.tensor(gallery), torch.tensor(queries), k, chunk=7)], 4)
    assert scores.shape == (40, 4)
    assert np.array_equal(np.floor(scores.numpy()), np.rint(shares * k))
    clear = np.sort(shares, 1)[:, -1] > np.sort(shares, 1)[:, -2]  # ties are ours to decide
    assert (scores.argmax(1).numpy() == reference.predict(queries))[clear].all() and clear.sum() >= 15


def test_standardised_is_scikit_learns():
    rng = np.random.default_rng(0)
    gallery, queries = (rng.normal(3, [0.01, 1, 100, 0, 2e-7], (count, 5)).astype(np.float32) for count in (50, 20))
    scaler = StandardScaler().fit(gallery[:, :3])
    for ours, x in zip(standardised(torch.tensor(gallery), torch.tensor(queries)), (gallery, queries), strict=True):
        np.testing.assert_allclose(ours[:, :3], scaler.transform(x[:, :3]), rtol=1e-4, atol=1e-4)
        assert (ours[:, 3:].abs() < 1e-5).all()  # constant, and constant but for rounding
    jumps = torch.tensor([[1.0], [1.0]]), torch.tensor([[4.0]])
    assert [x.tolist() for x in standardised(*jumps)] == [[[0.0], [0.0]], [[3.0]]]


def test_classification_by_hand():
    """Two classes, three samples: right, wrong, right; the loss is the mean of −log softmax."""
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0, 1])
    loss = sum(np.log(1 + np.exp(-gap)) for gap in (2, -1, 3)) / 3
    expected = {"test_acc1": 200 / 3, "test_acc5": 100, "test_loss": loss, "test_samples": 3}
    assert classification(logits, labels) == pytest.approx(expected)


@pytest.mark.parametrize("k", [2, 4, 6, 8])
def test_every_tie_goes_to_the_class_of_the_nearest(k):
    for labels in itertools.product((0, 1), repeat=k):
        if 2 * sum(labels) == k:
            assert vote(torch.tensor([labels]), 2).argmax().item() == labels[0], labels
        else:
            assert vote(torch.tensor([labels]), 2).argmax().item() == (2 * sum(labels) > k)

"""A linear classifier in closed form: ridge regression on one-hot labels."""

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from util.metrics import accuracy

STRENGTHS = 10.0 ** np.arange(-3, 7.5, 0.5)
MOST_OPERATIONS = 3e10  # samples and features, the smaller number squared: about a minute on two CPU cores


def ridge(x, y, x_test, num_classes):
    """Scores (Q, K) of x_test (Q, D) by ridge regression from x (N, D) on one-hot labels y (N,); and what was chosen for it.

    Chosen are one of STRENGTHS, and whether x is standardised or only centred, by the leave-one-out squared error on the training
    set, in closed form. Standardised, coordinates that hardly differ between a few people can outweigh all others.
    """
    x, x_test, target = x.double().numpy(), x_test.double().numpy(), torch.eye(num_classes, dtype=torch.float64)[y].numpy()
    models = [
        make_pipeline(StandardScaler(with_std=standardised), RidgeCV(STRENGTHS)).fit(x, target) for standardised in (True, False)
    ]
    best = max(models, key=lambda model: model[-1].best_score_)
    chosen = {"strength": float(best[-1].alpha_), "standardised": best is models[0]}
    return torch.from_numpy(best.predict(x_test).reshape(len(x_test), -1)), chosen


def accuracies(train, test, num_classes):
    """{read-out: accuracy in %} of ridge regression on features (feeder.loader.Features) of both splits, as
    scripts/coordinates.py judges coordinates; without read-outs that would take too long."""
    found = {}
    for name, x in train.features.items():
        few, many = sorted(x.shape)
        if few**2 * many <= MOST_OPERATIONS:
            scores, _ = ridge(x.cpu(), train.label, test.features[name].cpu(), num_classes)
            found[name] = accuracy(scores, test.label)[0]
    return found

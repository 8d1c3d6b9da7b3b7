"""Predictions of a classifier for a test set: evaluation, and the file scores.npz."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from util import confusion, distributed
from util.engine import first_occurrences, outputs
from util.files import written_aside
from util.metrics import classification
from util.validation import one_line

FILE = "scores.npz"
MAX_FEATURES = 1000  # samples whose features are kept for the report's t-SNE, ...
COMPONENTS = 50  # ... reduced to this many principal components


@dataclass
class Predictions:
    """For N samples in the Feeder's order: scores (N, K), labels (N,), and the features (n, D) of the samples at `positions`
    (n,). class_names: K names, None in older files."""

    scores: np.ndarray
    labels: np.ndarray
    features: np.ndarray
    positions: np.ndarray
    class_names: list | None = None
    neighbours: np.ndarray | None = None  # (N, k) of retrieval: positions in the gallery, nearest first

    @property
    def predicted(self):
        """(N,) class with the largest score."""
        return self.scores.argmax(1)


class Evaluation:
    """Calling it evaluates a classifier on a test set and returns util.metrics.classification. `predictions` are the last call's;
    their features are the inputs of the classifier's last linear map.

    model: its logits_and_features(x) gives logits (N, K), or a dict of these with the headline's first, and the features. Metrics
    of the other heads get their names: test_acc1_per_joint. loader: feeder.loader.test_loader. data: the Feeder of the samples.
    """

    def __init__(self, model, loader, device, enable_amp=False, data=None):
        self.model, self.loader, self.device, self.enable_amp = model, loader, device, enable_amp
        self.data = data if data is not None else loader.source
        self.predictions = None

    def due(self, epoch, args):
        """Whether to evaluate after `epoch` (from 0): every --eval_freq epochs and after the last."""
        return (epoch + 1) % args.eval_freq == 0 or epoch + 1 == args.epochs

    def save(self, args):
        """Write the last evaluation's scores.npz; returns its path."""
        return save(args.output_dir, self.predictions, self.data, args.input_stream)

    def picture(self):
        """Image of the predictions' confusion matrix, see util.confusion.picture."""
        counts = confusion.counts(self.predictions.labels, self.predictions.predicted, self.data.num_classes)
        return confusion.picture(counts, self.data.names_of_classes())

    def __call__(self):
        self.model.eval()
        distributed.share_buffers(self.model)  # evaluate what rank 0 saves
        model, positions = distributed.unwrap(self.model), sample_positions(len(self.data))
        batches = iter((batch, np.flatnonzero(np.isin(batch, positions))) for batch, _ in self.loader.batches)
        kept = []

        def keep_features(x):
            logits, seen = model.logits_and_features(x)
            rows, chosen = next(batches)
            place = torch.from_numpy(chosen).to(seen.device, non_blocking=True)  # indices: a mask would wait for the device
            kept.append((torch.from_numpy(rows[chosen]), seen[place].float()))
            return logits

        scores, labels = outputs(keep_features, self.loader, self.device, self.enable_amp)
        (_, scores), *others = scores.items() if isinstance(scores, dict) else [(None, scores)]
        share = [torch.cat(part).cpu() for part in zip(*kept, strict=True)]
        rows, features = (torch.cat(parts) for parts in zip(*(s for s in distributed.gather(share) if s), strict=True))
        order = first_occurrences(rows)
        self.predictions = Predictions(scores.numpy(), labels.numpy(), features[order].numpy(), rows[order].numpy())
        return classification(scores, labels) | suffixed({name: classification(other, labels) for name, other in others})


def suffixed(metrics):
    """Metrics of the other read-outs, {name: metrics}, under the names that they get: {'test_acc1_per_joint': ...}."""
    return {f"{key}_{name}": value for name, own in metrics.items() for key, value in own.items() if key != "test_samples"}


def sample_positions(count):
    """Sorted positions of at most MAX_FEATURES of `count` samples, always the same ones."""
    return np.sort(np.random.RandomState(0).permutation(count)[:MAX_FEATURES])


def save(folder, predictions, data, stream):
    """Write scores.npz for reports and ensembles on rank 0; returns its path. Features are reduced to their COMPONENTS first
    principal components, as is usual before t-SNE."""
    path = Path(folder, FILE)
    if not distributed.is_main():
        return path
    features = np.nan_to_num(predictions.features - predictions.features.mean(0))
    directions = np.linalg.svd(features, full_matrices=False)[2][:COMPONENTS]
    with written_aside(path) as file:
        np.savez(
            file,
            scores=predictions.scores,
            label=predictions.labels,
            name=data.sample_names(),
            input_stream=stream,
            class_names=np.array(data.names_of_classes(predictions.scores.shape[1])),
            features=features @ directions.T,
            positions=predictions.positions,
            **({} if predictions.neighbours is None else {"neighbours": predictions.neighbours}),
        )
    return path


def load(folder):
    """(Predictions, names (N,)) from a run's scores.npz. Raises FileNotFoundError, or ValueError for any other file."""
    path = Path(folder, FILE)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a finished evaluation has one")
    try:
        with np.load(path) as file:  # which refuses Python objects
            arrays = {key: file[key] for key in file.files}
    except Exception as error:  # zipfile and numpy raise many kinds for damaged files
        raise ValueError(f"{path}: not a complete npz file ({one_line(error)}); evaluate again") from error
    missing = [key for key in ("scores", "label", "name", "features", "positions") if key not in arrays]
    if missing:
        raise ValueError(f"{path}: has no {', '.join(missing)}; evaluate the checkpoint again")
    names = arrays["class_names"].tolist() if "class_names" in arrays else None
    of_samples = (arrays[key] for key in ("scores", "label", "features", "positions"))
    found = Predictions(*of_samples, names, arrays.get("neighbours"))
    return found, arrays["name"]

"""What a classifier said of a test set: kept from the evaluation that a run makes anyway, written to scores.npz."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from util import confusion, distributed
from util.engine import first_of_each, outputs
from util.files import written_aside
from util.metrics import classification
from util.validation import one_line

FILE = "scores.npz"
DRAWN = 1000  # the most samples whose features are kept, for a picture of them, ...
COMPONENTS = 50  # ... and in how many dimensions


@dataclass
class Predictions:
    """Of N samples of a Feeder, in its order: scores (N, K) and labels (N,); features (n, D) of those at `positions` (n,);
    class_names: K, None in older files."""

    scores: np.ndarray
    labels: np.ndarray
    features: np.ndarray
    positions: np.ndarray
    class_names: list | None = None
    neighbours: np.ndarray | None = None  # (N, k) of a retrieval: positions in the gallery, nearest first

    @property
    def predicted(self):
        """(N,) the class of the largest score."""
        return self.scores.argmax(1)


class Evaluation:
    """Metrics of a classifier on a test set (util.metrics.classification) each time it is called; the last one's `predictions`
    stay. Features are what the classifier's last linear map sees.

    model: its logits_and_features(x) gives logits (N, K) and these features; if several heads give logits, a dict by name, the
    first are the headline, and the others' metrics bear their names: test_acc1_per_joint.
    loader: feeder.loader.test_loader. data: the Feeder whose samples these are.
    """

    def __init__(self, model, loader, device, enable_amp=False, data=None):
        self.model, self.loader, self.device, self.enable_amp = model, loader, device, enable_amp
        self.data = data if data is not None else loader.source
        self.predictions = None

    def due(self, epoch, args):
        """Whether --eval_freq, or the run's end, wants an evaluation after `epoch`, counted from 0."""
        return (epoch + 1) % args.eval_freq == 0 or epoch + 1 == args.epochs

    def save(self, args):
        """Write scores.npz of the last evaluation, on rank 0; returns its path."""
        if distributed.is_main():
            save(args.output_dir, self.predictions, self.data, args.input_stream)
        return Path(args.output_dir, FILE)

    def picture(self):
        """The confusion matrix of the predictions, see util.confusion.picture."""
        counts = confusion.counts(self.predictions.labels, self.predictions.predicted, self.data.num_classes)
        return confusion.picture(counts, self.data.names_of_classes())

    def __call__(self):
        self.model.eval()
        distributed.share_buffers(self.model)  # so that what is evaluated is what rank 0 saves
        model, positions = distributed.unwrap(self.model), draw_positions(len(self.data))
        batches = iter((batch, np.flatnonzero(np.isin(batch, positions))) for batch, _ in self.loader.batches)
        kept = []

        def look(x):
            logits, seen = model.logits_and_features(x)
            rows, chosen = next(batches)
            place = torch.from_numpy(chosen).to(seen.device, non_blocking=True)  # by index: a mask would wait for the device
            kept.append((torch.from_numpy(rows[chosen]), seen[place].float()))
            return logits

        scores, labels = outputs(look, self.loader, self.device, self.enable_amp)
        (_, scores), *others = scores.items() if isinstance(scores, dict) else [(None, scores)]
        share = [torch.cat(part).cpu() for part in zip(*kept, strict=True)]
        rows, features = (torch.cat(parts) for parts in zip(*(s for s in distributed.gather(share) if s), strict=True))
        order = first_of_each(rows)
        self.predictions = Predictions(scores.numpy(), labels.numpy(), features[order].numpy(), rows[order].numpy())
        return classification(scores, labels) | suffixed({name: classification(other, labels) for name, other in others})


def suffixed(metrics):
    """Metrics of read-outs that are not the headline, {name: metrics}, as they stand beside it: {'test_acc1_per_joint': ...}."""
    return {f"{key}_{name}": value for name, own in metrics.items() for key, value in own.items() if key != "test_samples"}


def draw_positions(count):
    """Positions of at most DRAWN of `count` samples, in order, always the same ones."""
    return np.sort(np.random.RandomState(0).permutation(count)[:DRAWN])


def save(folder, predictions, data, stream):
    """Write scores.npz: scores, label, name, class_names and input_stream, for ensembles too, and what a report draws. Returns
    its path.

    Of the features, the first COMPONENTS principal components are kept, as is usual in front of a t-SNE.
    """
    path, features = Path(folder, FILE), predictions.features - predictions.features.mean(0)
    features = np.nan_to_num(features)
    directions = np.linalg.svd(features, full_matrices=False)[2][:COMPONENTS]
    names = [data.name(row) for row in data.indices] if data.names is None else data.names[data.indices]
    with written_aside(path) as file:
        np.savez(
            file,
            scores=predictions.scores,
            label=predictions.labels,
            name=np.array(names),
            input_stream=stream,
            class_names=np.array(data.names_of_classes(predictions.scores.shape[1])),
            features=features @ directions.T,
            positions=predictions.positions,
            **({} if predictions.neighbours is None else {"neighbours": predictions.neighbours}),
        )
    return path


def load(folder):
    """(Predictions, names (N,)) of a run's scores.npz. Raises FileNotFoundError, or ValueError for another file."""
    path = Path(folder, FILE)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a finished evaluation has one")
    try:
        with np.load(path) as file:  # numbers and texts alone: Python objects are refused
            arrays = {key: file[key] for key in file.files}
    except Exception as error:  # whatever a damaged file makes zipfile and numpy stumble over
        raise ValueError(f"{path}: not a complete npz file ({one_line(error)}); evaluate again") from error
    missing = [key for key in ("scores", "label", "name", "features", "positions") if key not in arrays]
    if missing:
        raise ValueError(f"{path}: has no {', '.join(missing)}; evaluate the checkpoint again")
    names = arrays["class_names"].tolist() if "class_names" in arrays else None
    of_samples = (arrays[key] for key in ("scores", "label", "features", "positions"))
    found = Predictions(*of_samples, names, arrays.get("neighbours"))
    return found, arrays["name"]

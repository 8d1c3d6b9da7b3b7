"""Evaluation, retrieval and prediction on a pretended GPU: a batch waits for nothing but what is listed."""

import numpy as np
import pytest

import main_predict
from feeder.loader import build_feeder, test_loader
from model import build
from predict import load_model, options
from tests.gpu.rehearsal import CUDA
from util.engine import outputs
from util.predictions import Evaluation

test_loader.__test__ = False  # pytest takes its name for a test's
BATCHES = 2  # of the 13 test sequences
ONCE = {"util/engine.py fetch": 1, "util/engine.py outputs": 1}  # the outputs' and the labels' way to the host, at the end
BODIES = {"model/transformer.py forward_features": BATCHES}  # how many bodies differ: see there


@pytest.mark.parametrize(
    "words, more",
    [
        ("--enable_amp", BODIES),
        ("--input_stream bone --data_on_device", BODIES | {"feeder/feeder_ntu.py make": 1}),  # the joints' parents
        ("--method umurl", {}),
    ],
)
def test_evaluation(rehearsal, arguments, words, more):
    args = arguments("finetune", *words.split())
    data = build_feeder(args, "test", augment=False)
    model = build.classifier(args, data, data.num_classes).to(CUDA)
    with rehearsal:
        evaluation = Evaluation(model, test_loader(data, args, CUDA), CUDA, args.enable_amp)
        rehearsal.waits.clear()
        metrics = evaluation()
    kept = {"util/predictions.py __call__": 1}  # features for a picture, at the end
    assert rehearsal.waits == ONCE | kept | more
    assert metrics["test_samples"] == len(evaluation.predictions.scores) == 13


@pytest.mark.parametrize("words, more", [("", BODIES), ("--method umurl", {})])
def test_features_for_retrieval(rehearsal, arguments, words, more):
    args = arguments("retrieval", *words.split())
    data = build_feeder(args, "test", augment=False)
    model = build.classifier(args, data, data.num_classes).to(CUDA).eval()
    rehearsal.waits.clear()
    with rehearsal:
        features, labels = outputs(model.pooled, test_loader(data, args, CUDA), CUDA)
    assert rehearsal.waits == ONCE | more
    assert features.device.type == labels.device.type == "cpu" and features.ndim == 2 and len(features) == len(labels) == 13


@pytest.mark.parametrize("stream, more", [("joint", {}), ("motion", {}), ("bone", {"feeder/tools.py bone": 1})])
def test_prediction(rehearsal, arguments, stream, more):
    args = arguments("linprobe", "--input_stream", stream)
    data = load_model.TrainingData(5, 2, np.array([0, 0, 1, 2, 3]))
    model = build.classifier(args, data, 7).to(CUDA).eval()
    sequences = [np.ones((frames, 30), np.float32) for frames in (9, 20)]
    asked = options.build_parser().parse_args(["x.npy", "--checkpoint", "x.pth", "--top_k", "3"])
    rehearsal.waits.clear()
    with rehearsal:
        x = load_model.make_batch(sequences, args, data, CUDA)
        most_likely = main_predict.most_likely(model, x, asked)
    assert [len(row) for pair in most_likely for row in pair] == [3] * 4
    assert rehearsal.waits == more | {
        "predict/load_model.py make_batch": 3,  # the recordings' way to the GPU
        "model/transformer.py forward_features": 1,
        "main_predict.py most_likely": 3,  # are they finite, probabilities, classes
    }

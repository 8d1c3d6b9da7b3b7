"""UmURL through the mains: the same feeder, engine, checkpoints and stages as MAMP."""

import numpy as np
import pytest
import torch

from feeder.skeleton import parents
from model.umurl import UmURLClassifier
from tests.conftest import invent
from tests.runs import MAINS, read, weights
from util import checkpoint, config

PARENTS = np.array([0, 0, 1, 1, 3])
SIZES = {"mlp_ratio": None, "dim_feat": 8, "depth": 1, "num_heads": 1}
OF_STAGE = {
    "pretrain": {"decoder_dim_feat": None, "decoder_depth": None, "mask_ratio": None, "projector_dim": 16, "warmup_epochs": 0}
    | {"lr": 1e-3, "batch_size": 24, "effective_batch_size": 8, "save_freq": 1},
    "finetune": {"head_dim": None, "drop_path_rate": None},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, **invent(), parents=PARENTS)
    return path


@pytest.fixture(scope="module")
def start(data, options):
    """start(stage, folder, *more) runs a main with a tiny UmURL and returns its result.json."""

    def run(stage, folder, *more):
        method = () if {"--finetune", "--eval"} & set(more) else ("--method", "umurl")
        MAINS[stage].main(options(stage, data, folder, *method, *more, **SIZES | OF_STAGE.get(stage, {})))
        return read(folder)

    return run


@pytest.fixture(scope="module")
def pretrained(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    start("pretrain", folder, "--epochs", 3, "--lr_steps", 2)
    return folder


@pytest.fixture(scope="module")
def encoder(pretrained):
    return "--finetune", pretrained / "checkpoint-last.pth"


def same(one, two):
    """Whether two checkpoints hold the same encoder."""
    one, two = weights(one), weights(two)
    return all(torch.equal(value, two[key]) for key, value in one.items() if key.startswith("backbone."))


def test_pretraining(pretrained, start, tmp_path):
    assert read(pretrained)["method"] == "umurl"
    log = read(pretrained, "log.jsonl")
    assert [entry["lr"] for entry in log] == pytest.approx([1e-3, 1e-3, 1e-4])
    assert log[-1]["train_loss"] < log[0]["train_loss"]
    start("pretrain", tmp_path, "--epochs", 3, "--lr_steps", 2, "--resume", pretrained / "checkpoint-1.pth")
    assert same(pretrained / "checkpoint-2.pth", tmp_path / "checkpoint-2.pth")


@pytest.mark.parametrize("features", ["multi", "bone"])
def test_linear_probe_and_retrieval_and_evaluation(encoder, start, tmp_path, features):
    probe = start("linprobe", tmp_path / "lin", *encoder, "--features", features, "--epochs", 2)
    neighbours = start("retrieval", tmp_path / "knn", *encoder, "--features", features)
    for result in (probe, neighbours):
        assert result["method"] == result["encoder"]["method"] == "umurl" and result["features"] == features
        assert result["last"]["test_samples"] == 13
    path = tmp_path / "lin/checkpoint-last.pth"
    assert same(path, encoder[1])
    again = start("linprobe", tmp_path / "again", "--eval", path)  # which features: the file says
    assert again["last"]["test_loss"] == pytest.approx(probe["last"]["test_loss"])
    with pytest.raises(ValueError, match="checkpoint-last.pth: holds weights of umurl, not of mamp"):
        config.parse("linprobe", ["--resume", str(path), "--data_path", "x.npz", "--method", "mamp"])


def test_fine_tuning_changes_the_encoder(encoder, start, tmp_path):
    start("finetune", tmp_path / "ft", *encoder, "--epochs", 1)
    path = tmp_path / "ft/checkpoint-last.pth"
    assert not same(path, encoder[1])
    with pytest.raises(ValueError, match="holds a classifier of main_finetune.py"):
        start("linprobe", tmp_path / "x", "--eval", path)


def test_a_random_encoder_is_asked_for_and_named(start, tmp_path):
    result = start("retrieval", tmp_path)
    assert result["encoder"] is None and result["method"] == "umurl"


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_files_of_the_structure_that_was_released(shared, tmp_path, prefix):
    """25 joints, 64 frames, 'state_dict' with and without 'module.'."""
    content, path = torch.load(shared("parity/released_umurl_small.pth.tar"), weights_only=True), tmp_path / "a.pth.tar"
    state = content["state_dict"] = {prefix + k.removeprefix("module."): v for k, v in content["state_dict"].items()}
    torch.save(content, path)
    args = config.parse("linprobe", ["--data_path", "x.npz", "--finetune", str(path)])
    assert (args.method, args.dim_feat, args.num_frames, args.depth, args.features) == ("umurl", 64, 64, 1, "multi")
    model = UmURLClassifier(parents("kinect_v2"), hidden_size=64)
    checkpoint.load_encoder(model, path)
    loaded = {name: value for name, value in model.state_dict().items() if name.startswith("backbone.")}
    assert len(loaded) > 20 and all(torch.equal(value, state[prefix + name]) for name, value in loaded.items())
    with pytest.raises(ValueError, match="trained on 50 joints of all bodies, the data has 5; an encoder cannot change"):
        checkpoint.load_encoder(UmURLClassifier(PARENTS, num_bodies=1, hidden_size=64), path)
    del state[next(key for key in state if key.endswith("t_tr.layers.0.linear1.weight"))]
    torch.save(content, path)
    with pytest.raises(ValueError, match="a.pth.tar: not a checkpoint of this model .missing keys: .*linear1.weight"):
        checkpoint.load_encoder(model, path)


@pytest.mark.parametrize(
    ("stage", "more", "message"),
    [
        ("pretrain", ["--mask_ratio", 0.5], "option mask_ratio: is not one of the method umurl"),
        ("linprobe", ["--readout", "mean"], "option readout: is not one of the method umurl"),
        ("pretrain", ["--input_stream", "bone"], "input_stream bone: UmURL makes bones and motions itself"),
        ("pretrain", ["--batch_size", 4], "accum_iter 2: UmURL compares an update's samples with each other"),
        ("pretrain", ["--batch_size", 1, "--effective_batch_size", 1], "effective_batch_size 1: UmURL compares samples"),
        ("pretrain", ["--num_frames", 400], "num_frames 400: UmURL's positions end at 200"),
        ("pretrain", ["--compile"], "compile: does not work with UmURL"),
        ("pretrain", ["--lr_steps", -1], "lr_steps -1: not below 0"),
    ],
)
def test_mistakes_are_one_line(start, tmp_path, stage, more, message):
    with pytest.raises(ValueError, match=message) as error:
        start(stage, tmp_path, *more)
    assert "\n" not in str(error.value)


def test_a_skeleton_without_known_bones_is_refused(invented, start, tmp_path):
    with pytest.raises(ValueError, match="invented.npz: 5 joints, its layout 'kinect_v2' has 25; bones need"):
        start("pretrain", tmp_path, "--data_path", invented)


def test_options_of_the_other_method_are_refused(encoder, data, options, tmp_path):
    with pytest.raises(ValueError, match="option mlp_ratio"):
        MAINS["linprobe"].main(options("linprobe", data, tmp_path, *encoder))


def test_a_data_set_says_its_method_and_the_published_schedule():
    batches = {}
    for name in ("ntu60_xsub_umurl", "ntu60_xview_umurl", "ntu120_xsub_umurl", "ntu120_xset_umurl"):
        args = config.parse("pretrain", ["--dataset", name])
        batches[name] = args.effective_batch_size
        assert (args.method, args.epochs, args.lr_steps) == ("umurl", 451, [351])
    assert list(batches.values()) == [512, 1024, 1024, 1024]
    assert config.parse("pretrain", ["--dataset", "ntu60_xsub"]).method == "mamp"
    assert config.parse("pretrain", ["--dataset", "ntu60_xsub", "--method", "umurl"]).epochs == 451


@pytest.mark.parametrize(
    "more, warning",
    [
        (("--lr_steps", 1, 5), "lr_steps 1 5: not within 1 epochs"),
        (("--lr_steps", "--lr", 1e-4, "--min_lr", 1e-3), "min_lr 0.001: above lr 0.0001, so the learning rate rises"),
    ],
)
def test_odd_learning_rates_are_named(start, tmp_path, capsys, more, warning):
    start("pretrain", tmp_path, "--epochs", 1, *more)
    assert f"warning: {warning}" in capsys.readouterr().out

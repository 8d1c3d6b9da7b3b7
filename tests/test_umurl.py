"""UmURL through the mains: the same feeder, engine, checkpoints and stages as MAMP."""

import json

import numpy as np
import pytest
import torch

import main_finetune
import main_linprobe
import main_pretrain
import main_retrieval
from feeder.skeleton import parents
from model.umurl import UmURLClassifier
from util import checkpoint, config, stopping

PARENTS = np.array([0, 0, 1, 1, 3])
NOT_MAMPS = {"mlp_ratio": None, "dim_feat": 8, "depth": 1, "num_heads": 1}


@pytest.fixture
def data(npz, arrays):
    return npz(arrays | {"parents": PARENTS})


@pytest.fixture
def words(data, options):
    """words(stage, folder, *more): command line of a tiny UmURL."""

    def line(stage, folder, *more, **named):
        own = {
            "pretrain": {
                "decoder_dim_feat": None,
                "decoder_depth": None,
                "mask_ratio": None,
                "projector_dim": 16,
                "warmup_epochs": 0,
                "lr": 1e-3,
                "batch_size": 24,
                "effective_batch_size": 8,
            },
            "finetune": {"head_dim": None, "drop_path_rate": None},
        }.get(stage, {})
        method = () if "--finetune" in more or "--eval" in more else ("--method", "umurl")
        return options(stage, data, folder, *method, *more, **NOT_MAMPS | own | named)

    return line


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture
def pretrained(words, tmp_path):
    main_pretrain.main(words("pretrain", tmp_path / "pre", "--epochs", 3, "--lr_steps", 2))
    return tmp_path / "pre"


def test_pretraining(pretrained):
    about, content = result(pretrained), checkpoint.load(pretrained / "checkpoint-last.pth")
    assert about["method"] == "umurl" and checkpoint.architecture(content) == "umurl" and content["epoch"] == 2
    log = [json.loads(line) for line in (pretrained / "log.jsonl").read_text().splitlines()]
    assert [entry["lr"] for entry in log] == pytest.approx([1e-3, 1e-3, 1e-4])
    assert log[-1]["train_loss"] < log[0]["train_loss"]
    assert all(torch.isfinite(v).all() for v in content["model"].values() if v.is_floating_point())


@pytest.mark.parametrize("features", ["multi", "bone"])
def test_linear_probe_and_retrieval_and_evaluation(pretrained, words, tmp_path, features):
    start = ("--finetune", pretrained / "checkpoint-last.pth", "--features", features)
    main_linprobe.main(words("linprobe", tmp_path / "lin", *start, "--epochs", 5))
    main_retrieval.main(words("retrieval", tmp_path / "knn", *start))
    for folder in ("lin", "knn"):
        about = result(tmp_path / folder)
        assert about["method"] == about["encoder"]["method"] == "umurl" and about["features"] == features
        assert about["last"]["test_samples"] == 13
    trained, path = result(tmp_path / "lin")["last"], tmp_path / "lin/checkpoint-last.pth"
    before, after = (checkpoint.load(p)["model"] for p in (pretrained / "checkpoint-last.pth", path))
    assert all(torch.equal(before[k], v) for k, v in after.items() if k.startswith("backbone."))
    main_linprobe.main(words("linprobe", tmp_path / "again", "--eval", path, "--features", features))
    assert result(tmp_path / "again")["last"]["test_acc1"] == trained["test_acc1"]


def test_features_of_an_evaluated_classifier_come_from_the_file(pretrained, words, tmp_path):
    start = ("--finetune", pretrained / "checkpoint-last.pth", "--features", "motion")
    main_linprobe.main(words("linprobe", tmp_path / "lin", *start, "--epochs", 2))
    main_linprobe.main(words("linprobe", tmp_path / "again", "--eval", tmp_path / "lin/checkpoint-last.pth"))
    assert result(tmp_path / "again")["last"]["test_loss"] == pytest.approx(result(tmp_path / "lin")["last"]["test_loss"])


def test_fine_tuning(pretrained, words, tmp_path):
    start = ("--finetune", pretrained / "checkpoint-last.pth")
    main_finetune.main(words("finetune", tmp_path / "ft", *start, "--epochs", 2))
    before, after = (checkpoint.load(p / "checkpoint-last.pth")["model"] for p in (pretrained, tmp_path / "ft"))
    assert all(not torch.equal(before[k], v) for k, v in after.items() if k.endswith("linear1.weight"))
    assert checkpoint.stage(checkpoint.load(tmp_path / "ft/checkpoint-last.pth")) == "finetune"
    with pytest.raises(ValueError, match="holds a classifier of main_finetune.py"):
        main_linprobe.main(words("linprobe", tmp_path / "x", "--eval", tmp_path / "ft/checkpoint-last.pth"))


def test_a_random_encoder_is_asked_for_and_named(words, tmp_path):
    main_retrieval.main(words("retrieval", tmp_path / "knn"))
    assert result(tmp_path / "knn")["encoder"] is None and result(tmp_path / "knn")["method"] == "umurl"


def test_a_file_to_be_resumed_tells_its_method(pretrained, data, words, tmp_path):
    main_linprobe.main(words("linprobe", tmp_path / "lin", "--finetune", pretrained / "checkpoint-last.pth", "--epochs", 2))
    for stage, folder in (("pretrain", pretrained), ("linprobe", tmp_path / "lin")):
        line = ["--resume", str(folder / "checkpoint-last.pth"), "--data_path", str(data)]
        assert config.parse(stage, line).method == "umurl"
        with pytest.raises(ValueError, match="checkpoint-last.pth: holds weights of umurl, not of mamp"):
            config.parse(stage, [*line, "--method", "mamp"])


def test_resumed_runs_are_those_that_were_not_stopped(words, tmp_path):
    main_pretrain.main(words("pretrain", tmp_path / "whole", "--epochs", 4))
    asked = iter([False] * 4 + [True] + [False] * 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopping, "asked", lambda: next(asked))
        with pytest.raises(stopping.Interrupted):
            main_pretrain.main(words("pretrain", tmp_path / "parts", "--epochs", 4))
    main_pretrain.main(words("pretrain", tmp_path / "parts", "--epochs", 4, "--resume", "auto"))
    one, two = (checkpoint.load(tmp_path / name / "checkpoint-3.pth")["model"] for name in ("whole", "parts"))
    assert all(torch.equal(value, two[key]) for key, value in one.items())


class TestReleased:
    """Files of the structure that was released: 25 joints, 64 frames, 'state_dict' with and without 'module.'."""

    @pytest.fixture
    def path(self, shared):
        return shared("parity/released_umurl_small.pth.tar")

    def test_loads(self, path, tmp_path):
        model = UmURLClassifier(parents("kinect_v2"), hidden_size=64)
        content = checkpoint.load_encoder(model, path)
        state = model.state_dict()
        assert all(torch.equal(state[k], v) for k, v in content["model"].items() if k.startswith("backbone."))
        without = torch.load(path, weights_only=True)
        without["state_dict"] = {k.removeprefix("module."): v for k, v in without["state_dict"].items()}
        torch.save(without, tmp_path / "plain.pth.tar")
        again = UmURLClassifier(parents("kinect_v2"), hidden_size=64)
        checkpoint.load_encoder(again, tmp_path / "plain.pth.tar")
        assert all(torch.equal(v, again.state_dict()[k]) for k, v in state.items() if k.startswith("backbone."))

    def test_tells_its_sizes(self, path):
        args = config.parse("linprobe", ["--data_path", "x.npz", "--finetune", str(path)])
        assert (args.method, args.dim_feat, args.num_frames, args.depth) == ("umurl", 64, 64, 1)
        assert not hasattr(args, "readout") and args.features == "multi" and args.lr_steps == [120, 140]

    def test_missing_weights_are_an_error(self, path, tmp_path):
        content = torch.load(path, weights_only=True)
        name = next(k for k in content["state_dict"] if k.endswith("t_tr.layers.0.linear1.weight"))
        del content["state_dict"][name]
        torch.save(content, tmp_path / "a.pth.tar")
        with pytest.raises(ValueError, match="a.pth.tar: not a checkpoint of this model .missing keys: .*linear1.weight"):
            checkpoint.load_encoder(UmURLClassifier(parents("kinect_v2"), hidden_size=64), tmp_path / "a.pth.tar")
        with pytest.raises(FileNotFoundError, match="gone.pth.tar: no such checkpoint"):
            config.parse("linprobe", ["--data_path", "x.npz", "--finetune", str(tmp_path / "gone.pth.tar")])

    def test_another_skeleton_is_refused(self, path):
        with pytest.raises(ValueError, match="trained on 50 joints of all bodies, the data has 5; an encoder cannot change"):
            checkpoint.load_encoder(UmURLClassifier(PARENTS, num_bodies=1, hidden_size=64), path)


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
        ("pretrain", ["--lr_steps", -1], "lr_steps -1: epochs, not below 0"),
    ],
)
def test_what_makes_no_sense_is_refused(words, tmp_path, stage, more, message):
    with pytest.raises(ValueError, match=message):
        {"pretrain": main_pretrain, "linprobe": main_linprobe}[stage].main(words(stage, tmp_path, *more))


def test_a_skeleton_without_known_bones(npz, words, options, tmp_path):
    line = [str(npz()) if word.endswith(".npz") else word for word in words("pretrain", tmp_path)]
    with pytest.raises(ValueError, match="data.npz: 5 joints, its layout 'kinect_v2' has 25; bones need"):
        main_pretrain.main(line)


def test_a_checkpoint_of_the_other_method(pretrained, data, options, tmp_path):
    line = options("linprobe", data, tmp_path / "x", "--finetune", pretrained / "checkpoint-last.pth", "--method", "mamp")
    with pytest.raises(ValueError, match="checkpoint-last.pth: holds weights of umurl, not of mamp"):
        main_linprobe.main(line)
    with pytest.raises(ValueError, match="option mlp_ratio: is not one of the method umurl"):
        main_linprobe.main(options("linprobe", data, tmp_path / "x", "--finetune", pretrained / "checkpoint-last.pth"))


def test_settings_of_the_published_runs():
    """451 epochs, Adam at 5e-4 to a tenth from 351, batch 512 on NTU-60 X-sub and 1024 elsewhere; the probe of its own."""
    args = config.parse("pretrain", ["--dataset", "ntu60_xsub_umurl"])
    assert (args.method, args.epochs, args.lr, args.lr_steps, args.weight_decay) == ("umurl", 451, 5e-4, [351], 1e-5)
    assert (args.num_frames, args.train_p_interval, args.min_frames, args.random_rot) == (64, [0.1, 1.0], 64, False)
    assert (args.dim_feat, args.depth, args.num_heads, args.projector_dim, args.save_freq) == (1024, 1, 1, 4096, 50)
    assert args.effective_batch_size == 512 and args.enable_amp and not hasattr(args, "mask_ratio")
    others = ("ntu60_xview_umurl", "ntu120_xsub_umurl", "ntu120_xset_umurl")
    assert {config.parse("pretrain", ["--dataset", name]).effective_batch_size for name in others} == {1024}
    probe = config.parse("linprobe", ["--dataset", "ntu60_xsub_umurl"])
    assert (probe.lr, probe.momentum, probe.weight_decay, probe.epochs, probe.lr_steps) == (0.03, 0.9, 0, 150, [120, 140])
    assert (probe.effective_batch_size, probe.augment, probe.test_p_interval, probe.warmup_epochs) == (512, False, [1.0], 0)
    assert config.parse("pretrain", ["--dataset", "ntu60_xsub"]).method == "mamp"
    assert config.parse("pretrain", ["--dataset", "ntu60_xsub", "--method", "umurl"]).epochs == 451


@pytest.mark.parametrize("features", ["joint", "bone", "motion", "multi"])
def test_every_weight_that_learns_takes_part(features):
    """Several processes wait for the gradients of all others, and AdamW would let them decay."""
    model = UmURLClassifier(PARENTS, num_bodies=1, num_frames=8, hidden_size=8, features=features)
    model(torch.randn(3, 3, 8, 5, 1)).square().sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


def test_steps_of_the_rate_beyond_the_last_epoch_are_named(words, tmp_path, capsys):
    main_pretrain.main(words("pretrain", tmp_path, "--epochs", 1, "--lr_steps", 1, 5))
    assert "warning: lr_steps 1 5: not within 1 epochs" in capsys.readouterr().out

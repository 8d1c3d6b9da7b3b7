"""Checkpoints as the published mains write them, of all five stages: every command that takes a checkpoint takes them."""

import argparse
import json

import numpy as np
import pytest
import torch

import main_finetune
import main_linprobe
import main_predict
import main_pretrain
import main_retrieval
from feeder.feeder_ntu import Feeder
from model.transformer import Transformer
from predict import export, load_model
from scripts import tsne, visualize
from tests.conftest import invent
from tests.test_hub import hub
from util import checkpoint, provenance

STAGES = ("mamp", "mae", "lp", "ft", "semi")
HEADS = {"lp": "linprobe", "ft": "finetune", "semi": "finetune"}
MAINS = {"linprobe": main_linprobe, "finetune": main_finetune, "retrieval": main_retrieval}
SHORT = "--device cpu --num_workers 0 --no-report --batch_size 4".split()


@pytest.fixture(scope="session")
def published(shared, parity, part, tmp_path_factory):
    """published(stage, change=None) -> a file of this stage: weights of the parity numbers, settings of the published parser.

    The settings are those of a larger model (2 blocks, 120 frames, 60 classes): only the weights tell the truth of that.
    """
    folder = tmp_path_factory.mktemp("published")
    launches = json.loads(shared("spec/published_args.json").read_text())

    def write(stage, change=None, name=None):
        path = folder / f"{name or stage}.pth"
        head = HEADS.get(stage)
        state = part(parity(f"classifier_{head}_tiny25" if head else "pretrain_tiny25"), "state/")
        if stage == "lp":  # the probe's norm, with statistics that change nothing
            state = {key.replace("head.fc.", "head.fc.1."): value for key, value in state.items()}
            state |= {
                "head.fc.0.running_mean": torch.zeros(32),
                "head.fc.0.running_var": torch.full((32,), 1 - 1e-6),
                "head.fc.0.num_batches_tracked": torch.tensor(1),
            }
        args = json.loads(json.dumps(launches[stage]))
        if change:
            change(args)
        content = {"model": state, "epoch": 1, "scaler": {}, "args": argparse.Namespace(**args)}
        torch.save(content | ({} if head else {"optimizer": {}}), path)
        return path

    return write


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """An npz of 11 classes with the name that the settings tell; two bodies of 25 joints."""
    path = tmp_path_factory.mktemp("ntu") / "NTU60_XSub.npz"
    np.savez(path, **invent(train=11, test=11, frames=30, joints=25, bodies=2, classes=11))
    return path


@pytest.fixture(params=STAGES)
def file(request, published):
    """(stage, path) of each stage's file."""
    return request.param, published(request.param)


@pytest.fixture
def reference(parity, part):
    """reference(stage) -> the classifier whose numbers are published, x and its logits, without any checkpoint."""

    def make(stage):
        numbers = parity(f"classifier_{HEADS[stage]}_tiny25")
        model = Transformer(**numbers["config"])
        model.load_state_dict(part(numbers, "state/"))
        return model.eval(), numbers["x"], numbers["logits_eval"]

    return make


def test_what_it_is(file, capsys):
    stage, path = file
    checkpoint.main([str(path)])
    out, messages = capsys.readouterr()
    lines = dict(line.split(None, 1) for line in out.splitlines())
    assert lines["stage"] == HEADS.get(stage, "pretrain") and lines["format"] == "released" and not messages
    sizes = ("dim_feat", "depth", "num_heads", "num_frames", "joints")
    assert [lines[name] for name in sizes] == ["32", "3", "4", "24", "25"]
    metadata = provenance.describe(checkpoint.load(path), path)
    made_with = provenance.settings(checkpoint.load(path), path)
    assert made_with["data_path"] == "data/ntu/NTU60_XSub.npz"
    assert (made_with["epochs"], made_with["input_stream"]) == (2, "joint")
    if stage in HEADS:
        assert lines["classes"] == "11" and made_with["finetune"] == "out/mamp/checkpoint-1.pth" and "eval" not in made_with
        assert (made_with["drop_path_rate"], made_with["test_p_interval"]) == (0.0 if stage == "lp" else 0.3, [0.95])
    else:
        expected = {"mamp": ("mamp", "motion", 0.8), "mae": ("skeletonmae", "joint", 0)}[stage]
        assert (metadata["method"], metadata["target"], metadata["motion_aware_tau"]) == expected
        assert (metadata["dataset"], metadata["epochs"], metadata["epoch"]) == ("ntu60_xsub", 2, 1)
    if stage == "semi":
        assert (made_with["data_ratio"], made_with["subset"], made_with["subset_seed"]) == (0.5, "released", 0)


@pytest.mark.parametrize("stage", ["mamp", "mae", "ft"])
def test_genuine_files(stage, shared, capsys):
    path = shared(f"parity/published_runs/published_{stage}.pth")
    content = checkpoint.load(path)
    metadata, sizes = provenance.describe(content, path), provenance.sizes(content, path, head=True)
    assert (sizes["dim_feat"], sizes["depth"], sizes["num_heads"], sizes["num_frames"]) == (32, 2, 4, 120)
    assert metadata["method"] == {"mamp": "mamp", "mae": "skeletonmae", "ft": None}[stage] and not capsys.readouterr().err
    model = Transformer(num_classes=60, dim_feat=32, depth=2, num_heads=4, protocol="finetune" if stage == "ft" else "linprobe")
    model.load_state_dict(content["model"], strict=False)
    x = torch.randn(2, 3, 120, 25, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(hub("mamp", checkpoint=path)(x), model.eval().forward_features(x).mean((1, 2, 3)))
        if stage == "ft":
            made_with = load_model.classifier_options(content, path)
            ours = load_model.classifier(content, path, made_with, load_model.training_data(content, path, vars(made_with)))
            torch.testing.assert_close(ours(x), model(x))


@pytest.mark.parametrize("own, stage", [*zip(STAGES, ("linprobe", "finetune", "retrieval", "linprobe", "finetune"), strict=True)])
def test_every_stage_starts_from_it(own, stage, published, recordings, tmp_path):
    path = published(own)
    epochs = ["--epochs", "1", "--warmup_epochs", "0", "--effective_batch_size", "4"] if stage != "retrieval" else []
    words = ["--finetune", str(path), "--data_path", str(recordings), "--output_dir", str(tmp_path / "out"), *SHORT, *epochs]
    MAINS[stage].main(words)
    encoder = json.loads((tmp_path / "out/result.json").read_text())["encoder"]
    assert (encoder["stage"], encoder["epoch"], encoder["path"]) == (HEADS.get(own, "pretrain"), 2, str(path))
    if own not in HEADS:
        assert encoder["method"] == {"mamp": "mamp", "mae": "skeletonmae"}[own] and encoder["dataset"] == "ntu60_xsub"


@pytest.mark.parametrize("stage", HEADS)
def test_evaluation_and_recognition_give_the_published_logits(
    stage, published, reference, recordings, tmp_path, assert_close, capsys
):
    path, (model, x, logits) = published(stage), reference(stage)
    content = checkpoint.load(path)
    made_with = load_model.classifier_options(content, path)
    with torch.no_grad():
        assert_close(
            load_model.classifier(content, path, made_with, load_model.training_data(content, path, vars(made_with)))(x), logits
        )
    main = MAINS[HEADS[stage]]
    main.main(["--eval", str(path), "--data_path", str(recordings), "--output_dir", str(tmp_path / "eval"), *SHORT])
    data = Feeder(recordings, "test", window_size=24, p_interval=[0.95])
    with torch.no_grad():
        expected = model(torch.stack([torch.as_tensor(data[i][0]) for i in range(len(data))]))
    with np.load(tmp_path / "eval/scores.npz") as scores:
        assert_close(scores["scores"], expected, 1e-4)
    result = json.loads((tmp_path / "eval/result.json").read_text())
    if stage == "semi":
        assert (result["data_ratio"], result["subset"]) == (0.5, "released")
    capsys.readouterr()
    main_predict.main(["--checkpoint", str(path), str(recordings), "--format", "json", "--device", "cpu", "--top_k", "1"])
    out, messages = capsys.readouterr()
    answers = json.loads(out)
    assert answers["trained_on"] == "NTU RGB+D 60" and "trained on NTU RGB+D 60" in messages and "warning" not in messages
    assert [a["predictions"][0]["class"] for a in answers["recordings"]] == expected.argmax(1).tolist()


def test_features_by_hub_and_export(file, reference, tmp_path, assert_close):
    stage, path = file
    model, x, _ = reference("lp")
    state = checkpoint.load(path)["model"]
    model.load_state_dict({key: value for key, value in state.items() if not key.startswith("head.")}, strict=False)
    with torch.no_grad():
        features = model.forward_features(x).mean((1, 2, 3))
        assert_close(hub("mamp", checkpoint=path)(x), features)
        export.main([str(path), str(tmp_path / "encoder.ts"), "--encoder"])
        assert_close(torch.jit.load(tmp_path / "encoder.ts")(x), features)
        if stage in HEADS:
            export.main([str(path), str(tmp_path / "classifier.ts")])
            assert_close(torch.jit.load(tmp_path / "classifier.ts")(x), reference(stage)[2])


def test_pictures(file, recordings, tmp_path, monkeypatch):
    stage, path = file
    monkeypatch.setattr(visualize, "write", lambda folder, drawn, source, drawings: [source, *drawings])  # films take seconds
    lines = []
    monkeypatch.setattr(visualize, "print_info", lines.append)
    visualize.main(["--checkpoint", str(path), "--data_path", str(recordings), "--samples", "0", "--out", str(tmp_path)])
    names = {"mamp": "MAMP, pre-training", "mae": "SkeletonMAE*, pre-training", "lp": "MAMP, linear probe"}
    assert names.get(stage, "MAMP, fine-tuned") in lines[-1] and ("saliency" if stage in HEADS else "prediction") in lines[-1]
    words = ["--finetune", path, "--data_path", recordings, "--out", tmp_path / "a.png", "--classes", 11, "--perplexity", 3]
    tsne.main([*map(str, words), *SHORT])
    assert (tmp_path / "a.csv").read_text().count("\n") == 12


def test_what_cannot_be_done_is_one_line(file, recordings, tmp_path):
    stage, path = file
    own = HEADS.get(stage)
    main = MAINS[own] if own else main_pretrain
    words = ["--data_path", str(recordings), "--output_dir", str(tmp_path / "out"), *SHORT]
    with pytest.raises(ValueError, match=f"{stage}.pth: cannot be resumed, it has no .*") as caught:
        main.main(["--resume", str(path), *words])
    assert "\n" not in str(caught.value)
    if not own:
        with pytest.raises(ValueError, match="holds no classifier, only a pre-trained encoder"):
            main_predict.main(["--checkpoint", str(path), str(recordings), "--device", "cpu"])
        with pytest.raises(ValueError, match="holds no classifier"):
            main_linprobe.main(["--eval", str(path), *words])


def _without(*keys):
    return lambda args: [args.pop(key, None) for key in keys]


def _with(section=None, **values):
    return lambda args: (args[section] if section else args).update(values)


@pytest.mark.parametrize(
    "change, complaint, expected",
    [
        (_with(epochs="many"), "epochs: 'many' is not a whole number", {}),
        (_with(epochs="400"), None, {"epochs": 400}),
        (_with(epochs=-1), "epochs -1: at least 1", {}),
        (_with(optimiser_of_mine="x"), "key 'optimiser_of_mine' is not known", {}),
        (_with(model=f"{'long_' * 12}.Model"), f"model: '{'long_' * 12}.Model' is not known", {}),
        (_with(enable_amp=0, pin_mem=1), None, {"enable_amp": False}),
        (_with("train_feeder_args", random_rot=1), None, {"random_rot": True}),
        (_with("train_feeder_args", bone=1, vel=1), "input_stream: 'bone and motion' is not one of", {}),
        (_with("val_feeder_args", p_interval=[0.9, 0.95]), "test_p_interval 0.9 0.95: takes 1 number", {}),
        (_with("val_feeder_args", window_size=64), "num_frames is 120 in one place and 64 in another", {}),
        (_with("model_args", qk_scale="wide"), "qk_scale: 'wide' is not a number", {}),
        (_with("model_args", num_heads="None"), "num_heads: has no value", {}),
        (_with("model_args", num_heads=5), "num_heads: 5 does not divide the width 32", {}),
        (_with("model_args", drop_path_rate="None"), "drop_path_rate: has no value", {}),
        (_with(val_feeder_args=3), "val_feeder_args: is not a list of", {}),
        (_with(val_feeder_args=None), None, {}),
        (_with(mixup=0.8), "mixup: 0.8 does not exist here", {}),
        (_with(lr=torch.ones(3)), "lr: is a Tensor", {}),
        (_with(eval=True), "eval: True", {}),
        (_with("val_feeder_args", p_interval=(0.9,)), None, {"test_p_interval": [0.9]}),
        (_without("model_args"), "does not tell num_heads; 8", {}),
        (_without("model", "seed", "epochs", "mixup", "clip_grad"), None, {}),
    ],
)
def test_a_setting_that_cannot_be_read_costs_a_warning(change, complaint, expected, published, tmp_path, capsys):
    path = published("ft", change, name=tmp_path.name)
    content = checkpoint.load(path)
    for _ in range(2):
        made_with = load_model.classifier_options(content, path)
        load_model.classifier(content, path, made_with, load_model.training_data(content, path, vars(made_with)))
    messages = capsys.readouterr().err
    if complaint:
        assert complaint in messages and str(path) in messages and messages.count(complaint) == 1
    else:
        assert not messages
    kept = provenance.settings(content, path)
    assert kept.items() >= expected.items() and kept["data_path"] == "data/ntu/NTU60_XSub.npz" and kept["layer_decay"] == 0.8


def test_a_pretraining_that_tells_nothing_of_its_data(published, tmp_path):
    path = published("mae", _with("train_feeder_args", data_path="None"), name=tmp_path.name)
    metadata = provenance.describe(checkpoint.load(path), path)
    assert (metadata["dataset"], metadata["method"], metadata["epochs"]) == (None, "skeletonmae", 2)


@pytest.mark.parametrize("epoch, expected", [(399.0, 399), ("7", 7), (torch.tensor(3), 3), (None, None), ("last", None)])
def test_odd_epochs(epoch, expected, published, tmp_path, capsys):
    path = published("mamp", name=tmp_path.name)
    content = checkpoint.load(path)
    torch.save(content | {"epoch": epoch}, path)
    assert checkpoint.load(path).get("epoch") == expected
    assert ("epoch: " in capsys.readouterr().err) == (expected is None)

"""The decoders that only ask, through the commands: what they leave, how they go on, and what is refused."""

import json
import re
import shutil

import pytest
import torch

import main_finetune
import main_linprobe
import main_pretrain
import main_retrieval
from tests.conftest import invent
from util import checkpoint, config, engine, results

OF = {
    "query": {"decoder": "query", "query_frames": 4, "loss_weight": "motion", "loss_weight_windows": 4},
    "cross": {"decoder": "cross", "predict_ratio": 0.5},
}


def read(folder):
    return json.loads((folder / "result.json").read_text())


def last(folder):
    return checkpoint.load(folder / "checkpoint-last.pth")


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.fixture(params=OF)
def decoder(request):
    return request.param


def test_from_pretraining_to_every_stage(decoder, npz, options, tmp_path):
    arrays = invent(bodies=2)
    arrays["x_train"].reshape(24, 12, 2, 5, 3)[::3, :, 1] = 0
    data, own, top = npz(arrays), OF[decoder], tmp_path
    line = options("pretrain", data, top / "pretrain", "--skip_empty_bodies", "--epochs", 4, "--accum_iter", 2, **own)
    main_pretrain.main(line)
    log = [json.loads(text) for text in (top / "pretrain/log.jsonl").read_text().splitlines()]
    assert log[-1]["train_loss"] < log[0]["train_loss"] < 3
    assert {key: read(top / "pretrain")[key] for key in ("method", "decoder")} == {"method": "mamp", "decoder": decoder}
    encoder = ("--finetune", top / "pretrain/checkpoint-3.pth")
    judges = {"linprobe": (main_linprobe, "--epochs", 2), "finetune": (main_finetune, "--epochs", 1)}
    judges |= {"retrieval": (main_retrieval,)}
    for stage, (main, *more) in judges.items():
        main.main(options(stage, data, top / stage, *encoder, *more))
        told = read(top / stage)["encoder"]
        assert told["decoder"] == decoder and told["predict_ratio"] == own.get("predict_ratio", 0.25)
        name, differs = results.read(top / stage / "result.json").method()
        assert name == f"MAMP, {decoder} decoder" and "decoder" not in differs
    released = {key for key in last(top / "linprobe")["model"] if not key.startswith("head.")}
    pretrained = {key for key in last(top / "pretrain")["model"] if not key.startswith("decoder_") and key != "mask_token"}
    assert released == pretrained and ("mask_token" in last(top / "pretrain")["model"]) == (decoder == "cross")


def test_the_weights_tell_the_decoder(decoder, invented, options, tmp_path, capsys):
    main_pretrain.main(options("pretrain", invented, tmp_path, "--epochs", 1, decoder_depth=2, **OF[decoder]))
    content = last(tmp_path)
    del content["config"]
    sizes = checkpoint.sizes(content, "file")
    own = {"query_frames": 4} if decoder == "query" else {}
    assert {k: sizes.get(k) for k in ("decoder", "decoder_dim_feat", "decoder_depth", "query_frames", "num_frames")} == {
        "decoder": decoder,
        "decoder_dim_feat": 8,
        "decoder_depth": 2,
        "query_frames": None,
        "num_frames": 8,
    } | own
    checkpoint.main([tmp_path / "checkpoint-last.pth"])
    assert re.search(rf"^decoder +{decoder}$", capsys.readouterr().out, re.MULTILINE)
    line = options("pretrain", invented, tmp_path, "--epochs", 2, "--resume", "auto", decoder_depth=2)
    with pytest.raises(ValueError, match=f"the run began with decoder {decoder}, now it is self"):
        main_pretrain.main(line)


def test_resuming_in_16_bits_continues_bit_for_bit(decoder, invented, options, tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    words = ("--epochs", 3, "--enable_amp")
    main_pretrain.main(options("pretrain", invented, whole, *words, **OF[decoder]))
    train_one_epoch = engine.train_one_epoch

    def stops(model, loader, optimizer, loss_of, epoch, *args):
        if epoch == 2:
            raise InterruptedError
        return train_one_epoch(model, loader, optimizer, loss_of, epoch, *args)

    monkeypatch.setattr("main_pretrain.train_one_epoch", stops)
    with pytest.raises(InterruptedError):
        main_pretrain.main(options("pretrain", invented, parts, *words, **OF[decoder]))
    monkeypatch.setattr("main_pretrain.train_one_epoch", train_one_epoch)
    main_pretrain.main(options("pretrain", invented, parts, *words, "--resume", "auto", **OF[decoder]))
    assert same(last(whole)["model"], last(parts)["model"])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_training_takes_the_same_steps(decoder, invented, options, tmp_path):
    """By its losses: AdamW's steps along weights that hardly matter, a key's bias, follow the rounding of their gradient."""
    losses = []
    for name, more in (("eager", ()), ("compiled", ("--compile",))):
        main_pretrain.main(options("pretrain", invented, tmp_path / name, "--epochs", 2, *more, depth=1, **OF[decoder]))
        losses.append([json.loads(line)["train_loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0][1] < losses[0][0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"decoder": "query", "query_frames": 3}, "query_frames 3: has to divide num_frames, 8"),
        ({"decoder": "query", "query_frames": 0}, "query_frames 0: at least 1"),
        ({"decoder": "cross", "predict_ratio": 0}, "predict_ratio 0.0: a share of the hidden tokens, above 0 and at most 1"),
        ({"decoder": "cross", "predict_ratio": 1.5}, "predict_ratio 1.5: a share"),
        ({"predict_ratio": 0.5}, "option predict_ratio: belongs to --decoder cross, this is self"),
        ({"decoder": "cross", "query_frames": 4}, "option query_frames: belongs to --decoder query, this is cross"),
        ({"loss_weight_k": 0.1}, "option loss_weight_k: belongs to --loss_weight motion, this is none"),
        ({"loss_weight": "motion", "loss_weight_windows": 3}, "loss_weight_windows 3: has to divide num_frames, 8"),
        ({"loss_weight": "motion", "loss_weight_windows": 0}, "loss_weight_windows 0: frames, at least 1"),
        ({"loss_weight": "motion", "loss_weight_k": -1}, "loss_weight_k -1.0: not below 0"),
        (
            {
                "method": "umurl",
                "decoder": "query",
                "mlp_ratio": None,
                "decoder_dim_feat": None,
                "decoder_depth": None,
                "mask_ratio": None,
            },
            "option decoder: is not one of the method umurl",
        ),
    ],
)
def test_what_cannot_be_is_one_line(words, message, invented, options, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        main_pretrain.main(options("pretrain", invented, tmp_path, "--epochs", 1, **words))
    assert "\n" not in str(error.value) and not list(tmp_path.rglob("*.pth"))


def test_data_sets_have_lengths_that_fit(decoder):
    for file in sorted((config.FOLDER / "dataset").glob("*.yaml")):
        args = config.parse("pretrain", ["--dataset", file.stem, "--method", "mamp", "--decoder", decoder])
        assert not any(args.num_frames % length for length in (args.query_frames, *args.loss_weight_windows)), file

"""Checkpoints: released files, writing that cannot be caught half-way, and one clear line for every unusable file."""

import argparse
import os
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import main_finetune
from model.mamp import MAMP
from model.transformer import Transformer
from util import checkpoint, config, provenance

TINY = dict(dim_feat=8, depth=2, num_heads=2, mlp_ratio=2, num_frames=12, num_joints=5)


def classifier(**options):
    return Transformer(**TINY | {"num_classes": 3} | options)


@pytest.fixture
def pretrained(tmp_path):
    """Checkpoint of a tiny pre-trained model: (path, its state)."""
    model = MAMP(**TINY, decoder_dim_feat=8, decoder_depth=1)
    checkpoint.save(tmp_path / "pre.pth", {"model": model.state_dict(), "epoch": 3})
    return tmp_path / "pre.pth", model.state_dict()


@pytest.mark.parametrize("stage", ["pretrain", "finetune", "linprobe"])
def test_released_files_open(stage, shared, parity, part):
    content = checkpoint.load(shared(f"parity/released_{stage}_tiny25.pth"))
    published = parity("pretrain_tiny25" if stage == "pretrain" else f"classifier_{stage}_tiny25")
    state = part(published, "state/")
    if stage == "linprobe":  # saved behind a norm
        state = {k.replace("head.fc.", "head.fc.1."): v for k, v in state.items()}
    assert state.keys() <= content["model"].keys() and not any(k.startswith("module.") for k in content["model"])
    assert all(torch.equal(content["model"][k], v) for k, v in state.items())
    assert content["epoch"] == 399 and isinstance(content["args"], argparse.Namespace) and "optimizer" in content
    assert provenance.num_classes(content) == (None if stage == "pretrain" else 11)


@pytest.mark.parametrize("stage", ["linprobe", "finetune"])
def test_released_classifiers_give_the_published_logits(stage, shared, parity, assert_close):
    published = parity(f"classifier_{stage}_tiny25")
    model = Transformer(**published["config"])
    if stage == "linprobe":
        model.head.add_norm()
    content = checkpoint.load_model(model, shared(f"parity/released_{stage}_tiny25.pth"))
    logits = model.eval()(published["x"])
    if stage == "linprobe":
        state = content["model"]
        features = model.forward_features(published["x"]).mean((1, 2, 3))
        features = (features - state["head.fc.0.running_mean"]) / (state["head.fc.0.running_var"] + 1e-6).sqrt()
        assert_close(logits, features @ state["head.fc.1.weight"].T + state["head.fc.1.bias"])
    else:
        assert_close(logits, published["logits_eval"])


@pytest.mark.parametrize("protocol", ["linprobe", "finetune"])
def test_released_pretraining_starts_a_classifier(protocol, shared, parity, part):
    config = parity("classifier_finetune_tiny25")["config"] | {"protocol": protocol}
    model = Transformer(**config)
    head = {k: v.clone() for k, v in model.state_dict().items() if k.startswith("head.")}
    checkpoint.load_encoder(model, shared("parity/released_pretrain_tiny25.pth"))
    published = part(parity("pretrain_tiny25"), "state/")
    for key, value in model.state_dict().items():
        assert torch.equal(value, head[key] if key.startswith("head.") else published[key]), key


def test_released_pretraining_gives_the_published_loss(shared, parity):
    published = parity("pretrain_tiny25")
    model = MAMP(**published["config"])
    checkpoint.load_model(model, shared("parity/released_pretrain_tiny25.pth"))
    torch.manual_seed(1003)
    assert model(published["x"])[0].item() == pytest.approx(float(published["mamp/a/loss"]), rel=1e-5)


def test_file_of_another_method(shared):
    path = shared("parity/released_umurl_small.pth.tar")
    content = checkpoint.load(path)
    assert provenance.architecture(content) == "umurl" and not any(key.startswith("module.") for key in content["model"])
    with pytest.raises(ValueError, match="umurl_small.pth.tar: holds weights of umurl, the model is one of mamp; --method umurl"):
        checkpoint.load_encoder(classifier(), path)


def test_numpy_numbers_beside_the_weights_are_read(pretrained, tmp_path):
    """Which many save as the best accuracy, or as an option."""
    args = argparse.Namespace(lr=np.float64(1e-3))
    torch.save({"model": pretrained[1], "best_acc": np.float32(90.5), "n": np.int64(3), "args": args}, tmp_path / "a.pth")
    content = checkpoint.load(tmp_path / "a.pth")
    assert content["best_acc"] == 90.5 and content["n"] == 3

    class Claim:
        def __reduce__(self):
            return np.dtype, ("V2000000000",)

    for other in (np.array([print]), np.zeros((), "V9")[()], np.str_("a"), Claim()):
        torch.save({"model": pretrained[1], "other": other}, tmp_path / "a.pth")
        with pytest.raises(ValueError, match="a.pth: not a readable checkpoint"):
            checkpoint.load(tmp_path / "a.pth")


def test_files_that_are_no_checkpoints(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.pth: no such checkpoint"):
        checkpoint.load(tmp_path / "absent.pth")
    for text in ("", "h", "hello"):
        (tmp_path / "a.pth").write_text(text)
        with pytest.raises(ValueError, match="a.pth: not a checkpoint: it does not begin like a file of torch.save"):
            checkpoint.load(tmp_path / "a.pth")
    for content in (torch.zeros(3), {"state_dict": {}}, {"model": torch.zeros(3)}):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(ValueError, match="a.pth: no state dict under 'model'"):
            checkpoint.load(tmp_path / "a.pth")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_state_dict_alone(prefix, pretrained, tmp_path):
    """What docs/errors.md says to save where a file holds more than is read here."""
    path, state = pretrained
    torch.save({prefix + key: value for key, value in state.items()}, tmp_path / "alone.pth")
    alone, whole = checkpoint.load(tmp_path / "alone.pth"), checkpoint.load(path)
    assert alone.keys() == {"model"} and alone["model"].keys() == whole["model"].keys()
    assert provenance.describe(alone, tmp_path / "alone.pth")["stage"] == "pretrain"
    checkpoint.load_encoder(classifier(), tmp_path / "alone.pth")


BESIDE = {
    "projector.0.weight": torch.zeros(2),
    "predictor.0.weight": torch.zeros(2),
    "queue": torch.zeros(2),
    "queue_ptr": torch.zeros(1),
}


def _prefixed(prefix, state):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    "wrap, complaint",
    [
        (lambda state: {"model": _prefixed("module.", state)}, False),
        (lambda state: {"state_dict": _prefixed("model.encoder.", state), "epoch": 3}, False),
        (lambda state: {"model": _prefixed("_orig_mod.backbone.", state)}, False),
        (lambda state: {"model": _prefixed("backbone.", state) | BESIDE}, True),
        (lambda state: {"model": _prefixed("module.encoder.", state) | _prefixed("module.", BESIDE)}, True),
        (lambda state: {"model": state | BESIDE}, False),
        (lambda state: {"teacher": state}, False),
        (lambda state: {"encoder": _prefixed("module.", state), "predictor": BESIDE, "optimizer": {"state": {}}}, True),
    ],
)
def test_an_encoder_behind_other_prefixes(wrap, complaint, pretrained, tmp_path, capsys):
    path = tmp_path / f"{tmp_path.name}.pth"
    torch.save(wrap(pretrained[1]), path)
    args = config.parse("linprobe", ["--finetune", str(path), "--data_path", "x.npz"])
    assert (args.method, args.dim_feat, args.depth) == ("mamp", 8, 2)
    message = f"{path}: the encoder is read, these keys are not: "
    assert (message in capsys.readouterr().err) == complaint
    model = classifier()
    checkpoint.load_encoder(model, path)
    of_encoder = {key: value for key, value in model.state_dict().items() if not key.startswith("head.")}
    assert of_encoder and all(torch.equal(value, pretrained[1][key]) for key, value in of_encoder.items())


@pytest.mark.parametrize("prefix, own", [("module.model.", "backbone."), ("", ""), ("online.", "")])
def test_a_backbone_of_umurl_behind_other_prefixes(prefix, own, shared, tmp_path):
    whole = checkpoint.load(shared("parity/released_umurl_small.pth.tar"))["model"]
    backbone = {key: value for key, value in whole.items() if key.startswith("backbone.")}
    renamed = {prefix + own + key.removeprefix("backbone."): value for key, value in backbone.items()}
    torch.save(renamed, tmp_path / "a.pth")
    found = checkpoint.load(tmp_path / "a.pth")["model"]
    assert found.keys() == backbone.keys() and all(torch.equal(found[key], value) for key, value in backbone.items())


@pytest.mark.parametrize("form", ["one state dict", "two", "two under model"])
def test_several_encoders_are_named(form, pretrained, tmp_path):
    _, state = pretrained
    both = {"student": state, "teacher": state}
    merged = {f"{name}.{key}": value for name in both for key, value in state.items()}
    content = {"one state dict": {"model": merged}, "two": both, "two under model": {"model": both, "epoch": 3}}[form]
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="a.pth: holds 2 encoders, their keys begin with 'student.' and 'teacher.'; save one"):
        checkpoint.load(tmp_path / "a.pth")


def test_what_another_file_holds_is_named(tmp_path):
    torch.save({"model": {"cls_token": torch.zeros(1), "patch_embed.proj.weight": torch.zeros(1)}}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="not the weights of a skeleton transformer.*; it holds cls_token, patch_embed.proj.wei"):
        config.parse("linprobe", ["--finetune", str(tmp_path / "a.pth"), "--data_path", "x.npz"])
    torch.save({"epoch": 3, "weights": "elsewhere"}, tmp_path / "b.pth")
    with pytest.raises(ValueError, match="b.pth: no state dict under 'model'; it holds keys epoch, weights"):
        checkpoint.load(tmp_path / "b.pth")


def test_temporal_embedding_is_resized_bicubically(pretrained):
    path, state = pretrained
    model = classifier(num_frames=28)  # 7 segments instead of 3
    checkpoint.load_encoder(model, path)
    row = state["temp_embed"][0, :, 0]  # (3, D)
    expected = F.interpolate(row.T[None, :, None].expand(-1, -1, 4, -1), size=(4, 7), mode="bicubic", align_corners=False)
    assert torch.allclose(model.temp_embed[0, :, 0], expected[0, :, 0].T, atol=1e-6)
    assert torch.equal(model.pos_embed, state["pos_embed"])
    with pytest.raises(ValueError, match="decoder_temp_embed"):  # pre-training goes on with the same length only
        checkpoint.load_model(MAMP(**TINY | {"num_frames": 28}, decoder_dim_feat=8, decoder_depth=1), path)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"depth": 3}, r"missing keys: blocks\.2\.norm1\.weight.* and 8 more"),
        ({"depth": 1}, r"unknown keys: blocks\.1\."),
        ({"dim_feat": 16}, r"built with other sizes.*\(1, 3, 1, 8\) instead of \(1, 3, 1, 16\)"),
        ({"mlp_ratio": 4}, r"blocks\.0\.mlp\.fc1\.weight \(16, 8\) instead of \(32, 8\)"),
        ({"num_joints": 20}, "trained on 5 joints, the data has 20"),
        ({"t_patch_size": 2}, r"joints_embed\.proj\.weight \(8, 3, 4, 1\) instead of \(8, 3, 2, 1\)"),
    ],
)
def test_a_checkpoint_of_another_model(pretrained, options, message):
    path, _ = pretrained
    with pytest.raises(ValueError, match="pre.pth: .*" + message) as caught:
        checkpoint.load_encoder(classifier(**options), path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "target, tau, method", [("motion", 0, "mamp"), ("joint", 0.8, "mamp"), ("joint", 0, "skeletonmae"), (None, 0, None)]
)
def test_method(target, tau, method):
    assert provenance.method_name({"motion_aware_tau": tau} | ({"target": target} if target else {})) == method


def test_a_judged_file_tells_its_own_settings_and_then_its_encoders(finished, hostile, options, tmp_path, capsys):
    main_finetune.main(options("finetune", hostile, tmp_path, "--epochs", 1, "--no-report"))
    capsys.readouterr()
    checkpoint.main([finished / "finetune/checkpoint-3.pth"])
    printed = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    printed = {name: value.strip() for name, value in printed.items()}
    own = {"stage": "finetune", "epoch": "4", "epochs": "4", "lr": "0.005", "drop_path_rate": "0.2", "method": "mamp"}
    encoder = {"stage": "pretrain", "epoch": "3", "epochs": "3", "lr": "0.001", "drop_path_rate": "0.0", "mask_ratio": "0.6"}
    assert own.items() <= printed.items() and "mask_ratio" not in printed
    assert {f"encoder: {name}": value for name, value in encoder.items()}.items() <= printed.items()
    of_encoder = [name.startswith("encoder: ") for name in printed]
    assert of_encoder == sorted(of_encoder) and {"encoder: path", "encoder: sha256"} < printed.keys()
    checkpoint.main([tmp_path / "checkpoint-0.pth", finished / "pretrain/checkpoint-2.pth"])
    text = capsys.readouterr().out
    assert text.count("encoder") == 1 and re.search(r"^encoder +random weights$", text, re.MULTILINE)
    assert re.findall(r"^lr +(\S+)$", text, re.MULTILINE) == ["0.005", "0.001"]


def test_a_flipped_bit_is_noticed(pretrained):
    path, state = pretrained
    content = bytearray(path.read_bytes())
    content[content.find(state["norm.weight"].numpy().tobytes()) + 2] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # torch itself does not look
    with pytest.raises(ValueError, match="pre.pth: not a readable checkpoint .damaged: .* differs from its checksum"):
        checkpoint.load(path)


@pytest.mark.parametrize("links", [True, False])
def test_the_last_checkpoint_has_its_name_at_every_moment(tmp_path, monkeypatch, links):
    """Killed before any of the renames: the old file has its name or, where there are no links, at least that of the previous."""
    path, previous, rename = tmp_path / "last.pth", tmp_path / "previous.pth", os.replace
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    checkpoint.save(path, {"model": {}, "epoch": 0})
    for epoch in range(1, 4):
        for survive in range(2):
            left = [survive]

            def dying(source, target, left=left):
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1
                rename(source, target)

            with monkeypatch.context() as dies:
                dies.setattr(os, "replace", dying)
                with pytest.raises(KeyboardInterrupt):
                    checkpoint.save(path, {"model": {}, "epoch": epoch}, previous=previous.name)
            there = path if links or not survive else previous
            assert checkpoint.load(there)["epoch"] == epoch - 1
        checkpoint.save(path, {"model": {}, "epoch": epoch}, previous=previous.name)
        assert [checkpoint.load(file)["epoch"] for file in (path, previous)] == [epoch, epoch - 1]
        assert {file.name for file in tmp_path.iterdir()} == {path.name, previous.name}


def test_a_decoder_that_somebody_added_keeps_its_name(pretrained):
    """The names of the weights suggest 'self'; its runs would be averaged with MAMP's."""
    path, state = pretrained
    config = {"num_heads": 2, "decoder": "local", "method": "mamp", "target": "motion", "stage": "pretrain", "data_path": "a.npz"}
    checkpoint.save(path, {"model": state, "epoch": 3, "config": config})
    content = checkpoint.load(path)
    assert provenance.describe(content, path)["decoder"] == provenance.summary(content, path)["decoder"] == "local"

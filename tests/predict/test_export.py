"""Exported programs against the models they are made of, for other numbers of samples and other recordings."""

import importlib.util

import numpy as np
import pytest
import torch

from predict import export, load_model
from util import checkpoint

MODELS = {
    "linprobe": "released_linprobe_tiny25.pth",
    "finetune": "released_finetune_tiny25.pth",
    "pretrain": "released_pretrain_tiny25.pth",
    "umurl": "released_umurl_small.pth.tar",
}


def needs_onnx():
    for package in export.FORMATS[".onnx"][2]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")


@pytest.fixture(scope="module")
def recordings():
    """recordings(n, frames): (n, 3, T, 25, 2) metres; alone, two people, one person twice, and nobody at all."""

    def make(count, frames):
        x = torch.randn(count, 3, frames, 25, 2, generator=torch.Generator().manual_seed(9))
        x[0, ..., 1] = 0
        x[2:, ..., 1] = x[2:, ..., 0]
        x[4:] = 0
        return x

    return make


@pytest.mark.parametrize(
    "name, encoder, suffix",
    [
        ("finetune", False, ".onnx"),
        ("finetune", False, ".pt2"),
        ("finetune", False, ".ts"),
        ("linprobe", True, ".ts"),
        ("umurl", True, ".onnx"),
        ("umurl", True, ".pt2"),
    ],
)
def test_programs_give_what_the_model_gives(name, encoder, suffix, shared, recordings, tmp_path):
    if suffix == ".onnx":
        needs_onnx()
    path, out = shared(f"parity/{MODELS[name]}"), tmp_path / f"new/model{suffix}"
    what = export.export(path, out, encoder)
    assert what["difference"] < 1e-5 and [file.name for file in out.parent.iterdir()] == [out.name]
    with open(out, "rb") as file:
        program = export.FORMATS[suffix][1](file)
    content = checkpoint.load(path)
    data = load_model.training_data(content, path, {})
    if encoder:
        model = load_model.encoder(content, path, data)
    else:
        model = load_model.classifier(content, path, load_model.classifier_options(content, path), data)
    for count in (1, 7):
        x = recordings(count, what["input"][2])
        with torch.no_grad():
            ours, theirs = program(x), model(x)
        assert ours.shape == theirs.shape == (count, what["output"][1])
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * theirs.abs().max().item())


@pytest.mark.parametrize("name", ["finetune", "umurl"])
def test_programs_know_float32_alone(name, shared, tmp_path):
    export.export(shared(f"parity/{MODELS[name]}"), tmp_path / "model.pt2", encoder=True)
    values = [node.meta.get("val") for node in torch.export.load(tmp_path / "model.pt2").graph.nodes]
    assert {v.dtype for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()} == {torch.float32}
    if name == "umurl":
        assert not [v for v in values if isinstance(v, torch.Tensor) and v.dtype == torch.int32], "bits are cut"


def test_an_encoder_gives_the_features_of_the_parity_numbers(shared, parity, assert_close):
    """What a linear probe sees, times the published weights, is the published logits."""
    numbers = parity("classifier_linprobe_tiny25")
    path = shared("parity/released_linprobe_tiny25.pth")
    content = checkpoint.load(path)  # the same encoder
    with torch.no_grad():
        features = load_model.encoder(content, path, load_model.training_data(content, path, {}))(numbers["x"])
    assert_close(features @ numbers["state/head.fc.weight"].T + numbers["state/head.fc.bias"], numbers["logits_eval"])


def test_a_pretraining_is_an_encoder_but_no_classifier(shared, tmp_path):
    path = shared("parity/released_pretrain_tiny25.pth")
    with pytest.raises(ValueError, match="holds no classifier"):
        export.export(path, tmp_path / "model.ts")
    assert not list(tmp_path.iterdir())
    export.main([str(path), str(tmp_path / "model.ts"), "--encoder"])
    assert torch.jit.load(tmp_path / "model.ts")(torch.zeros(2, 3, 24, 25, 2)).shape == (2, 32)


def test_a_program_that_says_something_else_is_not_written(shared, tmp_path, monkeypatch):
    path, out = shared("parity/released_linprobe_tiny25.pth"), tmp_path / "model.ts"
    out.write_text("the one before")
    write, read, packages = export.FORMATS[".ts"]
    for wrong in (2e-4, torch.nan):  # of the logits' standard deviation

        def spoilt(file, wrong=wrong):
            program = read(file)
            return lambda x: program(x) + wrong * program(x).std()

        monkeypatch.setitem(export.FORMATS, ".ts", (write, spoilt, packages))
        with pytest.raises(ValueError, match="model.ts: its outputs would differ from the model's by"):
            export.export(path, out)
    assert [file.name for file in tmp_path.iterdir()] == ["model.ts"] and out.read_text() == "the one before"


@pytest.mark.parametrize("size", [1e-3, 1, 1e3])
def test_what_a_difference_means_depends_on_the_spread_of_the_outputs(shared, tmp_path, monkeypatch, capsys, size):
    """A probe whose logits are a thousand times larger or smaller is as good, and rounding that is as much larger no mistake."""
    content = checkpoint.load(shared("parity/released_linprobe_tiny25.pth"))
    content["model"] = {key: value * size if "head.fc" in key else value for key, value in content["model"].items()}
    path, out = tmp_path / "scaled.pth", tmp_path / "model.ts"
    checkpoint.save(path, content)
    write, read, packages = export.FORMATS[".ts"]

    def rounded(file, part=0.0):
        program = read(file)
        return lambda x: program(x) * (1 + part)

    monkeypatch.setitem(export.FORMATS, ".ts", (write, lambda file: rounded(file, 1e-5), packages))
    export.main([str(path), str(out)])
    assert "the same likeliest class for 8 of 8" in capsys.readouterr().out
    monkeypatch.setitem(export.FORMATS, ".ts", (write, lambda file: rounded(file, 1e-3), packages))
    with pytest.raises(ValueError, match="more than 0.0001 of their standard deviation, .* the same for 8 of 8"):
        export.export(path, out)


def test_mistakes_are_one_line(shared, tmp_path, monkeypatch):
    path = shared("parity/released_linprobe_tiny25.pth")
    with pytest.raises(ValueError, match="unknown kind of file '.h5'; known are .onnx, .pt2, .ts"):
        export.export(path, tmp_path / "model.h5")
    with pytest.raises(FileNotFoundError, match="nothing.pth"):
        export.export(tmp_path / "nothing.pth", tmp_path / "model.ts")
    monkeypatch.setitem(export.FORMATS, ".onnx", (None, None, ("onnx_that_nobody_has",)))
    with pytest.raises(ValueError, match="model.onnx: onnx_that_nobody_has is not installed; pip install"):
        export.export(path, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())

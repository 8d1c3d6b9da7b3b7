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


def recordings(count, frames):
    """(N, 3, T, 25, 2) metres; alone, two people, one person twice, and nobody at all."""
    x = torch.randn(count, 3, frames, 25, 2, generator=torch.Generator().manual_seed(9))
    x[0, ..., 1] = 0
    x[2:, ..., 1] = x[2:, ..., 0]
    x[4:] = 0
    return x


@pytest.mark.parametrize(
    "name, encoder, suffix",
    [
        ("finetune", False, ".onnx"),
        ("finetune", False, ".pt2"),
        ("linprobe", True, ".ts"),
        ("umurl", True, ".onnx"),
        ("umurl", True, ".pt2"),
        ("umurl", True, ".ts"),
    ],
)
def test_programs_give_what_the_model_gives(name, encoder, suffix, shared, tmp_path):
    write, read, packages = export.FORMATS[suffix]
    if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
        pytest.skip(f"needs {missing[0]}")
    path, out = shared(f"parity/{MODELS[name]}"), tmp_path / f"new/model{suffix}"
    what = export.export(path, out, encoder)
    assert what["difference"] < 1e-5 and [file.name for file in out.parent.iterdir()] == [out.name]
    with open(out, "rb") as file:
        program = read(file)
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
    if suffix == ".ts":  # on a GPU, x must not be moved to the device of the export
        assert " : Device = prim::Constant" not in str(program.inlined_graph)
    if suffix == ".pt2":
        assert not [node for node in program.graph.nodes if "device" in str((node.target, node.kwargs))]
        # float32 is the only type of its values
        values = [node.meta.get("val") for node in program.graph.nodes]
        assert {v.dtype for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()} == {torch.float32}
        assert name != "umurl" or not [v for v in values if isinstance(v, torch.Tensor) and v.dtype == torch.int32], (
            "bits are cut"
        )


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


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".ts"])
def test_a_probe_on_statistics(suffix, shared, tmp_path):
    """The released probe with another linear map, of mean and deviation of each joint."""
    _, _, packages = export.FORMATS[suffix]
    if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
        pytest.skip(f"needs {missing[0]}")
    content = checkpoint.load(shared(f"parity/{MODELS['linprobe']}"))
    weights, width = content["model"], 2 * 25 * len(content["model"]["norm.weight"])
    weights["head.fc.0.running_mean"], weights["head.fc.0.running_var"] = torch.zeros(width), torch.ones(width)
    weights["head.fc.1.weight"] = torch.randn(len(weights["head.fc.1.bias"]), width)
    torch.save(content, tmp_path / "probe.pth")
    what = export.export(tmp_path / "probe.pth", tmp_path / f"model{suffix}")
    assert what["difference"] < 1e-4 * what["spread"] and what["output"] == ("N", len(weights["head.fc.1.bias"]))


@pytest.mark.parametrize("size", [1, 1e3])
def test_a_program_that_says_something_else_is_not_written(shared, tmp_path, monkeypatch, capsys, size):
    """What is too much depends on the spread of the outputs: logits may be a thousand times larger."""
    content = checkpoint.load(shared("parity/released_linprobe_tiny25.pth"))
    content["model"] = {key: value * size if "head.fc" in key else value for key, value in content["model"].items()}
    path, out = tmp_path / "scaled.pth", tmp_path / "model.ts"
    checkpoint.save(path, content)
    out.write_text("the one before")
    write, read, packages = export.FORMATS[".ts"]

    def spoilt(part):
        def load(file):
            program = read(file)
            return lambda x: program(x) * (1 + part)

        monkeypatch.setitem(export.FORMATS, ".ts", (write, load, packages))

    for part in (1e-3, torch.nan):
        spoilt(part)
        with pytest.raises(ValueError, match="model.ts: its outputs would differ .* 0.0001 of their standard deviation, .* for"):
            export.export(path, out)
        assert out.read_text() == "the one before"
    spoilt(1e-5)
    export.main([str(path), str(out)])
    assert "the same likeliest class for 8 of 8" in capsys.readouterr().out
    assert {file.name for file in tmp_path.iterdir()} == {"model.ts", "scaled.pth"}


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

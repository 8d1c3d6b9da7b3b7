"""A classifier, or an encoder, as a program that runs without this code: ONNX, torch.export or TorchScript.

    python -m predict.export checkpoint-99.pth model.onnx        # or model.pt2 (torch.export), model.ts (TorchScript)

Input x (N, C, T, V, M) float32, any N; output logits (N, K) or, with --encoder, features (N, D). ONNX needs
`pip install onnx onnxscript onnxruntime`.
"""

import argparse
import contextlib
import importlib
import io
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch

from predict import trained
from util import checkpoint, errors
from util.files import written_aside

TOLERANCE = 1e-4  # of the standard deviation of the outputs
BATCHES = (1, 2, 5)
EXAMPLE = 3  # another number than those that are checked


def export(path, out, encoder=False, data_path=None):
    """Write `out` from the checkpoint `path`; returns {what it is}, with what `compare` says of its outputs and the model's.

    data_path: see trained.skeleton. Raises FileNotFoundError or ValueError in one line: no classifier, an unknown suffix, a
    package that is missing, outputs that differ by more than TOLERANCE of their spread; nothing is written then.
    """
    out = Path(out)
    if out.suffix not in FORMATS:
        raise ValueError(f"{out}: unknown kind of file {out.suffix!r}; known are {', '.join(FORMATS)}")
    write, read, packages = FORMATS[out.suffix]
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            raise ValueError(f"{out}: {package} is not installed; pip install {' '.join(packages)}") from None
    content = checkpoint.load(path)
    made_with = checkpoint.settings(content, path)
    data = trained.skeleton(content, path, made_with, data_path)
    if encoder:
        model = trained.encoder(content, path, data)
    else:
        model = trained.classifier(content, path, trained.options(content, path), data)
    sizes = checkpoint.sizes(content, path)
    shape = sizes["dim_in"], sizes["num_frames"], data.num_joints, data.num_bodies
    program = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad(), single_path(model):
        warnings.simplefilter("ignore")  # remarks of torch's exporters on their own insides
        write(model, recordings(EXAMPLE, shape), program)
        program.seek(0)
        loaded = read(program)
    compared = compare(model, loaded, shape)
    difference, spread, same, count = (compared[key] for key in ("difference", "spread", "same_class", "compared"))
    if not difference <= TOLERANCE * spread:
        agree = "" if encoder else f"; the likeliest class is the same for {same} of {count}"
        raise ValueError(
            f"{out}: its outputs would differ from the model's by {difference:.2g}, more than {TOLERANCE:g} of "
            f"their standard deviation, {spread:.2g}{agree}"
        )
    with written_aside(out) as file:
        file.write(program.getbuffer())
    return {"input": ("N", *shape), "output": ("N", model(recordings(1, shape)).shape[1])} | compared


@contextmanager
def single_path(model):
    """In this block the model encodes every body for itself, and torch's layers take no shortcuts, whatever is in x; float32 is
    the only type."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    maps = [module for module in model.modules() if hasattr(module, "exact")]
    model.reuse_encodings = False
    for module in maps:
        module.exact = False
    try:
        yield
    finally:
        model.reuse_encodings = True
        for module in maps:
            module.exact = True
        torch.backends.mha.set_fastpath_enabled(fast)


def recordings(count, shape):
    """(N, C, T, V, M) to compare with: positions of a metre's size; the last body of every second one is empty."""
    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(count))
    if shape[-1] > 1:
        x[::2, ..., -1] = 0
    return x


@torch.no_grad()
def compare(model, program, shape):
    """Of the outputs for several numbers of samples: the largest 'difference', the 'spread' (standard deviation) of the model's,
    and for how many of the 'compared' samples the largest output is the 'same_class'."""
    inputs = [recordings(count, shape) for count in BATCHES]
    ours, theirs = (torch.cat([function(x) for x in inputs]).double() for function in (model, program))
    same = (ours.argmax(1) == theirs.argmax(1)).sum().item()
    return {
        "difference": (theirs - ours).abs().max().item(),
        "spread": ours.std().item(),
        "same_class": same,
        "compared": len(ours),
    }


def _samples():
    return ({0: torch.export.Dim("N", min=1)},)


def write_onnx(model, x, file):
    with contextlib.redirect_stdout(None):
        program = torch.onnx.export(
            model, (x,), dynamo=True, dynamic_shapes=_samples(), input_names=["x"], output_names=["y"], verbose=False
        )
    file.write(program.model_proto.SerializeToString())


def read_onnx(file):
    import onnxruntime

    session = onnxruntime.InferenceSession(file.read(), providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def write_exported(model, x, file):
    torch.export.save(torch.export.export(model, (x,), dynamic_shapes=_samples()), file)


def read_exported(file):
    return torch.export.load(file).module()


def write_script(model, x, file):
    torch.jit.save(torch.jit.trace(model, (x,), check_trace=False), file)


FORMATS = {  # suffix: (write, read, the packages that both need)
    ".onnx": (write_onnx, read_onnx, ("onnx", "onnxscript", "onnxruntime")),
    ".pt2": (write_exported, read_exported, ()),
    ".ts": (write_script, torch.jit.load, ()),
}


def main(argv=None):
    parser = argparse.ArgumentParser("python -m predict.export", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="linear probe or fine-tuned model, ours or released; with --encoder any")
    parser.add_argument("out", type=Path, help="ends in .onnx, .pt2 (torch.export) or .ts (TorchScript)")
    parser.add_argument("--encoder", action="store_true", help="features instead of logits: what a linear probe sees")
    parser.add_argument(
        "--data_path",
        metavar="NPZ",
        help="what it was trained on, if that is data of your own and the checkpoint is one of before it kept bodies and bones",
    )
    args = parser.parse_args(argv)
    what = export(args.checkpoint, args.out, args.encoder, args.data_path)
    x, y = (" x ".join(map(str, what[key])) for key in ("input", "output"))
    agree = "" if args.encoder else f", the same likeliest class for {what['same_class']} of {what['compared']}"
    print(
        f"{args.out}: x {x} (N, C, T, V, M) -> y {y}; largest difference from the model {what['difference']:.2g}, standard "
        f"deviation of the outputs {what['spread']:.2g}{agree}"
    )


if __name__ == "__main__":
    errors.main(main)

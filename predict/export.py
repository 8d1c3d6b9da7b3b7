"""Export a classifier or an encoder to ONNX, torch.export or TorchScript, which run without this code.

    python -m predict.export checkpoint-99.pth model.onnx        # or model.pt2 (torch.export), model.ts (TorchScript)

Input x (N, C, T, V, M) float32, any N; output logits (N, K) or, with --encoder, features (N, D). ONNX needs
`pip install onnx onnxscript onnxruntime`.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder

from predict.options import OWN_DATA


def build_parser():
    parser = argparse.ArgumentParser("python -m predict.export", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="linear probe or fine-tuned model, ours or released; with --encoder any")
    parser.add_argument("out", type=Path, help="ends in .onnx, .pt2 (torch.export) or .ts (TorchScript)")
    parser.add_argument("--encoder", action="store_true", help="features instead of logits: what a linear probe sees")
    parser.add_argument("--data_path", metavar="NPZ", help=OWN_DATA)
    return parser


if __name__ == "__main__":  # answer --help before importing torch, which takes seconds
    build_parser().parse_args()

import contextlib
import importlib
import io
import warnings
from contextlib import contextmanager

import torch

from predict import load_model
from util import checkpoint, errors, provenance
from util.files import written_aside

TOLERANCE = 1e-4  # largest difference from the model's outputs, relative to their standard deviation
BATCHES = (1, 2, 5)  # batch sizes with which program and model are compared
EXAMPLE = 3  # batch size for tracing, which is none of these


def export(path, out, encoder=False, data_path=None):
    """Export the checkpoint `path` to the file `out`; returns {'input', 'output': shapes} and the result of `compare`.

    data_path: see load_model.training_data. Raises FileNotFoundError or ValueError, and writes nothing, for a checkpoint without
    classifier, an unknown suffix, a missing package, or outputs that differ by more than TOLERANCE.
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
    data = load_model.training_data(content, path, provenance.settings(content, path), data_path)
    if encoder:
        model = load_model.encoder(content, path, data)
    else:
        model = load_model.classifier(content, path, load_model.classifier_options(content, path), data)
    sizes = provenance.sizes(content, path)
    shape = sizes["dim_in"], sizes["num_frames"], data.num_joints, data.num_bodies

    # write the program to memory, read it again, and compare it with the model before writing the file
    program = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad(), single_path(model):
        warnings.simplefilter("ignore")  # torch's exporters warn about their internals
        write(model, random_batch(EXAMPLE, shape), program)
        program.seek(0)
        loaded = read(program)
    compared = compare(model, loaded, shape)
    if not compared["difference"] <= TOLERANCE * compared["spread"]:
        agree = "; the likeliest class is the same for {same_class} of {compared}".format_map(compared)
        raise ValueError(
            f"{out}: its outputs would differ from the model's by {compared['difference']:.2g}, more than {TOLERANCE:g} of "
            f"their standard deviation, {compared['spread']:.2g}{'' if encoder else agree}"
        )
    with written_aside(out) as file:
        file.write(program.getbuffer())
    return {"input": ("N", *shape), "output": ("N", model(random_batch(1, shape)).shape[1])} | compared


@contextmanager
def single_path(model):
    """Context in which the model's computation does not depend on the values of x (every body is encoded, torch's fast paths are
    off) and uses float32 alone. A traced program has only one path, which has to be right for all inputs."""
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


def random_batch(count, shape):
    """(N, C, T, V, M) from N(0, 1) metres; the last body of every second sample is empty."""
    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(count))
    if shape[-1] > 1:
        x[::2, ..., -1] = 0
    return x


@torch.no_grad()
def compare(model, program, shape):
    """Compare outputs for random batches: 'difference' (the largest), 'spread' (standard deviation of the model's outputs),
    'same_class' (samples whose largest output is at the same class) and 'compared' (all samples)."""
    inputs = [random_batch(count, shape) for count in BATCHES]
    expected, found = (torch.cat([function(x) for x in inputs]).double() for function in (model, program))
    return {
        "difference": (found - expected).abs().max().item(),
        "spread": expected.std().item(),
        "same_class": (expected.argmax(1) == found.argmax(1)).sum().item(),
        "compared": len(expected),
    }


def write_onnx(model, x, file):
    with contextlib.redirect_stdout(None):
        options = {"dynamic_shapes": ANY_NUMBER, "input_names": ["x"], "output_names": ["y"], "verbose": False}
        program = torch.onnx.export(model, (x,), dynamo=True, **options)
    file.write(program.model_proto.SerializeToString())


def read_onnx(file):
    import onnxruntime  # an optional package

    session = onnxruntime.InferenceSession(file.read(), providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def write_exported(model, x, file):
    torch.export.save(torch.export.export(model, (x,), dynamic_shapes=ANY_NUMBER), file)


def write_script(model, x, file):
    torch.jit.save(torch.jit.trace(model, (x,), check_trace=False), file)


ANY_NUMBER = ({0: torch.export.Dim("N", min=1)},)  # of samples
FORMATS = {  # suffix: (write, read, the packages that both need)
    ".onnx": (write_onnx, read_onnx, ("onnx", "onnxscript", "onnxruntime")),
    ".pt2": (write_exported, lambda file: torch.export.load(file).module(), ()),
    ".ts": (write_script, torch.jit.load, ()),
}


def main(argv=None):
    args = build_parser().parse_args(argv)
    found = export(args.checkpoint, args.out, args.encoder, args.data_path)
    x, y = (" x ".join(map(str, found[key])) for key in ("input", "output"))
    agree = "" if args.encoder else f", the same likeliest class for {found['same_class']} of {found['compared']}"
    print(
        f"{args.out}: x {x} (N, C, T, V, M) -> y {y}; largest difference from the model {found['difference']:.2g}, standard "
        f"deviation of the outputs {found['spread']:.2g}{agree}"
    )


if __name__ == "__main__":
    errors.main(main)

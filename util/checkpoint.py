"""Checkpoints: written aside and renamed, read without ever unpickling code.

python -m util.checkpoint FILE...      what a file is: method, sizes, epoch, configuration
"""

import argparse
import os
import shutil
import zipfile
from pathlib import Path

import torch
import torch.nn.functional as F

from util import console, provenance, weights
from util.files import replace, written_aside
from util.options import OPTIONS
from util.validation import convert, shown

LAST, PREVIOUS, BEST = "checkpoint-last.pth", "checkpoint-previous.pth", "checkpoint-best.pth"


def save(path, content, previous=None):
    """Write `content` to `path`; whenever this stops, the file is the old one or the whole new one.

    previous: name that the old file gets.
    """
    with written_aside(path, previous) as file:
        torch.save(content, file)


def link(source, path, previous=None):
    """Give `source` the second name `path`, as `save` would write it; a copy where the file system knows no links."""
    aside = Path(path).with_name(Path(path).name + ".part")
    aside.unlink(missing_ok=True)
    try:
        os.link(source, aside)
    except OSError:
        with open(source, "rb") as old, written_aside(path, previous) as new:
            shutil.copyfileobj(old, new)
    else:
        replace(aside, path, previous)


_kept = {}  # {(path, size, time of change): content} of the last file that was read to be read again


def load(path, keep=False):
    """Read a checkpoint of ours or of a release, on the CPU: a dict with 'model' (UmURL's release says 'state_dict'; a state
    dict alone becomes one).

    keep: the configuration reads the file before the model does. The content stays in memory until the next call without keep,
    which gets the same dict if the file has not changed.

    Raises FileNotFoundError or ValueError naming the file: absent, damaged, holding more than tensors and plain values, claiming
    more than it holds, or without a model.
    """
    path = Path(path)
    status = path.stat() if path.is_file() else None
    identity = status and (str(path), status.st_size, status.st_mtime_ns)
    if identity in _kept:
        return _kept[identity] if keep else _kept.pop(identity)
    if path.is_dir():
        there = ", ".join(sorted(file.name for file in path.glob("*.pth"))[:4])
        raise ValueError(f"{path}: is a folder; name a checkpoint in it, " + (f"such as {there}" if there else "it has none"))
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    if path.suffix == ".npz":
        raise ValueError(f"{path}: holds arrays, no checkpoint; --data_path takes an npz")
    with open(path, "rb") as file:
        if file.read(2) not in (b"PK", b"\x80\x02"):  # zip, or the pickle of old files
            raise ValueError(f"{path}: not a checkpoint: it does not begin like a file of torch.save")
    try:
        _verify(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile file makes zipfile, torch and the unpickler stumble over
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "weights_only" in reason.lower() or "weights only" in reason.lower():
            reason = "it holds Python objects that are not plain data, and these are never executed"
        raise ValueError(f"{path}: not a readable checkpoint ({reason})") from error
    if isinstance(content, dict) and content and "model" not in content and all(map(_is_weight, content.values())):
        content = {"model": content}  # it was the state dict alone
    if isinstance(content, dict) and content.get("state_dict"):
        content.setdefault("model", content.pop("state_dict"))
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(key, str) and _is_weight(value) for key, value in state.items()):
        raise ValueError(f"{path}: no state dict under 'model'")
    for key, value in state.items():  # a tensor that repeats a few numbers takes no room in a file
        if value.nbytes > value.untyped_storage().nbytes():
            raise ValueError(f"{path}: {key} says shape {tuple(value.shape)}, more than the file holds")
    if "args" in content and "config" not in content and type(content.get("epoch", 0)) is not int:  # a published file
        try:
            content["epoch"] = convert(OPTIONS["epochs"], content["epoch"], path)
        except ValueError:
            provenance.warn_once(f"warning: {path}: epoch: {shown(content.pop('epoch'))} is not a whole number; left out")
    for key, kind in (("config", dict), ("data", dict), ("heads", dict), ("epoch", int)):
        if (key not in ("data", "heads") or "config" in content) and not isinstance(content.get(key, kind()), kind):
            raise ValueError(f"{path}: {key} is not what a checkpoint has there")
    content["model"] = {key.removeprefix("module."): value for key, value in state.items()}
    if keep:
        _kept.clear()
        _kept[identity] = content
    return content


def to_resume(args):
    """(path, content) of the checkpoint that --resume means, or None to start anew.

    'auto' takes checkpoint-last.pth or, if that is damaged or gone, checkpoint-previous.pth with a warning. Raises ValueError for
    one that was not written to be resumed: a published one, or weights alone.
    """
    if args.resume != "auto":
        return (args.resume, _complete(args.resume)) if args.resume else None
    damaged = None
    for path in (Path(args.output_dir, LAST), Path(args.output_dir, PREVIOUS)):
        if path.is_file():
            try:
                content = _complete(path)
            except ValueError as error:
                damaged = error
                continue
            if damaged:
                provenance.warn_once(f"warning: {damaged}; going on from {path}")
            return path, content
    if damaged:
        raise damaged
    return None


def _complete(path):
    """The content of a checkpoint that has all that resuming needs."""
    content = load(path)
    needed = ("optimizer", "scaler", "samples", "epoch", "progress", "random", "best", "config")
    if missing := [key for key in needed if key not in content]:
        raise ValueError(
            f"{path}: cannot be resumed, it has no {', '.join(missing)}; a judging stage starts from its weights with --finetune"
        )
    return content


def _is_weight(value):
    """Whether this is a tensor as it is in a model."""
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta


def _verify(path):
    """RuntimeError if a part of the file differs from its checksum: torch.save writes one per part, torch.load does not look.

    Also if the parts are larger than the file, which torch.save does not compress: torch.load would allocate all they claim.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed = sum(part.file_size for part in archive.infolist())
            if claimed > path.stat().st_size:
                raise RuntimeError(f"its parts claim {claimed} bytes, more than the file holds")
            damaged = archive.testzip()
        if damaged:
            raise RuntimeError(f"damaged: {damaged} differs from its checksum")
    elif path.open("rb").read(2) == b"PK":
        raise RuntimeError("damaged: it ends too early")


def load_encoder(model, path):
    """Initialise the encoder of a classifier from a pre-trained (or other) checkpoint; the head stays as it is.

    Keys of decoder, projectors and head are ignored; temp_embed of another length is resized over time. Raises ValueError
    naming the keys if anything else is missing, unknown or of another shape. Returns the checkpoint.
    """
    content = load(path)
    _load_state(model, weights.of_encoder(content["model"]), path, may_lack=f"{model.head_name}.")
    return content


def start_from(model, path):
    """Start a classifier from the encoder in `path`; returns where that comes from (`describe`), None for no path."""
    return provenance.describe(load_encoder(model, path), path) if path else None


def load_model(model, path, content=None):
    """Load every weight of `model` from a checkpoint (evaluation, resuming). Errors as in `load_encoder`."""
    content = content or load(path)
    _load_state(model, dict(content["model"]), path)
    return content


def _load_state(model, state, path, may_lack=()):
    """Load `state`, temp_embed resized to the model's length. may_lack: how keys begin that need not be there."""
    own = model.state_dict()
    theirs, ours = weights.architecture(state), weights.architecture(own)
    if theirs != ours:
        raise ValueError(f"{path}: holds weights of {theirs}, the model is one of {ours}; --method {theirs}")
    their_embed, our_embed = state.get("temp_embed"), own.get("temp_embed")  # (1, T', 1, D)
    if their_embed is not None and our_embed is not None and their_embed.shape[3] == our_embed.shape[3]:
        if (segments := our_embed.shape[1]) != their_embed.shape[1]:
            resized = F.interpolate(their_embed.permute(0, 3, 1, 2), (segments, 1), mode="bicubic", align_corners=False)
            state["temp_embed"] = resized.permute(0, 2, 3, 1)
    if other := weights.other_skeleton(state, own):
        raise ValueError(f"{path}: {other}")
    wrong = [
        f"{k} {tuple(v.shape)} instead of {tuple(own[k].shape)}" for k, v in state.items() if k in own and v.shape != own[k].shape
    ]
    if wrong:
        raise ValueError(f"{path}: built with other sizes (dim_feat, depth, ...) than the config: {_some(wrong)}")
    missing, unknown = model.load_state_dict(state, strict=False)
    problems = {"missing": [key for key in missing if not key.startswith(may_lack)], "unknown": unknown}
    if text := "; ".join(f"{what} keys: {_some(keys)}" for what, keys in problems.items() if keys):
        raise ValueError(f"{path}: not a checkpoint of this model ({text}); compare depth, stage and method")


def _some(things):
    return ", ".join(things[:4]) + (f" and {len(things) - 4} more" if len(things) > 4 else "")


def main(paths):
    """Print what each file is."""
    for path in paths:
        facts = {key: value for key, value in provenance.facts(load(path), path).items() if value is not None}
        for key, value in facts.items():
            print(f"{key:<{max(map(len, facts))}}  {value}")


if __name__ == "__main__":
    from util import errors

    parser = argparse.ArgumentParser("python -m util.checkpoint", description="What a file is.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="checkpoint, ours or released")
    files = parser.parse_args().files
    console.end_with_reader()
    errors.main(lambda: main(files))

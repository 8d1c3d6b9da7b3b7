"""Checkpoints: written under a temporary name and renamed; read without executing anything in them.

python -m util.checkpoint FILE...      print method, sizes, epoch and configuration of a file
"""

import argparse

if __name__ == "__main__":  # answer --help before importing torch, which takes seconds
    parser = argparse.ArgumentParser(
        "python -m util.checkpoint", description="Print method, sizes, epoch and configuration of checkpoints."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="checkpoint, ours or released")
    files = parser.parse_args().files

import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from util import console, distributed, provenance, weights
from util.files import replace, same_file, temporary, written_aside
from util.options import OPTIONS
from util.validation import convert, short_repr


def _number_type(code, *_):
    """np.dtype of numbers alone: others, such as V2000000000, claim memory that the file does not have."""
    if np.dtype(code).kind not in "biuf":
        raise ValueError(f"a numpy {code!r}, which is no number")
    return np.dtype(code)


# what a numpy number is saved as, by numpy 2 and before it
NUMPY_NUMBERS = [(_number_type, "numpy.dtype"), *{type(np.dtype(kind)) for kind in "?bhilqBHILQefd"}]
NUMPY_NUMBERS += [(np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
LAST, PREVIOUS, BEST = "checkpoint-last.pth", "checkpoint-previous.pth", "checkpoint-best.pth"


def save(path, content, previous=None):
    """Write `content` to `path`. If interrupted, the file is the old one or the complete new one. previous: a name for the old
    one. Raises OSError if the disk is full."""
    with written_aside(path, previous) as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # what torch's zip writer makes of an OSError
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def link(source, path, previous=None):
    """Make `path` a second name (hard link) of `source`, or a copy where the file system has no links. previous: as in `save`."""
    aside = temporary(path)
    aside.unlink(missing_ok=True)
    try:
        os.link(source, aside)
    except OSError:
        with open(source, "rb") as old, written_aside(path, previous) as new:
            shutil.copyfileobj(old, new)
    else:
        replace(aside, path, previous)


_kept = {}  # {(path, size, time of change): content} of the last file loaded with keep=True


def load(path, keep=False):
    """Read our or a released checkpoint, on the CPU: a dict with 'model' (which UmURL's release calls 'state_dict'); a state dict
    alone, or under other names, becomes one. What others put before the encoder's names is removed.

    keep: the content stays in memory for the next call, so that configuration and model read the file only once.

    Raises FileNotFoundError or ValueError naming the file: missing, damaged, with anything but tensors and plain values, with
    tensors larger than the file, without a model, or with several encoders.
    """
    path = Path(path)
    status = path.stat() if path.is_file() else None
    identity = status and (str(path), status.st_size, status.st_mtime_ns)
    if identity in _kept:
        return _kept[identity] if keep else _kept.pop(identity)
    content = _with_model(_read(path), path)
    _check(content, path)
    try:
        content["model"], left_out = weights.under_our_names(content["model"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if left_out:
        console.warn_once(f"warning: {path}: the encoder is read, these keys are not: {weights.some(left_out)}")
    if keep:
        _kept.clear()
        _kept[identity] = content
    return content


def _read(path):
    """What a checkpoint file holds: tensors and plain values. Errors as in `load`."""
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
        with torch.serialization.safe_globals([argparse.Namespace, *NUMPY_NUMBERS]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile, torch and the unpickler raise many kinds for damaged files
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "weights_only" in reason.lower() or "weights only" in reason.lower():
            found = re.search(r"GLOBAL ([\w.]+)", str(error))
            what = f"a {found[1]}" if found else "a Python object"
            reason = f"it holds {what}, which is no plain data; such things are never executed; save it again without them"
        raise ValueError(f"{path}: not a readable checkpoint ({reason})") from error
    return content


def _with_model(content, path):
    """A file's content as a dict with a state dict under 'model'. Raises ValueError naming the file if it has none."""
    if _is_state(content) and "model" not in content:
        content = {"model": content}  # it was the state dict alone
    if isinstance(content, dict) and content.get("state_dict"):
        content.setdefault("model", content.pop("state_dict"))
    inner = content.get("model", content) if isinstance(content, dict) else content
    if isinstance(inner, dict) and not _is_state(inner):  # state dicts under other names, {"teacher": ...}
        states = {name: state for name, state in inner.items() if _is_state(state)}
        if states:
            content["model"] = {f"{name}.{key}": value for name, state in states.items() for key, value in state.items()}
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or state and not _is_state(state):
        held = f"keys {weights.some(inner)}" if isinstance(inner, dict) else f"a {type(inner).__name__}"
        raise ValueError(f"{path}: no state dict under 'model'; it holds {held}")
    for key, value in state.items():  # expanded tensors would need memory that the file does not have
        if value.nbytes > value.untyped_storage().nbytes():
            raise ValueError(f"{path}: {key} says shape {tuple(value.shape)}, more than the file holds")
    return content


def _check(content, path):
    """Raise ValueError naming the file for values that are not of a checkpoint's types; an epoch of a published file that is no
    number is left out."""
    if "args" in content and "config" not in content and type(content.get("epoch", 0)) is not int:  # a published file
        try:
            content["epoch"] = convert(OPTIONS["epochs"], content["epoch"], path)
        except ValueError:
            console.warn_once(f"warning: {path}: epoch: {short_repr(content.pop('epoch'))} is not a whole number; left out")
    for key, kind in (("config", dict), ("data", dict), ("heads", dict), ("epoch", int)):
        if (key not in ("data", "heads") or "config" in content) and not isinstance(content.get(key, kind()), kind):
            raise ValueError(f"{path}: {key} is not what a checkpoint has there")


def to_resume(args):
    """(path, content) of the checkpoint for --resume, or None.

    'auto' takes checkpoint-last.pth or, if that is damaged (a warning) or missing, checkpoint-previous.pth. Raises ValueError for
    a checkpoint that was not written to be resumed, a published one or weights alone, and if processes find different ones.
    """
    found = _to_resume(args)
    places = distributed.gather(found and (found[1]["epoch"], (found[1]["progress"] or {}).get("step", 0)))
    if len(set(places)) > 1:
        texts = ("none" if place is None else f"{place[0] + 1} epochs and {place[1]} steps" for place in places)
        raise ValueError(
            f"resume {args.resume}: the processes find different checkpoints ({', '.join(texts)}); {args.output_dir} has to be "
            "on a file system that all of them see"
        )
    return found


def _to_resume(args):
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
                console.warn_once(f"warning: {damaged}; going on from {path}")
            return path, content
    if damaged:
        raise damaged
    return None


def _complete(path):
    """The content of a checkpoint that has all that resuming needs."""
    content = load(path)
    needed = ("optimizer", "scaler", "samples", "epoch", "progress", "random", "best", "config")
    if missing := [key for key in needed if key not in content]:
        raise ValueError(f"{path}: cannot be resumed, it has no {', '.join(missing)}; --finetune starts from its weights")
    return content


def _is_weight(value):
    """Whether this is a dense tensor with data."""
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta


def _is_state(value):
    """Whether this is a state dict that is not empty."""
    return isinstance(value, dict) and bool(value) and all(isinstance(k, str) and _is_weight(v) for k, v in value.items())


def _verify(path):
    """Raise RuntimeError if a part of the file differs from its checksum (torch.load does not check), or if the parts claim more
    bytes than the file has (torch.load would allocate them; torch.save does not compress).
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


def load_encoder(model, path, decoder=False):
    """Load the encoder's weights of a checkpoint of any stage into a model, whose rest stays as it is. Returns the checkpoint.

    decoder: load the rest, too (decoder or projectors), if the file has all of it in the model's shapes; a note if it has not.
    Position embeddings of another length are resized over time. Raises ValueError naming the keys if anything of the encoder is
    missing, unknown or of another shape.
    """
    content = load(path)
    state, own = dict(content["model"]), model.state_dict()
    encoder, rest = weights.of_encoder(state), own.keys() - weights.of_encoder(own).keys()
    if decoder:
        longer = _resized(state, own, ["decoder_temp_embed"])
        theirs = {key: value for key, value in longer.items() if key not in encoder}
        if theirs.keys() == rest and all(value.shape == own[key].shape for key, value in theirs.items()):
            encoder |= theirs
        else:
            what = "decoder" if weights.architecture(own) == "mamp" else "projector"
            console.warn_once(f"note: {path}: has no such {what}, which therefore starts from random weights")
    _load_state(model, encoder, path, may_lack=rest)
    return content


def initialize_encoder(model, path, data, decoder=False):
    """`load_encoder`, if a path is given; returns where the encoder comes from (provenance.describe), or None. data: the Feeder,
    see `check_data`."""
    if not path:
        return None
    content = load_encoder(model, path, decoder)
    check_data(content, path, data)
    done, epochs = content.get("epoch"), provenance.settings(content, path).get("epochs")
    if "config" in content and isinstance(done, int) and Path(path).name == "checkpoint-last.pth" and done + 1 < (epochs or 0):
        console.warn_once(f"warning: {path}: is of a run that was stopped, or still goes on, after {done + 1} of {epochs} epochs")
    encoder = provenance.describe(content, path)
    groups = min((encoder[key] or 0 for key in ("val_groups", "tune_val_groups") if key in encoder), default=0)
    if "config" in content and same_file(encoder.get("data_path"), data.data_path) and groups < data.val_groups:
        console.warn_once(
            f"warning: {path}: was trained with --val_groups {groups}, so that it has seen sequences, without labels, of the "
            f"{data.val_groups} groups held out now"
        )
    return encoder


def check_data(content, path, data):
    """Compare a Feeder with what a checkpoint says of its training data. Raises ValueError if the joints are in another order;
    warns if they are others, and if the coordinates were prepared otherwise."""
    metadata = content.get("data") if "config" in content else None
    if not isinstance(metadata, dict):
        return
    compare_joints(data.joint_names(), metadata.get("joint_names"), data.data_path, path)
    for key in ("center", "body_frame", "min_max", "coordinates"):
        ours, theirs = data.file_metadata.get(key), metadata.get(key)
        if ours != theirs:
            console.warn_once(
                f"warning: {data.data_path}: was prepared otherwise than the training data: its {key} is {ours}, that of {path} "
                f"{theirs} (docs/data.md)"
            )


def compare_joints(ours, theirs, where, path):
    """Raises ValueError if the joints of the file `where` are those of the checkpoint at `path` in another order; warns if they
    are others. Both by their names, if both have them."""
    ours = ours if ours is None else [str(name) for name in ours]
    if not isinstance(theirs, list) or ours is None or ours == theirs:
        return
    number = next((i for i, (own, other) in enumerate(zip(ours, theirs, strict=False)) if own != other), None)
    if number is None:
        return
    differ = f"joint {number} is {ours[number]!r}, that of {path} is {theirs[number]!r}"
    if sorted(ours) == sorted(theirs):
        raise ValueError(f"{where}: the joints are in another order than in training: {differ}")
    console.warn_once(f"warning: {where}: the joints have other names than in training: {differ}")


def load_model(model, path, content=None):
    """Load all weights of a model, for evaluating or resuming. Errors as in `load_encoder`."""
    content = content or load(path)
    _load_state(model, dict(content["model"]), path)
    return content


def _resized(state, own, keys=("temp_embed",)):
    """`state` with position embeddings over time (1, T', 1, D) of the length that they have in `own`."""
    resized = dict(state)
    for key in keys:
        theirs, ours = state.get(key), own.get(key)
        if theirs is None or ours is None or theirs.ndim != ours.ndim:
            continue
        if theirs.shape[3] == ours.shape[3] and theirs.shape[1] != ours.shape[1]:
            embed = F.interpolate(theirs.permute(0, 3, 1, 2), (ours.shape[1], 1), mode="bicubic", align_corners=False)
            resized[key] = embed.permute(0, 2, 3, 1)
    return resized


def _load_state(model, state, path, may_lack=()):
    """Load `state`, with temp_embed resized to the model's length. may_lack: keys that may be missing."""
    own = model.state_dict()
    theirs, ours = weights.architecture(state), weights.architecture(own)
    if theirs != ours:
        raise ValueError(f"{path}: holds weights of {theirs}, the model is one of {ours}; --method {theirs}")
    state = _resized(state, own)
    if other := weights.other_skeleton(state, own):
        raise ValueError(f"{path}: {other}")
    wrong = [
        f"{k} {tuple(v.shape)} instead of {tuple(own[k].shape)}" for k, v in state.items() if k in own and v.shape != own[k].shape
    ]
    if wrong:
        raise ValueError(f"{path}: built with other sizes (dim_feat, depth, ...) than the config: {weights.some(wrong)}")
    missing, unknown = model.load_state_dict(state, strict=False)
    problems = {"missing": [key for key in missing if key not in may_lack], "unknown": unknown}
    if text := "; ".join(f"{what} keys: {weights.some(keys)}" for what, keys in problems.items() if keys):
        raise ValueError(f"{path}: not a checkpoint of this model ({text}); compare depth, stage and method")


def main(paths):
    """Print a summary of each file."""
    for path in paths:
        summary = {key: value for key, value in provenance.summary(load(path), path).items() if value is not None}
        for key, value in summary.items():
            print(f"{key:<{max(map(len, summary))}}  {value}")


if __name__ == "__main__":
    from util import errors

    console.end_with_reader()
    errors.main(lambda: main(files))

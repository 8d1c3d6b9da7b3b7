"""Checkpoints: written aside and renamed, read without ever unpickling code.

python -m util.checkpoint FILE...      what a file is: method, sizes, epoch, configuration
"""

import argparse
import os
import shutil
import sys
import zipfile
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F

from util import display, distributed, published, weights
from util.files import bare_name, replace, sha256, written_aside
from util.options import DEFAULT_METHOD, GROUPS, HOW, OPTIONS, UNLABELLED
from util.values import convert, shown

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
    """Read a checkpoint of ours or of a release, on the CPU: a dict with 'model' (UmURL's release says 'state_dict').

    keep: hold it in memory for the next call, which gets the same dict if the file is still the same.

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
    if isinstance(content, dict) and content.get("state_dict"):
        content.setdefault("model", content.pop("state_dict"))
    if not isinstance(content, dict) or not _is_state(content.get("model")):
        raise ValueError(f"{path}: no state dict under 'model'")
    for key, value in content["model"].items():  # a tensor that repeats a few numbers takes no room in a file
        if value.nbytes > value.untyped_storage().nbytes():
            raise ValueError(f"{path}: {key} says shape {tuple(value.shape)}, more than the file holds")
    if "args" in content and "config" not in content and type(content.get("epoch", 0)) is not int:  # a published file
        try:
            content["epoch"] = convert(OPTIONS["epochs"], content["epoch"], path)
        except ValueError:
            _warn(f"warning: {path}: epoch: {shown(content.pop('epoch'))} is not a whole number; left out")
    for key, kind in (("config", dict), ("data", dict), ("heads", dict), ("epoch", int)):
        if (key not in ("data", "heads") or "config" in content) and not isinstance(content.get(key, kind()), kind):
            raise ValueError(f"{path}: {key} is not what a checkpoint has there")
    content["model"] = {k.removeprefix("module."): v for k, v in content["model"].items()}
    if keep:
        _kept.clear()
        _kept[identity] = content
    return content


def to_resume(args):
    """(path, content) of the checkpoint that --resume means, or None to start anew.

    'auto' takes checkpoint-last.pth or, if that is damaged or gone, checkpoint-previous.pth with a warning.
    """
    if args.resume != "auto":
        return (args.resume, load(args.resume)) if args.resume else None
    damaged = None
    for path in (Path(args.output_dir, LAST), Path(args.output_dir, PREVIOUS)):
        if path.is_file():
            try:
                content = load(path)
            except ValueError as error:
                damaged = error
                continue
            if damaged:
                _warn(f"warning: {damaged}; going on from {path}")
            return path, content
    if damaged:
        raise damaged
    return None


def _is_state(model):
    """Whether this is {name: tensor}, tensors as they are in a model."""
    return isinstance(model, dict) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta
        for key, value in model.items()
    )


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


def load_encoder(model, path):
    """Initialise the encoder of a classifier from a pre-trained (or other) checkpoint; the head stays as it is.

    Keys of decoder, projectors and head are ignored; temp_embed of another length is resized over time. Raises ValueError
    naming the keys if anything else is missing, unknown or of another shape. Returns the checkpoint.
    """
    content = load(path)
    state = weights.of_encoder(content["model"])
    _fit(model, state, path)
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [k for k in missing if not k.startswith(f"{model.head_name}.")]
    _refuse(path, {"missing": missing, "unknown": unexpected})
    return content


def start_from(model, path):
    """Start a classifier from the encoder in `path`; returns where that comes from (`describe`), None for no path."""
    return describe(load_encoder(model, path), path) if path else None


def load_model(model, path, content=None):
    """Load every weight of `model` from a checkpoint (evaluation, resuming). Errors as in `load_encoder`."""
    content = content or load(path)
    state = dict(content["model"])
    _fit(model, state, path)
    missing, unexpected = model.load_state_dict(state, strict=False)
    _refuse(path, {"missing": missing, "unknown": unexpected})
    return content


def architecture(content):
    """'mamp' (which SkeletonMAE* shares) or 'umurl'."""
    return weights.architecture(content["model"])


def num_classes(content):
    """K of the classifier in a checkpoint, or None if it has no head."""
    return weights.num_classes(content["model"])


def stage(content):
    """'pretrain', 'tune', 'linprobe' or 'finetune': what a checkpoint of ours says, else by the keys of the model."""
    by_keys = weights.stage(content["model"])
    told = content.get("config", {}).get("stage", by_keys)
    return told if (told in UNLABELLED) == (by_keys in UNLABELLED) else by_keys


def settings(content, path="checkpoint"):
    """The options a checkpoint was made with, under our names: {} if it does not say.

    Settings of a published file that cannot be read are left out with one line of warning.
    """
    if "config" in content:
        return content["config"]
    args = content.get("args")
    args = vars(args) if isinstance(args, argparse.Namespace) else args
    if not isinstance(args, dict):
        return {}
    told, complaints = published.settings(args, path)
    norm = content["model"].get("norm.weight")  # (D,) of a MAMP
    if norm is not None and norm.numel() % told.get("num_heads", 1):
        complaints.append(f"num_heads: {told.pop('num_heads')} does not divide the width {norm.numel()}")
    if complaints:  # the weights are what counts
        _warn(f"warning: {path}: of its settings, these are not read: {'; '.join(complaints)}")
    return told


@cache
def _warn(line):
    """A warning, once, on rank 0, and not among the answers."""
    if distributed.is_main():
        print(line, file=sys.stderr, flush=True)


def sizes(content, path, head=False):
    """The model's options that its weights and settings tell; with `head`, those of the classifier's head, too.

    Raises ValueError if these are not the weights of a skeleton transformer.
    """
    made_with = settings(content, path)
    try:
        found = weights.sizes(content["model"], head)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise ValueError(f"{path}: not the weights of a skeleton transformer (looking for {error})") from error
    if architecture(content) == "mamp":
        told = ("num_heads", "qk_scale", "input_stream")
        if "num_heads" not in made_with:
            _warn(f"warning: {path}: does not tell num_heads; {OPTIONS['num_heads'].default} unless it is told")
    else:
        told = ("num_heads",)
    if head and architecture(content) == "umurl":
        told += ("features",)
    return found | {key: made_with[key] for key in told if key in made_with}


def method(made_with):
    """'mamp', 'skeletonmae' (joints as target, uniform masking), 'umurl', ..., or None if the settings do not say."""
    if made_with.get("method", DEFAULT_METHOD) != DEFAULT_METHOD:
        return made_with["method"]
    if "target" not in made_with:
        return None
    return "skeletonmae" if made_with["target"] == "joint" and made_with.get("motion_aware_tau", 0) <= 0 else "mamp"


def recipe(made_with):
    """The settings that decide what a pre-training learns, and the method's name; not where and how fast it ran."""
    elsewhere = {option.name for option in GROUPS["run"] if option.role == HOW}
    return {k: v for k, v in made_with.items() if k not in elsewhere} | {"method": method(made_with)}


def describe(content, path):
    """Where an encoder comes from: path, sha256, format (ours or released), stage, epoch, and the recipe of its pre-training.

    What a foreign file does not say of data set, target and epochs is None.
    """
    made_with, known = settings(content, path), content.get("encoder") or {}
    if stage(content) == "pretrain":
        dataset = bare_name(made_with.get("data_path") or "").lower() or None
        known = recipe({"dataset": dataset, "method": architecture(content)} | made_with | sizes(content, path))
    identity = {"path": str(path), "sha256": sha256(path), "format": "ours" if "config" in content else "released"}
    identity |= {"stage": stage(content), "epoch": content.get("epoch")}
    return dict.fromkeys(("dataset", "method", "target", "epochs")) | known | identity


def _fit(model, state, path):
    """Resize temp_embed in `state` to the model's length and refuse other shapes."""
    own = model.state_dict()
    theirs, ours = weights.architecture(state), weights.architecture(own)
    if theirs != ours:
        raise ValueError(f"{path}: holds weights of {theirs}, the model is one of {ours}; --method {theirs}")
    name = "temp_embed"
    both = name in state and name in own
    if both and state[name].shape[1] != own[name].shape[1] and state[name].shape[3] == own[name].shape[3]:
        temporal = state[name].permute(0, 3, 1, 2)  # (1, D, T', 1)
        size = (own[name].shape[1], 1)
        state[name] = F.interpolate(temporal, size=size, mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    other = weights.other_skeleton(state, own)
    if other:
        raise ValueError(f"{path}: {other}")
    wrong = [
        f"{k} {tuple(v.shape)} instead of {tuple(own[k].shape)}" for k, v in state.items() if k in own and v.shape != own[k].shape
    ]
    if wrong:
        raise ValueError(f"{path}: built with other sizes (dim_feat, depth, ...) than the config: {_some(wrong)}")


def _refuse(path, problems):
    text = "; ".join(f"{what} keys: {_some(keys)}" for what, keys in problems.items() if keys)
    if text:
        raise ValueError(f"{path}: not a checkpoint of this model ({text}); compare depth, stage and method")


def _some(things, most=4):
    return ", ".join(things[:most]) + (f" and {len(things) - most} more" if len(things) > most else "")


def facts(content, path):
    """{name: value} of what a file is, epochs counted from 1: what this run was made with, its data, and then, as
    'encoder: NAME', the pre-training that a judging run began with."""
    made_with, ours = settings(content, path), "config" in content
    about = describe(content, path)
    if stage(content) != "pretrain":  # described are then the encoder's settings
        about = {key: about[key] for key in ("path", "sha256", "format", "stage", "epoch")}
        about["method"] = made_with.get("method", architecture(content))
    about = {key: about.pop(key) for key in ("path", "sha256", "format", "stage", "epoch", "method")} | about
    buffers = ("running_mean", "running_var", "num_batches_tracked", ".pe.pe")
    parameters = sum(value.numel() for key, value in content["model"].items() if not key.endswith(buffers))
    about |= {"parameters": f"{parameters:,}", "joints": weights.joints(content["model"]), "classes": num_classes(content)}
    about |= {"metrics": content.get("metrics")}
    about |= {key: value for key, value in (made_with | sizes(content, path, head=True)).items() if key not in about}
    about |= {f"data: {key}": value for key, value in (content.get("data", {}) if ours else {}).items()}
    about |= {"versions": content.get("versions")}
    encoder = content.get("encoder") if ours else None
    if isinstance(encoder, dict):
        about |= {f"encoder: {key}": value for key, value in encoder.items()}
    elif ours and stage(content) != "pretrain":
        about["encoder"] = "random weights"
    return {key: value + 1 if key.endswith("epoch") and type(value) is int else value for key, value in about.items()}


def main(paths):
    """Print what each file is."""
    for path in paths:
        known = {key: value for key, value in facts(load(path), path).items() if value is not None}
        for key, value in known.items():
            print(f"{key:<{max(map(len, known))}}  {value}")


if __name__ == "__main__":
    from util import errors

    parser = argparse.ArgumentParser("python -m util.checkpoint", description="What a file is.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="checkpoint, ours or released")
    files = parser.parse_args().files
    display.end_with_reader()
    errors.main(lambda: main(files))

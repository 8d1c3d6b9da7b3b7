"""Checkpoints: written aside and renamed, read without ever unpickling code."""

import argparse
import os
import pickle
import zipfile
from pathlib import Path

import torch
import torch.nn.functional as F

LAST, BEST = "checkpoint-last.pth", "checkpoint-best.pth"


def save(path, content):
    """Write `content` to `path`; whenever this stops, the file is the old one or the whole new one."""
    path = Path(path)
    aside = path.with_name(path.name + ".tmp")
    try:
        with open(aside, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def load(path):
    """Read a checkpoint of ours or of the release, on the CPU: a dict with 'model'.

    Raises FileNotFoundError or ValueError naming the file: absent, damaged, holding more than tensors and plain values, or
    without a model.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile, ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "weights_only" in reason.lower() or "weights only" in reason.lower():
            reason = "it holds Python objects that are not plain data, and these are never executed"
        raise ValueError(f"{path}: not a readable checkpoint ({reason})") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError(f"{path}: no state dict under 'model'")
    content["model"] = {k.removeprefix("module."): v for k, v in content["model"].items()}
    return content


def load_encoder(model, path):
    """Initialise the encoder of a classifier from a pre-trained (or other) checkpoint; the head stays as it is.

    Decoder and head keys of the file are ignored; temp_embed of another length is resized over time. Raises ValueError
    naming the keys if anything else is missing, unknown or of another shape. Returns the checkpoint.
    """
    content = load(path)
    state = {
        k: v for k, v in content["model"].items() if not k.startswith(("decoder_", "head.")) and k != "mask_token"
    }
    _fit(model, state, path)
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [k for k in missing if not k.startswith("head.")]
    _refuse(path, {"missing": missing, "unknown": unexpected})
    return content


def load_model(model, path, content=None):
    """Load every weight of `model` from a checkpoint (evaluation, resuming). Errors as in `load_encoder`."""
    content = content or load(path)
    state = dict(content["model"])
    _fit(model, state, path)
    missing, unexpected = model.load_state_dict(state, strict=False)
    _refuse(path, {"missing": missing, "unknown": unexpected})
    return content


def num_classes(content):
    """K of the classifier in a checkpoint, or None if it has no head."""
    for key in ("head.fc.1.weight", "head.fc2.weight"):
        if key in content["model"]:
            return len(content["model"][key])
    return None


def _fit(model, state, path):
    """Resize temp_embed in `state` to the model's length and refuse other shapes."""
    own = model.state_dict()
    name = "temp_embed"
    if name in state and state[name].shape[1] != own[name].shape[1] and state[name].shape[3] == own[name].shape[3]:
        temporal = state[name].permute(0, 3, 1, 2)  # (1, D, T', 1)
        size = (own[name].shape[1], 1)
        state[name] = F.interpolate(temporal, size=size, mode="bicubic", align_corners=False).permute(0, 2, 3, 1)
    if "pos_embed" in state and state["pos_embed"].shape[2] != own["pos_embed"].shape[2]:
        raise ValueError(
            f"{path}: trained on {state['pos_embed'].shape[2]} joints, the data has {own['pos_embed'].shape[2]}; "
            "an encoder cannot change its skeleton"
        )
    wrong = [
        f"{k} {tuple(v.shape)} instead of {tuple(own[k].shape)}" for k, v in state.items()
        if k in own and v.shape != own[k].shape
    ]  # fmt: skip
    if wrong:
        raise ValueError(f"{path}: built with other sizes (dim_feat, depth, ...) than the config: {_some(wrong)}")


def _refuse(path, problems):
    text = "; ".join(f"{what} keys: {_some(keys)}" for what, keys in problems.items() if keys)
    if text:
        raise ValueError(f"{path}: not a checkpoint of this model ({text}); compare depth, stage and method")


def _some(things, most=4):
    return ", ".join(things[:most]) + (f" and {len(things) - most} more" if len(things) > most else "")

"""Method, stage, sizes, settings and origin of the encoder of a checkpoint, ours or released.

content: from util.checkpoint.load; path: for messages.
"""

import argparse

from util import published, weights
from util.console import warn_once
from util.files import bare_name, sha256
from util.options import DEFAULT_METHOD, EXTENDS, GROUPS, HOW, OPTIONS, UNLABELLED, WHAT


def architecture(content):
    """'mamp' (which SkeletonMAE* shares) or 'umurl'."""
    return weights.architecture(content["model"])


def num_classes(content):
    """K of the classifier in a checkpoint, or None if it has no head."""
    return weights.num_classes(content["model"])


def stage(content):
    """'pretrain', 'tune', 'linprobe' or 'finetune': from our checkpoint's config, else from the names of the weights."""
    by_keys = weights.stage(content["model"])
    stated = content.get("config", {}).get("stage", by_keys)
    return stated if (stated in UNLABELLED) == (by_keys in UNLABELLED) else by_keys


def settings(content, path="checkpoint"):
    """The options a checkpoint was made with, under our names; {} if it holds none. Settings of a published file that cannot be
    read are left out, with a warning."""
    if "config" in content:
        return content["config"]
    args = content.get("args")
    args = vars(args) if isinstance(args, argparse.Namespace) else args
    if not isinstance(args, dict):
        return {}
    made_with, complaints = published.settings(args, path)
    norm = content["model"].get("norm.weight")  # (D,) of a MAMP
    if norm is not None and norm.numel() % made_with.get("num_heads", 1):
        complaints.append(f"num_heads: {made_with.pop('num_heads')} does not divide the width {norm.numel()}")
    if complaints:
        warn_once(f"warning: {path}: of its settings, these are not read: {'; '.join(complaints)}")
    return made_with


def sizes(content, path, head=False):
    """The model's options, from its weights and settings; with `head`, also those of the classifier's head. Raises ValueError for
    weights of another kind of model."""
    made_with = settings(content, path)
    try:
        found = weights.sizes(content["model"], head)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise ValueError(
            f"{path}: not the weights of a skeleton transformer (looking for {error}); it holds {weights.some(content['model'])}"
        ) from error
    mamp = architecture(content) == "mamp"
    if mamp and "num_heads" not in made_with:
        warn_once(f"warning: {path}: does not tell num_heads; {OPTIONS['num_heads'].default} unless it is told")
    # "decoder": the names of the weights do not tell one that somebody has added
    from_settings = ("num_heads", *(("qk_scale", "input_stream", "decoder") if mamp else ("features",) if head else ()))
    return found | {key: made_with[key] for key in from_settings if key in made_with}


def method_name(made_with):
    """'mamp', 'skeletonmae' (joints as target, uniform masking), 'umurl', ..., or None if the settings are incomplete."""
    if made_with.get("method", DEFAULT_METHOD) != DEFAULT_METHOD:
        return made_with["method"]
    if "target" not in made_with:
        return None
    return "skeletonmae" if made_with["target"] == "joint" and made_with.get("motion_aware_tau", 0) <= 0 else "mamp"


def pretraining_settings(made_with):
    """The settings of a pre-training, without those of where and how it ran, and the method's name."""
    elsewhere = {"finetune", *(option.name for option in GROUPS["run"] if option.role == HOW)}
    return {k: v for k, v in made_with.items() if k not in elsewhere} | {"method": method_name(made_with)}


def initial_weights(began_with):
    """In words, what a pre-training began with, so that tables average only runs that began alike: 'mamp of ucla, epoch 100', and
    before that, in brackets, what this began with. began_with: from `describe`."""
    name = " ".join([began_with.get("method") or "weights", "of", began_with.get("dataset") or "unknown data"])
    stage, epoch, before = (began_with.get(key) for key in ("stage", "epoch", "initial_weights"))
    words = [name, *([] if stage in (None, "pretrain") else [stage]), *([f"epoch {epoch + 1}"] if type(epoch) is int else [])]
    words += ["released"] if began_with.get("format") == "released" else []
    return ", ".join(words) + (f" (from {before})" if before else "")


def describe(content, path):
    """Where an encoder comes from: path, sha256, format ('ours' or 'released'), stage, epoch, the settings of its pre-training
    (None where not known) and, for a tuned encoder, those of the tuning as tune_NAME.
    """
    made_with, known = settings(content, path), content.get("encoder") or {}
    if stage(content) == "pretrain":
        dataset = bare_name(made_with.get("data_path") or "").lower() or None
        began_with = content.get("encoder") if "config" in content else None  # see main_pretrain.py --finetune
        known = pretraining_settings({"dataset": dataset, "method": architecture(content)} | made_with | sizes(content, path))
        known |= {"initial_weights": initial_weights(began_with)} if began_with else {}
    identity = {"path": str(path), "sha256": sha256(path), "format": "ours" if "config" in content else "released"}
    identity |= {"stage": stage(content), "epoch": content.get("epoch")}
    if stage(content) == "tune":  # here "epoch" is that of the tuning
        identity["pretrain_epoch"] = known.get("pretrain_epoch", known.get("epoch"))  # tuned before, or pre-trained
        tuning = {k: v for k, v in pretraining_settings(made_with).items() if k in OPTIONS and OPTIONS[k].role in (WHAT, EXTENDS)}
        identity |= {f"tune_{k}": v for k, v in tuning.items() if k not in ("method", "data_path", "finetune")}
    return dict.fromkeys(("dataset", "method", "target", "epochs")) | known | identity


def summary(content, path):
    """{name: value} that describe a file, epochs counted from 1: its run's settings, its data ('data: NAME'), and for a
    downstream run its encoder ('encoder: NAME')."""
    made_with, ours = settings(content, path), "config" in content
    about = describe(content, path)
    if stage(content) != "pretrain":  # the rest of `describe` is about the encoder
        about = {key: about[key] for key in ("path", "sha256", "format", "stage", "epoch")}
        about["method"] = made_with.get("method", architecture(content))
    about = {key: about.pop(key) for key in ("path", "sha256", "format", "stage", "epoch", "method")} | about
    buffers = ("running_mean", "running_var", "num_batches_tracked", ".pe.pe")
    parameters = sum(value.numel() for key, value in content["model"].items() if not key.endswith(buffers))
    joints = weights.joints(content["model"])
    joints = f"{joints} of all bodies" if architecture(content) == "umurl" else joints
    about |= {"parameters": f"{parameters:,}", "joints": joints, "classes": num_classes(content)}
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

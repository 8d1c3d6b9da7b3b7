"""What the value of an option may be: its type, its range, and the nearest name that is known."""

import difflib
from reprlib import Repr

_repr = Repr()
_repr.maxstring = _repr.maxother = 200  # a value out of a file may be large; names are shown in full
shown = _repr.repr
AT_LEAST_ONE = (
    "epochs",
    "batch_size",
    "effective_batch_size",
    "accum_iter",
    "num_frames",
    "min_frames",
    "motion_stride",
    "dim_in",
    "dim_feat",
    "depth",
    "num_heads",
    "t_patch_size",
    "decoder_dim_feat",
    "decoder_depth",
    "head_dim",
    "eval_freq",
    "save_freq",
    "print_freq",
    "k",
    "projector_dim",
    "query_frames",
)

NOT_NEGATIVE = (
    "lr",
    "min_lr",
    "weight_decay",
    "warmup_epochs",
    "num_workers",
    "save_minutes",
    "layer_decay",
    "momentum",
    "val_groups",
    "loss_weight_k",
)
SHARES = ("drop_rate", "attn_drop_rate", "drop_path_rate", "head_dropout", "smoothing")


def known(name, names, what):
    """ValueError, with the nearest of `names` and, if they are few, all, if `name` is none of them. what: what to call it."""
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.7)  # below that, letters say nothing of meaning
        told = [f"did you mean {near[0]!r}?"] if near else []
        told += [f"there are {', '.join(names)}"] if len(names) <= 20 else []
        raise ValueError("; ".join([f"{what} {name!r} is not known", *told]))


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def convert(option, value, path):
    """A YAML value as the option's type: YAML reads 1e-3 as a string, here it is a number. Raises ValueError."""
    if value is None:
        if option.default is not None:
            raise ValueError(f"{path}: {option.name}: has no value; leave the key out for its default")
        return None
    if option.many:
        return [_scalar(option, v, path) for v in (value if isinstance(value, list) else [value])]
    return _scalar(option, value, path)


def _scalar(option, value, path):
    where, kind = f"{path}: {option.name}: {shown(value)}", _KINDS[option.kind]
    if option.choices and value not in option.choices:
        raise ValueError(f"{where} is not one of {', '.join(option.choices)}")
    if option.kind is bool or isinstance(value, bool):
        if option.kind is not bool or not isinstance(value, bool):
            raise ValueError(f"{where} is not {kind}")
        return value
    if isinstance(value, (list, dict)):
        raise ValueError(f"{where} is not a single value")
    if option.kind is str:
        return str(value)
    try:
        number = float(value)
        if option.kind is int and number != int(number):
            raise ValueError
        return option.kind(number)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{where} is not {kind}") from None


def check(values):
    """ValueError for options, of {name: value}, outside their range; what is not there is not looked at."""
    for name in AT_LEAST_ONE:
        if values.get(name) is not None and values[name] < 1:
            raise ValueError(f"{name} {values[name]}: at least 1")
    for name, value in values.items():
        if isinstance(value, int) and abs(value) >= 2**31 and name not in ("seed", "subset_seed"):
            raise ValueError(f"{name} {value}: at most {2**31 - 1}")
    for name in ("seed", "subset_seed"):
        if not 0 <= (values.get(name) or 0) < 2**31:
            raise ValueError(f"{name} {values[name]}: from 0 to {2**31 - 1}")
    for name in NOT_NEGATIVE:
        if values.get(name) is not None and values[name] < 0:
            raise ValueError(f"{name} {values[name]}: not below 0")
    for name in SHARES:
        if values.get(name) is not None and not 0 <= values[name] < 1:
            raise ValueError(f"{name} {values[name]}: a share, at least 0 and below 1")
    if values.get("clip_grad") is not None and values["clip_grad"] <= 0:
        raise ValueError(f"clip_grad {values['clip_grad']}: a norm above 0")
    if not all(0 <= beta < 1 for beta in values.get("betas", ())):
        raise ValueError(f"betas {' '.join(map(str, values['betas']))}: at least 0 and below 1")
    umurl = values.get("method") == "umurl"
    if umurl and values["input_stream"] != "joint":
        raise ValueError(f"input_stream {values['input_stream']}: UmURL makes bones and motions itself; --features chooses")
    if umurl and values.get("compile"):  # torch 2.15 on a CPU, in bfloat16: gradients that are not finite
        raise ValueError("compile: does not work with UmURL; leave it out")
    if any(step < 0 for step in values.get("lr_steps", ())):
        raise ValueError(f"lr_steps {' '.join(map(str, values['lr_steps']))}: epochs, not below 0")
    if not 0 < values.get("predict_ratio", 1) <= 1:
        raise ValueError(f"predict_ratio {values['predict_ratio']}: a share of the hidden tokens, above 0 and at most 1")
    if any(window < 1 for window in values.get("loss_weight_windows", ())):
        raise ValueError(f"loss_weight_windows {' '.join(map(str, values['loss_weight_windows']))}: frames, at least 1")
    if not 0 < values.get("mask_ratio", 0.5) < 1:
        raise ValueError(f"mask_ratio {values['mask_ratio']}: a share of the tokens between 0 and 1")
    for name, lengths in (("betas", (2,)), ("rot_theta", (1, 3)), ("train_p_interval", (1, 2)), ("test_p_interval", (1,))):
        many = values.get(name)
        if many is not None and len(many) not in lengths:
            raise ValueError(f"{name} {' '.join(map(str, many))}: takes {' or '.join(map(str, lengths))} number(s)")
        if many is not None and name.endswith("p_interval") and not 0 < many[0] <= many[-1] <= 1:
            raise ValueError(f"{name} {' '.join(map(str, many))}: shares of the frames, in rising order, above 0 and at most 1")

"""What the value of an option may be: its type, its range, and the nearest name that is known; what to say of one that is not."""

import difflib
from reprlib import Repr

from util.options import OPTIONS, SEED

_repr = Repr()
_repr.maxstring = _repr.maxother = 200  # a value out of a file may be large; names are shown in full
shown = _repr.repr


def one_line(error):
    """What an exception says; if that is nothing, its kind."""
    return " ".join(str(error).split()) or type(error).__name__


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
    """ValueError for options, of {name: value}, outside their range, or that exclude each other."""
    for name, value in ((name, value) for name, value in values.items() if name in OPTIONS):
        option, numbers = OPTIONS[name], value if isinstance(value, list) else [] if value is None else [value]
        text = " ".join(map(str, numbers))[:200]  # of a damaged checkpoint they may be many
        if any(isinstance(v, int) and option.range is not SEED and abs(v) >= 2**31 for v in numbers):
            raise ValueError(f"{name} {text}: at most {2**31 - 1}")
        if not all(option.range[1](v) for v in numbers):
            raise ValueError(f"{name} {text}: {option.range[0]}")
        if option.counts and value is not None and len(numbers) not in option.counts:
            raise ValueError(f"{name} {text}: takes {' or '.join(map(str, option.counts))} number(s)")
        if name.endswith("p_interval") and not 0 < numbers[0] <= numbers[-1] <= 1:
            raise ValueError(f"{name} {text}: shares of the frames, in rising order, above 0 and at most 1")
    if values.get("method") == "umurl":
        if values["input_stream"] != "joint":
            raise ValueError(f"input_stream {values['input_stream']}: UmURL makes bones and motions itself; --features chooses")
        if values.get("compile"):  # torch 2.15 on a CPU, in bfloat16: gradients that are not finite
            raise ValueError("compile: does not work with UmURL; leave it out")

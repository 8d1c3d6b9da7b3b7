"""Checks of option names and values, and the messages for wrong ones."""

import difflib
from reprlib import Repr

from util.options import OPTIONS, SEED

_repr = Repr()
_repr.maxstring = _repr.maxother = 200  # values in files may be large
short_repr = _repr.repr


def value_text(value):
    """A setting's value as text, a list without brackets."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def one_line(error):
    """An exception's message in one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def check_known(name, names, what):
    """Raise ValueError if `name` is not in `names`, suggesting the nearest one. what: what the message calls it."""
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.7)  # below that, similar letters are chance
        hints = [f"did you mean {near[0]!r}?"] if near else []
        hints += [f"there are {', '.join(names)}"] if len(names) <= 20 else []
        raise ValueError("; ".join([f"{what} {name!r} is not known", *hints]))


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def convert(option, value, path):
    """A YAML value as the option's type (YAML reads 1e-3 as a string). Raises ValueError."""
    if value is None:
        if option.default is not None:
            raise ValueError(f"{path}: {option.name}: has no value; leave the key out for its default")
        return None
    if option.many:
        return [_scalar(option, v, path) for v in (value if isinstance(value, list) else [value])]
    return _scalar(option, value, path)


def _scalar(option, value, path):
    where, kind = f"{path}: {option.name}: {short_repr(value)}", _KINDS[option.kind]
    if option.choices and value not in tuple(option.choices):  # a dict would need values with a hash
        raise ValueError(f"{where} is not one of {', '.join(map(str, option.choices))}")
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
    """Raise ValueError for options, {name: value}, that are out of range or exclude each other."""
    for name, value in ((name, value) for name, value in values.items() if name in OPTIONS):
        option, numbers = OPTIONS[name], value if isinstance(value, list) else [] if value is None else [value]
        text = " ".join(map(str, numbers))[:200]  # a damaged checkpoint may hold many
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

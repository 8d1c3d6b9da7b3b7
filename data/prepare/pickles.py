"""Reading pickles of numpy arrays and plain containers, and of nothing else.

A pickle is a program: it may name any function of any module and call it. Here it may use only the opcodes that dict, list,
tuple, str, bytes, numbers and arrays need (protocols 2 to 5), and the few names by which numpy's arrays are pickled stand for
functions of this file, which check what they are given. Nothing foreign is called, and memory is taken in proportion to the file.
"""

import math
import pickle
import re
from pathlib import Path

import numpy as np

_OPCODES = (
    "PROTO FRAME STOP MARK POP POP_MARK GLOBAL STACK_GLOBAL REDUCE BUILD NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 "
    "LONG4 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST APPEND "
    "APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE"
).split()
_TYPE = re.compile(r"b1|[iu][1248]|f[248]|[SU][1-9]\d{0,8}")
_ONLY = "only numpy arrays and plain containers are read"


def load(path):
    """What the pickle `path` holds: dict (with str keys), list, tuple, str, bytes, numbers, numpy arrays and scalars.

    The arrays share the memory of what was read.
    Raises FileNotFoundError, or ValueError in one line naming the file: it is truncated or no pickle, or it wants something else
    than arrays and plain containers, which is named and not done.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with open(path, "rb") as file:
        if file.read(2) == b"\x1f\x8b":
            raise ValueError(f"{path}: compressed by gzip; unpack it first (gunzip)")
        file.seek(0)
        try:
            return _Unpickler(file, path.stat().st_size).load()
        except _Refused as error:
            raise ValueError(f"{path}: the pickle {error}; {_ONLY}") from None
        except EOFError:
            raise ValueError(f"{path}: the pickle is truncated; copy or download it again") from None
        except MemoryError:
            raise ValueError(f"{path}: the pickle is larger than the memory") from None
        except Exception as error:  # whatever a damaged pickle makes the unpickler stumble over
            raise ValueError(f"{path}: not a pickle, or a damaged one ({_one_line(error)})") from None


class _Refused(Exception):
    """The pickle wants what is not admitted."""


def _one_line(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"


class _Bounded:
    """A file that refuses to read beyond its end before any memory is taken for it."""

    def __init__(self, file, size):
        self.file, self.left, self.readline = file, size, file.readline

    def read(self, size):
        self.left -= size  # lines are not counted, so this is an upper bound
        data = self.file.read(size) if self.left >= 0 else b""
        if len(data) < size:
            raise EOFError
        return data


class _Unpickler(pickle._Unpickler):  # the one in Python: in C, a memo index of a few bytes takes gigabytes
    def __init__(self, file, size):
        super().__init__(_Bounded(file, size))
        self.budget = 2 * size  # bytes that may be made of the file's: once by encoding and once more by swapping their order

    def _spend(self, size):
        self.budget -= size
        if self.budget < 0:
            raise _Refused("uses the same bytes again and again")

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self):
        self._set(self.pop_mark())

    def _set(self, items):
        target = self.stack[-1]
        if type(target) is not dict or any(type(key) is not str for key in items[::2]):
            raise _Refused("fills something that is not a dict with str keys")
        target.update(zip(items[::2], items[1::2], strict=True))

    def load_append(self):
        value = self.stack.pop()
        self._extend([value])

    def load_appends(self):
        self._extend(self.pop_mark())

    def _extend(self, items):
        if type(self.stack[-1]) is not list:
            raise _Refused("appends to something that is not a list")
        self.stack[-1].extend(items)

    def load_reduce(self):
        args, function = self.stack.pop(), self.stack[-1]
        if not isinstance(function, _Call) or type(args) is not tuple:
            raise _Refused("calls something that is not a function of numpy's arrays")
        self.stack[-1] = result = function.function(*args)
        if type(result) is bytes:
            self._spend(len(result))

    def load_build(self):
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, _Array | _Type):
            raise _Refused("sets attributes of something that is not an array")
        target.__setstate__(state)
        if isinstance(target, _Array):
            self._spend(target.nbytes)

    def load_bytearray8(self):
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def find_class(self, module, name):
        if (module, name) not in _NAMES:
            raise _Refused(f"asks for {_printable(f'{module}.{name}')}")
        return _NAMES[module, name]

    def refuse(self):
        raise _Refused("uses opcodes that arrays and plain containers of pickle protocols 2 to 5 do not need")

    dispatch = dict.fromkeys(range(256), refuse)
    dispatch |= {getattr(pickle, op)[0]: pickle._Unpickler.dispatch[getattr(pickle, op)[0]] for op in _OPCODES}
    dispatch |= {
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.APPEND[0]: load_append,
        pickle.APPENDS[0]: load_appends,
        pickle.REDUCE[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }


def _printable(text):
    return "".join(c if c.isprintable() else "?" for c in str(text)[:80])


# ---- what numpy's names stand for --------------------------------------------------------------------------------------


class _Call:
    """A function the pickle may call."""

    def __init__(self, function):
        self.function = function


class _Type:
    """A dtype in the making; its byte order comes with the state."""

    def __init__(self, code, *flags):
        if type(code) is not str or not _TYPE.fullmatch(code):
            raise _Refused(f"has an array of type {_printable(code) if type(code) is str else 'unknown'}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state):
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise _Refused("has a type without byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array whose shape, type and data come with the state."""

    def __setstate__(self, state):
        if type(state) is not tuple or len(state) != 5:
            raise _Refused("has an array of unknown form")
        _, shape, kind, fortran, data = state
        if type(data) is not bytes:
            raise _Refused("has an array of objects")
        _check(shape, kind, data)
        super().__setstate__((1, shape, kind.dtype, bool(fortran), data))


def _check(shape, kind, data):
    if not isinstance(kind, _Type) or type(data) not in (bytes, bytearray):
        raise _Refused("has an array that is not made of a type and bytes")
    if type(shape) is not tuple or any(type(n) is not int or n < 0 for n in shape):
        raise _Refused("has an array without a valid shape")
    if math.prod(shape) * kind.dtype.itemsize != len(data):
        raise _Refused(f"has an array whose shape does not fit its {len(data)} bytes")


def _reconstruct(kind, shape, code):
    return _Array.__new__(_Array, 0)


def _from_buffer(data, kind, shape, order, axes=None):
    _check(shape, kind, data)
    array = np.frombuffer(data, kind.dtype)
    return array.reshape(shape).transpose(axes) if order == "K" else array.reshape(shape, order=order)


def _scalar(kind, data):
    _check((), kind, data)
    return np.frombuffer(data, kind.dtype)[0]


def _encode(text, encoding):
    """How protocol 2 writes bytes."""
    if type(text) is not str or encoding != "latin1":
        raise _Refused("encodes a text")
    return text.encode("latin1")


def _no_bytes():
    """How protocol 2 writes empty bytes."""
    return b""


_NAMES = {
    ("numpy", "ndarray"): None,  # only ever handed to _reconstruct
    ("numpy", "dtype"): _Call(_Type),
    ("_codecs", "encode"): _Call(_encode),
    ("__builtin__", "bytes"): _Call(_no_bytes),
    ("builtins", "bytes"): _Call(_no_bytes),
}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
    _NAMES |= {
        (f"{_core}.multiarray", "_reconstruct"): _Call(_reconstruct),
        (f"{_core}.multiarray", "scalar"): _Call(_scalar),
        (f"{_core}.numeric", "_frombuffer"): _Call(_from_buffer),
    }

"""Read pickles that hold only numpy arrays and plain containers.

A pickle is a program that may call any function of any module. Here it may only name the functions with which numpy pickles
arrays, and these are replaced by the methods below, which check their arguments. So no other function is called, and memory stays
in proportion to the file. The unpickler is the one written in Python: in the C version a memo index of a few bytes takes
gigabytes.
"""

import math
import pickle
import re
from pathlib import Path

import numpy as np

from util.validation import one_line

# the opcodes for dict, list, tuple, str, bytes, numbers and arrays in protocols 2 to 5. Sets are not among them, since hashing
# deeply nested tuples overflows the stack, nor other opcodes that call functions or create objects.
_OPCODES = (
    "PROTO FRAME STOP MARK POP POP_MARK GLOBAL STACK_GLOBAL REDUCE BUILD NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 "
    "LONG4 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST APPEND "
    "APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE"
).split()
_TYPE = re.compile(r"b1|[iu][1248]|f[248]|[SU][1-9]\d{0,8}")


def load(path):
    """The content of the pickle `path`: dict (with str keys), list, tuple, str, bytes, numbers, numpy arrays and scalars.

    Raises FileNotFoundError, or ValueError in one line naming the file if it is truncated, not a pickle, or would create or call
    anything else, which is named and not executed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with open(path, "rb") as file:
        if file.read(2) == b"\x1f\x8b":
            raise ValueError(f"{path}: compressed by gzip; unpack it first (gunzip)")
        file.seek(0)
        try:
            return _Unpickler(_BoundedFile(file, path.stat().st_size)).load()
        except _Refused as error:
            raise ValueError(f"{path}: the pickle {error}; only numpy arrays and plain containers are read") from None
        except EOFError:
            raise ValueError(f"{path}: the pickle is truncated; copy or download it again") from None
        except MemoryError:
            raise ValueError(f"{path}: the pickle is larger than the memory") from None
        except Exception as error:  # the unpickler raises errors of many types for damaged pickles
            reason = f"{type(error).__name__}: {one_line(error)[:80]}"
            raise ValueError(f"{path}: not a pickle, or a damaged one ({reason})") from None


class _Refused(Exception):
    """The pickle does something that is not allowed; the message says what."""


def _require(condition, violation):
    """Raise _Refused(violation) unless the condition holds."""
    if not condition:
        raise _Refused(violation)


def _printable(text):
    return "".join(c if c.isprintable() else "?" for c in str(text)[:80])


class _BoundedFile:
    """A file that raises EOFError for reads beyond its end, before memory is allocated for them."""

    def __init__(self, file, size):
        self.file, self.size, self.left, self.readline = file, size, size, file.readline

    def read(self, size):
        self.left -= size  # lines are not counted, so this is an upper bound
        data = self.file.read(size) if self.left >= 0 else b""
        if len(data) < size:
            raise EOFError
        return data


class _Type:
    """Stands for a dtype while it is unpickled; the state sets its byte order."""

    def __init__(self, code, *flags):
        known = type(code) is str and _TYPE.fullmatch(code)
        _require(known, f"has an array of type {_printable(code) if type(code) is str else 'unknown'}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state):
        _require(type(state) is tuple and len(state) > 1 and state[1] in ("<", ">", "|", "="), "has a type without byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array while it is unpickled; the state sets its shape, type and data."""

    def __setstate__(self, state):
        _require(type(state) is tuple and len(state) == 5, "has an array of unknown form")
        _, shape, kind, fortran, data = state
        _require(type(data) is bytes, "has an array of objects")
        _check(shape, kind, data)
        super().__setstate__((1, shape, kind.dtype, bool(fortran), data))


def _check(shape, kind, data):
    made = isinstance(kind, _Type) and type(data) in (bytes, bytearray)
    _require(made, "has an array that is not made of a type and bytes")
    _require(type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape), "has an array without a valid shape")
    fits = math.prod(shape) * kind.dtype.itemsize == len(data)
    _require(fits, f"has an array whose shape does not fit its {len(data)} bytes")


class _Unpickler(pickle._Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.budget = 2 * file.size  # bytes that may be created from the file's: by encoding, and again by swapping byte order
        self.names = {
            ("numpy", "ndarray"): None,  # only an argument of _reconstruct
            ("numpy", "dtype"): _Type,
            ("_codecs", "encode"): self._encode,
            ("builtins", "bytes"): self._no_bytes,
            ("__builtin__", "bytes"): self._no_bytes,
        }
        for core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
            self.names[f"{core}.multiarray", "_reconstruct"] = self._reconstruct
            self.names[f"{core}.multiarray", "scalar"] = self._scalar
            self.names[f"{core}.numeric", "_frombuffer"] = self._from_buffer

    def find_class(self, module, name):
        _require((module, name) in self.names, f"uses {_printable(f'{module}.{name}')}")
        return self.names[module, name]

    # ---- replacements of the functions that numpy's pickles name

    def _reconstruct(self, kind, shape, code):
        return _Array.__new__(_Array, 0)

    def _from_buffer(self, data, kind, shape, order, axes=None):
        _check(shape, kind, data)
        array = np.frombuffer(data, kind.dtype)
        return array.reshape(shape).transpose(axes) if order == "K" else array.reshape(shape, order=order)

    def _scalar(self, kind, data):
        _check((), kind, data)
        return np.frombuffer(data, kind.dtype)[0]

    def _encode(self, text, encoding):
        """How protocol 2 writes bytes."""
        _require(type(text) is str and encoding == "latin1", "encodes a text")
        self._spend(len(text))
        return text.encode("latin1")

    def _no_bytes(self):
        """How protocol 2 writes empty bytes."""
        return b""

    def _spend(self, size):
        self.budget -= size
        _require(self.budget >= 0, "uses the same bytes again and again")

    # ---- opcodes that need a check

    def load_reduce(self):
        *_, function, args = self.stack
        _require(callable(function) and type(args) is tuple, "calls something that is not a function of numpy's arrays")
        super().load_reduce()

    def load_build(self):
        target = self.stack[-2]
        _require(isinstance(target, _Array | _Type), "sets attributes of something that is not an array")
        super().load_build()
        self._spend(getattr(target, "nbytes", 0))

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self._set(self.stack[-1], [key, value])

    def load_setitems(self):
        items = self.pop_mark()
        self._set(self.stack[-1], items)

    def _set(self, target, items):
        """Keys are texts: hashing a tuple may overflow the stack."""
        texts = type(target) is dict and all(type(key) is str for key in items[::2])
        _require(texts, "fills something that is not a dict with str keys")
        target.update(zip(items[::2], items[1::2], strict=True))

    def load_bytearray8(self):
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def refuse(self):
        raise _Refused("uses opcodes that arrays and plain containers of pickle protocols 2 to 5 do not need")


_Unpickler.dispatch = dict.fromkeys(range(256), _Unpickler.refuse)
for _opcode in _OPCODES:
    _number = getattr(pickle, _opcode)[0]
    _Unpickler.dispatch[_number] = vars(_Unpickler).get(f"load_{_opcode.lower()}", pickle._Unpickler.dispatch[_number])

"""Arrays inside an uncompressed npz, mapped from the file instead of loaded."""

import struct
import tokenize
import warnings
import zipfile
from pathlib import Path

import numpy as np

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # of a zip member; the last two are the lengths of its name and extra field


def open_npz(path):
    """{name: array}: arrays of an uncompressed npz as read-only memory maps, so opening costs neither time nor memory and
    processes share the page cache. A compressed member is loaded, with a warning.

    Raises FileNotFoundError or ValueError naming the file: absent, not a zip, truncated, or holding Python objects.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such npz file (docs/data.md says how it is made)")
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            return {m.filename.removesuffix(".npy"): _member(path, archive, file, m) for m in archive.infolist()}
    except (zipfile.BadZipFile, struct.error, EOFError) as error:
        raise ValueError(f"{path}: not a complete npz file ({error}); make or copy it again") from error


def _member(path, archive, file, member):
    where = f"{path}: array {member.filename!r}"
    if member.compress_type != zipfile.ZIP_STORED:
        if member.file_size > 2**24:
            warnings.warn(f"{where} is compressed and is loaded whole; np.savez writes it so that it can be mapped",
                          stacklevel=3)  # fmt: skip
        with archive.open(member) as stream:
            return _plain(where, np.lib.format.read_array, stream, allow_pickle=False)
    file.seek(member.header_offset)
    *_, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    file.seek(name_length + extra_length, 1)
    version = _plain(where, np.lib.format.read_magic, file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = _plain(where, read_header, file)
    if dtype.hasobject:
        raise ValueError(f"{where} holds Python objects, which are never read; save plain numbers or strings")
    offset, size = file.tell(), dtype.itemsize * int(np.prod(shape, dtype=object))
    if offset + size > path.stat().st_size:
        raise ValueError(f"{where} says shape {shape}, more than the file holds; make or copy it again")
    if size == 0:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape, "F" if fortran_order else "C")


def _plain(where, function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except (ValueError, SyntaxError, tokenize.TokenError) as error:  # a header is parsed as Python literals
        raise ValueError(f"{where} is not a plain npy array ({error})") from error

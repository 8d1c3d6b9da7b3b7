"""Arrays inside an uncompressed npz, mapped from the file instead of loaded; files of strangers are safe to open."""

import os
import struct
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # of a zip member; the last two are the lengths of its name and extra field
_LARGE, _RATIO = 2**30, 1000  # bytes that a compressed array may claim, unless it has a thousandth of them


def open_npz(path):
    """{name: array}: arrays of an uncompressed npz as read-only memory maps, so opening costs neither time nor memory and
    processes share the page cache. A compressed member is loaded, with a warning.

    Raises FileNotFoundError or ValueError in one line naming the file: absent, not a zip, truncated or damaged, holding Python
    objects, or claiming more than it holds.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such npz file (docs/data.md says how it is made)")
    with open(path, "rb") as file:  # all that follows is about this file, even if another one gets its name meanwhile
        with _one_line(f"{path}: not a complete npz file", "; make or copy it again"):
            archive = zipfile.ZipFile(file)
        return {m.filename.removesuffix(".npy"): _member(path, archive, file, m) for m in archive.infolist()}


def identity(path):
    """What is another one when a file is replaced or written to: (inode, bytes, nanoseconds of its last change), or None if it
    is gone."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _member(path, archive, file, member):
    where = f"{path}: array {member.filename!r}"
    if not member.filename.isprintable():
        raise ValueError(f"{where}: its name is damaged")
    with _one_line(f"{where} is not a plain npy array"):
        stored = member.compress_type == zipfile.ZIP_STORED
        array = _mapped(file, member) if stored else _loaded(where, archive, member)
        if array.dtype.kind == "U" and array.size and _letters(array).max() > 0x10FFFF:
            raise ValueError("its strings hold what is no character")
        return array


def _mapped(file, member):
    file.seek(member.header_offset)
    *_, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    file.seek(name_length + extra_length, 1)
    shape, fortran_order, dtype = _header(file)
    offset = file.tell()
    size = _size(shape, dtype, os.fstat(file.fileno()).st_size - offset, "file")
    return np.memmap(file, dtype, "r", offset, shape, "F" if fortran_order else "C") if size else np.empty(shape, dtype)


def _loaded(where, archive, member):
    if member.file_size > max(_LARGE, _RATIO * member.compress_size):
        raise ValueError(f"{member.compress_size} bytes that claim to be {member.file_size}")
    with archive.open(member) as stream:
        _size(*_header(stream)[::2], member.file_size - stream.tell(), "member of the zip")
    if member.file_size > 2**24:
        warnings.warn(f"{where} is compressed and is loaded whole; np.savez writes it so that it can be mapped", stacklevel=4)
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _header(stream):
    """(shape, whether Fortran order, dtype) of an npy array, whose values come next in the stream."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never read; save numbers, or texts by y.astype(str)")
    return shape, fortran_order, dtype


def _size(shape, dtype, there, where):
    """Bytes of the array; ValueError if that is more than are `there`."""
    count = int(np.prod(shape, dtype=object))
    size = dtype.itemsize * count
    if not 0 <= size <= there or count and not size:
        raise ValueError(f"it says shape {shape}, more than the {where} holds; make or copy it again")
    return size


def _letters(strings):
    """The code points of an array of strings, 0 where these end."""
    return np.ravel(strings).view(np.dtype(np.uint32).newbyteorder(strings.dtype.byteorder))


@contextmanager
def _one_line(what, remedy=""):
    """Whatever a damaged zip or npy makes zipfile and numpy stumble over becomes a ValueError; a file's own OSError stays."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{what} ({reason}){remedy}") from error

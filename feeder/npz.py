"""Reading and writing a data set's npz: arrays are memory-mapped, and written sequence by sequence.

Untrusted files are safe to open: nothing in them is executed, and no array may claim more memory than the file holds.
"""

import os
import struct
import warnings
import zipfile
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from util import console
from util.files import written_aside
from util.validation import one_line

ALIGNMENT = 64  # bytes; array data begin at a multiple of it, so that memory maps are aligned
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # of a zip member; the last two are the lengths of its name and of its extra fields
_EXTRA_HEADER, _ZIP64_EXTRA = 4, 20  # bytes: head of an extra field; the extra field that zipfile adds for sizes of 64 bits
_PADDING_ID = 0xD935  # id of the extra field that zip tools use for alignment
_LARGE, _RATIO = 2**30, 1000  # a compressed array may claim 1 GiB, or 1000 times its size in the file


# ---- reading ------------------------------------------------------------------------------------------------------------


class _SingleObject(ValueError):
    """Something else than an array, such as a dict, which np.savez wraps in an array without axes."""


def open_npz(path):
    """{name: array} of an uncompressed npz as read-only memory maps, so opening costs neither time nor memory and processes share
    the page cache. Compressed arrays are loaded, large ones with a warning. Single Python objects are left out, with a warning.

    Raises FileNotFoundError or ValueError in one line naming the file: absent, not a zip, truncated or damaged, holding Python
    objects, or claiming more than it holds.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such npz file (docs/data.md says how it is made)")
    with open(path, "rb") as file:  # one handle for all: another file may get this name meanwhile
        with _one_line(f"{path}: not a complete npz file", "; make or copy it again"):
            archive = zipfile.ZipFile(file)
        arrays = {}
        for member in archive.infolist():
            try:
                arrays[member.filename.removesuffix(".npy")] = _read_member(path, archive, file, member)
            except _SingleObject:
                warnings.warn(f"{path}: {member.filename} is a Python object, which is never read; left out", stacklevel=2)
        return arrays


def file_stamp(path):
    """(inode, size, time of last change) of a file, to notice when it is replaced or written to; None if it does not exist."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_member(path, archive, file, member):
    where = f"{path}: array {member.filename!r}"
    if member.filename.endswith("/data.pkl"):
        raise ValueError(f"{path}: is a checkpoint, not an npz of arrays; --finetune and --eval take it")
    if not member.filename.isprintable():
        raise ValueError(f"{where}: its name is damaged")
    with _one_line(f"{where} is not a plain npy array"):
        stored = member.compress_type == zipfile.ZIP_STORED
        array = _map_member(file, member) if stored else _load_member(where, archive, member)
        if array.dtype.kind == "U" and array.size:  # numpy stores strings as code points, at most 0x10FFFF
            points = np.ravel(array).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
            if points.max() > 0x10FFFF:
                raise ValueError("its strings hold what is no character")
        return array


def _map_member(file, member):
    file.seek(member.header_offset)
    *_, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    file.seek(name_length + extra_length, os.SEEK_CUR)
    shape, fortran_order, dtype = _read_header(file)
    offset = file.tell()
    size = _checked_size(shape, dtype, os.fstat(file.fileno()).st_size - offset, "file")
    return np.memmap(file, dtype, "r", offset, shape, "F" if fortran_order else "C") if size else np.empty(shape, dtype)


def _load_member(where, archive, member):
    if member.file_size > max(_LARGE, _RATIO * member.compress_size):
        raise ValueError(f"{member.compress_size} bytes that claim to be {member.file_size}")
    with archive.open(member) as stream:
        shape, _, dtype = _read_header(stream)
        _checked_size(shape, dtype, member.file_size - stream.tell(), "member of the zip")
    if member.file_size > 2**24:
        warnings.warn(f"{where} is compressed and is loaded whole; np.savez writes it so that it can be mapped", stacklevel=4)
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _read_header(stream):
    """(shape, whether Fortran order, dtype) of an npy array; leaves the stream at its values."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(stream)
    if dtype.hasobject:
        kind = ValueError if shape else _SingleObject
        raise kind("it holds Python objects, which are never read; save numbers, or texts by y.astype(str)")
    return shape, fortran_order, dtype


def _checked_size(shape, dtype, available, where):
    """Bytes of an array. Raises ValueError if there are fewer `available`."""
    count = int(np.prod(shape, dtype=object))
    size = dtype.itemsize * count
    if not 0 <= size <= available or count and not size:
        raise ValueError(f"it says shape {shape}, more than the {where} holds; make or copy it again")
    return size


@contextmanager
def _one_line(what, remedy=""):
    """Turn any error of zipfile and numpy into a one-line ValueError, except an OSError of the file itself."""
    try:
        yield
    except _SingleObject:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = one_line(error)[:200]
        raise ValueError(f"{what} ({reason}){remedy}") from error


# ---- writing ------------------------------------------------------------------------------------------------------------


@dataclass
class Split:
    """N samples to write. names: N strings. labels: (N,) int from 0, or None. sequences: yields N arrays (T_i, M_i·V·3) in
    metres; missing bodies are written as zeros. groups: N strings; samples of a group (a performer) are held out for validation
    together. valid_frames: (N,) numbers of frames; None counts frames whose sum is not 0, as the published code does, or, with
    exact, those with any number that is not 0.
    """

    names: list
    labels: np.ndarray
    sequences: Iterable
    groups: list
    valid_frames: np.ndarray | None = None
    exact: bool = False


def write_dataset(path, splits, num_frames, num_classes, num_joints, num_bodies, layout, **metadata):
    """Write the npz of one protocol: uncompressed, one sequence in memory at a time; `path` exists only once it is complete.

    splits: {'train': Split, 'test': Split}, or one of them. num_frames: T, to which all sequences are padded with zeros.
    Arrays per split: x (N, T, M·V·3) float32, y (N, K) uint8 one-hot if there are labels, name (N,), group (N,),
    valid_frames (N,) int32; and num_joints, num_bodies, layout. metadata: parents (V,) of a skeleton that is not in
    feeder.skeleton.LAYOUTS, and keys of feeder.metadata.CHECKS (docs/data.md); values that are None are not written.
    """
    path = Path(path)
    with written_aside(path) as file, zipfile.ZipFile(file, "w") as archive:
        small = {"num_joints": np.int64(num_joints), "num_bodies": np.int64(num_bodies), "layout": np.str_(layout)}
        small |= {key: value for key, value in metadata.items() if value is not None}
        for key, split in splits.items():
            shape = (len(split.names), int(num_frames), num_bodies * num_joints * 3)
            valid = np.zeros(len(split.names), np.int32)
            padded = _pad(console.bar(split.sequences, f"{path.name} {key}", len(valid), "seq"), shape, valid, split.exact)
            _write_member(file, archive, f"x_{key}", shape, np.float32, padded)
            if split.labels is not None:
                one_hot = np.eye(num_classes, dtype=np.uint8)
                rows = (one_hot[label] for label in split.labels)
                _write_member(file, archive, f"y_{key}", (len(valid), num_classes), np.uint8, rows)
            small |= {
                f"name_{key}": np.array(split.names, dtype=np.str_),
                f"group_{key}": np.array(split.groups, dtype=np.str_),
                f"valid_frames_{key}": valid if split.valid_frames is None else np.int32(split.valid_frames),
            }
        for key, value in small.items():
            array = np.asarray(value)
            _write_member(file, archive, key, array.shape, array.dtype, [array])


def _pad(sequences, shape, valid, exact):
    """Yield every sequence padded to (T, M·V·3) float32; writes its number of frames into `valid`."""
    for i, sequence in enumerate(sequences):
        out = np.zeros(shape[1:], np.float32)
        out[: sequence.shape[0], : sequence.shape[1]] = sequence
        valid[i] = np.count_nonzero(out.any(axis=1) if exact else out.sum(axis=1))
        yield out


def _write_member(file, archive, key, shape, dtype, pieces):
    """Write the array `key`, whose data are the pieces one after another, in C order."""
    member = zipfile.ZipInfo(f"{key}.npy")
    begin = file.tell() + _LOCAL_HEADER.size + len(member.filename) + _EXTRA_HEADER + _ZIP64_EXTRA
    padding = -begin % ALIGNMENT
    member.extra = b"".join(n.to_bytes(2, "little") for n in (_PADDING_ID, padding)) + bytes(padding)
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with archive.open(member, "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for piece in pieces:
            stream.write(np.ascontiguousarray(piece, dtype).data)

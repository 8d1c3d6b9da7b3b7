"""The npz of a data set: its arrays are mapped from the file instead of loaded, and written piece by piece.

Files of strangers are safe to open: nothing in them is executed, and no array asks for more memory than the file accounts for.
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

ALIGNMENT = 64  # bytes; array data begin at a multiple of it, so that memory maps are aligned
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # of a zip member; the last two are the lengths of its name and of its extra fields
_EXTRA_HEADER, _ZIP64_EXTRA = 4, 20  # bytes: head of an extra field; the extra field that zipfile adds for sizes of 64 bits
_PADDING_ID = 0xD935  # the extra field that zip tools use for alignment
_LARGE, _RATIO = 2**30, 1000  # bytes that a compressed array may claim, unless the file has a thousandth of them


# ---- reading ------------------------------------------------------------------------------------------------------------


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
        return {m.filename.removesuffix(".npy"): _read_member(path, archive, file, m) for m in archive.infolist()}


def identity(path):
    """(inode, bytes, nanoseconds of its last change) of a file, which change when it is replaced or written to; None if it is
    gone."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_member(path, archive, file, member):
    where = f"{path}: array {member.filename!r}"
    if not member.filename.isprintable():
        raise ValueError(f"{where}: its name is damaged")
    with _one_line(f"{where} is not a plain npy array"):
        stored = member.compress_type == zipfile.ZIP_STORED
        array = _map_member(file, member) if stored else _load_member(where, archive, member)
        if array.dtype.kind == "U" and array.size:  # strings are stored as code points, of which the last is 0x10FFFF
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
    """(shape, whether Fortran order, dtype) of an npy array, whose values come next in the stream."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never read; save numbers, or texts by y.astype(str)")
    return shape, fortran_order, dtype


def _checked_size(shape, dtype, available, where):
    """Bytes of the array; ValueError if that is more than are `available`."""
    count = int(np.prod(shape, dtype=object))
    size = dtype.itemsize * count
    if not 0 <= size <= available or count and not size:
        raise ValueError(f"it says shape {shape}, more than the {where} holds; make or copy it again")
    return size


@contextmanager
def _one_line(what, remedy=""):
    """Any error of zipfile and numpy about a damaged zip or npy becomes a ValueError; an OSError of the file itself stays."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{what} ({reason}){remedy}") from error


# ---- writing ------------------------------------------------------------------------------------------------------------


@dataclass
class Split:
    """names: N sample names; labels: (N,) int classes from 0, or None; sequences: N arrays in metres, taken once.

    A sequence is (T_i, M_i·V·3); bodies it lacks are written as zeros. groups: N names; what is of one group (a performer) stays
    together when samples are held out for validation. valid_frames: (N,) frames that count; None: those whose sum is not 0.
    """

    names: list
    labels: np.ndarray
    sequences: Iterable
    groups: list
    valid_frames: np.ndarray | None = None


def write_dataset(path, splits, num_frames, num_classes, num_joints, num_bodies, layout, **metadata):
    """Write the npz of one protocol: uncompressed, one sequence in memory at a time, under its name only once it is complete.

    splits: {'train': Split, 'test': Split}, or one of them. num_frames: T, to which all sequences are padded with zeros.
    Arrays per split: x (N, T, M·V·3) float32, y (N, K) uint8 one-hot if there are labels, name (N,), group (N,),
    valid_frames (N,) int32; and num_joints, num_bodies, layout. metadata: parents (V,) of a skeleton that is in no table, and
    feeder.metadata.CHECKS (docs/data.md). None is left out.
    """
    path = Path(path)
    with written_aside(path) as file, zipfile.ZipFile(file, "w") as archive:
        small = {"num_joints": np.int64(num_joints), "num_bodies": np.int64(num_bodies), "layout": np.str_(layout)}
        small |= {key: value for key, value in metadata.items() if value is not None}
        for key, split in splits.items():
            shape = (len(split.names), int(num_frames), num_bodies * num_joints * 3)
            valid = np.zeros(len(split.names), np.int32)
            padded = _pad(console.bar(split.sequences, f"{path.name} {key}", len(valid), "seq"), shape, valid)
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


def _pad(sequences, shape, valid):
    """Every sequence as (T, M·V·3) float32; fills `valid` on the way."""
    for i, sequence in enumerate(sequences):
        out = np.zeros(shape[1:], np.float32)
        out[: sequence.shape[0], : sequence.shape[1]] = sequence
        valid[i] = np.count_nonzero(out.sum(axis=1))
        yield out


def _write_member(file, archive, key, shape, dtype, pieces):
    """One member `key`.npy; the pieces together are its data in C order."""
    member = zipfile.ZipInfo(f"{key}.npy")
    begin = file.tell() + _LOCAL_HEADER.size + len(member.filename) + _EXTRA_HEADER + _ZIP64_EXTRA
    padding = -begin % ALIGNMENT
    member.extra = b"".join(n.to_bytes(2, "little") for n in (_PADDING_ID, padding)) + bytes(padding)
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with archive.open(member, "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for piece in pieces:
            stream.write(np.ascontiguousarray(piece, dtype).data)

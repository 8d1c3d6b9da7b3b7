"""Writing arrays that are larger than memory: piece by piece, and under their name only once they are complete."""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from util import display
from util.files import written_aside

ALIGNMENT = 64  # bytes; array data begin at a multiple of it, so that memory maps of the npz are aligned
_LOCAL_HEADER, _ZIP64_EXTRA, _EXTRA_HEADER = 30, 20, 4  # bytes in a zip file
_PADDING_ID = 0xD935  # the extra field that zip tools use for alignment


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


def write_dataset(path, splits, num_frames, num_classes, num_joints, num_bodies, layout, **extras):
    """Write the npz of one protocol: uncompressed, one sequence in memory at a time.

    splits: {'train': Split, 'test': Split}, or one of them. num_frames: T, to which all sequences are padded with zeros.
    Arrays per split: x (N, T, M·V·3) float32, y (N, K) uint8 one-hot if there are labels, name (N,), group (N,),
    valid_frames (N,) int32; and num_joints, num_bodies, layout. extras: class_names (K,); joint_names (V,) and parents (V,) of a
    skeleton that is in no table; center, body_frame, min_max, body_size, unit, coordinates, second_body and how: how raw
    coordinates became these (docs/data.md). None is left out.
    """
    path = Path(path)
    with written_aside(path) as file, zipfile.ZipFile(file, "w") as archive:
        about = {"num_joints": np.int64(num_joints), "num_bodies": np.int64(num_bodies), "layout": np.str_(layout)}
        about |= {key: value for key, value in extras.items() if value is not None}
        for key, split in splits.items():
            shape = (len(split.names), int(num_frames), num_bodies * num_joints * 3)
            valid = np.zeros(len(split.names), np.int32)
            pieces = _padded(display.bar(split.sequences, f"{path.name} {key}", len(valid), "seq"), shape, valid)
            _write(file, archive, f"x_{key}", shape, np.float32, pieces)
            if split.labels is not None:
                one_hot = np.eye(num_classes, dtype=np.uint8)
                rows = (one_hot[label] for label in split.labels)
                _write(file, archive, f"y_{key}", (len(valid), num_classes), np.uint8, rows)
            about |= {
                f"name_{key}": np.array(split.names, dtype=np.str_),
                f"group_{key}": np.array(split.groups, dtype=np.str_),
                f"valid_frames_{key}": valid if split.valid_frames is None else np.int32(split.valid_frames),
            }
        for key, value in about.items():
            _write_array(file, archive, key, np.asarray(value))


def _padded(sequences, shape, valid):
    """Every sequence as (T, M·V·3) float32; fills `valid` on the way."""
    for i, sequence in enumerate(sequences):
        out = np.zeros(shape[1:], np.float32)
        out[: sequence.shape[0], : sequence.shape[1]] = sequence
        valid[i] = np.count_nonzero(out.sum(axis=1))
        yield out


def _write_array(file, archive, key, array):
    _write(file, archive, key, array.shape, array.dtype, [array])


def _write(file, archive, key, shape, dtype, pieces):
    """One member `key`.npy; the pieces together are its data in C order."""
    member = zipfile.ZipInfo(f"{key}.npy")
    begin = file.tell() + _LOCAL_HEADER + len(member.filename) + _EXTRA_HEADER + _ZIP64_EXTRA
    padding = -begin % ALIGNMENT
    member.extra = b"".join(n.to_bytes(2, "little") for n in (_PADDING_ID, padding)) + bytes(padding)
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with archive.open(member, "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for piece in pieces:
            stream.write(np.ascontiguousarray(piece, dtype).data)

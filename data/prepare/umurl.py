"""NTU RGB+D 60 and 120 as UmURL prepares them: raw `.skeleton` files -> two persons -> 300 frames -> npz.

A person is the body at one position in the list of each frame, whatever its id, and frames without a body are kept. Of the first
four the two with the largest energy are selected. Every person is repeated to fill 300 frames; the origin is the spine of the
first person in each frame; all are rotated until its shoulders are along the x axis in the first frame.
"""

from functools import partial
from pathlib import Path

import numpy as np

from data.prepare import intermediate, ntu
from data.prepare.ntu_release import NTU60
from data.prepare.skeleton_file import read_frames

NUM_FRAMES = 300
POSITIONS = 4  # bodies of a frame that are considered
LEFT_SHOULDER, RIGHT_SHOULDER = 4, 8  # joints
ALONG = 1e-6  # metres; shoulders that are off the x axis by less are not rotated
PREFIX, SCRIPT, FOLDER = "UMURL_", "umurl_gendata.py", "umurl"


def read_persons(path, most=None):
    """(T, persons (M, T, V, 3) float32, metres) of one file: the one or two persons with the largest energy in its T raw frames.

    A person is zero in frames in which it is absent. T is 0 for a recording without any body. Raises ValueError as `read_frames`,
    for more than `most` frames, and if all bodies are zero.
    """
    num_bodies, _, joints = read_frames(path)
    if not len(joints):
        return 0, None
    if most and len(num_bodies) > most:
        raise ValueError(f"{path}: {len(num_bodies)} frames; UmURL's arrays hold {most}, the most of any NTU recording")
    # frame of each body, and its position in that frame
    frame = np.repeat(np.arange(len(num_bodies)), num_bodies)
    position = np.arange(len(joints)) - np.repeat(np.cumsum(num_bodies) - num_bodies, num_bodies)
    first = position < POSITIONS
    bodies = np.zeros((POSITIONS, len(num_bodies), ntu.NUM_JOINTS, 3), np.float32)
    bodies[position[first], frame[first]] = joints[first]
    # (POSITIONS, T, V, 3) -> the one or two with the largest energy, which is -1 without a body
    energies = np.array([energy(body) for body in bodies])
    selected = np.argsort(-energies, kind="stable")[: ntu.NUM_BODIES]
    selected = selected[energies[selected] >= 0]
    if not len(selected):
        raise ValueError(f"{path}: all bodies are zero")
    return len(num_bodies), bodies[selected]


def energy(body):
    """Energy of a body (T, V, 3): standard deviation over the joints of all frames with it, summed over xyz, metres; -1 if it is
    in no frame."""
    there = body.any(axis=(1, 2))
    return body[there].std(axis=(0, 1), dtype=np.float64).sum() if there.any() else -1


def normalise(persons):
    """Persons from `read_persons` (M, T, V, 3), T up to NUM_FRAMES -> UmURL's input (NUM_FRAMES, M·V·3) float32, metres."""
    persons = turn(centre(np.stack([fill(person) for person in persons])))
    return persons.transpose(1, 0, 2, 3).reshape(NUM_FRAMES, -1)


def fill(person):
    """A person (T, V, 3) repeated after its last frame to (NUM_FRAMES, V, 3).

    If it is absent in the first frame, all frames without it are removed first. One that is in no frame is zeros.
    """
    there = person.any(axis=(1, 2))
    person = person[: np.flatnonzero(there)[-1] + 1] if there[0] else person[there]
    return np.resize(person, (NUM_FRAMES, *person.shape[1:]))


def centre(persons):
    """Persons (M, T, V, 3) with the origin at the spine of the first one in each frame; joints that are zero stay zero.

    As published, in frames without the first person the second one keeps the camera's origin.
    """
    return np.where(persons.any(axis=-1, keepdims=True), persons - persons[0, :, ntu.ORIGIN, None], 0)


def turn(persons):
    """Persons (M, T, V, 3) after the smallest rotation that brings the first one's shoulders, in the first frame, along x.

    They are unchanged if the shoulders are along it already, in either direction, or coincide.
    """
    x, y, z = (persons[0, 0, RIGHT_SHOULDER] - persons[0, 0, LEFT_SHOULDER]).astype(np.float64)
    off = np.hypot(y, z)
    if off < ALONG:
        return persons
    length = np.hypot(x, off)
    cos, sin = x / length, off / length
    axis = np.array([0, z, -y]) / off  # of cross(shoulders, x axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, 0], [-axis[1], 0, 0]])
    rotation = cos * np.eye(3) + sin * cross + (1 - cos) * np.outer(axis, axis)
    return persons @ rotation.T.astype(np.float32)


def by_name(fields, ids):
    """Indices of the samples whose value in `fields` (N,) is in `ids`; samples stay sorted by name."""
    return np.flatnonzero(np.isin(fields, ids))


def generate(raws, out, dataset=NTU60, name=None, workers=None, strict=False):
    """Write out/<name>_<protocol>.npz for every protocol from the `.skeleton` files of the folders `raws`; returns the paths.

    As `ntu.write_npz`, but T = 300, samples are sorted by name, and valid_frames is the number of raw frames, after which a
    sequence repeats. out/raw_data/umurl gets the persons and skipped.txt, the list of unusable files. Raises FileNotFoundError or
    ValueError if no file can be used, and with `strict` for the first unusable one.
    """
    folder, own_name = Path(out) / ntu.RAW / FOLDER, PREFIX + dataset.prefix
    read = partial(read_persons, most=NUM_FRAMES)
    with ntu.reading(read, raws, folder, dataset, workers, strict) as (recordings, writer):
        for recording, (frames, persons) in recordings:
            writer.add(persons.reshape(-1, ntu.NUM_JOINTS, 3), name=recording, num_frames=frames, num_persons=len(persons))
    parts, index = intermediate.load(folder, SCRIPT)
    num_frames, num_persons = index["num_frames"], index["num_persons"]
    joints = parts(num_frames * num_persons)

    def sequence(i):
        return normalise(joints(i).reshape(num_persons[i], num_frames[i], ntu.NUM_JOINTS, 3))

    return ntu.write_protocols(
        Path(out),
        name or own_name,
        dataset,
        index["name"],
        sequence,
        NUM_FRAMES,
        index["found"],
        [folder / ntu.SKIPPED],
        name in (None, own_name),
        by_name,
        num_frames,
    )

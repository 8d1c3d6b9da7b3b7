"""NTU RGB+D 60 and 120 as UmURL prepares them: raw `.skeleton` files -> two persons -> 300 frames around a moving origin -> npz.

Bodies are told apart by their position within a frame, not by their ids, and empty frames count. Of the four first bodies the two
of the largest energy are kept. Every person is looped until the last frame, the spine of the first is the origin of each frame,
and its shoulders lie on the x axis in the first frame.
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
ALONG = 1e-6  # metres; a shoulder vector that is no farther off the x axis stays as it is
PREFIX, SCRIPT, FOLDER = "UMURL_", "umurl_gendata.py", "umurl"


def read_persons(path, most=None):
    """(T, (M, T, V, 3) float32, metres) of one file: the one or two persons of the largest energy in its T raw frames.

    Persons are zero where they are absent. T is 0 for a recording without any body.
    Raises ValueError as `read_frames`, and if there are more than `most` frames or all bodies are zero.
    """
    num_bodies, _, joints = read_frames(path)
    if not len(joints):
        return 0, None
    if most and len(num_bodies) > most:
        raise ValueError(f"{path}: {len(num_bodies)} frames; UmURL's arrays hold {most}, the most of any NTU recording")
    # which frame each body stands in, and at which position there
    frame = np.repeat(np.arange(len(num_bodies)), num_bodies)
    position = np.arange(len(joints)) - np.repeat(np.cumsum(num_bodies) - num_bodies, num_bodies)
    first = position < POSITIONS
    bodies = np.zeros((POSITIONS, len(num_bodies), ntu.NUM_JOINTS, 3), np.float32)
    bodies[position[first], frame[first]] = joints[first]
    # (POSITIONS, T, V, 3) -> the one or two of the largest energy; -1 is nobody
    energies = np.array([energy(body) for body in bodies])
    kept = np.argsort(-energies, kind="stable")[: ntu.NUM_BODIES]
    kept = kept[energies[kept] >= 0]
    if not len(kept):
        raise ValueError(f"{path}: all bodies are zero")
    return len(num_bodies), bodies[kept]


def energy(body):
    """Standard deviation over the joints of all frames in which the body (T, V, 3) is, summed over xyz, metres; -1 if in none."""
    there = body.any(axis=(1, 2))
    return body[there].std(axis=(0, 1), dtype=np.float64).sum() if there.any() else -1


def normalise(persons):
    """Persons as read, (M, T, V, 3) metres, T up to NUM_FRAMES -> what UmURL sees, (NUM_FRAMES, M·V·3) float32 metres."""
    persons = turn(centre(np.stack([fill(person) for person in persons])))
    return persons.transpose(1, 0, 2, 3).reshape(NUM_FRAMES, -1)


def fill(person):
    """(T, V, 3) -> (NUM_FRAMES, V, 3): looped after its last frame; without gaps if it is absent at first; zeros if nowhere."""
    there = person.any(axis=(1, 2))
    person = person[: np.flatnonzero(there)[-1] + 1] if there[0] else person[there]
    return np.resize(person, (NUM_FRAMES, *person.shape[1:]))


def centre(persons):
    """Origin at the spine of the first of the persons (M, T, V, 3), in every frame anew; joints that are zero stay zero.

    As published, others keep the camera's origin in frames in which the first person is absent.
    """
    return np.where(persons.any(axis=-1, keepdims=True), persons - persons[0, :, ntu.ORIGIN, None], 0)


def turn(persons):
    """Turn all persons (M, T, V, 3) the shortest way that brings the first one's shoulders of the first frame onto the x axis.

    They stay as they are if the shoulders lie there already, in either direction, or in one point.
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
    """Rows of the samples whose `fields` (N,) value is in `ids`, in the given order, which is that of the names."""
    return np.flatnonzero(np.isin(fields, ids))


def generate(raws, out, dataset=NTU60, name=None, workers=None, strict=False):
    """Write out/<name>_<protocol>.npz for every protocol of the data set from the `.skeleton` files of the folders `raws`.

    The schema is that of feeder.npz.write_dataset, with T = 300; valid_frames is the number of raw frames, after which a
    sequence repeats. Samples are sorted by name. Persons as read are kept in out/raw_data/umurl, together with skipped.txt, the
    list of the files that could not be used; the rest, name and report are as for `ntu.write_npz`. Returns the paths.
    Raises FileNotFoundError or ValueError if there is nothing to read, and with `strict` for the first unusable file.
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

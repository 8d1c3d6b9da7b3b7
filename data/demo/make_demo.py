"""Make an INVENTED recording in the format of NTU RGB+D, since the real one needs a licence.

    python data/demo/make_demo.py --out data/demo/raw --seed 0 --performers 16 --actions 12 --replications 2 --cameras 3

writes OUT/nturgb+d_skeletons/SsssCcccPpppRrrrAaaa.skeleton (default: 1152 files of about 55 frames at 30 per second, 25
joints, metres) and OUT/demo_manifest.json with the arguments and a summary of the files; a complete recording with the same
arguments is not made again.

Performers with their own build, pace, habits and handedness (numbered like NTU-60's, so that its cross-subject split applies: of
16, ten are for training and six for testing) act short motion programs named after NTU-60 actions (`motions.py`) with an
articulated body (`body.py`). Three cameras record each performance, camera 1 at 0, 2 at -45 and 3 at +45 degrees; in
replication 1 people face camera 2, in replication 2 camera 3. The sensor adds noise and the flaws of real recordings
(`recording.py`).

Nobody was recorded: motions, noise and difficulty were chosen by hand. An accuracy on this data shows that the code runs and
learns; it says nothing about a method's accuracy on NTU RGB+D, and has to be called invented wherever it is printed.

Every file depends only on (seed, performer, action, replication, camera): the number of workers changes nothing, and a
smaller recording consists of the same files as the larger one with the same seed.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.demo.body import Build, mirrored, pose, rotation
from data.demo.motions import ACTIONS, distraction
from data.demo.recording import CAMERA_ANGLE, CASES, disturb, sense_bodies, skeleton_text, view
from data.demo.score import Score
from util import errors

FPS = 30
FOLDER, MANIFEST = "nturgb+d_skeletons", "demo_manifest.json"
HABITS = {"lean": 0.06, "tilt": 0.03, "twist": 0.05, "nod": 0.12}  # spread of the posture, radians; drawn in this order
HABITS |= {"elbow_l": 0.2, "elbow_r": 0.2, "wrist_l": 0.2, "wrist_r": 0.2}
LIMITS = {"performers": (3, 40), "actions": (1, len(ACTIONS)), "replications": (1, 2), "cameras": (2, 3)}


def generator(seed, performer, action=0, replication=0, camera=0):
    """The random generator of one file or, with zeros, of what several files share."""
    return np.random.default_rng(np.random.SeedSequence((seed, performer, action, replication, camera)))


class Person:
    """A performer in one performance: build and habits, which are always the same, and the score of this performance."""

    def __init__(self, seed, performer, rng):
        habits = generator(seed, performer)  # the same in every performance
        self.body = Build.random(habits)
        pace, size = np.exp(habits.normal(-0.05, 0.16)), np.exp(habits.normal(0, 0.25))
        self.left_handed = habits.random() < 0.3
        self.restless = habits.uniform(0.5, 2.0)
        posture = {name: habits.normal(0, spread) for name, spread in HABITS.items()}
        if rng.random() < 0.12:
            self.left_handed = not self.left_handed
        self.score = Score(rng, pace * np.exp(rng.normal(0, 0.12)), size)
        self.score.begin(**posture)
        self.score.sway(self.restless)

    def joints(self, time):
        """Joints (T,25,3) in the person's frame at `time` (T,) seconds."""
        joints = pose(self.body, self.score.render(time))
        return mirrored(joints) if self.left_handed else joints


class Performance:
    """One performance of an action, whose joints can be computed at any time."""

    def __init__(self, seed, performer, action, replication):
        rng = generator(seed, performer, action.number, replication)
        self.people = [Person(seed, performer, rng)]
        actor = self.people[0]
        heading = CAMERA_ANGLE[replication + 1] + rng.uniform(-0.5, 0.5)
        spot = np.array([rng.uniform(-0.25, 0.25), 0, rng.uniform(-0.3, 0.3)])
        self.places = [(heading, spot)]
        if action.gap:
            partner = 1000 + int(rng.integers(8))  # a separate pool of partners, so that no test performer is one
            self.people.append(Person(seed, partner, rng))
            gap = action.gap * rng.uniform(0.92, 1.15)
            heading += rng.choice((-1, 1)) * np.pi / 2
            forwards = rotation(1, np.array([heading]))[0] @ (0, 0, -1)
            facing = heading + action.partner + rng.normal(0, 0.12)
            self.places = [(heading, spot - forwards * gap / 2), (facing, spot + forwards * gap / 2)]
            end = action.program(actor.score, rng, self.people[1].score, gap)
        else:
            end = action.program(actor.score, rng)
        lead, tail = rng.uniform(-0.15, 0.5, 2)
        self.begin, self.end = -lead * actor.score.pace, (end + tail) * actor.score.pace
        for person in self.people:
            if rng.random() < 0.6:
                distraction(person.score, rng, rng.uniform(-0.6, end))

    def joints(self, time):
        """Joints (P,T,25,3) of all people in the scene at `time` (T,) seconds, without noise."""
        people = []
        for person, (heading, spot) in zip(self.people, self.places, strict=True):
            people.append(person.joints(time) @ rotation(1, np.array([heading]))[0].T + spot)
        return np.stack(people)


def record(folder, seed, replications, cameras, performer_action):
    """Write all files of one performer and action; returns [(awkward cases, frames, bytes)] of the files."""
    performer, action = performer_action
    setup = 1 + (performer - 1) // 4  # every four performers have other camera positions
    room = generator(seed, 2000 + setup)
    distance, height, tilt = room.uniform(2.6, 3.6), room.uniform(0.8, 1.3), room.uniform(-0.08, 0.08)
    written = []
    for replication in range(1, replications + 1):
        performance = Performance(seed, performer, action, replication)
        for camera in range(1, cameras + 1):
            rng = generator(seed, performer, action.number, replication, camera)
            begin, end = performance.begin + rng.uniform(-0.2, 0.2), performance.end + rng.uniform(-0.2, 0.2)
            frames = int(np.clip((end - begin) * FPS, 32, 140))
            people = performance.joints(begin + np.arange(frames) / FPS)
            cases = [case for case, share in CASES.items() if rng.random() < share]
            tracks = disturb(sense_bodies(view(people, camera, distance, height, tilt), camera, rng), cases, rng)
            if (performer, action, replication, camera) == (1, ACTIONS[0], 1, 1):
                cases, tracks = ["no skeleton"], []  # the one missing skeleton of every recording
            if not np.any([np.zeros(frames, bool), *(track.present for track in tracks)], axis=0).all():
                cases = [*cases, "frames without bodies"]
            name = f"S{setup:03}C{camera:03}P{performer:03}R{replication:03}A{action.number:03}.skeleton"
            text = skeleton_text(frames, tracks)
            (folder / name).write_text(text, encoding="ascii", newline="\r\n" if "crlf" in cases else "\n")
            written.append((cases, frames, len(text)))
    return written


def make_demo(out, seed=0, performers=16, actions=12, replications=2, cameras=3, workers=1, progress=print):
    """Write the recording below `out` unless it is there already; returns the manifest (dict).

    Raises ValueError for numbers outside LIMITS and for a folder with skeleton files that are not from this function."""
    arguments = dict(seed=seed, performers=performers, actions=actions, replications=replications, cameras=cameras)
    for name, (low, high) in LIMITS.items():
        if not low <= arguments[name] <= high:
            raise ValueError(f"--{name} is {arguments[name]}, should lie between {low} and {high}")
    if seed < 0 or workers < 1:
        raise ValueError(f"--seed is {seed} and --workers is {workers}, should be at least 0 and 1")
    folder, manifest_file = Path(out) / FOLDER, Path(out) / MANIFEST
    source = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
    arguments["source"] = source.hexdigest()[:16]
    old = list(folder.glob("*.skeleton"))
    if manifest_file.exists():
        manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
        if manifest["arguments"] == arguments and manifest.get("files") == len(old):
            progress(f"{folder}: {len(old)} invented files are there already")
            return manifest
    elif old:
        raise ValueError(f"{folder} holds skeleton files that are not from make_demo.py; give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    manifest_file.write_text(json.dumps({"arguments": arguments}))  # incomplete as long as it has no 'files'
    for path in old:
        path.unlink()

    jobs = [(performer, action) for performer in range(1, performers + 1) for action in ACTIONS[:actions]]
    work = partial(record, folder, seed, replications, cameras)
    written = []
    with Pool(workers) as pool:
        for done, files in enumerate(pool.imap_unordered(work, jobs), 1):
            written += files
            if done % max(1, len(jobs) // 5) == 0:
                progress(f"{len(written)} of {len(jobs) * replications * cameras} files")
    frames = [n for _, n, _ in written]
    manifest = {
        "arguments": arguments,
        "files": len(written),
        "invented": True,
        "frames mean": round(float(np.mean(frames)), 1),
        "frames longest": max(frames),
        "megabytes": round(sum(n for *_, n in written) / 1e6, 1),
        "actions": {f"A{action.number:03}": action.name for action in ACTIONS[:actions]},
        "files with": dict(sorted(Counter(case for cases, *_ in written for case in cases).items())),
    }
    manifest_file.write_text(json.dumps(manifest, indent=1))
    return manifest


def main():
    parser = argparse.ArgumentParser(description="Make an INVENTED recording in the format of NTU RGB+D.")
    parser.add_argument("--out", default=str(Path(__file__).parent / "raw"), help="folder to write into")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--performers", type=int, default=16, help="3 to 40; the first are 1, 2 (train), 3 (test) ...")
    parser.add_argument("--actions", type=int, default=12, help=f"1 to {len(ACTIONS)}, the first of motions.ACTIONS")
    parser.add_argument("--replications", type=int, default=2, help="1 or 2")
    parser.add_argument("--cameras", type=int, default=3, help="2 or 3")
    parser.add_argument("--workers", type=int, default=2, help="processes; the files do not depend on it")
    manifest = make_demo(**vars(parser.parse_args()))
    print(json.dumps(manifest, indent=1))


if __name__ == "__main__":
    errors.main(main)

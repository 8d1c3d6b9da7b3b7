"""The invented recording: reproducible, plausible bodies, and every flaw of the real release."""

import re

import numpy as np
import pytest

from data.demo import make_demo as demo
from data.demo.motions import ACTIONS
from data.demo.recording import view
from data.prepare.skeleton_file import read_frames

SIZE = dict(performers=5, actions=6, replications=2, cameras=3)
PARENT = [2, 21, 21, 3, 21, 5, 6, 7, 21, 9, 10, 11, 1, 13, 14, 15, 1, 17, 18, 19, 21, 8, 8, 12, 12]  # 1-based


def parse(path):
    """{body id: (frames, joints (n,25,3))} and the number of bodies of every frame."""
    counts, ids, joints = read_frames(path)
    frames, ids = np.repeat(np.arange(len(counts)), counts), np.array([int(body_id) for body_id in ids], np.int64)
    return {int(i): (frames[ids == i], joints[ids == i]) for i in dict.fromkeys(ids.tolist())}, counts


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / demo.FOLDER).iterdir()}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    manifest = demo.make_demo(folder, **SIZE)
    return folder, manifest, {path.stem: parse(path) for path in sorted((folder / demo.FOLDER).iterdir())}


def test_same_bytes_again_with_any_number_of_workers(recording, tmp_path):
    again = demo.make_demo(tmp_path, workers=2, **SIZE)
    assert again == recording[1]
    assert contents(tmp_path) == contents(recording[0])


def test_subset_is_the_same_files(recording, tmp_path):
    demo.make_demo(tmp_path, performers=3, actions=4, replications=1, cameras=2)
    full, part = contents(recording[0]), contents(tmp_path)
    assert len(part) == 3 * 4 * 2
    assert all(full[name] == content for name, content in part.items())


def test_complete_recording_is_kept_and_broken_one_rewritten(tmp_path):
    size = dict(performers=3, actions=1, replications=1, cameras=2)
    demo.make_demo(tmp_path, **size)
    before = contents(tmp_path)
    victim = tmp_path / demo.FOLDER / "S001C001P002R001A023.skeleton"
    stamp = victim.stat().st_mtime_ns
    demo.make_demo(tmp_path, **size)
    assert victim.stat().st_mtime_ns == stamp
    victim.unlink()
    demo.make_demo(tmp_path, **size)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("wrong", [{"performers": 2}, {"actions": 99}, {"cameras": 1}, {"seed": -1}, {"workers": 0}])
def test_wrong_numbers_are_named(tmp_path, wrong):
    with pytest.raises(ValueError, match=f"--{next(iter(wrong))} is {next(iter(wrong.values()))}|and --workers is 0"):
        demo.make_demo(tmp_path, **wrong)


def test_foreign_recordings_are_not_touched(tmp_path):
    foreign = tmp_path / demo.FOLDER / "S001C001P001R001A001.skeleton"
    foreign.parent.mkdir()
    foreign.write_text("0\n")
    with pytest.raises(ValueError, match="not from make_demo.py"):
        demo.make_demo(tmp_path)
    assert foreign.read_text() == "0\n"


def test_names_and_splits(recording):
    names = recording[2]
    assert len(names) == 5 * 6 * 2 * 3 == recording[1]["files"]
    fields = np.array(
        [[int(x) for x in re.fullmatch(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", name).groups()] for name in names]
    )
    assert set(fields[:, 1]) == {1, 2, 3} and set(fields[:, 2]) == {1, 2, 3, 4, 5} and set(fields[:, 3]) == {1, 2}
    assert set(fields[:, 4]) == {action.number for action in ACTIONS[:6]}
    assert len({action.number for action in ACTIONS}) == len(ACTIONS)
    assert any(action.gap for action in ACTIONS[:4]) and sum(action.gap > 0 for action in ACTIONS[:12]) >= 3


def test_every_flaw_occurs(recording):
    folder, manifest, files = recording
    told = manifest["files with"]
    seen = dict.fromkeys(told, 0)
    for name, (bodies, counts) in files.items():
        content = (folder / demo.FOLDER / f"{name}.skeleton").read_bytes()
        assert content.count(b"\r\n") in (0, content.count(b"\n"))
        spans = [(frames[0], frames[-1]) for frames, _ in bodies.values()]
        extents = [np.ptp(joints, axis=1) for _, joints in bodies.values()]
        seen["crlf"] += b"\r\n" in content
        seen["no skeleton"] += not bodies
        seen["frames without bodies"] += 0 in counts
        seen["late detection"] += bool(bodies) and counts[0] == 0
        seen["tracking loss"] += any(len(frames) < frames[-1] - frames[0] + 1 for frames, _ in bodies.values())
        seen["id change"] += any(a[1] < b[0] <= a[1] + 4 and a[1] >= 12 <= b[1] - b[0] for a in spans for b in spans)
        seen["short ghost"] += any(len(frames) <= 11 for frames, _ in bodies.values())
        seen["wide ghost"] += any(len(e) > 11 and (e[:, 0] > 0.8 * e[:, 1]).mean() > 0.69754 for e in extents)
        assert all(body_id > 2**53 for body_id in bodies)
    for case in ("crlf", "no skeleton", "frames without bodies", "short ghost"):
        assert seen[case] == told[case], case
    assert seen["no skeleton"] == 1
    for case in ("late detection", "tracking loss", "id change", "wide ghost"):
        assert told[case] > 0 and seen[case] > 0, case
    assert any(body_id != int(float(body_id)) for bodies, _ in files.values() for body_id in bodies)


def test_bodies_are_plausible(recording):
    lengths = [len(counts) for _, counts in recording[2].values()]
    assert min(lengths) >= 30 and max(lengths) <= 300
    two = {action.number for action in ACTIONS if action.gap}
    for name, (bodies, counts) in recording[2].items():
        if not bodies:
            continue
        assert (max(counts) >= 2) >= (int(name[-3:]) in two)
        assert all((np.diff(frames) > 0).all() for frames, _ in bodies.values())  # no id twice in a frame
        joints = np.concatenate([joints for _, joints in bodies.values() if len(joints) > 11])
        assert joints[..., 2].min() > 0.8 and joints[..., 2].max() < 6 and abs(joints[..., :2]).max() < 3
        shown = max(bodies.values(), key=lambda body: np.ptp(body[1][..., 1]))[1]
        assert (shown[:, 3, 1] > shown[:, 15, 1]).mean() > 0.95  # head above foot: y points up


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: f"A{action.number:03}")
def test_noise_free_skeleton(action):
    for replication, camera in ((1, 2), (2, 3)):
        performance = demo.Performance(0, 3, action, replication)
        time = np.linspace(performance.begin, performance.end, 60)
        people = performance.joints(time)
        assert people.shape == (1 + (action.gap > 0), 60, 25, 3) and np.isfinite(people).all()
        bones = np.linalg.norm(people - people[:, :, np.array(PARENT) - 1], axis=-1)
        assert np.ptp(bones, axis=1).max() < 1e-9
        assert (np.delete(bones, 20, axis=-1) > 0.03).all()
        floor = people[:, :, [14, 15, 18, 19], 1].min(-1)  # lower foot: on the floor except when jumping
        assert floor.min() > -0.12 and np.median(floor) < 0.12
        speed = np.linalg.norm(np.diff(people, axis=1), axis=-1).max() / (time[1] - time[0])
        assert speed < 15  # metres per second
        if not action.gap:  # people face the camera of their replication
            seen = view(people, camera, 3.0, 1.0, 0.0)
            assert (seen[:, :, 4, 0] < seen[:, :, 8, 0]).mean() > 0.9

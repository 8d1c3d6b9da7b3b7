"""inspect on files of other formats; the example and the recipes of docs/data.md, on recordings in the formats of these sets."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from data.own import own_gendata as own
from data.prepare import inspect
from feeder.feeder_ntu import Feeder
from tests.data import bvh_text
from tests.data.helpers import UTD, joints, load

ROOT = Path(__file__).resolve().parents[2]


def test_inspect_describes_how_a_file_is_read(kinect, real, tmp_path):
    x = real["irds"][0]
    note = {"frame_dir": "a", "label": 3, "total_frames": len(x), "keypoint": x[None]}
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([note, note | {"label": -1}]))
    (tmp_path / "labels.pkl").write_bytes(pickle.dumps((["a", "b"], [0, 1])))
    np.save(tmp_path / "mm.npy", x * 1000)
    np.save(tmp_path / "five.npy", x.transpose(2, 0, 1)[None, ..., None])
    np.save(tmp_path / "labels.npy", np.arange(4))
    np.savetxt(tmp_path / "own.txt", x.reshape(len(x), 75))
    np.savetxt(tmp_path / "turned.csv", kinect.swapaxes(0, 1).reshape(20, 156), delimiter=",")
    savemat(tmp_path / "utd.mat", {"d_skel": kinect[:, UTD].transpose(1, 2, 0)})
    for name, words in {
        "list.pkl": ["2 annotations of PYSKL's form, without splits", "cannot be used: 1", "drawn: --index 0, a, class 3"],
        "labels.pkl": ["(['a', 'b'], [0, 1]); not PYSKL's annotations"],
        "mm.npy": ["25 joints, 3 coordinates", "--unit mm would fit", "layout kinect_v2: bones fit"],
        "five.npy": ["samples x coordinates x frames x joints x bodies", "metres, as the size"],
        "labels.npy": ["not a recording; labels or counts"],
        "own.txt": [f"bodies: 1, {len(x)} frames"],
        "turned.csv": ["warning: read as 20 frames of 52 joints"],
        "utd.mat": ["52 frames", "20 joints", "layout kinect_v1: bones do not fit"],
    }.items():
        lines, sequence = inspect.inspect(tmp_path / name)
        for word in words:
            assert word in "\n".join(lines), lines
        assert (sequence is None) == ("labels" in name)
    lines, sequence = inspect.inspect(tmp_path / "turned.csv", axes="VTC")
    assert np.allclose(sequence.joints[:, 0], kinect, atol=1e-6) and "warning" not in "\n".join(lines)


@pytest.mark.parametrize("scale, unit", [(100, "cm"), (1, "m"), (1000, "mm"), (1 / 0.056444, "0.056444 m")])
def test_bvh(scale, unit, tmp_path):
    (tmp_path / "walk.bvh").write_text(bvh_text.text(*bvh_text.person(40, scale=scale), frame_time="0.008333"))
    lines, sequence = inspect.inspect(tmp_path / "walk.bvh")
    out = "\n".join(lines)
    assert "BVH recording, 40 frames, 120 a second, 18 joints and 5 End Sites" in out
    assert f"unit: {unit}, as the size of the body suggests" in out and "--joints kinect_v1: all 20 joints are found" in out
    assert len(sequence.joints) == 40 and len(sequence.parents) == 23 and "along z" not in out


def test_other_bvh_files(tmp_path):
    (tmp_path / "other.bvh").write_text(bvh_text.text(*bvh_text.person(4, names={"Head": "Kopf"})))
    assert "no joint that could be Kinect's 'head' among Hips" in "\n".join(inspect.inspect(tmp_path / "other.bvh")[0])
    (tmp_path / "cut.bvh").write_text((tmp_path / "other.bvh").read_text()[:3000])
    with pytest.raises(ValueError, match="cut.bvh: "):
        inspect.inspect(tmp_path / "cut.bvh")


def test_the_recipes_of_the_documentation(real, tmp_path):
    """The documented commands, on recordings written in the formats that the sets are described to have."""
    text = (ROOT / "docs/data.md").read_text().split("## Recipes for public sets", 1)[1]
    blocks = {part.split("\n")[0]: part for part in text.split("\n### ")[1:]}
    takes = [real["irds"][i % 8][:60, :20] for i in range(20)]  # of 10 people
    msr = np.argsort([6, 3, 2, 19, 0, 7, 9, 11, 1, 8, 10, 12, 4, 13, 15, 17, 5, 14, 16, 18])
    sbu = [3, 2, 1, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 19]  # of Kinect v1
    for name in ("Skeleton", "MSRAction3D", "joints", "HDM05"):
        (tmp_path / name).mkdir()
    labels = ""
    for i, x in enumerate(takes):
        action, subject, count = i % 2 + 1, i // 2 + 1, np.arange(len(x))[:, None]
        if subject <= 8:
            savemat(tmp_path / f"Skeleton/a{action}_s{subject}_t1_skeleton.mat", {"d_skel": x[:, UTD].transpose(1, 2, 0)})
        four = np.dstack([x[:, msr], np.ones((len(x), 20))])
        np.savetxt(tmp_path / f"MSRAction3D/a0{action}_s{subject:02}_e01_skeleton3D.txt", four.reshape(-1, 4))
        take = f"s{subject:02}_e0{action}"
        np.savetxt(tmp_path / f"joints/joints_{take}.txt", np.hstack([count + 7, x.reshape(len(x), 60)]))
        labels += f"{take}\nwalk: 7 20\nsitDown: 21 {len(x) + 6}\npush: NaN NaN\n"
        folder = tmp_path / f"SBU/{('s01s02', 's03s04', 's05s02', 's06s04', 's02s03')[i // 2 % 5]}/0{action}/00{i}"
        folder.mkdir(parents=True)
        two = np.stack([x[:, sbu], x[:, sbu] + 1], axis=1).reshape(len(x), -1)
        np.savetxt(folder / "skeleton_pos.txt", np.hstack([count + 1, two]), delimiter=",")
        array = real["irds"][0][:40]
        np.save(
            tmp_path / f"HDM05/HDM_{('bd', 'bk', 'dg', 'mm', 'tr')[i // 2 % 5]}_clap{action}Reps_00{i}_120.npy",
            array[:, [*range(25), *range(6)]],
        )
    (tmp_path / "actionLabel.txt").write_text(labels)
    (tmp_path / "data").symlink_to(ROOT / "data")
    code = text.split("```python\n")[1].split("```")[0]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    shapes = {"UTD-MHAD": 20, "MSR-Action3D": 20, "UTKinect-Action3D": 20, "SBU Kinect Interaction": 15, "HDM05": 31}
    for name, num_joints in shapes.items():
        command = blocks[name].split("```bash\n")[1].split("```")[0].replace("python data", f"{sys.executable} data")
        done = subprocess.run(["bash", "-c", command.rstrip() + " --out out"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, (name, done.stderr)
        with np.load(tmp_path / "out" / f"{command.split('--name ')[1].split()[0]}.npz") as npz:
            assert npz["num_joints"] == num_joints and len(npz["class_names"]) == 2 and len(npz["x_train"]) and len(npz["x_test"])
            if name == "UTD-MHAD":
                x = takes[0] - takes[0][0, 1]
                assert np.allclose(npz["x_train"][0, : len(x)], x.reshape(len(x), 60), atol=1e-6)


def test_the_example_in_the_documentation(tmp_path, command):
    """The code block of docs/data.md that makes recordings, and the command below it."""
    text = (ROOT / "docs/data.md").read_text().split("## Your own", 1)[1]
    code = text.split("```python\n", 1)[1].split("```", 1)[0]
    (tmp_path / "code.py").write_text(code)
    assert command(["code.py"], tmp_path).returncode == 0
    line = next(line for line in text.splitlines() if line.startswith("python data/own/own_gendata.py recordings"))
    done = command([own.__file__, *line.split()[2:]], tmp_path)
    assert done.returncode == 0, done.stderr
    npz = tmp_path / line.split("--out ")[1].split()[0] / f"{line.split('--name ')[1].split()[0]}.npz"
    data = Feeder(npz, "train", window_size=20, min_frames=10, bone=True)
    assert data[0][0].shape[1:] == (20, data.num_joints, 1) and len(data.class_names) == data.num_classes
    # and that the printed lines are those of the documentation
    assert done.stdout in text.replace("```", "")


def test_json_by_the_code_in_the_documentation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poses").mkdir()
    x = joints(0, 6, 4, 3)
    frames = [{"joints": [dict(zip("xyz", map(float, joint), strict=True)) for joint in frame]} for frame in x]
    (tmp_path / "poses/a.json").write_text(json.dumps(frames))
    with pytest.raises(FileNotFoundError, match="poses: holds no file that ends in .npy, .*'Other formats'"):
        own.generate(["poses"], "out")
    text = (ROOT / "docs/data.md").read_text().split("### Other formats", 1)[1]
    exec(text.split("```python\n", 1)[1].split("```", 1)[0], {})
    assert (load(own.generate(["poses"], "out"))["x_train"] == x.astype(np.float32).reshape(1, 6, 12)).all()

"""Pictures and films of checkpoints, of chosen sequences, with the checkpoint's settings."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from data.bvh import bvh_gendata
from feeder.loader import build_feeder
from report import figures, pictures, sequences, sheet, skeletons
from scripts import visualize
from tests.conftest import invent
from tests.data import bvh_text
from tests.predict.helpers import MAMP, trained_on
from util import checkpoint


@pytest.fixture
def drawings(monkeypatch):
    """[(title, {name: ...})] of what the script would have written, which takes seconds."""
    written = []
    monkeypatch.setattr(visualize, "write", lambda folder, sample, source, drawn: written.append((sample.title, drawn)) or [])
    return written


@pytest.mark.parametrize("stage, named", [("pretrain", {"decoder": "query", "query_frames": 8}), ("linprobe", {})])
def test_pictures_and_films_of_a_checkpoint(stage, named, made, two_people, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--checkpoint", made(stage, **named), "--data_path", two_people, "--samples", 1, "--out", out]
    visualize.main([str(word) for word in words])
    names = {"skeleton", "mask", "prediction", "intensity"} if stage == "pretrain" else {"skeleton", "saliency"}
    kinds = [".gif", ".mp4", ".png"] if skeletons.has_ffmpeg() else [".gif", ".png"]
    assert sorted(file.name for file in (out / "test-1-test001").iterdir()) == sorted(n + kind for n in names for kind in kinds)
    for name in names:
        picture = np.asarray(Image.open(out / f"test-1-test001/{name}.png").convert("RGB"))
        assert picture.shape[1] == 1000 and (picture < 200).any(axis=2).mean() > 0.01
        with Image.open(out / f"test-1-test001/{name}.gif") as film:
            assert film.n_frames == 8 and film.info["duration"] == 1000 // visualize.FPS
            first = np.asarray(film.convert("RGB"))
            film.seek(5)
            assert (np.asarray(film.convert("RGB")) != first).any(axis=2).mean() > 0.005
    printed = capsys.readouterr().out
    assert "test001" in printed and ("ffmpeg is not installed" in printed) == (not skeletons.has_ffmpeg())


def test_a_recording_alone(tmp_path, capsys, drawings):
    """A BVH file is drawn as the npz of its folder would have it, with the classes' names and without a truth."""
    for i in range(4):
        (tmp_path / f"{'walk' if i % 2 else 'jump'}_{i}.bvh").write_text(bvh_text.text(*bvh_text.person(30 + i, seed=i)))
    pattern, settings = r"(?P<label>[a-z]+)_(?P<group>\d)", {"joints": "kinect_v1", "test_groups": ["2", "3"], "body_frame": []}
    npz = bvh_gendata.generate(tmp_path, tmp_path / "out", label_pattern=pattern, min_max=True, **settings)
    path = trained_on(npz, tmp_path / "probe.pth", "linprobe", *MAMP)
    with np.load(npz) as together, np.load(visualize.prepared(tmp_path / "walk_3.bvh", path, tmp_path)) as alone:
        row = together["name_test"].tolist().index("walk_3")
        np.testing.assert_allclose(alone["x_test"][0], together["x_test"][row][:33], atol=1e-6)
    npz.unlink()
    line = ["--checkpoint", str(path), "--recording", str(tmp_path / "walk_3.bvh")]
    visualize.main([*line, "--out", str(tmp_path / "pictures")])
    assert [(title, {*names}) for title, names in drawings] == [("walk_3 · no label", {"skeleton", "saliency"})]
    assert f"{tmp_path}/pictures/recording-walk_3" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        visualize.main([*line, "--split", "train"])


def test_keypoints_of_pictures_are_drawn_upright(tmp_path):
    x = np.random.default_rng(0).uniform(0, 1, (4, 20, 17, 3)).astype(np.float32)
    x[..., 2] = 0
    arrays = {
        f"{key}_{split}": value for split in ("train", "test") for key, value in (("x", x.reshape(4, 20, 51)), ("y", np.eye(4)))
    }
    np.savez(tmp_path / "flat.npz", **arrays, num_joints=17, num_bodies=1, layout="coco17", coordinates=2)
    path = trained_on(tmp_path / "flat.npz", tmp_path / "probe.pth", "linprobe", *MAMP)
    np.save(tmp_path / "one.npy", x[0, :, :, :2])
    args, _ = visualize.options(path, ["--data_path", str(visualize.prepared(tmp_path / "one.npy", path, tmp_path))])
    assert sequences.load_sample(*sequences.feeders(args, "test", labelled=False), 0).up == "-y"


def test_the_checkpoint_names_data_and_classes(made, two_people, tmp_path, monkeypatch, drawings):
    """Three sequences of three classes out of the npz of the training, with the classes' names that only the checkpoint has."""
    path, names = made("linprobe"), ["wave", "kick", "sit"]
    checkpoint.save(path, checkpoint.load(path) | {"data": {"num_joints": 5, "num_bodies": 2, "class_names": names}})
    monkeypatch.chdir(tmp_path)
    visualize.main(["--checkpoint", str(path)])
    with np.load(two_people) as file:
        label = dict(zip(file["name_test"].tolist(), file["y_test"].argmax(1), strict=True))
    rows = [title.split(" · ") for title, _ in drawings]
    assert sorted(label[name] for name, _ in rows) == [0, 1, 2]
    assert [title for _, title in rows] == [f"class {label[name]} ({names[label[name]]})" for name, _ in rows]


@pytest.mark.parametrize("count, classes, different", [(30, 10, 3), (30, 2, 2), (2, 2, 2), (1, 1, 1)])
def test_three_sequences_of_different_classes(count, classes, different):
    class Split(SimpleNamespace):
        __len__ = lambda self: len(self.indices)  # noqa: E731

    for seed in range(20):
        label, indices = np.random.default_rng(seed).permutation(np.tile(np.arange(count), (2, 1)), axis=1)
        data = Split(label=np.sort(label % classes), indices=indices)  # sorted as files often are
        rows = sequences.choose(data)
        assert len(rows) == min(3, count) == len(set(rows)) and len(set(data.label[indices][rows])) == different


def test_settings_are_those_of_the_checkpoint_or_of_the_command_line(made, opened):
    named = {"mask_ratio": 0.7, "motion_aware_tau": 0.3, "motion_stride": 2, "target": "joint"}
    args, model, _ = opened("pretrain", "--mask_ratio", "0.5", **named)
    assert (args.mask_ratio, args.motion_aware_tau, args.motion_stride, model.target) == (0.5, 0.3, 2, "joint")
    args = opened("linprobe", readout="per_joint", test_p_interval=0.5)[0]
    assert args.readout == "per_joint" and args.test_p_interval == [0.5]
    path = made("pretrain")  # sizes come from the weights
    checkpoint.save(path, {"model": checkpoint.load(path)["model"], "config": {"num_heads": 2}})
    args = visualize.options(path, ["--data_path", "a.npz"])[0]
    assert (args.dim_feat, args.depth, args.num_frames, args.decoder_depth, args.decoder_dim_feat) == (8, 2, 8, 1, 8)


def test_of_umurls_pretraining_only_the_body_is_drawn(made, two_people, capsys, drawings):
    sizes = dict.fromkeys(("decoder_dim_feat", "decoder_depth", "mask_ratio", "mlp_ratio")) | {"method": "umurl"}
    path = made("pretrain", **sizes, projector_dim=8)
    visualize.main(["--checkpoint", str(path), "--data_path", str(two_people), "--samples", "1"])
    assert [[*names] for _, names in drawings] == [["skeleton"]]
    assert "only the moving body is drawn" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--samples", "13"], r"--samples 13: the split test has the rows 0 to 12"),
        (["--names", "test00"], r"no sequence 'test00' in the split test; near are test000, test001, test002"),
        (["--sampels", "3"], r"'sampels' is not known|does not belong here"),
        (["--dim_feat", "16"], r"built with other sizes"),
        (["--checkpoint", "nowhere.pth"], r"nowhere.pth: no such checkpoint"),
        (["--data_path", "nowhere.npz"], r"nowhere.npz"),
        (["--data_path", "four.npz"], r"trained on 5 joints, the data has 4"),
        (["--out", "four.npz"], r"is a file; give a folder"),
    ],
)
def test_mistakes_are_one_line(words, wrong, made, two_people, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("four.npz", **invent(joints=4))
    before = {made("pretrain"), *tmp_path.iterdir()}
    with pytest.raises((ValueError, OSError), match=wrong) as error:
        visualize.main(["--checkpoint", "pretrain.pth", "--data_path", str(two_people), *words])
    assert "\n" not in str(error.value) and {*tmp_path.iterdir()} == before


def test_the_data_of_the_training_are_gone(made):
    content = checkpoint.load(path := made("pretrain"))
    checkpoint.save(path, content | {"config": content["config"] | {"data_path": "gone.npz"}})
    with pytest.raises(FileNotFoundError, match="was trained on gone.npz, which is not here; name it with --data_path"):
        visualize.main(["--checkpoint", str(path)])


def test_joints_without_a_known_skeleton_are_numbered(made, invented):
    """The invented data set says nothing of its five joints."""
    data = build_feeder(visualize.options(made("pretrain"), ["--data_path", str(invented)])[0], "test", augment=False)
    sample = sequences.load_sample(data, data, 2)
    assert sample.names == tuple(f"joint {v}" for v in range(5)) and sample.parents is None
    assert figures.skeleton(sample, "a model")[0].get_size_inches()[0] * sheet.DPI == 1000
    assert sequences.choose(data) == [0, 4, 8] and sequences.choose(data, [5, 2]) == [5, 2]
    assert sequences.choose(data, None, ["test007"]) == [7]


def test_a_method_that_was_added_is_named(made, two_people, tmp_path):
    """Its masks would be drawn as MAMP draws them."""
    content = checkpoint.load(made("pretrain"))
    checkpoint.save(tmp_path / "tube.pth", content | {"config": content["config"] | {"method": "tube"}})
    with pytest.raises(ValueError, match="tube.pth: is of the method 'tube'; "):
        visualize.main(["--checkpoint", str(tmp_path / "tube.pth"), "--data_path", str(two_people)])


def test_lengths_without_a_unit_are_not_called_metres(made, two_people, tmp_path):
    """What --min_max has scaled, and keypoints of pictures."""
    path, texts = made("pretrain"), {}
    with np.load(two_people) as arrays:
        for name, more in (("metres", {}), ("scaled", {"min_max": 1}), ("flat", {"coordinates": 2})):
            np.savez(tmp_path / f"{name}.npz", **arrays, **more)
            args, content = visualize.options(path, ["--data_path", str(tmp_path / f"{name}.npz")])
            data, joint_data = sequences.feeders(args, "test")
            sample, model = sequences.load_sample(data, joint_data, 1), visualize.model_of(args, content, path, data)
            drawn = {"skeleton": figures.skeleton(sample, "")} | pictures.of_pretraining(model, sample, "", args)
            said = [text.get_text() for figure, _ in drawn.values() for text in figure.findobj(Text)]
            texts[name] = " ".join(word for text in said for word in text.split())
            assert [sample.unit] == {"metres": ["metres"], "scaled": ["scaled to −1 … 1"], "flat": ["no unit"]}[name]
    assert re.search(r"\d m apart.* \d+\.\d\d cm, visible ones \d+\.\d\d cm on average.*mean, cm", texts["metres"])
    for name in ("scaled", "flat"):
        assert not re.search(r"\b(c?m|metres)\b", texts[name]), texts[name]

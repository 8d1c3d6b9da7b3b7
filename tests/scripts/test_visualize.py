"""What is drawn of a checkpoint is what the model hides, predicts and looks at."""

import dataclasses
import os

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from data.bvh import bvh_gendata
from feeder.loader import build_feeder
from model import build
from model.mamp import gather_tokens
from report import explain, page, pictures, plots, samples
from scripts import visualize
from tests.conftest import invent
from tests.data import bvh_text
from tests.predict.helpers import MAMP, trained_on
from util import checkpoint, config


@pytest.fixture(scope="module")
def two_people(tmp_path_factory):
    """Path of invented recordings of two bodies; in the first test sequence the second one is absent."""
    arrays = invent(bodies=2) | {"parents": np.array([0, 0, 1, 0, 3]), "joint_names": np.array([*"abcd", "left foot"])}
    arrays["x_test"].reshape(13, 12, 2, 5, 3)[0, :, 1] = 0
    path = tmp_path_factory.mktemp("two") / "two.npz"
    np.savez(path, **arrays)
    return path


def drawn(axes):
    """(V, T') of a map; matplotlib before 3.8 has it flat."""
    return np.reshape(axes.collections[0].get_array(), (5, -1))


@pytest.fixture
def made(tmp_path, options, two_people):
    """made(stage, option words, ...) -> path of a checkpoint with random weights."""

    def make(stage, *words, **named):
        args = config.parse(stage, options(stage, two_people, tmp_path, *words, **named))
        data = build_feeder(args, "train", augment=False)
        torch.manual_seed(3)
        args.accum_iter = 1
        model = build.pretrainer(args, data, "cpu")[0] if stage == "pretrain" else build.classifier(args, data, 3)
        for parameter in model.parameters():  # so that predictions are not next to nothing
            parameter.data += 0.2 * torch.randn_like(parameter)
        checkpoint.save(tmp_path / f"{stage}.pth", {"model": model.state_dict(), "config": vars(args), "epoch": 6})
        return tmp_path / f"{stage}.pth"

    return make


@pytest.fixture
def opened(two_people):
    """opened(checkpoint, row, option words, ...) -> (args, model, Sample) as the script has them."""

    def open_(path, row=1, *words):
        args, content = visualize.options(path, ["--data_path", str(two_people), *words])
        data, shown = samples.feeders(args, "test")
        return args, visualize.load(args, content, path, data), samples.sample(data, shown, row)

    return open_


def masking(args):
    return {key: getattr(args, key) for key in ("mask_ratio", "motion_stride", "motion_aware_tau")}


def tokens(frames, segment):
    """(T, M, V, C) -> {(body, token): its l·C values}, token by token."""
    t, m, v, _ = frames.shape
    return {
        (b, s * v + j): frames[s * segment : (s + 1) * segment, b, j].ravel()
        for s in range(t // segment)
        for b in range(m)
        for j in range(v)
    }


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("target", ["motion", "joint"])
def test_a_perfect_prediction_is_drawn_on_the_truth(target, stride, made, opened, monkeypatch):
    args, model, sample = opened(made("pretrain", target=target, motion_stride=stride))
    true = sample.joints.astype(np.float64)
    if target == "motion":
        true = np.concatenate([true[stride:] - true[:-stride], np.zeros_like(true[:stride])])
    normalised = torch.zeros(2, 10, 12)
    for (body, token), values in tokens(true, 4).items():
        normalised[body, token] = torch.from_numpy((values - values.mean()) / np.sqrt(values.var(ddof=1) + 1e-6))
    monkeypatch.setattr(model, "forward_decoder", lambda latent, ids: normalised)
    found = explain.predict(model, sample.x, 0, **masking(args))
    np.testing.assert_allclose(found.true, true, atol=1e-6)
    np.testing.assert_allclose(found.predicted, true, atol=1e-5)
    for place, values in tokens(found.given, 4).items():
        np.testing.assert_allclose(values, tokens(true, 4)[place].mean(), atol=1e-6)
    assert found.loss < 1e-6 and 0.8 < found.mean_loss <= 11 / 12 + 1e-6  # unbiased variance of 12 numbers
    figure = pictures.prediction_figure(sample, "a model", found)
    curves = [ax for ax in figure.axes if ax.lines]
    assert len(curves) == 3 and "UN-NORMALISED" in "".join(text.get_text() for text in figure.texts)
    unit = 100 if target == "motion" else 1
    for ax, (m, v, c) in zip(curves, pictures.most_moving(sample, found), strict=True):
        given, truth, guess = (drawn.get_ydata() for drawn in ax.lines)
        hidden = np.repeat(found.hidden[:, m, v], 4)
        np.testing.assert_allclose(truth, unit * true[:, m, v, c], atol=1e-4)
        np.testing.assert_allclose(guess[hidden], truth[hidden], atol=1e-3)
        assert np.isnan(guess[~hidden]).all() and (np.isnan(given) == ~hidden).all()
        assert ax.get_title(loc="left") == f"{sample.names[v]}, body {m + 1}, along {'xyz'[c]}"


@pytest.mark.parametrize("decoder, frames", [("query", 8), ("query", 2), ("cross", 4)])
@pytest.mark.parametrize("target", ["motion", "joint"])
def test_a_perfect_answer_to_queries_is_drawn_on_the_truth(target, decoder, frames, made, opened, monkeypatch):
    """Of hidden tokens; queries are over several tokens, or parts of them, and cover visible ones."""
    words = {"query_frames": frames} if decoder == "query" else {}
    args, model, sample = opened(made("pretrain", decoder=decoder, target=target, **words))
    true = sample.joints.astype(np.float64)
    if target == "motion":
        true = np.concatenate([true[1:] - true[:-1], np.zeros_like(true[:1])])
    answers = torch.stack(
        [
            torch.stack(
                [
                    torch.from_numpy((values - values.mean()) / np.sqrt(values.var(ddof=1) + 1e-6)).float()
                    for (body, _), values in tokens(true, frames).items()
                    if body == m
                ]
            )
            for m in range(2)
        ]
    )
    monkeypatch.setattr(
        model, "forward_queries", lambda latent, asked=None: answers if asked is None else gather_tokens(answers, asked)
    )
    found = explain.predict(model, sample.x, 0, **masking(args))
    hidden = np.repeat(found.hidden, 4, axis=0)
    np.testing.assert_allclose(found.true, true, atol=1e-6)
    seen = np.ones_like(hidden) if decoder == "query" else hidden
    np.testing.assert_allclose(found.predicted[seen], true[seen], atol=1e-5)
    for place, values in tokens(found.given, frames).items():
        np.testing.assert_allclose(values, tokens(true, frames)[place].mean(), atol=1e-6)
    assert found.loss < 1e-5 and 0.7 < found.mean_loss <= 1 and 0 < hidden.mean() < 1
    said = "".join(text.get_text() for text in pictures.prediction_figure(sample, "a model", found).figure.texts)
    said = " ".join(said.split())
    assert ("Loss on all queries" in said) == (f"predicts {frames} frames" in said) == (decoder == "query")


def test_without_normalised_targets_predictions_are_drawn_as_they_are(made, opened):
    args, model, sample = opened(made("pretrain", "--no-norm_skes_loss"))
    found = explain.predict(model, sample.x, 4, **masking(args))
    torch.manual_seed(4)
    loss, pred, _ = model(sample.x[None], **masking(args))
    for (body, token), values in tokens(found.predicted, 4).items():
        np.testing.assert_allclose(values, pred[body, token].detach(), rtol=1e-5)
    assert found.given is None and found.loss == pytest.approx(loss.item(), rel=1e-5)
    figure = pictures.prediction_figure(sample, "a model", found)
    assert "UN-NORMALISED" not in "".join(text.get_text() for text in figure.texts)
    for ax, (m, v, c) in zip([ax for ax in figure.axes if ax.lines], pictures.most_moving(sample, found), strict=True):
        hidden, (truth, guess) = np.repeat(found.hidden[:, m, v], 4), (drawn.get_ydata() for drawn in ax.lines)
        np.testing.assert_allclose(truth, 100 * found.true[:, m, v, c])
        np.testing.assert_allclose(guess[hidden], 100 * found.predicted[hidden, m, v, c])


def test_absent_bodies_do_not_count(made, opened):
    args, model, sample = opened(made("pretrain"), 0)
    found = explain.predict(model, sample.x, 0, **masking(args))
    assert sample.bodies() == [(0, "")] and {m for m, *_ in pictures.most_moving(sample, found)} == {0}
    torch.manual_seed(0)
    _, pred, mask = model(sample.x[None], **masking(args))
    losses = []
    for (body, token), values in tokens(found.true.astype(np.float64), 4).items():
        if body == 0 and mask[0, token]:
            goal = (values - values.mean()) / np.sqrt(values.var(ddof=1) + 1e-6)
            losses.append(((pred[0, token].detach().numpy() - goal) ** 2).mean())
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-4)


def test_the_mask_is_the_models(made, opened):
    args, model, sample = opened(made("pretrain", mask_ratio=0.6, motion_aware_tau=0.5))
    before = torch.get_rng_state()
    found = explain.predict(model, sample.x, 7, **masking(args))
    uniform = explain.hidden_at_random(model, sample.x, 7, 0.6)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    mask = model(sample.x[None], 0.6, 1, 0.5)[2]
    torch.manual_seed(7)
    noise = torch.rand(2, 10)
    for s in range(2):
        for m in range(2):
            for v in range(5):
                assert found.hidden[s, m, v] == bool(mask[m, s * 5 + v])
                assert uniform[s, m, v] == bool((noise[m] < noise[m, s * 5 + v]).sum() >= 4)  # the 4 smallest stay
    assert (found.hidden != uniform).any()


def test_mask_figure_shows_both_masks(made, opened):
    args, model, sample = opened(made("pretrain", mask_ratio=0.6))
    intensity = explain.intensity(model, sample.x)
    masks = {
        "aware": explain.predict(model, sample.x, 7, **masking(args)).hidden,
        "random": explain.hidden_at_random(model, sample.x, 7, 0.6),
    }
    figure = pictures.mask_figure(sample, "a model", intensity, masks)
    maps = [ax for ax in figure.axes if ax.get_title().endswith(("body 1", "body 2"))]
    assert [ax.get_title() for ax in maps] == ["aware, body 1", "random, body 1", "aware, body 2", "random, body 2"]
    for ax, (m, name) in zip(maps, ((m, name) for m in range(2) for name in masks), strict=True):
        np.testing.assert_array_equal(drawn(ax), masks[name][:, m].T)
        assert ax.get_ylim() == (5, 0) and ax.get_xlabel() == "segment"
    assert [label.get_text() for label in maps[0].get_yticklabels()] == list(sample.names)
    rows = [ax for ax in figure.axes if ax.get_title().startswith("frame")]
    assert len(rows) == 8
    for i, ax in enumerate(rows):
        t = int(ax.get_title().split()[1]) - 1
        for m, dots in enumerate(c for c in ax.collections if len(c.get_offsets()) == 5 and c.get_zorder() == 3):
            np.testing.assert_allclose(dots.get_offsets(), sample.joints[t, m, :, :2])
            hidden = masks["aware" if i < 4 else "random"][t // 4, m]
            assert [to_hex(c) for c in dots.get_edgecolors()] == [page.GUESS if h else page.TRUE for h in hidden]


def test_intensity_figure(made, opened):
    _, model, sample = opened(made("pretrain"))
    intensity = explain.intensity(model, sample.x)
    segments = sample.joints.reshape(2, 4, 2, 5, 3)
    expected = np.abs(segments[1] - segments[0]).mean(axis=(0, 3))
    np.testing.assert_allclose(intensity, np.stack([expected, expected]), rtol=1e-4)
    axes = [ax for ax in pictures.intensity_figure(sample, "a model", intensity).axes if ax.has_data()]
    for m in range(2):
        np.testing.assert_allclose(drawn(axes[2 * m]), 100 * intensity[:, m].T)
        np.testing.assert_allclose(axes[2 * m + 1].lines[0].get_ydata(), 100 * intensity[:, m].mean(1), rtol=1e-5)


@pytest.mark.parametrize("target", ["motion", "joint"])
def test_arrows_and_rings_stand_at_hidden_joints(target, made, opened):
    args, model, sample = opened(made("pretrain", target=target))
    found = explain.predict(model, sample.x, 0, **masking(args))
    if target == "motion":
        found = dataclasses.replace(found, true=0.02 * found.true, predicted=0.02 * found.predicted)
        assert pictures.arrow_scale(sample, found) > 1
    figure = plots.Figure()
    artists, step = pictures.prediction_overlay(sample, found)(figure.add_subplot(), [])
    for t in (0, 5):
        step(t)
        hidden, scale = found.hidden[t // 4].ravel(), pictures.arrow_scale(sample, found)
        joints, true, guess = (a[t].reshape(10, 3)[:, :2] for a in (sample.joints, found.true, found.predicted))
        if target == "motion":
            for arrows, motion in zip(artists, (true, guess), strict=True):
                drawn = np.ma.getmaskarray(np.ma.masked_array(arrows.U, arrows.Umask))
                np.testing.assert_array_equal(~drawn, hidden)
                np.testing.assert_allclose(arrows.get_offsets()[hidden], joints[hidden], rtol=1e-6)
                np.testing.assert_allclose(np.stack([arrows.U, arrows.V], 1)[hidden], scale * motion[hidden], rtol=1e-5)
        else:
            for dots, places in zip(artists[1:], (true, guess), strict=True):
                at = np.ma.filled(dots.get_offsets(), np.nan)
                np.testing.assert_allclose(at[hidden], places[hidden], rtol=1e-4, atol=1e-6)
                assert np.isnan(at[~hidden]).all()


def test_saliency_of_a_linear_model_is_its_terms():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(3, 8, 5, 2, generator=generator), torch.randn(4, 3, 8, 5, 2, generator=generator)
    x[:, 6:, :, 1] = 0  # the second body leaves, and stays away also when it stands still
    found = explain.saliency(lambda x: torch.einsum("nctvm,kctvm->nk", x, weight), x, segment=4)
    best = torch.einsum("ctvm,kctvm->k", x, weight).argmax()
    still = torch.stack([x[..., 0].mean(1), x[:, :6, :, 1].mean(1)], -1)[:, None].repeat(1, 8, 1, 1)
    still[:, 6:, :, 1] = 0
    terms = ((x - still) * weight[best]).sum(0).reshape(2, 4, 5, 2).sum(1).transpose(1, 2)
    np.testing.assert_allclose(found.contribution, terms, atol=1e-4)
    assert found.probability.argmax() == best and found.probability.sum() == pytest.approx(1)
    motion = explain.saliency(lambda x: torch.einsum("nctvm,kctvm->nk", x, weight), x, segment=8, moving=True)
    np.testing.assert_allclose(motion.contribution[0], (x * weight[best]).sum((0, 1)).T, atol=1e-4)


@pytest.mark.parametrize("words", [{"stage": "linprobe"}, {"stage": "finetune"}, {"stage": "linprobe", "input_stream": "motion"}])
def test_contributions_add_up_to_the_logit(words, made, opened):
    args, model, sample = opened(made(**words))
    found = explain.saliency(model, sample.x, 4, args.input_stream == "motion", steps=64)
    with torch.no_grad():
        logits = model(sample.x[None])[0]
    assert found.probability == pytest.approx(logits.softmax(0).numpy(), rel=1e-5)
    assert found.contribution.shape == (2, 2, 5)
    assert found.contribution.sum() == pytest.approx(found.difference, rel=0.02, abs=1e-3) and abs(found.difference) > 0.01
    figure = pictures.saliency_figure(sample, "a model", found, "verdict")
    maps = [ax for ax in figure.axes if ax.get_xlabel() == "segment"]
    for m, ax in enumerate(maps):
        np.testing.assert_allclose(drawn(ax), found.contribution[:, m].T)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


QUERY = {"decoder": "query", "query_frames": 8}


@pytest.mark.parametrize("stage, own", [("pretrain", {}), ("pretrain", QUERY), ("linprobe", {})])
def test_the_script(stage, own, made, two_people, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--checkpoint", made(stage, **own), "--data_path", two_people, "--samples", 1, "--out", out]
    visualize.main([str(word) for word in words])
    (folder,) = out.iterdir()
    assert folder.name == "test-1-test001"
    names = {"skeleton", "mask", "prediction", "intensity"} if stage == "pretrain" else {"skeleton", "saliency"}
    kinds = [".gif", ".mp4", ".png"] if plots.has_ffmpeg() else [".gif", ".png"]
    assert sorted(file.name for file in folder.iterdir()) == sorted(name + kind for name in names for kind in kinds)
    for name in names:
        picture = pixels(folder / f"{name}.png")
        assert picture.shape[1] == 1000 and (picture < 200).any(axis=2).mean() > 0.01
        with Image.open(folder / f"{name}.gif") as film:
            assert film.n_frames == 8 and film.info["duration"] == 1000 // visualize.FPS
            first = np.asarray(film.convert("RGB"))
            film.seek(5)
            assert (np.asarray(film.convert("RGB")) != first).any(axis=2).mean() > 0.005
    said = capsys.readouterr().out
    assert "test001" in said and ("ffmpeg is not installed" in said) == (not plots.has_ffmpeg())


def test_a_recording_alone(tmp_path, capsys):
    """A BVH file is drawn as the npz of its folder would have it, with the classes' names and without a truth."""
    for i in range(4):
        (tmp_path / f"{'walk' if i % 2 else 'jump'}_{i}.bvh").write_text(bvh_text.text(*bvh_text.person(30 + i, seed=i)))
    npz = bvh_gendata.generate(
        tmp_path,
        tmp_path / "out",
        label_pattern=r"(?P<label>[a-z]+)_(?P<group>\d)",
        joints="kinect_v1",
        test_groups=["2", "3"],
        body_frame=[],
        min_max=True,
    )
    path = trained_on(npz, tmp_path / "probe.pth", "linprobe", *MAMP)
    with np.load(npz) as prepared, np.load(visualize.prepared(tmp_path / "walk_3.bvh", path, tmp_path)) as alone:
        row = prepared["name_test"].tolist().index("walk_3")
        np.testing.assert_allclose(alone["x_test"][0], prepared["x_test"][row][:33], atol=1e-6)
    npz.unlink()
    visualize.main(["--checkpoint", str(path), "--recording", str(tmp_path / "walk_3.bvh"), "--out", str(tmp_path / "pictures")])
    (folder,) = (tmp_path / "pictures").iterdir()
    assert folder.name == "recording-walk_3" and {"saliency.png", "skeleton.gif"} <= {file.name for file in folder.iterdir()}
    assert "walk_3 · no label" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="none.bvh: no such file"):
        visualize.main(["--checkpoint", str(path), "--recording", str(tmp_path / "none.bvh")])
    with pytest.raises(SystemExit):
        visualize.main(["--checkpoint", str(path), "--recording", "a.bvh", "--split", "train"])


def test_the_checkpoint_names_data_and_classes(made, two_people, tmp_path, monkeypatch):
    """Three sequences of three classes out of the npz of the training, with the classes' names that only the checkpoint has."""
    path, told = made("linprobe"), []
    data = {"num_joints": 5, "num_bodies": 2, "class_names": ["wave", "kick", "sit"]}
    checkpoint.save(path, checkpoint.load(path) | {"data": data})
    monkeypatch.setattr(visualize, "write", lambda folder, sample, *rest: told.append(sample.title) or [])
    monkeypatch.chdir(tmp_path)
    visualize.main(["--checkpoint", str(path)])
    with np.load(two_people) as file:
        names, label = file["name_test"].tolist(), file["y_test"].argmax(1)
    rows = [names.index(title.split(" · ")[0]) for title in told]
    assert sorted(label[rows]) == [0, 1, 2]
    assert [title.split(" · ")[1] for title in told] == [f"class {k} ({data['class_names'][k]})" for k in label[rows]]


class Split:
    """The labels and rows of a Feeder."""

    def __init__(self, label, indices):
        self.label, self.indices = label, indices

    def __len__(self):
        return len(self.indices)


@pytest.mark.parametrize("count, classes, different", [(30, 10, 3), (30, 2, 2), (9, 9, 3), (2, 2, 2), (1, 1, 1)])
def test_three_sequences_of_different_classes(count, classes, different):
    for seed in range(20):
        label = np.sort(np.random.default_rng(seed).permutation(np.arange(count) % classes))  # sorted as files often are
        indices = np.random.default_rng(seed).permutation(count)
        rows = samples.rows(Split(label, indices))
        assert len(rows) == min(3, count) == len(set(rows)) and len(set(label[indices][rows])) == different


def test_seeds_and_settings(made, opened):
    path = made("pretrain", mask_ratio=0.7, motion_aware_tau=0.3, motion_stride=2, target="joint")
    args, model, _ = opened(path)
    assert (args.mask_ratio, args.motion_aware_tau, args.motion_stride, model.target) == (0.7, 0.3, 2, "joint")
    assert opened(path, 1, "--mask_ratio", "0.5")[0].mask_ratio == 0.5
    args = opened(made("linprobe", readout="per_joint", test_p_interval=0.5))[0]
    assert args.readout == "per_joint" and args.test_p_interval == [0.5]


def test_sizes_come_from_the_weights(made, opened):
    path = made("pretrain")
    checkpoint.save(path, {"model": checkpoint.load(path)["model"], "config": {"num_heads": 2}})
    args, model, _ = opened(path)
    assert (args.dim_feat, args.depth, args.num_frames, args.decoder_depth, model.mask_token.shape[-1]) == (8, 2, 8, 1, 8)


def test_bones_are_seen_and_joints_are_drawn(made, opened):
    args, model, sample = opened(made("pretrain", input_stream="bone", target="joint"))
    x, parents = sample.x.permute(1, 3, 2, 0).numpy(), [0, 0, 1, 0, 3]
    np.testing.assert_allclose(x, sample.joints - sample.joints[:, :, parents], atol=1e-6)
    found = explain.predict(model, sample.x, 0, **masking(args))
    np.testing.assert_allclose(found.true, x, atol=1e-6)
    figure = plots.Figure()
    artists, step = pictures.prediction_overlay(sample, found)(figure.add_subplot(), [])
    step(3)
    hidden = found.hidden[0].ravel()
    np.testing.assert_allclose(artists[1].get_offsets()[hidden], sample.joints[3].reshape(10, 3)[hidden, :2], rtol=1e-6)


def test_umurl(made, opened, two_people, tmp_path, capsys, monkeypatch):
    sizes = {"decoder_dim_feat": None, "decoder_depth": None, "mask_ratio": None, "mlp_ratio": None, "method": "umurl"}
    given, words = [], ["--data_path", str(two_people), "--samples", "1"]
    monkeypatch.setattr(visualize, "write", lambda folder, sample, source, drawings: given.append([*drawings]) or [])
    visualize.main(["--checkpoint", str(made("pretrain", **sizes, projector_dim=8)), *words])
    assert given == [["skeleton"]]
    assert "only the moving body is drawn" in capsys.readouterr().out
    path = made("linprobe", method="umurl", mlp_ratio=None, features="motion")
    args, model, sample = opened(path)
    assert args.features == model.features == "motion"
    found = explain.saliency(model, sample.x, steps=64)
    assert found.contribution.shape == (8, 2, 5)
    assert found.contribution.sum() == pytest.approx(found.difference, rel=0.05, abs=5e-3)
    visualize.main(["--checkpoint", str(path), *words])
    assert given[1:] == [["skeleton", "saliency"]]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--samples", "13"], r"--samples 13: the split test has the rows 0 to 12"),
        (["--samples", "-1"], r"--samples -1: the split test"),
        (["--names", "test00"], r"no sequence 'test00' in the split test; near are test000, test001, test002"),
        (["--split", "train", "--names", "test001"], r"no sequence 'test001' in the split train; near are"),
        (["--sampels", "3"], r"'sampels' is not known|does not belong here"),
        (["--mask_ratio", "1.5"], r"mask_ratio 1.5: a share"),
        (["--seed", "-1"], r"seed -1: from 0"),
        (["--dim_feat", "16"], r"built with other sizes"),
        (["--checkpoint", "nowhere.pth"], r"nowhere.pth: no such checkpoint"),
        (["--data_path", "nowhere.npz"], r"nowhere.npz"),
    ],
)
def test_mistakes_are_one_line(words, wrong, made, two_people, tmp_path):
    before = {*tmp_path.iterdir()} | {made("pretrain")}
    with pytest.raises((ValueError, OSError), match=wrong) as error:
        visualize.main(["--checkpoint", str(tmp_path / "pretrain.pth"), "--data_path", str(two_people), *words])
    assert "\n" not in str(error.value) and {*tmp_path.iterdir()} == before


def test_another_skeleton_and_no_data(made, invented, tmp_path):
    arrays = invent(joints=4)
    np.savez(tmp_path / "four.npz", **arrays)
    path = str(made("pretrain"))
    with pytest.raises(ValueError, match="trained on 5 joints, the data has 4"):
        visualize.main(["--checkpoint", path, "--data_path", str(tmp_path / "four.npz")])
    content = checkpoint.load(path)
    for npz, wrong in (
        ("gone.npz", "was trained on gone.npz, which is not here; name it with --data_path"),
        (None, "data_path: no data set given; use --dataset"),
    ):
        checkpoint.save(path, content | {"config": content["config"] | {"data_path": npz}})
        with pytest.raises((ValueError, OSError), match=wrong):
            visualize.main(["--checkpoint", path])
    with pytest.raises(ValueError, match="is a file; give a folder"):
        visualize.main(["--checkpoint", path, "--data_path", str(invented), "--out", path])


def test_joints_without_a_known_skeleton_are_numbered(made, invented):
    """The invented data set says nothing of its five joints."""
    args, content = visualize.options(made("pretrain"), ["--data_path", str(invented)])
    data = build_feeder(args, "test", augment=False)
    sample = samples.sample(data, data, 2)
    assert sample.names == tuple(f"joint {v}" for v in range(5)) and sample.parents is None
    assert pictures.skeleton_figure(sample, "a model").get_size_inches()[0] * page.DPI == 1000
    assert samples.rows(data) == [0, 4, 8] and samples.rows(data, [5, 2]) == [5, 2]
    assert samples.rows(data, None, ["test007"]) == [7]


@pytest.mark.parametrize(
    ("stage", "drawn"),
    [
        ("pretrain", {"skeleton", "mask", "prediction", "intensity"}),
        ("linprobe", {"skeleton", "saliency"}),
        ("finetune", {"skeleton", "saliency"}),
    ],
)
def test_released_files(stage, drawn, shared, tmp_path, monkeypatch):
    path, given = shared(f"parity/released_{stage}_tiny25.pth"), []
    words = ["--data_path", str(shared("parity/ntu60/NTU60_XSub.npz")), "--samples", "0", "--out", str(tmp_path)]
    monkeypatch.setattr(visualize, "write", lambda folder, sample, source, drawings: given.append({*drawings}) or [])
    visualize.main(["--checkpoint", str(path), *words])
    assert given == [drawn]


def test_mp4_gets_every_picture(tmp_path, monkeypatch):
    """A stand-in for ffmpeg writes down what it was given."""
    tool = tmp_path / "ffmpeg"
    tool.write_text("""#!/bin/sh
        echo "$@" > "$0.said"
        for last; do :; done
        [ "$last" != bad ] || { echo no room >&2; exit 1; }
        cat > "$last"
    """)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    film = [Image.fromarray(np.full((4, 6, 3), value, np.uint8)) for value in (1, 2, 3)]
    assert plots.has_ffmpeg()
    plots.save_mp4(tmp_path / "a.mp4", iter(film), 10)
    assert (tmp_path / "a.mp4").read_bytes() == b"\x01" * 72 + b"\x02" * 72 + b"\x03" * 72
    assert "-s 6x4 -r 10" in (tmp_path / "ffmpeg.said").read_text()
    with pytest.raises(OSError, match="ffmpeg failed: no room"):
        plots.save_mp4("bad", film, 10)

"""Linear probe and retrieval give every read-out from one pass, each as it would be alone."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import main_linprobe
import main_pretrain
import main_retrieval
from feeder.batch import Draws, uniforms
from feeder.feeder_ntu import Feeder
from model.transformer import Transformer
from tests.runs import SIZE, read
from util import checkpoint
from util.ridge import ridge

NAMES = ["mean", "per_joint", "statistics"]
OTHERS = {name: [other for other in NAMES if other != name] for name in NAMES}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """An npz of random sequences that no read-out tells apart perfectly, so that accuracies differ."""
    rng = np.random.default_rng(3)
    arrays = {"num_joints": 5, "num_bodies": 1, "parents": np.array([0, 0, 1, 1, 3])}
    for split, count in (("train", 24), ("test", 17)):
        label = rng.integers(0, 3, count)
        x = rng.normal(size=(count, 12, 15)) + 0.4 * np.eye(3)[label].repeat(5, 1)[:, None]
        arrays |= {f"x_{split}": x.astype(np.float32), f"y_{split}": np.eye(3)[label]}
        arrays |= {f"group_{split}": np.arange(count) % 4}
    path = tmp_path_factory.mktemp("data") / "random.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def pretrained(data, options, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    main_pretrain.main(options("pretrain", data, folder, "--epochs", 1))
    return folder / "checkpoint-0.pth"


@pytest.fixture(scope="module")
def probe(data, pretrained, options, tmp_path_factory):
    """probe(readout, *words) -> folder of a linear probe of four epochs."""
    done = {}

    def train(*words):
        if words not in done:
            done[words] = tmp_path_factory.mktemp("probe")
            own = ("--effective_batch_size", 8, "--readout", *words)
            main_linprobe.main(options("linprobe", data, done[words], "--finetune", pretrained, "--epochs", 4, *own))
        return done[words]

    return train


def heads(folder, name="checkpoint-last.pth"):
    """{read-out: weights} of a checkpoint, the headline's first."""
    content = checkpoint.load(folder / name)
    own = {key.removeprefix("head.fc."): value for key, value in content["model"].items() if key.startswith("head.")}
    return {content["config"]["readout"]: own} | content["heads"]


@torch.no_grad()
def pooled(model, x):
    """{read-out: features} of x by the encoder."""
    tokens = model.forward_features(x)
    per_joint = tokens.mean((1, 2)).flatten(1)
    deviation = torch.from_numpy(np.std(tokens.numpy(), axis=2)).mean(1).flatten(1)
    return {"mean": tokens.mean((1, 2, 3)), "per_joint": per_joint, "statistics": torch.cat([per_joint, deviation], 1)}


def alone(data, pretrained, readout, augment, clip):
    """The weights of a probe that knows one read-out, by plain torch; and its test accuracy."""
    torch.manual_seed(0)
    model = Transformer(**SIZE, num_classes=3, protocol="linprobe", readout=readout)
    checkpoint.load_encoder(model, pretrained)
    model.head.add_norm()
    head = model.eval().head.fc
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    crop = dict(p_interval=[0.5, 1], min_frames=4, random_rot=True) if augment else dict(p_interval=[0.95])
    train, test = Feeder(data, "train", window_size=8, **crop), Feeder(data, "test", [0.95], window_size=8)
    for epoch in range(4):
        order, draws = np.random.default_rng([0, epoch]).permutation(24), uniforms(0, epoch, 24)
        for step in range(3):
            for group in optimizer.param_groups:
                group["lr"] = 0.1 * 0.5 * (1 + np.cos(np.pi * (epoch + step / 3) / 4))
            for micro in range(2):
                rows = order[8 * step + 4 * micro :][:4]
                x = torch.stack([train.get(i, Draws(draws[i]))[0] for i in rows])
                (F.cross_entropy(head.train()(pooled(model, x)[readout]), torch.from_numpy(train.label[rows])) / 2).backward()
            if clip:
                norm = sum((p.grad**2).sum() for p in head.parameters()).sqrt()
                for p in head.parameters():
                    p.grad *= min(1, clip / norm)
            optimizer.step()
            optimizer.zero_grad()
    logits = head.eval()(pooled(model, torch.stack([test[i][0] for i in range(17)]))[readout])
    return head.state_dict(), 100 * (logits.argmax(1).numpy() == test.label).mean()


@pytest.mark.parametrize(
    "headline, augment, clip", [("mean", True, None), ("per_joint", False, 0.2), ("statistics", False, None)]
)
def test_every_head_learns_as_it_would_alone(headline, augment, clip, data, pretrained, probe):
    folder = probe(headline, "--augment" if augment else "--no-augment", *(["--clip_grad", clip] if clip else []))
    last, found = read(folder)["last"], heads(folder)
    assert list(found) == [headline, *OTHERS[headline]]
    for readout, weights in found.items():
        wanted, accuracy = alone(data, pretrained, readout, augment, clip)
        for key, value in wanted.items():
            torch.testing.assert_close(weights[key], value, rtol=1e-4, atol=1e-5)
        assert last["test_acc1" if readout == headline else f"test_acc1_{readout}"] == pytest.approx(accuracy)


def test_ridge_regression_judges_the_same_features(data, pretrained, probe, options, tmp_path):
    model = Transformer(**SIZE, protocol="linprobe").eval()
    checkpoint.load_encoder(model, pretrained)
    few = options("linprobe", data, tmp_path, "--finetune", pretrained, "--epochs", 1, "--no-augment", "--data_ratio", 0.5)
    main_linprobe.main([*few, "--effective_batch_size", "4"])
    assert "ridge" not in read(probe("mean", "--augment"))  # whose features differ from epoch to epoch
    for folder, ratio in ((probe("per_joint", "--no-augment", "--clip_grad", 0.2), 1.0), (tmp_path, 0.5)):
        train, test = Feeder(data, "train", [0.95], window_size=8, data_ratio=ratio), Feeder(data, "test", [0.95], window_size=8)
        (x, y), (x_test, y_test) = (zip(*((d[i][0], d[i][1]) for i in range(len(d))), strict=True) for d in (train, test))
        known, asked = (pooled(model, torch.stack(part)) for part in (x, x_test))
        scores = {name: ridge(known[name], torch.tensor(y), asked[name], 3)[0] for name in NAMES}
        wanted = {name: 100 * (of.argmax(1) == torch.tensor(y_test)).double().mean().item() for name, of in scores.items()}
        assert read(folder)["ridge"] == pytest.approx(wanted)


@pytest.mark.parametrize("kept", [[], ["per_joint"]])
def test_a_run_of_before_goes_on_as_it_was(kept, data, pretrained, probe, options, tmp_path):
    """Its checkpoint has one or two heads, and an optimizer that knows no other."""
    content = checkpoint.load(probe("mean", "--augment") / "checkpoint-last.pth")
    content["heads"] = {name: content["heads"][name] for name in kept}
    state, weights = content["optimizer"]["state"], list(range(2 + 2 * len(kept)))
    content["optimizer"]["state"] = {k: state[k] for k in weights}
    content["optimizer"]["param_groups"][0]["params"] = weights
    if not kept:
        del content["heads"]
    checkpoint.save(tmp_path / "old.pth", content)
    line = options("linprobe", data, tmp_path / "out", "--finetune", pretrained, "--epochs", 5, "--effective_batch_size", 8)
    main_linprobe.main([*line, "--resume", str(tmp_path / "old.pth")])
    names = ["", *(f"_{name}" for name in kept)]
    assert [key for key in read(tmp_path / "out")["last"] if "acc1" in key] == [f"test_acc1{name}" for name in names]
    main_linprobe.main(options("linprobe", data, tmp_path / "eval", "--eval", tmp_path / "old.pth"))
    evaluated, reported = read(tmp_path / "eval")["last"], read(probe("mean", "--augment"))["last"]
    wanted = {"test_samples", *(f"test_{what}{name}" for what in ("acc1", "acc5", "loss") for name in names)}
    assert evaluated == pytest.approx({key: reported[key] for key in wanted})


@pytest.mark.parametrize("readout", NAMES)
def test_an_evaluation_gives_all(readout, data, probe, options, tmp_path, capsys):
    folder = probe(readout, "--augment")
    main_linprobe.main(options("linprobe", data, tmp_path, "--eval", folder / "checkpoint-last.pth", "--readout", readout))
    evaluated, reported = read(tmp_path)["last"], read(folder)["last"]
    assert evaluated == pytest.approx({key: reported[key] for key in evaluated})
    assert {f"test_loss_{other}" for other in OTHERS[readout]} < evaluated.keys()
    others = ", ".join(f"{other}: {evaluated[f'test_acc1_{other}']:.2f} %" for other in OTHERS[readout])
    assert f"read-out {readout} ({others}), joint stream" in capsys.readouterr().out


@pytest.mark.parametrize("second", [3, {"1.weight": torch.ones(1)}, {}])
def test_a_second_head_that_is_none(second, data, probe, options, tmp_path):
    content = checkpoint.load(probe("mean", "--augment") / "checkpoint-last.pth") | {"heads": {"per_joint": second}}
    checkpoint.save(tmp_path / "odd.pth", content)
    with pytest.raises(ValueError, match="odd.pth: heads: per_joint: "):
        main_linprobe.main(options("linprobe", data, tmp_path / "out", "--eval", tmp_path / "odd.pth"))


def test_retrieval_gives_all_and_standardised(data, pretrained, options, tmp_path, capsys):
    model = Transformer(**SIZE, protocol="linprobe").eval()
    checkpoint.load_encoder(model, pretrained)
    train, test = (Feeder(data, split, [0.95], window_size=8) for split in ("train", "test"))
    known, asked = (pooled(model, torch.stack([data[i][0] for i in range(len(data))])) for data in (train, test))

    def score(steps, name):
        steps = make_pipeline(*steps, KNeighborsClassifier(1, metric="cosine")).fit(known[name], train.label)
        return 100 * steps.score(asked[name], test.label)

    wanted = {name: score([], name) for name in NAMES}
    scaled = {name: score([StandardScaler()], name) for name in NAMES}
    for name, others in OTHERS.items():
        main_retrieval.main(options("retrieval", data, tmp_path / name, "--finetune", pretrained, "--readout", name))
        result, printed = read(tmp_path / name), capsys.readouterr().out
        found = {name: result["last"]["test_acc1"]} | {other: result["last"][f"test_acc1_{other}"] for other in others}
        assert found == pytest.approx(wanted) and result["standardised_features"] == pytest.approx(scaled)
        text = ", ".join(f"{other}: {wanted[other]:.2f} %" for other in others)
        standardised = ", ".join(f"{each}: {scaled[each]:.2f} %" for each in (name, *others))
        assert f"read-out {name} ({text}), joint" in printed and f"standardised features, {standardised}\n" in printed
    assert len({*wanted.values(), *scaled.values()}) > 3  # so that one is not taken for another


def test_umurl_has_one(data, options, tmp_path):
    umurl = dict(method="umurl", mlp_ratio=None)
    main_linprobe.main(options("linprobe", data, tmp_path / "lin", "--epochs", 1, **umurl))
    main_retrieval.main(options("retrieval", data, tmp_path / "ret", **umurl))
    for folder in ("lin", "ret"):
        assert {key for key in read(tmp_path / folder)["last"] if "acc1" in key} == {"test_acc1"}
    assert list(read(tmp_path / "ret")["standardised_features"]) == ["multi"]
    assert checkpoint.load(tmp_path / "lin/checkpoint-0.pth")["heads"] == {}

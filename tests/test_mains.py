"""The commands end to end on a small invented data set: results, resuming, and one clear line for mistakes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml

import main_finetune
import main_linprobe
import main_pretrain
import main_retrieval
from feeder.feeder_ntu import Feeder
from model.mamp import MAMP
from model.transformer import Transformer
from util import checkpoint, run

ROOT = Path(__file__).resolve().parents[1]
PRETRAIN = ("--decoder_dim_feat", 8, "--decoder_depth", 1, "--mask_ratio", 0.6, "--warmup_epochs", 1)
LINPROBE = ("--warmup_epochs", 0, "--lr", 0.1, "--min_lr", 0, "--weight_decay", 0)
FINETUNE = ("--warmup_epochs", 1, "--head_dim", 16, "--drop_path_rate", 0.2, "--lr", 5e-3, "--betas", 0.9, 0.999)
MAINS = {"pretrain": (main_pretrain, PRETRAIN), "linprobe": (main_linprobe, LINPROBE), "finetune": (main_finetune, FINETUNE)}


def read(folder, name="result.json"):
    text = (folder / name).read_text()
    return [json.loads(line) for line in text.splitlines()] if name.endswith("l") else json.loads(text)


def weights(path):
    return checkpoint.load(path)["model"]


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.fixture(scope="module")
def chain(invented, options, tmp_path_factory):
    """Folders of one run of every stage, each judging the same pre-training."""
    top = tmp_path_factory.mktemp("chain")
    main_pretrain.main(options(invented, top / "pretrain", *PRETRAIN, "--epochs", 3, "--save_freq", 1, "--accum_iter", 2))
    encoder = ("--finetune", top / "pretrain/checkpoint-2.pth")
    main_linprobe.main(options(invented, top / "linprobe", *LINPROBE, *encoder, "--epochs", 15))
    main_linprobe.main(options(invented, top / "fixed", *LINPROBE, *encoder, "--epochs", 15, "--no-augment", "--readout", "per_joint"))
    main_finetune.main(options(invented, top / "finetune", *FINETUNE, *encoder, "--epochs", 12))
    main_retrieval.main(options(invented, top / "retrieval", *encoder, "--k", 3))
    return top


def test_pretraining_leaves_what_later_stages_need(chain, invented):
    folder = chain / "pretrain"
    assert {f.name for f in folder.glob("*.pth*")} == {"checkpoint-1.pth", "checkpoint-2.pth", "checkpoint-last.pth"}
    last, content = checkpoint.load(folder / "checkpoint-last.pth"), checkpoint.load(folder / "checkpoint-2.pth")
    assert same(last["model"], content["model"]) and content["epoch"] == 2
    assert {"torch", "numpy", "timm"} <= content["versions"].keys()
    log = read(folder, "log.jsonl")
    assert [line["epoch"] for line in log] == [0, 1, 2]
    assert log[2]["train_loss"] < log[0]["train_loss"] < 3 and all(line["samples_per_s"] > 0 for line in log)
    assert read(folder)["last"]["train_loss"] == log[2]["train_loss"] and read(folder)["data"] == str(invented)
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert saved == {"stage": "pretrain"} | content["config"]
    assert (saved["accum_iter"], saved["effective_batch_size"], saved["mask_ratio"]) == (2, 8, 0.6)
    assert list(folder.glob("events.out.tfevents*"))


def test_classifiers_learn_the_separable_classes(chain):
    for stage in ("linprobe", "fixed", "finetune"):
        result = read(chain / stage)
        assert result["last"]["test_acc1"] > 80 > 100 / 3, stage
        assert result["last"]["test_samples"] == 13 and result["labels"] == 24 and result["seed"] == 0
        assert result["checkpoint"].endswith("checkpoint-2.pth")
        log = read(chain / stage, "log.jsonl")
        best = max(line["test_acc1"] for line in log)
        assert result["best"]["test_acc1"] == best
        assert result["best"]["epoch"] == next(line["epoch"] for line in log if line["test_acc1"] == best)
        assert checkpoint.load(chain / stage / "checkpoint-best.pth")["epoch"] == result["best"]["epoch"]
        assert result["last"].items() <= log[-1].items()
    assert read(chain / "linprobe")["readout"] == "mean" and read(chain / "fixed")["readout"] == "per_joint"


def test_linear_probes_keep_the_pretrained_encoder_and_fine_tuning_does_not(chain):
    pretrained = weights(chain / "pretrain/checkpoint-2.pth")
    for stage, frozen in (("linprobe", True), ("fixed", True), ("finetune", False)):
        encoder = {k: v for k, v in weights(chain / stage / "checkpoint-last.pth").items() if not k.startswith("head.")}
        assert all(torch.equal(v, pretrained[k]) for k, v in encoder.items()) == frozen


def test_fixed_features_are_those_of_the_model(chain, invented):
    """The probe on features computed once, applied to the test set by plain tensor operations."""
    state = weights(chain / "fixed/checkpoint-last.pth")
    model = Transformer(dim_feat=8, depth=2, num_heads=2, mlp_ratio=2, num_frames=8, num_joints=5, protocol="linprobe")
    checkpoint.load_encoder(model, chain / "pretrain/checkpoint-2.pth")
    data = Feeder(invented, "test", [0.95], window_size=8)
    x, labels = torch.stack([data[i][0] for i in range(13)]), torch.tensor([data[i][1] for i in range(13)])
    features = model.eval().forward_features(x).mean((1, 2)).flatten(1)
    features = (features - state["head.fc.0.running_mean"]) / (state["head.fc.0.running_var"] + 1e-6).sqrt()
    logits = features @ state["head.fc.1.weight"].T + state["head.fc.1.bias"]
    last = read(chain / "fixed")["last"]
    assert last["test_acc1"] == pytest.approx(100 * (logits.argmax(1) == labels).double().mean().item())
    assert last["test_loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)


def test_retrieval_by_loops(chain, invented, options, tmp_path):
    model = Transformer(dim_feat=8, depth=2, num_heads=2, mlp_ratio=2, num_frames=8, num_joints=5, protocol="linprobe").eval()
    checkpoint.load_encoder(model, chain / "pretrain/checkpoint-2.pth")
    main_retrieval.main(options(invented, tmp_path, "--finetune", chain / "pretrain/checkpoint-2.pth"))
    features = {}
    for split in ("train", "test"):
        data = Feeder(invented, split, [0.95], window_size=8)
        with torch.no_grad():
            features[split] = [(model.forward_features(x[None]).mean((0, 1, 2, 3)), y) for x, y, _ in (data[i] for i in range(len(data)))]
    hits = 0
    for query, label in features["test"]:
        nearest = max(features["train"], key=lambda item: F.cosine_similarity(query, item[0], dim=0).item())
        hits += nearest[1] == label
    result = read(tmp_path)
    assert result["last"] == {"test_acc1": pytest.approx(100 * hits / 13), "test_samples": 13}
    assert (result["k"], result["readout"], read(chain / "retrieval")["k"]) == (1, "mean", 3)


@pytest.mark.parametrize("stage, folder", [("linprobe", "linprobe"), ("linprobe", "fixed"), ("finetune", "finetune")])
def test_eval_repeats_the_reported_numbers(chain, invented, options, tmp_path, stage, folder):
    main, extra = MAINS[stage]
    readout = ("--readout", "per_joint") if folder == "fixed" else ()
    main.main(options(invented, tmp_path, *extra, *readout, "--eval", chain / folder / "checkpoint-last.pth"))
    evaluated, reported = read(tmp_path)["last"], read(chain / folder)["last"]
    assert evaluated == pytest.approx({k: reported[k] for k in evaluated}, rel=1e-5)


@pytest.mark.parametrize("stage", ["finetune", "linprobe"])
def test_released_classifier_through_the_command(stage, shared, parity, npz, options, tmp_path):
    """The classes come from the file (11), and the loss is that of the published logits."""
    published = parity(f"classifier_{stage}_tiny25")
    x = published["x"].permute(0, 2, 4, 3, 1).reshape(3, 24, 150).numpy()
    assert (x.sum(2) != 0).all()
    logits = published["logits_eval"]
    if stage == "linprobe":  # the saved probe has a norm in front of the published linear map
        model = Transformer(**published["config"])
        state = weights(shared("parity/released_linprobe_tiny25.pth"))
        model.load_state_dict({k: v for k, v in state.items() if not k.startswith("head.")}, strict=False)
        features = model.eval().forward_features(published["x"]).mean((1, 2, 3))
        features = (features - state["head.fc.0.running_mean"]) / (state["head.fc.0.running_var"] + 1e-6).sqrt()
        logits = features @ state["head.fc.1.weight"].T + state["head.fc.1.bias"]
    labels = logits.argmax(1).numpy()
    labels[0] = (labels[0] + 1) % 11
    data = npz({"x_test": x, "y_test": np.eye(11)[labels]})
    config = published["config"]
    sizes = {k: config[k] for k in ("dim_feat", "depth", "num_heads", "mlp_ratio", "num_frames")}
    file = shared(f"parity/released_{stage}_tiny25.pth")
    MAINS[stage][0].main(options(data, tmp_path / "out", "--test_p_interval", 1.0, "--eval", file, **sizes))
    last = read(tmp_path / "out")["last"]
    assert last["test_acc1"] == pytest.approx(200 / 3)
    assert last["test_loss"] == pytest.approx(F.cross_entropy(logits, torch.from_numpy(labels)).item(), rel=1e-5)


def test_joint_target_is_an_option(invented, options, tmp_path):
    main_pretrain.main(options(invented, tmp_path, *PRETRAIN, "--epochs", 1, "--target", "joint", "--motion_aware_tau", 0))
    assert read(tmp_path)["last"]["train_loss"] > 0


def test_share_of_labels(invented, options, tmp_path):
    main_finetune.main(options(invented, tmp_path, *FINETUNE, "--epochs", 1, "--data_ratio", 0.5, "--eval_freq", 5))
    assert read(tmp_path)["labels"] == 12 and read(tmp_path)["checkpoint"] is None and read(tmp_path)["last"]["test_samples"] == 13


class Stop(Exception):
    """Somebody pulls the plug."""


@pytest.fixture(scope="module")
def whole(invented, options, tmp_path_factory):
    """whole(stage) -> folder of four uninterrupted epochs."""
    done = {}

    def train(stage):
        if stage not in done:
            done[stage] = tmp_path_factory.mktemp(stage)
            main, extra = MAINS[stage]
            main.main(options(invented, done[stage], *extra, "--epochs", 4))
        return done[stage]

    return train


def assert_same_run(one, two):
    a, b = (checkpoint.load(folder / "checkpoint-last.pth") for folder in (one, two))
    assert a["epoch"] == b["epoch"] == 3 and same(a["model"], b["model"])
    for s, t in zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True):
        assert all(torch.equal(torch.as_tensor(s[k]), torch.as_tensor(t[k])) for k in s if s[k] is not None)
    logs = [read(folder, "log.jsonl") for folder in (one, two)]
    assert [line["epoch"] for line in logs[1]] == [0, 1, 2, 3]
    for x, y in zip(*logs, strict=True):
        assert {k: v for k, v in x.items() if k != "samples_per_s"} == {k: v for k, v in y.items() if k != "samples_per_s"}
    results = [read(folder) for folder in (one, two)]
    for result in results:
        for numbers in (result["last"], result["best"] or {}):
            numbers.pop("samples_per_s", None)
    assert results[0] == results[1]


@pytest.mark.parametrize("stage", MAINS)
@pytest.mark.parametrize("moment", ["util.run.train_one_epoch", "util.run.checkpoint.save", "util.run.Log.epoch"])
def test_resuming_continues_bit_for_bit(stage, moment, whole, invented, options, tmp_path, monkeypatch):
    main, extra = MAINS[stage]
    line = options(invented, tmp_path, *extra, "--epochs", 4)
    owner, name = moment.rsplit(".", 1)
    function = {"train_one_epoch": run.train_one_epoch, "save": checkpoint.save, "epoch": run.Log.epoch}[name]

    def interrupted(*args, **kwargs):
        numbers = [a for a in args if isinstance(a, int)] + [a["epoch"] for a in args if isinstance(a, dict) and "model" in a]
        if 2 in numbers:
            raise Stop
        return function(*args, **kwargs)

    monkeypatch.setattr(moment, interrupted)
    with pytest.raises(Stop):
        main.main(line)
    monkeypatch.undo()
    torch.manual_seed(123)
    np.random.seed(123)
    main.main([*line, "--resume", "auto"])
    assert_same_run(whole(stage), tmp_path)


def test_a_killed_process_is_resumed(whole, invented, options, tmp_path):
    command = [sys.executable, "main_pretrain.py", *options(invented, tmp_path, *PRETRAIN, "--epochs", 400, "--min_lr", 5e-4)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    log, deadline = tmp_path / "log.jsonl", time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None and not (log.exists() and log.read_text().count("\n") >= 2):
        time.sleep(0.02)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    stopped = checkpoint.load(tmp_path / "checkpoint-last.pth")["epoch"]
    epochs = stopped + 3
    main_pretrain.main(options(invented, tmp_path, *PRETRAIN, "--epochs", epochs, "--resume", "auto"))
    assert [line["epoch"] for line in read(tmp_path, "log.jsonl")] == list(range(epochs))
    assert not list(tmp_path.glob("*.tmp"))


def test_resuming_a_finished_run_changes_nothing(whole, invented, options):
    folder = whole("finetune")
    before, result = weights(folder / "checkpoint-last.pth"), read(folder)
    main_finetune.main(options(invented, folder, *FINETUNE, "--epochs", 4, "--resume", "auto"))
    assert same(before, weights(folder / "checkpoint-last.pth"))
    assert len(read(folder, "log.jsonl")) == 4 and read(folder)["last"] == result["last"]


def test_resume_auto_without_a_checkpoint_starts_anew(whole, invented, options, tmp_path):
    main_pretrain.main(options(invented, tmp_path, *PRETRAIN, "--epochs", 4, "--resume", "auto"))
    assert_same_run(whole("pretrain"), tmp_path)


def test_seed_decides_everything(whole, invented, options, tmp_path):
    main_pretrain.main(options(invented, tmp_path / "1", *PRETRAIN, "--epochs", 4, "--seed", 1))
    assert not same(weights(whole("pretrain") / "checkpoint-last.pth"), weights(tmp_path / "1/checkpoint-last.pth"))
    main_pretrain.main(options(invented, tmp_path / "0", *PRETRAIN, "--epochs", 4, num_workers=1))
    assert same(weights(whole("pretrain") / "checkpoint-last.pth"), weights(tmp_path / "0/checkpoint-last.pth"))


def test_resuming_what_cannot_be_resumed(chain, invented, options, tmp_path):
    state = weights(chain / "pretrain/checkpoint-last.pth")
    checkpoint.save(tmp_path / "bare.pth", {"model": state})
    with pytest.raises(ValueError, match="bare.pth: cannot be resumed, it has no optimizer, epoch, best"):
        main_pretrain.main(options(invented, tmp_path, *PRETRAIN, "--epochs", 4, "--resume", tmp_path / "bare.pth"))
    with pytest.raises(FileNotFoundError, match="absent.pth: no such checkpoint"):
        main_pretrain.main(options(invented, tmp_path, *PRETRAIN, "--epochs", 4, "--resume", tmp_path / "absent.pth"))


def test_loss_that_is_not_finite_stops_with_the_weights_from_before(invented, options, tmp_path, monkeypatch):
    forward_loss, calls = MAMP.forward_loss, []

    def explodes(self, *args):
        calls.append(1)
        return forward_loss(self, *args) * (float("inf") if len(calls) == 9 else 1)  # epoch 1, step 2: six steps an epoch

    monkeypatch.setattr(MAMP, "forward_loss", explodes)
    message = r"loss inf in epoch 1, step 2, samples \[(\d+, ){3}\d+\]; the weights from before this epoch are in .*checkpoint-last.pth"
    with pytest.raises(ValueError, match=message):
        main_pretrain.main(options(invented, tmp_path, *PRETRAIN, "--epochs", 3))
    content = checkpoint.load(tmp_path / "checkpoint-last.pth")
    assert content["epoch"] == 0 and all(torch.isfinite(v).all() for v in content["model"].values())
    assert [line["epoch"] for line in read(tmp_path, "log.jsonl")] == [0]
    monkeypatch.undo()
    main_pretrain.main(options(invented, tmp_path, *PRETRAIN, "--epochs", 2, "--resume", "auto"))
    assert len(read(tmp_path, "log.jsonl")) == 2


def test_sequence_with_absurd_values_is_named_in_the_first_epoch(npz, arrays, options, tmp_path):
    arrays["x_train"][5] *= 1e30
    with pytest.raises(ValueError, match=r"loss (nan|inf) in epoch 0, step \d, samples \[.*\b5\b.*\]"):
        main_pretrain.main(options(npz(arrays), tmp_path / "out", *PRETRAIN, "--epochs", 2))
    content = checkpoint.load(tmp_path / "out/checkpoint-last.pth")
    assert content["epoch"] == -1 and all(torch.isfinite(v).all() for v in content["model"].values())


def test_classes_that_a_classifier_does_not_know(chain, npz, arrays, options, tmp_path):
    arrays["y_train"], arrays["y_test"] = (np.eye(5)[np.arange(n) % 5] for n in (24, 13))
    line = options(npz(arrays), tmp_path / "out", *FINETUNE, "--eval", chain / "finetune/checkpoint-last.pth")
    with pytest.raises(ValueError, match="has the label 4, .*checkpoint-last.pth knows 3 classes"):
        main_finetune.main(line)


def test_evaluating_what_is_no_classifier(chain, invented, options, tmp_path):
    line = options(invented, tmp_path, *LINPROBE, "--eval", chain / "pretrain/checkpoint-last.pth")
    with pytest.raises(ValueError, match="checkpoint-last.pth: holds no classifier"):
        main_linprobe.main(line)


def test_more_neighbours_than_samples(invented, options, tmp_path):
    with pytest.raises(ValueError, match="k 25: the gallery has only 24 samples"):
        main_retrieval.main(options(invented, tmp_path, "--k", 25))


def call(main, argv, capfd):
    """Exit code and stderr of a main as the command line sees them."""
    with pytest.raises(SystemExit) as stop:
        run.main(lambda: main.main(argv))
    return stop.value.code, capfd.readouterr().err


@pytest.mark.parametrize(
    "more, message",
    [
        (("--data_path", "absent.npz"), "error: absent.npz: no such npz file"),
        (("--finetune", "absent.pth"), "error: absent.pth: no such checkpoint"),
        (("--config", "absent.yaml"), "error: absent.yaml: no such configuration file"),
        (("--lrr", "1"), "error: option 'lrr' is not known; did you mean 'lr'?"),
        (("--dim_feat", "9"), "error: width 9 is not a multiple of num_heads 2"),
        (("--num_frames", "10"), "error: num_frames 10 is not a multiple of t_patch_size 4"),
        (("--effective_batch_size", "7"), "error: effective_batch_size 7 is not a multiple"),
        (("--device", "gpu"), "error: device 'gpu'"),
        (("--output_dir", __file__), "error: "),
        (("--data_ratio", "2"), "error: data_ratio 2.0"),
    ],
)
def test_mistakes_end_in_one_line(more, message, invented, options, tmp_path, capfd):
    code, stderr = call(main_linprobe, options(invented, tmp_path, *LINPROBE, "--epochs", 1, *more), capfd)
    assert code == 2 and message in stderr and "Traceback" not in stderr
    assert len(stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_spoilt_sample_is_named_in_one_line(workers, npz, arrays, options, tmp_path, capfd):
    arrays["x_train"][7, 2, 4] = np.nan
    line = options(npz(arrays), tmp_path / "out", *PRETRAIN, "--epochs", 1, num_workers=workers)
    code, stderr = call(main_pretrain, line, capfd)
    lines = [text for text in stderr.replace("\r", "\n").splitlines() if text.strip() and not text.lstrip().startswith("epoch 0:")]
    assert code == 2 and "Traceback" not in stderr and len(lines) == 1
    assert lines[0].startswith("error: ") and "data.npz: train sample 7 (train007) holds values that are not finite" in lines[0]


def test_the_command_itself(tmp_path):
    """A process of its own: exit code 2, one line, and the traceback on request."""
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    command = [sys.executable, str(ROOT / "main_pretrain.py"), "--data_path", "cut.npz", "--device", "cpu", "--output_dir", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: cut.npz: not a complete npz file") and done.stderr.count("\n") == 1


def test_traceback_on_request(invented, options, tmp_path, monkeypatch):
    monkeypatch.setenv("MAMP_TRACEBACK", "1")
    with pytest.raises(ValueError, match="width 9"):
        run.main(lambda: main_linprobe.main(options(invented, tmp_path, dim_feat=9)))

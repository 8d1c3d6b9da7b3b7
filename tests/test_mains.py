"""The commands end to end on a small invented data set."""

import csv
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.neighbors import KNeighborsClassifier

import main_finetune
import main_linprobe
import main_pretrain
import main_retrieval
from feeder.feeder_ntu import Feeder
from feeder.loader import build_feeder
from model.transformer import Transformer
from tests.runs import MAINS, SIZE, read, same, weights
from util import checkpoint, config, config_files, predictions, run
from util.options import METHODS


@pytest.fixture(scope="module")
def chain(invented, options, tmp_path_factory):
    """Folders of one run of every stage, each judging the same pre-training."""
    top = tmp_path_factory.mktemp("chain")
    words = ("--epochs", 3, "--save_freq", 1, "--effective_batch_size", 8)
    main_pretrain.main(options("pretrain", invented, top / "pretrain", *words))
    encoder = ("--finetune", top / "pretrain/checkpoint-2.pth")
    main_linprobe.main(options("linprobe", invented, top / "linprobe", *encoder, "--epochs", 15))
    fixed = ("--no-augment", "--readout", "per_joint")
    main_linprobe.main(options("linprobe", invented, top / "fixed", *encoder, "--epochs", 15, *fixed))
    main_finetune.main(options("finetune", invented, top / "finetune", *encoder, "--epochs", 12))
    main_retrieval.main(options("retrieval", invented, top / "retrieval", *encoder, "--k", 3))
    return top


def test_pretraining_leaves_what_later_stages_need(chain, invented):
    folder = chain / "pretrain"
    names = {"checkpoint-1.pth", "checkpoint-2.pth", "checkpoint-last.pth", "checkpoint-previous.pth"}
    assert {f.name for f in folder.glob("*.pth*")} == names
    last, content = checkpoint.load(folder / "checkpoint-last.pth"), checkpoint.load(folder / "checkpoint-2.pth")
    assert same(last["model"], content["model"]) and content["epoch"] == 2
    assert {"torch", "numpy", "timm"} <= content["versions"].keys()
    log = read(folder, "log.jsonl")
    assert [line["epoch"] for line in log] == [0, 1, 2]
    assert log[2]["train_loss"] < log[0]["train_loss"] < 3 and all(line["samples_per_s"] > 0 for line in log)
    result = read(folder)
    assert result["last"]["train_loss"] == log[2]["train_loss"] and result["data_path"] == str(invented)
    assert (result["method"], result["target"], result["dataset"], result["decoder_depth"]) == ("mamp", "motion", "invented", 1)
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert saved == {"stage": "pretrain"} | content["config"]
    assert (saved["accum_iter"], saved["effective_batch_size"], saved["mask_ratio"]) == (2, 8, 0.6)
    assert list(folder.glob("events.out.tfevents*"))


def test_classifiers_learn_the_separable_classes(chain):
    for stage, readout in (("linprobe", "mean"), ("fixed", "per_joint"), ("finetune", None)):
        result, log = read(chain / stage), read(chain / stage, "log.jsonl")
        assert result["last"]["test_acc1"] > 80 > 100 / 3, stage
        assert (result["last"]["test_samples"], result["labels"], result["seed"], result.get("readout")) == (13, 24, 0, readout)
        best = max(line["test_acc1"] for line in log)
        assert result["best"]["test_acc1"] == best
        assert result["best"]["epoch"] == next(number for number, line in enumerate(log, 1) if line["test_acc1"] == best)
        assert checkpoint.load(chain / stage / "checkpoint-best.pth")["epoch"] + 1 == result["best"]["epoch"]
        assert result["last"].items() <= log[-1].items()


def test_linear_probes_keep_the_pretrained_encoder_and_fine_tuning_does_not(chain):
    pretrained = weights(chain / "pretrain/checkpoint-2.pth")
    for stage, frozen in (("linprobe", True), ("fixed", True), ("finetune", False)):
        encoder = {k: v for k, v in weights(chain / stage / "checkpoint-last.pth").items() if not k.startswith("head.")}
        assert all(torch.equal(v, pretrained[k]) for k, v in encoder.items()) == frozen


PLAIN = ["--device", "cpu", "--num_workers", "0", "--batch_size", "4", "--effective_batch_size", "4", "--min_frames", "4"]


@pytest.mark.parametrize("stage", ["linprobe", "finetune"])
def test_later_stages_need_only_checkpoint_and_npz(chain, invented, tmp_path, stage):
    """No size is repeated: width, depth, heads, frames come from the file, and so does an evaluation's read-out."""
    line = ["--data_path", invented, *PLAIN, "--finetune", chain / "pretrain/checkpoint-2.pth", "--epochs", 1]
    line += ["--warmup_epochs", 0, "--output_dir", tmp_path / "a"]
    line += ["--readout", "per_joint"] if stage == "linprobe" else ["--head_dim", 12]
    MAINS[stage].main([*map(str, line)])
    made_with = checkpoint.load(tmp_path / "a/checkpoint-0.pth")["config"]
    sizes = ("dim_feat", "depth", "num_heads", "mlp_ratio", "num_frames")
    assert [made_with[k] for k in sizes] == [8, 2, 2, 2.0, 8]
    (tmp_path / "data.yaml").write_text(f"data_path: {invented}\nnum_frames: 4\ndim_feat: 64\n")  # which count less
    MAINS[stage].main(["--dataset", str(tmp_path / "data.yaml"), *PLAIN[:4], "--eval", str(tmp_path / "a/checkpoint-0.pth")])
    evaluated = read(tmp_path / "a/checkpoint-0-eval")
    assert evaluated["last"] == pytest.approx({k: read(tmp_path / "a")["last"][k] for k in evaluated["last"]}, rel=1e-5)
    assert evaluated["eval"] and not read(tmp_path / "a")["eval"] and evaluated["epochs"] == 1
    assert evaluated["checkpoint"]["sha256"] == read(tmp_path / "a")["checkpoint"]["sha256"]


def test_results_say_where_the_encoder_comes_from(chain):
    """Path, checksum and settings of the pre-training; and of the classifier's own checkpoint."""
    path, settings = chain / "pretrain/checkpoint-2.pth", yaml.safe_load((chain / "pretrain/config.yaml").read_text())
    names = "stage dataset method target input_stream motion_aware_tau mask_ratio motion_stride num_frames t_patch_size".split()
    names += "decoder_depth decoder_dim_feat epochs lr effective_batch_size seed".split()
    expected = {name: settings[name] for name in names} | {"path": str(path), "format": "ours", "epoch": 3}
    expected["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    for stage in ("linprobe", "fixed", "finetune", "retrieval"):
        result = read(chain / stage)
        assert expected.items() <= result["encoder"].items() and "output_dir" not in result["encoder"]
        assert (result["dataset"], result["input_stream"], result["evaluated_on"]) == ("invented", "joint", "test")
        if stage != "retrieval":
            last = chain / stage / f"checkpoint-{result['epochs'] - 1}.pth"
            assert result["checkpoint"] == {"path": str(last), "sha256": hashlib.sha256(last.read_bytes()).hexdigest()}
            kept = checkpoint.load(last)["encoder"]  # which counts epochs from 0, as its file name does
            assert kept["epoch"] == 2 and kept | {"epoch": 3} == result["encoder"]


def test_subset_is_written_down(chain, invented, options, tmp_path, capsys):
    rows = {}
    words = {"a": (), "b": ("--seed", 1), "c": ("--subset_seed", 1), "d": ("--subset", "released", "--seed", 1)}
    for name, more in words.items():
        line = options("finetune", invented, tmp_path / name, "--epochs", 1, "--data_ratio", 0.5, "--eval_freq", 5, *more)
        main_finetune.main(line)
        with open(tmp_path / name / "subset.csv") as file:
            table = list(csv.DictReader(file))
        assert all(row["name"] == f"train{int(row['row']):03}" and int(row["label"]) == int(row["row"]) % 3 for row in table)
        rows[name] = [int(row["row"]) for row in table]
        assert rows[name] == sorted(set(rows[name])) and len(rows[name]) == 12 == read(tmp_path / name)["labels"]
    assert rows["a"] != rows["b"] == rows["c"] and rows["a"] == rows["d"]  # five runs differ, in released mode they do not
    assert "subset: 12 of 24 training samples (subset_seed 1, the same on every process), listed in" in capsys.readouterr().out
    assert [read(tmp_path / name)["subset_seed"] for name in "abcd"] == [0, 1, 1, 0]
    assert rows["a"] == sorted(np.random.RandomState(0).permutation(24)[:12])
    assert not (chain / "finetune/subset.csv").exists()


@pytest.mark.parametrize("stage", ["linprobe", "finetune", "retrieval"])
def test_held_out_groups_take_the_place_of_the_test_set(stage, npz, arrays, options, tmp_path, capsys):
    arrays["group_train"] = np.array([f"P{i % 6}" for i in range(24)])
    arrays["y_test"] = np.eye(3)[np.zeros(13, int)]  # nobody may look at these
    more = () if stage == "retrieval" else ("--epochs", 1)
    MAINS[stage].main(options(stage, npz(arrays), tmp_path, *more, "--val_groups", 2))
    result = read(tmp_path)
    assert result["evaluated_on"] == "validation" and result["labels"] == 16 and result["last"]["test_samples"] == 8
    assert "8 validation samples" in (out := capsys.readouterr().out) or "8 queries (validation)" in out


def test_exported_features(chain, invented, options, tmp_path):
    encoder = {"finetune": chain / "pretrain/checkpoint-2.pth", "save_features": tmp_path / "f.npz"}
    main_retrieval.main(options("retrieval", invented, tmp_path / "out", **encoder))
    with np.load(tmp_path / "f.npz") as file:
        features = dict(file)
    assert features["x_train"].shape == (24, 8) and features["x_test"].shape == (13, 8)
    assert features["name_test"].tolist() == [f"test{i:03}" for i in range(13)]
    reference = KNeighborsClassifier(1, metric="cosine").fit(features["x_train"], features["y_train"])
    acc1 = 100 * reference.score(features["x_test"], features["y_test"])
    assert read(tmp_path / "out")["last"]["test_acc1"] == pytest.approx(acc1)


def test_without_data_those_of_the_checkpoint_are_named(invented, options, tmp_path):
    main_pretrain.main(options("pretrain", invented, tmp_path / "pre", "--epochs", 1))
    for stage in ("linprobe", "retrieval"):
        with pytest.raises(ValueError, match=f"no data set given; .*; .*checkpoint-0.pth was trained on --data_path {invented}$"):
            MAINS[stage].main([*PLAIN[:2], "--finetune", str(tmp_path / "pre/checkpoint-0.pth")])


@pytest.mark.parametrize("stage", ["linprobe", "finetune"])
def test_a_classifier_is_evaluated_on_the_crop_of_its_training(stage, invented, options, tmp_path):
    MAINS[stage].main(options(stage, invented, tmp_path / "run", "--epochs", 1, "--test_p_interval", 0.3))
    loss = read(tmp_path / "run")["last"]["test_loss"]
    words = options(stage, invented, tmp_path / "out", "--eval", tmp_path / "run/checkpoint-0.pth")
    MAINS[stage].main(words)
    assert read(tmp_path / "out")["last"]["test_loss"] == pytest.approx(loss, abs=1e-5)
    MAINS[stage].main([*words, "--test_p_interval", "0.95"])
    assert read(tmp_path / "out")["last"]["test_loss"] != pytest.approx(loss, abs=1e-4)


@pytest.mark.parametrize("stream", ["motion", "bone"])
def test_every_stage_on_another_stream(stream, npz, arrays, options, tmp_path):
    """The stream of a checkpoint goes with it; the model sees what the Feeder says, and scores are its logits."""
    data = npz(arrays | {"layout": "five", "parents": np.array([0, 0, 1, 2, 3])})
    main_pretrain.main(options("pretrain", data, tmp_path / "pre", "--epochs", 1, "--input_stream", stream))
    encoder = ["--finetune", str(tmp_path / "pre/checkpoint-0.pth")]
    main_finetune.main(options("finetune", data, tmp_path / "ft", "--epochs", 1, *encoder))
    main_finetune.main(["--data_path", str(data), *PLAIN[:4], "--eval", str(tmp_path / "ft/checkpoint-0.pth")])
    result = read(tmp_path / "ft/checkpoint-0-eval")
    assert result["input_stream"] == stream == result["encoder"]["input_stream"]
    model = Transformer(**SIZE, num_classes=3, head_dim=16).eval()
    checkpoint.load_model(model, tmp_path / "ft/checkpoint-0.pth")
    feeder = Feeder(data, "test", [0.95], window_size=8, bone=stream == "bone", vel=stream == "motion")
    logits = model(torch.stack([feeder[i][0] for i in range(13)])).detach().numpy()
    with np.load(tmp_path / "ft/checkpoint-0-eval/scores.npz") as scores:
        assert np.allclose(scores["scores"], logits, atol=1e-5) and scores["scores"].dtype == np.float32
        assert scores["name"].tolist() == [f"test{i:03}" for i in range(13)] and scores["input_stream"] == stream
        assert 100 * (logits.argmax(1) == scores["label"]).mean() == pytest.approx(result["last"]["test_acc1"])
    with pytest.raises(ValueError, match=f"checkpoint-0.pth: made with input_stream {stream}, the command line says joint"):
        main_finetune.main(options("finetune", data, tmp_path / "no", *encoder, "--input_stream", "joint"))


def test_quiet_prints_the_result_alone(invented, options, tmp_path, capfd):
    main_pretrain.main(options("pretrain", invented, tmp_path / "pre", "--epochs", 2, "--quiet"))
    out, err = capfd.readouterr()
    result, following = out.splitlines()  # of a pre-training: its loss, and what to do with it
    loss, file = read(tmp_path / "pre")["last"]["train_loss"], tmp_path / "pre/checkpoint-1.pth"
    assert re.fullmatch(rf"pre-training: loss {loss:.4f} after 2 epochs, \d+ s; {file}", result) and file.is_file()
    assert (
        following
        == f"next: python main_linprobe.py --data_path {invented} --finetune {file} --output_dir {tmp_path / 'pre-linprobe'}"
        and err == ""
    )
    start = ("--finetune", file, "--epochs", 2)
    main_linprobe.main(options("linprobe", invented, tmp_path / "lin", *start, "--quiet"))
    out, err = capfd.readouterr()
    assert len(out.splitlines()) == 1 and out.startswith("linear probe: top-1 ") and err == ""
    main_linprobe.main(options("linprobe", invented, tmp_path / "loud", *start))
    assert len(capfd.readouterr().out.splitlines()) > 4


def test_an_evaluation_says_that_it_replaces_the_result_of_another(invented, options, tmp_path, capfd):
    for k, replaced in ((1, False), (1, False), (3, True)):  # the same again is no other
        main_retrieval.main(options("retrieval", invented, tmp_path / "out", "--k", k, "--quiet"))
        first, *_ = capfd.readouterr().out.splitlines()
        note = re.fullmatch(
            rf"note: output_dir {tmp_path}/out: its result of another evaluation is replaced \(k 1, now 3\)", first
        )
        assert bool(note) == replaced
    (tmp_path / "out/config.yaml").write_text("{")  # damaged
    main_retrieval.main(options("retrieval", invented, tmp_path / "out", "--quiet"))
    assert "note" not in capfd.readouterr().out


@pytest.mark.parametrize("stage", ["linprobe", "finetune", "retrieval"])
def test_a_run_that_could_not_write_its_scores_is_not_done(stage, invented, options, tmp_path, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(predictions, "save", die)
    words = [] if stage == "retrieval" else ["--epochs", 1]
    with pytest.raises(KeyboardInterrupt):
        {"linprobe": main_linprobe, "finetune": main_finetune, "retrieval": main_retrieval}[stage].main(
            options(stage, invented, tmp_path, *words)
        )
    assert not (tmp_path / "result.json").exists()


def test_the_next_command_takes_along_what_the_probe_needs(invented, tmp_path, monkeypatch):
    """A --config with settings of the linear probe, and a data set that is a file; not a configuration of this stage alone."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(f"data_path: {invented}\n")
    Path("own.yaml").write_text("epochs: 3\nnum_frames: 8\n")
    Path("umurl.yaml").write_text("methods: {mamp: , umurl: {stages: {linprobe: {batch_size: 8}}}}\n")
    args = config.parse("pretrain", ["--data_path", str(invented), "--epochs", "4", "--output_dir", "out"])
    end = "--finetune out/checkpoint-3.pth --output_dir out-linprobe"

    def following(*words):
        return run.linprobe_command(args, list(map(str, words)))

    small = config_files.FOLDER / "small.yaml"
    for here, beside in ((".", ""), ("..", ""), ("/", ""), ("a/b/", " --output_dir a/b-linprobe")):
        at = config.parse("pretrain", ["--data_path", str(invented), "--epochs", "4", "--output_dir", here])
        assert run.linprobe_command(at, []).endswith(f"--finetune {Path(here, 'checkpoint-3.pth')}{beside}")
    known = config.parse("pretrain", ["--data_path", "UCLA_XView_body_minmax.npz", "--epochs", "4", "--output_dir", "out"])
    command = run.linprobe_command(known, ["--config", str(small), "--data_path", "UCLA_XView_body_minmax.npz"])  # no --dataset
    assert command == f"python main_linprobe.py --config {small} --data_path UCLA_XView_body_minmax.npz {end}"
    assert following("--config", small) == f"python main_linprobe.py --config {small} --data_path {invented} {end}"
    assert following("--config=umurl.yaml") == f"python main_linprobe.py --config umurl.yaml --data_path {invented} {end}"
    for other in ("own.yaml", "gone.yaml"):
        assert following("--config", other, "--epochs", 4) == f"python main_linprobe.py --data_path {invented} {end}"
    assert following("--dataset", "mine.yaml") == f"python main_linprobe.py --dataset mine.yaml {end}"
    args.data_path = "elsewhere.npz"
    assert following("--dataset", "mine.yaml") == f"python main_linprobe.py --dataset mine.yaml --data_path elsewhere.npz {end}"
    Path("mine.yaml").write_text("data_path: [")  # edited while the run was going, which this must not end
    for words in (["--dataset", "mine.yaml"], ["--config"], ["--dataset", "gone.yaml"]):
        assert following(*words) == f"python main_linprobe.py --data_path elsewhere.npz {end}"


def test_who_makes_the_motion_stream(invented, options, tmp_path, monkeypatch):
    """MAMP itself, since its target needs the joints; for every other method the feeder."""
    monkeypatch.setitem(METHODS, "another", "mamp")
    for method, by_feeder in (("mamp", False), ("another", True)):
        line = options("pretrain", invented, tmp_path / method, "--input_stream", "motion", "--method", method)
        args = config.parse("pretrain", line)
        run.start(args)
        assert build_feeder(args, "train", augment=True).vel == by_feeder


def test_the_time_of_the_whole_run_is_said_before_the_first_epoch_ends(invented, options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("util.console.TimeEstimate.SECONDS", 0)
    main_pretrain.main(options("pretrain", invented, tmp_path / "out", "--epochs", 3, "--save_freq", 1))
    lines = capsys.readouterr().out.splitlines()
    at = [i for i, line in enumerate(lines) if re.match(r"about \d+ s left \((... )?\d\d:\d\d\) for 3 epochs$", line)]
    assert len(at) == 1 and at[0] < next(i for i, line in enumerate(lines) if "  epoch 1/3  " in line)
    before = tmp_path / "out/checkpoint-1.pth"
    main_pretrain.main(options("pretrain", invented, tmp_path / "out", "--epochs", 4, "--resume", before))
    assert re.search(r"about .* for 2 epochs$", capsys.readouterr().out, re.M)

"""The paper's tables from invented runs, whose files are written down here."""

import argparse
import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from scripts import tables
from util import config, results
from util.options import UNLABELLED


def digest(*things):
    return hashlib.sha256(repr(things).encode()).hexdigest()


def pretrained(dataset="ntu60_xsub", seed=0, **changes):
    """What result.json says of an encoder of the data set's pre-training."""
    made = vars(config.parse("pretrain", ["--dataset", dataset])) | {"path": "pretrained.pth"}
    made |= {"epoch": 301 if dataset.startswith("pku") else 400} | changes
    return made | {"sha256": digest(made, seed)}


@pytest.fixture
def write(tmp_path):
    """write(name, stage, dataset, accuracy, ...) invents a finished run of the data set's configuration, but for `options`, below
    tmp_path; changes, more: of its result.json."""

    def invent(name, stage, dataset, accuracy, options=None, encoder="default", changes=None, **more):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        encoder = pretrained(dataset, seed=more.get("seed", 0)) if encoder == "default" else encoder
        settings = vars(config.parse(stage, ["--dataset", dataset])) | {"finetune": encoder and encoder["path"]} | (options or {})
        config.save(argparse.Namespace(**settings), folder / "config.yaml")
        content = {"stage": stage, "dataset": dataset, "seed": 0, "epochs": 100, "encoder": encoder, "readout": "mean"}
        content |= {"evaluated_on": "test", "checkpoint": {"path": "checkpoint-99.pth", "sha256": digest(name)}}
        content |= {"last": {"test_acc1": accuracy, "test_samples": 16487}, "best": {"test_acc1": accuracy + 0.5, "epoch": 91}}
        content |= {"log": "log.jsonl", "config": "config.yaml", "versions": {"torch": "9"}, "epochs_counted_from": 1}
        (folder / "result.json").write_text(json.dumps(content | more | (changes or {})))
        return folder

    return invent


@pytest.fixture
def table(tmp_path, capsys, monkeypatch):
    """table() -> (lines of the CSV as dicts, the Markdown, what went to stderr) of everything below tmp_path."""

    def run():
        monkeypatch.chdir(tmp_path)
        tables.main([str(tmp_path), "--markdown", "report/t.md", "--csv", "report/t.csv"])
        out = capsys.readouterr()
        assert (tmp_path / "report/t.md").read_text() == out.out
        with open(tmp_path / "report/t.csv", newline="") as file:
            return list(csv.DictReader(file)), out.out, out.err

    return run


def filled(lines):
    """{(table, data, row): mean} of the lines with a number of ours."""
    return {(x["table"].split(":")[0], x["data"], x["row"]): float(x["mean"]) for x in lines if x["mean"]}


def others(lines):
    return {(x["data"], x["row"]): float(x["mean"]) for x in lines if x["table"] == "other results"}


def test_mean_and_spread_over_seeds(write, table):
    accuracies = [84.1, 85.3, 84.9]
    for seed, accuracy in enumerate(accuracies):
        write(f"r{seed}", "linprobe", "ntu60_xsub", accuracy, seed=seed)
    lines, text, errors = table()
    (line,) = [x for x in lines if x["mean"] and x["table"].startswith("Table 1:")]
    numbers = float(line["mean"]), float(line["std"])
    assert numbers == (pytest.approx(np.mean(accuracies)), pytest.approx(np.std(accuracies, ddof=1)))
    wanted = {"data": "NTU-60 X-sub", "row": "MAMP", "paper": "84.9", "release": "85.0", "runs": "3", "seeds": "0 1 2"}
    wanted |= {"encoder epoch": "400", "last epoch": "100", "read-out": "mean", "precision": "float32"}
    assert wanted.items() <= line.items()
    assert "| NTU-60 X-sub | MAMP | 84.9 | 85.0 | 84.8 ± 0.6 (3 seeds, encoder epoch 400, last epoch 100, mean) |" in text
    assert "| NTU-60 X-view | MAMP | 89.1 | 89.0 |  |" in text and "Other results" not in text and not errors
    # a line per run: links, checksums, the best epoch counted from 1
    (run,) = [x for x in text.splitlines() if x.startswith("| r1 ")]
    assert "| 85.30 |  | 85.80 (epoch 91) | 16487 |" in run and digest("r1")[:12] in run
    assert "[config.yaml](../r1/config.yaml) [log.jsonl](../r1/log.jsonl)" in run
    assert digest("r1") in Path("report/t-runs.csv").read_text()


def test_only_tables_with_results_are_printed(write, table, tmp_path, capsys):
    write("r", "linprobe", "ntu60_xsub", 84.1)
    lines, text, _ = table()
    titles = {line["table"] for line in lines}  # the CSV has them all
    printed = {title for title in titles if f"## {title}\n" in text}
    assert printed == {line["table"] for line in lines if line["mean"]} and 0 < len(printed) < len(titles)
    assert f"{len(titles) - len(printed)} tables of the paper have no result here" in text
    tables.main([str(tmp_path), "--all"])
    everything = capsys.readouterr().out
    assert all(f"## {title}\n" in everything for title in titles) and "have no result" not in everything


def beside(accuracy, name="per_joint"):
    """`last` of a run with two read-outs."""
    return {"last": {"test_acc1": 80.0, f"test_acc1_{name}": accuracy, "test_samples": 16487}}


def test_the_other_read_outs_stand_beside_the_headline(write, table):
    accuracies = [71.5, 74.25, 73.0]
    for seed, accuracy in enumerate(accuracies):
        both = {"last": beside(accuracy)["last"] | {"test_acc1_statistics": 77.0}}
        write(f"r{seed}", "linprobe", "ntu60_xsub", 80.0, seed=seed, **both)
        write(f"old{seed}", "linprobe", "ntu60_xview", 80.0, seed=seed, **(beside(70.0) if seed else {}))
    write("turned", "linprobe", "ntu60_xsub", 80.0, {"readout": "per_joint"}, readout="per_joint", **beside(60.0, "mean"))
    lines, text, _ = table()
    first, old, turned = [x for x in lines if x["mean"] and x["table"].startswith(("Table 1:", "other"))]
    assert float(first["mean"]) == 80 and first["read-out"] == "mean" and first["mean, other read-out"] == ""
    numbers = float(first["per_joint, other read-out"]), float(first["per_joint, other read-out, std"])
    assert numbers == (pytest.approx(np.mean(accuracies)), pytest.approx(np.std(accuracies, ddof=1)))
    assert {old[f"{name}, other read-out"] for name in ("mean", "per_joint", "statistics")} == {""}  # one run did not make it
    assert (turned["mean, other read-out"], turned["table"]) == ("60.0", "other results")
    assert "last epoch 100, mean) | 72.9 ± 1.4 (per_joint), 77.0 ± 0.0 (statistics) |" in text
    assert "| 74.2 (per_joint), 77.0 (statistics) |" in next(line for line in text.splitlines() if line.startswith("| r1 "))


def test_other_protocols_stay_out_of_the_papers_cells(write, table):
    """Each is listed below the tables with what differs."""
    options = {
        "readout per_joint": {"readout": "per_joint"},
        "epochs 10": {"epochs": 10},
        "lr 0.3": {"lr": 0.3},
        "effective_batch_size 128": {"effective_batch_size": 128},
        "data_ratio 0.5": {"data_ratio": 0.5},
        "data_ratio 0.01, subset released": {"data_ratio": 0.01, "subset": "released"},
        "input_stream bone": {"input_stream": "bone"},
        "data_path other.npz": {"data_path": "data/other.npz"},
        "test_p_interval 0.9": {"test_p_interval": [0.9]},
        "num_frames 60": {"num_frames": 60},
        "lr_steps 50 80": {"lr_steps": [50, 80]},
    }
    encoders = {
        "pretrain_epoch 200": pretrained(epoch=200),
        "pretrain_dataset ntu60_xview": pretrained("ntu60_xview"),
        "motion_stride 2": pretrained(motion_stride=2),
        "motion_aware_tau 0.75": pretrained(motion_aware_tau=0.75),
        "pretrain_num_frames 100": pretrained(num_frames=100),
        "encoder of unknown origin": pretrained(target=None, method=None),
        "encoder from finetune": pretrained(stage="finetune"),
        "decoder_depth None": pretrained(decoder_depth=None),
        "pretrain_lr 0.0003": pretrained(lr=3e-4),
        "pretrain_data_path other.npz": pretrained(data_path="data/ntu/other.npz"),
        "no pre-training": None,
        "MAMP, target joint": pretrained(target="joint"),  # SkeletonMAE* masks uniformly, too
    }
    write("usual", "linprobe", "ntu60_xsub", 84.0)
    cases = [*((name, change, "default") for name, change in options.items()), *((name, {}, e) for name, e in encoders.items())]
    for number, (_, change, encoder) in enumerate(cases):
        write(f"other{number}", "linprobe", "ntu60_xsub", 10.0 + number, change, encoder)
    write("validated", "linprobe", "ntu60_xsub", 99.0, evaluated_on="validation")
    lines, text, _ = table()
    found = {mean: row for (_, row), mean in others(lines).items()}
    assert len(found) == len(cases) + 1 and "evaluated_on validation" in found[99.0]
    assert all(name in found[10.0 + number] for number, (name, *_) in enumerate(cases))
    inside = {key: mean for key, mean in filled(lines).items() if key[0] == "Table 1"}
    assert inside == {("Table 1", "NTU-60 X-sub", "MAMP"): 84} and "## Other results" in text


def test_what_is_no_other_protocol(write, table):
    """The same arrays in other folders, and files of older runs: epochs counted from 0, newer options not there."""
    encoder = pretrained(data_path="/another disk/NTU60_XSub.npz")
    write("a", "linprobe", "ntu60_xsub", 84.0, {"data_path": "/disk/NTU60_XSub.npz"}, encoder)
    write("b", "linprobe", "ntu60_xsub", 86.0, encoder=pretrained(epoch=399), epochs_counted_from=None, seed=1)
    lines, text, _ = table()
    assert filled(lines)["Table 1", "NTU-60 X-sub", "MAMP"] == 85 and not others(lines) and "(2 seeds, encoder epoch 400" in text


def test_released_weights_and_mixed_precision_are_kept_apart(write, table):
    """Released weights have a row of their own; their checkpoints name an npz instead of a data set."""
    write("ours", "linprobe", "ntu60_xsub", 84.0)
    write("amp", "linprobe", "ntu60_xsub", 80.0, {"enable_amp": True})
    write("a", "linprobe", "ntu60_xsub", 85.0, encoder=pretrained(format="released"))
    write("b", "linprobe", "pku1_xsub", 92.0, encoder=pretrained("pku1_xsub") | {"format": "released", "dataset": "pkuv1_xsub"})
    lines, text, _ = table()
    inside = [x for x in lines if x["mean"] and x["table"].startswith("Table 1:")]
    cells = {(x["data"], x["row"], x["precision"]): float(x["mean"]) for x in inside}
    assert cells == {
        ("NTU-60 X-sub", "MAMP", "float32"): 84,
        ("NTU-60 X-sub", "MAMP", "mixed"): 80,
        ("NTU-60 X-sub", "MAMP's released weights", "float32"): 85,
        ("PKU-MMD I X-sub", "MAMP's released weights", "float32"): 92,
    }
    assert "80.0 (1 seed, encoder epoch 400, last epoch 100, mean, mixed precision)" in text


def test_the_same_run_counts_once(write, table):
    write("a", "linprobe", "ntu60_xsub", 84.0)
    write("copy", "linprobe", "ntu60_xsub", 84.0)
    write("again", "linprobe", "ntu60_xsub", 80.0)
    write("elsewhere", "linprobe", "ntu60_xsub", 82.0, encoder=pretrained(seed=1))  # another pre-training
    lines, text, _ = table()
    assert "83.0 ± 1.4 (2 runs, 1 seed, encoder epoch 400, last epoch 100, mean)" in text
    assert "copy (84.0): same settings, seed and encoder as a (84.0)" in text
    assert "again (80.0): same settings, seed and encoder as a (84.0)" in text
    assert sum(line.startswith(("| a ", "| copy ", "| again ")) for line in text.splitlines()) == 3


def test_evaluations_are_listed_but_fill_no_cell(write, table):
    write("a", "linprobe", "ntu60_xsub", 84.0, {"eval": "x/checkpoint-99.pth"}, eval=True)
    joints = pretrained(target="joint", motion_aware_tau=0.0)
    write("b", "finetune", "ntu60_xsub", 80.0, {"eval": "x/checkpoint-99.pth", "finetune": None}, joints, eval=True)
    lines, text, _ = table()
    assert not filled(lines) and "| a | NTU-60 X-sub | linprobe (evaluation) | MAMP | eval checkpoint-99.pth |" in text
    assert "| b | NTU-60 X-sub | finetune (evaluation) | SkeletonMAE* | eval checkpoint-99.pth |" in text


def test_damaged_and_foreign_results_are_named_and_the_rest_goes_on(write, table, tmp_path):
    write("good", "linprobe", "ntu60_xsub", 84.0)
    bad = {"cut": '{"stage": "linpr', "foreign": '{"accuracy": 3}', "list": "[1]", "binary": "\0\1"}
    bad["stage"] = '{"stage": "detect", "last": {}}'
    for name, text in bad.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(text)
    (write("alone", "linprobe", "ntu60_xsub", 1.0) / "config.yaml").unlink()
    (write("empty", "linprobe", "ntu60_xsub", 1.0) / "config.yaml").write_text("")
    (write("broken", "linprobe", "ntu60_xsub", 1.0) / "config.yaml").write_text("{: [")
    write("nan", "linprobe", "ntu60_xsub", float("nan"))
    for number, value in enumerate(("73", 101.0, None)):
        write(f"beside{number}", "linprobe", "ntu60_xsub", 80.0, **beside(value))
    lines, text, errors = table()
    assert filled(lines)["Table 1", "NTU-60 X-sub", "MAMP"] == 84
    bad |= dict.fromkeys(("alone", "empty", "broken", "nan", "beside0", "beside1", "beside2"))
    assert {line.split(": ")[1].split("/")[0] for line in errors.splitlines()} == set(bad)
    assert all(f"{name}/result.json: not the result of a run of ours" in text for name in bad)


def test_no_value_of_a_result_stops_the_table(write, table):
    keys = "stage dataset seed epochs encoder readout evaluated_on checkpoint last best log config versions eval subset_seed"
    keys = [*keys.split(), "ridge", "standardised_features"]
    values = (None, -1, 0.5, "x", [], {}, [1], {"x": []})
    for key in keys:
        for number, value in enumerate(values):
            write(f"{key}{number}", "linprobe", "ntu60_xsub", 99.0, changes={key: value})
    write("zz", "linprobe", "ntu60_xview", 84.0)
    lines, text, errors = table()
    assert filled(lines)["Table 1", "NTU-60 X-view", "MAMP"] == 84 and "last5/result.json: not the result" in errors
    listed = sum(line.startswith("| ") and "[result.json]" in line for line in text.splitlines())
    assert len(errors.splitlines()) + listed == len(values) * len(keys) + 1


def test_a_missing_folder_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        tables.main([str(tmp_path / "x")])
    assert f"error: {tmp_path}/x: no such folder\n" in capsys.readouterr().err


def test_every_row_is_filled_by_what_the_scripts_run(write, table, planned):
    """Each command of the dry runs becomes an invented result of its own accuracy; all of them land in the paper's tables."""
    own = "umurl umurl_none mamp_query mamp_cross skeletonmae_query"
    amr = {"METHOD": "mamp_query", "VARIANT": "amr"}  # config/mamp_query.yaml
    recipe = "--loss_weight motion --motion_aware_tau 0 --decoder_depth 5".split()
    commands = planned("reproduce", DATA="ucla", METHOD=own) + planned("compare", DATA="ucla") + planned("compare", DATA="demo")
    for data in ("ntu60_xsub", "ntu60_xview", "ntu120_xsub", "ntu120_xset", "pku1_xsub", "pku2_xsub", "ucla", "ucla_large"):
        commands += planned("reproduce", DATA=data, ABLATION="all" if data in ("ntu60_xsub", "ntu120_xsub") else "")
    for data in ("ntu60_xsub", "ntu120_xsub"):
        for script in ("pretrain", "linprobe"):
            commands += planned(script, DATA=data, METHOD="mamp_query mamp_cross")
            commands += planned(script, *(recipe if script == "pretrain" else []), DATA=data, **amr)
    tuned = "umurl mamp_query mamp_cross skeletonmae_query"
    for script in ("pretrain", "tune"):
        commands += planned(script, DATA="ntu60_xsub") + planned(script, DATA="ucla", METHOD=tuned)
    for data in ("ntu60_xsub_umurl", "ntu60_xview_umurl", "ntu120_xsub_umurl", "ntu120_xset_umurl"):
        commands += planned("reproduce", DATA=data)
    commands = {c.output: c for c in commands}
    made = {output: vars(c.options()) for output, c in commands.items() if c.stage == "pretrain"}
    judged = [c for c in commands.values() if c.stage not in UNLABELLED]

    def epoch_of(file, folder):
        return made[folder]["epochs"] if "last" in file else int(file.removeprefix("checkpoint-").removesuffix(".pth")) + 1

    for number, command in enumerate(judged):
        encoder, options = None, vars(command.options())
        if command.encoder:
            folder, _, file = command.encoder.rpartition("/")
            of_tuning = {}
            if folder not in made:  # a tuning; the recipe is that of the pre-training it began with
                folder, _, file = commands[folder].encoder.rpartition("/")
                of_tuning = {"stage": "tune", "epoch": 10, "pretrain_epoch": epoch_of(file, folder) - 1}
            encoder = made[folder] | {"path": command.encoder, "epoch": epoch_of(file, folder)} | of_tuning
            encoder["sha256"] = digest(command.encoder)
            options["t_patch_size"] = encoder.get("t_patch_size")  # a main takes the sizes from the checkpoint
        options["finetune"] = command.encoder
        write(command.output, command.stage, options["dataset"], number / 10, options, encoder, seed=options["seed"])
    lines, _, errors = table()
    assert not errors and not others(lines)
    wanted = {(c["table"], c["column"], c["row"]) for c in results.cells() if c["runs"] not in (None, {"encoder": "released"})}
    assert {(x["table"], x["data"], x["row"]) for x in lines if x["mean"]} == wanted
    assert sum(int(x["runs"]) for x in lines if x["mean"]) >= len(judged)  # some runs stand in several tables

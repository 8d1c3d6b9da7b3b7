"""The comparison of methods: what compare.py makes of finished runs, and which it refuses."""

import json
import re
import shutil
from collections import defaultdict

import numpy as np
import pytest
import yaml

from scripts import compare, coordinates
from util import config

SIZES = "--num_frames 8 --min_frames 4 --dim_feat 8 --depth 2 --num_heads 2 --num_workers 0".split()
SKELETONMAE = {"target": "joint", "motion_aware_tau": 0}
METHODS = {  # the options of the pre-training
    "MAMP": {},
    "SkeletonMAE*": SKELETONMAE,
    "UmURL": {"method": "umurl"},
    "no pre-training": None,
    "UmURL's encoder without pre-training": None,
}
READOUTS = {"mean": "mean", "per_joint": "per joint", "statistics": "statistics"}
TABLES = {"linprobe": "Linear probe", "retrieval": "1-NN"}
COLUMNS = {(stage, name): f"{table}, {head}" for stage, table in TABLES.items() for name, head in READOUTS.items()}
COLUMNS |= {("finetune", "mean"): "Fine-tuning, 10 % of the labels, top-1"}
RIDGE = [f"Ridge regression on the same features, {head}" for head in READOUTS.values()]
STANDARDISED = [f"1-NN, features standardised, {head}" for head in READOUTS.values()]
STAGES = {"linprobe": {}, "retrieval": {}, "finetune": {"data_ratio": 0.1}}


def write(data, folder, stage, seed, options=None, encoder=None, accuracy=50.0, other=None, speeds=(1.0,), **changes):
    """Invent a finished run in folder/stage/seed<k>; of a pre-training, returns what the result.json of others says of it.

    options: of its command line; other: accuracy of the read-out beside the headline (mean or per_joint), that of statistics is 5
    more; changes: of result.json.
    """
    path = folder / stage / f"seed{seed}"
    path.mkdir(parents=True)
    words = [str(word) for key, value in (options or {}).items() for word in (f"--{key}", value)]
    args = config.parse(stage, ["--data_path", str(data), "--seed", str(seed), *SIZES, *words])
    if hasattr(args, "accum_iter"):
        config.set_batches(args)
    args.finetune = encoder and encoder["path"]
    config.save(args, path / "config.yaml")
    ratio, readout = getattr(args, "data_ratio", 1.0), getattr(args, "readout", None)
    content = {"stage": stage, "method": args.method, "dataset": "data", "seed": seed, "input_stream": "joint"}
    content |= {"epochs": getattr(args, "epochs", None), "hardware": "abacus", "processes": 1, "epochs_counted_from": 1}
    content |= {"data_ratio": ratio, "subset_seed": getattr(args, "subset_seed", None), "labels": int(24 * ratio)}
    content |= {"config": "config.yaml"}
    checkpoint = {"path": f"{path}/checkpoint-last.pth", "sha256": f"{path.parent.parent.name}-{seed}".ljust(64, "0")}
    if stage == "pretrain":
        content |= {"last": {"train_loss": 1.0}, "log": "log.jsonl", "checkpoint": checkpoint}
        lines = [json.dumps({"epoch": epoch, "samples_per_s": speed}) + "\n" for epoch, speed in enumerate(speeds)]
        (path / "log.jsonl").write_text("".join(lines))
    else:
        second = "mean" if readout == "per_joint" else "per_joint"
        beside = {f"test_acc1_{second}": other, "test_acc1_statistics": other + 5} if other is not None else {}
        content |= {"evaluated_on": "test", "encoder": encoder, "last": {"test_acc1": accuracy, "test_samples": 13} | beside}
        content |= {"readout": readout, "best": {"test_acc1": 99.0, "epoch": 1}}
    (path / "result.json").write_text(json.dumps(content | changes))
    recipe = {key: getattr(args, key, None) for key in ("target", "motion_aware_tau", "mask_ratio", "epochs", "method")}
    return recipe | checkpoint | {"stage": "pretrain", "dataset": "data", "epoch": content["epochs"]}


@pytest.fixture
def run(data, tmp_path):
    """run(folder, stage, seed, ...): `write` below tmp_path."""
    return lambda folder, *arguments, **named: write(data, tmp_path / folder, *arguments, **named)


@pytest.fixture(scope="module")
def all_methods(data, tmp_path_factory):
    """(folder with all methods, stages and the seeds 0 and 1, {(method, stage, read-out, seed): accuracy})."""
    folder, rng, accuracies = tmp_path_factory.mktemp("all"), np.random.default_rng(0), {}
    for number, (method, options) in enumerate(METHODS.items()):
        for seed in (0, 1):
            encoder = None
            if options is not None:
                speeds = [10.0 * number + 3 * seed + i for i in range(2)] + [1e4 * seed]  # one epoch like no other
                masked = {} if method == "UmURL" else {"mask_ratio": 0.6}
                encoder = write(data, folder / f"m{number}", "pretrain", seed, {"epochs": 40} | masked | options, speeds=speeds)
            umurl = {"method": "umurl"} if "UmURL" in method else {}
            for stage, own in STAGES.items():
                accuracy = accuracies[method, stage, "mean", seed] = rng.uniform(0, 100)
                other = rng.uniform(0, 95) if stage != "finetune" and not umurl else None
                if other is not None:
                    accuracies[method, stage, "per_joint", seed] = other
                    accuracies[method, stage, "statistics", seed] = other + 5
                scratch = {"layer_decay": 1} if stage == "finetune" and encoder is None else {}
                options_of_stage = own | umurl | scratch
                write(data, folder / f"m{number}", stage, seed, options_of_stage, encoder, accuracy=accuracy, other=other)
    return folder, accuracies


@pytest.fixture
def everything(all_methods, tmp_path):
    """The accuracies of `all_methods`, whose folders are copied to tmp_path, to be changed."""
    shutil.copytree(all_methods[0], tmp_path, dirs_exist_ok=True)
    return all_methods[1]


@pytest.fixture
def table(tmp_path, capsys):
    """table() -> ({method: {'table, column': cell}}, the text) of everything below tmp_path; '' where a method has no row."""

    def read():
        capsys.readouterr()
        compare.main([str(tmp_path), "--markdown", str(tmp_path / "new/compare.md")])
        text = capsys.readouterr().out
        assert (tmp_path / "new/compare.md").read_text() == text
        cells = {}
        for title, body in re.findall(r"^## (.*)\n\n((?:\|.*\n)+)", text, re.M):
            head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()]
            for name, *row in rows:
                names = head[1:] if title == "Cost" else [f"{title}, {column}" for column in head[1:]]
                cells.setdefault(name, defaultdict(str)).update(zip(names, row, strict=True))
        return cells, text

    return read


@pytest.fixture
def free(data, tmp_path):
    """free(folder, *words) runs scripts/coordinates.py; returns {'ridge': accuracy, '1-NN': accuracy}."""

    def run(name, *words):
        coordinates.main(["--data_path", str(data), "--num_frames", "8", "--output_dir", str(tmp_path / name), *map(str, words)])
        return {m: json.loads((tmp_path / name / m / "result.json").read_text())["last"]["test_acc1"] for m in ("ridge", "1-NN")}

    return run


def spread(values):
    return "{:.1f} ± {:.1f} ({:.1f}, {:.1f})".format(np.mean(values), np.std(values, ddof=1), *values)


def below(text):
    """{(method, column): (its accuracy, the other one, whose)} of the note."""
    found = re.findall(r"^- (.*?): (.*), ([\d.]+) against ([\d.]+) \((.*)\)$", text, re.M)
    return {(method, column): (float(accuracy), float(other), whose) for method, column, accuracy, other, whose in found}


def test_every_number_is_the_runs(everything, table):
    rows, text = table()
    assert list(rows) == list(METHODS)
    for method, row in rows.items():
        for (stage, readout), column in COLUMNS.items():
            each = [everything.get((method, stage, readout, seed)) for seed in (0, 1)]
            assert row[column] == ("" if None in each else spread(each))
            assert (None in each) == ("UmURL" in method and readout != "mean")
    speeds = {"MAMP": "2", "SkeletonMAE*": "12", "UmURL": "22 (mixed precision)"}  # of 0 1 0 3 4 10000 and so on
    assert {m: row["samples/s"] for m, row in rows.items()} == speeds | dict.fromkeys(list(METHODS)[3:], "")
    assert "13 test sequences after the last epoch" in text and "40 epochs of pre-training over the same 24 sequences" in text
    assert "(abacus, processes: 1)" in text
    assert "- pretrain of MAMP, SkeletonMAE*: depth 2, dim_feat 8, epochs 40, mask_ratio 0.6, min_frames 4, num_frames 8" in text
    embedding, positions, block, norm = 3 * 4 * 8 + 8, 5 * 8 + 2 * 8, 12 * 8 * 8 + 13 * 8, 2 * 8
    encoders = [row["parameters, encoder"] for row in rows.values()]
    assert encoders[0] == encoders[1] == encoders[3] == f"{embedding + positions + 2 * block + norm:,}"
    assert encoders[2] == encoders[4] and rows["no pre-training"]["in pre-training"] == ""
    assert [bool(row["GFLOP per sample"]) for row in rows.values()] == [True] * 3 + [False] * 2


@pytest.mark.parametrize(
    "options, other, cells",
    [
        ({}, 60.0, ["40.0", "60.0", "65.0", "30.0", "", ""]),
        ({"readout": "per_joint"}, 60.0, ["60.0", "40.0", "65.0", "30.0", "", ""]),  # the headline does not decide the column
        ({}, None, ["40.0", "", "", "30.0", "", ""]),  # older runs made one read-out
    ],
)
def test_one_seed_and_fewer_stages(options, other, cells, run, table):
    run("a", "linprobe", 3, options, accuracy=40.0, other=other)
    run("a", "retrieval", 3, accuracy=30.0)
    rows, text = table()
    assert [rows["no pre-training"][name] for name in list(COLUMNS.values())[:6]] == cells and "last epoch, seed 3." in text
    assert "Fine-tuning" not in text and "standardised" not in text  # no table without a number


def test_ridge_regression_and_standardised_features_have_tables(run, free, table, tmp_path):
    run("a", "linprobe", 3, ridge={"mean": 70.0, "per_joint": 80.0})
    run("a", "retrieval", 3, standardised_features={"mean": 61.0, "per_joint": 62.0, "statistics": 63.0})
    run("b", "linprobe", 3, {"method": "umurl"}, ridge={"multi": 75.0})
    run("b", "retrieval", 3, {"method": "umurl"}, standardised_features={"multi": 64.0})
    found, (rows, _) = free("all")["ridge"], table()
    standardised = json.loads((tmp_path / "all/1-NN/result.json").read_text())["standardised_features"]["coordinates"]
    names = ["no pre-training", "UmURL's encoder without pre-training", "coordinates, ridge", "coordinates, 1-NN"]
    cells = [[rows[name][column] for column in RIDGE] for name in names]
    assert cells == [["70.0", "80.0", ""], ["75.0", "", ""], [f"{found:.1f}"] * 3, ["", "", ""]]
    cells = [[rows[name][column] for column in STANDARDISED] for name in names]
    assert cells == [["61.0", "62.0", "63.0"], ["64.0", "", ""], ["", "", ""], [f"{standardised:.1f}"] * 3]


def test_coordinates_stand_beside_the_methods(everything, free, table):
    every = free("all")
    few = [free(f"few{seed}", "--data_ratio", 0.1, "--subset_seed", seed) for seed in (0, 1)]
    rows, text = table()
    assert list(rows) == [*METHODS, "coordinates, ridge", "coordinates, 1-NN"] and "Not among the runs" not in text
    for method, stage in (("ridge", "linprobe"), ("1-NN", "retrieval")):
        row, each = rows[f"coordinates, {method}"], [found[method] for found in few]
        wanted = {column: f"{every[method]:.1f}" if own == stage else "" for (own, _), column in COLUMNS.items()}
        wanted["Fine-tuning, 10 % of the labels, top-1"] = spread(each)
        assert {column: row[column] for column in wanted} == wanted
        assert row["parameters, encoder"] == row["GFLOP per sample"] == ""


def test_who_is_better_than_what_costs_nothing(run, free, table):
    encoder = run("a", "pretrain", 0, {"mask_ratio": 0.6})
    run("a", "linprobe", 0, encoder=encoder, accuracy=100.0, other=95.0)
    text = table()[1]  # what was not run is not beaten
    assert "Not among the runs, and so not compared with: coordinates, ridge; no pre-training." in text
    assert "Better in every column" not in text and below(text) == {}
    every = free("all")
    run("b", "linprobe", 0, accuracy=40.0, other=95.0)
    text = table()[1]
    wanted = {("MAMP", "Linear probe, per joint"): (95, 95, "no pre-training")}
    wanted |= {("MAMP", "Linear probe, statistics"): (100, 100, "no pre-training")}
    assert every["ridge"] < 95 and below(text) == wanted
    run("c", "pretrain", 0, SKELETONMAE | {"mask_ratio": 0.6})
    assert table()[1] == text  # of what was not judged nothing is said
    run("a", "retrieval", 0, encoder=encoder, accuracy=every["1-NN"])
    run("b", "retrieval", 0, accuracy=0.0)
    nearest = round(every["1-NN"], 1)
    assert below(table()[1])["MAMP", "1-NN, mean"] == (nearest, nearest, "coordinates, 1-NN")


def test_numbers_that_older_runs_lack_are_named(run, free, table, tmp_path):
    encoder = run("a", "pretrain", 0, {"mask_ratio": 0.6})
    run("a", "retrieval", 0, encoder=encoder, accuracy=100.0, standardised_features={"mean": 100.0})
    run("b", "retrieval", 0, accuracy=1.0)
    assert free("all")["1-NN"] < 100
    text = table()[1]
    lacking = "no pre-training (1-NN, features standardised, mean)"
    assert f"runs of an older version do not have: {lacking}.\n" in text and "Not among the runs" not in text
    assert "Better in every column" not in text
    change(tmp_path / "b/retrieval/seed0/result.json", standardised_features={"mean": 1.0})
    text = table()[1]
    assert "Better in every column than coordinates and the own encoder without pre-training: MAMP." in text


def test_all_labels_stand_beside_fine_tuning_with_all(run, free, table):
    every = free("all")
    run("a", "finetune", 0, {"layer_decay": 1}, accuracy=12.0)
    rows, _ = table()
    found = {method: rows[f"coordinates, {method}"]["Fine-tuning, 100 % of the labels, top-1"] for method in every}
    assert found == {method: f"{accuracy:.1f}" for method, accuracy in every.items()}


@pytest.mark.parametrize(
    "words, message",
    [
        (["--input_stream", "motion"], "input_stream .*motion"),
        (["--data_ratio", 0.1, "--subset_seed", 3], r"seeds \[3\] in coordinates of coordinates, .*, \[0, 1\] in "),
        (["--val_groups", 1], "evaluated_on validation in "),
    ],
)
def test_other_coordinates_are_refused(words, message, everything, free, table):
    free("other", *words)
    with pytest.raises(ValueError, match=message):
        table()


def test_an_evaluation_is_no_run(everything, table, run, tmp_path):
    before = table()
    run("a", "linprobe", 7, accuracy=1.0, eval=True)
    change(tmp_path / "a/linprobe/seed7/config.yaml", eval="x.pth")
    assert table() == before


def change(file, **values):
    """Change values of a result.json or config.yaml."""
    content = yaml.safe_load(file.read_text()) | values
    file.write_text(json.dumps(content) if file.suffix == ".json" else yaml.safe_dump(content))


@pytest.mark.parametrize(
    "where, values, message",
    [
        ("m2/pretrain/seed1", {"epochs": 30}, "epochs 30 in .*m2/pretrain/seed1, 40 in .*m0/pretrain/seed0"),
        ("m2/pretrain/seed1", {"labels": 23}, "labels 23 in .*m2/pretrain/seed1, 24 in "),
        ("m1/linprobe/seed0", {"labels": 12}, "labels 12 in .*m1/linprobe/seed0"),
        ("m3/finetune/seed0", {"subset_seed": 5}, "subset_seed 5 in .*m3/finetune/seed0, 0 in "),
        ("m3/finetune/seed0", {"data_ratio": 0.2}, "data_ratio 0.2 in .*m3/finetune/seed0, 0.1 in "),
        ("m3/finetune/seed0", {"epochs": 7}, "epochs 7 in .*m3/finetune/seed0"),
        ("m4/retrieval/seed1", {"dataset": "other"}, "dataset other in .*m4/retrieval/seed1"),
        ("m4/retrieval/seed1", {"input_stream": "bone"}, "input_stream bone in .*m4/retrieval/seed1"),
        ("m4/retrieval/seed1", {"evaluated_on": "validation"}, "evaluated_on validation in .*m4/retrieval/seed1"),
        ("m4/retrieval/seed1", {"last": {"test_acc1": 1.0, "test_samples": 9}}, "test samples 9 in .*m4/retrieval/seed1"),
        ("m4/retrieval/seed1", {"seed": 2}, r"seeds \[0, 2\] in retrieval of UmURL's encoder without pre-training, \[0, 1\] in "),
        ("m1/pretrain/seed0", {"checkpoint": {"sha256": "0" * 64}}, "m1/.*/seed0: judges .*m1/.*/checkpoint-last.pth, not the"),
        ("m1/pretrain/seed1", {"seed": 0}, "m1/.*/seed1: seed 1 judges the pre-training of seed 0"),
        (
            "m3/linprobe/seed1/config.yaml",
            {"lr": 0.3},
            "lr 0.3 in .*m3/linprobe/seed1, 0.1 in .*m3/linprobe/seed0: not comparable",
        ),
        (
            "m4/linprobe/seed1/config.yaml",
            {"data_path": "elsewhere/other.npz"},
            "data_path other.npz in .*m4/linprobe/seed1, data",
        ),
    ],
)
def test_what_is_not_comparable_is_refused(where, values, message, everything, table, tmp_path):
    change(tmp_path / where / ("" if where.endswith("yaml") else "result.json"), **values)
    with pytest.raises(ValueError, match=message) as error:
        table()
    assert "\n" not in str(error.value) and not (tmp_path / "new").exists()


def test_nothing_to_compare(tmp_path, run, capsys):
    with pytest.raises(FileNotFoundError, match="x: no such folder"):
        compare.main([str(tmp_path / "x")])
    run("a", "pretrain", 0)
    run("b", "linprobe", 0)
    (tmp_path / "b/linprobe/seed0/result.json").write_text("{")
    with pytest.raises(ValueError, match="no linear probe, retrieval or fine-tuning among the runs"):
        compare.main([str(tmp_path)])
    assert "warning: " in capsys.readouterr().err

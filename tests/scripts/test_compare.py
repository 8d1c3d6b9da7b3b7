"""The comparison of methods: what compare.py makes of finished runs, and which it refuses."""

import hashlib
import json
import re

import numpy as np
import pytest
import yaml

from scripts import compare, coordinates
from util import checkpoint, config, results

SIZES = "--num_frames 8 --min_frames 4 --dim_feat 8 --depth 2 --num_heads 2 --num_workers 0".split()
MASK = ["--mask_ratio", "0.6"]
METHODS = {
    "MAMP": MASK,
    "SkeletonMAE*": [*MASK, "--target", "joint", "--motion_aware_tau", "0"],
    "UmURL": ["--method", "umurl"],
    "no pre-training": None,
    "UmURL's encoder without pre-training": None,
}
COLUMNS = {
    ("linprobe", "mean"): "linear probe, mean",
    ("linprobe", "per_joint"): "linear probe, per joint",
    ("retrieval", "mean"): "1-NN, mean",
    ("retrieval", "per_joint"): "1-NN, per joint",
    ("finetune", "mean"): "fine-tuning, 10 % of the labels",
}
STAGES = {"linprobe": [], "retrieval": [], "finetune": ["--data_ratio", "0.1"]}


@pytest.fixture
def data(arrays, npz):
    """An npz whose skeleton UmURL can make bones of; two test labels are wrong, so that nobody is perfect."""
    arrays["y_test"][[0, 4]] = arrays["y_test"][[1, 5]]
    more = {"parents": np.array([0, 0, 1, 1, 3]), "joint_names": np.array([*"abcde"]), "group_train": np.arange(24) % 4}
    return npz(arrays | more)


@pytest.fixture
def write(data, tmp_path):
    """write(folder, stage, seed, *words, of=, accuracy=, other=, **changes of result.json) invents a finished run."""

    def invent(name, stage, seed, *words, of=None, accuracy=50.0, other=None, speeds=(1.0,), **changes):
        folder = tmp_path / name / stage / f"seed{seed}"
        folder.mkdir(parents=True)
        args = config.parse(stage, ["--data_path", str(data), "--seed", str(seed), *SIZES, *words])
        if hasattr(args, "accum_iter"):
            config.set_batches(args)
        own = {"sha256": hashlib.sha256(str(folder).encode()).hexdigest()}
        content = results.about(args) | {"config": "config.yaml", "hardware": "abacus", "processes": 1}
        content["labels"] = int(24 * getattr(args, "data_ratio", 1))
        if stage == "pretrain":
            content |= checkpoint.recipe(vars(args)) | {"last": {"train_loss": 1.0}, "log": "log.jsonl", "checkpoint": own}
            log = [json.dumps({"epoch": epoch, "samples_per_s": speed}) + "\n" for epoch, speed in enumerate(speeds)]
            (folder / "log.jsonl").write_text("".join(log))
        else:
            last = {"test_acc1": accuracy, "test_samples": 13}
            if other is not None:
                last[f"test_acc1_{'mean' if args.readout == 'per_joint' else 'per_joint'}"] = other
            content |= {"encoder": None, "last": last, "best": {"test_acc1": 99.0, "epoch": 0}}
            args.finetune = of and of["path"]
            content["encoder"] = of
        config.save(args, folder / "config.yaml")
        (folder / "result.json").write_text(json.dumps(content | changes))
        if stage == "pretrain":
            about = {"path": f"{folder}/checkpoint-last.pth", "format": "ours", "stage": "pretrain", "epoch": args.epochs - 1}
            return checkpoint.recipe(vars(args)) | own | about
        return folder

    return invent


@pytest.fixture
def everything(write):
    """everything(...) invents all methods, stages and the seeds 0 and 1; returns {(method, stage, read-out, seed): accuracy}."""

    def invent(pretrain=("--epochs", "40")):
        rng, accuracies = np.random.default_rng(0), {}
        for number, (method, words) in enumerate(METHODS.items()):
            for seed in (0, 1):
                encoder = None
                if words is not None:
                    speeds = [10.0 * number + 3 * seed + i for i in range(2)] + [1e4 * seed]  # one epoch like no other
                    encoder = write(f"m{number}", "pretrain", seed, *pretrain, *words, speeds=speeds)
                umurl = ["--method", "umurl"] if "UmURL" in method else []
                for stage, own in STAGES.items():
                    accuracy = accuracies[method, stage, "mean", seed] = rng.uniform(0, 100)
                    other = rng.uniform(0, 100) if stage != "finetune" and not umurl else None
                    if other is not None:
                        accuracies[method, stage, "per_joint", seed] = other
                    scratch = ["--layer_decay", "1"] if stage == "finetune" and encoder is None else []
                    write(f"m{number}", stage, seed, *own, *umurl, *scratch, of=encoder, accuracy=accuracy, other=other)
        return accuracies

    return invent


@pytest.fixture
def table(tmp_path, capsys):
    """table() -> ({method: cells}, the text) of everything below tmp_path."""

    def read():
        compare.main([str(tmp_path), "--markdown", str(tmp_path / "new/compare.md")])
        text = capsys.readouterr().out
        assert (tmp_path / "new/compare.md").read_text() == text
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
        assert len({len(row) for row in rows}) == 1
        return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}, text

    return read


def test_every_number_is_the_runs(everything, table):
    accuracies = everything()
    rows, text = table()
    assert list(rows) == list(METHODS)
    for method, row in rows.items():
        for (stage, readout), column in COLUMNS.items():
            each = [accuracies.get((method, stage, readout, seed)) for seed in (0, 1)]
            if "UmURL" in method and readout == "per_joint":
                assert each == [None, None] and row[column] == ""
            else:
                assert row[column] == "{:.1f} ± {:.1f} ({:.1f}, {:.1f})".format(np.mean(each), np.std(each, ddof=1), *each)
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


def test_one_seed_and_fewer_stages(write, table):
    encoder = write("a", "pretrain", 3, *MASK)
    write("a", "linprobe", 3, of=encoder, accuracy=61.25)
    write("b", "linprobe", 3, accuracy=40.0)
    rows, text = table()
    assert [row["linear probe, mean"] for row in rows.values()] == ["61.2", "40.0"] and "last epoch, seed 3." in text
    assert {row[name] for row in rows.values() for name in list(COLUMNS.values())[1:4]} == {""} and "fine-tuning" in rows["MAMP"]


def test_the_headline_does_not_decide_the_column(write, table):
    """And runs of before, which made one read-out, leave the other's cell empty."""
    write("a", "linprobe", 0, accuracy=40.0, other=60.0)
    write("a", "retrieval", 0, accuracy=30.0)
    rows, _ = table()
    assert [rows["no pre-training"][name] for name in list(COLUMNS.values())[:4]] == ["40.0", "60.0", "30.0", ""]


def test_per_joint_as_the_headline(write, table):
    write("a", "linprobe", 0, "--readout", "per_joint", accuracy=40.0, other=60.0)
    rows, _ = table()
    assert [rows["no pre-training"][name] for name in list(COLUMNS.values())[:2]] == ["60.0", "40.0"]


@pytest.fixture
def free(data, tmp_path):
    """free(folder, *words) runs scripts/coordinates.py; returns {'ridge': accuracy, '1-NN': accuracy}."""

    def run(name, *words):
        coordinates.main(["--data_path", str(data), "--num_frames", "8", "--output_dir", str(tmp_path / name), *map(str, words)])
        return {m: json.loads((tmp_path / name / m / "result.json").read_text())["last"]["test_acc1"] for m in ("ridge", "1-NN")}

    return run


def below(text):
    """{(method, column): (its accuracy, the other one, whose)} of the note."""
    found = re.findall(r"^- (.*?): (.*), ([\d.]+) against ([\d.]+) \((.*)\)$", text, re.M)
    return {(method, column): (float(own), float(other), whose) for method, column, own, other, whose in found}


def test_what_costs_nothing_stands_beside_the_methods(everything, free, table, capsys):
    accuracies, every = everything(), free("all")
    few = [free(f"few{seed}", "--data_ratio", 0.1, "--subset_seed", seed) for seed in (0, 1)]
    capsys.readouterr()
    rows, text = table()
    assert list(rows) == [*METHODS, "coordinates, ridge", "coordinates, 1-NN"]
    for method, stage in (("ridge", "linprobe"), ("1-NN", "retrieval")):
        row, each = rows[f"coordinates, {method}"], [found[method] for found in few]
        wanted = {column: f"{every[method]:.1f}" if own == stage else "" for (own, _), column in COLUMNS.items()}
        wanted["fine-tuning, 10 % of the labels"] = "{:.1f} ± {:.1f} ({:.1f}, {:.1f})".format(
            np.mean(each), np.std(each, ddof=1), *each
        )
        assert wanted.items() <= row.items() and row["parameters, encoder"] == row["GFLOP per sample"] == ""
    wanted, found = {}, below(text)
    for method in list(METHODS)[:3]:
        untrained = list(METHODS)[4 if method == "UmURL" else 3]
        for (stage, readout), column in COLUMNS.items():

            def mean(who, stage=stage, readout=readout):
                return np.mean([accuracies.get((who, stage, readout, seed), np.nan) for seed in (0, 1)])

            others = {untrained: mean(untrained)}
            if stage == "finetune":
                others |= {f"coordinates, {m}": np.mean([found[m] for found in few]) for m in ("ridge", "1-NN")}
            else:
                name = {"linprobe": "ridge", "retrieval": "1-NN"}[stage]
                others[f"coordinates, {name}"] = every[name]
            most = max(others, key=lambda name: np.nan_to_num(others[name]))
            if others[most] >= mean(method):
                name = "fine-tuning" if stage == "finetune" else column
                wanted[method, name] = (round(mean(method), 1), round(others[most], 1), most)
    assert wanted and found.keys() == wanted.keys()
    for key, (own, other, whose) in found.items():
        assert (own, other) == pytest.approx(wanted[key][:2], abs=0.051) and whose == wanted[key][2]
    assert "Not among the runs" not in text


def test_who_is_better_than_what_costs_nothing(write, free, table, capsys):
    every = free("all")
    encoder = write("a", "pretrain", 0, *MASK)
    write("a", "linprobe", 0, of=encoder, accuracy=100.0, other=100.0)
    write("b", "linprobe", 0, accuracy=40.0, other=100.0)
    capsys.readouterr()
    text = table()[1]
    assert every["ridge"] < 100 and below(text) == {("MAMP", "linear probe, per joint"): (100, 100, "no pre-training")}
    write("c", "pretrain", 0, *METHODS["SkeletonMAE*"])
    assert table()[1] == text  # of what was not judged nothing is said


def test_what_was_not_run_is_not_beaten(write, table):
    encoder = write("a", "pretrain", 0, *MASK)
    write("a", "linprobe", 0, of=encoder, accuracy=61.25)
    text = table()[1]
    assert "Not among the runs, and so not compared with: coordinates, ridge; no pre-training." in text
    assert "Better in every column" not in text and below(text) == {}


def test_all_labels_stand_beside_fine_tuning_with_all(write, free, table, capsys):
    every = free("all")
    write("a", "finetune", 0, "--layer_decay", "1", accuracy=12.0)
    capsys.readouterr()
    rows, _ = table()
    for method in ("ridge", "1-NN"):
        assert rows[f"coordinates, {method}"]["fine-tuning, 100 % of the labels"] == f"{every[method]:.1f}"


@pytest.mark.parametrize(
    "words, message",
    [
        (["--input_stream", "motion"], "input_stream .*motion"),
        (["--data_ratio", 0.1, "--subset_seed", 3], r"seeds \[3\] in coordinates of coordinates, .*, \[0, 1\] in "),
        (["--val_groups", 1], "evaluated_on validation in "),
    ],
)
def test_other_coordinates_are_refused(words, message, everything, free, table):
    everything()
    free("other", *words)
    with pytest.raises(ValueError, match=message):
        table()


def test_an_evaluation_is_no_run(everything, table, write):
    everything()
    before = table()
    folder = write("a", "linprobe", 7, accuracy=1.0, eval=True)
    options = yaml.safe_load((folder / "config.yaml").read_text()) | {"eval": "x.pth"}
    (folder / "config.yaml").write_text(yaml.safe_dump(options))
    assert table() == before


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    "run, values, message",
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
    ],
)
def test_what_is_not_comparable_is_refused(run, values, message, everything, table, tmp_path):
    everything()
    change(tmp_path / run / "result.json", **values)
    with pytest.raises(ValueError, match=message) as error:
        table()
    assert "\n" not in str(error.value) and not (tmp_path / "new").exists()


def test_a_seed_is_judged_on_its_own_pretraining(write, table):
    encoders = [write("a", "pretrain", seed) for seed in (0, 1)]
    for seed in (0, 1):
        write("a", "linprobe", seed, of=encoders[0])
    with pytest.raises(ValueError, match="a/linprobe/seed1: seed 1 judges the pre-training of seed 0"):
        table()


def test_other_settings_within_a_method_are_refused(write, table):
    for seed, words in enumerate(([], ["--lr", "0.3"])):
        write("a", "linprobe", seed, *words)
    with pytest.raises(ValueError, match="lr 0.3 in .*a/linprobe/seed1, 0.1 in .*a/linprobe/seed0: not comparable"):
        table()


def test_other_data_of_the_same_name_are_refused(write, table, tmp_path):
    write("a", "linprobe", 0)
    folder = write("b", "linprobe", 0, "--method", "umurl")
    options = yaml.safe_load((folder / "config.yaml").read_text()) | {"data_path": "elsewhere/other.npz"}
    (folder / "config.yaml").write_text(yaml.safe_dump(options))
    with pytest.raises(ValueError, match="data_path other.npz in .*b/linprobe/seed0, data.npz in .*a/linprobe/seed0"):
        table()


def test_nothing_to_compare(tmp_path, write, capsys):
    with pytest.raises(FileNotFoundError, match="x: no such folder"):
        compare.main([str(tmp_path / "x")])
    write("a", "pretrain", 0)
    with pytest.raises(ValueError, match="no linear probe, retrieval or fine-tuning among the runs"):
        compare.main([str(tmp_path)])
    (tmp_path / "a/pretrain/seed0/result.json").write_text("{")
    with pytest.raises(ValueError, match="no linear probe"):
        compare.main([str(tmp_path)])
    assert "warning: " in capsys.readouterr().err


def resolved(data, *words):
    args = config.parse("pretrain", ["--data_path", str(data), *map(str, words)])
    return vars(config.set_batches(args))


def test_mamps_operations_by_formula(data):
    """Every token through every matrix, forward once and backward twice, but no gradient of the input."""
    frames, d, depth, wide, deep, ratio, joints, length = 24, 16, 3, 8, 2, 0.7, 5, 4
    options = resolved(
        data,
        "--num_frames",
        frames,
        "--dim_feat",
        d,
        "--depth",
        depth,
        "--num_heads",
        2,
        "--decoder_dim_feat",
        wide,
        "--decoder_depth",
        deep,
        "--mask_ratio",
        ratio,
        "--effective_batch_size",
        6,
    )
    tokens = frames // length * joints
    seen, values = int(tokens * (1 - ratio)), 3 * length

    def blocks(count, n, d):
        products = [(n, d, 3 * d), (n, d, n), (n, n, d), (n, d, d), (n, d, 4 * d), (n, 4 * d, d)]  # of all heads together
        return count * sum(2 * a * b * c for a, b, c in products)

    embedding = 2 * seen * values * d
    rest = blocks(depth, seen, d) + 2 * seen * d * wide + blocks(deep, tokens, wide) + 2 * tokens * wide * values
    assert compare.pretraining_cost(options)[1] == 2 * embedding + 3 * rest
    assert (
        compare.pretraining_cost(options | {"effective_batch_size": 2, "skip_empty_bodies": True})[1] == 2 * embedding + 3 * rest
    )


@pytest.mark.parametrize("bodies", [1, 2])
def test_umurls_operations_by_formula(bodies, arrays, npz):
    """Four views: six embeddings (three alone, three together), four encodings, six projections, every pair in the loss."""
    if bodies == 2:
        arrays |= {f"x_{split}": np.concatenate([arrays[f"x_{split}"]] * 2, axis=2) for split in ("train", "test")}
        arrays["num_bodies"] = 2
    data = npz(arrays | {"parents": np.array([0, 0, 1, 1, 3])})
    frames, h, depth, z, n, joints = 16, 8, 2, 32, 6, 5
    options = resolved(
        data,
        "--method",
        "umurl",
        "--num_frames",
        frames,
        "--dim_feat",
        h,
        "--depth",
        depth,
        "--num_heads",
        2,
        "--projector_dim",
        z,
        "--effective_batch_size",
        n,
    )
    counts = {frames: bodies * joints * 3, bodies * joints: frames * 3}  # tokens: values of each
    first = sum(6 * 2 * tokens * values * h for tokens, values in counts.items())  # made twice, see model/coordinates.py
    rest = 6 * 2 * (2 * h * 2 * h * 2 + 2 * h * z) + 6 * 2 * n * z
    for tokens in counts:
        rest += 6 * 2 * tokens * h * h + 2 * tokens * h * h
        rest += 4 * depth * (2 * tokens * h * (3 + 1 + 1 + 1) * h + 4 * tokens * tokens * h)
    assert compare.pretraining_cost(options)[1] == 4 * first + 3 * rest


def test_published_numbers_of_parameters(npz):
    """At paper size, NTU's skeleton and two bodies."""
    x, y = np.ones((4, 70, 150), np.float32), np.eye(4)
    data = npz({"x_train": x, "y_train": y, "x_test": x, "y_test": y})
    assert compare.pretraining_cost(resolved(data, "--decoder_depth", 3, "--effective_batch_size", 2))[0] == 8_789_004
    assert compare.pretraining_cost(resolved(data, "--method", "umurl", "--effective_batch_size", 2))[0] == 72_448_000
    for method, parameters in (("mamp", 6_336_000), ("umurl", 22_067_200)):
        for stage in ("linprobe", "finetune"):
            args = config.parse(stage, ["--data_path", str(data), "--method", method])
            assert compare.encoder_parameters(vars(args)) == parameters

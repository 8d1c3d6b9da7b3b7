"""The paper's tables from invented runs."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from scripts import tables
from util import checkpoint, config, results

PAPER = yaml.safe_load((config.FOLDER / "paper.yaml").read_text())


def digest(*things):
    return hashlib.sha256(repr(things).encode()).hexdigest()


def pretrained(dataset, *words, epoch=None, seed=0):
    """What result.json says of an encoder pre-trained with these options."""
    made = vars(config.parse("pretrain", ["--dataset", dataset, *words]))
    epoch = epoch if epoch is not None else 300 if dataset.startswith("pku") else made["epochs"] - 1
    about = {"path": "pretrained.pth", "sha256": digest(dataset, words, epoch, seed), "stage": "pretrain", "epoch": epoch}
    return checkpoint.recipe(made) | about


@pytest.fixture
def write(tmp_path):
    """write(name, stage, dataset, accuracy, *words, encoder=, **changes of result.json) invents a finished run below tmp_path."""

    def invent(name, stage, dataset, accuracy, *words, encoder="default", **changes):
        args = config.parse(stage, ["--dataset", dataset, *words])
        folder = tmp_path / name
        folder.mkdir(parents=True)
        config.save(args, folder / "config.yaml")
        if encoder == "default":
            encoder = pretrained(dataset, seed=args.seed)
        content = {
            "stage": stage,
            "dataset": args.dataset,
            "data_path": args.data_path,
            "seed": args.seed,
            "epochs": getattr(args, "epochs", None),
            "encoder": encoder,
            "input_stream": args.input_stream,
            "readout": getattr(args, "readout", None),
            "subset_seed": getattr(args, "subset_seed", None),
            "evaluated_on": "validation" if args.val_groups else "test",
            "checkpoint": {"path": "checkpoint-99.pth", "sha256": digest(name)},
            "last": {"test_acc1": accuracy, "test_acc5": 99.0, "test_loss": 1.0, "test_samples": 16487},
            "best": {"test_acc1": accuracy + 0.5, "epoch": 90},
            "log": "log.jsonl",
            "config": "config.yaml",
            "versions": {"torch": "9"},
        } | changes
        if stage == "finetune" and encoder is None:
            args.finetune = None
        elif stage != "pretrain":
            args.finetune = encoder and encoder["path"]
            config.save(args, folder / "config.yaml")
        (folder / "result.json").write_text(json.dumps(content))
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


def test_mean_and_spread_over_seeds(write, table):
    accuracies = [84.1, 85.3, 84.9]
    for seed, accuracy in enumerate(accuracies):
        write(f"r{seed}", "linprobe", "ntu60_xsub", accuracy, "--seed", str(seed))
    lines, text, errors = table()
    (line,) = [x for x in lines if x["mean"] and x["table"].startswith("Table 1:")]
    numbers = float(line["mean"]), float(line["std"])
    assert numbers == (pytest.approx(np.mean(accuracies)), pytest.approx(np.std(accuracies, ddof=1)))
    wanted = {
        "data": "NTU-60 X-sub",
        "row": "MAMP",
        "paper": "84.9",
        "release": "85.0",
        "runs": "3",
        "seeds": "0 1 2",
        "encoder epoch": "400",
        "last epoch": "100",
        "read-out": "mean",
        "precision": "float32",
    }
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


def test_the_other_read_out_stands_beside_the_headline(write, table):
    accuracies = [71.5, 74.25, 73.0]
    for seed, accuracy in enumerate(accuracies):
        write(f"r{seed}", "linprobe", "ntu60_xsub", 80.0, "--seed", str(seed), **beside(accuracy))
        write(f"old{seed}", "linprobe", "ntu60_xview", 80.0, "--seed", str(seed), **(beside(70.0) if seed else {}))
    write("turned", "linprobe", "ntu60_xsub", 80.0, "--readout", "per_joint", **beside(60.0, "mean"))
    lines, text, _ = table()
    first, old, turned = [x for x in lines if x["mean"] and x["table"].startswith(("Table 1:", "other"))]
    assert float(first["mean"]) == 80 and first["other read-out"] == "per_joint"
    numbers = float(first["other mean"]), float(first["other std"])
    assert numbers == (pytest.approx(np.mean(accuracies)), pytest.approx(np.std(accuracies, ddof=1)))
    assert old["other read-out"] == old["other mean"] == ""  # one of the runs did not make it
    assert (turned["other read-out"], turned["other mean"], turned["table"]) == ("mean", "60.0", "other results")
    assert "(3 seeds, encoder epoch 400, last epoch 100, mean) | 72.9 ± 1.4 (per_joint) |" in text
    assert "| 74.2 (per_joint) |" in next(line for line in text.splitlines() if line.startswith("| r1 "))


@pytest.mark.parametrize("value", ["73", 101.0, None])
def test_an_accuracy_beside_the_headline_that_is_none(value, write, table):
    write("odd", "linprobe", "ntu60_xsub", 80.0, **beside(value))
    assert "odd/result.json: not the result of a run of ours (test_acc1_per_joint" in table()[2]


@pytest.mark.parametrize(
    "words, named",
    [
        (["--readout", "per_joint"], "readout per_joint"),
        (["--val_groups", "3"], "evaluated_on validation"),
        (["--epochs", "10"], "epochs 10"),
        (["--lr", "0.3"], "lr 0.3"),
        (["--effective_batch_size", "128"], "effective_batch_size 128"),
        (["--data_ratio", "0.5"], "data_ratio 0.5"),
        (["--input_stream", "bone"], "input_stream bone"),
        (["--data_path", "data/other.npz"], "data_path other.npz"),
        (["--test_p_interval", "0.9"], "test_p_interval 0.9"),
        (["--num_frames", "60"], "num_frames 60"),
    ],
)
def test_other_protocols_stay_out_of_the_papers_cells(words, named, write, table):
    write("usual", "linprobe", "ntu60_xsub", 84.0)
    write("other", "linprobe", "ntu60_xsub", 99.0, *words)
    lines, text, _ = table()
    assert 99 not in [v for k, v in filled(lines).items() if k[0] != "other results"]
    (other,) = [x for x in lines if x["table"] == "other results"]
    assert float(other["mean"]) == 99 and named in other["row"] and other["data"] == "NTU-60 X-sub" and named in text


@pytest.mark.parametrize(
    "encoder, named",
    [
        (pretrained("ntu60_xsub", epoch=199), "pretrain_epoch 200"),
        (pretrained("ntu60_xview"), "pretrain_dataset ntu60_xview"),
        (pretrained("ntu60_xsub", "--motion_stride", "2"), "motion_stride 2"),
        (pretrained("ntu60_xsub", "--motion_aware_tau", "0.75"), "motion_aware_tau 0.75"),
        (pretrained("ntu60_xsub", "--num_frames", "100"), "pretrain_num_frames 100"),
        (pretrained("ntu60_xsub") | {"target": None, "method": None}, "encoder of unknown origin"),
        (pretrained("ntu60_xsub") | {"stage": "finetune"}, "encoder from finetune"),
        (pretrained("ntu60_xsub") | {"decoder_depth": None}, "decoder_depth None"),
        (pretrained("ntu60_xsub") | {"lr": 3e-4}, "pretrain_lr 0.0003"),
        (pretrained("ntu60_xsub") | {"data_path": "data/ntu/other.npz"}, "pretrain_data_path other.npz"),
        (None, "no pre-training"),
    ],
)
def test_other_encoders_stay_out_of_the_papers_cells(encoder, named, write, table):
    write("usual", "linprobe", "ntu60_xsub", 84.0)
    write("other", "linprobe", "ntu60_xsub", 99.0, encoder=encoder)
    lines, _, _ = table()
    (other,) = [x for x in lines if x["table"] == "other results"]
    assert named in other["row"] and filled(lines)["Table 1", "NTU-60 X-sub", "MAMP"] == 84


def test_the_same_arrays_may_lie_elsewhere(write, table):
    encoder = pretrained("ntu60_xsub") | {"data_path": "/another disk/NTU60_XSub.npz"}
    write("a", "linprobe", "ntu60_xsub", 84.0, "--data_path", "/disk/NTU60_XSub.npz", encoder=encoder)
    cells = filled(table()[0])
    assert cells["Table 1", "NTU-60 X-sub", "MAMP"] == 84 and "other results" not in {title for title, *_ in cells}


def test_subsets_as_in_the_release_and_more_neighbours_are_named(write, table):
    write("a", "finetune", "ntu60_xsub", 70.0, "--data_ratio", "0.01", "--subset", "released")
    write("b", "retrieval", "ntu60_xsub", 60.0, "--k", "5")
    write("c", "finetune", "ntu60_xsub", 80.0, "--data_ratio", "0.05")
    write("d", "finetune", "ntu60_xsub", 50.0, encoder=None)  # from scratch, but with layer decay
    write("e", "linprobe", "pku1_xview", 40.0)  # in no table
    lines, _, _ = table()
    rows = {(x["data"], x["row"]) for x in lines if x["table"] == "other results"}
    assert len(filled(lines)) == 5 and rows == {
        ("NTU-60 X-sub", "finetune: MAMP, data_ratio 0.01, subset released"),
        ("NTU-60 X-sub", "retrieval: MAMP, k 5"),
        ("NTU-60 X-sub", "finetune: MAMP, data_ratio 0.05"),
        ("NTU-60 X-sub", "finetune: no pre-training, layer_decay 0.8"),
        ("PKU-MMD I X-view", "linprobe: MAMP"),
    }


def test_released_weights_are_not_ours(write, table):
    """They have a row of their own. Released checkpoints name an npz instead of a data set."""
    write("ours", "linprobe", "ntu60_xsub", 84.0, encoder=pretrained("ntu60_xsub") | {"lr": 1e-3, "effective_batch_size": 128})
    write("a", "linprobe", "ntu60_xsub", 85.0, encoder=pretrained("ntu60_xsub") | {"format": "released"})
    write("b", "linprobe", "pku1_xsub", 92.0, encoder=pretrained("pku1_xsub") | {"format": "released", "dataset": "pkuv1_xsub"})
    lines, _, _ = table()
    cells = {key[1:]: mean for key, mean in filled(lines).items() if key[0] == "Table 1"}
    assert cells == {
        ("NTU-60 X-sub", "MAMP"): 84,
        ("NTU-60 X-sub", "MAMP's released weights"): 85,
        ("PKU-MMD I X-sub", "MAMP's released weights"): 92,
    }


def test_mixed_precision_is_told_apart(write, table):
    write("a", "linprobe", "ntu60_xsub", 84.0)
    write("b", "linprobe", "ntu60_xsub", 80.0, "--enable_amp")
    lines, text, _ = table()
    cells = [x for x in lines if x["table"].startswith("Table 1:") and x["mean"]]
    assert {(x["mean"], x["precision"]) for x in cells} == {("84.0", "float32"), ("80.0", "mixed")}
    assert "80.0 (1 seed, encoder epoch 400, last epoch 100, mean, mixed precision)" in text


def test_the_same_run_counts_once(write, table):
    write("a", "linprobe", "ntu60_xsub", 84.0)
    write("copy", "linprobe", "ntu60_xsub", 84.0)
    write("again", "linprobe", "ntu60_xsub", 80.0)
    lines, text, _ = table()
    assert filled(lines)["Table 1", "NTU-60 X-sub", "MAMP"] == 84
    assert "copy (84.0): same settings, seed and encoder as a (84.0)" in text
    assert "again (80.0): same settings, seed and encoder as a (84.0)" in text
    assert sum(line.startswith(("| a ", "| copy ", "| again ")) for line in text.splitlines()) == 3


def test_runs_of_one_seed_on_several_pretrainings_are_runs(write, table):
    for seed, accuracy in enumerate((80.0, 82.0)):
        write(f"r{seed}", "linprobe", "ntu60_xsub", accuracy, encoder=pretrained("ntu60_xsub", seed=seed))
    _, text, _ = table()
    assert "81.0 ± 1.4 (2 runs, 1 seed, encoder epoch 400, last epoch 100, mean)" in text


def test_evaluations_are_listed_but_fill_no_cell(write, table):
    folder = write("a", "linprobe", "ntu60_xsub", 84.0, eval=True)
    options = yaml.safe_load((folder / "config.yaml").read_text()) | {"eval": "x/checkpoint-99.pth"}
    (folder / "config.yaml").write_text(yaml.safe_dump(options))
    lines, text, _ = table()
    assert not filled(lines) and "| a | NTU-60 X-sub | linprobe (evaluation) | MAMP | eval checkpoint-99.pth |" in text


def test_damaged_and_foreign_results_are_named_and_the_rest_goes_on(write, table, tmp_path):
    write("good", "linprobe", "ntu60_xsub", 84.0)
    for name, text in {
        "cut": '{"stage": "linpr',
        "foreign": '{"accuracy": 3}',
        "list": "[1]",
        "binary": "\0\1",
        "stage": '{"stage": "detect", "last": {}}',
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(text)
    (write("alone", "linprobe", "ntu60_xsub", 1.0) / "config.yaml").unlink()
    (write("empty", "linprobe", "ntu60_xsub", 1.0) / "config.yaml").write_text("")
    (write("broken", "linprobe", "ntu60_xsub", 1.0) / "config.yaml").write_text("{: [")
    write("nan", "linprobe", "ntu60_xsub", float("nan"))
    write("no number", "linprobe", "ntu60_xsub", 1.0, last={"test_acc1": "high"})
    lines, text, errors = table()
    assert filled(lines)["Table 1", "NTU-60 X-sub", "MAMP"] == 84
    bad = {"cut", "foreign", "list", "binary", "stage", "alone", "empty", "broken", "nan", "no number"}
    assert {line.split(": ")[1].split("/")[0] for line in errors.splitlines()} == bad
    assert all(f"{name}/result.json" in text for name in bad)


def test_no_value_of_a_result_stops_the_table(write, table):
    keys = (
        "stage",
        "dataset",
        "seed",
        "epochs",
        "encoder",
        "readout",
        "evaluated_on",
        "checkpoint",
        "last",
        "best",
        "log",
        "config",
        "versions",
        "eval",
        "subset_seed",
    )
    for key in keys:
        for number, value in enumerate((None, -1, 0.5, "x", [], {}, [1], {"x": []})):
            file = write(f"{key}{number}", "linprobe", "ntu60_xsub", 99.0) / "result.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    write("zz", "linprobe", "ntu60_xview", 84.0)
    lines, text, errors = table()
    assert filled(lines)["Table 1", "NTU-60 X-view", "MAMP"] == 84 and "last5/result.json: not the result" in errors
    told = len(errors.splitlines()) + sum(line.startswith("| ") and "[result.json]" in line for line in text.splitlines())
    assert told == 8 * len(keys) + 1


def test_a_missing_folder_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        tables.main([str(tmp_path / "x")])
    assert f"error: {tmp_path}/x: no such folder\n" in capsys.readouterr().err


def test_every_row_is_filled_by_what_the_scripts_run(write, table, planned):
    """Each command of the dry runs becomes an invented result of its own accuracy; all of them land in the paper's tables."""
    commands = {}
    for data in ("ntu60_xsub", "ntu60_xview", "ntu120_xsub", "ntu120_xset", "pku1_xsub", "pku2_xsub", "ucla", "ucla_large"):
        extra = {"ABLATION": "all"} if data in ("ntu60_xsub", "ntu120_xsub") else {}
        commands |= {c.output: c for c in planned("reproduce", DATA=data, **extra)}
    others = "umurl umurl_none mamp_query mamp_cross skeletonmae_query"
    commands |= {c.output: c for c in planned("reproduce", DATA="ucla", METHOD=others)}
    for data in ("ntu60_xsub", "ntu120_xsub"):
        for script in ("pretrain", "linprobe"):
            commands |= {c.output: c for c in planned(script, DATA=data, METHOD="mamp_query mamp_cross")}
        recipe = {"DATA": data, "METHOD": "mamp_query", "VARIANT": "amr"}  # config/mamp_query.yaml
        words = "--loss_weight motion --motion_aware_tau 0 --decoder_depth 5".split()
        commands |= {c.output: c for c in (*planned("pretrain", *words, **recipe), *planned("linprobe", **recipe))}
    for data in ("ucla", "demo"):
        commands |= {c.output: c for c in planned("compare", DATA=data)}
    for data in ("ntu60_xsub_umurl", "ntu60_xview_umurl", "ntu120_xsub_umurl", "ntu120_xset_umurl"):
        for script in ("pretrain", "linprobe", "retrieval"):
            commands |= {c.output: c for c in planned(script, DATA=data)}
    encoders = {c.output: c for c in commands.values() if c.stage == "pretrain"}
    count = 0
    for output, command in commands.items():
        if command.stage == "pretrain":
            continue
        encoder, words = None, list(command.words)
        if "--finetune" in words:
            at = words.index("--finetune")
            folder, _, file = words[at + 1].rpartition("/")
            del words[at : at + 2]
            made = encoders[folder].words
            epoch = None if "last" in file else int(file.removeprefix("checkpoint-").removesuffix(".pth"))
            encoder = pretrained(made[1], *made[2:], epoch=epoch)
            if encoder.get("t_patch_size", 4) != 4:  # the parser takes the sizes from the checkpoint
                words += ["--t_patch_size", str(encoder["t_patch_size"])]
        data = words[words.index("--dataset") + 1]
        words = [w for w in words if w not in ("--dataset", data)]
        write(output, command.stage, data, count / 10, *words, encoder=encoder)
        count += 1
    lines, _, errors = table()
    assert not errors and not [x for x in lines if x["table"] == "other results"]
    wanted = set()
    for one in PAPER["tables"]:
        for column in one["columns"]:
            column = {"data": column} if isinstance(column, str) else column
            name = column.get("name") or PAPER["data"][column["data"]]["name"]
            rows = [row for row in one["rows"] if row.get("runs") not in (None, {"encoder": "released"})]
            wanted |= {(one["title"], name, str(row["name"])) for row in rows}
    assert {(x["table"], x["data"], x["row"]) for x in lines if x["mean"]} == wanted
    assert sum(int(x["runs"]) for x in lines if x["mean"]) >= count  # some runs stand in several tables


def test_published_numbers(shared):
    """paper.yaml against the table the numbers were taken from."""
    published = {}
    for line in shared("spec/paper_tables.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 8:
            published[cells[0].split(" ")[0], cells[1]] = cells[2:]
    numbers = {
        (t["title"].split(":")[0], str(row.get("name", PAPER["methods"].get(row.get("method"), {}).get("name")))): row
        for t in PAPER["tables"]
        for row in t["rows"]
    }

    def listed(key, part=0):
        cells = [c.split("/")[part].strip() if "/" in c else c for c in published[key] if c]
        return [None if c == "-" else float(c) for c in cells]

    for name in ("MAMP", "SkeletonMAE*"):
        assert numbers["Table 1", name]["paper"] == listed(("1", name))
        assert numbers["Tables 2 and 3", name]["paper"] == listed(("2,3", name))[:4]
        assert numbers["Table 6", name]["paper"] == listed(("6", "MAMP from N60 / N120 / PKU I" if name == "MAMP" else name))
        for part, table in enumerate(t for t in PAPER["tables"] if t["title"].startswith("Table 5")):
            (row,) = [r for r in table["rows"] if PAPER["methods"].get(r.get("method"), {}).get("name") == name]
            assert row["paper"] == listed(("5", name), part)[:2]
    for part, name in enumerate(("CMD", "CPM", "GL-Transformer", "ISC")):
        cells = [c.split("/")[part] for c in published["1", "CMD / CPM / GL-Transformer / ISC"]]
        assert numbers["Table 1", name]["paper"] == [None if c == "-" else float(c) for c in cells]
    assert numbers["Tables 2 and 3", "from scratch"]["paper"] == listed(("2,3", "from scratch"))[:4]
    assert numbers["Table 1", "MAMP"]["release"][:4] == listed(("release", "MAMP linear"))
    assert numbers["Tables 2 and 3", "MAMP"]["release"] == listed(("release", "MAMP fine-tune"))
    for title, key, rows in (
        (
            "Table 7",
            "7",
            {
                "joint→joint / joint→motion": ("joint → joint", "joint → motion"),
                "motion→joint / motion→motion": ("motion → joint", "motion → motion"),
            },
        ),
        ("Table 8", "8", {"random / motion-aware": ("random", "motion-aware")}),
        ("Table 9", "9", {"2 / 4 / 6 / 8 (T = 60/120/180/240)": [f"{x} ({30 * x} frames)" for x in (2, 4, 6, 8)]}),
        ("Table 10a", "10a", {"2 / 3 / 4 / 5": "2345"}),
        ("Table 10b", "10b", {"64 / 128 / 256 / 512": ("64", "128", "256", "512")}),
    ):
        for line, names in rows.items():
            cells = [published[key, line][i].replace(" ", "").split("/") for i in (0, 2)]
            for part, name in enumerate(names):
                assert numbers[title, name]["paper"] == [float(c[part]) for c in cells], (title, name)


def test_older_runs_without_newer_options_still_count(write, table):
    folder = write("a", "linprobe", "ntu60_xsub", 84.0)
    options = yaml.safe_load((folder / "config.yaml").read_text())
    del options["val_groups"], options["subset"]
    (folder / "config.yaml").write_text(yaml.safe_dump(options))
    lines, _, _ = table()
    assert filled(lines)["Table 1", "NTU-60 X-sub", "MAMP"] == 84


def test_methods_are_told_by_what_they_are(write):
    """SkeletonMAE* masks uniformly: joints as target are not enough."""
    for name, words, told in (
        ("a", ["--target", "joint"], ("MAMP", {"target": "joint"})),
        ("b", ["--target", "joint", "--motion_aware_tau", "0", "--mask_ratio", "0.8"], ("SkeletonMAE*", {"mask_ratio": 0.8})),
        ("c", ["--motion_aware_tau", "0"], ("random masking", {})),
    ):
        folder = write(name, "linprobe", "ntu60_xsub", 84.0, encoder=pretrained("ntu60_xsub", *words))
        assert results.read(folder / "result.json").method() == told

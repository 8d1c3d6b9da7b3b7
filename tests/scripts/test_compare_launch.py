"""What compare.sh runs: every method with the same budget, each seed judged on its own pre-training."""

import json
import re
import sys

import pytest

from util import config


@pytest.mark.parametrize("epochs", [None, 1, 16])
@pytest.mark.parametrize("data", ["ucla", "ntu60_xsub", "demo"])
def test_every_method_gets_the_same_budget(epochs, data, planned, monkeypatch):
    given = {"DATA": data, "SEEDS": "0 2", **({"EPOCHS": epochs} if epochs else {})}
    commands = planned("compare", "--num_workers", "0", **given)
    own = vars(config.parse("pretrain", ["--dataset", data]))
    folders, falls = {}, set()
    for command in commands:
        if command.stage == "pretrain":
            args = command.options(monkeypatch)
            assert args.epochs == (epochs or own["epochs"]) and args.num_workers == 0
            folders[command.output] = command.value("seed")
            if args.method == "umurl":
                usual = vars(config.parse("pretrain", ["--dataset", data, "--method", "umurl"]))
                falls.add(args.lr_steps[0] / args.epochs)
                share = usual["lr_steps"][0] / usual["epochs"]
    assert len(folders) == 6 and all(abs(fall - share) < 1 / args.epochs for fall in falls)
    judged = [c for c in commands if c.stage != "pretrain"]
    assert len(judged) == 5 * 3 * 2 and len({c.output for c in judged}) == len(judged)
    for command in judged:
        file = command.value("finetune")
        if file:
            folder, _, name = file.rpartition("/")
            assert name == "checkpoint-last.pth" and folders[folder] == command.value("seed")
            assert folder.rsplit("/", 2)[0] == command.output.rsplit("/", 2)[0]
        else:
            assert "none/" in command.output
        if command.stage == "finetune":
            args = command.options(monkeypatch)
            assert args.data_ratio == 0.1 and args.subset_seed == args.seed and (args.layer_decay == 1) == (file is None)
    assert sum(bool(c.value("finetune")) for c in judged) == 18


def test_runs_are_shared_with_the_other_scripts(planned):
    """What has its configuration's epochs is what reproduce.sh makes; other epochs have another folder."""
    usual = {c.output: c.words for c in planned("compare", DATA="ucla", METHOD="mamp none")}
    reproduced = {c.output for c in planned("reproduce", DATA="ucla", METHOD="mamp none")}
    assert usual.keys() <= reproduced
    assert {c.output: c.words for c in planned("compare", DATA="ucla", METHOD="mamp none", EPOCHS=100)} == usual
    other = {c.output for c in planned("compare", DATA="ucla", METHOD="mamp none", EPOCHS=101, VARIANT="deep")}
    assert all("/mamp-deep-epochs-101/" in folder or "/none-deep/" in folder for folder in other) and len(other) == 7


@pytest.mark.parametrize("data, own", [("ucla", "mamp"), ("ntu60_xsub_umurl", "umurl")])
def test_a_method_has_its_encoder_on_any_data(data, own, planned, monkeypatch):
    """Data sets have a method of their own; asking for another one is not forgotten."""
    methods = {"mamp": "mamp", "skeletonmae": "mamp", "umurl": "umurl", "none": "mamp", "umurl_none": "umurl"}
    assert vars(config.parse("pretrain", ["--dataset", data]))["method"] == own
    for command in planned("compare", DATA=data, EPOCHS=400):
        folder = command.output.removeprefix(f"output/{data}/").split("/")[0].split("-")[0]
        assert command.options(monkeypatch).method == methods[folder]


def test_the_table_is_of_what_ran(planned, script):
    given = {"DATA": "ucla", "SEEDS": "0 1", "METHOD": "umurl umurl_none", "RATIO": "0.05", "TAG": "x", "OUT": "o"}
    outputs = [c.output for c in planned("compare", **given)]
    last = script("compare", DRY_RUN=1, PYTHON="python", **given).stdout.splitlines()[-1]
    found = re.fullmatch(r"python -m scripts.compare (.*) --markdown o/compare-ucla.md", last)
    free = [f"o/ucla/coordinates/{name}" for name in ("all-x/seed0", "0.05-x/seed0", "0.05-x/seed1")]
    assert sorted(found[1].split()) == sorted(outputs + free) and "o/ucla/umurl/finetune-0.05-x/seed1" in outputs


def test_what_costs_nothing_is_always_there(planned, script, monkeypatch):
    """The untrained encoder of every method, and coordinates, with the same data, crops and labels."""
    given = {"DATA": "ucla", "SEEDS": "2 5", "STREAM": "motion", "VARIANT": "deep"}
    found = {c.output.split("/")[2] for c in planned("compare", METHOD="skeletonmae", **given)}
    assert found == {"skeletonmae-motion-deep", "none-motion-deep"}
    assert {c.output.split("/")[2] for c in planned("compare", METHOD="umurl", DATA="ucla")} == {"umurl", "umurl_none"}
    lines = script("compare", "--num_frames", "20", DRY_RUN=1, PYTHON="python", METHOD="mamp", **given).stdout.splitlines()
    words = [line.split()[3:] for line in lines if line.startswith("python -m scripts.coordinates ")]
    outputs = [line[line.index("--output_dir") + 1] for line in words]
    assert outputs == [f"output/ucla/coordinates-motion-deep/{name}" for name in ("all/seed0", "0.1/seed2", "0.1/seed5")]
    for line, ratio, seed in zip(words, (1, 0.1, 0.1), (0, 2, 5), strict=True):
        args = config.parse("linprobe", line)
        assert (args.data_ratio, args.subset_seed, args.num_frames, args.input_stream) == (ratio, seed, 20, "motion")


@pytest.mark.parametrize(
    "variables, words",
    [
        ({"EPOCHS": "0"}, ["EPOCHS=0", "at least 1"]),
        ({"EPOCHS": "4e2"}, ["EPOCHS=4e2"]),
        ({"RATIO": "10"}, ["RATIO=10", "0.1"]),
        ({"METHOD": "mamp mae"}, ["METHOD=mae", "skeletonmae"]),
        ({"ENCODER": "x.pth", "TAG": "x", "METHOD": "mamp"}, ["ENCODER=x.pth"]),
    ],
)
def test_bad_values_get_one_line(variables, words, script):
    done = script("compare", **{"DRY_RUN": 1, "DATA": "ucla"} | variables)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1 and all(word in done.stderr for word in words)


@pytest.mark.slow
def test_smoke(script, tmp_path):
    done = script("compare", timeout=1200, SMOKE=1, OUT=tmp_path, PYTHON=sys.executable)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    text = (tmp_path / "compare-demo.md").read_text()
    assert done.stdout.endswith(text) and sum(line.startswith("| ") for line in text.splitlines()) == 9
    found = json.loads((tmp_path / "demo/umurl/retrieval/seed0/result.json").read_text())
    assert f"| {found['last']['test_acc1']:.1f} |" in next(line for line in text.splitlines() if line.startswith("| UmURL |"))

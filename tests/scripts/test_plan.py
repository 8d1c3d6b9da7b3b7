"""What the launch scripts start: the paper's settings on any number of GPUs, said in commands that the real parser reads."""

import os
import re
import shlex
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from model import build
from tests.processes import ROOT
from util import checkpoint, config

# the paper and the published scripts, written down once more; OWN: decoder depth, tau, the probe's batch and rate, epoch judged
MODEL = dict(dim_in=3, dim_feat=256, depth=8, num_heads=8, mlp_ratio=4, num_frames=120, t_patch_size=4, patch_size=1)
PRETRAIN = MODEL | dict(lr=1e-3, min_lr=5e-4, warmup_epochs=20, epochs=400, betas=[0.9, 0.95], weight_decay=0.05)
PRETRAIN |= dict(decoder_dim_feat=256, mask_ratio=0.9, motion_stride=1, norm_skes_loss=True, target="motion", drop_path_rate=0)
PRETRAIN |= dict(effective_batch_size=128)
LINPROBE = MODEL | dict(min_lr=0, warmup_epochs=0, epochs=100, momentum=0.9, weight_decay=0, readout="mean", augment=True)
LINPROBE |= dict(data_ratio=1, val_groups=0)
FINETUNE = MODEL | dict(lr=3e-4, min_lr=1e-5, warmup_epochs=5, epochs=100, betas=[0.9, 0.999], weight_decay=0.05)
FINETUNE |= dict(layer_decay=0.8, drop_path_rate=0.3, smoothing=0.1, head_dim=2048, head_dropout=0.3, effective_batch_size=48)
FINETUNE |= dict(val_groups=0, subset="shared")
OWN = {"ntu60": (3, 0.8, 256, 0.1, 399), "ntu120": (5, 0.75, 256, 0.1, 399)}
OWN |= {"pku1": (5, 0.8, 128, 0.1, 300), "pku2": (5, 0.8, 32, 0.01, 300)}
SKELETONMAE = {"target": "joint", "motion_aware_tau": 0.0}


def check(args, **wanted):
    found = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(args).items()}
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize("gpus", [1, 4])
@pytest.mark.parametrize("split", ["xsub", "other"])
@pytest.mark.parametrize("family", OWN)
def test_the_papers_settings(family, split, gpus, planned):
    data = f"{family}_{split if split == 'xsub' else 'xset' if family == 'ntu120' else 'xview'}"
    depth, tau, batch, lr, epoch = OWN[family]

    (command,) = planned("pretrain", DATA=data, GPUS=gpus)
    own = {"decoder_depth": depth, "motion_aware_tau": tau, "dataset": data}
    check(command.options(), **PRETRAIN, **own, batch_size=32, accum_iter=4 // gpus, resume="auto")
    (baseline,) = planned("pretrain", DATA=data, GPUS=gpus, METHOD="skeletonmae")
    check(baseline.options(), **PRETRAIN | own | SKELETONMAE)

    (probe,) = planned("linprobe", DATA=data, GPUS=gpus)
    encoder, processes = f"{command.output}/checkpoint-{epoch}.pth", min(gpus, 2)
    assert probe.encoder == encoder and probe.processes == processes
    check(probe.options(), **LINPROBE, lr=lr, effective_batch_size=batch, batch_size=batch // 2, accum_iter=2 // processes)

    (tuned,) = planned("finetune", DATA=data, GPUS=gpus)
    (scratch,) = planned("scratch", DATA=data, GPUS=gpus)
    (search,) = planned("retrieval", DATA=data, GPUS=gpus)
    assert (tuned.encoder, scratch.encoder, search.encoder) == (encoder, None, encoder)
    check(tuned.options(), **FINETUNE, data_ratio=1, batch_size=24, accum_iter=2 // processes)
    check(scratch.options(), **FINETUNE | {"layer_decay": 1.0})
    check(search.options(), **MODEL, k=1, readout="mean", val_groups=0)


def test_folders(planned):
    given = {"DATA": "ntu120_xset", "METHOD": "mamp skeletonmae", "SEEDS": "0 3", "OUT": "out put"}
    commands = planned("pretrain", **given) + planned("pretrain", **given, STREAM="bone")
    assert [c.output for c in commands] == [
        f"out put/ntu120_xset/{method}/pretrain/seed{seed}"
        for method in ("mamp", "skeletonmae", "mamp-bone", "skeletonmae-bone")
        for seed in (0, 3)
    ]
    (command,) = planned("linprobe", "--readout", "per_joint", VARIANT="deep", TAG="per_joint", SEEDS=7, STREAM="motion")
    assert command.output == "output/ntu60_xsub/mamp-motion-deep/linprobe-per_joint/seed7"
    assert command.encoder == "output/ntu60_xsub/mamp-motion-deep/pretrain/seed7/checkpoint-399.pth"
    assert command.value("input_stream") == "motion" and command.value("seed") == "7"
    assert command.words[-2:] == ["--readout", "per_joint"]
    (command,) = planned("finetune", ENCODER="/some where/released.pth", TAG="released", METHOD="mamp")
    assert command.encoder == "/some where/released.pth"
    assert command.output == "output/ntu60_xsub/mamp/finetune-released/seed0"


def test_five_semi_supervised_runs_of_each_method(planned):
    commands, found = planned("semi", DATA="ntu60_xview"), {}
    for command in commands:
        args = command.options()
        check(args, **FINETUNE | {"layer_decay": 0.8 if command.encoder else 1.0}, subset_seed=args.seed)
        found.setdefault((args.data_ratio, command.encoder), []).append(args.seed)
    encoders = [f"output/ntu60_xview/{m}/pretrain/seed0/checkpoint-399.pth" for m in ("mamp", "skeletonmae")] + [None]
    assert found == {(ratio, encoder): [0, 1, 2, 3, 4] for ratio in (0.01, 0.1) for encoder in encoders}
    assert len({c.output for c in commands}) == len(commands) == 30
    own = planned("semi", PRETRAIN_SEED="", SEEDS="0 2", METHOD="mamp", RATIOS="0.1")
    assert [c.encoder.split("/")[-2] for c in own] == ["seed0", "seed2"]


@pytest.mark.parametrize(
    ("data", "method", "judged"),
    [
        ("ntu60_xsub_umurl", "umurl", "checkpoint-450.pth"),
        ("ntu60_xsub", "umurl", "checkpoint-last.pth"),
        ("pku1_xsub", "umurl", "checkpoint-last.pth"),
        ("ntu60_xsub_umurl", "mamp", "checkpoint-last.pth"),
        ("ucla", "mamp", "checkpoint-last.pth"),
    ],
)
def test_which_epoch_is_judged(data, method, judged, planned):
    """The published one where there is one: of the method that the arrays are made for. Else the last."""
    assert [c.encoder.split("/")[-1] for c in planned("linprobe", DATA=data, METHOD=method)] == [judged]


OF_BOTH = [{}, {"decoder_depth": 1}, {"decoder_depth": 3}, {"motion_aware_tau": 0}, {"target": "joint"}]
OF_BOTH += [{"loss_weight": "motion"}]
LENGTHS = {"ntu120_xsub": (4, 8, 12, 20, 24, 40, 60, 120), "ucla_large": (4, 8, 20, 40)}


@pytest.mark.parametrize("data", LENGTHS)
def test_ablation_of_the_decoders(data, planned):
    usual = vars(config.parse("pretrain", ["--dataset", data]))
    rows = [{}, *({"decoder": decoder} | own for decoder in ("query", "cross") for own in OF_BOTH)]
    rows += [{"decoder": "query", "query_frames": n} for n in LENGTHS[data] if n != usual["query_frames"]]
    rows += [{"decoder": "cross", "predict_ratio": share} for share in (0.1, 0.5, 1)]
    commands = planned("ablation", DATA=data, TABLE="decoder")
    runs = {c.output: vars(c.options()) for c in commands if c.stage == "pretrain"}
    free = {"output_dir", "accum_iter", "resume", "batch_size"}
    made = [{k: v for k, v in run.items() if k not in free and v != usual[k]} for run in runs.values()]
    assert len(made) == len(rows) and all(row in made for row in rows)
    assert sorted(c.encoder.rpartition("/")[0] for c in commands if c.stage == "linprobe") == sorted(runs)


def test_segments_of_the_data_sets_own_length_get_their_own_number_of_frames(planned):
    """NW-UCLA has 40 frames; 30 segments of its usual 4 frames are 120, in pre-training and probe alike."""
    commands = [c for c in planned("ablation", DATA="ucla", TABLE="9") if "t_patch_size-4" in c.output]
    assert [c.options().num_frames for c in commands] == [120, 120]


def test_reproduce_runs_what_it_judges(planned, dry_run):
    for data, stages in (("ntu60_xsub", 39), ("ntu120_xset", 9), ("pku1_xsub", 4), ("pku2_xsub", 16), ("ucla", 19)):
        commands = planned("reproduce", DATA=data)
        assert len(commands) == stages, data
        made = {c.output for c in commands if c.stage == "pretrain"}
        assert all(c.encoder is None or c.encoder.rpartition("/")[0] in made for c in commands)
    assert len(planned("reproduce", DATA="ntu60_xsub", ABLATION="all")) == 39 + 2 * 24  # MAMP and SkeletonMAE* are there already
    last = dry_run("reproduce")[-1]
    assert last == "python -m scripts.tables output --markdown output/tables.md --csv output/tables.csv"


def test_ensemble_evaluates_three_streams(planned, dry_run):
    commands = planned("ensemble", DATA="ntu60_xsub")
    assert [c.stage for c in commands] == ["pretrain", "finetune"] * 3 + ["finetune"] * 3
    assert [c.value("input_stream") for c in commands[:6]] == [None, None, "motion", "motion", "bone", "bone"]
    for tuned, evaluated in zip(commands[1:6:2], commands[6:], strict=True):
        assert evaluated.value("eval") == f"{tuned.output}/checkpoint-last.pth"
        assert evaluated.value("config") == f"{tuned.output}/config.yaml"
    scores = " ".join(f"output/ntu60_xsub/mamp{s}/finetune/seed0/scores/scores.npz" for s in ("", "-motion", "-bone"))
    assert dry_run("ensemble", WEIGHTS="1 .5 1")[-1] == f"python -m scripts.ensemble {scores} --weights 1 .5 1"


# --- comparing methods ---


@pytest.mark.parametrize("epochs", [None, 1, 16])
@pytest.mark.parametrize("data", ["ucla", "ntu60_xsub", "demo"])
def test_every_method_gets_the_same_budget(epochs, data, planned):
    commands = planned("compare", "--num_workers", "0", DATA=data, SEEDS="0 2", EPOCHS=epochs or "")
    own, umurl = (vars(config.parse("pretrain", ["--dataset", data, "--method", method])) for method in ("mamp", "umurl"))
    seeds = {}
    for command in (c for c in commands if c.stage == "pretrain"):
        args = command.options()
        assert args.epochs == (epochs or own["epochs"]) and args.num_workers == 0
        seeds[command.output] = command.value("seed")
        if args.method == "umurl":
            assert abs(args.lr_steps[0] / args.epochs - umurl["lr_steps"][0] / umurl["epochs"]) < 1 / args.epochs
    judged = [c for c in commands if c.stage != "pretrain"]
    assert len(seeds) == 6 and len(judged) == 5 * 3 * 2 == len({c.output for c in judged})
    for command in judged:
        folder, _, name = (command.encoder or "").rpartition("/")
        if folder:
            assert name == "checkpoint-last.pth" and seeds[folder] == command.value("seed")
        else:
            assert "none/" in command.output
        if command.stage == "finetune":
            args = command.options()
            assert args.data_ratio == 0.1 and args.subset_seed == args.seed and (args.layer_decay == 1) == (not folder)
    assert sum(bool(c.encoder) for c in judged) == 18


def test_runs_are_shared_with_the_other_scripts(planned):
    """What has its configuration's epochs is what reproduce.sh makes; other epochs have another folder."""
    given = {"DATA": "ucla", "METHOD": "mamp none"}
    usual = {c.output: c.words for c in planned("compare", **given)}
    assert usual.keys() <= {c.output for c in planned("reproduce", **given)}
    assert {c.output: c.words for c in planned("compare", **given, EPOCHS=100)} == usual
    other = {c.output for c in planned("compare", **given, EPOCHS=101, VARIANT="deep")}
    assert all("/mamp-deep-epochs-101/" in folder or "/none-deep/" in folder for folder in other) and len(other) == 7


@pytest.mark.parametrize("data, own", [("ucla", "mamp"), ("ntu60_xsub_umurl", "umurl")])
def test_a_method_has_its_encoder_on_any_data(data, own, planned):
    """Data sets have a method of their own; asking for another one is not forgotten."""
    methods = {"mamp": "mamp", "skeletonmae": "mamp", "umurl": "umurl", "none": "mamp", "umurl_none": "umurl"}
    assert config.parse("pretrain", ["--dataset", data]).method == own
    for command in planned("compare", DATA=data, EPOCHS=400):
        folder = command.output.removeprefix(f"output/{data}/").split("/")[0].split("-")[0]
        assert command.options().method == methods[folder]


def test_the_comparison_is_of_what_ran(planned, dry_run):
    given = {"DATA": "ucla", "SEEDS": "0 1", "METHOD": "umurl umurl_none", "RATIO": "0.05", "TAG": "x", "OUT": "o"}
    outputs = [c.output for c in planned("compare", **given)]
    *words, option, file = dry_run("compare", **given)[-1].split()
    assert words[:3] == ["python", "-m", "scripts.compare"] and (option, file) == ("--markdown", "o/compare-ucla-x.md")
    free = [f"o/ucla/coordinates/{name}" for name in ("all-x/seed0", "0.05-x/seed0", "0.05-x/seed1")]
    assert sorted(words[3:]) == sorted(outputs + free) and "o/ucla/umurl/finetune-0.05-x/seed1" in outputs


def test_what_costs_nothing_is_always_there(planned, dry_run):
    """The untrained encoder of every method, and coordinates, with the same data, crops and labels."""
    given = {"DATA": "ucla", "SEEDS": "2 5", "STREAM": "motion", "VARIANT": "deep"}
    found = {c.output.split("/")[2] for c in planned("compare", METHOD="skeletonmae", **given)}
    assert found == {"skeletonmae-motion-deep", "none-motion-deep"}
    assert {c.output.split("/")[2] for c in planned("compare", METHOD="umurl", DATA="ucla")} == {"umurl", "umurl_none"}
    lines = dry_run("compare", "--num_frames", "20", METHOD="mamp", **given)
    words = [line.split()[3:] for line in lines if line.startswith("python -m scripts.coordinates ")]
    outputs = [line[line.index("--output_dir") + 1] for line in words]
    assert outputs == [f"output/ucla/coordinates-motion-deep/{name}" for name in ("all/seed0", "0.1/seed2", "0.1/seed5")]
    for line, ratio, seed in zip(words, (1, 0.1, 0.1), (0, 2, 5), strict=True):
        check(config.parse("linprobe", line), data_ratio=ratio, subset_seed=seed, num_frames=20, input_stream="motion")


# --- the shell scripts ---


SCRIPTS = "pretrain tune linprobe finetune retrieval scratch semi transfer ablation ensemble compare reproduce".split()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_its_plan(name, script, dry_run):
    given = {"SEEDS": "3", "GPUS": "2", "OUT": "out put"}
    done = script(name, "--num_workers", "0", DRY_RUN=1, PYTHON="python", **given)
    assert done.returncode == 0 and done.stdout.splitlines() == dry_run(name, "--num_workers", "0", **given)


@pytest.mark.parametrize(
    "name, variables, message",
    [
        (
            "pretrain",
            {"DATA": "ntu60_xsbu"},
            "DATA=ntu60_xsbu: use one of .* ntu60_xsub .*; for data of your own, config.dataset.NAME.yaml: a copy of",
        ),
        ("pretrain", {"GPUS": "3"}, "GPUS=3: use one of 1 2 4 8 16"),
        ("linprobe", {"METHOD": "mamp mae"}, "METHOD=mae: .* skeletonmae"),
        ("finetune", {"STREAM": "bones"}, "STREAM=bones: .* bone"),
        ("semi", {"SEEDS": "0,1"}, "seed 0,1"),
        ("semi", {"RATIOS": "10"}, "RATIOS=10: .*0.1"),
        ("transfer", {"SOURCES": "ntu"}, "SOURCES=ntu: .* ntu60_xsub"),
        ("ablation", {"TABLE": "11"}, "TABLE=11: .* fig5"),
        ("ablation", {"VARIANT": "mine"}, "VARIANT=mine"),
        ("ablation", {"SEGMENTS": "x", "TABLE": "9"}, "SEGMENTS=x: a whole number"),
        ("ablation", {"METHOD": "umurl"}, "METHOD=umurl: ablation.sh chooses METHOD itself"),
        ("ablation", {"STREAM": "bone"}, "STREAM=bone: ablation.sh chooses STREAM itself"),
        ("scratch", {"METHOD": "umurl_none"}, "METHOD=umurl_none: scratch.sh chooses METHOD itself"),
        ("compare", {"CHECKPOINT": "checkpoint-9.pth"}, "CHECKPOINT=checkpoint-9.pth: compare.sh chooses CHECKPOINT itself"),
        ("ensemble", {"STAGE": "pretrain"}, "STAGE=pretrain: .* linprobe"),
        ("ensemble", {"WEIGHTS": "1 1"}, "WEIGHTS=1 1: a number for each of joint, motion, bone"),
        ("ensemble", {"WEIGHTS": "1 1 x"}, "WEIGHTS=1 1 x: a number for each"),
        ("linprobe", {"ENCODER": "x.pth"}, "ENCODER=x.pth: .* TAG"),
        ("linprobe", {"ENCODER": "x.pth", "TAG": "x", "METHOD": "none"}, "METHOD=none"),
        ("pretrain", {"METHOD": "none"}, "METHOD=none: is not pre-trained, so there is nothing to run"),
        ("pretrain", {"DATASET": "ucla"}, "DATASET=ucla: is not read, DATA is; unset it"),
        ("linprobe", {"SEED": "1"}, "SEED=1: is not read, SEEDS is"),
        ("reproduce", {"DRY_RUN": "yes"}, "DRY_RUN=yes: use one of 0 1"),
        ("pretrain", {"METHOD": "umurl", "STREAM": "bone"}, "STREAM=bone: UmURL"),
        ("ensemble", {"DATA": "ntu60_xsub_umurl"}, "METHOD=umurl: "),
        ("compare", {"EPOCHS": "4e2"}, "EPOCHS=4e2: .* at least 1"),
        ("pretrain", {"EPOCHS": "40"}, "EPOCHS=40: is for compare.sh; here it is the option --epochs 40"),
        ("semi", {"RATIO": "0.05"}, "RATIO=0.05: is for compare.sh"),
        ("compare", {"ENCODER": "x.pth", "TAG": "x", "METHOD": "mamp"}, "ENCODER=x.pth"),
    ],
)
def test_bad_values_get_one_line(name, variables, message, dry_run, capsys):
    with pytest.raises(SystemExit, match="2"):
        dry_run(name, **variables)
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert re.search(message, printed.err)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("reproduce", ["--decoder", "query"], "main_linprobe.py: option --decoder: belongs to main_pretrain.py; main_linprobe"),
        ("reproduce", ["--epochs", "many"], "main_pretrain.py: argument --epochs: invalid int value: 'many'"),
        ("linprobe", ["--finetune", "x.pth"], "option --finetune: the script itself gives it; give the variable ENCODER"),
        ("pretrain", ["--seed=3"], "option --seed: the script itself gives it; give the variable SEEDS"),
        ("pretrain", ["--resume", "x.pth"], "option --resume: the script itself gives it; leave it out"),
        ("compare", ["--mirror"], "main_retrieval.py: option --mirror: belongs to .*; main_retrieval.py does not have it"),
    ],
)
def test_an_option_that_a_later_run_refuses_stops_the_first(name, options, message, dry_run, capsys):
    """Pre-training may take days before the linear probe gets to see its options."""
    with pytest.raises(SystemExit, match="2"):
        dry_run(name, *options, DATA="ntu60_xsub")
    printed = capsys.readouterr()
    assert printed.out == "" and re.fullmatch(f"error: {message}.*\n", printed.err)


def test_a_dry_run_prints_what_a_run_does_and_touches_nothing(script, recorder, tmp_path):
    python, calls = recorder
    variables = {"PYTHON": python, "OUT": tmp_path / "out", "GPUS": 1, "SEEDS": "0 1"}
    dry = script("pretrain", "--enable_amp", DRY_RUN=1, **variables)
    assert not calls() and not (tmp_path / "out").exists()
    script("pretrain", "--enable_amp", **variables)
    assert [f"{python} {call}" for call in calls()] == dry.stdout.splitlines() and len(calls()) == 2


def test_what_is_finished_is_not_repeated_and_what_is_not_is_not_judged(script, recorder, tmp_path):
    python, calls = recorder
    variables = {"PYTHON": python, "DATA": "ucla", "OUT": tmp_path}
    folder = tmp_path / "ucla/mamp/pretrain/seed0"
    done = script("linprobe", **variables)
    assert done.returncode == 2 and f"error: {folder}/checkpoint-last.pth is not there" in done.stderr
    folder.mkdir(parents=True)
    (folder / "checkpoint-last.pth").touch()
    done = script("linprobe", **variables)
    assert done.returncode == 2 and "not finished" in done.stderr and not calls()
    (folder / "result.json").write_text("{}")
    assert script("linprobe", **variables).returncode == 0 and len(calls()) == 1
    done = script("pretrain", SEEDS="0 1", **variables)
    assert done.returncode == 0 and f"done already: {folder}" in done.stderr and "--seed 1 " in calls()[1] and len(calls()) == 2
    assert "warning" not in done.stderr


def test_other_settings_than_those_of_a_finished_run(script, recorder, tmp_path):
    """It is not made again; somebody who expects that is told."""
    python, calls = recorder
    folder = tmp_path / "ucla/mamp/pretrain/seed0"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    config.save(config.parse("pretrain", ["--dataset", "ucla", "--num_workers", "1"]), folder / "config.yaml")
    variables = {"PYTHON": python, "DATA": "ucla", "OUT": tmp_path}
    for more in ((), ("--num_workers", "0"), ("--batch_size", "32", "--accum_iter", "1")):
        done = script("pretrain", *more, **variables)
        assert f"done already: {folder}" in done.stderr and "warning" not in done.stderr
    done = script("pretrain", "--epochs", "7", "--clip_grad", "1", **variables)
    told = "other settings: epochs 100, now 7; clip_grad None, now 1.0; VARIANT or TAG"
    assert told in done.stderr and not calls()


def test_pre_training_from_an_encoder(script, recorder, planned, tmp_path):
    """It is named, told from one that began with another file, and missing before anything runs."""
    python, calls = recorder
    encoders = [tmp_path / name for name in ("a.pth", "b.pth")]
    (command,) = planned("pretrain", DATA="ucla", ENCODER=encoders[0], VARIANT="on")
    assert command.value("finetune") == str(encoders[0]) and command.output == "output/ucla/mamp-on/pretrain/seed0"
    done = script("pretrain", PYTHON=python, DATA="ucla", OUT=tmp_path, ENCODER=encoders[0])
    assert done.returncode == 2 and "VARIANT" in done.stderr
    variables = {"PYTHON": python, "DATA": "ucla", "OUT": tmp_path, "ENCODER": encoders[1], "VARIANT": "on"}
    done = script("pretrain", **variables)
    assert done.returncode == 2 and f"error: {encoders[1]} is not there" in done.stderr and not calls()
    model = build.mamp(config.parse("pretrain", ["--dataset", "ucla"]), SimpleNamespace(num_joints=20), "cpu")[0]
    for file in encoders:
        checkpoint.save(file, {"model": model.state_dict(), "config": {"num_heads": 4}})
    folder = tmp_path / "ucla/mamp-on/pretrain/seed0"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    config.save(config.parse("pretrain", ["--dataset", "ucla", "--finetune", str(encoders[0])]), folder / "config.yaml")
    told = f"finetune {encoders[0]}, now {encoders[1]}; VARIANT"
    assert told in script("pretrain", **variables).stderr
    assert "other settings" not in script("pretrain", **variables | {"ENCODER": encoders[0]}).stderr


def test_a_failing_run_stops_the_sweep(script, recorder, tmp_path):
    python, calls = recorder
    (tmp_path / "broken").touch()
    done = script("reproduce", PYTHON=python, DATA="ucla", OUT=tmp_path)
    assert done.returncode == 3 and len(calls()) == 1 and done.stdout.count("main_") == 1


def test_a_signal_to_the_script_reaches_the_run(tmp_path):
    """What a supervisor stops is the script's process; the run behind it saves, and nothing comes after it."""
    python, log = tmp_path / "python", tmp_path / "log"
    own = f'[ "$2" != scripts.plan ] || exec {shlex.quote(sys.executable)} "$@"\n[ "$1" != -c ] || exit 0'
    run = f"trap 'echo saved >> {log}; exit 3' TERM; echo began >> {log}; while :; do sleep 0.05; done"
    python.write_text(f"#!/bin/bash\n{own}\n{run}\n")
    python.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(python), "DATA": "ucla", "OUT": str(tmp_path), "SEEDS": "0 1"}
    process = subprocess.Popen(["bash", "scripts/pretrain.sh"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    limit = time.time() + 60
    while not log.exists() and time.time() < limit:
        time.sleep(0.05)
    process.terminate()
    assert process.wait(20) == 3 and log.read_text() == "began\nsaved\n"

"""What the launch scripts start: the paper's settings on any number of GPUs, said in commands that the real parser reads."""

import itertools
import sys

import pytest

from util import config

DATA = ["ntu60_xsub", "ntu60_xview", "ntu120_xsub", "ntu120_xset", "pku1_xsub", "pku1_xview", "pku2_xsub", "pku2_xview"]

# the paper and the published scripts, written down once more
MODEL = {
    "dim_in": 3,
    "dim_feat": 256,
    "depth": 8,
    "num_heads": 8,
    "mlp_ratio": 4,
    "num_frames": 120,
    "t_patch_size": 4,
    "patch_size": 1,
}
PRETRAIN = MODEL | {
    "lr": 1e-3,
    "min_lr": 5e-4,
    "warmup_epochs": 20,
    "epochs": 400,
    "betas": [0.9, 0.95],
    "weight_decay": 0.05,
    "decoder_dim_feat": 256,
    "mask_ratio": 0.9,
    "motion_stride": 1,
    "norm_skes_loss": True,
    "target": "motion",
    "drop_path_rate": 0,
    "effective_batch_size": 128,
}
LINPROBE = MODEL | {
    "min_lr": 0,
    "warmup_epochs": 0,
    "epochs": 100,
    "momentum": 0.9,
    "weight_decay": 0,
    "readout": "mean",
    "augment": True,
    "data_ratio": 1,
    "val_groups": 0,
}
FINETUNE = MODEL | {
    "lr": 3e-4,
    "min_lr": 1e-5,
    "warmup_epochs": 5,
    "epochs": 100,
    "betas": [0.9, 0.999],
    "weight_decay": 0.05,
    "layer_decay": 0.8,
    "drop_path_rate": 0.3,
    "smoothing": 0.1,
    "head_dim": 2048,
    "head_dropout": 0.3,
    "effective_batch_size": 48,
    "val_groups": 0,
    "subset": "shared",
}
DECODER_DEPTH = {"ntu60": 3, "ntu120": 5, "pku1": 5, "pku2": 5}
TAU = {"ntu60": 0.80, "ntu120": 0.75, "pku1": 0.80, "pku2": 0.80}
PROBE_BATCH = {"ntu60": 256, "ntu120": 256, "pku1": 128, "pku2": 32}
PROBE_LR = {"ntu60": 0.1, "ntu120": 0.1, "pku1": 0.1, "pku2": 0.01}
CHECKPOINT = {
    "ntu60": "checkpoint-399.pth",
    "ntu120": "checkpoint-399.pth",
    "pku1": "checkpoint-300.pth",
    "pku2": "checkpoint-300.pth",
}
FILES = {
    "ntu60_xsub": "data/ntu/NTU60_XSub.npz",
    "ntu60_xview": "data/ntu/NTU60_XView.npz",
    "ntu120_xsub": "data/ntu120/NTU120_XSub.npz",
    "ntu120_xset": "data/ntu120/NTU120_XSet.npz",
    "pku1_xsub": "data/pku_v1/PKUv1_XSub.npz",
    "pku1_xview": "data/pku_v1/PKUv1_XView.npz",
    "pku2_xsub": "data/pku_v2/PKUv2_XSub.npz",
    "pku2_xview": "data/pku_v2/PKUv2_XView.npz",
}


def check(args, **wanted):
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(args).items()}
    assert {k: plain[k] for k in wanted} == wanted


@pytest.mark.parametrize("gpus", [1, 4])
@pytest.mark.parametrize("data", DATA)
def test_the_papers_settings(data, gpus, planned, monkeypatch):
    family = data.split("_")[0]

    (command,) = planned("pretrain", DATA=data, GPUS=gpus)
    own = {"decoder_depth": DECODER_DEPTH[family], "motion_aware_tau": TAU[family], "data_path": FILES[data], "dataset": data}
    args = command.options(monkeypatch)
    check(args, **PRETRAIN, **own, batch_size=32, accum_iter=4 // gpus, resume="auto")
    assert int(CHECKPOINT[family].split("-")[1].split(".")[0]) in {e for e in range(1, 400) if e % args.save_freq == 0} | {399}
    (baseline,) = planned("pretrain", DATA=data, GPUS=gpus, METHOD="skeletonmae")
    check(baseline.options(monkeypatch), **PRETRAIN | own | {"target": "joint", "motion_aware_tau": 0})

    (probe,) = planned("linprobe", DATA=data, GPUS=gpus)
    batch, processes = PROBE_BATCH[family], min(gpus, 2)
    assert probe.value("finetune") == f"{command.output}/{CHECKPOINT[family]}" and probe.processes == processes
    check(
        probe.options(monkeypatch),
        **LINPROBE,
        lr=PROBE_LR[family],
        effective_batch_size=batch,
        batch_size=batch // 2,
        accum_iter=2 // processes,
    )

    (tuned,) = planned("finetune", DATA=data, GPUS=gpus)
    assert tuned.value("finetune") == probe.value("finetune")
    check(tuned.options(monkeypatch), **FINETUNE, data_ratio=1, batch_size=24, accum_iter=2 // processes)
    (scratch,) = planned("scratch", DATA=data, GPUS=gpus)
    assert scratch.value("finetune") is None
    check(scratch.options(monkeypatch), **FINETUNE | {"layer_decay": 1.0})

    (search,) = planned("retrieval", DATA=data, GPUS=gpus)
    assert search.value("finetune") == probe.value("finetune")
    check(search.options(monkeypatch), **MODEL, k=1, readout="mean", val_groups=0)


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
    assert command.value("finetune") == "output/ntu60_xsub/mamp-motion-deep/pretrain/seed7/checkpoint-399.pth"
    assert command.value("input_stream") == "motion" and command.value("seed") == "7"
    assert command.words[-2:] == ["--readout", "per_joint"]
    (command,) = planned("finetune", ENCODER="/some where/released.pth", TAG="released", METHOD="mamp")
    assert command.value("finetune") == "/some where/released.pth"
    assert command.output == "output/ntu60_xsub/mamp/finetune-released/seed0"


def test_five_semi_supervised_runs_of_each_method(planned, monkeypatch):
    commands = planned("semi", DATA="ntu60_xview")
    found = {}
    for command in commands:
        args = command.options(monkeypatch)
        check(args, **FINETUNE | {"layer_decay": 0.8 if command.value("finetune") else 1.0})
        assert args.subset_seed == args.seed
        found.setdefault((args.data_ratio, command.value("finetune")), []).append(args.seed)
    encoders = [f"output/ntu60_xview/{m}/pretrain/seed0/checkpoint-399.pth" for m in ("mamp", "skeletonmae")] + [None]
    assert found == {(ratio, encoder): [0, 1, 2, 3, 4] for ratio in (0.01, 0.1) for encoder in encoders}
    assert len({c.output for c in commands}) == len(commands) == 30
    own = planned("semi", PRETRAIN_SEED="", SEEDS="0 2", METHOD="mamp", RATIOS="0.1")
    assert [c.value("finetune").split("/")[-2] for c in own] == ["seed0", "seed2"]


@pytest.mark.parametrize(
    ("data", "method", "judged"),
    [
        ("ntu60_xsub", "mamp", "checkpoint-399.pth"),
        ("pku1_xsub", "skeletonmae", "checkpoint-300.pth"),
        ("ntu60_xsub_umurl", "umurl", "checkpoint-450.pth"),
        ("ntu60_xsub", "umurl", "checkpoint-last.pth"),
        ("pku1_xsub", "umurl", "checkpoint-last.pth"),
        ("ntu60_xsub_umurl", "mamp", "checkpoint-last.pth"),
    ],
)
def test_which_epoch_is_judged(data, method, judged, planned):
    """The published one where there is one: of the method that the arrays are made for. Else the last."""
    assert [c.value("finetune").split("/")[-1] for c in planned("linprobe", DATA=data, METHOD=method)] == [judged]


def test_transfer_to_pku2(planned, monkeypatch):
    commands = planned("transfer")
    assert [c.value("finetune") for c in commands] == [
        f"output/{source}/{method}/pretrain/seed0/{CHECKPOINT[source.split('_')[0]]}"
        for source in ("ntu60_xsub", "ntu120_xsub", "pku1_xsub")
        for method in ("mamp", "skeletonmae")
    ]
    for command in commands:
        check(command.options(monkeypatch), **FINETUNE, data_path=FILES["pku2_xsub"])
    assert len({c.output for c in commands}) == 6


# what differs from the base in each row of the paper: (pre-training's options, same for the probe)
SKELETONMAE = {"target": "joint", "motion_aware_tau": 0.0}
ROWS = {
    "7": [SKELETONMAE, {}, SKELETONMAE | {"input_stream": "motion"}, {"input_stream": "motion"}],
    "8": [{"motion_aware_tau": 0.0}, {}],
    "9": [{"t_patch_size": length, "num_frames": 30 * length} for length in (2, 4, 6, 8)],
    "10": [{"decoder_depth": depth} for depth in (2, 3, 4, 5)] + [{"decoder_dim_feat": width} for width in (64, 128, 256, 512)],
    "fig5": [{"mask_ratio": ratio} for ratio in (0.7, 0.8, 0.85, 0.9, 0.95)]
    + [{"epochs": epochs} | method for epochs in (80, 160, 240, 320, 400) for method in ({}, SKELETONMAE)],
}


@pytest.mark.parametrize("data", ["ntu60_xsub", "ntu120_xsub"])
@pytest.mark.parametrize("table", [*ROWS, "all"])
def test_ablations_have_every_row_once(table, data, planned, monkeypatch):
    family = data.split("_")[0]
    base = PRETRAIN | {"decoder_depth": DECODER_DEPTH[family], "motion_aware_tau": TAU[family], "input_stream": "joint"}
    wanted = [base | row for row in (itertools.chain(*ROWS.values()) if table == "all" else ROWS[table])]
    commands = planned("ablation", DATA=data, TABLE=table)
    runs = {c.output: vars(c.options(monkeypatch)) for c in commands if c.stage == "pretrain"}
    made = [{k: list(v) if isinstance(v, tuple) else v for k, v in run.items() if k in base} for run in runs.values()]
    assert all(row in made for row in wanted) and all(row in wanted for row in made)
    assert all(made.count(row) == 1 for row in made)  # what several rows share is trained once
    probes = {c.value("finetune"): c.options(monkeypatch) for c in commands if c.stage == "linprobe"}
    assert len(commands) == 2 * len(probes) == 2 * len(made)
    for folder, run in runs.items():
        probe = probes[f"{folder}/checkpoint-{run['epochs'] - 1}.pth"]
        check(probe, **LINPROBE | {"num_frames": run["num_frames"]}, input_stream=run["input_stream"])


OF_BOTH = [{}, {"decoder_depth": 1}, {"decoder_depth": 3}, {"motion_aware_tau": 0}, {"target": "joint"}]
OF_BOTH += [{"loss_weight": "motion"}]
DECODER_ROWS = [{}, *({"decoder": decoder} | own for decoder in ("query", "cross") for own in OF_BOTH)]
LENGTHS = {"ntu120_xsub": (4, 8, 12, 20, 24, 40, 60, 120), "ucla_large": (4, 8, 20, 40)}


@pytest.mark.parametrize("data", LENGTHS)
def test_ablation_of_the_decoders(data, planned, monkeypatch):
    usual = vars(config.parse("pretrain", ["--dataset", data]))
    rows = DECODER_ROWS + [{"decoder": "query", "query_frames": n} for n in LENGTHS[data] if n != usual["query_frames"]]
    rows += [{"decoder": "cross", "predict_ratio": share} for share in (0.1, 0.5, 1)]
    commands = planned("ablation", DATA=data, TABLE="decoder")
    runs = {c.output: vars(c.options(monkeypatch)) for c in commands if c.stage == "pretrain"}
    where = {"output_dir", "accum_iter", "resume", "batch_size"}
    made = [{k: v for k, v in run.items() if k not in where and v != usual[k]} for run in runs.values()]
    assert len(made) == len(rows) and all(row in made for row in rows)
    probes = [c.value("finetune").rpartition("/")[0] for c in commands if c.stage == "linprobe"]
    assert sorted(probes) == sorted(runs)


@pytest.mark.parametrize(
    "method, decoder, target",
    [("mamp_query", "query", "motion"), ("mamp_cross", "cross", "motion"), ("skeletonmae_query", "query", "joint")],
)
def test_methods_with_another_decoder(method, decoder, target, planned, monkeypatch):
    (command,) = planned("pretrain", DATA="ucla", METHOD=method)
    args = command.options(monkeypatch)
    assert (args.method, args.decoder, args.target) == ("mamp", decoder, target)
    assert command.output == f"output/ucla/{method}/pretrain/seed0" and (args.motion_aware_tau == 0) == (target == "joint")
    judged = planned("compare", DATA="ucla", METHOD=f"mamp {method}", EPOCHS=2)
    made = {c.output for c in judged if c.stage == "pretrain"}
    encoders = {c.value("finetune").rpartition("/")[0] for c in judged if c.value("finetune")}
    assert len(made) == 2 and encoders == made


def test_reproduce_runs_what_it_judges(planned, script):
    for data, stages in (("ntu60_xsub", 39), ("ntu120_xset", 9), ("pku1_xsub", 4), ("pku2_xsub", 16), ("ucla", 19)):
        commands = planned("reproduce", DATA=data)
        assert len(commands) == stages, data
        made = {c.output for c in commands if c.stage == "pretrain"}
        for command in commands:
            encoder = command.value("finetune")
            assert encoder is None or encoder.rpartition("/")[0] in made
    last = script("reproduce", DRY_RUN=1, PYTHON="python").stdout.splitlines()[-1]
    assert last == "python -m scripts.tables output --markdown output/tables.md --csv output/tables.csv"


def test_ensemble_evaluates_three_streams(planned, script):
    commands = planned("ensemble", DATA="ntu60_xsub")
    assert [c.stage for c in commands] == ["pretrain", "finetune"] * 3 + ["finetune"] * 3
    assert [c.value("input_stream") for c in commands[:6]] == [None, None, "motion", "motion", "bone", "bone"]
    for tuned, evaluated in zip(commands[1:6:2], commands[6:], strict=True):
        assert evaluated.value("eval") == f"{tuned.output}/checkpoint-last.pth"
        assert evaluated.value("config") == f"{tuned.output}/config.yaml"
    last = script("ensemble", DRY_RUN=1, PYTHON="python", WEIGHTS="1 .5 1").stdout.splitlines()[-1]
    scores = " ".join(f"output/ntu60_xsub/mamp{s}/finetune/seed0/scores/scores.npz" for s in ("", "-motion", "-bone"))
    assert last == f"python -m scripts.ensemble {scores} --weights 1 .5 1"


@pytest.mark.parametrize(
    "name, variables, words",
    [
        ("pretrain", {"DATA": "ntu60_xsbu"}, ["DATA=ntu60_xsbu", "ntu60_xsub"]),
        ("pretrain", {"GPUS": "0"}, ["GPUS=0", "1 2 4 8 16"]),
        ("pretrain", {"GPUS": "3"}, ["GPUS=3"]),
        ("linprobe", {"METHOD": "mamp mae"}, ["METHOD=mae", "skeletonmae"]),
        ("finetune", {"STREAM": "bones"}, ["STREAM=bones", "bone"]),
        ("semi", {"SEEDS": "0,1"}, ["seed 0,1"]),
        ("semi", {"RATIOS": "10"}, ["RATIOS: 10", "0.01"]),
        ("transfer", {"SOURCES": "ntu"}, ["SOURCES=ntu", "ntu60_xsub"]),
        ("ablation", {"TABLE": "11"}, ["TABLE=11", "fig5"]),
        ("ablation", {"VARIANT": "mine"}, ["VARIANT=mine"]),
        ("ensemble", {"STAGE": "pretrain"}, ["STAGE=pretrain", "linprobe"]),
        ("linprobe", {"ENCODER": "x.pth"}, ["ENCODER=x.pth", "TAG"]),
        ("linprobe", {"ENCODER": "x.pth", "TAG": "x", "METHOD": "none"}, ["METHOD=none"]),
        ("reproduce", {"DRY_RUN": "yes"}, ["DRY_RUN=yes", "0 1"]),
        ("pretrain", {"METHOD": "umurl", "STREAM": "bone"}, ["STREAM=bone", "UmURL"]),
        ("ensemble", {"DATA": "ntu60_xsub_umurl"}, ["METHOD=umurl"]),
    ],
)
def test_bad_values_get_one_line(name, variables, words, script, tmp_path):
    done = script(name, **{"DRY_RUN": 1, "OUT": tmp_path} | variables)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and all(word in done.stderr for word in words)


@pytest.fixture
def recorder(tmp_path):
    """A stand-in for Python that only writes down how it was called."""
    file = tmp_path / "python"
    file.write_text(f'#!/bin/sh\n[ "$2" != scripts.plan ] || exec "{sys.executable}" "$@"\n[ "$1" = -c ] || echo "$@" >> "{tmp_path}/calls"\n')
    file.chmod(0o755)
    calls = tmp_path / "calls"
    return file, lambda: calls.read_text().splitlines() if calls.exists() else []


def test_a_dry_run_prints_what_a_run_does_and_touches_nothing(script, recorder, tmp_path):
    python, calls = recorder
    variables = {"PYTHON": python, "OUT": tmp_path / "out", "GPUS": 1, "SEEDS": "0 1"}
    dry = script("pretrain", "--enable_amp", DRY_RUN=1, **variables)
    assert not calls() and not (tmp_path / "out").exists()
    script("pretrain", "--enable_amp", **variables)
    assert [f"{python} {call}" for call in calls()] == dry.stdout.splitlines() and len(calls()) == 2


def test_finished_runs_are_not_repeated(script, recorder, tmp_path):
    python, calls = recorder
    done = tmp_path / "ucla/mamp/pretrain/seed0"
    done.mkdir(parents=True)
    (done / "result.json").write_text("{}")
    result = script("pretrain", PYTHON=python, DATA="ucla", OUT=tmp_path, SEEDS="0 1")
    assert result.returncode == 0 and str(done) in result.stderr
    assert len(calls()) == 1 and "--seed 1 " in calls()[0]


def test_an_unfinished_pretraining_is_not_judged(script, recorder, tmp_path):
    python, calls = recorder
    variables = {"PYTHON": python, "DATA": "ucla", "OUT": tmp_path}
    folder = tmp_path / "ucla/mamp/pretrain/seed0"
    result = script("linprobe", **variables)
    assert result.returncode == 2 and f"{folder}/checkpoint-last.pth is not there" in result.stderr
    folder.mkdir(parents=True)
    (folder / "checkpoint-last.pth").touch()
    result = script("linprobe", **variables)
    assert result.returncode == 2 and "not finished" in result.stderr and not calls()
    (folder / "result.json").write_text("{}")
    assert script("linprobe", **variables).returncode == 0 and len(calls()) == 1


def test_a_failing_run_stops_the_sweep(script, tmp_path):
    file = tmp_path / "python"
    file.write_text('#!/bin/sh\n[ "$2" != scripts.plan ] || exec "' + sys.executable + '" "$@"\ncase "$*" in *main_*) exit 2 ;; esac\n')
    file.chmod(0o755)
    result = script("reproduce", PYTHON=file, DATA="ucla", OUT=tmp_path)
    assert result.returncode == 2 and result.stdout.count("main_") == 1

"""Lists and runs the commands of the launch scripts: `bash scripts/NAME.sh [options of the mains]` calls
`python -m scripts.plan NAME [options]`.

A command for one stage, made for every METHOD and every seed (scripts/launch.sh explains the variables):

    torchrun --nproc_per_node $GPUS main_$STAGE.py --dataset $DATA --seed $SEED --resume auto \
        --finetune $ENCODER --output_dir $OUT/$DATA/$METHOD/$STAGE/seed$SEED

The functions in SCRIPTS list the runs of each script in the order in which they are needed. config/paper.yaml says how a METHOD
differs from the data set's configuration, and which epoch of a pre-training the paper evaluates.
"""

import argparse
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

from scripts.execute import check_options, execute
from scripts.variables import (
    DATASETS,
    METHODS,
    STREAMS,
    TRAINED,
    check_choice,
    configured,
    demo_data,
    encoder_method,
    in_paper,
    join,
    own_method,
    refuse_fixed,
    refuse_misnamed,
    replace,
    settings,
    smoke_options,
    words,
)
from util.results import PAPER


def run(command, folder="", done="result.json", encoder="", made_by=""):
    """A command to run. folder, done: its output folder and the last file it writes there, which marks it as done (without a
    folder it is always run). encoder, made_by: the checkpoint that it needs, and what makes that."""
    command = [os.environ.get("PYTHON") or sys.executable, *command]
    return SimpleNamespace(command=command, folder=folder, done=done, encoder=encoder, made_by=made_by)


def folder_of(s, method, stage, seed, data=None):
    return f"{s.out}/{data or s.data}/{join(method, s.stream.replace('joint', ''), s.variant)}/{stage}/seed{seed}"


def main_command(s, method, stage, seed, folder, *options):
    gpus = min(s.gpus, 2) if stage in ("linprobe", "finetune") else s.gpus  # see scripts/launch.sh
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(gpus)] if gpus > 1 else []
    line = [*torchrun, f"main_{stage}.py", "--dataset", s.data, "--output_dir", folder, "--seed", seed]
    line += [] if stage == "retrieval" else ["--resume", "auto"]
    line += [] if s.stream == "joint" else ["--input_stream", s.stream]
    line += smoke_options(s, stage)
    line += [] if encoder_method(method) == own_method(s.data) else ["--method", encoder_method(method)]
    return [*line, *options]


def pretrain_from(s, options):
    """As `pretrain`, from the weights of ENCODER if there is one."""
    for each in pretrain(s, ["--finetune", s.encoder, *options] if s.encoder else options):
        each.encoder, each.made_by = s.encoder, "another pre-training"
        yield each


def pretrain(s, options):
    for method in [name for name in s.methods if name in TRAINED]:
        changes = {key: value for key, value in METHODS[method].items() if key != "method"}
        for seed in s.seeds:
            folder = folder_of(s, method, "pretrain", seed)
            yield run(main_command(s, method, "pretrain", seed, folder, *words(changes), *options), folder)


def evaluate(s, stage, options):
    """A linear probe, fine-tuning or retrieval of every METHOD and seed."""
    for method in s.methods:
        for seed in s.seeds:
            encoder, made_by, own = "", "", []
            if method in TRAINED:
                encoder, made_by = pretrained(s, method, seed)
                own = ["--finetune", encoder]
            elif stage == "finetune":
                own = ["--layer_decay", "1"]  # from scratch, all layers have the same learning rate
            folder = folder_of(s, method, join(stage, s.tag), seed)
            command = main_command(s, method, stage, seed, folder, *own, *options)
            yield run(command, folder, encoder=encoder, made_by=made_by)


def pretrained(s, method, seed):
    """(checkpoint of the pre-training, what makes it). ENCODER if given, else in the pre-training's folder CHECKPOINT if given,
    else the epoch that the paper evaluates (for a data set and method in the paper), else the last one."""
    pretrain_seed = s.pretrain_seed or seed
    published = in_paper(s.source) and encoder_method(method) == own_method(s.source)
    epoch = PAPER["data"][s.source]["encoder_epoch"] if published else "last"
    file = f"{folder_of(s, method, 'pretrain', pretrain_seed, s.source)}/{s.checkpoint or f'checkpoint-{epoch}.pth'}"
    return s.encoder or file, f"scripts/pretrain.sh with DATA={s.source} METHOD={method} SEEDS={pretrain_seed} STREAM={s.stream}"


def tune(s, options):
    """A tuning of every METHOD and seed, each with a linear probe and a retrieval of its encoder."""
    for method in [name for name in s.methods if name in TRAINED]:
        for seed in s.seeds:
            encoder, made_by = pretrained(s, method, seed)
            folder = folder_of(s, method, join("tune", s.tag), seed)
            command = main_command(s, method, "tune", seed, folder, "--finetune", encoder, *options)
            yield run(command, folder, encoder=encoder, made_by=made_by)
            tuned = replace(s, methods=[method], seeds=[seed], encoder=f"{folder}/checkpoint-last.pth", tag=join("tuned", s.tag))
            yield from evaluate(tuned, "linprobe", [])
            yield from evaluate(tuned, "retrieval", [])


def semi(s, options):
    for ratio in s.ratios.split():
        yield from evaluate(replace(s, tag=join(ratio, s.tag)), "finetune", ["--data_ratio", ratio, *options])


def transfer(s, options):
    for source in s.sources.split():
        check_choice("SOURCES", source, DATASETS)
        yield from evaluate(replace(s, source=source, tag=join(f"from-{source}", s.tag)), "finetune", options)


def ablation_rows(s):
    """{TABLE: [(methods, {option: value} that change in their pre-training), ...]}."""

    def vary(methods, key, *values):
        return [(methods, {key: value}) for value in values]

    if not re.fullmatch("[1-9][0-9]*", s.segments):
        raise ValueError(f"SEGMENTS={s.segments}: a whole number, at least 1")
    own, both, lengths = configured(s), "mamp_query mamp_cross", (2, 4, 6, 8)
    whole = [n for n in range(own["t_patch_size"], own["num_frames"] + 1, own["t_patch_size"]) if own["num_frames"] % n == 0]
    return {
        "7": vary("skeletonmae mamp", "input_stream", "joint", "motion"),
        "8": [("random_masking mamp", {})],
        "9": [("mamp", {"t_patch_size": n, "num_frames": int(s.segments) * n}) for n in lengths],
        "10": vary("mamp", "decoder_depth", 2, 3, 4, 5) + vary("mamp", "decoder_dim_feat", 64, 128, 256, 512),
        "fig5": vary("mamp", "mask_ratio", 0.7, 0.8, 0.85, 0.9, 0.95)
        + vary("mamp skeletonmae", "epochs", *((1, 2) if s.smoke == "1" else (80, 160, 240, 320, 400))),
        "decoder": [("mamp mamp_query mamp_cross", {})]
        + vary(both, "decoder_depth", 1, 3, 5)
        + [(both, change) for change in ({"motion_aware_tau": 0}, {"target": "joint"}, {"loss_weight": "motion"})]
        + vary("mamp_query", "query_frames", *whole)
        + vary("mamp_cross", "predict_ratio", 0.1, 0.25, 0.5, 1),
    }


def ablation(s, options):
    tables, own = ablation_rows(s), configured(s)
    check_choice("TABLE", s.table, ("all", *tables))
    if s.variant:
        raise ValueError(f"VARIANT={s.variant}: the rows of an ablation name themselves; use another OUT")
    for table in [name for name in tables if name != "decoder"] if s.table == "all" else [s.table]:
        for methods, changes in tables[table]:
            row = replace(s, methods=methods.split(), stream=changes.get("input_stream", "joint"))
            if "epochs" in changes:
                row.checkpoint = f"checkpoint-{changes['epochs'] - 1}.pth"
            changes = {key: value for key, value in changes.items() if key != "input_stream"}
            differing = {key: value for key, value in changes.items() if value != own[key]}
            if differing:  # otherwise it is the data set's usual pre-training, in its usual folder
                row.variant = join(*map(str, next(iter(changes.items()))))
            yield from pretrain(row, [*words(differing), *options])
            length = {key: value for key, value in differing.items() if key == "num_frames"}  # of the probe, too
            yield from evaluate(row, "linprobe", [*words(length), *options])


def ensemble(s, options):
    check_choice("STAGE", s.stage, ("finetune", "linprobe"))
    weights = s.weights.split()
    if len(weights) != len(STREAMS) or not all(re.fullmatch(r"-?(\d+\.?\d*|\.\d+)(e-?\d+)?", weight) for weight in weights):
        raise ValueError(f"WEIGHTS={s.weights}: a number for each of {', '.join(STREAMS)}, such as '1 1 1'")
    if any("umurl" in method for method in s.methods):
        raise ValueError(f"METHOD={' '.join(s.methods)}: UmURL sees joints, bones and motions together already")
    for stream in STREAMS:
        yield from pretrain(replace(s, stream=stream), options)
        yield from evaluate(replace(s, stream=stream), s.stage, options)
    for method in s.methods:
        for seed in s.seeds:
            folders = [folder_of(replace(s, stream=stream), method, join(s.stage, s.tag), seed) for stream in STREAMS]
            for folder in folders:
                line = words({"config": f"{folder}/config.yaml", "eval": f"{folder}/checkpoint-last.pth"})
                line += ["--output_dir", f"{folder}/scores", *options]
                yield run([f"main_{s.stage}.py", *line], f"{folder}/scores", done="scores.npz")
            files = [f"{folder}/scores/scores.npz" for folder in folders]
            yield run(["-m", "scripts.ensemble", *files, "--weights", *s.weights.split()])


def coordinates(s, name, seed, options):
    folder = folder_of(s, "coordinates", join(name, s.tag), seed)
    line = ["--dataset", s.data, "--output_dir", folder, "--subset_seed", seed]
    line += [] if s.stream == "joint" else ["--input_stream", s.stream]
    own = {"data_path": f"{s.out}/data/DEMO_XSub.npz", "num_frames": 16, "device": "cpu"} if s.smoke == "1" else {}
    return run(["-m", "scripts.coordinates", *line, *words(own), *options], folder, done="1-NN/result.json")


def compare(s, options):
    epochs = s.epochs or str(configured(s)["epochs"])
    if not re.fullmatch("[1-9][0-9]*", epochs):
        raise ValueError(f"EPOCHS={epochs}: a whole number, at least 1")
    few = ["--data_ratio", s.ratio, *options]
    runs = [coordinates(s, "all", "0", options), *(coordinates(s, s.ratio, seed, few) for seed in s.seeds)]
    untrained = ["umurl_none" if encoder_method(method) == "umurl" else "none" for method in s.methods]
    for method in dict.fromkeys(s.methods + untrained):  # each encoder is also evaluated without pre-training
        own, usual, budget = replace(s, methods=[method]), configured(s, encoder_method(method)), {}
        if method in TRAINED and int(epochs) != usual["epochs"]:
            own.variant, budget["epochs"] = join(s.variant, f"epochs-{epochs}"), epochs
            if usual["lr_steps"]:  # UmURL: lower the rate after the same share of the epochs
                budget["lr_steps"] = -(-usual["lr_steps"][0] * int(epochs) // usual["epochs"])
        runs += pretrain(own, [*words(budget), *options])
        runs += evaluate(own, "linprobe", options)
        runs += evaluate(own, "retrieval", options)
        runs += evaluate(replace(own, tag=join(s.ratio, s.tag)), "finetune", few)
    named = s.stream.replace("joint", ""), s.variant, s.epochs and f"epochs-{s.epochs}", s.tag
    table = join(f"{s.out}/compare", s.data, *named) + ".md"
    return [*runs, run(["-m", "scripts.compare", *(one.folder for one in runs), "--markdown", table])]


def reproduce(s, options):
    ntu, elsewhere, umurl = s.data.startswith("ntu"), not in_paper(s.data), own_method(s.data) == "umurl"
    yield from pretrain(s, options)
    yield from evaluate(s, "linprobe", options)
    if ntu or elsewhere:
        yield from evaluate(s, "retrieval", options)
    if (ntu or elsewhere) and not umurl:
        yield from evaluate(s, "finetune", options)
    if ntu and not umurl:
        yield from evaluate(settings("scratch"), "finetune", options)
    if s.data.startswith("ntu60") and not umurl:
        yield from semi(settings("semi", METHOD=" ".join([*s.methods, "none"])), options)
    if elsewhere:
        ratios = s.ratios if os.environ.get("RATIOS") or s.smoke == "1" else "0.1"
        yield from semi(replace(s, pretrain_seed="", ratios=ratios), options)
    if s.data == "pku2_xsub":
        for source in s.sources.split():
            yield from pretrain(replace(s, data=source), options)
        yield from transfer(s, options)
    if s.ablation:
        yield from ablation(settings("ablation", TABLE=s.ablation), options)
    yield run(["-m", "scripts.tables", s.out, "--markdown", f"{s.out}/tables.md", "--csv", f"{s.out}/tables.csv"])


# {NAME of scripts/NAME.sh: function (settings, options for the mains) -> its runs}
SCRIPTS = {f.__name__: f for f in (tune, semi, transfer, ablation, ensemble, compare, reproduce)} | {"pretrain": pretrain_from}
SCRIPTS |= {stage: lambda s, options, stage=stage: evaluate(s, stage, options) for stage in ("linprobe", "finetune", "retrieval")}
SCRIPTS["scratch"] = SCRIPTS["finetune"]  # with METHOD none


def smoke_data(s):
    """The commands that make the invented data for SMOKE=1."""
    data = f"{s.out}/data"
    if s.smoke == "0" or Path(data, "DEMO_XSub.npz").exists():
        return []
    return [run(command) for command in demo_data(data, "--actions", "6", "--performers", "4", "--replications", "1")]


# options that the plan itself gives, and the variables that decide them
PLANNED = {"finetune": "ENCODER", "output_dir": "OUT and TAG", "seed": "SEEDS", "dataset": "DATA", "method": "METHOD"}
PLANNED |= {"input_stream": "STREAM", "resume": ""}


def refuse_planned(options):
    """Raises ValueError for one of these: results would go, or be looked for, elsewhere."""
    for name in (word.split("=")[0].removeprefix("--") for word in options if word.startswith("--")):
        if name in PLANNED:
            instead = f"; give the variable {PLANNED[name]}" if PLANNED[name] else "; leave it out"
            raise ValueError(f"option --{name}: the script itself gives it{instead}")


def main(script, *options):
    try:
        refuse_misnamed()
        refuse_fixed(script)
        refuse_planned(options)
        s = settings(script)
        runs = list(SCRIPTS[script](s, options))  # all at once, to find mistakes before the first one starts
        if not runs:
            raise ValueError(f"METHOD={' '.join(s.methods)}: is not pre-trained, so there is nothing to run")
        for each in runs:
            check_options(each.command)
        if s.smoke == "1":
            print(f"SMOKE=1: tiny runs on an INVENTED recording, in {s.out}; their numbers mean nothing", file=sys.stderr)
        execute(s, [*smoke_data(s), *runs])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        "python -m scripts.plan", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("script", metavar="NAME", choices=SCRIPTS, help=", ".join(SCRIPTS))
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of the mains")
    given = parser.parse_args()
    main(given.script, *given.options)

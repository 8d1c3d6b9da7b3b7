"""Options: where values come from, what they may be, and one clear line for what they may not."""

import argparse
import re
import shutil
from pathlib import Path

import pytest
import yaml

from util import config, config_files, distributed, validation
from util.options import GROUPS, METHODS, OPTIONS, STAGES


@pytest.fixture
def file(tmp_path):
    def write(text, name="a.yaml"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def parse(stage, *argv):
    return config.parse(stage, [*map(str, argv), "--data_path", "x.npz"])


def test_later_sources_win(file):
    stage = file("epochs: 7\nlr: 1e-4\ndepth: 3\nbatch_size: 5\n")
    exceptions = "stages:\n  pretrain: {batch_size: 8, dim_feat: 32}\n  linprobe: {k: 3}"
    dataset = file(f"depth: 4\nbatch_size: 6\ndim_feat: 64\n{exceptions}", "d.yaml")
    args = parse("pretrain", "--config", stage, "--dataset", dataset, "--dim_feat", 16)
    assert (args.epochs, args.lr, args.depth, args.batch_size, args.dim_feat) == (7, 1e-4, 4, 8, 16)
    assert args.num_heads == OPTIONS["num_heads"].default and args.stage == "pretrain"
    assert parse("linprobe", "--dataset", dataset).batch_size == 6


def test_numbers_lists_booleans_and_null(file):
    """YAML reads 1e-3 as text, 1.0e-3 as a number."""
    for text, value in {"1e-3": 0.001, "1E-3": 0.001, "'0.5'": 0.5, "2": 2.0, "1.5e+1": 15.0}.items():
        lr = parse("pretrain", "--config", file(f"lr: {text}")).lr
        assert lr == value and isinstance(lr, float)
    text = "betas: [0.8, 9e-1]\nrot_theta: 0.2\nenable_amp: true\nqk_scale: null\nepochs: '3'"
    args = parse("pretrain", "--config", file(text))
    assert args.betas == [0.8, 0.9] and args.rot_theta == [0.2] and args.enable_amp is True and args.qk_scale is None
    assert args.epochs == 3
    other = file("enable_amp: true\nrandom_rot: false")
    args = parse("pretrain", "--no-enable_amp", "--random_rot", "--rot_theta", 0, 1, 0, "--config", other)
    assert args.enable_amp is False and args.random_rot is True and args.rot_theta == [0, 1, 0]


def test_a_key_of_another_stage_is_no_mistake(file):
    args = parse("linprobe", "--config", file("mask_ratio: 0.8\nepochs: 3"))
    assert args.epochs == 3 and not hasattr(args, "mask_ratio")


@pytest.mark.parametrize(
    "text, message",
    [
        ("mask_rato: 0.9", "a.yaml: key 'mask_rato' is not known; did you mean 'mask_ratio'?"),
        ("qqqqqqqq: 1", "a.yaml: key 'qqqqqqqq' is not known$"),
        ("stages: {pretran: {lr: 1}}", "a.yaml: stage 'pretran' is not known; did you mean 'pretrain'?"),
        ("stages: {finetune: {layerdecay: 1}}", "a.yaml: key 'layerdecay' is not known; did you mean 'layer_decay'?"),
        ("stages: {pretrain: 5}", "a.yaml: stages: is not"),
        ("epochs: many", "a.yaml: epochs: 'many' is not a whole number"),
        ("epochs: .inf", "a.yaml: epochs: inf is not"),
        ("epochs: true", "a.yaml: epochs: True is not a whole number"),
        ("epochs: [1, 2]", r"a.yaml: epochs: \[1, 2\] is not a single value"),
        ("epochs:", "a.yaml: epochs: "),
        ("lr: fast", "a.yaml: lr: 'fast' is not a number"),
        ("betas: [0.9, x]", "a.yaml: betas: 'x' is not a number"),
        ("random_rot: 1", "a.yaml: random_rot: 1 is not true or false"),
        ("target: velocity", "a.yaml: target: 'velocity' is not one of motion, joint"),
        ("epochs: 0", "epochs 0: at least 1"),
        ("mask_ratio: 1.0", "mask_ratio 1.0"),
        ("methods: [umurl]", "a.yaml: methods: is not 'method: {key: value, ...}' for each method"),
        ("methods: {mamp: {stages: {pretran: {}}}}", "a.yaml: stage 'pretran' is not known; did you mean 'pretrain'"),
        ("method: umrl", "a.yaml: method: 'umrl' is not one of mamp, umurl"),
        ("method: [mamp]", r"a.yaml: method: \['mamp'\] is not one of mamp, umurl"),
        ("method: {a: 1}", "a.yaml: method: {'a': 1} is not one of mamp, umurl"),
        ("lr: 1\nlr 2", "a.yaml: not readable as YAML"),
        ("- lr\n- epochs", "a.yaml: a configuration is a list of 'key: value' lines"),
    ],
)
def test_spoilt_yaml(file, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse("pretrain", "--config", file(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "words, error, message",
    [
        ("--mask_rato 0.9 --data_path x.npz", ValueError, "'mask_rato' is not known; did you mean 'mask_ratio'?"),
        ("--dim_feet=3 --data_path x.npz", ValueError, "did you mean 'dim_feat'?"),
        ("surplus --data_path x.npz", ValueError, "surplus"),
        ("--config absent.yaml --data_path x.npz", FileNotFoundError, "absent.yaml: no such configuration file"),
        ("", ValueError, "data_path: no data set given"),
        ("--print_config", ValueError, "data_path: no data set given"),
        ("--print_config --lr -1 --data_path x.npz", ValueError, "lr -1.0: not below 0"),  # as a run would
    ],
)
def test_mistaken_options(words, error, message):
    with pytest.raises(error, match=message):
        config.parse("pretrain", words.split())


@pytest.mark.parametrize(
    "batch, wanted, world, accum, expected",
    [
        (32, 128, 1, None, (32, 4, 128)),
        (32, 128, 2, None, (32, 2, 128)),
        (32, 128, 4, None, (32, 1, 128)),
        (32, 128, 8, None, (16, 1, 128)),
        (32, None, 2, 3, (32, 3, 192)),
        (32, 192, 2, 3, (32, 3, 192)),
        (32, 128, 2, 3, None),
        (32, 127, 2, None, None),
        (32, 1, 2, None, None),
        (48, 128, 1, None, None),
    ],
)
def test_effective_batch_is_had_on_any_number_of_processes(monkeypatch, batch, wanted, world, accum, expected):
    monkeypatch.setattr(distributed, "world_size", lambda: world)
    args = argparse.Namespace(batch_size=batch, effective_batch_size=wanted, accum_iter=accum)
    if not expected:
        names = f"{world} processes" if wanted % world else f"batch_size {batch} × {world}"  # what can be changed
        with pytest.raises(ValueError, match=f"effective_batch_size {wanted}( is not a multiple of {names}|; give one)"):
            config.set_batches(args)
        return
    config.set_batches(args)
    assert (args.batch_size, args.accum_iter, args.effective_batch_size) == expected


@pytest.mark.parametrize(
    "yaml, words, settled",
    [
        ("", (), (None, 128)),  # of config/pretrain.yaml
        ("accum_iter: 3", (), (3, None)),
        ("accum_iter: 3", ("--effective_batch_size", 64), (None, 64)),
        ("effective_batch_size: 64", ("--accum_iter", 2), (2, None)),
        ("effective_batch_size: 64", ("--accum_iter", 2, "--effective_batch_size", 8), (2, 8)),
        ("effective_batch_size: 64\nstages: {pretrain: {accum_iter: 2}}", (), (2, None)),
        ("accum_iter: null", (), (None, 128)),
    ],
)
def test_accumulation_and_effective_batch_settle_each_other(file, yaml, words, settled):
    args = parse("pretrain", "--config", file(yaml), *words)
    assert (args.accum_iter, args.effective_batch_size) == settled
    again = parse("pretrain", "--config", file(config.as_yaml(args)))  # what --print_config says
    assert (again.accum_iter, again.effective_batch_size) == (None if settled[1] else settled[0], settled[1])


@pytest.fixture
def stopped(capsys):
    """stopped(stage, word, ...) -> what parsing prints before it ends with exit code 0."""

    def printed(stage, *words):
        with pytest.raises(SystemExit) as stop:
            config.parse(stage, [*map(str, words)])
        assert stop.value.code == 0
        return capsys.readouterr().out

    return printed


def brackets(text, option):
    """What --help says in brackets at the end of an option, None if nothing."""
    (about,) = re.findall(rf"^  --{option}\b(.*?)(?=^  -|^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    found = re.search(r"\[([^][]*)\]\s*$", about)
    return found and " ".join(found[1].split())


def test_help_names_every_option_of_the_method(stopped):
    for stage in STAGES:
        for method in METHODS:
            text = stopped(stage, "--help", "--method", method)
            for group in GROUPS.values():
                for option in group:
                    there = f"--{option.name}" in text.replace(",", " ").split()
                    assert there == option.belongs(stage, method), option.name
            assert all((f"--method {other} --help" in text) == (other != method) for other in METHODS)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("more", [(), ("--dataset", "ucla"), ("--dataset", "ntu60_xsub_umurl", "--method", "umurl"), ("--lr", 7)])
def test_help_shows_what_the_stage_would_use(stage, more, stopped):
    if more[:1] == ("--lr",) and stage == "retrieval":
        more = ("--k", 7)
    text, used = stopped(stage, *more, "--help"), vars(parse(stage, *more))
    for name in used.keys() - {"stage", "dataset", "data_path"}:
        value = used[name]
        text_of = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        assert brackets(text, name) == (None if value in (None, []) else text_of), name
    assert used["data_path"] == "x.npz" and (brackets(text, "data_path") is None) == ("--dataset" not in more)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("more", [(), ("--dataset", "ucla", "--seed", 3), ("--method", "umurl")])
def test_printed_configuration_is_taken_back(stage, more, stopped, tmp_path):
    words = [*more, "--data_path", tmp_path / "50 %.npz", "--output_dir", tmp_path / "out"]
    (tmp_path / "printed.yaml").write_text(stopped(stage, "--print_config", *words))
    again, args = (vars(config.parse(stage, [*map(str, line)])) for line in (["--config", tmp_path / "printed.yaml"], words))
    assert again == args
    assert [file.name for file in tmp_path.iterdir()] == ["printed.yaml"]


def test_saved_options_are_readable_and_complete(tmp_path):
    config.save(parse("pretrain", "--lr", "2e-3"), tmp_path / "c.yaml")
    read = yaml.safe_load((tmp_path / "c.yaml").read_text())
    assert read["stage"] == "pretrain" and read["lr"] == 0.002 and read["rot_theta"] == [0.3]
    assert read.keys() == {o.name for o in OPTIONS.values() if o.belongs("pretrain", "mamp")} | {"dataset", "stage"}
    with pytest.raises(ValueError, match="c.yaml: is the configuration of another stage than finetune"):
        config.parse("finetune", ["--config", str(tmp_path / "c.yaml")])


def test_exceptions_of_a_method(tmp_path):
    """Later is more special: the file, its stage, its method, that method's stage."""
    path = tmp_path / "d.yaml"
    path.write_text(
        "data_path: x.npz\nlr: 1\nepochs: 1\nwarmup_epochs: 1\nstages:\n  pretrain: {epochs: 2, warmup_epochs: 2}\n"
        "methods:\n  umurl: {warmup_epochs: 3, projector_dim: 8, stages: {pretrain: {lr: 4}}}\n  mamp: {depth: 5}\n"
    )
    values = {m: config_files.read_yaml(path, "pretrain", m) for m in ("mamp", "umurl")}
    assert values["mamp"] == {"data_path": "x.npz", "lr": 1, "epochs": 2, "warmup_epochs": 2, "depth": 5}
    assert values["umurl"] == {"data_path": "x.npz", "lr": 4, "epochs": 2, "warmup_epochs": 3, "projector_dim": 8}
    assert config_files.read_yaml(path, "linprobe", "umurl")["epochs"] == 1


def test_a_registered_method_has_the_settings_of_its_encoder(monkeypatch):
    monkeypatch.setitem(METHODS, "like", "umurl")
    like, umurl = (vars(parse("pretrain", "--method", name)) for name in ("like", "umurl"))
    assert like | {"method": "umurl"} == umurl and like["lr_steps"] == [351]


def test_steps_of_the_rate_can_be_taken_away():
    assert parse("pretrain", "--method", "umurl", "--lr_steps").lr_steps == []
    assert parse("pretrain", "--lr_steps", "3", "5").lr_steps == [3, 5]
    with pytest.raises(ValueError, match="--betas: expected at least one argument"):
        parse("pretrain", "--betas")


def test_a_data_set_is_found_from_any_folder(tmp_path, monkeypatch):
    """Paths of configuration files are seen from the working directory, else from the repository; those of the user are his."""
    shutil.copytree(config_files.FOLDER, tmp_path / "repository/config")
    monkeypatch.setattr(config_files, "FOLDER", tmp_path / "repository/config")
    path = Path("data/demo/DEMO_XSub.npz")
    here, there = tmp_path / "here", tmp_path / "repository" / path
    here.mkdir()
    monkeypatch.chdir(here)

    def found(*words):
        return config.parse("pretrain", ["--dataset", "demo", *words]).data_path

    assert found() == str(path)  # nowhere: as the file says
    there.parent.mkdir(parents=True)
    there.touch()
    assert found() == str(there) and found("--data_path", str(path)) == str(path)
    (here / path).parent.mkdir(parents=True)
    (here / path).touch()
    assert found() == str(path)


def test_data_sets_without_a_file_or_that_cannot_be_read_do_not_matter_to_others(tmp_path, monkeypatch):
    """A data set may leave its npz to the command line; what such a run changed is compared with its configuration."""
    shutil.copytree(config_files.FOLDER, tmp_path / "config")
    monkeypatch.setattr(config_files, "FOLDER", tmp_path / "config")
    for name, content in {"mine": "num_frames: 40", "empty": "", "half": "a: [", "list": "- 1", "old": "data_path:"}.items():
        (tmp_path / f"config/dataset/{name}.yaml").write_text(content)
    config_files.npz_names.cache_clear()
    try:
        assert config.parse("pretrain", ["--data_path", "NTU60_XSub.npz"]).dataset == "ntu60_xsub"
    finally:
        config_files.npz_names.cache_clear()
    args = config.parse("pretrain", ["--dataset", "mine", "--data_path", "x.npz", "--lr", "2e-3"])
    assert args.num_frames == 40 and config.overridden(args) == {"lr": 2e-3}
    (tmp_path / "config/dataset/mine.yaml").write_text("num_frames: [")  # edited during the run
    assert config.overridden(args) == {"lr": 2e-3}


def test_a_result_names_what_was_overridden(tmp_path):
    """What --config and the command line changed of the data set's configuration; not how fast it runs, nor its seed."""
    (tmp_path / "mine.yaml").write_text("mask_ratio: 0.8\nrot_theta: 0.3\n")  # the second is the default
    line = ["--dataset", "ntu60_xsub", "--config", str(tmp_path / "mine.yaml")]
    more = ["--seed", "3", "--lr", "2e-3", "--batch_size", "8", "--enable_amp", "--betas", "0.9", "0.95", "--epochs", "10"]
    assert config.overridden(config.parse("pretrain", [*line, *more])) == {"mask_ratio": 0.8, "lr": 2e-3, "epochs": 10}
    assert config.overridden(config.parse("finetune", ["--dataset", "ucla"])) == {}
    assert config.overridden(config.parse("linprobe", ["--data_path", "mine.npz"])) == {}


def test_a_known_data_set_without_its_settings_is_pointed_out(capfd):
    """An npz of NW-UCLA would be trained with 120 frames and the paper's model; whoever chose that, or a configuration, knows."""

    def printed(*words, stage="pretrain"):
        config.parse(stage, ["--data_path", "mine/UCLA_XView_body_minmax.npz", *words])
        return capfd.readouterr().err

    assert "is that of --dataset ucla, but without this option its settings do not apply: num_frames 40" in printed()
    assert "num_frames" not in printed("--num_frames", "30")
    assert not printed("--dataset", "ucla") and not printed("--config", str(config_files.FOLDER / "small.yaml"))
    assert not printed("--data_path", "mine.npz")


def test_what_a_data_set_overrides_in_a_users_configuration_is_pointed_out(tmp_path, capfd):
    """--dataset comes after --config, as documented, but a file of one's own is easily expected to count."""
    own = tmp_path / "own.yaml"
    own.write_text("decoder_depth: 5\nmask_ratio: 0.8\n")
    config.parse("pretrain", ["--config", str(own), "--dataset", "ntu60_xview"])
    assert f"{own}: --dataset ntu60_xview overrides its decoder_depth 5 with decoder_depth 3" in capfd.readouterr().err
    config.parse("pretrain", ["--config", str(own), "--dataset", "ntu60_xview", "--decoder_depth", "4"])
    config.parse("pretrain", ["--config", str(own), "--dataset", "ntu120_xsub", "--motion_aware_tau", "0"])
    config.save(config.parse("pretrain", ["--dataset", "ucla", "--epochs", "7", "--rot_theta", "0.1"]), tmp_path / "run.yaml")
    assert config.parse("pretrain", ["--config", str(tmp_path / "run.yaml")]).epochs == 7
    assert not capfd.readouterr().err
    assert config.parse("pretrain", ["--config", str(tmp_path / "run.yaml"), "--dataset", "ucla"]).epochs == 100
    assert "--dataset ucla overrides its rot_theta 0.1, epochs 7 with rot_theta 0.3 1.0 0.3, epochs 100" in capfd.readouterr().err


def test_a_batch_that_is_larger_than_an_update_is_pointed_out(capfd):
    config.parse("finetune", ["--dataset", "ntu60_xsub", "--batch_size", "96"])
    assert "batch_size 96: an update has only 48 samples; see --effective_batch_size" in capfd.readouterr().err
    with pytest.raises(SystemExit):  # also where the resulting values are looked at
        config.parse("pretrain", ["--dataset", "demo", "--batch_size", "512", "--print_config"])
    assert "batch_size 512: an update has only" in capfd.readouterr().err
    config.parse("pretrain", ["--dataset", "demo", "--min_lr", "1e-5", "--lr_steps", "20", "40"])
    assert "min_lr 1e-05: has no effect, the learning rate falls in steps (--lr_steps 20 40)" in capfd.readouterr().err
    for words in (
        ["--batch_size", "24"],
        ["--batch_size", "96", "--accum_iter", "1"],
        ["--batch_size", "96", "--effective_batch_size", "96"],
    ):
        config.parse("finetune", ["--dataset", "ntu60_xsub", *words])
    assert not capfd.readouterr().err


def test_small_data_have_small_updates_in_every_stage():
    """Also in tuning, whose own 128 samples are more than some dozens of sequences."""
    small = ["--config", str(config_files.FOLDER / "small.yaml"), "--data_path", "mine.npz"]
    for stage in ("pretrain", "tune", "linprobe", "finetune"):
        assert config.parse(stage, small).effective_batch_size <= 32, stage


def test_a_complaint_about_many_numbers_is_short():
    """Those of a damaged checkpoint may be thousands."""
    with pytest.raises(ValueError, match="^test_p_interval 0.1 0.1") as complaint:
        validation.check({"test_p_interval": [0.1] * 50_000})
    assert len(str(complaint.value)) < 400


def test_a_choice_among_numbers(file):
    with pytest.raises(ValueError, match="a.yaml: views: 3 is not one of 1, 2"):
        parse("tune", "--config", file("views: 3"))


def test_a_finetune_of_the_command_line_is_not_lost_to_an_eval_of_a_file(file, shared):
    judged = shared("parity/released_linprobe_tiny25.pth")
    with pytest.raises(ValueError, match="finetune other.pth: has no effect with eval .*; give one"):
        parse("linprobe", "--config", file(f"eval: {judged}"), "--finetune", "other.pth", "--data_path", "x.npz")
    args = parse("linprobe", "--config", file("finetune: other.pth"), "--eval", judged, "--data_path", "x.npz")
    assert args.eval == str(judged)  # a run's configuration names its encoder, and its classifier may be judged

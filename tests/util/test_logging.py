"""What a run leaves in TensorBoard, read back with TensorBoard's own reader, and in Weights & Biases, by a stand-in."""

import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

import main_finetune
import main_linprobe
import main_pretrain
from tests.runs import read
from util import errors, logging, tracking

ROOT = Path(__file__).resolve().parents[2]


def events(folder):
    return EventAccumulator(str(folder)).Reload()


def session_options(found):
    """{option: value} of the one session of HPARAMS in an EventAccumulator's folder."""
    (content,) = (c for t, c in found.PluginTagToContent("hparams").items() if t == "_hparams_/session_start_info")
    info = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in info.hparams.items()}


def text_of(folder, tag):
    """[(step, text)]; only the reader behind TensorBoard's pages leaves out texts that a run wrote anew."""
    found = plugin_event_accumulator.EventAccumulator(str(folder)).Reload().Tensors(f"{tag}/text_summary")
    return [(event.step, event.tensor_proto.string_val[0].decode()) for event in found]


def test_tensorboard_has_the_documented_names(finished):
    documented = (ROOT / "docs/report.md").read_text()
    for stage in ("pretrain", "linprobe", "finetune"):
        found, log = events(finished / stage), read(finished / stage, "log.jsonl")
        tags = found.Tags()
        assert set(tags["scalars"]) == {f"{stage}/{name}" for name in set().union(*log) - {"epoch"}}
        named = (*tags["scalars"], *tags["images"], f"{stage}/command", f"{stage}/config")
        assert all(f"`{tag.removeprefix(f'{stage}/')}`" in documented for tag in named)
        assert [e.step for e in found.Scalars(f"{stage}/train_loss")] == [line["epoch"] + 1 for line in log]
        assert tags["images"] == ([] if stage == "pretrain" else [f"{stage}/confusion"])
    assert [image.step for image in found.Images("finetune/confusion")] == [4]  # short epochs: only the last one's


def test_tensorboard_says_how_a_run_was_made(finished):
    found, args = events(finished / "linprobe"), (finished / "linprobe/config.yaml").read_text()
    ((step, shown),) = text_of(finished / "linprobe", "linprobe/config")
    assert step == 1 and [line.removeprefix("    ") for line in shown.splitlines()] == args.splitlines()
    ((step, shown),) = text_of(finished / "linprobe", "linprobe/command")
    assert (step, shown.strip()) == (1, read(finished / "linprobe")["command"])
    options, result = session_options(found), read(finished / "linprobe")
    changed = {name: " ".join(map(str, v)) if isinstance(v, list) else v for name, v in result["overridden"].items()}
    named = {"method": "mamp", "dataset": "hostile", "seed": 0, "finetune": str(finished / "pretrain/checkpoint-2.pth")}
    assert options == named | changed and options["num_frames"] == 8 and "lr" not in options  # 0.1 is the stage's own
    assert "_hparams_/session_end_info" in found.PluginTagToContent("hparams")
    assert found.Scalars("linprobe/test_acc1")[-1].value == pytest.approx(result["last"]["test_acc1"], abs=1e-4)


def test_a_run_that_goes_on_repeats_nothing(invented, options, tmp_path):
    """Here from an epoch before the last one that TensorBoard knows, as after a kill, and with more epochs."""
    line = options("linprobe", invented, tmp_path, "--save_freq", 1)
    main_linprobe.main([*line, "--epochs", "3"])
    main_linprobe.main([*line, "--epochs", "4", "--resume", str(tmp_path / "checkpoint-1.pth")])
    main_linprobe.main([*line, "--epochs", "4", "--resume", "auto"])  # nothing is left to do
    found = events(tmp_path)
    assert [event.step for event in found.Scalars("linprobe/lr")] == [1, 2, 3, 4]
    assert [step for step, _ in text_of(tmp_path, "linprobe/config")] == [1, 3]
    assert [event.step for event in found.Images("linprobe/confusion")] == [4]
    assert session_options(found).items() >= {"dataset": "invented", "epochs": 4}.items()


def test_a_run_that_was_killed_after_an_unsaved_first_epoch_repeats_nothing(tmp_path):
    args = SimpleNamespace(output_dir=str(tmp_path), log_dir=None, stage="finetune", epochs=9)
    for loss in (3.0, 2.0):
        time.sleep(1.1)  # files of TensorBoard are named by the second
        logging.Log(args).epoch(0, {"train_loss": loss})
    assert [(event.step, event.value) for event in events(tmp_path).Scalars("finetune/train_loss")] == [(1, 2.0)]
    assert len(text_of(tmp_path, "finetune/command")) == len(read(tmp_path, "log.jsonl")) == 1


def test_pictures_are_some_seconds_apart(tmp_path, monkeypatch, capsys):
    now = SimpleNamespace(monotonic=lambda: now.seconds, time=lambda: now.seconds, seconds=0)
    monkeypatch.setattr(logging, "time", now)
    log, drawn = logging.Log(SimpleNamespace(output_dir=tmp_path, log_dir=None, stage="finetune", epochs=99)), []

    def at(seconds, draw=lambda: np.zeros((2, 3, 3), np.uint8), must=False):
        now.seconds = seconds
        log.picture("confusion", seconds, lambda: drawn.append(seconds) or draw(), must)

    at(logging.PICTURE_SECONDS - 1)  # a run of some seconds has the last one alone
    at(logging.PICTURE_SECONDS + 1)
    at(logging.PICTURE_SECONDS + 9)
    at(logging.PICTURE_SECONDS + 10, must=True)
    at(2 * logging.PICTURE_SECONDS + 9)
    assert drawn == [21, 30]
    at(50, draw=lambda: 1 / 0)
    at(60)
    at(70)
    assert drawn == [21, 30, 50, 70]
    assert "warning: no picture 'confusion' for TensorBoard (division by zero)" in capsys.readouterr().out
    assert [image.step for image in events(tmp_path).Images("finetune/confusion")] == [22, 31, 71]


# ---- Weights & Biases ---------------------------------------------------------------------------------------------------


class StandIn(ModuleType):
    """What util.tracking uses of the package wandb; `runs` are those begun, with the options and all that they were sent."""

    class Error(Exception):
        pass

    class Image(SimpleNamespace):
        def __init__(self, array):
            super().__init__(shape=array.shape)

    def __init__(self):
        super().__init__("wandb")
        self.runs = []

    def init(self, **options):
        run = SimpleNamespace(options=options, rows=[], summary={}, finished=False)
        run.log = lambda values, step: run.rows.append((step, values))
        run.finish = lambda: setattr(run, "finished", True)
        self.runs.append(run)
        return run


@pytest.fixture
def wandb(monkeypatch):
    module = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_wandb_gets_what_tensorboard_gets_and_goes_on_with_its_run(wandb, invented, options, tmp_path):
    line = options("finetune", invented, tmp_path, "--save_freq", 1, "--wandb", "newcomers")
    main_finetune.main([*line, "--epochs", "2"])
    main_finetune.main([*line, "--epochs", "3", "--resume", "auto"])
    main_finetune.main([*options("finetune", invented, tmp_path / "other", "--wandb"), "--epochs", "2"])
    first, second, other = wandb.runs
    assert first.options["id"] == second.options["id"] != other.options["id"]
    assert (first.options["project"], other.options["project"]) == ("newcomers", "mamp")
    config_of_run = first.options["config"]
    assert (config_of_run["lr"], config_of_run["command"]) == (5e-3, read(tmp_path)["command"])
    scalars = [(step, row) for run in (first, second) for step, row in run.rows if "finetune/confusion" not in row]
    found = events(tmp_path)
    assert [step for step, _ in scalars] == [1, 2, 3] and scalars[0][1].keys() == set(found.Tags()["scalars"])
    assert scalars[2][1]["finetune/train_loss"] == read(tmp_path, "log.jsonl")[2]["train_loss"]
    (picture,) = (row["finetune/confusion"] for _, row in second.rows if "finetune/confusion" in row)
    assert picture.shape[2] == 3 and second.finished and second.summary["result"] == read(tmp_path)
    assert second.summary["finetune/test_acc1"] == read(tmp_path)["last"]["test_acc1"]


def test_wandb_that_cannot_be_used_is_one_line_at_the_start(wandb, invented, options, tmp_path, monkeypatch, capsys):
    def stopped():
        with pytest.raises(SystemExit) as stop:
            errors.main(lambda: main_pretrain.main(options("pretrain", invented, tmp_path, "--epochs", 2, "--wandb")))
        assert stop.value.code == 2 and not (tmp_path / "checkpoint-last.pth").exists()
        return capsys.readouterr().err

    def refuse(**options):
        raise wandb.Error("No API key\nconfigured")

    monkeypatch.setattr(wandb, "init", refuse)
    assert stopped() == "error: wandb: No API key configured; log in with `wandb login`, or set WANDB_MODE=offline\n"
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    assert stopped() == "error: wandb: the package is not installed; pip install wandb, or leave --wandb out\n"


def test_other_ranks_send_nothing(wandb, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    args = SimpleNamespace(wandb="mamp", stage="pretrain", output_dir=str(tmp_path), quiet=False)
    tracking.start(args)
    tracking.log({"pretrain/lr": 1.0}, 1)
    assert wandb.runs == [] and list(tmp_path.iterdir()) == []
    monkeypatch.setenv("RANK", "0")
    tracking.start(args)
    tracking.log({"pretrain/lr": 1.0}, 1)
    assert wandb.runs[0].rows == [(1, {"pretrain/lr": 1.0})]
    tracking.finish({"stage": "pretrain", "last": {}})


@pytest.mark.parametrize("line", ["{broken}", "{}", '{"epoch": "two"}'])
def test_a_damaged_line_of_the_log_is_named(line, tmp_path):
    (tmp_path / "log.jsonl").write_text(f'{{"epoch": 0}}\n{line}\n')
    with pytest.raises(ValueError, match=f"{tmp_path}/log.jsonl: a line is damaged .*; delete that line, or the file"):
        logging.Log(SimpleNamespace(output_dir=tmp_path, log_dir=None, stage="finetune", epochs=9), first_epoch=1)
    assert (tmp_path / "log.jsonl").read_text().endswith(f"{line}\n")

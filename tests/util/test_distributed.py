"""Two processes do what one does."""

import contextlib
import csv
import json

import numpy as np
import pytest
import torch

import main_finetune
import main_linprobe
from tests.processes import group
from tests.util import two_processes
from tests.util.two_processes import DECODERS
from util import checkpoint, distributed, errors


@pytest.fixture(scope="module")
def runs(invented, fork, tmp_path_factory):
    """{number of processes: folder of results}."""
    folders = {world: tmp_path_factory.mktemp(f"world{world}") for world in (1, 2)}
    for world, folder in folders.items():
        ranks = [fork(two_processes.main, invented, folder, environment) for environment in (group(2) if world == 2 else [{}])]
        for process in ranks:
            process.join(200)
            assert process.exitcode == 0, (folder / "stderr").read_text()[-3000:]
    return folders


@pytest.fixture(scope="module")
def results(runs):
    return {world: torch.load(folder / "results.pth", weights_only=True) for world, folder in runs.items()}


def test_umurl_in_two_processes_is_umurl_in_one(results):
    """Gathered batch and shared BatchNorm statistics: weights after three updates, running statistics and the loss."""
    assert results[1]["rank"] == [0] and results[2]["rank"] == [0, 1]
    one, two = results[1]["umurl"], results[2]["umurl"]
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
    moved = 0
    for key, value in one["state"].items():
        assert torch.allclose(value, two["state"][key], rtol=1e-4, atol=1e-6), key
        moved += bool((value != 0).any()) and key.endswith("running_mean")
    assert moved == 6


def assert_same_updates(results, decoder, reference, names):
    """With the learning rate 1 the weights are the gradients of the epoch, step by step."""
    reference = results[1][decoder][reference]
    for world in (1, 2):
        for name in names:
            other = results[world][decoder][name]
            assert other["loss"] == pytest.approx(reference["loss"], rel=1e-5), (world, name)
            for key, value in reference["state"].items():
                assert torch.allclose(value, other["state"][key], atol=2e-5), (world, name, key)


@pytest.mark.parametrize("decoder", DECODERS)
def test_gradients_of_an_effective_batch_are_the_same(results, decoder):
    assert [results[world][decoder]["pretrain"]["accum_iter"] for world in (1, 2)] == [4, 2]
    assert_same_updates(results, decoder, "pretrain", ("pretrain", "pretrain_whole"))


@pytest.mark.parametrize("decoder", DECODERS)
def test_left_out_bodies_do_not_make_the_update_depend_on_its_parts(results, decoder):
    """1 × 8, 2 × 4 and 8 × 1 samples, in one process and in two; some parts have no body at all."""
    assert_same_updates(results, decoder, "skipping_whole", ("skipping", "skipping_alone", "skipping_whole"))


@pytest.mark.parametrize("name", ["evaluation", "evaluation_all"])
def test_every_test_sample_counts_once(results, name):
    assert results[1][name]["test_samples"] == 13
    assert results[2][name] == pytest.approx(results[1][name])


def test_linear_probe_learns_the_same_weights(runs):
    for name in ("augmented", "fixed"):
        one, two = (checkpoint.load(runs[w] / f"linprobe-{name}" / "checkpoint-last.pth")["model"] for w in (1, 2))
        assert one.keys() == two.keys()
        for key in one:  # a rank's BatchNorm sees its own half only
            assert ".0." in key and "head" in key or torch.allclose(one[key], two[key], atol=1e-5), (name, key)


@pytest.mark.parametrize("folder", ["linprobe-augmented", "linprobe-fixed", "finetune"])
@pytest.mark.parametrize("world", [1, 2])
def test_the_reported_result_is_the_saved_models(runs, invented, tmp_path, options, world, folder):
    stage, more = ("finetune", {"head_dim": 8}) if folder == "finetune" else ("linprobe", {})
    reported = json.loads((runs[world] / folder / "result.json").read_text())["last"]
    main = {"linprobe": main_linprobe, "finetune": main_finetune}[stage].main
    main(options(stage, invented, tmp_path, "--eval", runs[world] / folder / "checkpoint-last.pth", **more))
    evaluated = json.loads((tmp_path / "result.json").read_text())["last"]
    assert evaluated == pytest.approx({k: reported[k] for k in evaluated}, rel=1e-6)
    assert evaluated["test_samples"] == 13


def test_retrieval_by_two_processes(runs):
    one, two = (json.loads((runs[world] / "retrieval/result.json").read_text()) for world in (1, 2))
    for key in ("last", "standardised_features", "labels"):
        assert one[key] == pytest.approx(two[key]), key
    assert all((runs[world] / "retrieval/scores.npz").is_file() for world in (1, 2))


def test_two_processes_write_one_log(runs):
    for folder in ("pretrain", "linprobe-augmented", "linprobe-fixed", "finetune"):
        lines = (runs[2] / folder / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == [0, 1]


def test_one_process_needs_no_group():
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert distributed.gather("a") == ["a"] and distributed.mean(3) == 3
    model = torch.nn.Linear(1, 1)
    assert distributed.wrap(model, torch.device("cpu")) is model is distributed.unwrap(model)


def fails():
    raise ValueError("alone")


@pytest.mark.parametrize("function, left", [(fails, "control"), (list, None)])
def test_a_process_that_fails_does_not_wait_for_the_others(function, left, monkeypatch):
    """To take NCCL down is to wait for processes that wait for this one; only the group that talks on the host is left."""
    destroyed = []
    monkeypatch.setattr(distributed.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed.dist, "get_rank", lambda: 1)
    monkeypatch.setattr(distributed.dist, "destroy_process_group", destroyed.append)
    monkeypatch.setattr(distributed, "_control", ["control"])  # there with NCCL alone
    with pytest.raises(SystemExit) if function is fails else contextlib.nullcontext():
        errors.main(function)
    assert destroyed == [left] and distributed._control == []


def test_a_gpu_is_chosen_for_everything_that_follows(monkeypatch):
    """Also where attention chooses its kernel."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    torch.backends.cuda.enable_cudnn_sdp(True)
    assert distributed.setup("cuda:2") == torch.device("cuda", 2) and chosen == [torch.device("cuda", 2)]
    assert not torch.backends.cuda.cudnn_sdp_enabled() and torch.backends.cuda.flash_sdp_enabled()


def test_device_that_is_not_there():
    with pytest.raises(ValueError, match="device.*cuda:99"):
        distributed.setup("cuda:99")


def test_subsets_of_several_processes(runs):
    """Shared: the same 8 labels whatever the number of processes. Released: each process draws its own."""
    draws = [set(np.random.RandomState(rank).permutation(24)[:8]) for rank in range(2)]
    for world, folder in runs.items():
        expected = {"shared": draws[0], "released": set().union(*draws[:world])}
        for subset, rows in expected.items():
            with open(folder / subset / "subset.csv") as file:
                assert [int(row["row"]) for row in csv.DictReader(file)] == sorted(rows), (world, subset)
            assert json.loads((folder / subset / "result.json").read_text())["labels"] == len(rows)
    assert len(draws[0] | draws[1]) > 8

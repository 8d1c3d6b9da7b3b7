"""Pre-training that starts from the weights of another one: --finetune of main_pretrain.py."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

import main_pretrain
from model import build
from scripts import compare
from tests.conftest import invent
from tests.runs import MAINS, assert_same_end, read, same, weights
from util import checkpoint, provenance, results
from util.options import METHODS

STILL = ("--epochs", 1, "--lr", 0, "--min_lr", 0)  # nothing is learned, so the last weights are the first


@pytest.fixture(scope="module")
def first(invented, options, tmp_path_factory):
    """The checkpoint of a pre-training with the paper's decoder."""
    out = tmp_path_factory.mktemp("first")
    main_pretrain.main(options("pretrain", invented, out, "--epochs", 2))
    return out / "checkpoint-1.pth"


@pytest.fixture
def go_on(invented, options, tmp_path):
    """go_on(file, ...) pre-trains from a file and returns the last weights."""

    def run(path, *more, data=invented, out="more"):
        line = {"num_frames": None, "decoder_dim_feat": None, "decoder_depth": None}
        main_pretrain.main(options("pretrain", data, tmp_path / out, "--finetune", path, *more, **line))
        return weights(tmp_path / out / "checkpoint-last.pth")

    return run


def other_data(folder, seed=1, **changes):
    path = folder / "other.npz"
    np.savez(path, **invent(seed, **changes))
    return path


def encoder_of(state):
    return {key: value for key, value in state.items() if not key.startswith("decoder_") and key != "mask_token"}


def test_it_starts_with_encoder_and_decoder_and_learns(first, go_on, tmp_path):
    assert same(go_on(first, *STILL), weights(first))
    assert not same(go_on(first, "--epochs", 1, data=other_data(tmp_path), out="learned"), weights(first))
    assert read(tmp_path / "learned")["encoder"]["path"] == str(first)


def test_another_decoder_is_new_and_the_encoder_is_the_old_one(first, go_on, capsys):
    after = go_on(first, *STILL, "--decoder", "cross", "--decoder_depth", 2)
    assert same(encoder_of(after), encoder_of(weights(first))) and "decoder_blocks.1.attn.kv.weight" in after
    assert f"note: {first}: has no such decoder" in capsys.readouterr().err


def test_other_lengths_resize_both_embeddings(first, go_on):
    after, before = go_on(first, *STILL, "--num_frames", 12), weights(first)
    for key in ("temp_embed", "decoder_temp_embed"):
        wanted = interpolate(before.pop(key).permute(0, 3, 1, 2), (3, 1), mode="bicubic", align_corners=False)
        torch.testing.assert_close(after.pop(key), wanted.permute(0, 2, 3, 1))
    assert same(after, before)


def test_classifier_gives_its_encoder(first, go_on, invented, options, tmp_path, capsys):
    MAINS["finetune"].main(options("finetune", invented, tmp_path / "tuned", "--epochs", 1, "--finetune", first))
    classifier = tmp_path / "tuned/checkpoint-0.pth"
    after = go_on(classifier, *STILL, "--decoder_depth", 1)
    assert same(encoder_of(after), {k: v for k, v in weights(classifier).items() if not k.startswith("head.")})
    assert "has no such decoder" in capsys.readouterr().err


def test_released_file_goes_on_whole(shared, tmp_path):
    """Sizes, decoder included, are taken from the file."""
    file, data = shared("parity/released_pretrain_tiny25.pth"), other_data(tmp_path, joints=25, bodies=2)
    line = ["--data_path", data, "--finetune", file, "--output_dir", tmp_path / "out", "--device", "cpu", "--num_workers", 0]
    line += [*STILL, "--num_heads", 4, "--min_frames", 4, "--warmup_epochs", 0, "--no-report"]
    main_pretrain.main(list(map(str, line)))
    assert same(weights(tmp_path / "out/checkpoint-0.pth"), checkpoint.load(file)["model"])


def test_umurl(hostile, tmp_path):
    line = "--method umurl --num_frames 8 --min_frames 4 --dim_feat 8 --depth 1 --num_heads 2 --projector_dim 8 --batch_size 4"
    line = [*line.split(), "--effective_batch_size", "4", "--data_path", str(hostile), "--device", "cpu", "--num_workers", "0"]
    line += "--no-report --no-enable_amp --epochs 1 --lr 0".split()
    main_pretrain.main([*line, "--output_dir", str(tmp_path / "a"), "--lr", "1e-3"])
    first = tmp_path / "a/checkpoint-0.pth"
    more = ["--finetune", str(first), "--output_dir", str(tmp_path / "b")]
    main_pretrain.main([*line, *more])
    parameters = {key: value for key, value in weights(first).items() if "running_" not in key and "num_batches" not in key}
    assert same(parameters, {key: weights(tmp_path / "b/checkpoint-0.pth")[key] for key in parameters})


def test_resumed_bit_for_bit_and_not_from_another_file(first, invented, options, tmp_path):
    line = ("--finetune", first, "--epochs", 3)
    main_pretrain.main(options("pretrain", invented, tmp_path / "whole", *line, "--save_freq", 1))
    half = ("--resume", tmp_path / "whole/checkpoint-1.pth")
    main_pretrain.main(options("pretrain", invented, tmp_path / "half", *line, "--save_freq", 1, *half))
    assert same(*(weights(tmp_path / run / "checkpoint-2.pth") for run in ("whole", "half")))
    stopped = options("pretrain", invented, tmp_path / "parts", *line, "--resume", "auto")
    main_pretrain.main([*stopped, "--epochs", "2"])
    main_pretrain.main([*stopped, "--epochs", "3"])
    assert [line["epoch"] for line in read(tmp_path / "parts", "log.jsonl")] == [0, 1, 2]
    assert read(tmp_path / "parts")["encoder"]["path"] == str(first)
    with pytest.raises(ValueError, match="began with the encoder .*, now it is .*parts"):
        other = tmp_path / "parts/checkpoint-2.pth"
        main_pretrain.main(
            options("pretrain", invented, tmp_path / "whole", "--resume", "auto", "--finetune", other, "--epochs", 3)
        )
    main_pretrain.main(options("pretrain", invented, tmp_path / "again", *line))
    assert_same_end(tmp_path / "whole", tmp_path / "again", 3)


def test_tables_keep_it_apart(first, invented, options, go_on, tmp_path):
    go_on(first, "--epochs", 1)
    file = tmp_path / "more/checkpoint-0.pth"
    about = provenance.describe(checkpoint.load(file), file)
    assert about["initial_weights"] == "mamp of invented, epoch 2" and "finetune" not in about
    for name, encoder in (("one", first), ("two", file)):
        MAINS["retrieval"].main(options("retrieval", invented, tmp_path / "judged" / name, "--finetune", encoder))
    found, complaints = results.find([tmp_path / "judged"])
    assert not complaints
    assert [result.settings.get("pretrain_from") for result in found] == [None, "mamp of invented, epoch 2"]


def test_a_part_of_the_decoder_is_not_taken(options, invented, go_on, tmp_path, capsys):
    """A shallower one would get the lower blocks, one of another kind with the same sizes all but the mask token."""
    main_pretrain.main(options("pretrain", invented, tmp_path / "deep", "--epochs", 1, "--decoder", "cross", decoder_depth=2))
    deep = tmp_path / "deep/checkpoint-0.pth"
    for number, more in enumerate((["--decoder_depth", 1, "--decoder", "cross"], ["--decoder", "query", "--query_frames", 4])):
        line = [*STILL, *more, "--decoder_dim_feat", 8, *(["--decoder_depth", 2] if number else [])]
        after, before = go_on(deep, *line, out=f"more{number}"), weights(deep)
        assert same(encoder_of(after), encoder_of(before))
        assert not torch.equal(after["decoder_embed.weight"], before["decoder_embed.weight"])
    assert f"note: {deep}: has no such decoder" in capsys.readouterr().err


def test_what_it_began_with_is_in_words():
    first = {"method": "mamp", "dataset": "ntu60_xsub", "stage": "pretrain", "epoch": 399, "format": "released"}
    assert provenance.initial_weights(first) == "mamp of ntu60_xsub, epoch 400, released"
    later = first | {"stage": "finetune", "epoch": 9, "format": "ours", "initial_weights": "mamp of x, epoch 1"}
    assert provenance.initial_weights(later) == "mamp of ntu60_xsub, finetune, epoch 10 (from mamp of x, epoch 1)"
    assert provenance.initial_weights({}) == "weights of unknown data"


def test_a_registered_method_goes_on_under_its_name(first, go_on, tmp_path, monkeypatch):
    monkeypatch.setitem(build.PRETRAINERS, "mine", build.mamp)
    monkeypatch.setitem(METHODS, "mine", "mamp")
    go_on(first, "--method", "mine", "--epochs", 1, out="mine")
    go_on(tmp_path / "mine/checkpoint-0.pth", "--epochs", 1)
    assert read(tmp_path / "mine")["method"] == read(tmp_path / "more")["method"] == "mine"


def test_another_target_is_said(first, go_on, capsys):
    go_on(first, "--target", "joint", "--motion_aware_tau", 0, *STILL)
    assert "was trained with target motion, now joint, motion_aware_tau 0.8, now 0" in capsys.readouterr().err


def test_not_compared_with_what_began_at_random(first, go_on, tmp_path):
    go_on(first, "--epochs", 1)
    found, _ = results.find([tmp_path])
    with pytest.raises(ValueError, match="more: began with the weights of .*: not comparable"):
        compare.check_comparable(found, [], None)


def test_mistakes(first, go_on, tmp_path):
    with pytest.raises(ValueError, match="trained on 5 joints, the data has 6; an encoder cannot change its skeleton"):
        go_on(first, data=other_data(tmp_path, joints=6))
    with pytest.raises(ValueError, match="made with dim_feat 8, the command line says 16"):
        go_on(first, "--dim_feat", 16)
    with pytest.raises(ValueError, match="holds weights of mamp, not of umurl"):
        go_on(first, "--method", "umurl")

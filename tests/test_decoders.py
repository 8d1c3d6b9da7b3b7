"""The query and cross decoders through the commands: what they leave, how they go on, and what is refused."""

import numpy as np
import pytest

import main_finetune
import main_linprobe
import main_pretrain
import main_retrieval
from tests.conftest import invent
from tests.runs import COMPILES, read, same, weights
from util import checkpoint, config, config_files

OF = {
    "query": {"decoder": "query", "query_frames": 4, "loss_weight": "motion", "loss_weight_windows": 4},
    "cross": {"decoder": "cross", "predict_ratio": 0.5},
}
SWITCHES = "--skip_empty_bodies --enable_amp --epochs 4 --effective_batch_size 8 --save_freq 1 --decoder_depth 2".split()


def losses(folder):
    return [line["train_loss"] for line in read(folder, "log.jsonl")]


@pytest.fixture(params=OF, scope="module")
def decoder(request):
    return request.param


@pytest.fixture(scope="module")
def run(decoder, options, tmp_path_factory):
    """(data, command line without its folder, folder) of four epochs in 16 bits; every third second body is empty."""
    folder, arrays = tmp_path_factory.mktemp(decoder), invent(bodies=2)
    arrays["x_train"].reshape(24, 12, 2, 5, 3)[::3, :, 1] = 0
    np.savez(folder / "data.npz", **arrays)

    def line(out, *more, own=OF[decoder]):
        return options("pretrain", folder / "data.npz", out, *SWITCHES, *more, **own)

    main_pretrain.main(line(folder / "pretrain"))
    return folder / "data.npz", line, folder / "pretrain"


def test_every_stage_takes_what_they_pretrain(decoder, run, options, tmp_path):
    data, _, pretrained = run
    assert losses(pretrained)[-1] < losses(pretrained)[0] < 3
    assert {key: read(pretrained)[key] for key in ("method", "decoder")} == {"method": "mamp", "decoder": decoder}
    for stage, main in {"linprobe": main_linprobe, "finetune": main_finetune, "retrieval": main_retrieval}.items():
        more = () if stage == "retrieval" else ("--epochs", 1)
        main.main(options(stage, data, tmp_path / stage, "--finetune", pretrained / "checkpoint-3.pth", *more))
        encoder = read(tmp_path / stage)["encoder"]
        assert encoder["decoder"] == decoder and encoder["predict_ratio"] == OF[decoder].get("predict_ratio", 0.25)


def test_a_resumed_run_ends_with_the_same_bits(run, tmp_path):
    _, line, pretrained = run
    main_pretrain.main(line(tmp_path, "--resume", pretrained / "checkpoint-1.pth"))
    assert same(*(weights(folder / "checkpoint-3.pth") for folder in (pretrained, tmp_path)))


def test_the_weights_alone_tell_the_decoder(decoder, run, tmp_path, capsys):
    _, line, pretrained = run
    content = checkpoint.load(pretrained / "checkpoint-3.pth")
    del content["config"]
    checkpoint.save(tmp_path / "weights.pth", content)
    checkpoint.main([tmp_path / "weights.pth"])
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if len(line.split()) > 1)
    expected = {"decoder": decoder, "decoder_dim_feat": "8", "decoder_depth": "2", "num_frames": "8"}
    assert (expected | ({"query_frames": "4"} if decoder == "query" else {})).items() <= told.items()
    with pytest.raises(ValueError, match=f"the run began with decoder {decoder}, now it is self"):
        main_pretrain.main(line(tmp_path, "--resume", pretrained / "checkpoint-3.pth", own={}))


@pytest.mark.slow
@pytest.mark.skipif(not COMPILES, reason="torch.compile needs a C++ compiler and, on CPUs, a newer torch than 2.6")
def test_compiled_training_takes_the_same_steps(decoder, invented, options, tmp_path):
    """By its losses: AdamW's steps along weights that hardly matter, a key's bias, follow the rounding of their gradient."""
    for name, more in (("eager", ()), ("compiled", ("--compile",))):
        main_pretrain.main(options("pretrain", invented, tmp_path / name, "--epochs", 2, *more, depth=1, **OF[decoder]))
    assert losses(tmp_path / "eager") == pytest.approx(losses(tmp_path / "compiled"), rel=1e-5)


@pytest.mark.parametrize(
    "words, message",
    [
        ("--decoder query --query_frames 0", "query_frames 0: at least 1"),
        ("--decoder cross --predict_ratio 0", "predict_ratio 0.0: a share, above 0 and at most 1"),
        ("--predict_ratio 0.5", "option predict_ratio: belongs to --decoder cross, this is self"),
        ("--decoder cross --query_frames 4", "option query_frames: belongs to --decoder query, this is cross"),
        ("--loss_weight_k 0.1", "option loss_weight_k: belongs to --loss_weight motion, this is none"),
        ("--loss_weight motion --loss_weight_windows 0", "loss_weight_windows 0: at least 1"),
        ("--loss_weight motion --loss_weight_k -1", "loss_weight_k -1.0: not below 0"),
        ("--method umurl --decoder query", "option decoder: is not one of the method umurl"),
    ],
)
def test_mistakes_are_one_line(words, message):
    with pytest.raises(ValueError, match=message) as error:
        config.parse("pretrain", ["--data_path", "x.npz", "--num_frames", "8", *words.split()])
    assert "\n" not in str(error.value)


def test_data_sets_have_lengths_that_fit(decoder):
    for file in sorted((config_files.FOLDER / "dataset").glob("*.yaml")):
        args = config.parse("pretrain", ["--dataset", file.stem, "--method", "mamp", "--decoder", decoder])
        assert not any(args.num_frames % length for length in (args.query_frames, *args.loss_weight_windows)), file

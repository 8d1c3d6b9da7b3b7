"""An epoch of every kind of training on a pretended GPU: nothing mixes devices, and nothing waits but what is listed."""

import pytest
import torch
import torch.nn.functional as F

import main_linprobe
from feeder.loader import build_feeder, test_loader, train_loader
from model import build
from tests.gpu.rehearsal import CUDA
from util.engine import grad_scaler, outputs, train_one_epoch
from util.lr_decay import param_groups_lrd

test_loader.__test__ = False  # pytest takes its name for a test's
STEPS = 3
# what may wait, how often in an epoch of 3 steps, and why
ALWAYS = {
    "util/engine.py read_losses": 2,  # are the losses finite? every --print_freq (here 2) steps and at the end
    "util/engine.py _check_weights": 1,  # are the weights? at the end
}


def pretraining(args, device=CUDA):
    """(model, optimizer, loss_of, data) of a pre-training."""
    data = build_feeder(args, "train", augment=True, views=build.views(args))
    return *build.pretrainer(args, data, device), data


def epoch(rehearsal, args, model, optimizer, loss_of, data):
    """The waits of one epoch; the data's way to the GPU before it does not count."""
    with rehearsal:
        scaler = grad_scaler(CUDA, args.enable_amp)
        loader = train_loader(data, args, CUDA)
        rehearsal.waits.clear()
        stats = train_one_epoch(model, loader, optimizer, loss_of, 0, args, CUDA, scaler)
    assert stats["train_loss"] == 0 and loader._host.pin_memory
    state = [value for values in optimizer.state.values() for value in values.values() if torch.is_tensor(value)]
    assert state and {tensor.device for tensor in (*state, *model.parameters())} == {CUDA}
    return rehearsal.waits


@pytest.mark.parametrize(
    "words, more",
    [
        ("", {}),
        ("--enable_amp --data_on_device", {}),
        ("--clip_grad 1 --batch_size 4", {}),
        ("--input_stream motion", {}),
        ("--input_stream bone", {"feeder/feeder_ntu.py make": 1}),  # the joints' parents, before the first step
        ("--target joint --motion_aware_tau 0", {}),
        ("--skip_empty_bodies", {"model/transformer.py drop_redundant": STEPS}),  # how many bodies are left
        ("--skip_nonfinite --enable_amp", {"util/engine.py _update": STEPS}),  # may the update be made
        ("--decoder query", {}),
        ("--decoder query --loss_weight motion --enable_amp", {}),
        ("--decoder query --loss_weight motion --skip_empty_bodies", {"model/transformer.py drop_redundant": STEPS}),
        ("--decoder cross", {}),
        ("--decoder cross --enable_amp --batch_size 4", {}),
        ("--decoder cross --skip_empty_bodies", {"model/transformer.py drop_redundant": STEPS}),
        ("--loss_weight motion", {}),
        ("--method umurl", {}),
    ],
)
def test_pretraining(rehearsal, arguments, words, more):
    args = arguments("pretrain", *words.split())
    assert epoch(rehearsal, args, *pretraining(args)) == ALWAYS | more


@pytest.mark.parametrize("words", ["", "--clip_grad 1"])
def test_float16_where_bfloat16_lacks(monkeypatch, rehearsal, arguments, words):
    """The loss is scaled, and the fused optimizer learns on the GPU whether a gradient overflowed."""
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: False)
    args = arguments("pretrain", "--enable_amp", *words.split())
    (model, *rest), seen = pretraining(args), set()
    model.decoder_embed.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    assert epoch(rehearsal, args, model, *rest) == ALWAYS and seen == {torch.float16}


def test_an_optimizer_goes_on_from_a_checkpoint_on_the_host(rehearsal, arguments):
    args = arguments("pretrain")
    model, optimizer, *_ = pretraining(args, torch.device("cpu"))
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    saved = optimizer.state_dict()
    assert all(value.device.type == "cpu" for values in saved["state"].values() for value in values.values())
    model, optimizer, *rest = pretraining(args)
    with rehearsal:
        optimizer.load_state_dict(saved)
    assert len(optimizer.state) == len(list(model.parameters()))
    assert epoch(rehearsal, args, model, optimizer, *rest) == ALWAYS


@pytest.mark.parametrize(
    "words, more",
    [
        ("--enable_amp", {}),
        ("--skip_empty_bodies", {"model/transformer.py forward_features": STEPS}),  # how many bodies differ
        ("--method umurl", {}),
    ],
)
def test_finetuning(rehearsal, arguments, words, more):
    args = arguments("finetune", *words.split())
    data = build_feeder(args, "train", augment=True, views=build.views(args))
    model = build.classifier(args, data, data.num_classes).to(CUDA)
    groups = param_groups_lrd(model, args.weight_decay, layer_decay=args.layer_decay)
    optimizer = torch.optim.AdamW(groups, lr=args.lr, fused=True)

    def loss_of(model, x, label):
        return F.cross_entropy(model(x), label, label_smoothing=args.smoothing)

    assert epoch(rehearsal, args, model, optimizer, loss_of, data) == ALWAYS | more


@pytest.mark.parametrize("words", ["--augment", "--no-augment", "--no-augment --method umurl"])
def test_linear_probe(rehearsal, arguments, words):
    args = arguments("linprobe", *words.split())
    data = build_feeder(args, "train", augment=args.augment)
    model = build.classifier(args, data, data.num_classes).freeze_encoder().to(CUDA).eval()
    heads = build.heads(args, data, data.num_classes, model)
    weights, readout_features = list(heads.parameters()), torch.no_grad()(model.readout_features)
    if not args.augment:
        with rehearsal:
            loader = test_loader(data, args, CUDA)
            data = main_linprobe.Features(*outputs(readout_features, loader, CUDA), CUDA)
        readout_features = dict
    optimizer = torch.optim.SGD(weights, lr=args.lr, momentum=args.momentum)

    def loss_of(heads, x, label):
        return sum(F.cross_entropy(logits, label) for logits in heads(readout_features(x)).values())

    waits = epoch(rehearsal, args, heads, optimizer, loss_of, data)
    encoded = {"model/transformer.py forward_features": STEPS}  # in evaluation mode: how many bodies differ
    assert waits == ALWAYS | (encoded if args.augment else {})
    assert {id(weight) for weight in optimizer.state} == {id(weight) for weight in weights}

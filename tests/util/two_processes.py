"""What test_distributed.py runs once in one process and once in each of two (gloo), see `main`."""

import argparse
from pathlib import Path

import torch

import main_finetune
import main_linprobe
import main_pretrain
import main_retrieval
from feeder.feeder_ntu import Feeder
from feeder.loader import test_loader, train_loader
from model import build
from model.mamp import MAMP
from model.transformer import Transformer
from model.umurl import UmURL
from tests.processes import begin
from tests.runs import SIZE
from util import config, distributed, predictions
from util.engine import train_one_epoch
from util.predictions import Evaluation

CPU = torch.device("cpu")
DECODERS = {
    "self": {},
    "query": {"decoder": "query", "query_frames": 4, "loss_weight": "motion", "loss_weight_windows": (4,)},
    "cross": {"decoder": "cross", "predict_ratio": 0.5},
}


def arguments(**changes):
    """Options of an update of 8 samples in parts of 2, with the learning rate 1."""
    values = dict(batch_size=2, effective_batch_size=8, accum_iter=None, seed=0, num_workers=0, dist_eval=True, print_freq=1)
    values |= dict(enable_amp=False, data_on_device=False, clip_grad=None, skip_nonfinite=False)
    values |= dict(lr=1.0, min_lr=1.0, warmup_epochs=0, epochs=1)
    return config.set_batches(argparse.Namespace(**values | changes))


def predictor(decoder, **more):
    """MAMP whose masks, and what `cross` asks for of them (see `main`), depend on the content alone."""
    torch.manual_seed(0)
    model = MAMP(**SIZE, decoder_dim_feat=8, decoder_depth=1, **DECODERS[decoder], **more)
    model.masking_scores = lambda x, tau: model.motion_intensity(x) + 1e-3 * torch.arange(10)  # no ties
    return model


def descent(model, feeder, loss_of, args):
    """Weights and loss after one epoch of plain gradient descent."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    wrapped = distributed.wrap(model, CPU, static_graph=args.accum_iter == 1)
    stats = train_one_epoch(wrapped, train_loader(feeder, args, CPU), optimizer, loss_of, 0, args, CPU)
    return {"state": model.state_dict(), "loss": stats["train_loss"], "accum_iter": args.accum_iter}


def pretraining(data, decoder, **changes):
    feeder = Feeder(data, "train", [0.5, 1.0], window_size=8, min_frames=4, random_rot=True)
    return descent(predictor(decoder), feeder, lambda m, x, y: m(x, 0.5)[0], arguments(**changes))


def skipping(data, decoder, **changes):
    """The same with bodies that are left out, of which the parts of an update have different numbers."""
    args = arguments(**changes, skip_empty_bodies=True, mask_ratio=0.5, motion_stride=1, motion_aware_tau=0.8)
    loss_of = build.mamp_loss(args)

    def with_gaps(model, x, label):  # two bodies, one, or nobody
        there = torch.stack([label != 2, label == 1], 1)[:, None, None, None]
        return loss_of(model, torch.cat([x, -x], -1) * there, label)

    feeder = Feeder(data, "train", [0.5, 1.0], window_size=8, min_frames=4)
    return descent(predictor(decoder, skip_empty_bodies=True), feeder, with_gaps, args)


def umurl(data):
    """Weights, running statistics and loss after one epoch of plain gradient descent on views without distortions."""
    args = arguments(batch_size=8 // distributed.world_size(), lr=1e-2, min_lr=1e-2)
    torch.manual_seed(0)
    model = UmURL(parents=[0, 0, 1, 1, 3], num_bodies=1, num_frames=8, hidden_size=8, projector_dim=16)
    model.eval().train = lambda mode=True: model  # no distortions, ...
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.training = True  # ... but the batch's statistics
    feeder = Feeder(data, "train", [0.1, 1.0], window_size=8, min_frames=4, views=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    wrapped = distributed.wrap(model, CPU, static_graph=True)
    stats = train_one_epoch(wrapped, train_loader(feeder, args, CPU), optimizer, lambda m, x, y: m(x)[0], 0, args, CPU)
    return {"state": model.state_dict(), "loss": stats["train_loss"]}


def evaluation(data, dist_eval):
    torch.manual_seed(0)
    model = Transformer(**SIZE, num_classes=3, head_dim=8)
    test = test_loader(Feeder(data, "test", window_size=8), arguments(dist_eval=dist_eval), CPU)
    return Evaluation(model, test, CPU)()


def command_line(data, output, *more):
    size = "--dim_feat 8 --depth 2 --num_heads 2 --mlp_ratio 2 --num_frames 8 --min_frames 4".split()
    run = (
        f"--data_path {data} --output_dir {output} --device cpu --num_workers 0 --epochs 2 --warmup_epochs 0 --no-report".split()
    )
    return [*size, *run, "--batch_size", "4", "--effective_batch_size", "8", *more]


def main(data, output, environment):
    """Leave results.pth in the folder `output` (rank 0), and what the mains write in folders beside it."""
    begin(environment, f"{output}/stdout", f"{output}/stderr")
    distributed.setup("cpu")
    drawn, whole = torch.rand_like, {"batch_size": 8 // distributed.world_size()}
    torch.rand_like = lambda like: torch.linspace(0, 0.9, like.shape[1]).expand_as(like)
    results = {
        decoder: {
            "pretrain": pretraining(data, decoder),
            "pretrain_whole": pretraining(data, decoder, **whole),
            "skipping": skipping(data, decoder),
            "skipping_alone": skipping(data, decoder, batch_size=1),
            "skipping_whole": skipping(data, decoder, **whole),
        }
        for decoder in DECODERS
    }
    torch.rand_like = drawn
    results |= {
        "umurl": umurl(data),
        "evaluation": evaluation(data, True),
        "evaluation_all": evaluation(data, False),
        "rank": distributed.gather(distributed.rank()),
    }
    decoder = "--decoder_dim_feat 8 --decoder_depth 1 --mask_ratio 0.8".split()
    main_pretrain.main(command_line(data, f"{output}/pretrain", *decoder))
    for name, flag in (("augmented", "--augment"), ("fixed", "--no-augment")):
        main_linprobe.main(command_line(data, f"{output}/linprobe-{name}", flag, "--lr", "0.1", "--weight_decay", "0"))
    main_finetune.main(command_line(data, f"{output}/finetune", "--head_dim", "8"))
    for subset in ("shared", "released"):
        few = ("--head_dim", "8", "--data_ratio", "0.34", "--subset", subset)
        main_finetune.main(command_line(data, f"{output}/{subset}", *few))
    if not distributed.is_main():
        predictions.written_aside = None  # two processes that write one scores.npz fail now and then
    plain = f"--data_path {data} --output_dir {output}/retrieval --device cpu --num_workers 0 --no-report --batch_size 4".split()
    main_retrieval.main("--dim_feat 8 --depth 2 --num_heads 2 --mlp_ratio 2 --num_frames 8".split() + plain)
    if distributed.is_main():
        torch.save(results, Path(output, "results.pth"))
    distributed.gather(None)  # nobody leaves before rank 0 has written
    distributed.cleanup()

"""Pre-training: predict the motion of masked joints (MAMP), the joints themselves (SkeletonMAE*, --target joint), or UmURL.

torchrun --nproc_per_node 4 main_pretrain.py --dataset ntu60_xsub
torchrun --nproc_per_node 4 main_pretrain.py --dataset ntu60_xsub_umurl --method umurl
"""

if __name__ == "__main__":  # --help and mistyped options are answered before torch is imported, which takes seconds
    from util import config

    config.answer("pretrain")

import time

from feeder.loader import build_feeder, train_loader
from model import build
from report.masks import preview
from util import checkpoint, errors, run
from util.logging import say
from util.training import fit


def main(argv=None):
    begin = time.time()
    args, device = run.start("pretrain", argv)
    data = build_feeder(args, "train", augment=True, views=build.views(args))
    model, optimizer, loss_of = build.pretrainer(args, data, device)
    sequences = run.labelled(args, data)
    say(
        f"{sequences} sequences, {sum(p.numel() for p in model.parameters()):,} parameters, "
        f"{args.batch_size} × {args.accum_iter} accumulated = {args.effective_batch_size} samples per update"
    )

    loader = train_loader(data, args, device)
    result = fit(args, device, model, data, loader, optimizer, loss_of, preview=preview(model, args))
    run.pretrained(args, result["last"], time.time() - begin)
    run.finish(args, labels=sequences, last=result["last"], **checkpoint.recipe(vars(args)))


if __name__ == "__main__":
    errors.main(main)

"""Pre-training: predict the motion of masked joints (MAMP), or the joints themselves (SkeletonMAE*, --target joint).

torchrun --nproc_per_node 4 main_pretrain.py --dataset ntu60_xsub
"""

import torch

from model.mamp import MAMP
from util import checkpoint, run
from util.loader import train_loader
from util.logging import say
from util.lr_decay import param_groups_wd
from util.training import fit


def main(argv=None):
    args, device = run.start("pretrain", argv)
    data = run.feeder(args, "train", augment=True)
    model = MAMP(
        **run.model_options(args, data),
        decoder_dim_feat=args.decoder_dim_feat,
        decoder_depth=args.decoder_depth,
        norm_skes_loss=args.norm_skes_loss,
        target=args.target,
        skip_empty_bodies=args.skip_empty_bodies,
        input_stream="motion" if args.input_stream == "motion" else "joint",  # bones come from the feeder
    ).to(device)
    optimizer = torch.optim.AdamW(param_groups_wd(model, args.weight_decay), lr=args.lr, betas=tuple(args.betas), fused=True)
    sequences = run.labelled(args, data)
    say(f"{sequences} sequences, {sum(p.numel() for p in model.parameters()):,} parameters, "
        f"{args.batch_size} × {args.accum_iter} accumulated = {args.effective_batch_size} samples per update")  # fmt: skip

    def loss_of(model, x, label):
        return model(x, args.mask_ratio, args.motion_stride, args.motion_aware_tau)[0]

    result = fit(args, device, model, train_loader(data, args, device), optimizer, loss_of)
    run.finish(args, labels=sequences, last=result["last"], **checkpoint.recipe(vars(args)))


if __name__ == "__main__":
    run.main(main)

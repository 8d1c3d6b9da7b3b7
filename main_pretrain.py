"""Pre-training: predict the motion of masked joints (MAMP), or the joints themselves (SkeletonMAE*, --target joint).

    torchrun --nproc_per_node 4 main_pretrain.py --config config/pretrain.yaml --dataset config/dataset/ntu60_xsub.yaml
"""

import torch

from model.mamp import MAMP
from util import run
from util.loader import train_loader
from util.logging import say, write_result
from util.lr_decay import param_groups_wd


def main(argv=None):
    args, device = run.start("pretrain", argv)
    data = run.feeder(args, "train", augment=True)
    model = MAMP(
        **run.model_options(args, data),
        decoder_dim_feat=args.decoder_dim_feat,
        decoder_depth=args.decoder_depth,
        norm_skes_loss=args.norm_skes_loss,
        target=args.target,
    ).to(device)
    optimizer = torch.optim.AdamW(
        param_groups_wd(model, args.weight_decay), lr=args.lr, betas=tuple(args.betas), fused=True
    )
    say(f"{len(data)} sequences, {sum(p.numel() for p in model.parameters()):,} parameters, "
        f"{args.batch_size} × {args.accum_iter} accumulated = {args.effective_batch_size} samples per update")  # fmt: skip

    def loss_of(model, x, label):
        return model(x, args.mask_ratio, args.motion_stride, args.motion_aware_tau)[0]

    result = run.fit(args, device, model, train_loader(data, args, device), optimizer, loss_of)
    write_result(args.output_dir, stage="pretrain", data=args.data_path, seed=args.seed, epochs=args.epochs, **result)


if __name__ == "__main__":
    run.main(main)

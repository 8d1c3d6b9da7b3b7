"""Retrieval: cosine k-NN on frozen features, training set = gallery, test set = queries.

    python main_retrieval.py --config config/retrieval.yaml --dataset config/dataset/ntu60_xsub.yaml \
        --finetune output/pretrain/checkpoint-399.pth
"""

from model.transformer import LinearHead, Transformer
from util import checkpoint, run
from util.engine import outputs
from util.loader import test_loader
from util.logging import say, write_result
from util.metrics import accuracy, knn


def main(argv=None):
    args, device = run.start("retrieval", argv)
    splits = {split: run.feeder(args, split, augment=False) for split in ("train", "test")}
    data = splits["train"]
    model = Transformer(**run.model_options(args, data), num_classes=data.num_classes, protocol="linprobe")
    if args.finetune:
        run.check_settings(args, checkpoint.load_encoder(model, args.finetune), args.finetune)
    model.to(device).eval()
    pool = LinearHead(1, 1, args.readout).pool
    (gallery, gallery_labels), (queries, labels) = (
        outputs(lambda x: pool(model.forward_features(x)), test_loader(split, args, device), device, args.enable_amp)
        for split in splits.values()
    )
    if args.k > len(gallery):
        raise ValueError(f"k {args.k}: the gallery has only {len(gallery)} samples")
    votes = knn(gallery, gallery_labels, queries, data.num_classes, args.k)
    acc1 = accuracy(votes, labels)[0]
    say(f"retrieval: top-1 {acc1:.2f} % of {len(labels)} queries, cosine {args.k}-NN among {len(gallery)}, "
        f"read-out {args.readout}, encoder from {args.finetune or 'random weights'}")  # fmt: skip
    write_result(
        args.output_dir, stage="retrieval", data=args.data_path, seed=args.seed, checkpoint=args.finetune,
        readout=args.readout, k=args.k, last={"test_acc1": acc1, "test_samples": len(labels)},
    )  # fmt: skip


if __name__ == "__main__":
    run.main(main)

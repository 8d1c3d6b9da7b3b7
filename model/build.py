"""The models that the stages make, from options and data: where the methods differ and the mains do not."""

from argparse import Namespace

import torch

from feeder.loader import number_as_trained
from model.heads import Heads
from model.mamp import MAMP
from model.stars import TunedTransformer, TunedUmURL
from model.transformer import Transformer
from model.umurl import VIEWS, UmURL, UmURLClassifier
from util import checkpoint, provenance
from util.lr_decay import param_groups_wd
from util.options import METHODS, UNLABELLED

_KEYS = {
    "mamp": (
        "dim_in",
        "dim_feat",
        "depth",
        "num_heads",
        "mlp_ratio",
        "num_frames",
        "patch_size",
        "t_patch_size",
        "qkv_bias",
        "qk_scale",
        "drop_rate",
        "attn_drop_rate",
        "drop_path_rate",
    ),
    "umurl": ("dim_in", "depth", "num_heads", "num_frames"),
}
_DECODER_KEYS = (
    "decoder",
    "decoder_dim_feat",
    "decoder_depth",
    "query_frames",
    "predict_ratio",
    "target",
    "norm_skes_loss",
    "loss_weight",
    "loss_weight_k",
    "loss_weight_windows",
)


def views(args):
    """Crops that a stage wants of every sample."""
    return VIEWS if args.method == "umurl" and args.stage == "pretrain" else 1


def pretrainer(args, data, device):
    """(model on the device, optimizer, loss_of(model, x, label)) of the pre-training. Raises ValueError for options that do not
    fit the method or the data."""
    return PRETRAINERS[args.method](args, data, device)


def _mamp(args, data, device):
    model = MAMP(
        **encoder_options(args, data),
        **{key: getattr(args, key) for key in _DECODER_KEYS},
        skip_empty_bodies=args.skip_empty_bodies,
        input_stream="motion" if args.input_stream == "motion" else "joint",  # bones come from the feeder
    ).to(device)
    optimizer = torch.optim.AdamW(param_groups_wd(model, args.weight_decay), lr=args.lr, betas=tuple(args.betas), fused=True)
    return model, optimizer, mamp_loss(args)


def mamp_loss(args):
    """loss_of (see util.engine.train_one_epoch); bodies that are left out make parts of a batch weigh less than others."""

    def loss_of(model, x, label):
        loss, _, mask = model(x, args.mask_ratio, args.motion_stride, args.motion_aware_tau)
        bodies = x.shape[0] * x.shape[-1]
        return (loss, mask.any(1).sum() / bodies) if args.skip_empty_bodies else loss  # each hides as many tokens

    return loss_of


def refuse_parts(args, what):
    """ValueError for updates in parts, or of a single sample, where a loss compares the samples of an update with each other."""
    if args.accum_iter > 1:
        raise ValueError(
            f"accum_iter {args.accum_iter}: {what} compares an update's samples with each other, so they pass together; raise "
            f"batch_size, now {args.batch_size}, or lower effective_batch_size"
        )
    if args.effective_batch_size < 2:
        raise ValueError(f"effective_batch_size 1: {what} compares samples; at least 2")


def _umurl(args, data, device):
    refuse_parts(args, "UmURL")
    model = UmURL(**encoder_options(args, data), projector_dim=args.projector_dim).to(device)
    settings = {"lr": args.lr, "betas": tuple(args.betas), "weight_decay": args.weight_decay, "fused": True}
    return model, torch.optim.Adam(model.parameters(), **settings), lambda model, x, label: model(x)[0]


PRETRAINERS = {"mamp": _mamp, "umurl": _umurl}


def register(name, build, encoder="mamp"):
    """Add a method of pre-training, before a main is called: --method NAME is then made by `build`, as in `pretrainer`.

    encoder: 'mamp' or 'umurl', whose encoder it trains, under the same names of weights (others begin with 'decoder_'), so that
    every stage can judge it.
    """
    METHODS[name], PRETRAINERS[name] = encoder, build


def classifier(args, data, num_classes):
    """The classifier of a judging stage (retrieval: that of the linear probe, for its features), on the CPU."""
    if METHODS[args.method] == "umurl":
        return UmURLClassifier(**encoder_options(args, data), num_classes=num_classes, features=args.features)
    if args.stage == "finetune":
        head = {"protocol": "finetune", "head_dim": args.head_dim, "head_dropout": args.head_dropout}
        empty = args.skip_empty_bodies
        return Transformer(**encoder_options(args, data), **head, skip_empty_bodies=empty, num_classes=num_classes)
    model = Transformer(**encoder_options(args, data), protocol="linprobe", readout=args.readout, num_classes=num_classes)
    model.head.add_norm()
    return model


def tuned(args, data):
    """The model of a tuning (model/stars.py), on the CPU.

    Raises ValueError for updates in parts or of a single sample, and for a queue that only holds a sample's own projections.
    """
    refuse_parts(args, "tuning")
    if queue_size(args, data) <= args.views:
        raise ValueError(f"queue_size {args.queue_size}: neighbours are other samples, so at least {args.views + 1} projections")
    kind = TunedUmURL if METHODS[args.method] == "umurl" else TunedTransformer
    if args.view_mask_ratio and kind is TunedUmURL:
        raise ValueError(f"view_mask_ratio {args.view_mask_ratio}: leaves out tokens of MAMP's encoder, which UmURL's has not")
    head = {"predictor_dim": args.predictor_dim, "temperature": args.temperature}
    model = kind(queue_size(args, data), **head, **encoder_options(args, data))
    model.shear = args.shear
    model.view_mask_ratio = args.view_mask_ratio
    return model


def queue_size(args, data):
    """Length of a tuning's queue: no longer than the data, since a sample's older projections tell nothing new."""
    return min(args.queue_size, len(data) * args.views)


def frozen_blocks(args):
    """How many of the lowest blocks a tuning leaves as they are: --frozen_blocks, or half of them."""
    return args.depth // 2 if args.frozen_blocks is None else args.frozen_blocks


def trained_classifier(args, data):
    """--eval: (model, content) of the classifier in a checkpoint of ours or of the release; sizes and classes are the file's.

    The classes of the Feeder `data` get the file's numbers. Raises ValueError for a file of another stage, without a classifier,
    or with fewer classes than the data.
    """
    content = checkpoint.load(args.eval)
    stage = provenance.stage(content)
    if stage in UNLABELLED:
        raise ValueError(
            f"{args.eval}: holds no classifier; --eval wants a linear-probe or fine-tuning checkpoint; "
            f"main_{args.stage}.py --finetune {args.eval} trains one"
        )
    if stage != args.stage:
        raise ValueError(f"{args.eval}: holds a classifier of main_{stage}.py; evaluate it there")
    classes = provenance.num_classes(content)
    number_as_trained(data, content, args.eval)
    model = classifier(args, data, classes)
    checkpoint.load_model(model, args.eval, content)
    if data.label.max() >= classes:
        raise ValueError(f"{args.data_path}: has the label {data.label.max()}, {args.eval} knows {classes} classes")
    return model, content


def heads(args, data, num_classes, model, path=None, content=None):
    """The Heads of a linear probe's model, on its device: its own and, for every other read-out, one that begins with the weights
    it would have in a run of its own.

    content: the checkpoint at `path`, whose weights the others get; one of a release, or from before there were other heads, has
    none, so there are no others. Raises ValueError naming it for heads that do not fit this model.
    """
    headline, *others = model.readouts
    made = {headline: model.classifier}
    saved = content.get("heads", {}) if content and "config" in content else {}
    for name in others if content is None else [name for name in others if name in saved]:
        torch.manual_seed(args.seed)  # as run.start does
        made[name] = classifier(Namespace(**vars(args) | {"readout": name}), data, num_classes).classifier
        if content is not None:
            try:
                made[name].load_state_dict(saved[name])
            except (RuntimeError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}: heads: {name}: {' '.join(str(error).split())}") from error
        made[name].to(next(model.parameters()).device)
    return Heads(made)


def encoder_options(args, data):
    """Constructor keys of the encoder: the options', and what the data say of their skeleton."""
    encoder = METHODS[args.method]
    keys = {key: getattr(args, key) for key in _KEYS[encoder]}
    if encoder == "umurl":
        return keys | {"parents": data.parents(), "num_bodies": data.num_bodies, "hidden_size": args.dim_feat}
    return keys | {"num_joints": data.num_joints}

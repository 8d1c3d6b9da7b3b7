"""Builds the model of every stage from options and data. What differs between the methods is here, not in the mains."""

import inspect
from argparse import Namespace

import torch

from feeder.loader import match_classes_to_checkpoint
from model.heads import Heads
from model.mamp import MAMP
from model.stars import TunedTransformer, TunedUmURL
from model.transformer import Encoder, Transformer
from model.umurl import VIEWS, Backbone, UmURL, UmURLClassifier
from util import checkpoint, provenance
from util.files import same_file
from util.lr_decay import param_groups_wd
from util.options import METHODS, UNLABELLED
from util.validation import one_line


def views(args):
    """How many crops of each sample a stage needs."""
    return VIEWS if args.method == "umurl" and args.stage == "pretrain" else 1


def pretrainer(args, data, device):
    """(model on the device, optimizer, loss_of(model, x, label)) for pre-training. Raises ValueError for options that do not fit
    the method or the data."""
    return PRETRAINERS[args.method](args, data, device)


def mamp(args, data, device, model=MAMP):
    """See `pretrainer`. model: MAMP or a subclass with the same keys (docs/extending.md)."""
    if getattr(data, "vel", False):
        raise ValueError(f"input_stream motion: is not there for the added method {args.method}, whose target needs the joints")
    own = constructor_options(MAMP, args) | {"input_stream": "motion" if args.input_stream == "motion" else "joint"}
    model = model(**encoder_options(args, data), **own).to(device)  # bones, to the model joints, come from the feeder
    optimizer = torch.optim.AdamW(param_groups_wd(model, args.weight_decay), lr=args.lr, betas=tuple(args.betas), fused=True)
    return model, optimizer, mamp_loss(args)


def mamp_loss(args):
    """loss_of for util.engine.train_one_epoch. With skip_empty_bodies a batch is weighted by its share of bodies that count."""

    def loss_of(model, x, label):
        loss, _, mask = model(x, args.mask_ratio, args.motion_stride, args.motion_aware_tau)
        bodies = x.shape[0] * x.shape[-1]
        return (loss, mask.any(1).sum() / bodies) if args.skip_empty_bodies else loss  # each hides the same number of tokens

    return loss_of


def refuse_accumulation(args, what):
    """For losses that compare the samples of an update: ValueError for gradient accumulation and for a single sample."""
    if args.accum_iter > 1:
        raise ValueError(
            f"accum_iter {args.accum_iter}: {what} compares an update's samples with each other, so they pass together; raise "
            f"batch_size, now {args.batch_size}, or lower effective_batch_size"
        )
    if args.effective_batch_size < 2:
        raise ValueError(f"effective_batch_size 1: {what} compares samples; at least 2")


def umurl(args, data, device):
    """See `pretrainer`."""
    refuse_accumulation(args, "UmURL")
    model = UmURL(**encoder_options(args, data), projector_dim=args.projector_dim).to(device)
    settings = {"lr": args.lr, "betas": tuple(args.betas), "weight_decay": args.weight_decay, "fused": True}
    return model, torch.optim.Adam(model.parameters(), **settings), lambda model, x, label: model(x)[0]


PRETRAINERS = {"mamp": mamp, "umurl": umurl}


def register(name, build, encoder="mamp"):
    """Add a pre-training method; call it before a main. build: called for --method NAME, see `pretrainer`.

    encoder: 'mamp' or 'umurl', the encoder that it trains. Its weights need the same names (all others begin with 'decoder_'),
    so that the downstream stages can load them.
    """
    METHODS[name], PRETRAINERS[name] = encoder, build


def classifier(args, data, num_classes):
    """The classifier of a downstream stage, on the CPU. Retrieval uses the features of a linear probe's."""
    if METHODS[args.method] == "umurl":
        return UmURLClassifier(**encoder_options(args, data), num_classes=num_classes, features=args.features)
    own = constructor_options(Transformer, args) | {"protocol": "finetune" if args.stage == "finetune" else "linprobe"}
    model = Transformer(num_classes, **own, **encoder_options(args, data))
    if own["protocol"] == "linprobe":
        model.head.add_norm()
    return model


def tuning_model(args, data):
    """The model of a tuning (model/stars.py), on the CPU. Raises ValueError for options that do not fit."""
    refuse_accumulation(args, "tuning")
    if queue_size(args, data) <= args.views:
        raise ValueError(f"queue_size {args.queue_size}: neighbours are other samples, so at least {args.views + 1} projections")
    if frozen_blocks(args) > args.depth:
        raise ValueError(
            f"frozen_blocks {args.frozen_blocks}: the encoder has {args.depth} blocks, so nothing of it would be trained"
        )
    kind = TunedUmURL if METHODS[args.method] == "umurl" else TunedTransformer
    head = {"predictor_dim": args.predictor_dim, "temperature": args.temperature}
    model = kind(queue_size(args, data), **head, **encoder_options(args, data))
    model.shear = args.shear
    return model


def queue_size(args, data):
    """Length of a tuning's queue, at most one projection for each sample and view."""
    return min(args.queue_size, len(data) * args.views)


def frozen_blocks(args):
    """How many of the lowest blocks a tuning does not train: --frozen_blocks, by default half of all."""
    return args.depth // 2 if args.frozen_blocks is None else args.frozen_blocks


def trained_classifier(args, data):
    """For --eval: (model, checkpoint content) of the classifier in our or a released checkpoint, with the file's classes.

    The Feeder's classes are renumbered as in the checkpoint. Raises ValueError for a file of another stage, without a classifier,
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
    match_classes_to_checkpoint(data, content, args.eval)
    checkpoint.check_data(content, args.eval, data)
    trained = provenance.settings(content, args.eval)
    if same_file(trained.get("data_path"), args.data_path) and args.val_groups > (held := trained.get("val_groups", 0)):
        raise ValueError(
            f"{args.eval}: was trained with --val_groups {held}; among the {args.val_groups} groups held out now are people of "
            "its training"
        )
    model = classifier(args, data, classes)
    checkpoint.load_model(model, args.eval, content)
    if data.label.max() >= classes:
        raise ValueError(f"{args.data_path}: has the label {data.label.max()}, {args.eval} knows {classes} classes")
    return model, content


def heads(args, data, num_classes, model, path=None, content=None):
    """Heads for a linear probe's model, on its device: the model's own and one for every other read-out, initialised as in a run
    with that --readout.

    content: a checkpoint (read from `path`) whose weights the other heads get; for a released or older one, which has no others,
    only the model's own head is made. Raises ValueError naming the file for heads that do not fit.
    """
    headline, *others = model.readout_names
    made = {headline: model.classifier}
    saved = content.get("heads", {}) if content and "config" in content else {}
    for name in others if content is None else [name for name in others if name in saved]:
        torch.manual_seed(args.seed)  # as run.start does
        made[name] = classifier(Namespace(**vars(args) | {"readout": name}), data, num_classes).classifier
        if content is not None:
            try:
                made[name].load_state_dict(saved[name])
            except (RuntimeError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}: heads: {name}: {one_line(error)}") from error
        made[name].to(next(model.parameters()).device)
    return Heads(made)


def encoder_options(args, data):
    """Constructor keys of the method's encoder, from the options and the data's skeleton."""
    if METHODS[args.method] == "umurl":
        own = {"parents": data.parents(), "num_bodies": data.num_bodies, "hidden_size": args.dim_feat}
        return constructor_options(Backbone, args) | own
    return constructor_options(Encoder, args) | {"num_joints": data.num_joints}


def constructor_options(cls, args):
    """{name: value} of the options that are keys of a class's constructor."""
    return {name: getattr(args, name) for name in inspect.signature(cls).parameters if hasattr(args, name)}

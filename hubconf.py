"""Encoders, with or without weights, and trained classifiers for torch.hub.

    encoder = torch.hub.load("path/to/this/folder", "mamp", source="local", checkpoint="output/pretrain/checkpoint-399.pth")
    features = encoder(x)   # x (N, C, T, V, M) float32 metres, as the Feeder makes it; features (N, D)
    features = encoder(x)   # or one recording (T, V, 3) or (M, T, V, 3) of any length; features (1, D)
    classify = torch.hub.load("path/to/this/folder", "classifier", source="local", checkpoint="output/finetune/checkpoint-99.pth")
    logits = classify(x)    # (N, K); classify.class_names

A recording is cropped and resized as in evaluation. Its origin stays where it is; `main_predict.py --features` moves it, too.

No weights are hosted: `checkpoint` is a file of yours, ours or released. It is read as data, never executed.
"""

import inspect
from argparse import Namespace

dependencies = ["torch", "torchvision", "timm", "numpy", "yaml"]

# The project's modules are imported inside the functions, so that torch.hub can say which of the dependencies is missing.


def mamp(checkpoint=None, readout="mean", **sizes):
    """MAMP's (and SkeletonMAE*'s) encoder, in evaluation mode: x (N, C, T, V, M) -> features (N, D).

    checkpoint: of any stage; None gives random weights. readout: 'mean' over bodies, time and joints; 'per_joint', which
    concatenates the joints: (N, V·D); or 'statistics', which adds each joint's standard deviation over time: (N, 2·V·D). sizes,
    only without a checkpoint: dim_feat, depth, num_heads, num_frames, num_joints, ... as in model.transformer.Encoder; num_heads
    also with a file of weights alone, which do not tell it. Raises FileNotFoundError or ValueError for what does not fit.
    """
    from model.transformer import Encoder, Transformer
    from predict import load_model

    content = _read(checkpoint, "mamp", sizes)
    if content is None:
        _check_sizes(sizes, Encoder)
        model = load_model.without_head(Transformer(num_classes=1, protocol="linprobe", readout=readout, **sizes)).eval()
        data = load_model.TrainingData(model.num_joints, num_bodies=None)
        return _taking_recordings(model, _options(model.num_frames, 0.95), data)
    options = load_model.encoder_options(content, checkpoint)
    try:
        data = load_model.training_data(content, checkpoint, vars(options))
    except ValueError:  # the number of bodies is not known, and not needed for this encoder
        data = load_model.TrainingData(load_model.count_joints(content, checkpoint), num_bodies=None)
    return _taking_recordings(load_model.encoder(content, checkpoint, data, readout=readout), options, data, any_bodies=True)


def umurl(checkpoint=None, features="multi", layout="kinect_v2", data_path=None, **sizes):
    """UmURL's encoder, in evaluation mode: joints x (N, C, T, V, M) -> features (N, 2H).

    checkpoint: of any stage; None gives random weights. features: 'multi' (joints, bones and motions together), 'joint', 'bone'
    or 'motion'. data_path: the training npz, needed only for an old checkpoint of your own data, which holds no metadata. layout
    (of feeder.skeleton) and sizes (num_bodies, num_frames, ... as in model.umurl.Backbone) are for use without a checkpoint.
    Raises FileNotFoundError or ValueError for what does not fit.
    """
    from feeder.skeleton import parents
    from model.umurl import Backbone, UmURLClassifier
    from predict import load_model
    from util import provenance

    content = _read(checkpoint, "umurl", sizes)
    if content is None:
        _check_sizes(sizes, Backbone)
        model = UmURLClassifier(parents(layout), num_classes=1, features=features, **sizes).eval()
        data = load_model.TrainingData(len(parents(layout)), sizes.get("num_bodies", 2))
        return _taking_recordings(load_model.without_head(model), _options(sizes.get("num_frames", 64), 1.0), data)
    data = load_model.training_data(content, checkpoint, provenance.settings(content, checkpoint), data_path)
    options = load_model.encoder_options(content, checkpoint)
    return _taking_recordings(load_model.encoder(content, checkpoint, data, features=features), options, data)


def classifier(checkpoint):
    """The classifier of a linear probe or a fine-tuning, of either method, in evaluation mode: x (as above) -> logits (N, K).

    Its attribute class_names lists K names, or is None if they are not known. Raises FileNotFoundError or ValueError for a file
    without a classifier.
    """
    from feeder.class_names import published_names
    from predict import load_model
    from util import checkpoint as checkpoints
    from util import provenance

    content = checkpoints.load(checkpoint)
    options = load_model.classifier_options(content, checkpoint)
    data = load_model.training_data(content, checkpoint, vars(options))
    model, count = load_model.classifier(content, checkpoint, options, data), provenance.num_classes(content)
    model.class_names = data.class_names or published_names(options.data_path, data.num_joints, count)
    return _taking_recordings(model, options, data, any_bodies=provenance.architecture(content) == "mamp")


def _read(path, method, sizes):
    """The content of a checkpoint; None without a path. Raises ValueError if it is one of the other method, or if sizes are given
    as well."""
    from util import checkpoint, provenance

    if sizes.pop("pretrained", False):
        raise ValueError("pretrained: no weights are hosted; checkpoint=FILE opens a file that you have")
    if path is None:
        return None
    content = checkpoint.load(path)
    if method == "mamp" and "num_heads" in sizes and not provenance.settings(content, path):
        content["args"] = {"num_heads": sizes.pop("num_heads")}
    if sizes:
        raise ValueError(f"{sorted(sizes)[0]}: the sizes are those of {path}; leave it out")
    if provenance.architecture(content) != method:
        raise ValueError(f"{path}: holds weights of {provenance.architecture(content)}, not of {method}")
    return content


def _check_sizes(sizes, module):
    """Raises ValueError for a size that the module does not have."""
    known = [name for name in inspect.signature(module).parameters if name not in ("parents", "kwargs")]
    if unknown := [name for name in sizes if name not in known]:
        raise ValueError(f"{unknown[0]}: no size of this encoder; they are {', '.join(known)}")
    if wrong := [name for name, value in sizes.items() if not isinstance(value, int | float | None)]:
        raise ValueError(f"{wrong[0]} {sizes[wrong[0]]!r}: a size is a number")


def _options(num_frames, share):
    """The options that predict.load_model.make_batch reads, for a model without a checkpoint."""
    return Namespace(num_frames=num_frames, input_stream="joint", test_p_interval=(share,))


def _taking_recordings(model, options, data, any_bodies=False):
    """Make the encoder take a single recording, too."""
    from predict.recordings import ToBatch

    model.register_forward_pre_hook(ToBatch(options, data, any_bodies))
    return model

"""Encoders for torch.hub, with or without weights.

    encoder = torch.hub.load("path/to/this/folder", "mamp", source="local", checkpoint="output/pretrain/checkpoint-399.pth")
    features = encoder(x)   # x (N, C, T, V, M) float32 metres, as the Feeder makes it; features (N, D)
    features = encoder(x)   # one recording (T, V, 3), or (M, T, V, 3) with bodies, of any number of frames; features (1, D)

A recording is cropped and resized as in an evaluation; its origin stays where it is, which `main_predict.py --features` mends.

No weights are hosted anywhere: `checkpoint` is a file that you have, ours or a released one. It is read as data, never executed.
"""

from argparse import Namespace

import numpy as np
import torch

dependencies = ["torch", "torchvision", "timm", "numpy", "yaml"]


def mamp(checkpoint=None, readout="mean", **sizes):
    """MAMP's (and SkeletonMAE*'s) encoder, in evaluation mode: x (N, C, T, V, M) -> features (N, D).

    checkpoint: of any stage; its sizes count, and none may be given. readout: 'mean' over bodies, time and joints, or
    'per_joint': joints side by side, (N, V·D). sizes, without a checkpoint: dim_feat, depth, num_heads, num_frames, num_joints,
    ... as in model.transformer.Encoder; the weights are random. Raises FileNotFoundError or ValueError for what does not fit.
    """
    from model.transformer import Transformer
    from predict import trained

    if checkpoint is None:
        model = trained.without_head(Transformer(num_classes=1, protocol="linprobe", readout=readout, **_random(sizes))).eval()
        return _taking_recordings(model, _made_with(model.num_frames, 0.95), trained.Skeleton(model.num_joints, num_bodies=None))
    content = _read(checkpoint, "mamp", sizes)
    made_with = trained.encoder_options(content, checkpoint)
    try:
        data = trained.skeleton(content, checkpoint, vars(made_with))
    except ValueError:  # nobody says how many bodies there are, which this encoder need not know
        data = trained.Skeleton(trained.joints(content, checkpoint), num_bodies=None)
    return _taking_recordings(trained.encoder(content, checkpoint, data, readout=readout), made_with, data)


def umurl(checkpoint=None, features="multi", layout="kinect_v2", data_path=None, **sizes):
    """UmURL's encoder, in evaluation mode: joints x (N, C, T, V, M) -> features (N, 2H).

    checkpoint: of any stage; its sizes count, and none may be given. features: 'multi' (joints, bones and motions together), or
    one of 'joint', 'bone', 'motion'. data_path: the npz of the training, if that is data of your own and the checkpoint is one of
    before it kept bodies and bones. Without a checkpoint: layout, of feeder.skeleton, and sizes, as in model.umurl.Backbone:
    num_bodies, num_frames, ...; the weights are random. Raises FileNotFoundError or ValueError for what does not fit.
    """
    from feeder.skeleton import parents
    from model.umurl import UmURLClassifier
    from predict import trained
    from util import checkpoint as checkpoints

    if checkpoint is None:
        model = UmURLClassifier(parents(layout), num_classes=1, features=features, **_random(sizes)).eval()
        bodies = trained.Skeleton(len(parents(layout)), sizes.get("num_bodies", 2))
        return _taking_recordings(trained.without_head(model), _made_with(sizes.get("num_frames", 64), 1.0), bodies)
    content = _read(checkpoint, "umurl", sizes)
    data = trained.skeleton(content, checkpoint, checkpoints.settings(content, checkpoint), data_path)
    made_with = trained.encoder_options(content, checkpoint)
    return _taking_recordings(trained.encoder(content, checkpoint, data, features=features), made_with, data)


def _made_with(num_frames, share):
    return Namespace(num_frames=num_frames, input_stream="joint", test_p_interval=(share,))


def _taking_recordings(model, made_with, data):
    """The encoder, which now also takes one recording, and says which shape it wants where neither fits."""
    from data.prepare import sense, transforms
    from predict import trained

    bodies = data.num_bodies
    batch = f"(N, 3, {made_with.num_frames}, {data.num_joints}, {bodies or 'M'})"
    wanted = f"x is {batch}, as the Feeder makes it, or one recording (T, {data.num_joints}, 3) or (M, T, {data.num_joints}, 3)"

    def fit(module, inputs):
        x = torch.as_tensor(inputs[0])
        if x.ndim == 5:
            if x.shape[1:4] != (3, made_with.num_frames, data.num_joints) or bodies not in (None, x.shape[4]):
                raise ValueError(f"x has shape {tuple(x.shape)}; {wanted}")
            return (x,)
        try:
            persons = sense.arranged(x.detach().cpu().numpy(), data.num_joints, bodies or sense.CROWD, flat=False)
        except ValueError as error:
            raise ValueError(f"x has shape {tuple(x.shape)} ({error}); {wanted}") from error
        chosen = transforms.most_moving(transforms.drop_empty(persons), bodies or len(persons))
        there = trained.Skeleton(data.num_joints, bodies or len(chosen), data.above)
        rows = transforms.row(chosen)
        rows = np.pad(rows, ((0, 0), (0, 3 * data.num_joints * there.num_bodies - rows.shape[1])))
        return (trained.batch([rows], made_with, there, next(module.parameters()).device),)

    model.register_forward_pre_hook(fit)
    return model


def _random(sizes):
    if sizes.pop("pretrained", False):
        raise ValueError("pretrained: no weights are hosted; checkpoint=FILE opens a file that you have")
    return sizes


def _read(path, method, sizes):
    """A checkpoint of the method. Raises ValueError naming the file for one of the other, and for sizes beside it."""
    from util import checkpoint

    _random(sizes)
    if sizes:
        raise ValueError(f"{sorted(sizes)[0]}: the sizes are those of {path}; leave it out")
    content = checkpoint.load(path)
    if checkpoint.architecture(content) != method:
        raise ValueError(f"{path}: holds weights of {checkpoint.architecture(content)}, not of {method}")
    return content

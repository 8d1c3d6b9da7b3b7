"""Encoders for torch.hub, with or without weights.

    encoder = torch.hub.load("path/to/this/folder", "mamp", source="local", checkpoint="output/pretrain/checkpoint-399.pth")
    features = encoder(x)   # x (N, C, T, V, M) float32 metres, as the Feeder makes it; features (N, D)

No weights are hosted anywhere: `checkpoint` is a file that you have, ours or a released one. It is read as data, never executed.
"""

dependencies = ["torch", "torchvision", "timm", "numpy", "yaml"]


def mamp(checkpoint=None, readout="mean", **sizes):
    """MAMP's (and SkeletonMAE*'s) encoder, in evaluation mode: x (N, C, T, V, M) -> features (N, D).

    checkpoint: of any stage; its sizes count, and none may be given. readout: 'mean' over bodies, time and joints, or
    'per_joint': joints side by side, (N, V·D). sizes, without a checkpoint: dim_feat, depth, num_heads, num_frames, num_joints,
    ... as in model.transformer.Encoder; the weights are random. Raises FileNotFoundError or ValueError for what does not fit.
    """
    from model.transformer import Transformer
    from util import trained

    if checkpoint is None:
        return trained.without_head(Transformer(num_classes=1, protocol="linprobe", readout=readout, **_random(sizes))).eval()
    content = _read(checkpoint, "mamp", sizes)
    data = trained.Skeleton(trained.joints(content, checkpoint), num_bodies=None, above=None)
    return trained.encoder(content, checkpoint, data, readout=readout)


def umurl(checkpoint=None, features="multi", layout="kinect_v2", data_path=None, **sizes):
    """UmURL's encoder, in evaluation mode: joints x (N, C, T, V, M) -> features (N, 2H).

    checkpoint: of any stage; its sizes count, and none may be given. features: 'multi' (joints, bones and motions together), or
    one of 'joint', 'bone', 'motion'. data_path: the npz of the training, if that is data of your own and the checkpoint is one of
    before it kept bodies and bones. Without a checkpoint: layout, of feeder.skeleton, and sizes, as in model.umurl.Backbone:
    num_bodies, num_frames, ...; the weights are random. Raises FileNotFoundError or ValueError for what does not fit.
    """
    from feeder.skeleton import parents
    from model.umurl import UmURLClassifier
    from util import checkpoint as checkpoints
    from util import trained

    if checkpoint is None:
        return trained.without_head(UmURLClassifier(parents(layout), num_classes=1, features=features, **_random(sizes))).eval()
    content = _read(checkpoint, "umurl", sizes)
    data = trained.skeleton(content, checkpoint, checkpoints.settings(content, checkpoint), data_path)
    return trained.encoder(content, checkpoint, data, features=features)


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

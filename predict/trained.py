"""Models out of checkpoints alone, in evaluation mode."""

import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shown

import numpy as np
import torch
from torch import nn

from feeder import about, tools
from feeder.feeder_ntu import Feeder
from feeder.npz import open_npz
from feeder.skeleton import LAYOUTS, joint_names, tree
from feeder.skeleton import parents as parents_in
from model import build
from util import checkpoint, config
from util.options import OPTIONS

CLASSIFIERS = ("linprobe", "finetune")
BODIES = {25: 2, 20: 1}  # V -> M of the data sets whose skeletons have so many joints: NTU and PKU-MMD; NW-UCLA
MOST = 1000  # joints, bodies: what a checkpoint that says more asks for is memory


@dataclass
class Skeleton:
    """What a model has to know of its data, see Feeder.about: None is what is not known."""

    num_joints: int
    num_bodies: int
    above: np.ndarray | None = None
    joint_names: list | None = None
    class_names: list | None = None
    center: int | None = None
    body_frame: list | None = None
    min_max: int | None = None
    unit: float | None = None
    coordinates: int | None = None
    second_body: str | None = None
    body_size: float | None = None
    how: dict | None = None

    def parents(self):
        """(V,) int64. Raises ValueError if they are not known."""
        if self.above is None:
            raise ValueError(f"which bones {self.num_joints} joints have is not known; name the npz the model was trained on")
        return self.above


def options(content, path):
    """What a classifier's checkpoint says of its making, as a Namespace of its stage's options; defaults where it does not say.

    content, path: of checkpoint.load. Raises ValueError naming the file if it holds no classifier, or settings of another type.
    """
    stage = checkpoint.stage(content)
    if stage not in CLASSIFIERS or checkpoint.num_classes(content) is None:
        raise ValueError(
            f"{path}: holds no classifier, only a pre-trained encoder; main_linprobe.py or main_finetune.py, with "
            f"--finetune {path}, trains one on it"
        )
    return _options(stage, content, path)


def encoder_options(content, path):
    """As `options`, of a checkpoint of any stage: those of the linear probe on its encoder, see `encoder`."""
    return _options("linprobe", content, path)


def _options(stage, content, path):
    method = checkpoint.architecture(content)
    ours = {option.name: option for option in OPTIONS.values() if option.belongs(stage, method)}
    values = {name: option.default for name, option in ours.items()}
    if method == "umurl":
        values |= config.read_yaml(config.FOLDER / "umurl.yaml", stage, method)
    head = checkpoint.stage(content) == stage
    told = checkpoint.settings(content, path) | checkpoint.sizes(content, path, head)
    values |= {name: config.convert(ours[name], value, path) for name, value in told.items() if name in ours}
    if values["num_heads"] < 1:
        raise ValueError(f"{path}: num_heads: {values['num_heads']} is not at least 1")
    if len(values["test_p_interval"]) != 1 or not 0 < values["test_p_interval"][0] <= 1:
        raise ValueError(f"{path}: test_p_interval: {shown(values['test_p_interval'])} is not one share of the frames in (0, 1]")
    return Namespace(stage=stage, **values | {"method": method})


def data_options(content, path, words):
    """The options that name the data which a checkpoint was trained on; [] if `words` of a command line, or no one, name them.

    content, path: of checkpoint.load. Raises FileNotFoundError if the npz is not there.
    """
    told = checkpoint.settings(content, path)
    npz, name = told.get("data_path"), told.get("dataset")
    if not isinstance(npz, str) or any(word.split("=")[0] in ("--config", "--dataset", "--data_path") for word in words):
        return []
    place = config.located(npz)
    if not Path(place).is_file():
        raise FileNotFoundError(f"{path}: was trained on {npz}, which is not here; name it with --data_path or --dataset")
    known = name in [file.stem for file in (config.FOLDER / "dataset").glob("*.yaml")]
    return ["--data_path", place, *(["--dataset", name] if known else [])]


def joints(content, path):
    """V of a MAMP checkpoint, M·V of one of UmURL. Raises ValueError naming the file if the weights do not say."""
    umurl = checkpoint.architecture(content) == "umurl"
    key, axis, per = ("backbone.j_emb.t_embedding.0.weight", 1, 3) if umurl else ("pos_embed", 2, 1)
    weight = content["model"].get(key)
    if weight is None or weight.ndim <= axis:
        raise ValueError(f"{path}: not the weights of a skeleton transformer (looking for {key!r})")
    return weight.shape[axis] // per


def skeleton(content, path, made_with, data_path=None):
    """The `Skeleton` of a checkpoint's model: as the npz data_path says, or the checkpoint, or, of a released or older one, the
    npz of its settings `made_with`.

    Without any of these the weights tell V, and M follows from V where a data set that the project knows has so many. Raises
    ValueError naming the file if that is not enough, or does not fit.
    """
    umurl, count = checkpoint.architecture(content) == "umurl", joints(content, path)
    named = str(made_with.get("data_path") or "")
    if data_path:
        found, where = _of_npz(data_path), data_path
    elif "config" in content and "data" in content:
        found, where = _told(content["data"], path), path
    else:
        found, where = _of_npz(named) if Path(named).is_file() else None, None
    if found and count == found.num_joints * (found.num_bodies if umurl else 1):
        return found
    if where:
        raise ValueError(
            f"{where}: {found.num_bodies} bodies of {found.num_joints} joints; {path} was trained on {count} "
            + ("joints of all bodies" if umurl else "joints")
        )
    for number, bodies in BODIES.items():
        if count == number * (bodies if umurl else 1):
            layout = next(name for name, (names, _) in LAYOUTS.items() if len(names) == number)
            return Skeleton(number, bodies, parents_in(layout), list(joint_names(layout)))
    where = f", {named}," if named else ""
    raise ValueError(
        f"{path}: has {count} joints, and the npz it was trained on{where} is not here to say how many bodies these "
        "are; name it with --data_path"
    )


def _of_npz(path):
    data = Feeder(path, "test" if "x_test" in open_npz(path) else "train", labelled=False)
    for complaint in data.complaints:
        print(f"warning: {complaint}", file=sys.stderr)
    return _told(data.about(), path)


def _told(told, where):
    """The `Skeleton` that Feeder.about told. Raises ValueError naming `where` for a value that cannot be."""
    for key in ("num_joints", "num_bodies"):
        if type(told.get(key)) is not int or not 1 <= told[key] <= MOST:
            raise ValueError(f"{where}: {key} is {shown(told.get(key))}, not a whole number from 1 to {MOST}")
    values, complaints = about.read(told, told["num_joints"])
    above = told.get("parents")
    try:
        above = None if above is None else tree(above, told["num_joints"])
    except ValueError as error:
        complaints.append(str(error))
    if complaints:
        raise ValueError(f"{where}: {complaints[0]}")
    return Skeleton(told["num_joints"], told["num_bodies"], above, **values)


def classifier(content, path, args, data):
    """The classifier of a checkpoint, (N, C, T, V, M) -> logits (N, K), in evaluation mode on the CPU.

    args, data: as `options` and `skeleton` give them.
    """
    model = build.classifier(args, data, checkpoint.num_classes(content))
    checkpoint.load_model(model, path, content)
    return model.eval()


def encoder(content, path, data, **asked):
    """The encoder of any checkpoint, (N, C, T, V, M) -> features (N, D), in evaluation mode on the CPU.

    Its form is that of a linear probe without the probe. asked: 'readout' (MAMP) or 'features' (UmURL), of the probe.
    """
    args = _options("linprobe", content, path)
    for name, value in asked.items():
        setattr(args, name, value)
    model = without_head(build.classifier(args, data, num_classes=1))
    checkpoint.load_encoder(model, path)
    return model.eval()


def without_head(model):
    """A linear probe's model, whose output now are the features that the probe would see."""
    if hasattr(model, "head"):
        model.head.fc = nn.Identity()
    else:
        model.fc = nn.Identity()
    return model


def batch(sequences, args, data, device, p_interval=None):
    """Rows of N recordings, (T_i, M·V·3) each, as the Feeder gives them to a model in evaluation: (N, C, num_frames, V, M).

    p_interval: other than that of the options.
    """
    lengths = np.array([len(rows) for rows in sequences])
    begin, end = tools.crop_bounds(lengths, args.test_p_interval if p_interval is None else p_interval)
    crops = np.concatenate([rows[b:e] for rows, b, e in zip(sequences, begin, end, strict=True)])
    length = torch.from_numpy(end - begin).to(device)
    x = tools.resize_flat(torch.from_numpy(crops).to(device), length.cumsum(0) - length, length, args.num_frames)
    x = x.view(len(x), args.num_frames, data.num_bodies, data.num_joints, 3).permute(0, 4, 1, 3, 2)
    x = tools.bone(x, data.parents()) if args.input_stream == "bone" else x
    return tools.velocity(x) if args.input_stream == "motion" else x

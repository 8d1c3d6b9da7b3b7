"""Load models from checkpoints for prediction: options, metadata of the training data, the model, and its input batches."""

import sys
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as shortened

import numpy as np
from torch import nn

from data.prepare import recipes
from feeder import class_names, tools
from feeder.metadata import read_metadata
from feeder.npz import open_npz
from feeder.npz_split import NpzSplit
from feeder.skeleton import joint_names, layout_of, tree
from feeder.skeleton import parents as parents_in
from model import build
from util import checkpoint, config_files, provenance, validation, weights
from util.files import sha256
from util.options import OPTIONS
from util.validation import check

CLASSIFIERS = ("linprobe", "finetune")
MAX_COUNT = 1000  # of joints and of bodies; larger numbers in a damaged checkpoint would only use up memory


@dataclass
class TrainingData:
    """Metadata of the data a model was trained on, see NpzSplit.metadata; None where not known."""

    num_joints: int
    num_bodies: int
    parent_joints: np.ndarray | None = None
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
        if self.parent_joints is None:
            raise ValueError(f"which bones {self.num_joints} joints have is not known; name the npz the model was trained on")
        return self.parent_joints


# ---- options ------------------------------------------------------------------------------------------------------------


def classifier_options(content, path):
    """The options a classifier was trained with, as a Namespace; defaults for those that the checkpoint does not hold.

    content, path: of checkpoint.load. Raises ValueError naming the file if it holds no classifier, or settings of a wrong type.
    """
    stage = provenance.stage(content)
    if stage not in CLASSIFIERS or provenance.num_classes(content) is None:
        raise ValueError(
            f"{path}: holds no classifier, only a pre-trained encoder; main_linprobe.py or main_finetune.py, with "
            f"--finetune {path}, trains one on it; the encoder alone: main_predict.py --features, predict.export --encoder"
        )
    return _options(stage, content, path)


def encoder_options(content, path):
    """For a checkpoint of any stage: the options of a linear probe on its encoder, see `encoder`."""
    return _options("linprobe", content, path)


def _options(stage, content, path):
    method = provenance.architecture(content)
    options = {option.name: option for option in OPTIONS.values() if option.belongs(stage, method)}
    values = {name: option.default for name, option in options.items()}
    if method == "umurl":
        values |= config_files.read_yaml(config_files.FOLDER / "umurl.yaml", stage, method)
    # the checkpoint's settings override these defaults, and the sizes of its weights override both
    stored = provenance.settings(content, path) | provenance.sizes(content, path, head=provenance.stage(content) == stage)
    if provenance.stage(content) == "tune":  # which trains on whole sequences
        stored.pop("test_p_interval", None)
    values |= {name: validation.convert(options[name], value, path) for name, value in stored.items() if name in options}
    try:
        check({name: values[name] for name in ("num_heads", "test_p_interval")})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Namespace(stage=stage, **values | {"method": method})


def data_options(content, path, words):
    """Command-line options (--data_path, --dataset) for the data that a checkpoint was trained on; [] if `words`, a command line,
    name data already, or the checkpoint names none. Raises FileNotFoundError if the npz does not exist.
    """
    settings = provenance.settings(content, path)
    npz, name = settings.get("data_path"), settings.get("dataset")
    if not isinstance(npz, str) or any(word.split("=")[0] in ("--config", "--dataset", "--data_path") for word in words):
        return []
    place = config_files.resolve_path(npz)
    if not Path(place).is_file():
        raise FileNotFoundError(f"{path}: was trained on {npz}, which is not here; name it with --data_path or --dataset")
    named = name in [file.stem for file in (config_files.FOLDER / "dataset").glob("*.yaml")]
    return ["--data_path", place, *(["--dataset", name] if named else [])]


# ---- the training data --------------------------------------------------------------------------------------------------


def count_joints(content, path):
    """V of a MAMP checkpoint, M·V of a UmURL checkpoint. Raises ValueError for weights of another kind of model."""
    try:
        return weights.joints(content["model"])
    except (KeyError, IndexError) as error:
        sought = error if isinstance(error, KeyError) else "an embedding of joints"
        raise ValueError(
            f"{path}: not the weights of a skeleton transformer (looking for {sought}); it holds {weights.some(content['model'])}"
        ) from error


def training_data(content, path, settings, data_path=None):
    """The `TrainingData` of a checkpoint: from the npz data_path if given, else from the checkpoint, else (a released or older
    file) from the npz in its `settings`, else from the published data set with this number of joints.

    Raises ValueError naming the file if none of these is available, or they do not fit.
    """
    umurl, count = provenance.architecture(content) == "umurl", count_joints(content, path)
    npz = str(settings.get("data_path") or "")
    own = _of_metadata(content["data"], path) if "config" in content and "data" in content else None
    if data_path:
        found, where = _of_npz(data_path), data_path
        _check_same_data(found, own, data_path, path)
    elif own:
        found, where = own, path
    else:
        found, where = _of_npz(npz) if Path(npz).is_file() else None, None

    def complete(data):
        usual = recipes.recipe(data_path or npz, data.num_joints, provenance.num_classes(content)).second_body
        return replace(data, second_body=data.second_body or usual)

    if found and count == found.num_joints * (found.num_bodies if umurl else 1):
        return complete(found)
    if where:
        raise ValueError(
            f"{where}: {found.num_bodies} bodies of {found.num_joints} joints; {path} was trained on {count} "
            + ("joints of all bodies" if umurl else "joints")
        )
    for data_set in (class_names.NTU60, class_names.UCLA):  # the skeletons of all published data sets
        if count == data_set.num_joints * (data_set.num_bodies if umurl else 1):
            layout = layout_of(data_set.num_joints)
            return complete(TrainingData(data_set.num_joints, data_set.num_bodies, parents_in(layout), list(joint_names(layout))))
    where = f", {npz}," if npz else ""
    raise ValueError(
        f"{path}: has {count} joints, and the npz it was trained on{where} is not here to say how many bodies these "
        "are; name it with --data_path"
    )


def _check_same_data(found, own, data_path, path):
    """Raises ValueError if an npz contradicts what its model's checkpoint says of the training data."""
    for key in ("joint_names", "class_names", "center", "body_frame", "min_max") if own else ():
        theirs, ours = getattr(own, key), getattr(found, key)
        if None not in (theirs, ours) and ours != theirs:
            raise ValueError(
                f"{data_path}: {key} are {shortened(ours)}, those of {path} {shortened(theirs)}; leave --data_path out, the "
                "checkpoint knows its data"
            )


def _of_npz(path):
    split = NpzSplit(path, "test" if "x_test" in open_npz(path) else "train", labelled=False)
    for complaint in split.complaints:
        print(f"warning: {complaint}", file=sys.stderr)
    return _of_metadata(split.metadata(), path)


def _of_metadata(metadata, where):
    """The `TrainingData` from what a checkpoint holds under 'data'. Raises ValueError naming `where` for an invalid value."""
    for key in ("num_joints", "num_bodies"):
        if type(metadata.get(key)) is not int or not 1 <= metadata[key] <= MAX_COUNT:
            raise ValueError(f"{where}: {key} is {shortened(metadata.get(key))}, not a whole number from 1 to {MAX_COUNT}")
    values, complaints = read_metadata(metadata, metadata["num_joints"])
    try:
        parents = None if metadata.get("parents") is None else tree(metadata["parents"], metadata["num_joints"])
    except ValueError as error:
        complaints.append(str(error))
    if complaints:
        raise ValueError(f"{where}: {complaints[0]}")
    return TrainingData(metadata["num_joints"], metadata["num_bodies"], parents, **values)


# ---- the model ----------------------------------------------------------------------------------------------------------


def classifier(content, path, args, data):
    """The classifier of a checkpoint, (N, C, T, V, M) -> logits (N, K), in evaluation mode on the CPU.

    args, data: as `classifier_options` and `training_data` give them.
    """
    model = build.classifier(args, data, provenance.num_classes(content))
    checkpoint.load_model(model, path, content)
    return model.eval()


def encoder(content, path, data, **options):
    """The encoder of any checkpoint, (N, C, T, V, M) -> features (N, D), in evaluation mode on the CPU.

    options: 'readout' (MAMP) or 'features' (UmURL), other than in the checkpoint.
    """
    args = Namespace(**vars(encoder_options(content, path)) | options)
    model = without_head(build.classifier(args, data, num_classes=1))
    checkpoint.load_encoder(model, path)
    return model.eval()


def without_head(model):
    """Remove the head of a linear probe's model, which then returns features."""
    if hasattr(model, "head"):
        model.head.fc = nn.Identity()
    else:
        model.fc = nn.Identity()
    return model


def make_batch(sequences, args, data, device, p_interval=None):
    """N recordings, rows (T_i, M·V·3) each -> (N, C, num_frames, V, M), as the Feeder does in evaluation.

    args, data: as for `classifier`. p_interval: instead of that of the options.
    """
    lengths = np.array([len(rows) for rows in sequences])
    begin, end = tools.crop_bounds(lengths, args.test_p_interval if p_interval is None else p_interval)
    crops = (tensor.to(device) for tensor in tools.concatenate_crops(sequences, begin, end - begin))
    bones = data.parents() if args.input_stream == "bone" else None
    sizes = args.num_frames, data.num_bodies, data.num_joints
    return tools.stream(tools.resize_crops(*crops, *sizes), bones, args.input_stream == "motion")


# ---- description of what was used ---------------------------------------------------------------------------------------


def describe(path, content, made_with, preparation, classes):
    """What was used, for the JSON output. preparation: a predict.readers.Preparation."""
    return {
        "checkpoint": {"path": str(path), "sha256": sha256(path)},
        "stage": provenance.stage(content),
        "method": made_with.method,
        "classes": classes,
        "epoch": content["epoch"] + 1 if "epoch" in content else None,
        "trained_on": preparation.recipe.title,
        "preparation": preparation.recipe.description,
        "metres_per_unit": preparation.unit,
    }


def summary(source, data, made_with, named):
    """What was used, in two lines. source: from `describe`. named: whether class names are known."""
    epoch = "" if source["epoch"] is None else f", epoch {source['epoch']}"
    unnamed = "" if named or not source["classes"] else "; class names are not known, --names tells them"
    unit = "" if source["metres_per_unit"] == 1 else f"; arrays are taken to be in units of {source['metres_per_unit']:g} m"
    return (
        f"{source['checkpoint']['path']}: {source['method']} {source['stage']}{epoch}, {source['classes'] or 'no'} classes, "
        f"trained on {source['trained_on']}{unnamed}",
        f"recordings: {data.num_bodies} bodies of {data.num_joints} joints, {source['preparation']}, "
        f"{made_with.num_frames} frames, {made_with.input_stream} stream{unit}",
    )

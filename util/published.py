"""Published configurations (`feeder:`, `model:`, `train_feeder_args:` ...) in our names.

One table says what each published key is called here, one which keys must have the value that switches them off. The dotted names
are compared with those that are known; nothing is ever imported by a name from a file.
"""

from reprlib import repr as shown  # a value out of a file may be large

SECTIONS = ("train_feeder_args", "test_feeder_args", "model_args")
MARKS = ("feeder", "model", *SECTIONS)  # a file with one of these keys is a published one
KNOWN = {
    "feeder": {"feeder.feeder_ntu.Feeder": {}},
    "model": {
        "model.transformer.Transformer": {},
        "model_mamp.transformer.Transformer": {"target": "motion"},
        "model.mamp.MAMP": {"target": "motion"},
    },
}
NAMES = {"window_size": "num_frames", "p_interval": "train_p_interval", "drop_path": "drop_path_rate"}
STREAMS = {"bone": "bone", "vel": "motion"}
# not ours to set: the launcher's, the data's (classes, joints), or said by the stage
LEFT_ASIDE = {
    "config", "start_epoch", "world_size", "rank", "local_rank", "gpu", "distributed", "dist_on_itp", "dist_url", "dist_backend",
    "pin_mem", "split", "num_classes", "num_joints", "use_mmap",
}  # fmt: skip
SWITCHED_OFF = {
    "debug", "random_choose", "random_shift", "random_move", "normalization", "mixup", "cutmix", "reprob",
}  # fmt: skip


def is_published(content):
    """Whether a mapping has the keys of a published configuration."""
    return any(key in content for key in MARKS)


def translate(content, where, stage=None):
    """A published configuration as {our option: value}; keys that are not in the tables keep their names.

    where: what to call it in messages. stage: refuse a classifier configuration of another stage.
    Raises ValueError for an unknown feeder or model, for augmentation that does not exist here, and for values that disagree.
    """
    ours = {}

    def put(key, value):
        if key in LEFT_ASIDE:
            return
        if key in SWITCHED_OFF:
            if value:
                raise ValueError(f"{where}: {key}: {shown(value)} does not exist here; only a value that switches it off is read")
            return
        if key in STREAMS:
            if not value:
                ours.setdefault("input_stream", "joint")
                return
            key, value = "input_stream", STREAMS[key]
            if ours.get(key) == "joint":
                del ours[key]
        if key == "protocol":
            if stage in ("linprobe", "finetune") and value != stage:
                raise ValueError(f"{where}: protocol: {shown(value)} belongs to another stage than {stage}")
            return
        key, value = NAMES.get(key, key), None if value in ("", "None") else value
        if key in ours and ours[key] != value:
            raise ValueError(f"{where}: {key} is {shown(ours[key])} in one place and {shown(value)} in another")
        ours[key] = value

    for key, value in content.items():
        if key in KNOWN:
            if not isinstance(value, str) or value not in KNOWN[key]:
                raise ValueError(f"{where}: {key}: {shown(value)} is not known; use one of {', '.join(KNOWN[key])}")
            ours |= KNOWN[key][value]
        elif key in SECTIONS:
            if not isinstance(value, dict):
                raise ValueError(f"{where}: {key}: is not a list of 'key: value' lines")
            for name, of_section in value.items():
                if key == "test_feeder_args":
                    if name not in ("p_interval", "window_size", "data_path", *STREAMS):
                        continue  # nothing is drawn at random in a test
                    name = "test_p_interval" if name == "p_interval" else name
                put(name, of_section)
        else:
            put(key, value)
    return ours

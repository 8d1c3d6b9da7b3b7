"""Parameter groups: weight decay for matrices only, and layer-wise learning-rate decay for fine-tuning."""

import re


def param_groups_wd(model, weight_decay):
    """Pre-training: no weight decay for 1-D parameters (biases and norms); everything else decays, embeddings too."""
    groups = {True: [], False: []}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups[parameter.ndim > 1].append(parameter)
    return [{"params": groups[True], "weight_decay": weight_decay}, {"params": groups[False], "weight_decay": 0.0}]


def param_groups_lrd(model, weight_decay=0.05, no_weight_decay_list=(), layer_decay=0.75):
    """Fine-tuning: the learning rate of layer i is scaled by layer_decay ** (depth + 1 − i).

    Embeddings are layer 0, blocks.i (UmURL: ma_encoder's layers.i) layer i+1, the final norm and the head layer depth+1. No
    weight decay for 1-D parameters and those in no_weight_decay_list. Returns groups with 'params', 'names', 'lr_scale',
    'weight_decay'.
    """
    top = model.depth + 1
    groups = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer = layer_id(name, top)
        decay = 0.0 if parameter.ndim == 1 or name in no_weight_decay_list else weight_decay
        group = groups.setdefault(
            (layer, decay), {"params": [], "names": [], "lr_scale": layer_decay ** (top - layer), "weight_decay": decay}
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def layer_id(name, top):
    """Layer of a parameter by its state-dict name; `top` = depth + 1."""
    for block in (r"blocks\.(\d+)\.", r"backbone\.ma_encoder\.._tr\.layers\.(\d+)\."):
        if found := re.match(block, name):
            return int(found[1]) + 1
    return 0 if name.startswith(("joints_embed", "pos_embed", "temp_embed", "backbone.")) else top

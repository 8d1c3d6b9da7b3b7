"""Method, stage, sizes and number of classes from the names and shapes of weights, and which weights are the encoder's."""

from util.validation import short_repr

# {a weight that every encoder of MAMP, of UmURL has: what stands before its name}
LANDMARKS = {"joints_embed.proj.weight": "", "j_emb.t_embedding.0.weight": "backbone."}
CONTRASTIVE = ("projector.", "predictor.", "queue")  # heads of a pre-training or tuning that other code writes beside the encoder


def under_our_names(state):
    """(state dict, keys that are left out): without what others put before the encoder's names, such as module., encoder_q. or
    teacher.; weights that do not have it are left out. Raises ValueError if there are several encoders."""
    found = {key.removesuffix(mark): ours for mark, ours in LANDMARKS.items() for key in state if f".{key}".endswith(f".{mark}")}
    if len(found) > 1:
        named = " and ".join(short_repr(prefix) for prefix in sorted(found))
        raise ValueError(
            f"holds {len(found)} encoders, their keys begin with {named}; save one of them as a state dict of its own"
        )
    for theirs, ours in found.items():
        whole = theirs.endswith(ours)  # with UmURL's projectors, not the backbone alone
        prefix, added = (theirs.removesuffix(ours), "") if whole else (theirs, ours)
        renamed = {added + key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        return renamed, [key for key in state if not key.startswith(prefix)]
    return {key.removeprefix("module."): value for key, value in state.items()}, []


def some(names):
    """'a, b, c, d and 7 more'."""
    named = ", ".join(short_repr(name).strip("'") for name in list(names)[:4])
    return named + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def architecture(state):
    """'umurl' or 'mamp', which SkeletonMAE* shares."""
    return "umurl" if any(key.startswith("backbone.") for key in state) else "mamp"


def stage(state):
    """'pretrain', 'linprobe' or 'finetune'. UmURL's two are alike (one linear map) and called 'linprobe'."""
    for key, name in (("head.fc1.weight", "finetune"), ("head.fc.1.weight", "linprobe"), ("fc.weight", "linprobe")):
        if key in state:
            return name
    return "pretrain"


def num_classes(state):
    """K of the classifier, or None if there is no head."""
    for key in ("head.fc.1.weight", "head.fc2.weight", "fc.weight"):
        if key in state:
            return len(state[key])
    return None


def joints(state):
    """V of MAMP, M·V of UmURL. Raises KeyError or IndexError if these are not the weights of such a model."""
    if architecture(state) == "umurl":
        return state["backbone.j_emb.t_embedding.0.weight"].shape[1] // 3
    return state["pos_embed"].shape[2]


def of_encoder(state):
    """The encoder's part of the weights of any stage."""
    if architecture(state) == "umurl":
        return {key: value for key, value in state.items() if key.startswith("backbone.")}
    return {k: v for k, v in state.items() if not k.startswith(("decoder_", "head.", *CONTRASTIVE)) and k != "mask_token"}


def sizes(state, head=False):
    """The model's options, from its weights; with `head`, also those of the classifier's head. Raises KeyError, ValueError,
    IndexError or ZeroDivisionError for weights of another kind of model."""
    if architecture(state) == "umurl":
        hidden, spatial = state["backbone.j_emb.s_embedding.0.weight"].shape
        layers = {key.split(".")[4] for key in state if key.startswith("backbone.ma_encoder.t_tr.layers.")}
        found = {"dim_in": 3, "dim_feat": hidden, "num_frames": spatial // 3, "depth": len(layers)}
        if "j_projector.6.weight" in state:
            found["projector_dim"] = len(state["j_projector.6.weight"])
        return found
    dim_feat, dim_in, t_patch_size, _ = state["joints_embed.proj.weight"].shape
    found = {
        "dim_in": dim_in,
        "dim_feat": dim_feat,
        "t_patch_size": t_patch_size,
        "num_frames": state["temp_embed"].shape[1] * t_patch_size,
        "depth": len({key.split(".")[1] for key in state if key.startswith("blocks.")}),
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / dim_feat,
        "qkv_bias": "blocks.0.attn.qkv.bias" in state,
    }
    if "decoder_embed.weight" in state:
        found["decoder_dim_feat"] = len(state["decoder_embed.weight"])
        found["decoder_depth"] = len({key.split(".")[1] for key in state if key.startswith("decoder_blocks.")})
        has_queries = "decoder_blocks.0.attn.kv.weight" in state
        found["decoder"] = "self" if not has_queries else "cross" if "mask_token" in state else "query"
        if found["decoder"] == "query":
            found["query_frames"] = len(state["decoder_pred.weight"]) // dim_in
    if head and stage(state) == "linprobe":
        width = state["head.fc.1.weight"].shape[1] // dim_feat
        found["readout"] = {joints(state): "per_joint", 1: "mean"}.get(width, "statistics")
    if head and stage(state) == "finetune":
        found["head_dim"] = len(state["head.fc1.weight"])
    return found


def other_skeleton(state, own):
    """A message if weights are of another skeleton than the model with the state dict `own`, else None."""
    try:
        theirs, ours = joints(state), joints(own)
    except (KeyError, IndexError):
        return None  # weights are missing, which is found later
    what = "joints of all bodies" if architecture(own) == "umurl" else "joints"
    return None if theirs == ours else f"trained on {theirs} {what}, the data has {ours}; an encoder cannot change its skeleton"

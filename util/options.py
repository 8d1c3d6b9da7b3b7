"""Every option of every stage, once: name, default, meaning. The command line, the YAML files and --help come from here."""

from dataclasses import dataclass
from typing import Any

STAGES = ("pretrain", "linprobe", "finetune", "retrieval")
METHODS = {"mamp": "mamp", "umurl": "umurl"}  # method of pre-training: whose encoder it has (see model.build.register)
DEFAULT_METHOD = "mamp"  # what is meant where no method is named
_TRAINED = ("pretrain", "linprobe", "finetune")
_JUDGED = ("linprobe", "finetune", "retrieval")


@dataclass(frozen=True)
class Option:
    name: str
    default: Any
    help: str
    kind: type = str  # str, int, float or bool
    many: bool = False  # a list of `kind`
    choices: tuple = ()
    stages: tuple = STAGES
    only_with: tuple = ()  # (option, value) without which this one says nothing

    def belongs(self, stage, method):
        """Whether the option exists in a stage of a method; the groups named like an encoder are that encoder's."""
        return stage in self.stages and all(METHODS[method] == title for title in METHODS if self in GROUPS.get(title, ()))


GROUPS = {
    "run": [
        Option(
            "output_dir",
            None,
            "folder for checkpoints, log.jsonl, config.yaml and result.json (default: output/STAGE; of an "
            "evaluation: beside the checkpoint)",
        ),
        Option("log_dir", None, "folder for TensorBoard (default: output_dir)"),
        Option("device", "auto", "auto, cpu, cuda or cuda:N"),
        Option("seed", 0, "seeds initialisation, data order, augmentation and masking", int),
        Option("num_workers", 4, "data loader processes, at most one for each core; 0 loads in the main process", int),
        Option(
            "enable_amp",
            False,
            "autocast to bfloat16 (on GPUs without it float16 with loss scaling); weights, losses and updates stay float32",
            bool,
        ),
        Option(
            "tf32",
            True,
            "matrix products of features in TF32 (11 bits) on GPUs that have it, as torch did in the paper's "
            "time; coordinates stay exact, and on a CPU nothing changes",
            bool,
        ),
        Option(
            "compile",
            False,
            "torch.compile for training: numbers differ by rounding, the first steps take minutes",
            bool,
            stages=("pretrain", "finetune"),
        ),
        Option("deterministic", False, "two runs with one seed give the same bits on a GPU, too (on a CPU they always do)", bool),
        Option(
            "resume",
            None,
            "checkpoint of this stage to go on from; 'auto' takes checkpoint-last.pth if it is there",
            stages=_TRAINED,
        ),
        Option(
            "print_freq",
            20,
            "steps between progress updates (and, on a GPU, checks that the loss is finite)",
            int,
            stages=_TRAINED,
        ),
        Option("save_freq", 20, "epochs between the checkpoints that are kept", int, stages=_TRAINED),
        Option(
            "save_minutes",
            5.0,
            "least time between two checkpoint-last.pth; they are written after epochs, at the end, and "
            "when the run is asked to stop",
            float,
            stages=_TRAINED,
        ),
        Option("quiet", False, "print results and warnings alone", bool),
        Option("report", True, "leave report.html, a page of the finished run's numbers, curves and pictures", bool),
    ],
    "data": [
        Option("data_path", None, "npz with x_train, y_train, x_test, y_test"),
        Option("num_frames", 120, "frames T after cropping and resizing", int),
        Option("train_p_interval", (0.5, 1.0), "share of the valid frames in a random training crop", float, many=True),
        Option("test_p_interval", (0.95,), "share of the valid frames in the central test crop", float, many=True),
        Option("min_frames", 64, "shortest random crop, in frames", int),
        Option("random_rot", True, "rotate training sequences at random", bool),
        Option("rot_theta", (0.3,), "largest rotation in radians, one number or one each for x, y, z", float, many=True),
        Option(
            "input_stream",
            "joint",
            "what the model sees: joint, motion (frame differences) or bone (joint minus its parent)",
            choices=("joint", "motion", "bone"),
        ),
        Option(
            "data_on_device",
            False,
            "keep the valid frames in the device's memory (on a CPU in RAM), without workers; the batches are the same",
            bool,
        ),
        Option("data_ratio", 1.0, "share of the training samples to use", float, stages=_TRAINED),
        Option(
            "subset",
            "shared",
            "data_ratio draws one subset for all processes (shared), or one for each (released: as in the "
            "published code, which so sees up to as many times the labels as there are processes)",
            choices=("shared", "released"),
            stages=_TRAINED,
        ),
        Option(
            "subset_seed", None, "which samples data_ratio draws (default: seed; 0 with --subset released)", int, stages=_TRAINED
        ),
        Option(
            "val_groups",
            0,
            "performers (groups) of the training set to hold out and to evaluate on, instead of the test set",
            int,
        ),
    ],
    "model": [
        Option(
            "method",
            "mamp",
            "mamp (SkeletonMAE*: with target joint, motion_aware_tau 0) or umurl; checkpoints know theirs",
            choices=METHODS,
        ),
        Option("dim_in", 3, "coordinates C", int),
        Option("dim_feat", 256, "width of the encoder: D, UmURL's H", int),
        Option("depth", 8, "encoder blocks", int),
        Option("num_heads", 8, "attention heads", int),
    ],
    "mamp": [
        Option("mlp_ratio", 4.0, "width of a block's MLP over its own", float),
        Option("patch_size", 1, "joints in a token", int),
        Option("t_patch_size", 4, "frames l in a token", int),
        Option("qkv_bias", True, "bias in the attention's projections", bool),
        Option("qk_scale", None, "attention scale (default: head_dim ** -0.5)", float),
        Option("drop_rate", 0.0, "dropout", float),
        Option("attn_drop_rate", 0.0, "dropout of attention weights", float),
        Option("drop_path_rate", 0.0, "stochastic depth of the last block", float),
        Option(
            "decoder",
            "self",
            "self-attention over all tokens (self, the paper's), or queries that read the visible ones: "
            "one for each joint and query_frames frames (query, as in AMR), or a mask token for each of a random share of the "
            "hidden tokens (cross, as in CrossMAE)",
            choices=("self", "query", "cross"),
            stages=("pretrain",),
        ),
        Option(
            "query_frames",
            24,
            "decoder query: frames that a query predicts, a divisor of num_frames",
            int,
            stages=("pretrain",),
            only_with=("decoder", "query"),
        ),
        Option(
            "predict_ratio",
            0.25,
            "decoder cross: share of the hidden tokens that is predicted in a step",
            float,
            stages=("pretrain",),
            only_with=("decoder", "cross"),
        ),
        Option("decoder_dim_feat", 256, "width of the decoder", int, stages=("pretrain",)),
        Option("decoder_depth", 5, "decoder blocks", int, stages=("pretrain",)),
        Option("norm_skes_loss", True, "normalise every token's (every query's) target", bool, stages=("pretrain",)),
        Option(
            "loss_weight",
            "none",
            "motion: errors count less where a joint rests while its body moves, none in empty ones",
            choices=("none", "motion"),
            stages=("pretrain",),
        ),
        Option(
            "loss_weight_k",
            0.01,
            "loss_weight motion: the k of its formula; more counts resting joints less",
            float,
            stages=("pretrain",),
            only_with=("loss_weight", "motion"),
        ),
        Option(
            "loss_weight_windows",
            (4, 8, 12),
            "loss_weight motion: frames of a window, a divisor of num_frames",
            int,
            many=True,
            stages=("pretrain",),
            only_with=("loss_weight", "motion"),
        ),
        Option(
            "target",
            "motion",
            "what is predicted: motion (MAMP) or joint (SkeletonMAE*)",
            choices=("motion", "joint"),
            stages=("pretrain",),
        ),
        Option("mask_ratio", 0.9, "share of tokens that are hidden", float, stages=("pretrain",)),
        Option("motion_stride", 1, "frames s between the two ends of a motion", int, stages=("pretrain",)),
        Option(
            "motion_aware_tau", 0.8, "temperature of the motion-aware masking; 0 masks uniformly", float, stages=("pretrain",)
        ),
        Option(
            "skip_empty_bodies",
            False,
            "train without bodies that are all zeros or copies of their sample's first body: in "
            "pre-training they do not count in the loss, in fine-tuning they share one encoding (in evaluation, where that "
            "changes nothing, they always do)",
            bool,
            stages=("pretrain", "finetune"),
        ),
        Option("head_dim", 2048, "hidden width of the fine-tuning head", int, stages=("finetune",)),
        Option("head_dropout", 0.3, "dropout in front of the fine-tuning head", float, stages=("finetune",)),
        Option(
            "readout",
            "mean",
            "pooling of frozen features that is the headline: mean (D), or per_joint (V·D); the numbers of "
            "the other stand beside it",
            choices=("mean", "per_joint"),
            stages=("linprobe", "retrieval"),
        ),
    ],
    "umurl": [
        Option("projector_dim", 4096, "width in which features are compared", int, stages=("pretrain",)),
        Option(
            "features",
            "multi",
            "what the encoder sees: all three modalities fused (multi), or one of them",
            choices=("multi", "joint", "bone", "motion"),
            stages=_JUDGED,
        ),
    ],
    "optimization": [
        Option("epochs", 400, "epochs", int, stages=_TRAINED),
        Option("warmup_epochs", 20, "epochs of linear warm-up", int, stages=_TRAINED),
        Option("batch_size", 32, "samples per process and forward pass", int),
        Option("effective_batch_size", None, "samples per update over all processes; sets accum_iter", int, stages=_TRAINED),
        Option(
            "accum_iter", None, "forward passes per update (default: from effective_batch_size, else 1)", int, stages=_TRAINED
        ),
        Option("lr", 1e-3, "highest learning rate", float, stages=_TRAINED),
        Option("min_lr", 5e-4, "learning rate at the end of the cosine", float, stages=_TRAINED),
        Option(
            "lr_steps",
            (),
            "epochs at which the rate falls to a tenth; without a number, it follows the cosine",
            int,
            many=True,
            stages=_TRAINED,
        ),
        Option("weight_decay", 0.05, "weight decay of matrices and embeddings", float, stages=_TRAINED),
        Option("betas", (0.9, 0.95), "the two averages of AdamW and Adam", float, many=True, stages=("pretrain", "finetune")),
        Option("momentum", 0.9, "SGD's momentum", float, stages=("linprobe",)),
        Option("clip_grad", None, "largest norm of the gradient (default: not clipped)", float, stages=_TRAINED),
        Option(
            "skip_nonfinite",
            False,
            "leave out, and count, steps whose gradient is not finite, instead of stopping; the host "
            "then waits for the device at every step",
            bool,
            stages=_TRAINED,
        ),
        Option("layer_decay", 0.8, "learning-rate factor from a layer to the one below", float, stages=("finetune",)),
        Option("smoothing", 0.1, "label smoothing", float, stages=("finetune",)),
    ],
    "evaluation": [
        Option(
            "finetune", None, "checkpoint whose encoder to start from, with its sizes (default: a random one)", stages=_JUDGED
        ),
        Option("eval", None, "evaluate this classifier checkpoint, write its scores, and stop", stages=("linprobe", "finetune")),
        Option(
            "eval_freq", 1, "epochs between evaluations; the last epoch is always evaluated", int, stages=("linprobe", "finetune")
        ),
        Option("dist_eval", True, "share the test samples among the processes", bool, stages=_JUDGED),
        Option("augment", True, "crop and rotate at random; without, features are computed once", bool, stages=("linprobe",)),
        Option("k", 1, "neighbours that vote", int, stages=("retrieval",)),
        Option("save_features", None, "npz for the features, with names and labels", stages=("retrieval",)),
    ],
}

OPTIONS = {option.name: option for group in GROUPS.values() for option in group}

"""Every option of every stage, once: name, default, type, range, stages, meaning.

The command line, the YAML files, --help, with what a run may be resumed and what a table compares come from here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

STAGES = ("pretrain", "tune", "linprobe", "finetune", "retrieval")
TRAINED, JUDGED = STAGES[:4], STAGES[2:]
UNLABELLED = STAGES[:2]  # what they leave is an encoder, which the others judge
METHODS = {"mamp": "mamp", "umurl": "umurl"}  # method of pre-training: whose encoder it has (see model.build.register)
DEFAULT_METHOD = "mamp"  # what is meant where no method is named

# ranges: what to say of a value outside, and whether a value is inside
AT_LEAST_ONE = ("at least 1", lambda v: v >= 1)
NOT_NEGATIVE = ("not below 0", lambda v: v >= 0)
SHARE = ("a share, at least 0 and below 1", lambda v: 0 <= v < 1)
ABOVE_0_TO_1 = ("a share, above 0 and at most 1", lambda v: 0 < v <= 1)
SEED = (f"from 0 to {2**31 - 1}", lambda v: 0 <= v < 2**31)
MOTION_WEIGHT = ("loss_weight", "motion")

# roles: what may differ when a run goes on (--resume), and between runs whose numbers stand in one cell of a table
WHAT = "neither: it decides what the weights become"
HOW = "both: where and how fast it is computed"
DRAW = "between runs of one cell: seeds, files"
EXTENDS = "when a run goes on: how far, on which copy of the data"


@dataclass(frozen=True)
class Option:
    name: str
    default: Any
    kind: type  # str, int, float or bool
    many: bool = False  # a list of `kind`
    counts: tuple = ()  # of a list: how many values it may have
    bare: str | None = None  # what the option means on a command line without a value, if it may stand so
    choices: tuple = ()
    range: tuple[str, Callable] = ("", lambda v: True)
    stages: tuple = STAGES
    only_with: tuple = ()  # (option, value) without which this one says nothing
    role: str = WHAT
    help: str = ""

    def means(self, text):
        """The option with a line for --help."""
        return replace(self, help=text)

    def belongs(self, stage, method):
        """Whether the option exists in a stage of a method; the groups named like an encoder are that encoder's."""
        return stage in self.stages and all(METHODS[method] == title for title in METHODS if self in GROUPS.get(title, ()))


GROUPS = {
    "run": [
        Option("output_dir", None, str, role=HOW).means(
            "folder for checkpoints, log.jsonl, config.yaml and result.json (default: output/STAGE; of an evaluation: beside "
            "the checkpoint)"
        ),
        Option("log_dir", None, str, role=HOW).means("folder for TensorBoard (default: output_dir)"),
        Option("wandb", None, str, bare="mamp", role=HOW).means(
            "log to Weights & Biases, too (pip install wandb), in this project (without a name: mamp); WANDB_MODE=offline keeps "
            "it on this machine"
        ),
        Option("device", "auto", str, role=HOW).means("auto, cpu, cuda or cuda:N"),
        Option("seed", 0, int, range=SEED, role=DRAW).means("seeds initialisation, data order, augmentation and masking"),
        Option("num_workers", 4, int, range=NOT_NEGATIVE, role=HOW).means(
            "data loader processes, at most one for each core; 0 loads in the main process"
        ),
        Option("enable_amp", False, bool, role=DRAW).means(
            "autocast to bfloat16 (on GPUs without it float16 with loss scaling); weights, losses and updates stay float32"
        ),
        Option("tf32", True, bool, role=HOW).means(
            "matrix products of features in TF32 (11 bits) on GPUs that have it, as torch did in the paper's time; "
            "coordinates stay exact, and on a CPU nothing changes"
        ),
        Option("compile", False, bool, stages=("pretrain", "tune", "finetune"), role=HOW).means(
            "torch.compile for training: numbers differ by rounding, the first steps take minutes"
        ),
        Option("deterministic", False, bool, role=HOW).means(
            "two runs with one seed give the same bits on a GPU, too (on a CPU they always do)"
        ),
        Option("resume", None, str, stages=TRAINED, role=HOW).means(
            "checkpoint of this stage to go on from; 'auto' takes checkpoint-last.pth if it is there"
        ),
        Option("print_freq", 20, int, range=AT_LEAST_ONE, stages=TRAINED, role=HOW).means(
            "steps between progress updates (and, on a GPU, checks that the loss is finite)"
        ),
        Option("save_freq", 20, int, range=AT_LEAST_ONE, stages=TRAINED, role=HOW).means(
            "epochs between the checkpoints that are kept"
        ),
        Option("save_minutes", 5.0, float, range=NOT_NEGATIVE, stages=TRAINED, role=HOW).means(
            "least time between two checkpoint-last.pth; they are written after epochs, at the end, and when the run is asked "
            "to stop"
        ),
        Option("quiet", False, bool, role=HOW).means("print results and warnings alone"),
        Option("report", True, bool, role=HOW).means(
            "leave report.html, a page of the finished run's numbers, curves and pictures"
        ),
    ],
    "data": [
        Option("data_path", None, str, role=EXTENDS).means("npz with x_train, y_train, x_test, y_test"),
        Option("num_frames", 120, int, range=AT_LEAST_ONE).means("frames T after cropping and resizing"),
        Option("train_p_interval", [0.5, 1.0], float, many=True, counts=(1, 2)).means(
            "share of the valid frames in a random training crop"
        ),
        Option("test_p_interval", [0.95], float, many=True, counts=(1,)).means(
            "share of the valid frames in the central test crop"
        ),
        Option("min_frames", 64, int, range=AT_LEAST_ONE).means("shortest random crop, in frames"),
        Option("random_rot", True, bool).means("rotate training sequences at random"),
        Option("rot_theta", [0.3], float, many=True, counts=(1, 3)).means(
            "largest rotation in radians, one number or one each for x, y, z"
        ),
        Option("input_stream", "joint", str, choices=("joint", "motion", "bone")).means(
            "what the model sees: joint, motion (frame differences) or bone (joint minus its parent)"
        ),
        Option("data_on_device", False, bool, role=HOW).means(
            "keep the valid frames in the device's memory (on a CPU in RAM), without workers; the batches are the same"
        ),
        Option("data_ratio", 1.0, float, stages=TRAINED).means("share of the training samples to use"),
        Option("subset", "shared", str, choices=("shared", "released"), stages=TRAINED).means(
            "data_ratio draws one subset for all processes (shared), or one for each (released: as in the published code, "
            "which so sees up to as many times the labels as there are processes)"
        ),
        Option("subset_seed", None, int, range=SEED, stages=TRAINED, role=DRAW).means(
            "which samples data_ratio draws (default: seed; 0 with --subset released)"
        ),
        Option("val_groups", 0, int, range=NOT_NEGATIVE).means(
            "performers (groups) of the training set to hold out and to evaluate on, instead of the test set"
        ),
    ],
    "model": [
        Option("method", "mamp", str, choices=METHODS).means(
            "mamp (SkeletonMAE*: with target joint, motion_aware_tau 0) or umurl; checkpoints know theirs"
        ),
        Option("dim_in", 3, int, range=AT_LEAST_ONE).means("coordinates C"),
        Option("dim_feat", 256, int, range=AT_LEAST_ONE).means("width of the encoder: D, UmURL's H"),
        Option("depth", 8, int, range=AT_LEAST_ONE).means("encoder blocks"),
        Option("num_heads", 8, int, range=AT_LEAST_ONE).means("attention heads"),
    ],
    "mamp": [
        Option("mlp_ratio", 4.0, float).means("width of a block's MLP over its own"),
        Option("patch_size", 1, int).means("joints in a token"),
        Option("t_patch_size", 4, int, range=AT_LEAST_ONE).means("frames l in a token"),
        Option("qkv_bias", True, bool).means("bias in the attention's projections"),
        Option("qk_scale", None, float).means("attention scale (default: head_dim ** -0.5)"),
        Option("drop_rate", 0.0, float, range=SHARE).means("dropout"),
        Option("attn_drop_rate", 0.0, float, range=SHARE).means("dropout of attention weights"),
        Option("drop_path_rate", 0.0, float, range=SHARE).means("stochastic depth of the last block"),
        Option("decoder", "self", str, choices=("self", "query", "cross"), stages=("pretrain",)).means(
            "self-attention over all tokens (self, the paper's), or queries that read the visible ones: one for each joint "
            "and query_frames frames (query, as in AMR), or a mask token for each of a random share of the hidden tokens "
            "(cross, as in CrossMAE)"
        ),
        Option("query_frames", 24, int, range=AT_LEAST_ONE, stages=("pretrain",), only_with=("decoder", "query")).means(
            "decoder query: frames that a query predicts, a divisor of num_frames"
        ),
        Option("predict_ratio", 0.25, float, range=ABOVE_0_TO_1, stages=("pretrain",), only_with=("decoder", "cross")).means(
            "decoder cross: share of the hidden tokens that is predicted in a step"
        ),
        Option("decoder_dim_feat", 256, int, range=AT_LEAST_ONE, stages=("pretrain",)).means("width of the decoder"),
        Option("decoder_depth", 5, int, range=AT_LEAST_ONE, stages=("pretrain",)).means("decoder blocks"),
        Option("norm_skes_loss", True, bool, stages=("pretrain",)).means("normalise every token's (every query's) target"),
        Option("loss_weight", "none", str, choices=("none", "motion"), stages=("pretrain",)).means(
            "motion: errors count less where a joint rests while its body moves, none in empty ones"
        ),
        Option("loss_weight_k", 0.01, float, range=NOT_NEGATIVE, stages=("pretrain",), only_with=MOTION_WEIGHT).means(
            "loss_weight motion: the k of its formula; more counts resting joints less"
        ),
        Option(
            "loss_weight_windows", [4, 8, 12], int, many=True, range=AT_LEAST_ONE, stages=("pretrain",), only_with=MOTION_WEIGHT
        ).means("loss_weight motion: frames of a window, a divisor of num_frames"),
        Option("target", "motion", str, choices=("motion", "joint"), stages=("pretrain",)).means(
            "what is predicted: motion (MAMP) or joint (SkeletonMAE*)"
        ),
        Option(
            "mask_ratio", 0.9, float, range=("a share of the tokens between 0 and 1", lambda v: 0 < v < 1), stages=("pretrain",)
        ).means("share of tokens that are hidden"),
        Option("motion_stride", 1, int, range=AT_LEAST_ONE, stages=("pretrain",)).means(
            "frames s between the two ends of a motion"
        ),
        Option("motion_aware_tau", 0.8, float, stages=("pretrain",)).means(
            "temperature of the motion-aware masking; 0 masks uniformly"
        ),
        Option("skip_empty_bodies", False, bool, stages=("pretrain", "finetune")).means(
            "train without bodies that are all zeros or copies of their sample's first body: in pre-training they do not "
            "count in the loss, in fine-tuning they share one encoding (in evaluation, where that changes nothing, they "
            "always do)"
        ),
        Option("head_dim", 2048, int, range=AT_LEAST_ONE, stages=("finetune",)).means("hidden width of the fine-tuning head"),
        Option("head_dropout", 0.3, float, range=SHARE, stages=("finetune",)).means("dropout in front of the fine-tuning head"),
        Option("readout", "mean", str, choices=("mean", "per_joint"), stages=("linprobe", "retrieval")).means(
            "pooling of frozen features that is the headline: mean (D), or per_joint (V·D); the numbers of the other stand "
            "beside it"
        ),
    ],
    "umurl": [
        Option("projector_dim", 4096, int, range=AT_LEAST_ONE, stages=("pretrain",)).means(
            "width in which features are compared"
        ),
        Option("features", "multi", str, choices=("multi", "joint", "bone", "motion"), stages=JUDGED).means(
            "what the encoder sees: all three modalities fused (multi), or one of them"
        ),
    ],
    "tuning": [
        Option("views", 1, int, choices=(1, 2), stages=("tune",)).means(
            "1: whole sequences as they are; 2: two random crops of each, rotated and sheared"
        ),
        Option("shear", 0.5, float, range=NOT_NEGATIVE, stages=("tune",), only_with=("views", 2)).means(
            "largest entry of the random maps beside the diagonal"
        ),
        Option("view_mask_ratio", 0.0, float, range=SHARE, stages=("tune",)).means(
            "share of each view's tokens left out at random: cheaper, and one more augmentation (MAMP's encoder)"
        ),
        Option("queue_size", 32768, int, range=AT_LEAST_ONE, stages=("tune",)).means(
            "sequences seen lately among which neighbours are looked for; at most as many as there are"
        ),
        Option("predictor_dim", 4096, int, range=AT_LEAST_ONE, stages=("tune",)).means("hidden width of the predictor"),
        Option("temperature", 0.07, float, range=("above 0", lambda v: v > 0), stages=("tune",)).means(
            "what similarities are divided by"
        ),
        Option("frozen_blocks", None, int, range=NOT_NEGATIVE, stages=("tune",)).means(
            "lowest blocks that stay as they are, with the embedding (default: half of them)"
        ),
        Option("head_epochs", 0, int, range=NOT_NEGATIVE, stages=("tune",)).means(
            "the first of the epochs, in which the head alone is trained"
        ),
    ],
    "optimization": [
        Option("epochs", 400, int, range=AT_LEAST_ONE, stages=TRAINED, role=EXTENDS).means("epochs"),
        Option("warmup_epochs", 20, int, range=NOT_NEGATIVE, stages=TRAINED).means("epochs of linear warm-up"),
        Option("batch_size", 32, int, range=AT_LEAST_ONE, role=HOW).means("samples per process and forward pass"),
        Option("effective_batch_size", None, int, range=AT_LEAST_ONE, stages=TRAINED).means(
            "samples per update over all processes; sets accum_iter"
        ),
        Option("accum_iter", None, int, range=AT_LEAST_ONE, stages=TRAINED, role=HOW).means(
            "forward passes per update (default: from effective_batch_size, else 1)"
        ),
        Option("lr", 0.001, float, range=NOT_NEGATIVE, stages=TRAINED).means("highest learning rate"),
        Option("min_lr", 0.0005, float, range=NOT_NEGATIVE, stages=TRAINED).means("learning rate at the end of the cosine"),
        Option("lr_steps", [], int, many=True, range=NOT_NEGATIVE, stages=TRAINED).means(
            "epochs at which the rate falls to a tenth; without a number, it follows the cosine"
        ),
        Option("weight_decay", 0.05, float, range=NOT_NEGATIVE, stages=TRAINED).means("weight decay of matrices and embeddings"),
        Option("betas", [0.9, 0.95], float, many=True, range=SHARE, counts=(2,), stages=("pretrain", "tune", "finetune")).means(
            "the two averages of AdamW and Adam"
        ),
        Option("momentum", 0.9, float, range=NOT_NEGATIVE, stages=("linprobe",)).means("SGD's momentum"),
        Option("clip_grad", None, float, range=("a norm above 0", lambda v: v > 0), stages=TRAINED).means(
            "largest norm of the gradient (default: not clipped)"
        ),
        Option("skip_nonfinite", False, bool, stages=TRAINED).means(
            "leave out, and count, steps whose gradient is not finite, instead of stopping; the host then waits for the "
            "device at every step"
        ),
        Option("layer_decay", 0.8, float, range=NOT_NEGATIVE, stages=("tune", "finetune")).means(
            "learning-rate factor from a layer to the one below"
        ),
        Option("smoothing", 0.1, float, range=SHARE, stages=("finetune",)).means("label smoothing"),
    ],
    "evaluation": [
        Option("finetune", None, str, stages=("tune", *JUDGED), role=HOW).means(
            "checkpoint whose encoder to start from, with its sizes (default: a random one)"
        ),
        # a flag in the published code: without a file, the command line says what is missing
        Option("eval", None, str, bare="", stages=("linprobe", "finetune"), role=DRAW).means(
            "evaluate this classifier checkpoint, write its scores, and stop"
        ),
        Option("eval_freq", 1, int, range=AT_LEAST_ONE, stages=("linprobe", "finetune"), role=HOW).means(
            "epochs between evaluations; the last epoch is always evaluated"
        ),
        Option("dist_eval", True, bool, stages=JUDGED, role=HOW).means("share the test samples among the processes"),
        Option("augment", True, bool, stages=("linprobe",)).means(
            "crop and rotate at random; without, features are computed once"
        ),
        Option("k", 1, int, range=AT_LEAST_ONE, stages=("retrieval",)).means("neighbours that vote"),
        Option("save_features", None, str, stages=("retrieval",), role=DRAW).means("npz for the features, with names and labels"),
    ],
}

OPTIONS = {option.name: option for group in GROUPS.values() for option in group}
MAY_CHANGE_ON_RESUME = {"dataset", *(name for name, option in OPTIONS.items() if option.role in (HOW, EXTENDS))}

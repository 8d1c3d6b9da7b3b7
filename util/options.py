"""Every option of every stage: name, default, type, range, stages, help.

From this table come the command line, the keys of YAML files, --help, what may change on --resume, and what a table compares.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

STAGES = ("pretrain", "tune", "linprobe", "finetune", "retrieval")
TRAINED, DOWNSTREAM = STAGES[:4], STAGES[2:]  # stages with an epoch loop; stages that evaluate an encoder with labels
UNLABELLED = STAGES[:2]  # stages that train an encoder, without labels
METHODS = {"mamp": "mamp", "umurl": "umurl"}  # {pre-training method: the encoder it trains}; see model.build.register
DEFAULT_METHOD = "mamp"
READOUTS = {"mean": "mean", "per_joint": "per joint", "statistics": "statistics"}  # {value of --readout: its name in tables}
TARGETS, DECODERS, LOSS_WEIGHTS = ("motion", "joint"), ("self", "query", "cross"), ("none", "motion")  # of MAMP

# ranges: (text for the error message, whether a value is inside)
AT_LEAST_ONE = ("at least 1", lambda v: v >= 1)
NOT_NEGATIVE = ("not below 0", lambda v: v >= 0)
SHARE = ("a share, at least 0 and below 1", lambda v: 0 <= v < 1)
ABOVE_0_TO_1 = ("a share, above 0 and at most 1", lambda v: 0 < v <= 1)
SEED = (f"from 0 to {2**31 - 1}", lambda v: 0 <= v < 2**31)
MOTION_WEIGHT = {"loss_weight": "motion"}
AUGMENTED = {"augment": True, "views": 2}  # of a linear probe, and of tuning; other training always is

# roles: whether an option may change on --resume, and whether it may differ between runs that are averaged in one cell of a table
WHAT = "neither: it influences the resulting weights"
HOW = "both: it only decides where and how fast the run is computed"
DRAW = "may differ in a cell: seeds, files"
EXTENDS = "may change on --resume: number of epochs, location of the data"


@dataclass(frozen=True)
class Option:
    name: str
    default: Any
    kind: type  # str, int, float or bool
    many: bool = False  # a list of `kind`
    counts: tuple = ()  # numbers of values that a list may have
    bare: str | None = None  # the value if it is given without one, as --wandb may be
    choices: tuple = ()
    range: tuple[str, Callable] = ("", lambda v: True)
    stages: tuple = STAGES
    only_with: dict = field(default_factory=dict)  # {option: value} without which this one has no effect, in stages that have it
    role: str = WHAT
    help: str = ""

    def means(self, text):
        """The option with a line for --help."""
        return replace(self, help=text)

    def belongs(self, stage, method):
        """Whether a stage of a method has the option. Groups named like an encoder are for methods with this encoder."""
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
            "autocast to bfloat16 (float16 with loss scaling on GPUs without it); weights, losses and updates stay float32"
        ),
        Option("tf32", True, bool, role=HOW).means(
            "matrix products of features in TF32 (11 bits) on GPUs that have it, as torch did in the paper's time; "
            "coordinates stay exact, and on a CPU nothing changes"
        ),
        Option("compile", False, bool, stages=("pretrain", "tune", "finetune"), role=HOW).means(
            "torch.compile for training: numbers differ by rounding, the first steps take minutes"
        ),
        Option("deterministic", False, bool, role=HOW).means(
            "deterministic operations: runs with one seed give the same bits on a GPU, too (on a CPU they always do)"
        ),
        Option("resume", None, str, stages=TRAINED, role=HOW).means(
            "checkpoint of this stage to resume; 'auto' takes checkpoint-last.pth if there is one"
        ),
        Option("print_freq", 20, int, range=AT_LEAST_ONE, stages=TRAINED, role=HOW).means(
            "steps between progress updates (and, on a GPU, checks that the loss is finite)"
        ),
        Option("save_freq", 20, int, range=AT_LEAST_ONE, stages=TRAINED, role=HOW).means(
            "epochs between the checkpoints that are kept"
        ),
        Option("save_minutes", 5.0, float, range=NOT_NEGATIVE, stages=TRAINED, role=HOW).means(
            "write checkpoint-last.pth after an epoch if it is older than this; always at the end, and when the run is stopped"
        ),
        Option("quiet", False, bool, role=HOW).means("print only results and warnings"),
        Option("report", True, bool, role=HOW).means(
            "write report.html, a page with the finished run's numbers, curves and pictures"
        ),
    ],
    "data": [
        Option("data_path", None, str, role=EXTENDS).means("npz with x_train, y_train, x_test, y_test"),
        Option("num_frames", 120, int, range=AT_LEAST_ONE).means("frames T after cropping and resizing"),
        Option("train_p_interval", [0.5, 1.0], float, many=True, counts=(1, 2), stages=TRAINED, only_with=AUGMENTED).means(
            "share of the valid frames in a random training crop"
        ),
        Option("test_p_interval", [0.95], float, many=True, counts=(1,)).means(
            "share of the valid frames in the central test crop"
        ),
        Option("min_frames", 64, int, range=AT_LEAST_ONE).means("shortest random crop, in frames"),
        Option("random_rot", True, bool, stages=TRAINED, only_with=AUGMENTED).means("rotate training sequences at random"),
        Option("rot_theta", [0.3], float, many=True, counts=(1, 3), stages=TRAINED, only_with=AUGMENTED).means(
            "largest rotation angle in radians: one number, or three for x, y, z"
        ),
        Option("random_scale", 0.0, float, range=SHARE, stages=TRAINED, only_with=AUGMENTED).means(
            "stretch each axis of a training sequence at random, before it is rotated, by up to this share"
        ),
        Option("mirror", False, bool, stages=TRAINED, only_with=AUGMENTED).means(
            "mirror a random half of the training sequences: left and right change places"
        ),
        Option("input_stream", "joint", str, choices=("joint", "motion", "bone")).means(
            "the model's input: joint, motion (frame differences) or bone (joint minus its parent)"
        ),
        Option("data_on_device", False, bool, role=HOW).means(
            "keep all frames in the device's memory (on a CPU: in RAM) and use no workers; the batches are the same"
        ),
        Option("data_ratio", 1.0, float, stages=TRAINED).means("share of the training samples to use"),
        Option("subset", "shared", str, choices=("shared", "released"), stages=TRAINED).means(
            "data_ratio draws one subset for all processes (shared), or one for each (released: as the published code does, "
            "which uses up to data_ratio times the number of processes)"
        ),
        Option("subset_seed", None, int, range=SEED, stages=TRAINED, role=DRAW).means(
            "which samples data_ratio draws (default: seed; 0 with --subset released)"
        ),
        Option("val_groups", 0, int, range=NOT_NEGATIVE).means(
            "number of performers (groups) of the training set to hold out, and evaluate on instead of the test set"
        ),
    ],
    "model": [
        Option("method", "mamp", str, choices=METHODS).means(
            "mamp (with target joint and motion_aware_tau 0: SkeletonMAE*) or umurl; with a checkpoint, that of the file"
        ),
        Option("dim_in", 3, int, range=AT_LEAST_ONE).means("coordinates C"),
        Option("dim_feat", 256, int, range=AT_LEAST_ONE).means("width of the encoder (UmURL: its hidden width H)"),
        Option("depth", 8, int, range=AT_LEAST_ONE).means("encoder blocks"),
        Option("num_heads", 8, int, range=AT_LEAST_ONE).means("attention heads"),
    ],
    "mamp": [
        Option("mlp_ratio", 4.0, float, range=("above 0", lambda v: v > 0)).means(
            "hidden width of a block's MLP, relative to dim_feat"
        ),
        Option("patch_size", 1, int).means("joints in a token"),
        Option("t_patch_size", 4, int, range=AT_LEAST_ONE).means("frames l in a token"),
        Option("qkv_bias", True, bool).means("bias in the attention's projections"),
        Option("qk_scale", None, float).means("attention scale (default: head_dim ** -0.5)"),
        Option("drop_rate", 0.0, float, range=SHARE).means("dropout"),
        Option("attn_drop_rate", 0.0, float, range=SHARE).means("dropout of attention weights"),
        Option("drop_path_rate", 0.0, float, range=SHARE).means("stochastic depth of the last block"),
        Option("patch_drop_rate", 0.0, float, range=SHARE, stages=("finetune", "tune")).means(
            "share of each body's tokens that training leaves out at random: less arithmetic, and an augmentation"
        ),
        Option("decoder", "self", str, choices=DECODERS, stages=("pretrain",)).means(
            "self: self-attention over all tokens, as in the paper; or cross-attention to the visible tokens, of a query for "
            "each joint and query_frames frames (query, as in AMR) or of mask tokens for a random share of the hidden tokens "
            "(cross, as in CrossMAE)"
        ),
        Option("query_frames", 24, int, range=AT_LEAST_ONE, stages=("pretrain",), only_with={"decoder": "query"}).means(
            "decoder query: frames that a query predicts; has to divide num_frames"
        ),
        Option("predict_ratio", 0.25, float, range=ABOVE_0_TO_1, stages=("pretrain",), only_with={"decoder": "cross"}).means(
            "decoder cross: share of the hidden tokens that are predicted in a step"
        ),
        Option("decoder_dim_feat", 256, int, range=AT_LEAST_ONE, stages=("pretrain",)).means("width of the decoder"),
        Option("decoder_depth", 5, int, range=AT_LEAST_ONE, stages=("pretrain",)).means("decoder blocks"),
        Option("norm_skes_loss", True, bool, stages=("pretrain",)).means("normalise the target of each token (or query)"),
        Option("loss_weight", "none", str, choices=LOSS_WEIGHTS, stages=("pretrain",)).means(
            "motion: errors count less where a joint rests while its body moves, and not at all in empty bodies"
        ),
        Option("loss_weight_k", 0.01, float, range=NOT_NEGATIVE, stages=("pretrain",), only_with=MOTION_WEIGHT).means(
            "loss_weight motion: k of its formula; the larger, the less resting joints count"
        ),
        Option(
            "loss_weight_windows", [4, 8, 12], int, many=True, range=AT_LEAST_ONE, stages=("pretrain",), only_with=MOTION_WEIGHT
        ).means("loss_weight motion: frames of each window; have to divide num_frames"),
        Option("target", "motion", str, choices=TARGETS, stages=("pretrain",)).means(
            "what is predicted: motion (MAMP) or joint (SkeletonMAE*)"
        ),
        Option(
            "mask_ratio", 0.9, float, range=("a share of the tokens between 0 and 1", lambda v: 0 < v < 1), stages=("pretrain",)
        ).means("share of tokens that are hidden"),
        Option("motion_stride", 1, int, range=AT_LEAST_ONE, stages=("pretrain",)).means("motion is x[t + motion_stride] - x[t]"),
        Option("motion_aware_tau", 0.8, float, stages=("pretrain",)).means(
            "temperature of the motion-aware masking; 0 for uniform masking"
        ),
        Option("skip_empty_bodies", False, bool, stages=("pretrain", "finetune")).means(
            "do not encode bodies that are all zeros or copies of the sample's first body in training: pre-training leaves "
            "them out of the loss, fine-tuning reuses encodings (evaluation, where this changes nothing, always does)"
        ),
        Option("head_dim", 2048, int, range=AT_LEAST_ONE, stages=("finetune",)).means("hidden width of the fine-tuning head"),
        Option("head_dropout", 0.3, float, range=SHARE, stages=("finetune",)).means("dropout before the fine-tuning head"),
        Option("readout", "mean", str, choices=tuple(READOUTS), stages=("linprobe", "retrieval")).means(
            "pooling of the features whose accuracy is the headline: mean (D numbers), per_joint (V·D) or statistics (2·V·D: per "
            "joint, mean and standard deviation over time); those of the others are reported, too"
        ),
    ],
    "umurl": [
        Option("projector_dim", 4096, int, range=AT_LEAST_ONE, stages=("pretrain",)).means("output width of the projectors"),
        Option("features", "multi", str, choices=("multi", "joint", "bone", "motion"), stages=DOWNSTREAM).means(
            "the encoder's input: all three modalities fused (multi), or one of them"
        ),
    ],
    "tuning": [
        Option("views", 1, int, choices=(1, 2), stages=("tune",)).means(
            "1: whole sequences as they are; 2: two random crops of each, rotated and sheared"
        ),
        Option("shear", 0.5, float, range=NOT_NEGATIVE, stages=("tune",), only_with={"views": 2}).means(
            "views 2: largest off-diagonal entry of the random shear matrices"
        ),
        Option("queue_size", 32768, int, range=AT_LEAST_ONE, stages=("tune",)).means(
            "length of the queue in which neighbours are searched; at most the number of sequences (times views)"
        ),
        Option("predictor_dim", 4096, int, range=AT_LEAST_ONE, stages=("tune",)).means("hidden width of the predictor"),
        Option("temperature", 0.07, float, range=("above 0", lambda v: v > 0), stages=("tune",)).means(
            "temperature of the contrastive loss"
        ),
        Option("frozen_blocks", None, int, range=NOT_NEGATIVE, stages=("tune",)).means(
            "number of lowest blocks that are not trained, like the embedding (default: half of all)"
        ),
        Option("head_epochs", 0, int, range=NOT_NEGATIVE, stages=("tune",)).means(
            "number of epochs, at the beginning, in which only the head is trained"
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
            "epochs at which the learning rate is divided by 10 (default: cosine schedule)"
        ),
        Option("weight_decay", 0.05, float, range=NOT_NEGATIVE, stages=TRAINED).means("weight decay of matrices and embeddings"),
        Option("betas", [0.9, 0.95], float, many=True, range=SHARE, counts=(2,), stages=("pretrain", "tune", "finetune")).means(
            "beta1 and beta2 of AdamW (of Adam in UmURL's pre-training)"
        ),
        Option("momentum", 0.9, float, range=NOT_NEGATIVE, stages=("linprobe",)).means("SGD's momentum"),
        Option("clip_grad", None, float, range=("a norm above 0", lambda v: v > 0), stages=TRAINED).means(
            "largest norm of the gradient (default: no clipping)"
        ),
        Option("skip_nonfinite", False, bool, stages=TRAINED).means(
            "skip and count updates whose gradient is not finite, instead of stopping; the host then waits for the device at "
            "every update"
        ),
        Option("layer_decay", 0.8, float, range=NOT_NEGATIVE, stages=("tune", "finetune")).means(
            "a layer's learning rate is this times that of the layer above"
        ),
        Option("smoothing", 0.1, float, range=SHARE, stages=("finetune",)).means("label smoothing"),
    ],
    "evaluation": [
        Option("finetune", None, str, role=HOW).means(
            "checkpoint of the encoder to start from, which also sets the sizes (default: random weights); pre-training goes on "
            "with its decoder, too, unless the command line has another one's options"
        ),
        # in the published code it is a flag; `bare` allows that, and util.command_line then asks for the file
        Option("eval", None, str, bare="", stages=("linprobe", "finetune"), role=DRAW).means(
            "evaluate this classifier checkpoint, write its scores, and stop"
        ),
        Option("eval_freq", 1, int, range=AT_LEAST_ONE, stages=("linprobe", "finetune"), role=HOW).means(
            "epochs between evaluations; the last epoch is always evaluated"
        ),
        Option("dist_eval", True, bool, stages=DOWNSTREAM, role=HOW).means("share the test samples among the processes"),
        Option("augment", True, bool, stages=("linprobe",)).means(
            "random crops, rotations, scaling and mirror images; without them (--no-augment) features are computed only once"
        ),
        Option("k", 1, int, range=AT_LEAST_ONE, stages=("retrieval",)).means("number of neighbours that vote"),
        Option("save_features", None, str, stages=("retrieval",), role=DRAW).means("npz for the features, with names and labels"),
    ],
}

OPTIONS = {option.name: option for group in GROUPS.values() for option in group}
MAY_CHANGE_ON_RESUME = {"dataset", *(name for name, option in OPTIONS.items() if option.role in (HOW, EXTENDS))}

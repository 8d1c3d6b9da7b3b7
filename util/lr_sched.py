"""Learning rate schedule: linear warm-up, then half a cosine, or steps."""

import math


def adjust_learning_rate(optimizer, epoch, args):
    """Set the rate for the fractional `epoch` = epoch + iteration / iterations per epoch; a group's lr_scale multiplies it.

    args: lr, min_lr, warmup_epochs, epochs, and lr_steps, epochs at which the rate is divided by 10 instead of the cosine.
    Returns the rate before scaling.
    """
    if epoch < args.warmup_epochs:
        lr = args.lr * epoch / args.warmup_epochs
    elif getattr(args, "lr_steps", None):
        lr = args.lr * 0.1 ** sum(epoch >= step for step in args.lr_steps)
    else:
        progress = (epoch - args.warmup_epochs) / (args.epochs - args.warmup_epochs)
        lr = args.min_lr + (args.lr - args.min_lr) * 0.5 * (1 + math.cos(math.pi * progress))
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
    return lr

"""Checks and runs the commands that scripts/plan.py lists."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from util import config


def stage_and_options(command):
    """('pretrain', its words) of a command that calls main_pretrain.py, and so on; (None, []) if it calls no main."""
    name = next((word for word in command if re.fullmatch(r"main_\w+\.py|scripts\.coordinates", word)), None)
    stage = name and ("linprobe" if name == "scripts.coordinates" else name[len("main_") : -len(".py")])
    return stage, command[command.index(name) + 1 :] if name else []


def check_options(command):
    """Raises ValueError for an option that the main of a command would refuse, perhaps days later, after another main's run."""
    stage, given = stage_and_options(command)
    if not stage:
        return
    known = stage == "pretrain" and "--finetune" in given and Path(given[given.index("--finetune") + 1]).exists()
    if "--finetune" in given and not known:  # that checkpoint is not there yet
        del given[given.index("--finetune") : given.index("--finetune") + 2]
    try:
        config.parse(stage, given)
    except FileNotFoundError:
        pass  # an earlier run makes it
    except ValueError as error:
        raise ValueError(f"main_{stage}.py: {error}") from error


def made_otherwise(each):
    """'epochs 400, now 100': settings of a finished run that are others in its command; '' if there are none or not known."""
    stage, given = stage_and_options(each.command)
    try:
        made = yaml.safe_load(Path(each.folder, "config.yaml").read_text(encoding="utf-8"))
        now = vars(config.parse(stage, given)) if stage == made["stage"] else {}
    except (OSError, ValueError, ImportError, KeyError, TypeError, yaml.YAMLError):
        return ""
    return config.differing(made, now)


def call(command):
    """The exit status of a command. SIGTERM is passed on to it, so that the run saves, and this process ends with it."""
    child, stopped = None, []

    def stop(*_):
        if child and not stopped:
            child.terminate()
        stopped.append(True)

    before = signal.signal(signal.SIGTERM, stop)
    child = subprocess.Popen(command)
    if stopped:  # before there was a child
        child.terminate()
    code = child.wait()
    signal.signal(signal.SIGTERM, before)
    return code or (128 + signal.SIGTERM if stopped else 0)


def execute(s, runs):
    """Print every command and, unless DRY_RUN, run it; the first that fails ends this process with its exit status.

    Raises ValueError if the checkpoint that a run needs does not exist, or is the last one of an unfinished pre-training.
    """
    if s.dry_run == "0":
        signal.signal(signal.SIGINT, lambda *_: None)  # leave Ctrl-C to the run, which saves and ends, and this process with it
    folders = set()
    for each in runs:
        if each.folder in folders:  # listed twice, by two tables
            continue
        folders |= {each.folder} - {""}
        if each.folder and Path(each.folder, each.done).exists():
            print(f"done already: {each.folder}/{each.done}", file=sys.stderr)
            if differing := made_otherwise(each):
                print(f"warning: it was made with other settings: {differing}; VARIANT or TAG names new ones", file=sys.stderr)
            continue
        if s.dry_run == "1":
            print(shlex.join(each.command))
            continue
        encoder = Path(each.encoder)
        if each.encoder and not encoder.exists():
            raise ValueError(f"{encoder} is not there; {each.made_by} makes it")
        if encoder.name == "checkpoint-last.pth" and not s.encoder and not encoder.with_name("result.json").exists():
            raise ValueError(f"{encoder}: the pre-training is not finished; scripts/pretrain.sh resumes it")
        print("$", shlex.join(each.command), flush=True)
        code = call(each.command)
        if code:
            sys.exit(code if code > 0 else 128 - code)

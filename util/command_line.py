"""The command line of a main, built from util.options, and --help."""

import argparse

from util import published
from util.options import GROUPS, METHODS, OPTIONS
from util.validation import check_known


def parse_command_line(stage, argv=None):
    """{name: value} of the options given on a command line. Raises ValueError for an unknown one."""
    given, unknown = build_parser(stage).parse_known_args(argv)
    if unknown and not given.help:
        replaced = published.replacement(unknown[0])
        if replaced:
            raise ValueError(f"option {unknown[0]!r} does not exist; here: {replaced}")
        if not unknown[0].startswith("-"):  # --enable_amp False
            raise ValueError(f"{unknown[0]!r} belongs to no option; those of yes or no are --NAME and --no-NAME")
        name = unknown[0].split("=")[0].lstrip("-")
        elsewhere = OPTIONS.get(name.removeprefix("no-"))
        if elsewhere and stage not in elsewhere.stages:
            owners = ", ".join(f"main_{owner}.py" for owner in elsewhere.stages)
            raise ValueError(f"option --{name}: belongs to {owners}; main_{stage}.py does not have it")
        check_known(name, list(vars(given)), "option")
        raise ValueError(f"option {unknown[0]!r} does not belong here")
    if getattr(given, "eval", None) == "":
        raise ValueError("option --eval: name the classifier's checkpoint: --eval FILE")
    if getattr(given, "finetune", None) == "":  # --finetune "$UNSET"
        raise ValueError("option --finetune: is empty; leave it out for a random encoder")
    for name in ("config", "dataset"):
        if getattr(given, name, None) == "":
            raise ValueError(f"option --{name}: is empty; leave it out, or name a file")
    if getattr(given, "eval", None) and getattr(given, "finetune", None):
        raise ValueError("options --eval and --finetune: --eval judges a classifier as it is; leave one of them out")
    return {k: v for k, v in vars(given).items() if v is not None and k != "local_rank"}


class _Parser(argparse.ArgumentParser):
    """Raises ValueError for wrong values, so that the error is one line like all others, without argparse's usage."""

    def error(self, message):
        raise ValueError(message)


def build_parser(stage, values=None):
    """argparse parser of a stage; options that are not given are None.

    values: {name: value} for --help, which then lists only these options, each with its value.
    """
    others = [name for name in METHODS if values and name != values["method"]]
    parser = _Parser(
        usage="%(prog)s [--config YAML] [--dataset NAME] [options]",
        allow_abbrev=False,
        add_help=False,
        epilog="".join(f"--method {name} --help lists the options of {name}. " for name in others),
    )
    values_too = "with the values that result from the rest of the command line, such as a data set, a method, a checkpoint"
    parser.add_argument("-h", "--help", action="store_true", help=f"show all options {values_too}")
    parser.add_argument("--print_config", action="store_true", help="print all values as YAML, which --config takes, and exit")
    parser.add_argument(
        "--config", metavar="YAML", help=f"settings that override config/{stage}.yaml; a published YAML works, too"
    )
    parser.add_argument("--dataset", metavar="NAME", help="settings of a data set: a file, or the name of one in config/dataset")
    # torch.distributed.launch, which published scripts use, adds this option; the environment says the same
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    for title, options in GROUPS.items():
        group = parser.add_argument_group(f"{title} (this method only)" if title in METHODS else title)
        for option in options:
            if stage not in option.stages or values is not None and option.name not in values:
                continue
            extra = {"default": None, "help": option.help + _in_brackets((values or {}).get(option.name))}
            if option.kind is bool:
                extra["action"] = argparse.BooleanOptionalAction
            else:
                extra |= {"type": option.kind, "metavar": option.kind.__name__.upper()}
                if option.choices:
                    extra |= {"choices": option.choices, "metavar": None}
                if option.bare is not None:
                    extra |= {"nargs": "?", "const": option.bare}
                if option.many:
                    extra["nargs"] = "+" if option.default else "*"
            group.add_argument(f"--{option.name}", **extra)
    return parser


def _in_brackets(value):
    """' [value]' for --help, or ''."""
    text = " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return f" [{text}]".replace("%", "%%") if text else ""

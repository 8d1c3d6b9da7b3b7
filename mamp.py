"""The encoders for another project, after `pip install -e .` here: the one name that it gets.

    import mamp
    encoder = mamp.load("mamp", checkpoint="checkpoint-399.pth")    # or "umurl"; options: hubconf.py
    features = encoder(x)

The folders here have names (model, util, data) that the other project may have, too: they are imported beside its own and taken
out of sys.modules again, so that neither sees the other's.
"""

import importlib
import inspect
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OWN = {
    "hubconf",
    *(path.stem for path in HERE.glob("main_*.py")),
    *(path.name for path in HERE.iterdir() if path.is_dir() and any(path.glob("*.py"))),
}
_loaded = {}  # what was imported here, for the next call


def load(name, **options):
    """The encoder `name` of hubconf.py with its options, an nn.Module in evaluation mode. Errors as there; not for threads."""
    theirs = _take_out()
    sys.modules.update(_loaded)
    sys.path.insert(0, str(HERE))
    try:
        encoders = dict(inspect.getmembers(importlib.import_module("hubconf"), inspect.isfunction))
        known = [encoder for encoder in encoders if not encoder.startswith("_")]
        if name not in known:
            raise ValueError(f"{name!r}: no such encoder; use one of {', '.join(known)}")
        return encoders[name](**options)
    finally:
        sys.path.remove(str(HERE))
        _loaded.update(_take_out())
        sys.modules.update(theirs)


def _take_out():
    """Remove the modules with a name of OWN, and what is below them, from sys.modules: {name: module}."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in OWN}

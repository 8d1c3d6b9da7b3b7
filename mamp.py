"""Load encoders and classifiers from another project: after `pip install -e .` here, `mamp` is the one module that it can import.

    import mamp
    encoder = mamp.load("mamp", checkpoint="checkpoint-399.pth")    # or "umurl", "classifier"; options: hubconf.py
    features = encoder(x)

The other project may have its own `model`, `util` or `data`. So during a call its modules of these names are taken out of
sys.modules, ours are imported, and afterwards ours are taken out and its own put back.
"""

import importlib
import inspect
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if not (HERE / "hubconf.py").is_file():
    raise ImportError(f"{__file__}: the other modules are not beside it; install the repository with pip install -e")
OWN = {
    "hubconf",
    *(path.stem for path in HERE.glob("main_*.py")),
    *(path.name for path in HERE.iterdir() if path.is_dir() and any(path.glob("*.py"))),
}
_loaded = {}  # our modules, for the next call


def load(name, **options):
    """The model `name` of hubconf.py with its options, an nn.Module in evaluation mode. Errors as there. Not thread-safe."""
    theirs = _take_out()
    sys.modules.update(_loaded)
    sys.path.insert(0, str(HERE))
    try:
        models = dict(inspect.getmembers(importlib.import_module("hubconf"), inspect.isfunction))
        known = [model for model in models if not model.startswith("_")]
        if name not in known:
            raise ValueError(f"{name!r}: no such model; use one of {', '.join(known)}")
        return models[name](**options)
    finally:
        sys.path.remove(str(HERE))
        _loaded.update(_take_out())
        sys.modules.update(theirs)


def _take_out():
    """Remove the modules named in OWN, with their submodules, from sys.modules: {name: module}."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in OWN}

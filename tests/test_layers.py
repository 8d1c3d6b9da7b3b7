"""Which room may import which, and that no module imports another in a circle; imports inside functions count."""

import ast

from tests.processes import ROOT

ROOMS = ("util", "model", "feeder", "data", "predict", "report", "scripts")
MAY_USE = {
    "util": {"util"},
    "model": {"model", "feeder", "util"},
    "feeder": {"feeder", "util"},
    "data": {"data", "feeder", "util"},
    "predict": {"predict", "model", "feeder", "data", "util"},
    "report": {"report", "model", "feeder", "data", "util"},
    "scripts": set(ROOMS),
}


def imported():
    """{module of ours: the modules of ours that it imports}."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path for room in ROOMS for path in (ROOT / room).rglob("*.py")
    }
    graph = {}
    for module, path in files.items():
        graph[module] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
            graph[module] |= {name for name in names if name in files and name != module}
    return graph


def test_rooms_import_only_what_lies_below_them():
    wrong = [
        f"{module} imports {other}"
        for module, others in imported().items()
        for other in others
        if other.split(".")[0] not in MAY_USE[module.split(".")[0]]
    ]
    assert not wrong


def test_no_module_imports_itself_through_others():
    graph, done = imported(), set()

    def visit(module, path):
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for other in graph[module]:
                visit(other, [*path, module])
            done.add(module)

    for module in graph:
        visit(module, [])


def test_util_and_model_know_no_data_set():
    """Names of data sets stand in their configurations, and in the rooms that prepare and judge them."""
    names = {path.stem.split("_")[0] for path in (ROOT / "config/dataset").glob("*.yaml")} - {"demo"}
    for path in [*(ROOT / "util").glob("*.py"), *(ROOT / "model").glob("*.py")]:
        words = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not words & names, path

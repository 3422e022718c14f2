"""Arrows point one way, rooms know the contracts alone, nobody imports a component, and names load nothing slow."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Who may import whom: a line imports what stands above it, and files of its own folder. Lines are dotted names
# below `autodl`; the longest one that fits a file counts. "" is the package itself, which the user imports.
ORDER = (
    ("errors",),
    ("space", "tasks", "dropout", "layout", "_metric_functions", "_scaling", "efficientnet"),
    ("records",),
    ("attribution",),
    ("contracts",),
    ("registry", "vectors"),
    ("_own_encoder", "metrics", "storage", "intervals"),
    ("own", "_blends", "calibration", "leaderboard", "estimating"),
    ("data", "network", "ensemble", "answers"),
    ("training",),
    ("fitted",),
    ("explaining",),
    ("testing",),
    ("predictor",),
    ("report",),
    ("tuning",),
    ("_cli_values", "_cli_output", "_cli_screens"),
    ("_cli_progress",),
    ("live",),
    ("",),
    ("_cli_explain",),
    ("_cli_commands",),
    ("_cli_parser",),
    ("cli",),
    ("__main__",),
)
ROOMS = ("autodl.modalities", "autodl.encoders", "autodl.losses", "autodl.optimizers", "autodl.estimators")
PLUGINS = ("autodl_fusions", "autodl_explainers")
OPEN_TO_ROOMS = ("contracts", "attribution", "records", "tasks", "errors", "space", "efficientnet")
OPEN_TO_ROOMS = tuple(f"autodl.{name}" for name in OPEN_TO_ROOMS)
SLOW = {"captum", "matplotlib", "optuna", "pandas", "plotly", "polars", "pyarrow", "scipy", "sklearn", "skops", "torch"}
QUICK = (
    "__init__",
    "__main__",
    "cli",
    "_cli_commands",
    "_cli_parser",
    "_cli_values",
    "errors",
    "space",
    "tasks",
    "records",
    "registry",
)


def module_name(path: str) -> str:
    """``plugins/autodl_fusions/concat.py`` → ``autodl_fusions.concat``."""
    return path.removeprefix("plugins/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imported(tree: ast.AST, known: set[str], package: str = "") -> set[str]:
    """The project's own modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            found |= {full if (full := f"{base}.{alias.name}") in known else base for alias in node.names}
    return {name for name in found if name.split(".")[0] in {"autodl", *PLUGINS}}


def all_imports(modules: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Each module's name and what it imports of the project."""
    known = {module_name(path) for path in modules}
    return {
        module_name(path): imported(tree, known, package=module_name(path).rpartition(".")[0])
        for path, tree in modules.items()
    }


def room_of(module: str) -> str | None:
    """The room that a module is in, or None."""
    return next((room for room in (*ROOMS, *PLUGINS) if module == room or module.startswith(f"{room}.")), None)


def rank(module: str) -> int | None:
    """The line of ``ORDER`` that a module of the engine stands on; None for one that nobody gave a place."""
    name = module.removeprefix("autodl").removeprefix(".")
    while True:
        for index, line in enumerate(ORDER):
            if name in line:
                return index
        if "." not in name:
            return None
        name = name.rpartition(".")[0]


def against_the_order(imports: dict[str, set[str]]) -> Iterator[str]:
    for module, others in imports.items():
        if room_of(module):
            continue
        for other in others:
            same_folder = module.split(".")[:2] == other.split(".")[:2] and module.count(".") > 1
            if other == module or same_folder:
                continue
            here, there = rank(module), rank(other)
            if here is None or there is None or not there < here:
                yield f"{module} imports {other}"


def test_every_module_of_the_engine_has_a_place_in_the_order(modules: dict[str, ast.Module]) -> None:
    names = [module_name(path) for path in modules]
    assert [name for name in names if room_of(name) is None and rank(name) is None] == []


def test_arrows_point_one_way(modules: dict[str, ast.Module]) -> None:
    assert sorted(against_the_order(all_imports(modules))) == []


@pytest.mark.parametrize(
    ("module", "line", "wrong"),
    [
        ("autodl.network", "from autodl.contracts import Encoder", False),
        ("autodl.network", "from autodl.training.loop import Training", True),
        ("autodl.records", "from autodl import registry", True),
        ("autodl.training.loop", "from autodl.training.pack import Pack", False),
        ("autodl.training.loop", "def late():\n    import autodl.tuning", True),
        ("autodl.training.loop", "from autodl import search", True),
        ("autodl.training.loop", "from ..tuning import study", True),
        ("autodl.training.loop", "from .pack import Pack", False),
        ("autodl.surprise", "from autodl import errors", True),
    ],
)
def test_an_arrow_that_points_back_is_seen(module: str, line: str, wrong: bool) -> None:
    known = {"autodl.registry", "autodl.tuning.study", "autodl.training.pack", "autodl.errors"}
    imports = {module: imported(ast.parse(line), known, package=module.rpartition(".")[0])}
    assert bool(list(against_the_order(imports))) == wrong


def test_rooms_and_plugins_import_the_contracts_and_their_own_private_files_alone(
    modules: dict[str, ast.Module],
) -> None:
    wrong = [
        f"{module} imports {other}"
        for module, others in all_imports(modules).items()
        for other in sorted(others)
        if (room := room_of(module)) and other not in OPEN_TO_ROOMS and not other.startswith(f"{room}._")
    ]
    assert wrong == []


def test_nobody_imports_a_component_or_anything_else_of_a_room(modules: dict[str, ast.Module]) -> None:
    """Components come by name from the registry; a room's private files are its own affair."""
    wrong = [
        f"{module} imports {other}"
        for module, others in all_imports(modules).items()
        for other in sorted(others)
        if (room := room_of(other)) and room_of(module) != room
    ]
    assert wrong == []


def top_level_imports(tree: ast.Module) -> set[str]:
    """First parts of the modules that importing a file imports at once."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING":
            waiting += [*node.body, *node.orelse]
        elif isinstance(node, ast.Try):
            waiting += node.body
    return found


def test_what_names_and_errors_need_imports_nothing_slow(modules: dict[str, ast.Module]) -> None:
    quick = {path: tree for path, tree in modules.items() if path.startswith("autodl/")}
    wrong = {
        path: slow
        for path, tree in quick.items()
        if path.split("/")[1].removesuffix(".py") in QUICK and (slow := top_level_imports(tree) & SLOW)
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "statement",
    [
        "import autodl; dir(autodl)",
        "from autodl import registry; [room.names() for room in registry.ROOMS.values()]",
        "import sys; sys.argv = ['autodl', '--help']; from autodl.__main__ import main; sys.exit(main())",
        "import sys; sys.argv = ['autodl', 'components']; from autodl.__main__ import main; sys.exit(main())",
        "import sys; sys.argv = ['autodl', 'search', '--help']; from autodl.__main__ import main; sys.exit(main())",
    ],
)
def test_help_and_names_load_no_slow_module(statement: str, tmp_path: Path) -> None:
    """What makes ``autodl --help`` answer at once, measured in modules and not in seconds of a busy machine."""
    code = f"try:\n    {statement}\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
    code += f"import sys; print('slow:', sorted({SLOW!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "slow: []"

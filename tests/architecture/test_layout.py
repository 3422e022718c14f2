"""One component a file, a mirrored test for each file, and files and functions that can be read in one go."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from autodl.registry import camel_case

ROOMS = tuple(f"autodl/{room}" for room in ("modalities", "encoders", "losses", "optimizers", "estimators"))
ROOMS += tuple(f"plugins/{room}" for room in ("autodl_fusions", "autodl_explainers"))
MOST_LINES, MOST_BODY, MOST_ARGUMENTS = 300, 40, 6
MOST_TEST_LINES = 500  # a test file follows its source file and is not split as a matter of length
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core", "manager"}
FOLDERS = {"autodl": 3, "plugins": 2, "examples": 3, "benchmarks": 2, "tests": 4}  # parts of the deepest folder's path


def public_classes(tree: ast.Module) -> list[str]:
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def components(modules: dict[str, ast.Module]) -> dict[str, ast.Module]:
    """The public files of all rooms."""
    return {
        path: tree
        for path, tree in modules.items()
        if str(Path(path).parent) in ROOMS and not Path(path).name.startswith("_")
    }


def mirrored(path: str) -> str:
    """Where the test of a source file stands."""
    file = Path(path)
    if file.parent.as_posix() == "autodl/testing":
        return f"tests/contracts/test_every_{file.stem}.py"
    return (Path("tests") / file.parent / f"test_{file.stem.strip('_')}.py").as_posix()


def has_code(tree: ast.Module) -> bool:
    """Whether a file holds more than its docstring."""
    return len(tree.body) > 1 or ast.get_docstring(tree) is None


def functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from its first statement to its last, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_a_public_file_of_a_room_holds_one_public_class_called_as_the_file(modules: dict[str, ast.Module]) -> None:
    wrong = {
        path: classes
        for path, tree in components(modules).items()
        if (classes := public_classes(tree)) != [camel_case(Path(path).stem)]
    }
    assert wrong == {}


def test_a_component_says_in_one_short_line_what_it_is(modules: dict[str, ast.Module]) -> None:
    """The line that ``autodl components`` prints."""
    first = {path: (ast.get_docstring(tree) or "").split("\n")[0] for path, tree in components(modules).items()}
    assert [f"{path}: {line}" for path, line in first.items() if not 10 <= len(line) <= 80] == []


def test_every_source_file_has_its_mirrored_test(modules: dict[str, ast.Module], root: Path) -> None:
    code = [path for path, tree in modules.items() if has_code(tree) or not path.endswith("__init__.py")]
    assert {path: mirrored(path) for path in code if not (root / mirrored(path)).is_file()} == {}


def test_every_test_mirrors_a_source_file(modules: dict[str, ast.Module], python_files: dict[str, ast.Module]) -> None:
    tests = [path for path in python_files if path.startswith(("tests/autodl/", "tests/plugins/", "tests/contracts/"))]
    known = {mirrored(path) for path in modules}
    assert [path for path in tests if Path(path).name != "conftest.py" and path not in known] == []


def test_files_can_be_read_in_one_go(python_files: dict[str, ast.Module], root: Path) -> None:
    lengths = {path: len((root / path).read_text(encoding="utf-8").splitlines()) for path in python_files}
    limits = {path: MOST_TEST_LINES if path.startswith("tests/") else MOST_LINES for path in python_files}
    assert {path: length for path, length in lengths.items() if length > limits[path]} == {}


def test_function_bodies_are_short(modules: dict[str, ast.Module]) -> None:
    lengths = {f"{path}: {f.name}": body_length(f) for path, tree in modules.items() for f in functions(tree)}
    assert {name: length for name, length in lengths.items() if length > MOST_BODY} == {}


def test_functions_take_few_arguments_by_position(modules: dict[str, ast.Module]) -> None:
    counts = {
        f"{path}: {function.name}": len(
            [a for a in function.args.posonlyargs + function.args.args if a.arg not in ("self", "cls")]
        )
        for path, tree in modules.items()
        for function in functions(tree)
    }
    assert {name: count for name, count in counts.items() if count > MOST_ARGUMENTS} == {}


def test_every_file_says_what_it_is(python_files: dict[str, ast.Module]) -> None:
    silent = [
        path for path, tree in python_files.items() if not path.startswith("tests/") and not ast.get_docstring(tree)
    ]
    assert silent == []


def test_no_file_has_a_name_that_says_nothing(python_files: dict[str, ast.Module]) -> None:
    assert [
        path for path in python_files if EMPTY_NAMES & {part.strip("_") for part in Path(path).with_suffix("").parts}
    ] == []


def test_folders_are_flat_and_tests_are_no_packages(python_files: dict[str, ast.Module]) -> None:
    deep = [path for path in python_files if len(Path(path).parent.parts) > FOLDERS[Path(path).parts[0]]]
    assert deep == []
    assert [path for path in python_files if path.startswith("tests/") and path.endswith("__init__.py")] == []


def test_the_names_of_tests_are_sentences_and_differ_in_each_file(python_files: dict[str, ast.Module]) -> None:
    """A second function of one name hides the first, which then never runs."""
    tests = {path: tree for path, tree in python_files.items() if path.startswith("tests/")}
    twice = []
    for path, tree in tests.items():
        for scope in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
            names = [node.name for node in scope.body if isinstance(node, ast.FunctionDef) and not node.decorator_list]
            twice += [f"{path}: {name}" for name in set(names) if names.count(name) > 1]
    assert twice == []


@pytest.mark.parametrize(
    ("path", "test"),
    [
        ("autodl/encoders/mlp.py", "tests/autodl/encoders/test_mlp.py"),
        ("autodl/tuning/executors/_work.py", "tests/autodl/tuning/executors/test_work.py"),
        ("plugins/autodl_fusions/concat.py", "tests/plugins/autodl_fusions/test_concat.py"),
        ("autodl/testing/encoder.py", "tests/contracts/test_every_encoder.py"),
    ],
)
def test_where_the_test_of_a_file_stands(path: str, test: str) -> None:
    assert mirrored(path) == test


def test_the_length_of_a_body_leaves_out_the_docstring() -> None:
    source = 'def f(x):\n    """One.\n\n    Two.\n    """\n    y = (\n        x\n    )\n    return y\n'
    assert [body_length(function) for function in functions(ast.parse(source))] == [4]

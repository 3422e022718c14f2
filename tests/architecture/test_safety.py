"""Nothing that the project reads can run code: no pickle in any dress, no eval, no YAML objects."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

MODULES = {"cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    "read_pickle",
    "to_pickle",
    "export.load",
    "hub.load",
    "jit.load",
    "package.PackageImporter",
    "torch.load",
    "torch.save",
    "load_state_dict_from_url",
}


WEIGHTS = ("autodl/efficientnet.py", ("torch.load",))
"""A package carries these weights as torch wrote them; their digest is known, and they are read as numbers alone."""


def is_unsafe(name: str) -> bool:
    """Whether a dotted name is one of ``METHODS``; safetensors holds numbers alone."""
    return not name.startswith("safetensors.") and any(name == m or name.endswith(f".{m}") for m in METHODS)


def unsafe(tree: ast.AST) -> Iterator[str]:
    """What a file does that could run code which came with data."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {alias.name}" for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in MODULES:
                yield f"from {node.module} import"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (f"from {name}" for name in names if is_unsafe(name))
        elif isinstance(node, ast.Call):
            yield from _unsafe_call(node)
        elif isinstance(node, ast.Attribute) and is_unsafe(ast.unparse(node)):
            yield ast.unparse(node)


def _unsafe_call(node: ast.Call) -> Iterator[str]:
    if isinstance(node.func, ast.Name) and node.func.id in CALLS:
        yield f"{node.func.id}()"
    for keyword in node.keywords:
        if keyword.arg == "allow_pickle" and not (
            isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        ):
            yield "allow_pickle"
        if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False):
            yield "shell=True"


def test_nothing_in_the_project_can_run_code_that_came_with_data(python_files: dict[str, ast.Module]) -> None:
    own = {path: tree for path, tree in python_files.items() if not path.startswith("tests/")}
    assert dict([WEIGHTS]) == {path: tuple(found) for path, tree in own.items() if (found := list(unsafe(tree)))}


def test_the_one_file_of_weights_is_read_as_numbers_alone(python_files: dict[str, ast.Module]) -> None:
    calls = [node for node in ast.walk(python_files[WEIGHTS[0]]) if isinstance(node, ast.Call)]
    (load,) = [call for call in calls if ast.unparse(call.func) == "torch.load"]
    assert {word.arg: ast.unparse(word.value) for word in load.keywords}["weights_only"] == "True"


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import joblib.numpy_pickle",
        "from pickle import loads",
        "from torch import load\nfrom torch.jit import load",
        "torch.load(path, weights_only=True)",
        "torch.export.load(path)",
        "reader = torch.jit.load",
        "pd.read_pickle(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "yaml = 1\nimport yaml",
        "eval(text)",
        "exec(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_each_of_these_is_seen(line: str) -> None:
    assert list(unsafe(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "model.eval()",
        "np.load(path, allow_pickle=False)",
        "json.load(file)",
        "storage.load(a)",
        "safetensors.torch.load(a)",
    ],
)
def test_none_of_these_is(line: str) -> None:
    assert list(unsafe(ast.parse(line))) == []

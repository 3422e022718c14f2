"""What the documents say is true: commands exist, code runs, samples are the files, names are registered."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from autodl import registry
from autodl._cli_commands import COMMANDS as CLI
from autodl._cli_parser import parse
from autodl.errors import AutoDLError

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "plugins/README.md", "benchmarks/README.md")
INSTALL = "pip install -c constraints.txt '.[test]'"
COMMANDS = f"pip install -c constraints.txt . && autodl search breast_cancer --time 1m\n{INSTALL} && pytest\n"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAMPLE = re.compile(r"\]\(([^)]+)\):\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEXTS = {".md", ".py", ".svg", ".toml", ".txt", ""}
FOREIGN = (  # a project speaks of itself alone; written in two parts so that this file does not hold them
    *("py" + "pi.org", "python" + "hosted.org", "download.py" + "torch.org", "index" + "-url", "find" + "-links"),
    *("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "local" + "host:"),
)


def read(root: Path, document: str) -> str:
    return (root / document).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return [body for found, body in BLOCK.findall(text) if found == language]


def command_lines(text: str) -> Iterator[list[str]]:
    """Every ``autodl …`` that a document says to type, in blocks and in sentences."""
    lines = [line for language in ("sh", "console") for block in blocks(text, language) for line in block.splitlines()]
    lines += re.findall(r"`(autodl [a-z][^`\n]*)`", BLOCK.sub("", text))
    parts = [part.strip() for line in lines for part in line.removeprefix("$ ").split("&&")]
    yield from (shlex.split(part.split(" > ")[0])[1:] for part in parts if part.startswith("autodl "))


def test_the_first_screen_has_one_sentence_two_commands_and_one_picture(root: Path) -> None:
    screen = read(root, "README.md").split("\n## ")[0]
    title, sentence, *_ = screen.split("\n\n")
    assert title == "# autodl"
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    assert blocks(screen, "sh") == [COMMANDS]
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", screen)
    assert (root / picture).read_text(encoding="utf-8").startswith("<svg")


def test_ci_executes_what_the_readme_says_to_type(root: Path) -> None:
    script = read(root, ".ci/run").splitlines()
    steps = [INSTALL, "pytest", "ruff check", "ruff format --check", "mypy"]
    assert [line for line in script if line in steps] == steps
    assert any(line.startswith("autodl search breast_cancer --time ") for line in script)
    assert os.access(root / ".ci/run", os.X_OK)
    assert subprocess.run(["bash", "-n", str(root / ".ci/run")], check=False).returncode == 0


def test_every_command_in_the_documents_can_be_read(root: Path) -> None:
    lines = [(document, words) for document in DOCUMENTS for words in command_lines(read(root, document))]
    assert {words[0] for _, words in lines} == set(CLI)
    for document, words in lines:
        if words == words[:1]:  # a command that is only mentioned
            continue
        try:
            parse(words)
        except AutoDLError as error:
            pytest.fail(f"{document}: autodl {shlex.join(words)}: {error}")


def test_every_option_that_is_mentioned_exists(root: Path) -> None:
    arguments = [argument for command in CLI.values() for group in command.groups.values() for argument in group]
    known = {name for argument in arguments for name in argument.names}
    mentioned = set(re.findall(r"`(--[a-z-]+)(?=[` =])", read(root, "README.md")))
    assert len(mentioned) > 5
    assert mentioned <= known


def test_the_map_names_every_room_and_only_what_is_registered(root: Path) -> None:
    section = read(root, "README.md").split("## The map of the rooms")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)/` \| (.*) \|$", section, re.MULTILINE)
    folders = {name for name, _ in rows}
    assert [name for name in folders if not (root / name).is_dir()] == []
    rooms = [
        path.parent.relative_to(root).as_posix()
        for top in ("autodl", "plugins")
        for path in (root / top).rglob("*/__init__.py")
    ]
    assert set(rooms) - folders - {"autodl"} == set()
    for folder, text in rows:
        room = folder.split("/")[-1].removeprefix("autodl_")
        named = set(re.findall(r"`(\w+)`", text))
        if room in registry.ROOMS:
            assert named <= set(registry.ROOMS[room].names()), folder


def test_the_samples_in_the_page_on_plugins_are_the_files_of_the_example(root: Path) -> None:
    samples = dict(SAMPLE.findall(read(root, "plugins/README.md")))
    assert sorted(Path(path).name for path in samples) == [
        "autodl_swiglu.py",
        "pyproject.toml",
        "test_autodl_swiglu.py",
    ]
    for path, text in samples.items():
        assert text == (root / "plugins" / path).read_text(encoding="utf-8"), path


def test_the_page_on_plugins_names_every_contract_its_group_and_its_suite(root: Path) -> None:
    rows = re.findall(r"^\| `(\w+)`: .* \| `autodl\.(\w+)` \| (.*) \|$", read(root, "plugins/README.md"), re.MULTILINE)
    assert {room: contract for contract, room, _ in rows} == {r.room: r.contract for r in registry.ROOMS.values()}
    for contract, _, suite in rows:
        module, _, name = suite.strip("`").rpartition(".")
        if suite == "none yet":
            assert not (root / "autodl" / "testing" / f"{contract.lower()}.py").exists()
        else:
            assert inspect.isclass(getattr(importlib.import_module(module), name))


def test_links_between_documents_lead_somewhere(root: Path) -> None:
    dead = []
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", read(root, document)):
            if not target.startswith("https://") and not (root / document).parent.joinpath(target).exists():
                dead.append(f"{document}: {target}")
    assert dead == []


def test_the_changelog_has_this_version(root: Path) -> None:
    version = tomllib.loads(read(root, "pyproject.toml"))["project"]["version"]
    assert re.findall(r"^## \[([^\]]+)\]", read(root, "CHANGELOG.md"), re.MULTILINE)[:2] == ["Unreleased", version]


def test_the_license_is_the_one_that_the_project_names(root: Path) -> None:
    text = read(root, "LICENSE")
    assert tomllib.loads(read(root, "pyproject.toml"))["project"]["license"] == "Apache-2.0"
    assert text.split("\n")[1:3] == [" " * 33 + "Apache License", " " * 27 + "Version 2.0, January 2004"]
    assert "END OF TERMS AND CONDITIONS" in text


def test_nothing_in_the_tree_names_a_place_outside_it(root: Path) -> None:
    folders = ("autodl", "plugins", "examples", "benchmarks", "tests", "docs", ".ci")
    files = [path for folder in folders for path in (root / folder).rglob("*") if "__pycache__" not in path.parts]
    files += [path for path in root.iterdir() if path.is_file()]
    wrong = [
        f"{path.relative_to(root)}: {word}"
        for path in files
        if path.is_file() and path.suffix in TEXTS and path.name != ".git"
        for word in FOREIGN
        if word in path.read_text(encoding="utf-8")
    ]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_python_in_the_readme_runs(root: Path, tmp_path: Path, position: int) -> None:
    """As it stands, but for the budget."""
    found = blocks(read(root, "README.md"), "python")
    assert len(found) == 3
    assert 'time="1m"' in found[position]
    code = found[position].replace('time="1m"', "trials=4")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_bad_input_of_the_readme_gets_what_the_readme_says(root: Path, tmp_path: Path) -> None:
    (session,) = blocks(read(root, "README.md"), "console")
    for line in filter(None, session.split("$ ")):
        command, said = line.split("\n", 1)
        words = [sys.executable, "-m", *shlex.split(command)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.split() == said.split()
        assert list(tmp_path.iterdir()) == []

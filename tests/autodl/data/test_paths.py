from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.data.paths import Root
from autodl.errors import DataError


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "img").mkdir(parents=True)
    (tmp_path / "root" / "img" / "a.png").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.png").touch()
    return tmp_path / "root"


@pytest.mark.parametrize("cell", ["img/a.png", "./img/a.png", "img/../img/a.png", "img//a.png"])
def test_paths_inside_become_absolute(root, cell):
    assert Root(root).resolve(cell, "image") == str(root / "img" / "a.png")


def test_an_absolute_path_inside_the_root_is_taken(root):
    assert Root(root).resolve(str(root / "img" / "a.png"), "image") == str(root / "img" / "a.png")


def test_a_file_that_is_not_there_is_no_error(root):
    assert Root(root).resolve("img/none.png", "image") == str(root / "img" / "none.png")


@pytest.mark.parametrize("cell", ["../outside/secret.png", "/etc/passwd", "img/../../outside/secret.png", ".."])
def test_paths_that_lead_out_are_refused(root, cell):
    with pytest.raises(DataError, match=r"paths in column 'image' must stay inside .* --root"):
        Root(root).resolve(cell, "image")


def test_a_folder_whose_name_begins_as_the_roots_is_outside(root):
    root.with_name("root2").mkdir()
    with pytest.raises(DataError):
        Root(root).resolve("../root2/a.png", "image")


def test_symlinks_that_lead_out_give_nothing(root):
    (root / "link.png").symlink_to(root.parent / "outside" / "secret.png")
    (root / "folder").symlink_to(root.parent / "outside")
    (root / "chain.png").symlink_to("link.png")
    there = Root(root)
    for cell in ("link.png", "folder/secret.png", "chain.png"):
        assert there.resolve(cell, "image") is None


def test_symlinks_that_stay_inside_are_followed(root):
    (root / "link.png").symlink_to("img/a.png")
    assert Root(root).resolve("link.png", "image") == str(root / "link.png")


def test_a_root_that_is_a_symlink_itself_works(root):
    (root.parent / "alias").symlink_to(root)
    assert Root(root.parent / "alias").resolve("img/a.png", "image") == str(root.parent / "alias" / "img" / "a.png")


def test_a_root_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="the root must be a folder"):
        Root(tmp_path / "none")


@given(st.lists(st.sampled_from(["..", ".", "img", "folder", "a.png", "", "/", "~", "\0", "x" * 300]), max_size=6))
def test_no_path_ever_leads_out(tmp_path_factory, parts):
    base = tmp_path_factory.mktemp("law")
    (base / "root" / "img").mkdir(parents=True)
    (base / "root" / "folder").symlink_to(base)
    try:
        path = Root(base / "root").resolve("/".join(parts), "image")
    except DataError:
        return
    if path is not None:
        assert os.path.realpath(path).startswith(os.path.realpath(base / "root"))

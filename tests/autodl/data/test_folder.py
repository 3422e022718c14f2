from __future__ import annotations

from pathlib import Path

import pytest

from autodl.data.folder import read_folder
from autodl.errors import DataError


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_each_sub_folder_is_a_class(tmp_path):
    table = read_folder(fill(tmp_path, "cat/b.png", "cat/a.JPG", "dog/c.png"))
    assert table.frame["image"].tolist() == ["cat/a.JPG", "cat/b.png", "dog/c.png"]
    assert table.frame["label"].tolist() == ["cat", "cat", "dog"]
    assert (table.target, table.root, table.notes) == ("label", tmp_path, ())


def test_what_is_no_image_of_a_class_is_left_out_and_told(tmp_path):
    fill(tmp_path, "cat/a.png", "cat/notes.txt", "readme.md", "stray.png", ".git/x.png", "cat/.hidden.png")
    table = read_folder(tmp_path)
    assert table.frame["image"].tolist() == ["cat/a.png"]
    assert "2 files" in table.notes[0]
    assert "1 images" in table.notes[1]


def test_images_without_labels_may_lie_in_the_folder_itself(tmp_path):
    table = read_folder(fill(tmp_path, "b.png", "a.png"), labelled=False)
    assert table.frame.columns.tolist() == ["image"]
    assert table.frame["image"].tolist() == ["a.png", "b.png"]


def test_another_size_or_name_is_another_fingerprint(tmp_path):
    first = read_folder(fill(tmp_path, "cat/a.png")).fingerprint
    assert read_folder(tmp_path).fingerprint == first
    (tmp_path / "cat/a.png").write_bytes(b"longer than before")
    second = read_folder(tmp_path).fingerprint
    fill(tmp_path, "cat/b.png")
    assert len({first, second, read_folder(tmp_path).fingerprint}) == 3


@pytest.mark.parametrize(
    ("names", "came"),
    [
        ((), "there is none"),
        (("cat/a.txt",), "there is none"),
        (("a.png", "b.png"), "its 2 images lie in the folder itself"),
        (("train/cat/a.png", "test/cat/b.png"), "test, train hold folders; name one of them"),
    ],
)
def test_a_folder_without_classes_is_refused(tmp_path, names, came):
    with pytest.raises(DataError, match=f"one sub-folder of images for each class, however {came}"):
        read_folder(fill(tmp_path, *names))

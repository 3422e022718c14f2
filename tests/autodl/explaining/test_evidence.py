from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from autodl import storage
from autodl.contracts import Modality
from autodl.explaining.evidence import BYTES, CHARACTERS, PICTURE_ROWS, ROWS, Evidence, draw
from autodl.predictor import Predictor, load
from autodl.records import Column


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    frame = pd.DataFrame(
        {
            "age": [1.5, np.nan],
            "day": pd.to_datetime(["2026-02-03", None]).as_unit("ns"),
            "job": pd.Series(["<b>", None], dtype=object),
            "photo": pd.Series([None, image], dtype=object),
            "clip": pd.Series([np.arange(3, dtype=np.int16), np.arange(5, dtype=np.int16)], dtype=object),
        }
    )
    before = Evidence(frame, np.array([0, 1]), np.array([[0.25, 0.75]]), np.array([1]))
    storage.save(tmp_path, "evidence", before.to_content())
    after = Evidence.from_content(storage.load(tmp_path, "evidence"))
    arrays = ["photo", "clip"]
    pd.testing.assert_frame_equal(after.frame.drop(columns=arrays), frame.drop(columns=arrays), check_dtype=False)
    assert [clip.tolist() for clip in after.frame["clip"]] == [[0, 1, 2], [0, 1, 2, 3, 4]]
    assert all(clip.dtype == np.int16 for clip in after.frame["clip"])
    assert after.frame["photo"][0] is None
    assert np.array_equal(after.frame["photo"][1], image)
    assert after.targets.tolist() == [0, 1]
    assert after.told.tolist() == [[0.25, 0.75]]
    assert after.truth.tolist() == [1]


def test_a_search_keeps_training_rows_and_what_it_said_of_the_test_part(networks: Predictor, tmp_path: Path) -> None:
    networks.save(tmp_path)
    kept = load(tmp_path, device="cpu").evidence
    assert kept is not None
    assert list(kept.frame.columns) == ["age", "plan", "noise", "day"]
    assert len(kept.frame) == len(kept.targets) <= ROWS
    scored = networks.scored(kept.told, kept.truth)
    assert scored == networks.scores["test"]


def test_rows_are_drawn_by_the_seed_from_training_rows_alone() -> None:
    frame, targets = pd.DataFrame({"x": np.arange(1000.0)}), np.arange(1000)
    positions = np.arange(500, 1000)
    drawn, known = draw(frame, targets, positions, {}, seed=1)
    assert len(drawn) == ROWS
    assert drawn["x"].min() >= 500
    assert np.array_equal(drawn["x"], known)
    assert draw(frame, targets, positions, {}, seed=1)[1].tolist() == known.tolist()
    assert draw(frame, targets, positions, {}, seed=2)[1].tolist() != known.tolist()


def test_images_are_kept_as_the_networks_see_them(pictures: Predictor) -> None:
    """So that no file is asked for later: transformed again they are what they were."""
    kept = pictures.evidence
    assert kept is not None
    assert len(kept.frame) <= PICTURE_ROWS
    cells = [cell for cell in kept.frame["photo"] if cell is not None]
    assert all(cell.dtype == np.uint8 for cell in cells)
    assert any(cell is None for cell in kept.frame["photo"])
    for modality in pictures.modalities.values():
        if modality.columns[0].name == "photo":
            stored = modality.transform(kept.frame)
            assert np.array_equal(stored.values[stored.present][0, 0].numpy(), cells[0])


class Keeper:
    """The part of a modality that is asked what it keeps."""

    def __init__(self, column: Column, entries: int, dtype: type = np.int16) -> None:
        self.columns, self.entries, self.dtype = (column,), entries, dtype

    def kept(self, cell: str | None) -> np.ndarray | None:
        return None if cell is None else np.full(self.entries, int(cell), self.dtype)


def fitted(*modalities: object) -> dict[str, Modality]:
    return {str(place): each for place, each in enumerate(modalities)}  # type: ignore[misc]


def test_sounds_are_kept_as_the_modality_that_listens_longest_hears_them() -> None:
    column = Column("clip", "audio")
    frame = pd.DataFrame({"clip": pd.Series(["1", None, "3"], dtype=object)})
    views = fitted(Keeper(column, 5), Keeper(column, 9), Keeper(column, 7))
    drawn, _ = draw(frame, np.arange(3), np.arange(3), views, seed=0)
    assert [None if cell is None else cell.tolist() for cell in drawn["clip"]] == [[1] * 9, None, [3] * 9]


def test_sounds_take_no_more_place_than_there_is() -> None:
    frame = pd.DataFrame({"clip": pd.Series(["1"] * 100, dtype=object)})
    drawn, _ = draw(frame, np.arange(100), np.arange(100), fitted(Keeper(Column("clip", "audio"), BYTES // 10)), seed=0)
    assert len(drawn) == PICTURE_ROWS
    assert [cell is not None for cell in drawn["clip"]] == [True] * 5 + [False] * (PICTURE_ROWS - 5)


def test_texts_are_kept_and_very_long_ones_without_their_middle() -> None:
    class Reader:
        columns = (Column("review", "text"),)

    long = "a" * CHARACTERS + "b" * CHARACTERS
    frame = pd.DataFrame({"review": pd.Series(["short", None, long], dtype=object)})
    drawn, _ = draw(frame, np.arange(3), np.arange(3), fitted(Reader()), seed=0)
    half = CHARACTERS // 2
    assert drawn["review"].tolist() == ["short", None, "a" * half + "\n" + "b" * half]


def test_what_cannot_be_kept_is_missing() -> None:
    """A path would ask for a file that may be gone."""

    class Looker:
        columns = (Column("photo", "image"),)

    frame = pd.DataFrame({"photo": pd.Series(["/a.png", "/b.png"], dtype=object)})
    drawn, _ = draw(frame, np.arange(2), np.arange(2), fitted(Looker()), seed=0)
    assert drawn["photo"].tolist() == [None, None]

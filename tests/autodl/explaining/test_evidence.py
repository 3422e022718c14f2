from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from autodl import storage
from autodl.explaining.evidence import PICTURE_ROWS, ROWS, Evidence, draw
from autodl.predictor import Predictor, load


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    frame = pd.DataFrame(
        {
            "age": [1.5, np.nan],
            "day": pd.to_datetime(["2026-02-03", None]).as_unit("ns"),
            "job": pd.Series(["<b>", None], dtype=object),
            "photo": pd.Series([None, image], dtype=object),
        }
    )
    before = Evidence(frame, np.array([0, 1]), np.array([[0.25, 0.75]]), np.array([1]))
    storage.save(tmp_path, "evidence", before.to_content())
    after = Evidence.from_content(storage.load(tmp_path, "evidence"))
    pd.testing.assert_frame_equal(after.frame.drop(columns="photo"), frame.drop(columns="photo"), check_dtype=False)
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

from __future__ import annotations

import pytest
import torch

from autodl.errors import ExplanationError
from autodl.explaining.players import SEGMENTS, column_players, input_players, segment_players
from autodl.records import InputSpec


def sheet(mask: list[int], columns: tuple[str, ...]) -> InputSpec:
    return InputSpec((len(mask),), columns, torch.tensor(mask), torch.zeros(len(mask)))


def photo(*shape: int) -> InputSpec:
    return InputSpec(shape, ("photo",), torch.zeros(shape, dtype=torch.long), torch.zeros(shape))


def halves(height: int, width: int) -> torch.Tensor:
    """A picture whose left half is dark, and whose right half is bright."""
    image = torch.zeros(1, 1, height, width)
    image[..., width // 2 :] = 5
    return image


def test_a_column_is_one_player_in_all_its_views() -> None:
    specs = {"a": sheet([0, 1, 1], ("age", "job")), "b": sheet([0, 0, 1], ("age", "job"))}
    players = column_players(specs, ("job", "age", "left_out"))
    assert players.names == ("job", "age")
    assert players.index["a"].tolist() == [1, 0, 0]
    assert players.index["b"].tolist() == [1, 1, 0]


def test_inputs_as_players() -> None:
    specs = {"photo-1": photo(1, 4, 4), "photo-2": photo(3, 2, 2), "table-1": sheet([0], ("age",))}
    players = input_players(specs, {"photo-1": "photo", "photo-2": "photo", "table-1": "table"})
    assert players.names == ("photo", "table")
    assert set(players.index["photo-2"].unique().tolist()) == {0}
    assert players.index["table-1"].tolist() == [1]


def test_segments_follow_what_is_to_be_seen() -> None:
    """None reaches over the edge between dark and bright."""
    image = halves(16, 16)
    players = segment_players({"photo": photo(1, 16, 16)}, {"photo": image}, count=8)
    index = players.index["photo"][0, 0]
    assert players.own
    assert not set(index[:, :8].unique().tolist()) & set(index[:, 8:].unique().tolist())
    assert 4 <= len(players) <= 12
    assert players.names[0] == "photo segment 1"


def test_views_of_one_image_share_its_segments() -> None:
    specs = {"large": photo(1, 16, 16), "small": photo(1, 8, 8)}
    players = segment_players(specs, {"large": halves(16, 16), "small": halves(8, 8)}, count=6)
    assert torch.equal(players.index["large"][:, :, 1::2, 1::2], players.index["small"])


def test_columns_stand_beside_segments_and_a_missing_image_is_one_player() -> None:
    specs = {"photo": photo(1, 8, 8), "table": sheet([0, 0, 1], ("age", "job"))}
    inputs = {"photo": torch.cat([halves(8, 8), torch.full((1, 1, 8, 8), torch.nan)]), "table": torch.zeros(2, 3)}
    players = segment_players(specs, inputs, ("age", "photo", "job"))
    assert players.names[:3] == ("age", "job", "photo segment 1")
    assert players.index["table"].tolist() == [[0, 0, 1]] * 2
    assert players.index["photo"][1].unique().tolist() == [2]


def test_the_same_image_has_the_same_segments_and_no_more_than_asked() -> None:
    image = torch.randn(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    first, again = (segment_players({"photo": photo(3, 20, 30)}, {"photo": image}) for _ in range(2))
    assert torch.equal(first.index["photo"], again.index["photo"])
    assert len(first) <= SEGMENTS * 1.3


def test_there_must_be_an_image() -> None:
    with pytest.raises(ExplanationError, match="no image column; take columns"):
        segment_players({"table": sheet([0], ("age",))}, {"table": torch.zeros(1, 1)})

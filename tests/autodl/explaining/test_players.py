from __future__ import annotations

import pytest
import torch

from autodl.errors import ExplanationError
from autodl.explaining.players import (
    SEGMENTS,
    Division,
    column_players,
    input_players,
    part_kind,
    part_players,
    segment_players,
)
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


def text(length: int, width: int = 1) -> InputSpec:
    return InputSpec((length, width), ("review",), torch.zeros(length, width).long(), torch.zeros(length, width))


def clip(frames: int) -> InputSpec:
    shape = (1, 2, frames)
    axes = ("channel", "frequency", "time")
    return InputSpec(shape, ("clip",), torch.zeros(shape).long(), torch.zeros(shape), axes=axes)


def everything() -> tuple[dict[str, InputSpec], dict[str, torch.Tensor]]:
    specs = {"a": sheet([0, 0, 1], ("age", "job")), "b": photo(1, 16, 16), "c": text(4), "d": clip(32)}
    inputs = {
        "a": torch.zeros(2, 3),
        "b": halves(16, 16).expand(2, -1, -1, -1),
        "c": torch.tensor([[5.0, 6, 0, 0], [7, 8, 9, 5]]).unsqueeze(2),
        "d": torch.zeros(2, 1, 2, 32),
    }
    return specs, inputs


def test_kinds_are_told_by_axes() -> None:
    specs, _ = everything()
    assert [part_kind(specs[key]) for key in "abcd"] == [None, "image", "text", "sound"]
    assert part_kind(InputSpec((2, 3), ("x 0", "x 1"), torch.zeros(2, 3).long(), torch.zeros(2, 3))) is None


def test_images_texts_and_sounds_are_divided_beside_columns() -> None:
    specs, inputs = everything()
    players = part_players(specs, inputs, ("review", "age", "clip", "photo", "job"))
    assert players.own
    assert players.names[:7] == ("age", "job", "review word 1", "review word 2", "review word 3", "review word 4",
                                 "clip band 1")  # fmt: skip
    assert players.names[-1].startswith("photo segment ")
    assert players.index["c"][:, :, 0].tolist() == [[2, 3, 3, 3], [2, 3, 4, 5]]
    shares = players.pooled({key: torch.ones_like(x) for key, x in inputs.items()})
    assert shares.sum(1).tolist() == [sum(x[0].numel() for x in inputs.values())] * 2
    assert (shares[1] > 0).all()


def test_only_what_is_asked_for_is_divided() -> None:
    specs, inputs = everything()
    players = part_players(specs, inputs, division=Division(kinds={"sound"}, frequencies=2))
    assert set(players.names) > {"age", "job", "photo", "review", "clip band 1 low", "clip band 16 high"}
    assert len(players) == 4 + 32


def test_what_has_no_place_in_a_column_is_a_player_of_its_own() -> None:
    """As numbers that a network made of a whole image."""
    specs = {"a": photo(1, 16, 16), "b": sheet([0, 0], ("photo",))}
    players = part_players(specs, {"a": halves(16, 16), "b": torch.zeros(1, 2)})
    assert players.names[-1] == "photo as a whole"
    assert players.index["b"].tolist() == [[len(players) - 1] * 2]

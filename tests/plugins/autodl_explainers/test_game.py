from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from autodl.attribution import Players, Question
from autodl_explainers._game import Game, tables

NAN = float("nan")


def question(
    inputs: dict[str, Tensor],
    index: dict[str, Tensor],
    background: dict[str, Tensor],
    model: Callable[[dict[str, Tensor]], Tensor],
    own: bool = False,
    memory: int = 2**26,
) -> Question:
    count = 1 + max(int(each.max()) for each in index.values())
    players = Players(tuple(f"p{i}" for i in range(count)), index, own)
    return Question(model, inputs, 0, {}, players, background, background, memory=memory)


def test_a_coalition_is_worth_the_mean_over_background_rows_of_what_is_mixed() -> None:
    x, background = (
        torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        torch.tensor([[10.0, 20.0, 30.0], [0.0, 0.0, 1.0]]),
    )

    def model(batch: dict[str, Tensor]) -> Tensor:
        table = batch["table"]
        return torch.stack([table[:, 0] * table[:, 1], table[:, 2]], 1)

    game = Game(question({"table": x}, {"table": torch.tensor([0, 1, 1])}, {"table": background}, model), [1, 0])
    table = next(tables(game.question))
    found = game.worth(table, torch.tensor([[True, False], [False, True]]))
    assert found.tolist() == [[[15.5, (1 * 20 + 0) / 2], [15.5, (4 * 20 + 0) / 2]], [[3.0, 10.0], [6.0, 25.0]]]
    assert game.full.tolist() == [[3.0, 2.0], [6.0, 20.0]]
    assert game.empty.tolist() == [15.5, 100.0]
    assert game.evaluations == 2 + 2 + 2 * 2 * 2


def test_little_memory_makes_small_batches_and_the_same_worths() -> None:
    sizes: list[int] = []
    generator = torch.Generator().manual_seed(0)
    x, background = torch.randn(5, 4, generator=generator), torch.randn(7, 4, generator=generator)

    def model(batch: dict[str, Tensor]) -> Tensor:
        sizes.append(len(batch["table"]))
        return batch["table"].prod(1, keepdim=True)

    coalitions = torch.rand(11, 4, generator=generator) < 0.5
    found = []
    for memory in (2**26, 16 * 16 * 3, 1):  # all at once, three rows, one row
        sizes.clear()
        asked = question({"table": x}, {"table": torch.arange(4)}, {"table": background}, model, memory=memory)
        found.append(Game(asked, [0]).worth(next(tables(asked)), coalitions))
        assert max(sizes) == {2**26: 385, 768: 3, 1: 1}[memory]
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])


def test_rows_sit_by_how_many_players_they_have() -> None:
    index = torch.tensor([[0, 0, 2], [0, 1, 2], [1, 1, 1], [1, 2, 2]])
    x = torch.tensor([[1.0, 2.0, 3.0]]).repeat(4, 1)
    asked = question(
        {"table": x},
        {"table": index},
        {"table": torch.zeros(1, 3)},
        lambda b: b["table"].sum(1, keepdim=True),
        own=True,
    )
    found = list(tables(asked))
    assert [table.rows.tolist() for table in found] == [[2], [0, 3], [1]]
    assert [table.players.tolist() for table in found] == [[[1]], [[0, 2], [1, 2]], [[0, 1, 2]]]
    game = Game(asked, [0])
    assert game.worth(found[1], torch.tensor([[True, False]])).flatten().tolist() == [3.0, 1.0]


def test_a_missing_input_is_one_player_and_stays_missing_where_it_is_present() -> None:
    """Players 0 and 1 divide the picture, 2 the number, and 3 lies in both."""
    picture = torch.tensor([[1.0, 2.0, 3.0], [NAN, NAN, NAN]])
    number = torch.tensor([[5.0, 7.0], [5.0, 7.0]])
    seen: list[dict[str, Tensor]] = []

    def model(batch: dict[str, Tensor]) -> Tensor:
        seen.append(batch)
        return torch.where(batch["picture"].isnan().any(1), -1.0, batch["picture"].sum(1)).unsqueeze(1)

    asked = question(
        {"number": number, "picture": picture},
        {"number": torch.tensor([2, 3]), "picture": torch.tensor([0, 1, 3])},
        {"number": torch.zeros(1, 2), "picture": torch.zeros(1, 3)},
        model,
    )
    few, many = tables(asked)
    assert (few.rows.tolist(), few.players.tolist()) == ([1], [[0, 2]])
    assert (many.rows.tolist(), many.players.tolist()) == ([0], [[0, 1, 2, 3]])
    game = Game(asked, [0])
    seen.clear()
    assert game.worth(few, torch.tensor([[True, False], [False, True]])).flatten().tolist() == [-1.0, 0.0]
    mixed = {name: torch.cat([each[name] for each in seen]) for name in ("picture", "number")}
    assert mixed["picture"].isnan().tolist() == [[True] * 3, [False] * 3]
    assert mixed["number"].tolist() == [[0.0, 7.0], [5.0, 0.0]]

from __future__ import annotations

import torch

from autodl.attribution import Attribution, Players, Question

COLUMNS = Players(("age", "job"), {"table": torch.tensor([0, 1, 1])})
SEGMENTS = Players(("left", "right"), {"photo": torch.tensor([[[0, 0], [1, 1]], [[0, 0], [0, 0]]])}, own=True)


def test_a_player_has_the_sum_of_its_entries() -> None:
    assert COLUMNS.pooled({"table": torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.0, -1.0]])}).tolist() == [[1, 5], [0.5, -1]]


def test_entries_of_one_player_may_stand_in_several_inputs() -> None:
    both = Players(("age", "job"), {"a": torch.tensor([0, 1]), "b": torch.tensor([1])})
    assert both.pooled({"b": torch.tensor([[10.0]]), "a": torch.tensor([[1.0, 2.0]])}).tolist() == [[1, 12]]


def test_rows_with_a_division_of_their_own_are_pooled_by_it() -> None:
    entries = {"photo": torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]])}
    assert SEGMENTS.pooled(entries).tolist() == [[3, 7], [10, 0]]


def test_spread_gives_every_entry_its_players_value() -> None:
    values = torch.tensor([[5.0, 7.0], [1.0, 2.0]])
    assert COLUMNS.spread(values)["table"].tolist() == [[5, 7, 7], [1, 2, 2]]
    assert SEGMENTS.spread(values)["photo"].tolist() == [[[5, 5], [7, 7]], [[1, 1], [1, 1]]]


def test_some_rows_take_their_own_division_with_them() -> None:
    assert COLUMNS.at(slice(0, 1)) is COLUMNS
    assert SEGMENTS.at(torch.tensor([1])).index["photo"].tolist() == [[[0, 0], [0, 0]]]
    assert len(SEGMENTS) == 2


def test_a_question_about_some_rows_keeps_all_else() -> None:
    x = {"photo": torch.arange(8.0).view(2, 2, 2)}
    question = Question(lambda inputs: inputs["photo"], x, 3, {}, SEGMENTS, {}, {}, seed=5)
    part = question.at(slice(1, 2))
    assert (len(question), len(part), part.target, part.seed) == (2, 1, 3, 5)
    assert part.inputs["photo"].tolist() == [[[4, 5], [6, 7]]]
    assert part.players.index["photo"].tolist() == [[[0, 0], [0, 0]]]
    assert question.names == ("photo",)


def test_an_answer_about_some_rows() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = Attribution(values, torch.tensor(0.5), entries={"x": values}, output=torch.tensor([5.0, 6.0]))
    one = found.at(torch.tensor([1]))
    assert one.values.tolist() == [[3, 4]]
    assert one.base.item() == 0.5
    assert one.entries is not None
    assert one.entries["x"].tolist() == [[3, 4]]
    assert one.output is not None
    assert one.output.tolist() == [6]
    assert one.standard_error is None

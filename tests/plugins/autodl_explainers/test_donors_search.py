from __future__ import annotations

import dataclasses
import itertools

import torch
from torch import Tensor

from autodl.attribution import Players, Question
from autodl.records import InputSpec
from autodl_explainers._donors import Deadline, outputs
from autodl_explainers._donors_search import Line, Metric, candidates, cheapest, reverted

WEIGHTS = torch.tensor([3.0, 1.0, -2.0, 0.5], dtype=torch.float64)


def question(rows: int = 6, background: int = 15) -> Question:
    generator = torch.Generator().manual_seed(3)

    def model(inputs: dict[str, Tensor]) -> Tensor:
        score = inputs["table"] @ WEIGHTS
        return torch.stack([score, -score], 1)

    x = torch.randn(rows + background, 4, generator=generator, dtype=torch.float64)
    return Question(
        model=model,
        inputs={"table": x[:rows]},
        target=0,
        specs={},
        players=Players(tuple("abcd"), {"table": torch.arange(4)}),
        background={"table": x[rows:]},
        baseline={"table": x[:1]},
    )


def class_line(asked: Question) -> Line:
    own = outputs(asked, asked.inputs)
    return Line(0, own.argmax(1) == 0, own[:, 0])


def test_the_margin_of_a_class_is_how_far_it_is_left_or_reached() -> None:
    line = Line(1, torch.tensor([True, False]), torch.zeros(2))
    given = torch.tensor([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3], [0.5, 0.2, 0.3]])
    found = line.margin(given, torch.tensor([0, 1, 0]))
    torch.testing.assert_close(found, torch.tensor([-torch.inf, 0.2, 0.3], dtype=torch.float64))


def test_the_margin_of_a_number_is_how_far_beyond_the_least_move_it_is() -> None:
    given, row = torch.tensor([[1.0], [3.0], [-3.0]], dtype=torch.float64), torch.zeros(3, dtype=torch.long)
    inf = torch.inf
    for way, expected in ((1, [-inf, 1.0, -inf]), (-1, [-inf, -inf, 1.0]), (0, [-inf, 1.0, 1.0])):
        line = Line(0, None, torch.zeros(1), way, least=2.0)
        assert line.margin(given, row).tolist() == expected


def test_candidates_are_the_nearest_rows_of_the_other_side() -> None:
    asked = question()
    line, plain = class_line(asked), outputs(asked, asked.background)
    metric = Metric.of(asked, torch.ones(4, dtype=torch.bool))
    swaps, sent = candidates(metric, line, plain, 2)
    assert sent == 0
    x, donors = asked.inputs["table"], asked.background["table"]
    spread = donors.std(0, correction=0)
    for row in range(len(x)):
        distance = {
            donor: 4 + float(((x[row] - donors[donor]).abs() / spread).mean())
            for donor in range(len(donors))
            if (plain[donor].argmax() == 0) != (x[row] @ WEIGHTS > 0)
        }
        mine = swaps.row == row
        assert swaps.donor[mine].tolist() == sorted(distance, key=lambda donor: distance[donor])[:2]
        assert swaps.distance()[mine].tolist() == [distance[donor] for donor in swaps.donor[mine].tolist()]


def test_with_immutable_players_only_what_may_change_counts() -> None:
    asked = question()
    line, plain = class_line(asked), outputs(asked, asked.background)
    mutable = torch.tensor([True, False, True, True])
    swaps, sent = candidates(Metric.of(asked, mutable), line, plain, 100)
    assert sent == 6 * 15
    x, donors = asked.inputs["table"], asked.background["table"]
    expected = []
    for row, donor in itertools.product(range(6), range(15)):
        made = torch.where(mutable, donors[donor], x[row])
        if (made @ WEIGHTS > 0) != (x[row] @ WEIGHTS > 0):
            expected.append((row, donor))
    assert sorted(zip(swaps.row.tolist(), swaps.donor.tolist(), strict=True)) == expected
    assert not swaps.taken[:, 1].any()


def test_players_are_given_back_until_none_can_be_spared() -> None:
    asked = question()
    line, plain = class_line(asked), outputs(asked, asked.background)
    start, _ = candidates(Metric.of(asked, torch.ones(4, dtype=torch.bool)), line, plain, 3)
    found, sent, in_time = reverted(asked, line, start, Deadline(asked))
    assert in_time
    assert sent >= 4 * len(found)
    assert bool((found.taken.sum(1) >= 1).all())
    x, donors = asked.inputs["table"], asked.background["table"]
    for row, donor, taken in zip(found.row.tolist(), found.donor.tolist(), found.taken, strict=True):
        before = x[row] @ WEIGHTS > 0
        assert (torch.where(taken, donors[donor], x[row]) @ WEIGHTS > 0) != before
        for player in taken.nonzero().flatten().tolist():
            fewer = taken.clone()
            fewer[player] = False
            assert (torch.where(fewer, donors[donor], x[row]) @ WEIGHTS > 0) == before


def test_players_that_nobody_needs_are_given_back_together() -> None:
    """Of 20 players one decides: alone and in prefixes each is asked once, then the one that is left."""
    x = torch.cat([torch.ones(1, 20), -torch.ones(1, 20)]).double()
    players = Players(tuple(map(str, range(20))), {"table": torch.arange(20)})
    asked = Question(
        lambda inputs: torch.stack([inputs["table"][:, 3], -inputs["table"][:, 3]], 1),
        *({"table": x[:1]}, 0, {}, players, {"table": x[1:]}, {"table": x[1:]}),
    )
    line, plain = class_line(asked), outputs(asked, asked.background)
    start, _ = candidates(Metric.of(asked, torch.ones(20, dtype=torch.bool)), line, plain, 1)
    found, sent, _ = reverted(asked, line, start, Deadline(asked))
    assert found.taken[0].nonzero().flatten().tolist() == [3]
    assert sent == 20 + 20 + 1


def test_time_that_is_up_leaves_what_is_across() -> None:
    asked = dataclasses.replace(question(), seconds=0.0)
    line, plain = class_line(asked), outputs(asked, asked.background)
    start, _ = candidates(Metric.of(asked, torch.ones(4, dtype=torch.bool)), line, plain, 1)
    found, sent, in_time = reverted(asked, line, start, Deadline(asked))
    assert (sent, in_time) == (0, False)
    assert torch.equal(found.taken, start.taken)


def test_the_cheapest_of_each_row_is_kept_and_a_missing_input_is_one_spread_away() -> None:
    asked = question()
    asked.inputs["table"][1] = torch.nan
    metric = Metric.of(asked, torch.ones(4, dtype=torch.bool))
    swaps = metric.swaps(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2]))
    assert swaps.change[2].tolist() == [1.0] * 4
    assert swaps.distance()[2] == 5
    best = cheapest(swaps, 3)
    assert best.tolist() == [int(swaps.distance()[:2].argmin()), 2, -1]


def test_any_two_words_are_as_far_apart_as_any_others() -> None:
    spec = InputSpec((2, 1), ("text",), torch.zeros(2, 1).long(), torch.zeros(2, 1), vocabulary=100)
    near, far = torch.tensor([[[2.0], [3.0]], [[2.0], [4.0]]]), torch.tensor([[[2.0], [3.0]], [[2.0], [99.0]]])
    distances = []
    for words in (near, far):
        asked = Question(
            model=lambda inputs: inputs["text"].sum((1, 2)).unsqueeze(1),
            inputs={"text": words[:1]},
            target=0,
            specs={"text": spec},
            players=Players(("text",), {"text": torch.zeros(2, 1).long()}),
            background={"text": words},
            baseline={"text": torch.zeros(1, 2, 1)},
        )
        metric = Metric.of(asked, torch.tensor([True]))
        distances.append(float(metric.swaps(torch.tensor([0]), torch.tensor([1])).distance()))
    assert distances == [1.5, 1.5]

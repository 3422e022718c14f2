from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from autodl.attribution import Players, Question
from autodl_explainers._donors import Jobs, answers, divided, gone, outputs, parts, rows_at_once, varying, whole

SIDE = 3


def whole_sum(inputs: dict[str, Tensor]) -> Tensor:
    weights = torch.arange(1.0, SIDE * SIDE + 1)
    image = inputs["image"].flatten(1).nan_to_num(0) @ weights
    return torch.stack([image, inputs["table"] @ torch.tensor([10.0, 100.0])], 1)


def question(*, own: bool, rows: int = 5, background: int = 4) -> Question:
    generator = torch.Generator().manual_seed(0)

    def draw(count: int) -> dict[str, Tensor]:
        shapes = {"image": (1, SIDE, SIDE), "table": (2,)}
        return {name: torch.randn(count, *shape, generator=generator) for name, shape in shapes.items()}

    image = torch.randint(3, (rows, 1, SIDE, SIDE), generator=generator) if own else torch.full((1, SIDE, SIDE), 2)
    table = torch.tensor([3, 4])
    index = {"image": image, "table": table.expand(rows, -1) if own else table}
    return Question(
        model=whole_sum,
        inputs=draw(rows),
        target=0,
        specs={},
        players=Players(("a", "b", "c", "d", "e"), index, own),
        background=draw(background),
        baseline=draw(1),
    )


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("memory", [1, 1000, 2**26])
def test_every_job_takes_from_its_donor_what_it_is_told_to(own: bool, memory: int) -> None:
    asked = dataclasses.replace(question(own=own), memory=memory)
    generator = torch.Generator().manual_seed(1)
    row, donor = torch.randint(5, (30,), generator=generator), torch.randint(4, (30,), generator=generator)
    taken = torch.rand(30, 5, generator=generator) < 0.5
    jobs = Jobs(row, donor, lambda part: taken[part])
    found = torch.cat([each for _, each in answers(asked, asked.inputs, asked.background, jobs)])
    for job in range(30):
        made = {name: x[row[job]].clone() for name, x in asked.inputs.items()}
        for name, x in made.items():
            index = asked.players.index[name][row[job]] if own else asked.players.index[name]
            for at in torch.cartesian_prod(*(torch.arange(size) for size in x.shape)).view(-1, x.dim()).tolist():
                if taken[job, index[tuple(at)]]:
                    x[tuple(at)] = asked.background[name][donor[job]][tuple(at)]
        one = whole_sum({name: x.unsqueeze(0) for name, x in made.items()})[0]
        torch.testing.assert_close(found[job], one)


def test_single_jobs_take_one_player_each() -> None:
    jobs = Jobs.single(torch.zeros(3, dtype=torch.long), torch.zeros(3, dtype=torch.long), torch.tensor([2, 0, 1]), 4)
    assert len(jobs) == 3
    assert jobs.taken(slice(1, 3)).tolist() == [[True, False, False, False], [False, True, False, False]]


def test_memory_bounds_the_rows_that_are_made_together() -> None:
    asked = question(own=False)
    held = (9 + 2) * (4 * 4 + 1)
    assert rows_at_once(dataclasses.replace(asked, memory=10 * held)) == 10
    assert rows_at_once(dataclasses.replace(asked, memory=1)) == 1
    assert rows_at_once(dataclasses.replace(asked, memory=2**40)) == 4096
    assert [part.stop for part in parts(dataclasses.replace(asked, memory=2 * held), 5)] == [2, 4, 5]
    torch.testing.assert_close(
        outputs(dataclasses.replace(asked, memory=1), asked.inputs), whole_sum(dict(asked.inputs))
    )


def test_a_missing_input_fits_as_a_whole_and_is_refused_in_parts() -> None:
    asked = question(own=False)
    inputs = {**asked.inputs, "image": asked.inputs["image"].clone()}
    inputs["image"][2] = torch.nan
    assert gone(inputs["image"]).tolist() == [False, False, True, False, False]
    assert whole(asked.players, "image")
    assert not whole(asked.players, "table")
    assert divided(asked, inputs) is None
    reason = divided(question(own=True), inputs, "labelled rows")
    assert reason is not None
    assert "'image' is missing in 1 of 5 labelled rows" in reason


def test_players_of_each_row_have_no_values_in_common() -> None:
    assert varying(question(own=False)) is None
    assert "segments" in str(varying(question(own=True)))

from __future__ import annotations

import torch
from torch import Tensor

from autodl.attribution import Players, Question
from autodl.records import InputSpec
from autodl_explainers._curves import entries, grid, local_effects


def question(background: Tensor, index: list[int], numeric: list[bool], rows: Tensor | None = None) -> Question:
    spec = InputSpec(
        shape=(len(index),),
        columns=tuple(f"c{each}" for each in sorted(set(index))),
        feature_mask=torch.tensor(index),
        baseline=background.mean(0),
        numeric=torch.tensor(numeric),
    )
    return Question(
        model=lambda inputs: inputs["table"][:, :1] * inputs["table"][:, 1:2],
        inputs={"table": background[:3] if rows is None else rows},
        target=0,
        specs={"table": spec},
        players=Players(spec.columns, {"table": spec.feature_mask}),
        background={"table": background},
        baseline={"table": spec.baseline.unsqueeze(0)},
    )


def test_a_number_has_its_points_at_evenly_spaced_quantiles_each_once() -> None:
    values = torch.randperm(101, generator=torch.Generator().manual_seed(0)).float()
    at = grid(question(torch.stack([values, values], 1), [0, 1], [True, True]), 0, 5)
    assert at.values is not None
    assert at.values.tolist() == [0, 25, 50, 75, 100]
    assert torch.equal(values[at.donors], at.values)
    assert at.counts.tolist() == [13, 25, 25, 25, 13]  # a value half way goes to the lower point
    skewed = torch.cat([torch.zeros(90), torch.arange(1.0, 11.0)])
    at = grid(question(torch.stack([skewed, skewed], 1), [0, 1], [True, True]), 0, 5)
    assert at.values is not None
    assert at.values.tolist() == [0, 10]
    assert int(at.counts.sum()) == 100


def test_few_values_are_all_points_and_count_their_rows() -> None:
    values = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 2.0])
    at = grid(question(torch.stack([values, values], 1), [0, 1], [False, False]), 0, 20)
    assert at.values is not None
    assert at.values.tolist() == [0, 1, 2]
    assert at.donors.tolist() == [1, 0, 5]
    assert at.counts.tolist() == [2, 3, 1]


def test_categories_are_points_by_how_frequent_they_are() -> None:
    hot = torch.eye(3)[torch.tensor([2, 0, 0, 1, 0, 1, 2])]
    at = grid(question(hot, [0, 0, 0], [False] * 3), 0, 20)
    assert at.axis is None
    assert at.donors.tolist() == [1, 0, 3]
    assert at.counts.tolist() == [3, 2, 2]
    assert grid(question(hot, [0, 0, 0], [False] * 3), 0, 2).donors.tolist() == [1, 0]


def test_a_number_with_a_mark_for_missing_cells_is_a_curve_over_those_that_are_not() -> None:
    table = torch.tensor([[3.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    asked = question(table, [0, 0], [True, False])
    at = grid(asked, 0, 20)
    assert at.values is not None
    assert at.values.tolist() == [1, 2, 3]
    assert at.donors.tolist() == [2, 4, 0]
    assert at.beside is not None
    assert at.beside[0].isnan()
    assert at.beside[1] == 0
    effects, sent = local_effects(asked, at, 0)
    assert effects.tolist() == [0, 0, 0]  # the model is number times mark
    assert sent == 2 * (3 + 2)  # rows whose cell is there, of the background and of the three explained ones


def test_a_date_is_a_curve_over_its_age_without_local_effects() -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(10, 3, generator=generator)
    at = grid(question(table, [0, 0, 0], [True, False, False]), 0, 10)
    assert at.donors.tolist() == table[:, 0].argsort().tolist()
    assert at.axis == 0
    assert at.beside is None


def test_local_effects_are_those_of_the_textbook() -> None:
    """Of x · y with y near x they follow the square's half, which the mean curve does not."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60, generator=generator, dtype=torch.float64)
    table = torch.stack([x, x + 0.1 * torch.randn(60, generator=generator, dtype=torch.float64)], 1)
    rows = torch.tensor([[0.3, 5.0], [9.0, 1.0]], dtype=torch.float64)  # the second one is beyond all points
    asked = question(table, [0, 1], [True, True], rows)
    at = grid(asked, 0, 7)
    assert at.values is not None
    found, sent = local_effects(asked, at, 0)
    edges, data = at.values.tolist(), [*table.tolist(), [0.3, 5.0]]
    assert sent == 2 * len(data)
    effect, steps = [0.0], []
    for k in range(1, 7):
        inside = [y for v, y in data if edges[k - 1] < v <= edges[k] or (k == 1 and v == edges[0])]
        steps.append(len(inside))
        effect.append(effect[-1] + sum(y * (edges[k] - edges[k - 1]) for y in inside) / len(inside))
    centre = sum(n * (effect[k] + effect[k + 1]) / 2 for k, n in enumerate(steps)) / sum(steps)
    torch.testing.assert_close(found, torch.tensor(effect, dtype=torch.float64) - centre)


def test_a_constant_has_one_point_and_no_effect() -> None:
    table = torch.ones(5, 2)
    asked = question(table, [0, 1], [True, True])
    at = grid(asked, 0, 20)
    assert at.donors.tolist() == [0]
    assert local_effects(asked, at, 0)[0].tolist() == [0]
    assert entries(asked, 1, asked.background).shape == (5, 1)

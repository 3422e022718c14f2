from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from autodl.attribution import Players, Question
from autodl_explainers.lime import Lime, neighbours, weighted_ridge

Model = Callable[[Tensor], Tensor]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def question(
    model: Model, x: Tensor, background: Tensor | None = None, index: Tensor | None = None, seed: int = 0
) -> Question:
    background = torch.zeros_like(x[:1]) if background is None else background
    index = torch.arange(x.shape[1]) if index is None else index
    players = Players(tuple(f"p{i}" for i in range(int(index.max()) + 1)), {"table": index}, index.ndim == x.ndim)
    named = {"table": background}
    return Question(lambda b: model(b["table"]), {"table": x}, 0, {}, players, named, named, seed=seed)


def curved(t: Tensor) -> Tensor:
    return torch.stack([torch.sigmoid(t[:, 0] * t[:, 1] + t[:, 2]), t.sum(1)], 1)


def test_a_linear_model_is_found_again() -> None:
    weights, x, background = draw(8), draw(5, 8), draw(3, 8, seed=1)
    found = Lime(samples=200, ridge=0.0).attribute(question(lambda t: (t @ weights).unsqueeze(1) + 2, x, background))
    torch.testing.assert_close(found.values, weights * (x - background.mean(0)), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.found["intercept"], (background @ weights).mean().expand(5) + 2, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.found["r2"], torch.ones(5).double())
    assert found.standard_error is not None
    assert float(found.standard_error.max()) < 1e-6


def test_the_regression_is_scikit_learns() -> None:
    """In its terms the penalty is a share of the sum of weighted squares."""
    x, y, weights = (draw(300, 6) > 0).double(), draw(300, 2, seed=1), draw(300, 1, seed=2).exp()
    slopes, _, r2, intercept = weighted_ridge(x, y, weights / weights.sum(), 0.01)
    for column in range(2):
        centred = x - (weights * x).sum(0) / weights.sum()
        alpha = 0.01 * float((weights * centred.square()).sum(0).mean())
        ridge = Ridge(alpha=alpha, tol=1e-12, solver="cholesky")
        ridge.fit(x.numpy(), y[:, column].numpy(), sample_weight=weights[:, 0].numpy())
        np.testing.assert_allclose(slopes[column].numpy(), ridge.coef_, atol=1e-9)
        assert float(intercept[column]) == pytest.approx(ridge.intercept_, abs=1e-9)
        score = ridge.score(x.numpy(), y[:, column].numpy(), sample_weight=weights[:, 0].numpy())
        assert float(r2[column]) == pytest.approx(score, abs=1e-9)


def test_standard_errors_are_those_of_other_draws() -> None:
    """Slopes differ from seed to seed by as much as they say."""
    x = draw(2, 6)
    drawn = [Lime(samples=400).attribute(question(curved, x, seed=seed)) for seed in range(40)]
    spread = torch.stack([each.values for each in drawn]).std(0)
    said = torch.stack([each.standard_error for each in drawn if each.standard_error is not None]).mean(0)
    ratio = (said / spread)[:, :3]  # the others do nothing, and say so
    assert float(ratio.min()) > 0.7
    assert float(ratio.max()) < 1.5


def test_small_probabilities_have_slopes_too() -> None:
    x = draw(4, 10)
    small, large = (Lime().attribute(question(lambda t, by=by: by * curved(t), x)).values for by in (1e-6, 1.0))
    torch.testing.assert_close(small, 1e-6 * large)
    assert float(large[:, :3].abs().min()) > 1e-6


def test_players_far_from_the_row_count_less_in_a_narrow_kernel() -> None:
    """Near the row, where nearly all are present, an AND of all is felt; far from it, it is not."""
    both: Model = lambda t: t.prod(1, keepdim=True)  # noqa: E731
    near, far = (Lime(kernel_width=w).attribute(question(both, torch.ones(1, 6))).values.mean() for w in (0.05, 1.0))
    assert float(near) > 2 * float(far)


def test_all_outputs_come_from_the_same_evaluations() -> None:
    asking = question(curved, draw(3, 5), draw(4, 5, seed=1))
    together = Lime(samples=50).attribute_all(asking, [1, 0])
    alone = Lime(samples=50).attribute(asking)
    assert alone.evaluations == together[0].evaluations == 3 * 49 * 4 + 3 + 4
    torch.testing.assert_close(together[1].values, alone.values)
    torch.testing.assert_close(together[1].found["r2"], alone.found["r2"])
    torch.testing.assert_close(together[0].found["r2"], torch.ones(3).double(), rtol=0, atol=1e-3)
    assert bool((alone.found["r2"] < 1).all())


def test_rows_with_fewer_players_and_missing_inputs() -> None:
    index = torch.tensor([[0, 0, 2], [0, 1, 2], [1, 1, 1]])
    x = draw(3, 3)
    linear: Model = lambda t: torch.where(t.isnan(), 7.0, t).sum(1, keepdim=True)  # noqa: E731
    found = Lime(samples=100, ridge=0.0).attribute(question(linear, x, index=index))
    torch.testing.assert_close(found.values, torch.zeros(3, 3).double().scatter_add_(1, index, x), rtol=0, atol=1e-6)
    gone = torch.full((1, 3), torch.nan).double()
    found = Lime(samples=100, ridge=0.0).attribute(question(linear, gone))
    torch.testing.assert_close(found.values, torch.tensor([[21.0, 0.0, 0.0]]).double(), rtol=0, atol=1e-6)


def test_too_few_samples_are_refused() -> None:
    asking = question(curved, draw(2, 10))
    objection = Lime(samples=21).objection(asking)
    assert objection is not None
    assert "22" in objection
    assert Lime(samples=22).objection(asking) is None


def test_the_same_seed_says_the_same() -> None:
    x = draw(2, 6)
    before = torch.random.get_rng_state()
    one, same, other = (Lime(samples=60).attribute(question(curved, x, seed=seed)).values for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_neighbours_have_all_sizes() -> None:
    counts = torch.bincount(neighbours(5, 6000, 0).sum(1), minlength=6)
    assert counts.min() > 850

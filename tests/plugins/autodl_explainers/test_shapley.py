from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autodl.attribution import Attribution, Players, Question
from autodl_explainers.shapley import Shapley

with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
    warnings.simplefilter("ignore")  # what it imports warns of itself
    patch.setenv("NUMBA_DISABLE_JIT", "1")  # to compile takes longer than the tests
    import shap

Model = Callable[[Tensor], Tensor]
NAN = float("nan")


def question(
    model: Model, x: Tensor, background: Tensor | None = None, index: Tensor | None = None, **more: Any
) -> Question:
    background = x.new_zeros(1, *x.shape[1:]) if background is None else background
    index = torch.arange(x.shape[1]) if index is None else index
    players = Players(tuple(f"p{i}" for i in range(int(index.max()) + 1)), {"table": index}, index.ndim == x.ndim)
    wrapped = lambda batch: model(batch["table"])  # noqa: E731
    return Question(wrapped, {"table": x}, 0, {}, players, {"table": background}, {"table": background[:1]}, **more)


def values(model: Model, x: Tensor, background: Tensor | None = None, **more: Any) -> Tensor:
    return Shapley(**more).attribute(question(model, x, background)).values


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def perceptron(inputs: int, outputs: int = 2, seed: int = 0) -> Model:
    first, second = draw(inputs, 24, seed=seed), draw(24, outputs, seed=seed + 1)
    return lambda x: torch.tanh(x @ first / 2).relu() @ second


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.double(), expected.double(), rtol=0, atol=1e-12)


# closed forms


def test_a_linear_model_gives_weight_times_difference() -> None:
    weights, x, background = draw(5), draw(3, 5), draw(4, 5, seed=1)
    close(values(lambda t: (t @ weights + 7).unsqueeze(1), x, background), weights * (x - background.mean(0)))


def test_a_linear_model_of_many_players_too() -> None:
    weights, x = draw(40), draw(3, 40)
    found = Shapley(evaluations=256).attribute(question(lambda t: (t @ weights + 7).unsqueeze(1), x))
    assert float((found.values - weights * x).abs().max()) < 1e-3
    assert int(found.found["coalitions"].max()) < 256


def test_an_additive_model_gives_each_players_own_difference() -> None:
    x, background = draw(4, 3), draw(1, 3, seed=1)

    def parts(t: Tensor) -> Tensor:
        return torch.stack([t[:, 0].sin(), t[:, 1] ** 3, t[:, 2].exp()], 1)

    close(values(lambda t: parts(t).sum(1, keepdim=True), x, background), parts(x) - parts(background))


def test_a_product_is_shared() -> None:
    x, b = draw(6, 3), draw(1, 3, seed=1)
    found = values(lambda t: (t[:, 0] * t[:, 1] + t[:, 2]).unsqueeze(1), x, b)
    expected = [
        0.5 * (x[:, 0] - b[:, 0]) * (x[:, 1] + b[:, 1]),
        0.5 * (x[:, 1] - b[:, 1]) * (x[:, 0] + b[:, 0]),
        x[:, 2] - b[:, 2],
    ]
    close(found, torch.stack(expected, 1))


def test_the_airport_game() -> None:
    """A runway as long as the longest needs: each stretch is shared by those who need it."""
    found = values(lambda t: t.amax(1, keepdim=True), torch.tensor([[6.0, 12.0, 24.0]]))
    close(found, torch.tensor([[2.0, 5.0, 17.0]]))


def test_the_glove_game() -> None:
    """One left glove and two right ones."""
    pairs: Model = lambda t: torch.minimum(t[:, 0], t[:, 1] + t[:, 2]).unsqueeze(1)  # noqa: E731
    close(values(pairs, torch.ones(1, 3)), torch.tensor([[4.0, 1.0, 1.0]]).double() / 6)


def test_the_majority_game() -> None:
    """Votes 3, 2, 1, 1 with a majority of 4: the first is decisive in half of the orders."""
    votes = torch.tensor([3.0, 2.0, 1.0, 1.0])
    found = values(lambda t: (t @ votes >= 4).double().unsqueeze(1), torch.ones(1, 4))
    close(found, torch.tensor([[3.0, 1.0, 1.0, 1.0]]).double() / 6)


def test_the_majority_game_of_many_players_is_beyond_third_order_and_the_error_says_so() -> None:
    asking = question(lambda t: (t.sum(1, keepdim=True) > 7.5).double(), torch.ones(1, 15))
    found = Shapley(evaluations=1024).attribute(asking)
    assert found.standard_error is not None
    assert float(found.standard_error.mean()) > 0.1 / 15
    assert float(((found.values - 1 / 15).abs() <= 2 * found.standard_error).double().mean()) >= 0.9


# agreement


def test_it_agrees_with_shap() -> None:
    model, x, background = perceptron(6), draw(5, 6), draw(9, 6, seed=2)
    found = Shapley().attribute_all(question(model, x, background), [0, 1])
    call = lambda t: model(torch.from_numpy(np.asarray(t, dtype=np.float64))).numpy()  # noqa: E731
    ours = torch.stack([each.values for each in found], 2).numpy()
    exact = shap.ExactExplainer(call, shap.maskers.Independent(background.numpy(), max_samples=9))(x.numpy())
    np.testing.assert_allclose(ours, exact.values, atol=1e-10)
    np.testing.assert_allclose([float(each.base) for each in found], exact.base_values[0], atol=1e-10)
    kernel = shap.KernelExplainer(call, background.numpy()).shap_values(x.numpy(), silent=True, l1_reg=False)
    np.testing.assert_allclose(ours, kernel, atol=1e-8)


def test_it_needs_no_torch_model_as_trees_show() -> None:
    from sklearn.ensemble import RandomForestClassifier

    x = draw(80, 5)
    forest = RandomForestClassifier(10, max_depth=4, random_state=0).fit(x.numpy(), (x[:, 0] * x[:, 1] > 0).numpy())
    found = values(lambda t: torch.from_numpy(forest.predict_proba(t.numpy())), x[:3], x[40:60])
    explainer = shap.ExactExplainer(forest.predict_proba, shap.maskers.Independent(x[40:60].numpy(), max_samples=20))
    np.testing.assert_allclose(found.numpy(), explainer(x[:3].numpy()).values[:, :, 0], atol=1e-10)


# axioms

seeds = st.integers(0, 10**6)
few_or_many = st.sampled_from([5, 14])


def asked(model: Model, x: Tensor, seed: int = 0) -> Attribution:
    return Shapley(evaluations=256, tolerance=0.0).attribute(
        question(model, x, draw(2, x.shape[1], seed=99), seed=seed)
    )


def allowed(found: Attribution) -> Tensor:
    """Three standard errors where values are estimated."""
    error = torch.zeros_like(found.values) if found.standard_error is None else 3 * found.standard_error
    return error + 1e-9


@settings(max_examples=12, deadline=None)
@given(seeds, few_or_many)
def test_who_does_nothing_gets_nothing(seed: int, players: int) -> None:
    inner = perceptron(players - 1, seed=seed)
    found = asked(lambda t: inner(t[:, 1:]), draw(2, players, seed=seed))
    assert (found.values[:, 0].abs() <= allowed(found)[:, 0]).all()


@settings(max_examples=12, deadline=None)
@given(seeds, few_or_many)
def test_who_does_the_same_gets_the_same(seed: int, players: int) -> None:
    inner = perceptron(players, seed=seed)
    x = draw(2, players, seed=seed)
    x[:, 1] = x[:, 0]

    def model(t: Tensor) -> Tensor:
        return inner(t) + inner(torch.cat([t[:, [1, 0]], t[:, 2:]], 1))

    background = draw(2, players, seed=99)
    background[:, 1] = background[:, 0]
    found = Shapley(evaluations=256, tolerance=0.0).attribute(question(model, x, background))
    assert ((found.values[:, 0] - found.values[:, 1]).abs() <= 2 * allowed(found)[:, :2].sum(1)).all()


@settings(max_examples=12, deadline=None)
@given(seeds, few_or_many)
def test_values_sum_to_the_output_less_the_base(seed: int, players: int) -> None:
    model, x = perceptron(players, seed=seed), draw(3, players, seed=seed)
    found = asked(model, x, seed)
    close(found.values.sum(1), model(x)[:, 0] - found.base)
    close(found.base, model(draw(2, players, seed=99))[:, 0].mean())


@settings(max_examples=12, deadline=None)
@given(seeds, few_or_many)
def test_values_of_a_sum_are_the_sum_of_values(seed: int, players: int) -> None:
    one, two = perceptron(players, seed=seed), perceptron(players, seed=seed + 5)
    x = draw(2, players, seed=seed)
    apart, both = (asked(one, x), asked(two, x)), asked(lambda t: 2 * one(t) - two(t), x)
    difference = (2 * apart[0].values - apart[1].values - both.values).abs()
    assert (difference <= allowed(both) + 2 * allowed(apart[0]) + allowed(apart[1])).all()


# players


def test_a_group_of_entries_moves_as_one() -> None:
    x, index = draw(4, 6), torch.tensor([0, 0, 1, 1, 1, 2])
    product: Model = lambda t: (t[:, :2].sum(1) * t[:, 2:5].sum(1) + t[:, 5]).unsqueeze(1)  # noqa: E731
    found = Shapley().attribute(question(product, x, index=index)).values
    half = x[:, :2].sum(1) * x[:, 2:5].sum(1) / 2
    close(found, torch.stack([half, half, x[:, 5]], 1))


def test_rows_may_be_divided_each_in_its_own_way() -> None:
    """With fewer players in some rows, who have no share there."""
    index = torch.tensor([[0, 0, 2], [0, 1, 2], [1, 1, 1], [2, 0, 0]])
    x, weights = draw(4, 3), draw(3)
    linear: Model = lambda t: (t @ weights).unsqueeze(1)  # noqa: E731
    found = Shapley().attribute(question(linear, x, index=index)).values
    close(found, torch.zeros(4, 3).double().scatter_add_(1, index, x * weights))


def test_inputs_may_be_players_and_a_player_may_lie_in_two() -> None:
    inputs = {"sound": draw(3, 2, 4), "table": draw(3, 2, seed=1)}
    background = {name: torch.zeros_like(x[:1]) for name, x in inputs.items()}
    index = {"sound": torch.zeros(2, 4, dtype=torch.long), "table": torch.tensor([1, 0])}
    players = Players(("a", "b"), index)

    def model(batch: dict[str, Tensor]) -> Tensor:
        return (batch["sound"].sum((1, 2)) * batch["table"][:, 0] + batch["table"][:, 1]).unsqueeze(1)

    found = Shapley().attribute(Question(model, inputs, 0, {}, players, background, background)).values
    half = inputs["sound"].sum((1, 2)) * inputs["table"][:, 0] / 2
    close(found, torch.stack([half + inputs["table"][:, 1], half], 1))


@pytest.mark.parametrize("numbers", [2, 14])
def test_a_missing_input_has_one_share_and_nothing_becomes_nan(numbers: int) -> None:
    picture = torch.tensor([[1.0, 2.0], [NAN, NAN]]).double()
    inputs = {"picture": picture, "table": draw(2, numbers)}
    background = {"picture": torch.tensor([[0.5, 0.0]]).double(), "table": torch.zeros(1, numbers).double()}
    index = {"picture": torch.tensor([0, 1]), "table": torch.arange(numbers) + 2}
    players = Players(tuple(map(str, range(numbers + 2))), index)

    def model(batch: dict[str, Tensor]) -> Tensor:
        seen = batch["picture"]
        gone = seen.isnan().any(1)
        assert bool((seen.isnan().all(1) == gone).all()), "an input is missing as a whole"
        return (torch.where(gone, -3.0, seen.sum(1)) + batch["table"].sum(1)).unsqueeze(1)

    asking = Question(model, inputs, 0, {}, players, background, background)
    found = Shapley(evaluations=512).attribute(asking)
    expected = torch.cat([torch.tensor([[0.5, 2.0], [-3.5, 0.0]]).double(), inputs["table"]], 1)
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-3)
    assert found.values[1, 1] == 0


# interactions


def test_xor_is_all_interaction_and_a_sum_has_none() -> None:
    x = torch.ones(1, 2)
    asking = lambda model: Shapley(interactions=True).attribute(question(model, x)).interactions  # noqa: E731
    xor = asking(lambda t: ((t[:, 0] > 0) ^ (t[:, 1] > 0)).double().unsqueeze(1))
    close(xor, torch.tensor([[[0.0, -2.0], [-2.0, 0.0]]]))
    close(asking(lambda t: t.sum(1, keepdim=True)), torch.zeros(1, 2, 2))


@pytest.mark.parametrize("players", [5, 16])
def test_a_product_interacts_and_nothing_else_does(players: int) -> None:
    x = draw(3, players)
    product: Model = lambda t: (3 * t[:, 0] * t[:, 1] + t[:, 2:].sum(1)).unsqueeze(1)  # noqa: E731
    found = Shapley(interactions=True, evaluations=512).attribute(question(product, x)).interactions
    assert found is not None
    expected = torch.zeros(3, players, players).double()
    expected[:, 0, 1] = expected[:, 1, 0] = 3 * x[:, 0] * x[:, 1]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-2)
    assert Shapley().attribute(question(product, x)).interactions is None


# effort


def test_all_outputs_come_from_the_same_evaluations() -> None:
    for players in (4, 15):
        asking = question(perceptron(players, 3), draw(4, players), draw(3, players, seed=1))
        together = Shapley(tolerance=0.0, evaluations=128).attribute_all(asking, [2, 0])
        assert together[0].evaluations == together[1].evaluations
        alone = Shapley(tolerance=0.0, evaluations=128).attribute_all(asking, [0])[0]
        assert alone.evaluations == together[0].evaluations
        difference = (alone.values - together[1].values).abs()
        assert (difference <= allowed(alone) + allowed(together[1])).all()


def test_evaluations_are_counted() -> None:
    seen = 0

    def model(t: Tensor) -> Tensor:
        nonlocal seen
        seen += len(t)
        return t.prod(1, keepdim=True)

    for players, count in ((3, 2 * 4 * 6 + 2 + 4), (20, 2 * 4 * 98 + 2 + 4)):
        seen = 0
        asking = question(model, draw(2, players), draw(4, players, seed=1))
        found = Shapley(evaluations=100, tolerance=0.0).attribute(asking)
        assert found.evaluations == seen == count
        assert found.found["coalitions"].tolist() == [{3: 8, 20: 100}[players]] * 2


def test_the_same_seed_says_the_same_and_leaves_global_chance_alone() -> None:
    model, x = perceptron(16), draw(3, 16)
    before = torch.random.get_rng_state()
    one, same, other = (Shapley(evaluations=128).attribute(question(model, x, seed=seed)).values for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_many_rows_are_taken_some_at_a_time_where_memory_is_little() -> None:
    model, x = perceptron(15), draw(40, 15)
    plenty, little = (
        Shapley(evaluations=256, tolerance=0.0).attribute(question(model, x, memory=memory))
        for memory in (2**26, 2**19)
    )
    assert little.evaluations == plenty.evaluations
    assert len(little.notes) == 1
    assert "40 of 40 rows" in little.notes[0]
    allow = allowed(plenty) + allowed(little)
    assert ((little.values - plenty.values).abs() <= allow).all()


def test_exact_values_have_no_standard_error_and_estimated_ones_say_how_they_came_about() -> None:
    exact = Shapley().attribute(question(perceptron(12), draw(2, 12)))
    assert exact.standard_error is None
    assert exact.notes == ()
    assert exact.found["coalitions"].tolist() == [4096, 4096]
    some = Shapley(evaluations=64).attribute(question(perceptron(13), draw(2, 13)))
    assert some.standard_error is not None
    assert "13 players" in some.notes[0]
    assert "64 of 2^13 coalitions" in some.notes[0]
    assert Shapley(evaluations=8192).attribute(question(perceptron(13), draw(2, 13))).standard_error is None


def test_time_that_does_not_suffice_for_all_coalitions_makes_an_estimate() -> None:
    def slow(t: Tensor) -> Tensor:
        time.sleep(1e-4 * len(t))
        return t.sum(1, keepdim=True) + t[:, :1] * t[:, 1:2]

    started = time.perf_counter()
    found = Shapley(tolerance=0.0).attribute(question(slow, draw(2, 12), seconds=0.3))
    assert time.perf_counter() - started < 1.0  # all coalitions would take 0.8 s at the least
    assert found.standard_error is not None
    assert "ran out" in found.notes[0]
    torch.testing.assert_close(found.values.sum(1), slow(draw(2, 12))[:, 0])


def test_a_model_that_says_the_same_of_all_has_no_shares_and_is_done_at_once() -> None:
    asking = question(lambda t: torch.full((len(t), 1), 0.3), draw(3, 20))
    found = Shapley().attribute(asking)
    assert float(found.values.abs().max()) < 1e-12
    assert int(found.found["coalitions"].max()) < 200
    pairs = Shapley(interactions=True).attribute(asking).interactions
    assert pairs is not None
    assert float(pairs.abs().max()) < 1e-6

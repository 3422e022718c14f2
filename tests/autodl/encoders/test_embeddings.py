from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from autodl.encoders._embeddings import (
    BEYOND,
    EMBEDDING_KNOBS,
    Periodic,
    PiecewiseLinear,
    embed,
    narrow_embedding,
    origins,
)
from autodl.errors import SpaceError
from autodl.records import InputSpec
from autodl.space import Choice, Space
from autodl.testing.encoder import image_spec, rows, table_spec

PIECEWISE = {"embedding": "piecewise_linear", "embedding_width": 4, "bins": 8}
PERIODIC = {"embedding": "periodic", "embedding_width": 4, "frequency_scale": 0.5}


def textbook_encoding(value: float, edges: list[float]) -> list[float]:
    """Eq. 1 of arXiv 2203.05556, for one number and distinct edges."""
    bins = len(edges) - 1
    encoding = []
    for t in range(1, bins + 1):
        low, high = edges[t - 1], edges[t]
        if value < low and t > 1:
            encoding.append(0.0)
        elif value >= high and t < bins:
            encoding.append(1.0)
        else:
            encoding.append((value - low) / (high - low))
    return encoding


def quantiles(*features: list[float]) -> Tensor:
    return torch.tensor(features, dtype=torch.float64).T


def test_piecewise_linear_is_the_textbooks() -> None:
    edges = [[-2.0, -0.5, 0.0, 1.0, 4.0], [0.0, 1.0, 10.0, 100.0, 101.0]]
    module = PiecewiseLinear(quantiles(*edges), bins=4, width=3).double()
    x = torch.tensor([[-3.0, 0.5], [-2.0, 1.0], [0.3, 50.0], [4.0, 101.0], [9.0, 103.0]], dtype=torch.float64)
    found = module(x)
    for row in range(5):
        for feature in range(2):
            encoding = torch.tensor(textbook_encoding(x[row, feature].item(), edges[feature]), dtype=torch.float64)
            mapped = module.weight[feature].T @ encoding + module.bias[feature, 0]
            torch.testing.assert_close(found[row, feature], mapped.clamp(min=0))


def test_bins_lie_between_evenly_spaced_quantiles() -> None:
    points = torch.arange(65.0).square()
    module = PiecewiseLinear(points.unsqueeze(1), bins=4, width=2)
    assert module.left[0].tolist() == [0, 16**2, 32**2, 48**2]
    torch.testing.assert_close(1 / module.slope[0], torch.tensor([256.0, 768.0, 1280.0, 1792.0]))


@given(st.lists(st.integers(0, 4), min_size=6, max_size=6), st.floats(-0.5, 4.5))
@settings(deadline=None, max_examples=60)
def test_repeated_quantiles_leave_bins_empty(counts: list[int], value: float) -> None:
    """The bins that remain encode as the distinct edges do in the textbook."""
    edges = sorted(float(count) for count in counts)
    distinct = sorted(set(edges))
    module = PiecewiseLinear(quantiles(edges), bins=5, width=2).double()
    found = module.clip((torch.tensor([[[value]]], dtype=torch.float64) - module.left) * module.slope).flatten()
    used = module.slope[0] > 0
    assert int(used.sum()) == len(distinct) - 1
    assert found[~used].abs().sum() == 0
    if len(distinct) > 1:
        expected = torch.tensor(textbook_encoding(value, distinct), dtype=torch.float64)
        torch.testing.assert_close(found[used], expected)


def test_a_constant_feature_becomes_a_constant() -> None:
    module = PiecewiseLinear(torch.full((9, 1), 7.0), bins=4, width=3)
    assert torch.equal(module(torch.tensor([[7.0]])), module(torch.tensor([[-1e6]])))


def test_far_off_values_cannot_blow_up() -> None:
    module = PiecewiseLinear(quantiles([0.0, 1e-4, 0.5, 1 - 1e-4, 1.0]), bins=4, width=2)
    encoding = module.clip((torch.tensor([[-1e9], [1e9]]).unsqueeze(-1) - module.left) * module.slope)
    assert encoding[0, 0].tolist() == [-BEYOND, 0, 0, 0]
    assert encoding[1, 0].tolist() == [1, 1, 1, 1 + BEYOND]


def test_differences_of_rounding_noise_are_no_bins() -> None:
    module = PiecewiseLinear(quantiles([0.0, 1.0, 1.0 + 1e-9, 2.0]), bins=3, width=2)
    assert (module.slope[0] > 0).tolist() == [True, False, True]


def test_bins_may_outnumber_the_quantile_points() -> None:
    module = PiecewiseLinear(torch.arange(5.0).unsqueeze(1), bins=64, width=2)
    assert int((module.slope > 0).sum()) == 4
    assert module(torch.randn(3, 1)).isfinite().all()


def test_periodic_is_the_textbooks() -> None:
    """Eq. 2 of arXiv 2203.05556: cosine and sine of 2πcx, one linear map for all features, ReLU."""
    module = Periodic(features=3, width=4, scale=1.0).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    found = module(x)
    assert found.shape == (5, 3, 4)
    for row in range(5):
        for feature in range(3):
            angles = [2 * math.pi * c.item() * x[row, feature].item() for c in module.frequency[feature]]
            waves = torch.tensor([*map(math.cos, angles), *map(math.sin, angles)], dtype=torch.float64)
            expected = (module.linear.weight @ waves + module.linear.bias).clamp(min=0)
            torch.testing.assert_close(found[row, feature], expected)


@pytest.mark.parametrize("scale", [0.01, 10.0])
def test_frequencies_are_drawn_on_the_asked_for_scale(scale: float) -> None:
    torch.manual_seed(0)
    assert Periodic(100, 32, scale).frequency.std().item() == pytest.approx(scale, rel=0.05)


def test_parameters_counted_by_hand() -> None:
    spec = table_spec(numeric=3, categories=(4, 2))
    piecewise, _ = embed(spec, PIECEWISE)
    assert sum(p.numel() for p in piecewise.parameters()) == 3 * (8 * 4 + 4)
    periodic, _ = embed(spec, PERIODIC)
    assert sum(p.numel() for p in periodic.parameters()) == 3 * 4 + (8 * 4 + 4)


@pytest.mark.parametrize("chosen", [PIECEWISE, PERIODIC], ids=["piecewise_linear", "periodic"])
def test_other_features_pass_by_in_their_order(chosen: dict[str, object]) -> None:
    spec = table_spec(numeric=3, categories=(4, 2))
    assert spec.numeric is not None
    module, width = embed(spec, chosen)
    x = rows(spec, 5)
    found = module(x)
    assert found.shape == (5, width) == (5, 3 * 4 + 6)
    assert torch.equal(found[:, 12:], x[:, ~spec.numeric])
    alone = module.get_submodule("layout")(x[:, spec.numeric])
    assert torch.equal(found[:, :12], alone.flatten(1))


def test_nothing_to_embed() -> None:
    assert isinstance(embed(table_spec(numeric=0, categories=(3,)), PERIODIC)[0], nn.Identity)
    assert isinstance(embed(table_spec(numeric=2), {"embedding": "none"})[0], nn.Identity)
    flatten, width = embed(image_spec(3, 4, 5), {"embedding": "none"})
    assert isinstance(flatten, nn.Flatten)
    assert width == 60


def test_bins_need_quantiles() -> None:
    spec = replace(table_spec(numeric=2), quantiles=None)
    with pytest.raises(SpaceError, match="needs quantiles, however the input has none; use 'periodic'"):
        embed(spec, PIECEWISE)
    assert embed(spec, PERIODIC)[1] == 8


def options(space: Space, name: str) -> tuple[object, ...]:
    knob = space[name]
    assert isinstance(knob, Choice)
    return knob.options


def wide_spec(features: int) -> InputSpec:
    return InputSpec(
        shape=(features,),
        columns=tuple(map(str, range(features))),
        feature_mask=torch.arange(features),
        baseline=torch.zeros(features),
        numeric=torch.ones(features, dtype=torch.bool),
        quantiles=torch.arange(3.0).unsqueeze(1).expand(3, features),
    )


def test_the_space_is_narrowed_to_the_input() -> None:
    space = Space(**EMBEDDING_KNOBS)
    assert dict(narrow_embedding(space, table_spec(numeric=3))) == dict(space)
    assert not narrow_embedding(space, table_spec(numeric=0, categories=(3,)))
    assert not narrow_embedding(space, image_spec())
    unbinned = narrow_embedding(space, replace(table_spec(numeric=3), quantiles=None))
    assert options(unbinned, "embedding") == ("none", "periodic")
    assert "bins" not in unbinned


def test_the_space_of_many_features_stays_small() -> None:
    space = Space(**EMBEDDING_KNOBS)
    thousand = narrow_embedding(space, wide_spec(1000))
    assert options(thousand, "embedding_width") == (4, 8, 16)
    assert options(thousand, "bins") == (8, 16)
    assert thousand["bins"].center() == 16
    four_thousand = narrow_embedding(space, wide_spec(4000))
    assert options(four_thousand, "embedding") == ("none", "periodic")
    assert options(four_thousand, "embedding_width") == (4,)
    assert not narrow_embedding(space, wide_spec(6000))


@pytest.mark.parametrize("chosen", [{"embedding": "none"}, PIECEWISE, PERIODIC], ids=lambda chosen: chosen["embedding"])
@pytest.mark.parametrize(
    "spec", [table_spec(numeric=3, categories=(4, 2)), table_spec(numeric=3)], ids=["mixed", "all"]
)
def test_origins_tell_which_entries_a_column_moves(chosen: dict[str, object], spec: InputSpec) -> None:
    """Changing one column changes entries of one origin alone."""
    module, width = embed(spec, chosen)
    origin = origins(spec, chosen)
    assert origin.shape == (width,)
    x = rows(spec, 32)
    seen = []
    for column in range(len(spec.columns)):
        moved = (module(torch.where(spec.feature_mask == column, x + 0.5, x)) != module(x)).any(0)
        (own,) = set(origin[moved].tolist())
        seen.append(own)
    assert len(set(seen)) == len(spec.columns)

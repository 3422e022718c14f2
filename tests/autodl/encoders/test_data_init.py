from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from autodl.encoders._data_init import FLAT, ROWS, initialise_by_data, likely_rows
from autodl.errors import SpaceError
from autodl.testing.encoder import table_spec


def test_rows_are_drawn_from_each_features_quantiles() -> None:
    spec = table_spec(numeric=3, categories=(4,))
    drawn = likely_rows(spec)
    assert drawn.shape == (ROWS, 7)
    assert spec.quantiles is not None
    for feature in range(7):
        assert set(drawn[:, feature].tolist()) <= set(spec.quantiles[:, feature].tolist())


def test_rows_need_quantiles() -> None:
    with pytest.raises(SpaceError, match="needs quantiles, however the input has none; set initialisation to 'random'"):
        likely_rows(replace(table_spec(numeric=2), quantiles=None))


def test_every_unit_of_every_layer_spreads_by_one_and_bends_at_a_row() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8)]
    rows = torch.randn(ROWS, 4) * torch.tensor([1.0, 100.0, 0.01, 1.0]) + 50
    initialise_by_data(layers, rows)
    for layer in layers:
        answers = layer(rows)
        if isinstance(layer, nn.Linear):
            torch.testing.assert_close(answers.std(0, correction=0), torch.ones(layer.out_features), rtol=1e-3, atol=0)
            assert answers.abs().min(0).values.max() < 1e-3
        rows = answers


def test_a_flat_unit_is_not_blown_up() -> None:
    layer = nn.Linear(2, 4)
    before = layer.weight.detach().clone()
    initialise_by_data([layer], torch.ones(ROWS, 2) + FLAT * 1e-3 * torch.randn(ROWS, 2))
    assert torch.equal(layer.weight, before)

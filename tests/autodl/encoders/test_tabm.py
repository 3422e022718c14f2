from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autodl.contracts import Dropout
from autodl.encoders._scales import AdaptedLinear
from autodl.encoders.tabm import Tabm
from autodl.testing.encoder import build, image_spec, rows, table_spec

SPEC = table_spec(numeric=3, categories=(4, 2))
EMBEDDED = {"embedding": "piecewise_linear", "embedding_width": 4, "bins": 8}


def first(encoder: Tabm) -> AdaptedLinear:
    layer = encoder.layers[0]
    assert isinstance(layer, AdaptedLinear)
    return layer


def test_one_token_a_predictor_whatever_the_depth() -> None:
    for depth in (1, 4):
        encoder = Tabm(SPEC, copies=8, width=64, depth=depth)
        assert encoder(rows(SPEC, 5)).shape == (5, 8, 64)
        assert (encoder.copies, encoder.width) == (8, 64)


@pytest.mark.parametrize(
    ("adapters", "expected"),
    [("every", 9 * 64 + 8 * (9 + 64 + 64) + 64 * 64 + 8 * 3 * 64), ("first", 9 * 64 + 8 * 9 + 64 + 64 * 64 + 64)],
)
def test_parameters_counted_by_hand(adapters: str, expected: int) -> None:
    encoder = Tabm(SPEC, copies=8, width=64, depth=2, adapters=adapters)
    assert sum(p.numel() for p in encoder.parameters()) == expected


def test_only_weight_matrices_have_two_axes() -> None:
    """Scales and biases of all predictors are vectors, so that weight decay and Muon pass them by."""
    encoder = Tabm(SPEC, copies=8, width=64, depth=2)
    assert [tuple(p.shape) for p in encoder.parameters() if p.dim() > 1] == [(64, 9), (64, 64)]


def test_predictors_start_with_random_signs() -> None:
    scales = first(build(Tabm, SPEC, {"copies": 16})).into.view(16, 9)  # type: ignore[union-attr, arg-type]
    assert set(scales.flatten().tolist()) == {-1.0, 1.0}
    assert len({tuple(row) for row in scales.tolist()}) > 8


def test_an_embedded_feature_has_one_scale_a_predictor() -> None:
    """Normally distributed; what a feature becomes is scaled alike, and so are the options of a category."""
    encoder = build(Tabm, SPEC, {"copies": 256, **EMBEDDED})
    scales = first(encoder).into.view(256, 3 * 4 + 6)  # type: ignore[union-attr, arg-type]
    groups = [scales[:, start:end] for start, end in ((0, 4), (4, 8), (8, 12), (12, 16), (16, 18))]
    assert all(torch.equal(group, group[:, :1].expand_as(group)) for group in groups)
    each = torch.stack([group[:, 0] for group in groups], dim=1)
    assert each.std(0).tolist() == pytest.approx([1] * 5, abs=0.2)
    assert torch.corrcoef(each.T).triu(1).abs().max() < 0.3


def test_later_layers_start_alike_for_all_predictors() -> None:
    encoder = Tabm(SPEC, copies=8, width=64, depth=2)
    layer = encoder.layers[3]
    assert isinstance(layer, AdaptedLinear)
    assert layer.into is not None
    assert layer.out is not None
    assert layer.into.unique().tolist() == layer.out.unique().tolist() == [1]
    assert torch.equal(layer.bias.view(8, 64), layer.bias[:64].expand(8, 64))


def gradients(encoder: Tabm, tokens: Tensor, copy: int) -> Tensor:
    (found,) = torch.autograd.grad(tokens[:, copy].sum(), first(encoder).into, retain_graph=True)
    return found.view(encoder.copies, -1)


def test_a_predictor_does_not_hang_on_the_others() -> None:
    encoder = Tabm(SPEC, copies=8, width=64)
    found = gradients(encoder, encoder(rows(SPEC, 5)), copy=3)
    assert found[3].abs().sum() > 0
    assert found[[0, 1, 2, 4, 5, 6, 7]].abs().sum() == 0


def test_each_predictor_has_its_own_dropout() -> None:
    encoder = Tabm(SPEC, copies=8, width=64, depth=2, dropout=0.3)
    sites = [(site.shape, round(site.rate.item(), 6)) for site in encoder.modules() if isinstance(site, Dropout)]
    assert sites == [((8, 64), 0.3)] * 2


def test_accepts_vectors_alone() -> None:
    assert Tabm.accepts(SPEC)
    assert not Tabm.accepts(image_spec())


def test_no_knobs_of_embeddings_where_there_are_no_numbers() -> None:
    assert "embedding" not in Tabm.space_for(table_spec(numeric=0, categories=(3,)))

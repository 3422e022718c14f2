from __future__ import annotations

import pytest
import torch
from torch import nn

from autodl_fusions.concat import Concat

TOKENS = {
    "photo": torch.tensor([[[1.0, 2.0], [3.0, 6.0]], [[5.0, 5.0], [7.0, 9.0]]]),  # batch tokens width
    "table": torch.tensor([[[10.0, 20.0, 30.0]], [[40.0, 50.0, 60.0]]]),
}
WIDTHS = {"table": 3, "photo": 2}


def plain() -> Concat:
    return Concat(WIDTHS, normalize=False, projection=0, dropout=0.0)


def test_mean_tokens_stand_side_by_side_in_sorted_order() -> None:
    fused = plain()(TOKENS, {"photo": torch.ones(2), "table": torch.ones(2)})
    assert fused.tolist() == [[2.0, 4.0, 10.0, 20.0, 30.0], [6.0, 7.0, 40.0, 50.0, 60.0]]


@pytest.mark.parametrize("training", [True, False])
def test_a_missing_input_is_its_learned_vector(training: bool) -> None:
    fusion = plain().train(training)
    with torch.no_grad():
        fusion.inputs.missing[0].copy_(torch.tensor([-1.0, -2.0]))
        fusion.inputs.missing[1].copy_(torch.tensor([-3.0, -4.0, -5.0]))
    fused = fusion(TOKENS, {"photo": torch.tensor([0.0, 1.0]), "table": torch.tensor([1.0, 0.0])})
    assert fused.tolist() == [[-1.0, -2.0, 10.0, 20.0, 30.0], [6.0, 7.0, -3.0, -4.0, -5.0]]


def test_nan_tokens_of_a_missing_input_do_no_harm() -> None:
    tokens = {**TOKENS, "photo": torch.full((2, 2, 2), torch.nan)}
    fusion = plain()
    fused = fusion(tokens, {"photo": torch.zeros(2), "table": torch.ones(2)})
    fused.sum().backward()
    assert fused.tolist() == [[0.0, 0.0, 10.0, 20.0, 30.0], [0.0, 0.0, 40.0, 50.0, 60.0]]
    assert fusion.inputs.missing[0].grad is not None
    assert fusion.inputs.missing[0].grad.tolist() == [2.0, 2.0]


def test_normalized_inputs_are_equally_loud() -> None:
    fusion = Concat({"quiet": 6, "loud": 4}, normalize=True, projection=0, dropout=0.0)
    tokens = {"quiet": torch.randn(2, 3, 6), "loud": 1000 * torch.randn(2, 1, 4)}
    loud, quiet = fusion(tokens, {"quiet": torch.ones(2), "loud": torch.ones(2)}).split([4, 6], dim=1)
    assert loud.square().mean().item() == pytest.approx(1, abs=1e-2)
    assert quiet.square().mean().item() == pytest.approx(1, abs=1e-2)


def test_a_width_of_one_is_not_normalized_away() -> None:
    fusion = Concat({"score": 1}, normalize=True, projection=0, dropout=0.0)
    assert fusion({"score": torch.tensor([[[3.0]]])}, {"score": torch.ones(1)}).tolist() == [[3.0]]


def test_the_projection_blends_what_is_joined() -> None:
    fusion = Concat(WIDTHS, normalize=False, projection=7, dropout=0.0)
    present = {"photo": torch.ones(2), "table": torch.ones(2)}
    layer = fusion.blend[0]
    assert isinstance(layer, nn.Linear)
    expected = nn.functional.gelu(layer(plain()(TOKENS, present)))
    assert fusion.width == 7
    torch.testing.assert_close(fusion(TOKENS, present), expected)


def test_dropout_drops_its_share_in_training_alone() -> None:
    fusion = Concat({"table": 2000}, normalize=False, projection=0, dropout=0.25)
    ones, present = {"table": torch.ones(1, 1, 2000)}, {"table": torch.ones(1)}
    torch.manual_seed(0)
    dropped = fusion.train()(ones, present)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.04)
    assert dropped.max().item() == pytest.approx(1 / 0.75)
    assert torch.equal(fusion.eval()(ones, present), torch.ones(1, 2000))

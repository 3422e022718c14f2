from __future__ import annotations

import pytest
import torch

from autodl_fusions.late import Late

SAID = {"photo": torch.tensor([[[2.0, 0.0, -1.0]]] * 4), "text": torch.tensor([[[0.0, 1.0, 5.0]]] * 4)}
PRESENT = {"photo": torch.tensor([1.0, 1.0, 0.0, 0.0]), "text": torch.tensor([1.0, 0.0, 1.0, 0.0])}
WIDTHS = {"text": 3, "photo": 3}


@pytest.mark.parametrize(("total", "first"), [("mean", [1.0, 0.5, 2.0]), ("sum", [2.0, 1.0, 4.0])])
@pytest.mark.parametrize("weights", ["equal", "learned"])
def test_inputs_that_are_there_are_heard_alike_at_first(total: str, first: list[float], weights: str) -> None:
    fused = Late(WIDTHS, weights=weights, total=total)(SAID, PRESENT)
    assert fused.tolist() == [first, [2.0, 0.0, -1.0], [0.0, 1.0, 5.0], [0.0, 0.0, 0.0]]


def test_learned_weights_are_shared_among_those_that_are_there() -> None:
    fusion = Late(WIDTHS, weights="learned", total="mean")
    assert fusion.logits is not None
    with torch.no_grad():
        fusion.logits.copy_(torch.tensor([3.0, 1.0]).log())
        fusion.nothing.fill_(7.0)
    fused = fusion(SAID, PRESENT)
    torch.testing.assert_close(fused[0], (3 * SAID["photo"][0, 0] + SAID["text"][0, 0]) / 4)
    torch.testing.assert_close(fused[1], SAID["photo"][1, 0])
    assert fused[3].tolist() == [7.0] * 3


def test_the_mean_of_logits_is_the_mean_of_log_probabilities() -> None:
    fusion = Late(WIDTHS, weights="learned", total="mean")
    assert fusion.logits is not None
    with torch.no_grad():
        fusion.logits.copy_(torch.tensor([0.3, -1.0]))
    logs = {name: each.log_softmax(-1) for name, each in SAID.items()}
    torch.testing.assert_close(fusion(SAID, PRESENT)[:3].softmax(-1), fusion(logs, PRESENT)[:3].softmax(-1))


def test_it_takes_what_heads_say_and_lets_no_inputs_interact() -> None:
    fusion = Late(WIDTHS, weights="learned", total="mean")
    assert Late.heads_first
    assert Late.additive
    assert fusion.width == 3

from __future__ import annotations

import pytest
import torch

from autodl_fusions.gated import Gated

TOKENS = {"a": torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)), "b": torch.ones(4, 1, 2)}
BOTH = {"a": torch.ones(4), "b": torch.ones(4)}


def gated(gate: str) -> Gated:
    torch.manual_seed(0)
    return Gated({"a": 5, "b": 2}, width=6, gate=gate, normalize=False, dropout=0.0)


@pytest.mark.parametrize("gate", ["sigmoid", "softmax"])
def test_it_is_the_papers_sum_of_gated_vectors(gate: str) -> None:
    fusion = gated(gate)
    a, b = (
        adapter(TOKENS[name].mean(1)) for adapter, name in zip(fusion.inputs.adapters, fusion.inputs.names, strict=True)
    )
    left, right = fusion.logits(torch.cat((a, b), 1)).split(6, 1)
    bottom = 1 + left.exp() + right.exp()
    gates = (left.sigmoid(), right.sigmoid()) if gate == "sigmoid" else (left.exp() / bottom, right.exp() / bottom)
    torch.testing.assert_close(fusion(TOKENS, BOTH), gates[0] * a.tanh() + gates[1] * b.tanh())


@pytest.mark.parametrize("gate", ["sigmoid", "softmax"])
def test_a_missing_input_has_no_gate_but_its_learned_vector(gate: str) -> None:
    fusion = gated(gate)
    nothing = {"a": torch.zeros(4), "b": torch.zeros(4)}
    assert fusion(TOKENS, nothing).tolist() == [[0.0] * 6] * 4
    with torch.no_grad():
        fusion.inputs.missing[0].fill_(2.0)
        fusion.inputs.missing[1].fill_(0.5)
    assert fusion(TOKENS, nothing).tolist() == [[2.5] * 6] * 4


def test_gates_that_compete_share_among_inputs_that_are_there() -> None:
    """Two alike at even odds beside the empty place take a third each; alone, one takes half."""
    fusion = gated("softmax")
    with torch.no_grad():
        fusion.logits.weight.zero_()
        fusion.logits.bias.zero_()
    both = fusion(TOKENS, BOTH)
    alone = [fusion(TOKENS, {**BOTH, name: torch.zeros(4)}) for name in "ab"]
    torch.testing.assert_close(both, 2 / 3 * (alone[0] + alone[1]))

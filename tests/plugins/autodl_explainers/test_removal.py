from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from autodl.attribution import Players
from autodl_explainers._removal import drops, of_players


class Two(nn.Module):
    """A table, and an image whose absence counts 10."""

    def forward(self, inputs):
        there = inputs["image"].flatten(1)[:, 0].isnan().logical_not()
        image = torch.where(there.view(-1, 1, 1, 1), inputs["image"], 0.0)
        score = inputs["table"].sum(1) + image.sum((1, 2, 3)) + 10.0 * there.logical_not()
        return torch.stack((score, 2 * score), 1)


@pytest.fixture
def asked(question):
    inputs = {"image": torch.ones(3, 1, 2, 2), "table": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])}
    baseline = {name: torch.zeros_like(x[:1]) for name, x in inputs.items()}
    index = {"table": torch.tensor([0, 1]), "image": torch.tensor([[[2, 2], [3, 3]]])}
    changes = {"inputs": inputs, "baseline": baseline, "background": baseline, "model": Two()}
    return replace(question(nn.Identity(), torch.zeros(1, 1)), **changes, players=Players(tuple("abcd"), index))


@pytest.mark.parametrize("memory", [1, 2**26])
def test_drops_are_those_of_one_part_at_a_time(asked, memory):
    found = drops(replace(asked, memory=memory), 4, of_players(asked))
    assert found[..., 0].tolist() == [[1.0, 2.0, 2.0, 2.0], [3.0, 4.0, 2.0, 2.0], [5.0, 6.0, 2.0, 2.0]]
    assert torch.equal(found[..., 1], 2 * found[..., 0])


def test_parts_of_what_is_missing_cannot_be_taken_away(asked):
    asked.inputs["image"][1] = float("nan")
    assert drops(asked, 4, of_players(asked))[1, :, 0].tolist() == [3.0, 4.0, 0.0, 0.0]


def test_what_is_missing_can_be_replaced_as_a_whole(asked):
    asked.inputs["image"][1] = float("nan")
    whole = Players(tuple("abc"), {**asked.players.index, "image": torch.full((1, 2, 2), 2)})
    asked = replace(asked, players=whole)
    assert drops(asked, 3, of_players(asked))[:, 2, 0].tolist() == [4.0, 10.0, 4.0]


def test_rows_may_be_divided_each_in_its_own_way(asked):
    own = torch.full((3, 1, 2, 2), 2)
    own[0, :, 0] = 3
    table = asked.players.index["table"].expand(3, 2)
    asked = replace(asked, players=Players(tuple("abcd"), {"table": table, "image": own}, own=True))
    assert drops(asked, 4, of_players(asked))[:, 2:, 0].tolist() == [[2.0, 2.0], [4.0, 0.0], [4.0, 0.0]]

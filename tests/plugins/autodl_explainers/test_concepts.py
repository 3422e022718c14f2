from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autodl.attribution import Players, Question
from autodl_explainers._influence_layers import layers
from autodl_explainers.concepts import Concepts

SIDE = 8


class Stripes(nn.Module):
    """Its first output rises with horizontal edges, and does not look at vertical ones."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.hidden = nn.Linear(8 * SIDE * SIDE, 16)
        self.activation = nn.Tanh()
        self.head = nn.Linear(16, 2)
        with torch.no_grad():
            self.convolution.weight[0, 0] = torch.tensor([[-1.0] * 3, [2.0] * 3, [-1.0] * 3]) / 3
            self.convolution.weight[1, 0] = self.convolution.weight[0, 0].T
            of_channels = torch.randn(16, 8, 1) / SIDE**2
            of_channels[:, 0] = of_channels[:, 0].abs() * 3
            of_channels[:, 1] = 0
            self.hidden.weight.copy_(of_channels.expand(-1, -1, SIDE * SIDE).flatten(1))
            self.head.weight[0] = self.head.weight[0].abs()

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        maps = self.relu(self.convolution(inputs["photo"]))
        out: Tensor = self.head(self.activation(self.hidden(maps.flatten(1))))
        return out


def photos(rows: int, seed: int, stripes: str = "") -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(rows, 1, SIDE, SIDE, generator=generator)
    wave = torch.tensor([1.0, -1.0]).repeat(SIDE // 2) * 1.5
    if stripes == "horizontal":
        found += wave.view(1, 1, SIDE, 1)
    if stripes == "vertical":
        found += wave.view(1, 1, 1, SIDE)
    return found


def question(model: nn.Module | None = None, **changes: Any) -> Question:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model or Stripes()
    model = model.eval().requires_grad_(False)
    background = photos(60, 1)
    asked = Question(
        model=model,
        inputs={"photo": photos(20, 2)},
        target=0,
        specs={},
        players=Players(("photo",), {"photo": torch.zeros(1, SIDE, SIDE, dtype=torch.long)}),
        background={"photo": background},
        baseline={"photo": background.mean(0, keepdim=True)},
        networks=(model,),
        concepts={"rows": {"photo": photos(30, 3, "horizontal")}, "nothing": {"photo": photos(30, 4)}},
    )
    return dataclasses.replace(asked, **changes)


def test_a_concept_that_the_output_follows_stands_out_and_one_of_nothing_does_not() -> None:
    found = Concepts().attribute(question())
    told = found.found
    assert told["names"] == ("nothing", "rows")
    assert told["layers"] == ("before hidden",)
    assert told["scores"][1] > 0.95
    assert told["p"][1] <= 0.1
    assert told["p"][0] > 0.1
    assert told["accuracy"][1] > 0.9
    assert told["accuracy"][0] < 0.7
    assert found.values.shape == (20, 0)
    assert found.notes == ("nothing: its rows are hardly told from background rows in this layer.",)


def test_sets_of_no_concept_are_seldom_called_one() -> None:
    """At a level of one tenth, about a tenth of them; a t-test over draws would call most of them so."""
    nothing = {f"{seed:02}": {"photo": photos(15, 100 + seed)} for seed in range(30)}
    found = Concepts(repeats=2, random=19).attribute(question(concepts=nothing)).found
    assert int((found["p"] <= 0.1).sum()) <= 8
    assert float(found["p"].median()) > 0.2


@pytest.mark.parametrize("pool", ["mean", "none"])
def test_scores_are_shares_of_rising_outputs_along_the_direction(pool: str) -> None:
    """A small step of the maps along the direction raises the output in as many rows."""
    asked = question()
    explainer = Concepts(pool=pool, repeats=1)
    seen = [explainer._spot(each) for each in layers(asked)]
    background = explainer._activations(asked, seen, asked.background)  # type: ignore[arg-type]
    shown = explainer._activations(asked, seen, asked.concepts["rows"])  # type: ignore[arg-type]
    assert background.shape == (60, 8 if pool == "mean" else 8 * SIDE * SIDE)
    ways, _, _ = explainer._ways(0, background, [background[:30] * 0.9 - 0.1, shown])
    way = torch.from_numpy(ways[1][0]).float()
    step = way.view(1, 8, 1, 1) if pool == "mean" else way.view(1, 8, SIDE, SIDE)
    model = asked.model
    assert isinstance(model, Stripes)
    plain = model(dict(asked.inputs)).double()
    handle = model.hidden.register_forward_pre_hook(
        lambda _, args: args[0] + 0.01 * step.expand(1, 8, SIDE, SIDE).flatten(1)
    )
    moved = model(dict(asked.inputs)).double()
    handle.remove()
    (slope,) = explainer._slopes(asked, seen, [1])  # type: ignore[arg-type]
    agree = np.sign(slope @ ways[1][0]) == np.sign((moved - plain)[:, 1].numpy())
    assert agree.mean() >= 0.9


def test_several_networks_are_looked_at_side_by_side() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList([Stripes(), Stripes()])

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            return torch.stack([torch.as_tensor(part(inputs)) for part in self.parts]).mean(0)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        pair = Pair()
    asked = question(pair, networks=tuple(pair.parts))
    found = Concepts(layer="hidden", repeats=2, random=19).attribute(asked).found
    assert found["layers"] == ("after hidden", "after hidden")
    assert found["scores"][1] > 0.95


@pytest.mark.parametrize("memory", [1, 3000])
def test_memory_changes_nothing_and_a_seed_is_a_result(memory: int) -> None:
    settings: dict[str, Any] = {"repeats": 2, "random": 5}
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[union-attr]
    one, other = (Concepts(**settings).attribute(question(memory=each)).found for each in (2**26, memory))
    for name in ("scores", "p", "accuracy", "random"):
        torch.testing.assert_close(one[name], other[name])
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])
    seeded = Concepts(**settings).attribute(question(seed=1)).found
    assert not torch.equal(seeded["random"], one["random"])


def test_inputs_that_a_concept_lacks_are_the_backgrounds() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(SIDE * SIDE + 2, 8)
            self.head = nn.Linear(8, 1)

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            x = torch.cat([inputs["photo"].flatten(1), inputs["table"]], 1)
            out: Tensor = self.head(self.hidden(x).relu())
            return out

    table = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)) + 50  # a baseline of 0 would give it away
    with torch.random.fork_rng():
        torch.manual_seed(0)
        asked = question(Both())
    asked = dataclasses.replace(
        asked,
        inputs={**asked.inputs, "table": table[:20]},
        background={**asked.background, "table": table},
        baseline={**asked.baseline, "table": torch.zeros(1, 2)},
    )
    found = Concepts(repeats=3, random=5).attribute(asked).found
    assert found["layers"] == ("after hidden",)
    assert found["accuracy"][0] < 0.75


def test_what_shows_no_concept_is_refused_with_a_reason() -> None:
    explainer = Concepts()
    assert explainer.objection(question()) is None
    opaque = dataclasses.replace(question(), model=lambda inputs: inputs["photo"].flatten(1))
    assert "no torch module" in str(explainer.objection(opaque))
    assert "no layer with weights" in str(explainer.objection(question(OnlyHead(), networks=())))
    asked = question(inputs={"photo": torch.full((2, 1, SIDE, SIDE), torch.nan)})
    assert "missing" in str(explainer.objection(asked))
    few = {"a": {"photo": photos(5, 0)}}
    assert "at least 6 rows must show concept 'a', however 5 came" in str(explainer.objection(question(concepts=few)))
    other = {"a": {"sound": photos(9, 0)}}
    assert "['sound']" in str(explainer.objection(question(concepts=other)))
    gone = {"a": {"photo": torch.full((9, 1, SIDE, SIDE), torch.nan)}}
    assert "missing" in str(explainer.objection(question(concepts=gone)))
    assert "12 background rows" in str(explainer.objection(question(background={"photo": photos(11, 0)})))


class OnlyHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(SIDE * SIDE, 2)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        out: Tensor = self.head(inputs["photo"].flatten(1))
        return out

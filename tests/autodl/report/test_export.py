from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import autodl.report._tape as tape_module
from autodl import registry
from autodl.network import Network
from autodl.records import Component, InputSpec, TrialConfig
from autodl.report._export import Refusal, export
from autodl.report._tape import Tape
from autodl.testing.encoder import edges, image_spec, rows, table_spec

ENGINE = (tape_module.__spec__.origin or "").replace("_tape.py", "tape.js")  # type: ignore[union-attr]
SPEC = table_spec(3, (4, 2))
TABULAR = [name for name in registry.encoders.names() if registry.encoders.load(name).accepts(SPEC)]
RUN = """([tape, rows]) => {
    const run = autodlTape.compile(tape);
    return rows.map((row, i) => {
        const inputs = Object.entries(row).map(([name, numbers]) => [name, Float64Array.from(numbers)]);
        return Array.from(run(Object.fromEntries(inputs), i));
    });
}"""


@pytest.fixture(scope="module")
def page(browser: Any) -> Any:
    page = browser.new_page()
    page.add_script_tag(path=ENGINE)
    yield page
    page.close()


class Likely(nn.Module):
    """What a network says, as a predictor has it: the mean over copies, calibrated by a temperature."""

    def __init__(self, network: nn.Module, copies: int) -> None:
        super().__init__()
        self.network, self.copies = network, copies

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        likely = self.network(inputs).softmax(-1)
        likely = likely.mean(-2) if self.copies > 1 else likely
        return (likely.clamp_min(1e-12).log() * 1.3).softmax(-1)


class Says(nn.Module):
    """A function of a table as a network."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.function(inputs["table"])


def network(
    parts: Mapping[str, Component], specs: Mapping[str, InputSpec], fusion: Component | None = None, **training: Any
) -> nn.Module:
    none = Component("")
    config = TrialConfig({}, parts, none, none, training, epochs=1, seed=0, fusion=fusion)
    found = Network.seeded(config, specs, 3)
    with torch.no_grad():
        found.head.weight.mul_(10)
    return Likely(found, found.copies).eval()


def error(page: Any, model: nn.Module, inputs: Mapping[str, Tensor], free: tuple[str, ...] = ()) -> float:
    """The largest difference between the page and PyTorch, relative to each row's largest output."""
    tape = export(model, inputs, free=free, limit_bytes=10**8)
    assert isinstance(tape, Tape), tape
    with torch.no_grad():
        expected = model(dict(inputs)).double()
    given = [{name: inputs[name][row].flatten().tolist() for name in tape.inputs} for row in range(len(expected))]
    found = torch.tensor(page.evaluate(RUN, [tape.to_json(), given]), dtype=torch.float64)
    return float(((found - expected).abs() / expected.abs().amax(1, keepdim=True)).max())


def refusal(function: Callable[[Tensor], Tensor], **settings: Any) -> str:
    found = export(Says(function), {"table": rows(SPEC, 3)}, **settings)
    assert isinstance(found, Refusal)
    return found.reason


@pytest.mark.parametrize("name", TABULAR)
def test_every_tabular_encoder_says_in_the_page_what_it_says_in_torch(page: Any, name: str) -> None:
    """At every edge of its space but the widest layers, whose steps are the same."""
    encoder = registry.encoders.load(name)
    errors = {}
    for settings in edges(encoder.space_for(SPEC)):
        small = {**settings, **({"width": 24} if "width" in settings else {})}
        model = network({"table": Component(name, small)}, {"table": SPEC})
        errors[str(settings)] = error(page, model, {"table": rows(SPEC, 4)})
    assert {settings: found for settings, found in errors.items() if not found <= 1e-5} == {}


@pytest.mark.parametrize("spec", [table_spec(1), table_spec(0, (3,)), table_spec(70, (2,))], ids=["1", "0", "70"])
def test_few_and_many_features(page: Any, spec: InputSpec) -> None:
    for name in TABULAR:
        settings = {**registry.encoders.load(name).space_for(spec).defaults()}
        model = network({"table": Component(name, settings)}, {"table": spec}, features=0.5)
        assert error(page, model, {"table": rows(spec, 3)}) <= 1e-5, name


def test_tables_that_are_fused(page: Any) -> None:
    specs = {"a": SPEC, "b": table_spec(2, seed=1)}
    parts = {"a": Component("mlp", {"width": 16}), "b": Component("tabm", {"width": 16, "copies": 8})}
    for settings in edges(registry.fusions.load("concat").space):
        model = network(parts, specs, Component("concat", settings))
        assert error(page, model, {name: rows(spec, 3) for name, spec in specs.items()}) <= 1e-5, settings


def test_what_hangs_on_an_image_alone_is_worked_out_beforehand(page: Any) -> None:
    """So that a table can be changed beside an image; a missing image is one too."""
    specs = {"image": image_spec(3, 16, 16), "table": SPEC}
    parts = {"image": Component("cnn", {}), "table": Component("mlp", {"width": 16})}
    model = network(parts, specs, Component("concat", {"projection": 128}))
    inputs = {"image": rows(specs["image"], 4), "table": rows(SPEC, 4)}
    inputs["image"][2] = math.nan
    assert error(page, model, inputs, free=("table",)) <= 1e-5
    tape = export(model, inputs, free=("table",))
    assert isinstance(tape, Tape)
    assert list(tape.inputs) == ["table"]
    assert all(each.shape[0] == 4 for each in tape.frozen.values())


def test_numbers_as_a_predictor_gives_them(page: Any) -> None:
    """In the target's unit, quantiles in order."""

    def says(x: Tensor) -> Tensor:
        scores = x[:, :3] * 2
        return (scores.clamp(scores.new_tensor(-1.5), scores.new_tensor(1.5)) * 3 + 1).exp().sort(-1).values - 0.5

    assert error(page, Says(says), {"table": rows(SPEC, 6)}) <= 1e-5


def test_200_000_weights_answer_at_once(page: Any) -> None:
    layers = [nn.Linear(9, 316), nn.GELU(), nn.Linear(316, 316), nn.LayerNorm(316), nn.GELU(), nn.Linear(316, 316)]
    model = nn.Sequential(*layers, nn.SiLU(), nn.Linear(316, 3))
    tape = export(Says(model), {"table": rows(SPEC, 1)})
    assert isinstance(tape, Tape)
    assert sum(each.size for each in tape.constants.values() if isinstance(each, np.ndarray)) > 200_000
    timed = """tape => {
        const run = autodlTape.compile(tape), row = {table: new Float64Array(9).fill(0.5)};
        const times = Array.from({length: 30}, () => {
            const from = performance.now();
            run(row);
            return performance.now() - from;
        });
        return times.sort((a, b) => a - b)[15];
    }"""
    assert page.evaluate(timed, tape.to_json()) < 20


def test_what_the_page_does_not_know_is_refused_by_name() -> None:
    assert refusal(lambda x: torch.special.i0(x)) == "aten.i0 is an operation that this page does not know"
    assert refusal(lambda x: torch.conv1d(x.unsqueeze(1), torch.ones(1, 1, 2)).flatten(1)).startswith(
        "aten.convolution"
    )


def test_a_network_that_decides_by_values_is_refused() -> None:
    assert "decides by the values of a row" in refusal(lambda x: x if bool(x.sum() > 0) else -x)


def test_a_road_that_torch_does_not_see_is_refused() -> None:
    """What leaves torch would be a constant; the other rows give it away, or the output does not hang on the input."""
    assert "outputs do not come from the inputs" in refusal(lambda x: torch.from_numpy(x.numpy() * 2))
    assert "other things with other rows" in refusal(lambda x: x + torch.from_numpy(np.sin(x.numpy())))


def test_chance_is_refused() -> None:
    assert "random numbers" in refusal(lambda x: x + torch.rand(x.shape))
    assert "random numbers" in refusal(lambda x: nn.functional.dropout(x, 0.5, training=True))


def test_memory_that_is_shared_and_changed_is_refused() -> None:
    def through_a_view(x: Tensor) -> Tensor:
        hidden = x * 2
        hidden[:, 0].mul_(3)
        return hidden

    def into_a_buffer(x: Tensor) -> Tensor:
        return torch.zeros(x.shape).add_(x)

    assert "through another view" in refusal(through_a_view)
    assert "through another view" in refusal(lambda x: through_a_view(x) + 1)
    assert "writes into a tensor that was there before" in refusal(into_a_buffer)


def test_a_change_in_place_that_nothing_else_sees_is_taken(page: Any) -> None:
    def says(x: Tensor) -> Tensor:
        hidden = torch.relu_((x * 2).view(len(x), 3, 3).sub_(0.5))
        return hidden.mul_(hidden.sum(1, keepdim=True)).flatten(1)

    assert error(page, Says(says), {"table": rows(SPEC, 4)}) <= 1e-5


def test_a_module_that_counts_its_calls_is_refused() -> None:
    calls = torch.zeros(())

    def says(x: Tensor) -> Tensor:
        found = x * calls
        calls.add_(1)
        return found

    assert "buffers" in refusal(says)


def test_a_network_that_is_too_large_is_refused_with_its_size() -> None:
    assert refusal(nn.Linear(9, 2000), limit_bytes=20_000) == (
        "the network takes 0.11 MB as text, and this page has room for 0.02 MB"
    )


def test_nothing_is_left_behind() -> None:
    model = Says(nn.Linear(9, 2))
    inputs = {"table": rows(SPEC, 2)}
    before = inputs["table"].clone()
    export(model, inputs)
    assert torch.equal(inputs["table"], before)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())

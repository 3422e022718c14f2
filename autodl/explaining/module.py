"""Explanations of any torch module, or any function of tensors, without a search."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from autodl.attribution import MEMORY, Players, Question
from autodl.errors import ExplanationError
from autodl.explaining.ask import ask, untouched
from autodl.explaining.explanation import Explanation
from autodl.explaining.model import Model
from autodl.explaining.players import column_players, segment_players
from autodl.explaining.request import AUTO, USUAL_SECONDS, build
from autodl.records import InputSpec

ONLY = "input"
"""What a single input is called."""
MOST_ROWS = 32  # of the inputs themselves that are compared with, where no background is given
MOST_PLAYERS = 1000


class _Module(nn.Module):
    """A module of the user's own as one of named inputs: alone as it is, several by position or by keyword."""

    def __init__(self, inner: nn.Module, how: str) -> None:
        super().__init__()
        self.inner = inner
        self._how = how

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Shape: {input: batch *shape} → batch outputs."""
        return _called(self.inner, inputs, self._how)


def explain_module(
    module: Callable[..., Any],
    inputs: Any,
    background: Any = None,
    explainer: str = "auto",
    *,
    outputs: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[int]] | None = None,
    segments: bool = True,
    settings: Mapping[str, Any] | None = None,
    seconds: float | None = USUAL_SECONDS,
    seed: int = 0,
    memory: int = MEMORY,
    force: bool = False,
) -> Explanation:
    """Return what the entries of the inputs contribute to the outputs of a module; see ``autodl.explain``."""
    started = time.monotonic()
    given, how = _tensors(inputs)
    rows, first = len(next(iter(given.values()))), next(iter(given.values()))
    known, words = _background(given, background, how)
    names = list(inputs.columns) if isinstance(inputs, pd.DataFrame) and names is None else names
    specs = {name: _spec(name, x, known[name], names, groups) for name, x in given.items()}
    model: Model = _Module(module, how) if isinstance(module, nn.Module) else (lambda x: _called(module, x, how))
    method = build(AUTO if explainer == "auto" else explainer, settings or {})
    question = Question(
        model=model,
        inputs=given,
        target=0,
        specs=specs,
        players=_players(specs, given, segments),
        background=known,
        baseline={name: spec.baseline.unsqueeze(0) for name, spec in specs.items()},
        networks=(model,) if isinstance(model, nn.Module) else (),
        seed=seed,
        memory=memory,
        seconds=seconds,
    )
    count = _outputs(question)
    wanted = list(range(count)) if outputs is None else list(outputs)
    if not all(0 <= each < count for each in wanted):
        raise ExplanationError(f"outputs must be positions below {count}, however {wanted} came; change them")
    found = ask(method, question, wanted, force=force)
    table = inputs if isinstance(inputs, pd.DataFrame) else _table(given, specs)
    return Explanation(
        attributions=tuple(found),
        outputs=tuple(f"output {each}" for each in wanted),
        question=replace(question, target=wanted[0]),
        rows=table if len(table) == rows else pd.DataFrame(index=pd.RangeIndex(len(first))),
        background=_table(known, specs),
        quantity="output",
        target="output",
        baseline_words={"background": words, "baseline": f"the mean of {words}"}.get(method.reference, "nothing"),
        settings=method.settings,
        seconds=time.monotonic() - started,
    )


def _called(inner: Callable[..., Any], inputs: Mapping[str, Tensor], how: str) -> Tensor:
    """The module's answer, one column an output."""
    if how == "one":
        answer = inner(inputs[ONLY])
    elif how == "positions":
        answer = inner(*(inputs[name] for name in sorted(inputs, key=lambda name: int(name.split()[-1]))))
    else:
        answer = inner(**inputs)
    found = answer if isinstance(answer, Tensor) else torch.as_tensor(np.asarray(answer))
    rows = len(next(iter(inputs.values())))
    if found.dim() not in (1, 2) or len(found) != rows:
        raise ExplanationError(
            f"the module must return (rows,) or (rows, outputs), however {tuple(found.shape)} came for {rows} rows; "
            "wrap it in one that does"
        )
    return found.unsqueeze(1) if found.dim() == 1 else found


def _tensors(inputs: Any) -> tuple[dict[str, Tensor], str]:
    """Named tensors, and how the module takes them."""
    if isinstance(inputs, Mapping):
        return {str(name): _tensor(each) for name, each in inputs.items()}, "keywords"
    if isinstance(inputs, tuple | list):
        return {f"{ONLY} {place}": _tensor(each) for place, each in enumerate(inputs)}, "positions"
    return {ONLY: _tensor(inputs)}, "one"


def _tensor(given: Any) -> Tensor:
    x = given if isinstance(given, Tensor) else torch.tensor(np.asarray(given))
    x = x.detach().float() if x.dtype == torch.float64 and not isinstance(given, Tensor) else x.detach()
    if x.dim() < 2 or not len(x):
        raise ExplanationError(
            f"inputs must be (rows, *shape) with at least one row, however {tuple(x.shape)} came; add an axis of rows"
        )
    return x


def _background(given: Mapping[str, Tensor], background: Any, how: str) -> tuple[dict[str, Tensor], str]:
    """What stands for nothing known, and what it is in words."""
    rows = len(next(iter(given.values())))
    if background is None and rows > 1:
        chosen = torch.linspace(0, rows - 1, min(rows, MOST_ROWS)).round().long()
        return {name: x[chosen] for name, x in given.items()}, f"{len(chosen)} of the explained rows themselves"
    if background is None:
        return {name: torch.zeros_like(x[:1]) for name, x in given.items()}, "zeros"
    known, form = _tensors(background)
    shapes = {name: tuple(x.shape[1:]) for name, x in given.items()}
    if form != how or {name: tuple(x.shape[1:]) for name, x in known.items()} != shapes:
        came = {name: tuple(x.shape) for name, x in known.items()}
        raise ExplanationError(f"the background must look like the inputs ({shapes}), however {came} came; change it")
    count = len(next(iter(known.values())))
    return known, f"{count} background row{'s' if count > 1 else ''}"


def _spec(
    name: str, x: Tensor, known: Tensor, names: Sequence[str] | None, groups: Mapping[str, Sequence[int]] | None
) -> InputSpec:
    """What an input looks like: features one by one or in groups; an image; or positions along the first axis."""
    shape = tuple(x.shape[1:])
    baseline = known.double().mean(0).to(x.dtype) if x.is_floating_point() else known[0]
    if len(shape) == 3:
        return InputSpec(shape, (name,), torch.zeros(shape, dtype=torch.int64), baseline)
    labels = list(names) if names is not None and name == ONLY else [f"{name} {place}" for place in range(shape[0])]
    if len(labels) != shape[0]:
        raise ExplanationError(
            f"there must be {shape[0]} names, one a feature, however {len(labels)} came; change them"
        )
    place = torch.arange(shape[0])
    if groups is not None and name == ONLY:
        labels, place = _grouped(labels, groups)
    if len(labels) > MOST_PLAYERS:
        raise ExplanationError(
            f"at most {MOST_PLAYERS} players can be told apart, however '{name}' has {len(labels)}; join some by groups"
        )
    mask = place.view(-1, *[1] * (len(shape) - 1)).expand(shape)
    features = tuple(labels) if groups is None and len(shape) == 1 else ()
    return InputSpec(shape, tuple(labels), mask, baseline, feature_names=features)


def _grouped(labels: list[str], groups: Mapping[str, Sequence[int]]) -> tuple[list[str], Tensor]:
    """Names of players and the player of each feature, where some features belong together."""
    owner = {position: group for group, positions in groups.items() for position in positions}
    wrong = [position for position in owner if not 0 <= position < len(labels)]
    if wrong:
        raise ExplanationError(f"groups must hold positions below {len(labels)}, however {wrong} came; change them")
    called = [owner.get(position, label) for position, label in enumerate(labels)]
    found = list(dict.fromkeys(called))
    return found, torch.tensor([found.index(name) for name in called])


def _players(specs: Mapping[str, InputSpec], given: Mapping[str, Tensor], segments: bool) -> Players:
    pictures = any(len(spec.shape) == 3 for spec in specs.values())
    return segment_players(specs, given) if pictures and segments else column_players(specs)


@torch.no_grad()
def _outputs(question: Question) -> int:
    with untouched(question.model, question.seed):
        return int(question.model({name: x[:1] for name, x in question.inputs.items()}).shape[1])


def _table(given: Mapping[str, Tensor], specs: Mapping[str, InputSpec]) -> pd.DataFrame:
    """The numbers behind players of one feature each; nothing where players are more than that."""
    rows = len(next(iter(given.values())))
    columns = {
        label: given[name][:, place].cpu().numpy()
        for name, spec in specs.items()
        for place, label in enumerate(spec.feature_names)
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(rows))

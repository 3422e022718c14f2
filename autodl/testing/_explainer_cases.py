"""Small models, and questions about them, that explainers are tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from autodl.attribution import Labelled, Players, Question
from autodl.records import InputSpec
from autodl.testing.encoder import image_spec, rows, table_spec

ROWS, BACKGROUND, OUTPUTS = 4, 12, 3
TOKENS, WORDS = 6, 9


def _spec(name: str, *shape: int, vocabulary: int = 0, axes: tuple[str, ...] = ()) -> InputSpec:
    return InputSpec(
        shape, (name,), torch.zeros(shape, dtype=torch.long), torch.zeros(shape), vocabulary=vocabulary, axes=axes
    )


SPECS = {
    "table": table_spec(numeric=3, categories=(3,)),
    "image": image_spec(2, 8, 8),
    "text": _spec("text", TOKENS, 1, vocabulary=WORDS),
    "sound": _spec("sound", 1, 4, 10, axes=("channel", "frequency", "time")),
}


class Bag(nn.Module):
    """The mean vector of a text's words; NaN where something is asked of it that is no word."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(WORDS, width)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch tokens 1 → batch width."""
        ids = x[..., 0].round().clamp(0, WORDS - 1).long()
        found = self.vectors(ids) * (ids > 0).unsqueeze(2)
        return torch.where((ids == x[..., 0]).unsqueeze(2), found, torch.nan).mean(1)


class Small(nn.Module):
    """A perceptron, convolutions, a bag of words, or some of them side by side; one module for each use.

    It has a dropout and a batch normalisation, which show whether it is asked in evaluation mode.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        parts: dict[str, list[nn.Module]] = {
            "table": [nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5)],
            "image": [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 8)],
            "text": [Bag(8)],
            "sound": [nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(20, 8)],
        }
        self.names = tuple(sorted(names))
        self.parts = nn.ModuleDict({name: nn.Sequential(*parts[name]) for name in self.names})
        self.bend = nn.ReLU()
        self.head = nn.Linear(8 * len(names), OUTPUTS)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Shape: {input: batch *shape} → batch outputs. A missing image counts as one of zeros."""
        filled = {name: torch.where(x.isnan(), 0.0, x) for name, x in inputs.items()}
        hidden = [self.parts[name](filled[name]) for name in self.names]
        return self.head(self.bend(torch.cat(hidden, 1)))  # type: ignore[no-any-return]


class Weighed(nn.Module):
    """A linear model of a table that never looks at its column ``number_1``."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.last = nn.Linear(6, 2, dtype=dtype)
        ignored = SPECS["table"].feature_mask == SPECS["table"].columns.index("number_1")
        with torch.no_grad():
            self.last.weight[:, ignored] = 0

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Shape: {table: batch features} → batch outputs."""
        return self.last(inputs["table"])  # type: ignore[no-any-return]


def seeded(make: Any, seed: int = 0) -> nn.Module:
    """Return the module with the weights that a seed draws."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module: nn.Module = make()
    return module


def about(model: Any, specs: Mapping[str, InputSpec], dtype: torch.dtype = torch.float32) -> Question:
    """Return a question about some rows, with columns as players, and all that a method may need."""
    names = sorted(specs)
    columns = [column for name in names for column in specs[name].columns]
    index = {name: specs[name].feature_mask + columns.index(specs[name].columns[0]) for name in names}
    drawn = {name: _rows(specs[name]).to(dtype) for name in names}
    background = {name: x[ROWS:] for name, x in drawn.items()}
    outputs = quietly(model, background)
    targets = outputs + torch.linspace(-1, 1, len(outputs)).to(outputs).unsqueeze(1)
    return Question(
        model=model,
        inputs={name: x[:ROWS] for name, x in drawn.items()},
        target=0,
        specs=specs,
        players=Players(tuple(columns), index),
        background=background,
        baseline={name: specs[name].baseline.to(dtype).unsqueeze(0) for name in names},
        networks=(model,) if isinstance(model, nn.Module) else (),
        labelled=Labelled(background, targets, lambda found, wanted: (found - wanted).square().mean(1)),
        concepts={"bright": {name: x[:6] + 1 for name, x in background.items()}},
    )


def _rows(spec: InputSpec) -> Tensor:
    """Rows to explain, and after them the background; of texts the last places are often empty."""
    if not spec.vocabulary:
        return rows(spec, ROWS + BACKGROUND, seed=5)
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(1, WORDS - 1, (ROWS + BACKGROUND, *spec.shape), generator=generator)
    ids[1::2, -2:] = 0
    return ids.float()


def small_questions() -> dict[str, Question]:
    """About a table, an image, both together, a sound, and a text beside a table."""
    kinds: tuple[tuple[str, ...], ...] = (("table",), ("image",), ("image", "table"), ("sound",), ("table", "text"))
    return {
        " and ".join(names): about(seeded(lambda n=names: Small(n)).eval(), {name: SPECS[name] for name in names})
        for names in kinds
    }


def linear_question() -> Question:
    """About a linear model, in float64; the mean of the background is the baseline."""
    question = about(seeded(lambda: Weighed(torch.float64)), {"table": SPECS["table"]}, torch.float64)
    start, x = question.baseline["table"], question.background["table"]
    return replace(question, background={"table": torch.cat((x, 2 * start - x))})


@torch.no_grad()
def quietly(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """The outputs, with no gradient to follow."""
    return model(inputs)  # type: ignore[no-any-return]

"""Known-good configurations that every search tries first, best first.

A recipe names what matters and leaves the rest to the defaults. Where a user's space forbids a value, the nearest one
that it holds is taken; recipes of an encoder that it leaves out are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autodl.space import Choice, Value
from autodl.tuning.search_space import SearchSpace


@dataclass(frozen=True)
class Recipe:
    """One configuration for one kind of input.

    Attributes:
        encoder: The encoder's name.
        settings: Its settings.
        optimizer: The optimizer's name.
        update: The optimizer's settings.
        training: Settings of the training loop.
        input: Settings of the input's modality.
        loss: Settings of the task's usual loss.
    """

    encoder: str
    settings: Mapping[str, Value] = field(default_factory=dict)
    optimizer: str = "adamw"
    update: Mapping[str, Value] = field(default_factory=dict)
    training: Mapping[str, Value] = field(default_factory=dict)
    input: Mapping[str, Value] = field(default_factory=dict)
    loss: Mapping[str, Value] = field(default_factory=dict)

    def wishes(self, name: str, modality: str) -> dict[str, Value]:
        """The values by path, for an input of that name."""
        owners = {f"{name}.{modality}": self.input, f"{name}.{self.encoder}": self.settings}
        owners |= {f"optimizer.{self.optimizer}": self.update, "training": self.training}
        owners |= {f"loss.{loss}": self.loss for loss in USUAL_LOSSES}
        values = {f"{owner}.{knob}": value for owner, knobs in owners.items() for knob, value in knobs.items()}
        return {f"{name}.encoder": self.encoder, "optimizer": self.optimizer, **values}


USUAL_LOSSES = ("cross_entropy", "squared_error")
_BINS: dict[str, Value] = {"embedding": "piecewise_linear", "embedding_width": 16, "bins": 32}
_WAVES: dict[str, Value] = {"embedding": "periodic", "embedding_width": 8, "frequency_scale": 0.1}
_STEADY: dict[str, Value] = {"schedule": "constant", "ema": 0.0}  # schedule-free averages by itself
_ONE_CYCLE: dict[str, Value] = {"schedule": "one_cycle", "warmup": 0.25, "ema": 0.99}

VECTORS: tuple[Recipe, ...] = (
    # A wide layer on piecewise linear embeddings (Gorishniy et al., arXiv 2203.05556).
    Recipe(
        *("mlp", {"depth": 1, "width": 256, "dropout": 0.3, **_BINS}),
        *("adamw", {"learning_rate": 4e-3, "weight_decay": 0.1}),
    ),
    # Plain networks, small to large: one structure, two tempers, so that they train as one.
    Recipe(
        *("mlp", {"depth": 3, "width": 128, "dropout": 0.3}),
        *("adamw", {"learning_rate": 2e-3, "weight_decay": 0.05}),
    ),
    Recipe(
        *("mlp", {"depth": 3, "width": 128, "dropout": 0.1}),
        *("adamw", {"learning_rate": 8e-4, "weight_decay": 0.05}),
    ),
    Recipe(
        *("mlp", {"depth": 2, "width": 128, "dropout": 0.2}),
        *("adamw", {"learning_rate": 3e-3, "weight_decay": 0.02}),
        input={"scaling": "quantile"},
    ),
    Recipe(*("linear", {}), *("adamw", {"learning_rate": 5e-3, "weight_decay": 0.02})),
)

IMAGES: tuple[Recipe, ...] = (
    Recipe(
        *("cnn", {"blocks": 2, "channels": 32, "kernel": 3, "dense_depth": 1, "dense_width": 128, "dropout": 0.2}),
        *("adamw", {"learning_rate": 3e-3, "weight_decay": 0.02}),
        training=_ONE_CYCLE,
        input={"shift": 0.05},
    ),
)


def portfolio(space: SearchSpace) -> list[dict[str, Value]]:
    """Return the configurations to try first in this space, best first, all different.

    Encoders that no recipe knows, such as a user's own, are tried second, at their defaults. With several inputs, the
    first recipes of each go together, then the second ones; the optimizer and the loop are those of an image's recipe
    if there is one.
    """
    recipes = {name: _recipes(space, name) for name in space.inputs}
    leaders = sorted(recipes, key=lambda name: recipes[name][0] not in IMAGES)  # the last wish holds
    found: list[dict[str, Value]] = []
    for turn in range(max(map(len, recipes.values()))):
        wishes: dict[str, Value] = {}
        for name in reversed(leaders):
            wishes |= recipes[name][turn % len(recipes[name])].wishes(name, space.inputs[name])
        params = space.nearest(wishes)
        if params not in found:
            found.append(params)
    return found


def _recipes(space: SearchSpace, name: str) -> list[Recipe]:
    """The recipes for one input, best first; at least one."""
    choice = space.knobs[f"{name}.encoder"].dimension
    assert isinstance(choice, Choice), f"internal error: the encoder of '{name}' is no choice"
    images = [recipe for recipe in IMAGES if recipe.encoder in choice.options]
    known = images or [recipe for recipe in VECTORS if recipe.encoder in choice.options]
    familiar = {recipe.encoder for recipe in (*VECTORS, *IMAGES)}
    strangers = [Recipe(str(encoder)) for encoder in choice.options if encoder not in familiar]
    return [*known[:1], *strangers, *known[1:]]

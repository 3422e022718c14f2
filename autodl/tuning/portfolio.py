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
        smoothing: Label smoothing of cross-entropy.
    """

    encoder: str
    settings: Mapping[str, Value] = field(default_factory=dict)
    optimizer: str = "adamw"
    update: Mapping[str, Value] = field(default_factory=dict)
    training: Mapping[str, Value] = field(default_factory=dict)
    input: Mapping[str, Value] = field(default_factory=dict)
    smoothing: float = 0.0

    def wishes(self, name: str, modality: str) -> dict[str, Value]:
        """The values by path, for an input of that name."""
        owners = {f"{name}.{modality}": self.input, f"{name}.{self.encoder}": self.settings}
        owners |= {f"optimizer.{self.optimizer}": self.update, "training": self.training}
        owners["loss.cross_entropy"] = {"label_smoothing": self.smoothing}
        values = {f"{owner}.{knob}": value for owner, knobs in owners.items() for knob, value in knobs.items()}
        return {f"{name}.encoder": self.encoder, "optimizer": self.optimizer, **values}


# Piecewise linear and periodic embeddings: Gorishniy et al., arXiv 2203.05556.
_BINS: dict[str, Value] = {"embedding": "piecewise_linear", "embedding_width": 8, "bins": 16}
_WAVES: dict[str, Value] = {"embedding": "periodic", "embedding_width": 8, "frequency_scale": 0.1}
_COSINE: dict[str, Value] = {"schedule": "cosine", "warmup": 0.05, "ema": 0.97}
_ONE_CYCLE: dict[str, Value] = {"schedule": "one_cycle", "ema": 0.99}
_LEVEL: dict[str, Value] = {"schedule": "constant", "ema": 0.0}  # a schedule-free optimizer averages by itself

VECTORS: tuple[Recipe, ...] = (
    Recipe(  # one wide layer over bins: the strongest small network on most tables
        "mlp",
        {"depth": 1, "width": 256, "dropout": 0.3, **_BINS},
        "adamw",
        {"learning_rate": 2e-3, "weight_decay": 0.1},
        training=_COSINE,
        smoothing=0.02,
    ),
    Recipe(  # plain, for smooth functions of many columns
        "mlp",
        {"depth": 3, "width": 128, "dropout": 0.3},
        "adamw",
        {"learning_rate": 2e-3, "weight_decay": 0.05},
        training=_COSINE,
        smoothing=0.02,
    ),
    Recipe(  # after the ResNet of Gorishniy et al., arXiv 2106.11959
        "residual_mlp",
        {"depth": 2, "width": 128, "expansion": 2, "normalisation": "layer", "dropout": 0.2},
        "adamw",
        {"learning_rate": 1e-3, "weight_decay": 0.05},
        training=_COSINE,
    ),
    Recipe(  # a network must beat this one
        "linear",
        {"embedding": "none"},
        "adamw",
        {"learning_rate": 1e-2, "weight_decay": 0.02},
        training=_COSINE,
    ),
    Recipe(  # after RealMLP (Holzmüller et al., arXiv 2407.04491), in the standard parametrisation
        "mlp",
        {"depth": 3, "width": 256, "dropout": 0.15, "activation": "mish", **_WAVES},
        "adamw",
        {"learning_rate": 2e-3, "weight_decay": 0.02, "beta2": 0.95},
        training=_COSINE,
        input={"scaling": "robust"},
        smoothing=0.1,
    ),
    Recipe(  # the second one's structure with a gentler hand: they train as one pack
        "mlp",
        {"depth": 3, "width": 128, "dropout": 0.1},
        "adamw",
        {"learning_rate": 8e-4, "weight_decay": 0.05},
        training=_COSINE,
    ),
    Recipe(
        "mlp",
        {"depth": 2, "width": 128, "dropout": 0.2, **_BINS},
        "adamw",
        {"learning_rate": 1e-3, "weight_decay": 0.1},
        training=_COSINE,
    ),
    Recipe(
        "mlp",
        {"depth": 2, "width": 128, "dropout": 0.2},
        "adamw",
        {"learning_rate": 3e-3, "weight_decay": 0.02},
        training=_COSINE,
        input={"scaling": "quantile"},
    ),
    Recipe(  # an additive model: each column its own curve
        "linear",
        _BINS,
        "adamw",
        {"learning_rate": 2e-3, "weight_decay": 0.1},
        training=_COSINE,
    ),
    Recipe(
        "mlp",
        {"depth": 2, "width": 256, "dropout": 0.3},
        "schedule_free",
        {"learning_rate": 3e-3, "weight_decay": 0.1},
        training=_LEVEL,
    ),
    Recipe(
        "mlp",
        {"depth": 2, "width": 128, "dropout": 0.2, **_BINS},
        "muon",
        {"learning_rate": 5e-3, "adamw_learning_rate": 1e-3, "weight_decay": 0.1},
        training=_COSINE,
    ),
    Recipe(  # wide, for large tables; after the defaults of TabM (Gorishniy et al., arXiv 2410.24210)
        "mlp",
        {"depth": 2, "width": 512, "dropout": 0.1, **_BINS},
        "adamw",
        {"learning_rate": 1e-3, "weight_decay": 3e-4},
        training=_COSINE,
        input={"scaling": "quantile"},
    ),
)

IMAGES: tuple[Recipe, ...] = (
    Recipe(  # the size of network that the encoder thinks right for the image, one cycle
        "cnn",
        {"channels": 32, "growth": 2, "kernel": 3, "dense_depth": 1, "dense_width": 128, "dropout": 0.2},
        "adamw",
        {"learning_rate": 3e-3, "weight_decay": 0.02},
        training=_ONE_CYCLE,
    ),
    Recipe(  # after LeNet: few large filters, wide dense layer, plain momentum
        "cnn",
        {"channels": 16, "growth": 2, "kernel": 5, "dense_depth": 1, "dense_width": 512, "dropout": 0.1},
        "sgd",
        {"learning_rate": 5e-2, "momentum": 0.9, "nesterov": True},
        training=_ONE_CYCLE,
    ),
    Recipe(  # a network must beat this one
        "linear",
        {},
        "adamw",
        {"learning_rate": 1e-3, "weight_decay": 0.1},
        training=_COSINE,
    ),
    Recipe(  # the first one's structure, for fewer images
        "cnn",
        {"channels": 32, "growth": 2, "kernel": 3, "dense_depth": 1, "dense_width": 128, "dropout": 0.4},
        "adamw",
        {"learning_rate": 2e-3, "weight_decay": 0.1},
        training=_ONE_CYCLE,
        input={"shift": 0.1},
        smoothing=0.1,
    ),
    Recipe(
        "cnn",
        {"channels": 32, "convolutions": 2, "normalisation": "group", "activation": "gelu", "dropout": 0.2},
        "adamw",
        {"learning_rate": 3e-3, "weight_decay": 0.05},
        training=_ONE_CYCLE,
        input={"shift": 0.05},
    ),
    Recipe(
        "residual_cnn",
        {"blocks": 1, "channels": 16, "growth": 2},
        "muon",
        {"learning_rate": 2e-2, "adamw_learning_rate": 1e-2, "weight_decay": 0.02},
        training=_ONE_CYCLE,
        input={"shift": 0.05},
    ),
    Recipe(
        "mlp",
        {"depth": 2, "width": 256, "dropout": 0.3},
        "adamw",
        {"learning_rate": 1e-3, "weight_decay": 0.1},
        training=_COSINE,
    ),
    Recipe(
        "cnn",
        {"channels": 64, "growth": 2, "kernel": 3, "dense_depth": 1, "dense_width": 256, "dropout": 0.3},
        "muon",
        {"learning_rate": 1e-2, "adamw_learning_rate": 2e-3, "weight_decay": 0.05},
        training=_ONE_CYCLE,
        input={"shift": 0.05, "cutout": 0.25},
        smoothing=0.1,
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
    of_vectors, of_images = ({recipe.encoder for recipe in recipes} for recipes in (VECTORS, IMAGES))
    recipes = IMAGES if (of_images - of_vectors) & {*choice.options} else VECTORS
    known = [recipe for recipe in recipes if recipe.encoder in choice.options]
    strangers = [Recipe(str(encoder)) for encoder in choice.options if encoder not in of_vectors | of_images]
    return [*known[:1], *strangers, *known[1:]]

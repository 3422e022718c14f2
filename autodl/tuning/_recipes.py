"""Recipes: known-good settings for one kind of input, best first; here those for tables.

A recipe names what matters and leaves the rest to the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autodl.space import Value


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
COSINE: dict[str, Value] = {"schedule": "cosine", "warmup": 0.05, "ema": 0.97}

# Found offline on 22 tables that packages ship (benchmarks/portfolio), but for those of encoders that were not there.
VECTORS: tuple[Recipe, ...] = (
    Recipe(  # one wide layer over bins
        "mlp",
        {"depth": 1, "width": 256, "dropout": 0.3, **_BINS},
        "adamw",
        {"learning_rate": 2e-3, "weight_decay": 0.1},
        training=COSINE,
        smoothing=0.02,
    ),
    Recipe(
        "mlp",
        {"depth": 2, "width": 256, "dropout": 0.0},
        "schedule_free",
        {"learning_rate": 3e-3, "weight_decay": 0.1, "beta1": 0.95},
        training={"schedule": "constant", "warmup": 0.19, "ema": 0.9, "mixup": 0.1},
    ),
    Recipe(  # plain and deep, on the half of the columns that tells most
        "mlp",
        {"depth": 3, "width": 128, "dropout": 0.3},
        "adamw",
        {"learning_rate": 5.3e-3, "weight_decay": 1.2e-3, "beta2": 0.95},
        training={"schedule": "cosine", "warmup": 0.05, "ema": 0.0, "features": 0.5},
        smoothing=0.15,
    ),
    Recipe(  # small, over waves
        "mlp",
        {
            **{"depth": 2, "width": 32, "dropout": 0.05},
            **{"embedding": "periodic", "embedding_width": 4, "frequency_scale": 0.42},
        },
        "rmsprop",
        {"learning_rate": 2e-3, "weight_decay": 2e-6, "alpha": 0.9, "momentum": 0.9},
        training={"schedule": "one_cycle", "ema": 0.0},
    ),
    Recipe(
        "mlp",
        {"depth": 3, "width": 128, "activation": "silu", "dropout": 0.23},
        "adamw",
        {"learning_rate": 2.6e-3, "weight_decay": 3.3e-4, "beta2": 0.999},
        training={"schedule": "cosine", "warmup": 0.21, "ema": 0.999, "features": 0.75},
        smoothing=0.18,
    ),
    Recipe(  # the first one's structure, held back more: they train as one pack
        "mlp",
        {"depth": 1, "width": 256, "dropout": 0.3, **_BINS},
        "adamw",
        {"learning_rate": 2.9e-3, "weight_decay": 1.0, "beta2": 0.999},
        training={"schedule": "one_cycle", "ema": 0.999},
        smoothing=0.02,
    ),
    Recipe(  # the third one's structure on all columns, along one cycle
        "mlp",
        {"depth": 3, "width": 128, "dropout": 0.09},
        "adamw",
        {"learning_rate": 6.2e-3, "weight_decay": 0.05, "beta2": 0.99},
        training={"schedule": "one_cycle", "ema": 0.99, "clip": 0.0},
    ),
    Recipe(  # sixteen predictors in one: TabM-mini (Gorishniy et al., arXiv 2410.24210); not among those measured
        "tabm",
        {"copies": 16, "adapters": "first", "depth": 2, "width": 128, "dropout": 0.1},
        "adamw",
        {"learning_rate": 4e-3, "weight_decay": 0.02},
        training=COSINE,
    ),
    Recipe(
        "mlp",
        {"depth": 1, "width": 256, "dropout": 0.02, **_BINS, "embedding_width": 4},
        "sgd",
        {"learning_rate": 0.12, "weight_decay": 5.8e-4, "nesterov": False},
        training={"schedule": "cosine", "warmup": 0.03, "ema": 0.97, "mixup": 0.2},
    ),
    Recipe(
        "mlp",
        {
            **{"depth": 2, "width": 64, "activation": "selu", "normalisation": "layer", "dropout": 0.0},
            **{"embedding": "periodic", "embedding_width": 32, "frequency_scale": 0.53},
        },
        "adamw",
        {"learning_rate": 7.9e-3, "weight_decay": 0.05},
        training={"schedule": "one_cycle", "ema": 0.97, "features": 0.5},
        smoothing=0.15,
    ),
    Recipe(  # the second one's structure, blended more
        "mlp",
        {"depth": 2, "width": 256, "dropout": 0.26},
        "schedule_free",
        {"learning_rate": 3e-3, "weight_decay": 3.8e-3, "beta2": 0.999},
        training={"schedule": "one_cycle", "ema": 0.97, "mixup": 0.2},
        smoothing=0.1,
    ),
    Recipe(  # a network must beat this one
        "linear",
        {"embedding": "none"},
        "adamw",
        {"learning_rate": 1e-2, "weight_decay": 3.6e-3},
        training={"schedule": "constant", "ema": 0.97, "clip": 0.0, "mixup": 0.2},
        smoothing=0.135,
    ),
    Recipe(
        "mlp",
        {"depth": 1, "width": 256, "dropout": 0.22, **_BINS, "embedding_width": 4},
        "sgd",
        {"learning_rate": 0.065, "weight_decay": 5.8e-4, "nesterov": False},
        training={"schedule": "cosine", "warmup": 0.05, "ema": 0.97, "clip": 0.0, "features": 0.9},
    ),
    Recipe(  # the bins themselves beside the numbers; not among those measured
        "mlp",
        {"depth": 1, "width": 256, "dropout": 0.3, "embedding": "bins", "bins": 16},
        "adamw",
        {"learning_rate": 4e-3, "weight_decay": 0.1},
        training=COSINE,
        smoothing=0.02,
    ),
    Recipe(  # after the ResNet of Gorishniy et al., arXiv 2106.11959; not among those chosen
        "residual_mlp",
        {"depth": 2, "width": 128, "expansion": 2, "normalisation": "layer", "dropout": 0.2},
        "adamw",
        {"learning_rate": 1e-3, "weight_decay": 0.05},
        training=COSINE,
    ),
)

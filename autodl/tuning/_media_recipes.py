"""Recipes for images, texts and sounds, best first."""

from __future__ import annotations

from autodl.space import Value
from autodl.tuning._recipes import COSINE, Recipe

ONE_CYCLE: dict[str, Value] = {"schedule": "one_cycle", "ema": 0.99}

IMAGES: tuple[Recipe, ...] = (
    Recipe(  # the size of network that the encoder thinks right for the image, one cycle
        "cnn",
        {"channels": 32, "growth": 2, "kernel": 3, "dense_depth": 1, "dense_width": 128, "dropout": 0.2},
        "adamw",
        {"learning_rate": 3e-3, "weight_decay": 0.02},
        training=ONE_CYCLE,
    ),
    Recipe(  # what a network learnt on ImageNet, frozen
        "pooled_mlp",
        {"depth": 1, "width": 256, "normalisation": "layer", "dropout": 0.4},
        "adamw",
        {"learning_rate": 2e-3, "weight_decay": 1.0},
        training=COSINE,
        smoothing=0.1,
    ),
    Recipe(  # after LeNet: few large filters, wide dense layer, plain momentum
        "cnn",
        {"channels": 16, "growth": 2, "kernel": 5, "dense_depth": 1, "dense_width": 512, "dropout": 0.1},
        "sgd",
        {"learning_rate": 5e-2, "momentum": 0.9, "nesterov": True},
        training=ONE_CYCLE,
    ),
    Recipe(  # a network must beat this one
        "linear",
        {},
        "adamw",
        {"learning_rate": 1e-3, "weight_decay": 0.1},
        training=COSINE,
    ),
    Recipe(  # the first one's structure, for fewer images
        "cnn",
        {"channels": 32, "growth": 2, "kernel": 3, "dense_depth": 1, "dense_width": 128, "dropout": 0.4},
        "adamw",
        {"learning_rate": 2e-3, "weight_decay": 0.1},
        training=ONE_CYCLE,
        input={"shift": 0.1},
        smoothing=0.1,
    ),
    Recipe(
        "cnn",
        {"channels": 32, "convolutions": 2, "normalisation": "group", "activation": "gelu", "dropout": 0.2},
        "adamw",
        {"learning_rate": 3e-3, "weight_decay": 0.05},
        training=ONE_CYCLE,
        input={"shift": 0.05},
    ),
    Recipe(
        "residual_cnn",
        {"blocks": 1, "channels": 16, "growth": 2},
        "muon",
        {"learning_rate": 2e-2, "adamw_learning_rate": 1e-2, "weight_decay": 0.02},
        training=ONE_CYCLE,
        input={"shift": 0.05},
    ),
    Recipe(
        "mlp",
        {"depth": 2, "width": 256, "dropout": 0.3},
        "adamw",
        {"learning_rate": 1e-3, "weight_decay": 0.1},
        training=COSINE,
    ),
    Recipe(
        "cnn",
        {"channels": 64, "growth": 2, "kernel": 3, "dense_depth": 1, "dense_width": 256, "dropout": 0.3},
        "muon",
        {"learning_rate": 1e-2, "adamw_learning_rate": 2e-3, "weight_decay": 0.05},
        training=ONE_CYCLE,
        input={"shift": 0.05, "cutout": 0.25},
        smoothing=0.1,
    ),
    Recipe(  # the same network, its last part trained further
        "efficientnet_lite0",
        {"trainable": "last", "side": 128, "dropout": 0.2},
        "adamw",
        {"learning_rate": 3e-4, "weight_decay": 0.05},
        training={"schedule": "cosine", "warmup": 0.1, "ema": 0.97},
        input={"flip": 0.5},
        smoothing=0.1,
    ),
)

_SHORT: dict[str, Value] = {**COSINE, "length": 0.1}


def _steps(rate: float) -> dict[str, Value]:
    return {"learning_rate": rate, "weight_decay": 1e-2, "beta2": 0.95}


# Tried on reviews and on news.
TEXTS: tuple[Recipe, ...] = (
    Recipe("text_bag", {}, "adamw", _steps(6e-3), training=_SHORT),
    Recipe(  # vectors that were learned elsewhere, where there are some
        "text_bag", {}, "adamw", _steps(6e-3), training={**COSINE, "length": 0.3}, input={"tokens": "pretrained"}
    ),
    Recipe(
        "text_bag",
        {"width": 8, "pairs": 128_000, "pooling": "mean"},
        "adamw",
        _steps(1e-2),
        training=_SHORT,
    ),
    Recipe("text_attention", {}, "adamw", _steps(4e-3), training=_SHORT, input={"word_dropout": 0.2}),
    Recipe(
        "text_cnn",
        {"width": 128, "dropout": 0.3, "token_dropout": 0.3},
        "adamw",
        _steps(3e-3),
        training=_SHORT,
        input={"word_dropout": 0.3},
    ),
    Recipe("text_bag", {"width": 64, "pairs": 0}, "adamw", _steps(1e-2), training=_SHORT),
    Recipe("text_bag", {}, "adamw", _steps(6e-3), training=_SHORT, input={"tokens": "subwords"}),
    Recipe(
        "text_cnn",
        {"width": 64, "token_dropout": 0.2},
        "adamw",
        _steps(1e-2),
        training=_SHORT,
        input={"word_dropout": 0.2},
    ),
)

_SOUND: dict[str, Value] = {"blocks": 3, "kernel": 5, "pool": "average", "dropout": 0.2}
_MUON: dict[str, Value] = {"learning_rate": 4e-2, "adamw_learning_rate": 6e-3, "weight_decay": 0.05}
_BLENDED: dict[str, Value] = {"schedule": "one_cycle", "ema": 0.99, "mixup": 0.2}

# Tried on spoken digits, clean and under white noise.
SOUNDS: tuple[Recipe, ...] = (
    Recipe("audio_cnn", {**_SOUND, "channels": 16}, "muon", _MUON, training=_BLENDED, smoothing=0.1),
    Recipe("audio_cnn", {**_SOUND, "channels": 8}, "muon", _MUON, training=_BLENDED, smoothing=0.1),
    Recipe(
        "audio_cnn",
        {**_SOUND, "channels": 16},
        "adamw",
        {"learning_rate": 6e-3, "weight_decay": 0.05},
        training=_BLENDED,
        smoothing=0.1,
    ),
    Recipe(
        "cnn",
        {"channels": 32, "growth": 2, "kernel": 3, "dense_depth": 1, "dense_width": 128, "dropout": 0.3},
        "adamw",
        {"learning_rate": 2e-3, "weight_decay": 0.1},
        training=ONE_CYCLE,
    ),
    Recipe(
        "audio_cnn",
        {**_SOUND, "channels": 16},
        "muon",
        _MUON,
        training=_BLENDED,
        input={"time_mask": 0.15, "frequency_mask": 0.15, "shift": 0.1},
        smoothing=0.1,
    ),
)

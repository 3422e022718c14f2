"""Every recipe for images, texts and sounds speaks of what is registered, in values that its knobs bear."""

from __future__ import annotations

import pytest

from autodl import registry
from autodl.training.settings import TRAINING_SPACE
from autodl.tuning._media_recipes import IMAGES, SOUNDS, TEXTS
from autodl.tuning._recipes import Recipe

KINDS = {"image": IMAGES, "audio": SOUNDS, "text": TEXTS}
ALL = [(kind, recipe) for kind, recipes in KINDS.items() for recipe in recipes]


@pytest.mark.parametrize(("modality", "recipe"), ALL, ids=[f"{kind}-{recipe.encoder}" for kind, recipe in ALL])
def test_every_setting_exists_and_bears_its_value(modality: str, recipe: Recipe) -> None:
    spaces = {
        "input": (registry.modalities.load(modality).space, recipe.input),
        "encoder": (registry.encoders.load(recipe.encoder).space, recipe.settings),
        "optimizer": (registry.optimizers.load(recipe.optimizer).space, recipe.update),
        "training": (TRAINING_SPACE, recipe.training),
    }
    for owner, (space, settings) in spaces.items():
        for name, value in settings.items():
            assert space[name].allows(value), f"{owner}: {name} = {value}"

"""Every recipe speaks of what is registered, in values that its knobs bear."""

from __future__ import annotations

import pytest

from autodl import registry
from autodl.training.settings import TRAINING_SPACE
from autodl.tuning._recipes import VECTORS, Recipe


@pytest.mark.parametrize("recipe", VECTORS, ids=lambda recipe: recipe.encoder)
def test_every_setting_exists_and_bears_its_value(recipe: Recipe) -> None:
    spaces = {
        "input": (registry.modalities.load("tabular").space, recipe.input),
        "encoder": (registry.encoders.load(recipe.encoder).space, recipe.settings),
        "optimizer": (registry.optimizers.load(recipe.optimizer).space, recipe.update),
        "training": (TRAINING_SPACE, recipe.training),
    }
    for owner, (space, settings) in spaces.items():
        for name, value in settings.items():
            assert space[name].allows(value), f"{owner}: {name} = {value}"


def test_wishes_are_paths_of_a_search() -> None:
    recipe = Recipe("mlp", {"depth": 2}, "sgd", {"momentum": 0.9}, {"ema": 0.9}, {"scaling": "standard"}, 0.1)
    assert recipe.wishes("table", "tabular") == {
        "table.encoder": "mlp",
        "optimizer": "sgd",
        "table.tabular.scaling": "standard",
        "table.mlp.depth": 2,
        "optimizer.sgd.momentum": 0.9,
        "training.ema": 0.9,
        "loss.cross_entropy.label_smoothing": 0.1,
    }

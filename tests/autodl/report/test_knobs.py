from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from autodl.records import Component, InputSpec, Task, TrialConfig
from autodl.report._knobs import Knob, settings, varied
from autodl.tuning.search_space import SearchSpace

CHOICES = ("table.encoder", "estimator")  # told together, as the model


def network(**changes: Any) -> TrialConfig:
    parts: dict[str, Any] = {
        "modalities": {"table": Component("tabular", {"scaling": "robust"})},
        "encoders": {"table": Component("mlp", {"depth": 3, "dropout": 0.1})},
        "loss": Component("focal", {"gamma": 2.0}),
        "optimizer": Component("adamw", {"learning_rate": 0.01}),
        "training": {"batch_size": 32},
        "epochs": 9,
        "seed": 1,
    }
    return TrialConfig(**{**parts, **changes})


def learner(name: str, **settings: Any) -> TrialConfig:
    nothing = Component("")
    return TrialConfig({}, {}, nothing, nothing, {"target": "log"}, 1, 0, estimator=Component(name, settings))


def test_a_network_is_told_by_the_paths_of_the_search_space() -> None:
    assert settings(network()) == {
        "model": "mlp",
        "table.tabular.scaling": "robust",
        "table.mlp.depth": 3,
        "table.mlp.dropout": 0.1,
        "loss": "focal",
        "loss.focal.gamma": 2.0,
        "optimizer": "adamw",
        "optimizer.adamw.learning_rate": 0.01,
        "training.batch_size": 32,
    }


def test_a_recipe_is_told_as_the_search_space_tells_it() -> None:
    """So that what a figure names can be set in a space's file."""
    names = ("a", "b", "c", "d")
    numbers = {"numeric": torch.ones(4, dtype=torch.bool), "quantiles": torch.randn(9, 4).sort(0).values}
    spec = InputSpec((4,), names, torch.arange(4), torch.zeros(4), names, relevance=torch.ones(4), **numbers)
    space = SearchSpace.build({"table": ("tabular", spec)}, Task("y", "binary", ("no", "yes"), "log_loss"), 500)
    generator = np.random.default_rng(0)
    for half in [space.networks] * 20 + [space.estimators] * 20:
        config = half.config(half.random(generator), 10, 0)
        expected = {path: value for path, value in space.params(config).items() if path not in CHOICES}
        own = {path: value for path, value in settings(config).items() if path != "model"}
        assert {**own, **expected} == own
        assert len(own) <= len(expected) + len(config.modalities["table"].settings)


def test_an_estimator_is_told_likewise() -> None:
    assert settings(learner("extra_trees", max_features=0.5)) == {
        "model": "extra_trees",
        "estimator.extra_trees.max_features": 0.5,
        "estimator.target": "log",
    }


def test_only_what_differs_is_of_interest_and_what_does_not_count_is_none() -> None:
    slow = network(optimizer=Component("adamw", {"learning_rate": 0.1}))
    knobs = {knob.path: knob for knob in varied([network(), slow, learner("extra_trees", max_features=0.5)])}
    assert list(knobs) == ["model", "optimizer.adamw.learning_rate"]
    assert knobs["model"].values == ("mlp", "mlp", "extra_trees")
    assert knobs["optimizer.adamw.learning_rate"].values == (0.01, 0.1, None)
    assert knobs["optimizer.adamw.learning_rate"].known == [0.01, 0.1]


def test_axes_are_logarithmic_where_the_range_is() -> None:
    other = network(
        encoders={"table": Component("mlp", {"depth": 1, "dropout": 0.3})},
        optimizer=Component("adamw", {"learning_rate": 0.011}),
        training={"batch_size": 1024},
    )
    log = {knob.path: knob.log for knob in varied([network(), other])}
    assert log == {
        "table.mlp.depth": False,
        "table.mlp.dropout": False,
        "optimizer.adamw.learning_rate": True,
        "training.batch_size": True,
    }


def test_a_component_that_is_not_installed_is_judged_by_its_values() -> None:
    configs = [network(encoders={"table": Component("stranger", {"a": a, "b": b})}) for a, b in ((1, 0.0), (100, 5.0))]
    assert {knob.path: knob.log for knob in varied(configs)} == {"table.stranger.a": True, "table.stranger.b": False}


@pytest.mark.parametrize(
    ("values", "numeric", "options"),
    [
        ((32, 8, None), True, [8, 32]),
        ((32, "full", 8), False, [8, 32, "full"]),
        ((True, False), False, [False, True]),
        (("b", "a", "b"), False, ["a", "b"]),
    ],
)
def test_values_are_numbers_or_options(values: tuple[Any, ...], numeric: bool, options: list[Any]) -> None:
    knob = Knob("a.b.c", values, False)
    assert (knob.numeric, knob.options, knob.label) == (numeric, options, "b.c")

from __future__ import annotations

import json
from typing import Any

import pytest

from autodl.errors import AutoDLError, UnknownNameError
from autodl.tuning.options import DEFAULT_SECONDS, SearchOptions


@pytest.mark.parametrize(
    "options",
    [
        SearchOptions(),
        SearchOptions(time=5.0, models=("mlp", "linear"), space="[training]\n", jobs=2),
        SearchOptions(folds=5, repeats=2, refit=True, single=True, minimize="latency"),
    ],
)
def test_options_survive_json(options: SearchOptions) -> None:
    assert SearchOptions.from_json(json.loads(json.dumps(options.to_json()))) == options


def test_options_of_an_older_run_get_the_defaults() -> None:
    data = SearchOptions(time=5.0).to_json()
    for name in ("folds", "repeats", "refit", "single", "minimize"):
        data.pop(name)
    assert SearchOptions.from_json(data) == SearchOptions(time=5.0)


def test_a_search_without_a_budget_gets_one() -> None:
    assert SearchOptions().checked().time == DEFAULT_SECONDS
    assert SearchOptions(trials=3).checked().time is None


@pytest.mark.parametrize(
    "said",
    [
        {"models": ("mlp", "networks", "all")},
        {"folds": 1},
        {"folds": 20, "repeats": 20},
        {"folds": None},
        {"minimize": "parameters"},
    ],
)
def test_what_is_possible_is_kept(said: dict[str, Any]) -> None:
    options = SearchOptions(time=9.0, **said)
    assert options.checked() == options


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"time": 0.5}, "--time must be at least 1, however 0.5 came; raise it"),
        ({"trials": 0}, "--trials must be at least 1"),
        ({"jobs": 0}, "--jobs must be at least 1"),
        ({"folds": 0}, "--folds must be at least 1"),
        ({"folds": 21}, "--folds must be at most 20, however 21 came; lower it"),
        ({"folds": 2, "repeats": 0}, "--repeats must be at least 1"),
        ({"repeats": 2}, "--repeats must come with --folds"),
        ({"folds": 1, "repeats": 2}, "--repeats must come with --folds"),
        ({"minimize": "speed"}, "--minimize must be one of latency, parameters, however 'speed' came"),
    ],
)
def test_what_is_not_possible_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(AutoDLError, match=message):
        SearchOptions(**said).checked()


def test_a_model_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"no model is called 'network'; did you mean 'networks'\?"):
        SearchOptions(models=("network",)).checked()

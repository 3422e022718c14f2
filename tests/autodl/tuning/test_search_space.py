from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest

from autodl import registry
from autodl.errors import SpaceError
from autodl.records import Component, TrialConfig
from autodl.space import Choice, Dimension, Float, Integer
from autodl.tuning.search_space import SearchKnob, SearchSpace

optuna.logging.set_verbosity(optuna.logging.WARNING)


def owned(*owner: str, when: tuple[Any, ...] = (), **dimensions: Dimension) -> list[SearchKnob]:
    return [SearchKnob(owner, name.strip("_"), dimension, when) for name, dimension in dimensions.items()]


def made(inputs: dict[str, str], *groups: list[SearchKnob]) -> SearchSpace:
    return SearchSpace({knob.path: knob for group in groups for knob in group}, inputs)


MLP = ("table.encoder", ("mlp",))
TABLE = [
    *owned("table", encoder=Choice("mlp", "straight")),
    *owned("table", "sheet", scaling=Choice("robust", "standard"), jitter=Float(0, 1, per_member=True)),
    *owned("table", "mlp", when=(MLP,), depth=Integer(1, 6, default=2), embedding=Choice("none", "bins")),
    *owned("table", "mlp", when=(MLP, ("table.mlp.embedding", ("bins",))), bins=Integer(2, 64)),
    *owned("table", "mlp", when=(("table.mlp.bins", (2, 3)),), spacing=Choice("even", "odd")),
    *owned("table", "mlp", when=(MLP,), dropout=Float(0, 0.5, per_member=True, default=0.1), act=Choice("relu")),
]
PHOTO = [
    *owned("photo", encoder=Choice("filters")),
    *owned("photo", "photo", side=Choice(16, 32)),
    *owned("photo", "filters", when=(("photo.encoder", ("filters",)),), channels=Choice(8, 16)),
]
RATE = {"per_member": True, "log": True}
REST = [
    *owned("loss", _=Choice("entropy", "focal")),
    *owned("loss", "focal", when=(("loss", ("focal",)),), gamma=Float(0.5, 5, per_member=True)),
    *owned("optimizer", _=Choice("sgd", "adamw", default="adamw")),
    *owned("optimizer", "sgd", when=(("optimizer", ("sgd",)),), learning_rate=Float(1e-3, 1, **RATE)),
    *owned(
        *("optimizer", "adamw"),
        when=(("optimizer", ("adamw",)),),
        learning_rate=Float(1e-4, 1e-2, **RATE),
        nesterov=Choice(True, False, per_member=True),
    ),
]
FUSION = [
    *owned("fusion", _=Choice("join")),
    *owned("fusion", "join", when=(("fusion", ("join",)),), norm=Choice(False, True)),
]
LOOP = owned(
    "training",
    batch_size=Choice(32, 64, "full"),
    clip=Choice(0.0, 1.0, per_member=True),
    patience=Integer(16, 16, per_member=True),
)


FOREST, NEAR = (("estimator", (name,)) for name in ("extra_trees", "k_neighbors"))
LEARNERS = [
    replace(knob, of_estimator=True)
    for knob in [
        *owned("estimator", _=Choice("extra_trees", "k_neighbors")),
        *owned(
            *("estimator", "extra_trees"),
            when=(FOREST,),
            max_features=Choice("sqrt", 0.5, default=0.5),
            min_samples_leaf=Integer(1, 50, default=3),
        ),
        *owned("estimator", "k_neighbors", when=(NEAR,), neighbors=Integer(1, 200, default=20)),
        *owned("estimator", target=Choice("none", "log")),
    ]
]


def whole_space() -> SearchSpace:
    return made({"table": "tabular"}, as_tabular(TABLE), REST, LOOP, LEARNERS)


def as_tabular(knobs: list[SearchKnob]) -> list[SearchKnob]:
    """The same knobs, of the modality that is really there."""
    return [replace(knob, owner=("table", "tabular")) if knob.owner[1:] == ("sheet",) else knob for knob in knobs]


def table_space() -> SearchSpace:
    return made({"table": "sheet"}, TABLE, REST, LOOP)


def both_space() -> SearchSpace:
    return made({"photo": "photo", "table": "sheet"}, PHOTO, TABLE, REST, FUSION, LOOP)


def check_whole(space: SearchSpace, params: Mapping[str, Any]) -> None:
    """A configuration has a value within its range for every knob that counts, and for no other."""
    assert [knob.path for knob in space.active(params)] == list(params)
    assert space.complete(params) == params


def test_suggest_asks_for_what_counts_and_has_several_values() -> None:
    space = both_space()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        trial = study.ask()
        params = space.suggest(trial)
        check_whole(space, params)
        single = {path for path in params if path not in trial.params}
        assert single == {"photo.encoder", "fusion", "training.patience"} | {p for p in params if p == "table.mlp.act"}
        assert trial.distributions == space.distributions(params)
        study.tell(trial=trial, values=0.0)
    assert {trial.params["table.encoder"] for trial in study.trials} == {"mlp", "straight"}


def test_a_fixed_trial_takes_a_configuration_to_itself() -> None:
    space = both_space()
    params = space.random(np.random.default_rng(1))
    assert space.suggest(optuna.trial.FixedTrial(params=params)) == params


def test_a_study_is_rebuilt_from_configurations_and_goes_on() -> None:
    space = table_space()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=3))
    generator = np.random.default_rng(0)
    for number in range(6):
        params = space.random(generator)
        asked = space.distributions(params)
        past = {path: params[path] for path in asked}
        study.add_trial(optuna.trial.create_trial(params=past, distributions=asked, value=float(number)))
    check_whole(space, space.suggest(study.ask()))


def test_random_draws_whole_configurations_and_the_same_for_the_same_seed() -> None:
    space = both_space()
    draws = [space.random(np.random.default_rng(seed)) for seed in range(40)]
    for params in draws:
        check_whole(space, params)
    assert space.random(np.random.default_rng(0)) == draws[0]
    assert {params["table.encoder"] for params in draws} == {"mlp", "straight"}
    rates = [params.get("optimizer.sgd.learning_rate", params.get("optimizer.adamw.learning_rate")) for params in draws]
    assert len(set(rates)) == len(rates)


def test_random_keeps_what_is_fixed() -> None:
    space, generator = table_space(), np.random.default_rng(0)
    leader = space.random(generator)
    members = [space.random(generator, space.structural(leader)) for _ in range(10)]
    for params in members:
        check_whole(space, params)
        assert space.structural(params) == space.structural(leader)
    assert len({params["table.sheet.jitter"] for params in members}) == 10


def test_nearest_moves_wishes_into_the_space_and_drops_what_does_not_count() -> None:
    space = table_space()
    wishes = {
        "table.mlp.depth": 9,
        "table.mlp.dropout": 0.7,
        "table.mlp.bins": 8,
        "table.sheet.scaling": "quantile",
        "training.batch_size": 50,
        "optimizer": "lion",
        "optimizer.lion.learning_rate": 1e-4,
    }
    params = space.nearest(wishes)
    check_whole(space, params)
    changed = {path: value for path, value in params.items() if value != space.complete({})[path]}
    assert changed == {"table.mlp.depth": 6, "table.mlp.dropout": 0.5, "training.batch_size": 64}


def test_random_reaches_both_ends_of_a_whole_number() -> None:
    generator = np.random.default_rng(0)
    drawn = [table_space().random(generator).get("table.mlp.depth") for _ in range(200)]
    assert set(drawn) == {None, 1, 2, 3, 4, 5, 6}


def test_complete_fills_in_defaults() -> None:
    params = table_space().complete({"table.encoder": "mlp", "table.mlp.embedding": "bins"})
    assert params["table.mlp.depth"] == 2
    assert params["table.mlp.bins"] == 33
    assert params["optimizer"] == "adamw"
    assert params["training.batch_size"] == 32
    assert "table.mlp.spacing" not in params
    check_whole(table_space(), params)


def test_complete_writes_whole_numbers_as_the_knob_does() -> None:
    value = table_space().complete({"table.mlp.dropout": 0, "training.clip": 1})
    assert isinstance(value["table.mlp.dropout"], float)
    assert isinstance(value["training.clip"], float)


def test_a_mixed_choice_takes_full_and_numbers() -> None:
    space = table_space()
    assert space.complete({"training.batch_size": "full"})["training.batch_size"] == "full"
    assert space.complete({"training.batch_size": 64})["training.batch_size"] == 64


@pytest.mark.parametrize(
    ("partial", "message"),
    [
        ({"table.mlp.dept": 2}, r"no knob is called 'table.mlp.dept'; did you mean 'table.mlp.depth'\?"),
        ({"table.mpl.depth": 2}, r"did you mean 'table.mlp.depth'\?"),
        ({"table.mlp.depth": 9}, "'table.mlp.depth' must be a whole number from 1 to 6, however 9 came"),
        ({"table.mlp.depth": 2.0}, "a whole number"),
        ({"table.mlp.depth": True}, "a whole number"),
        ({"table.mlp.dropout": float("nan")}, "a number from 0 to 0.5"),
        ({"table.encoder": "filters"}, "'table.encoder' must be one of mlp, straight, however 'filters' came"),
        ({"optimizer.adamw.nesterov": 1}, "one of True, False"),
        ({"table.encoder": "straight", "table.mlp.depth": 2}, "may be set only where table.encoder is mlp"),
        ({"table.mlp.bins": 8}, "only where table.encoder is mlp and table.mlp.embedding is bins"),
    ],
)
def test_complete_refuses(partial: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        table_space().complete(partial)


def test_structural_is_what_a_pack_shares() -> None:
    space = both_space()
    params = space.complete({"table.encoder": "mlp", "loss": "focal"})
    assert space.structural(params) == {
        "table.encoder": "mlp",
        "table.sheet.scaling": "robust",
        "table.mlp.depth": 2,
        "table.mlp.embedding": "none",
        "table.mlp.act": "relu",
        "photo.encoder": "filters",
        "photo.photo.side": 16,
        "photo.filters.channels": 8,
        "loss": "focal",
        "optimizer": "adamw",
        "fusion": "join",
        "fusion.join.norm": False,
        "training.batch_size": 32,
    }


def test_config_is_the_recipe() -> None:
    space = both_space()
    params = space.complete({"table.mlp.depth": 3, "loss": "focal", "optimizer": "sgd"})
    config = space.config(params, epochs=20, seed=7)
    assert config.modalities == {
        "table": Component("sheet", {"scaling": "robust", "jitter": 0.5}),
        "photo": Component("photo", {"side": 16}),
    }
    assert config.encoders["table"] == Component(
        "mlp", {"depth": 3, "embedding": "none", "dropout": 0.1, "act": "relu"}
    )
    assert config.loss == Component("focal", {"gamma": 2.75})
    assert config.optimizer.name == "sgd"
    assert config.fusion == Component("join", {"norm": False})
    assert config.training["batch_size"] == 32
    assert (config.epochs, config.seed) == (20, 7)


def test_config_and_params_are_inverse_through_json() -> None:
    for space in (table_space(), both_space()):
        generator = np.random.default_rng(0)
        for _ in range(20):
            params = space.random(generator)
            config = TrialConfig.from_json(space.config(params, epochs=3, seed=1).to_json())
            assert space.params(config) == params
            assert space.config(space.params(config), epochs=3, seed=1) == config


def test_other_ranges_leave_the_original_alone() -> None:
    space = table_space()
    narrow = space.with_dimensions({"table.mlp.depth": Integer(3, 3)})
    assert narrow.complete({})["table.mlp.depth"] == 3
    assert "table.mlp.depth" not in narrow.distributions(narrow.complete({}))
    assert space == table_space()
    assert narrow != space


def test_the_two_halves_of_a_space() -> None:
    space = whole_space()
    assert {*space.networks.knobs, *space.estimators.knobs} == set(space.knobs)
    assert set(space.estimators.knobs) == {path for path in space.knobs if path.startswith("estimator")}
    assert (space.has_networks, space.has_estimators) == (True, True)
    assert (space.networks.has_networks, space.networks.has_estimators) == (True, False)
    assert (space.estimators.has_networks, space.estimators.has_estimators) == (False, True)
    assert space.networks.networks is space.networks
    assert not space.networks.estimators.knobs
    assert table_space().networks == table_space()


def test_each_half_walks_by_itself_and_the_whole_by_what_is_named() -> None:
    space, generator = whole_space(), np.random.default_rng(0)
    for _ in range(20):
        check_whole(space.estimators, space.estimators.random(generator))
        check_whole(space.networks, space.networks.random(generator))
        check_whole(space, space.random(generator, {"estimator": "k_neighbors"}))
    assert space.complete({}) == space.networks.complete({})
    assert "table.encoder" in space.random(generator)
    whole = {"estimator": "extra_trees", "estimator.extra_trees.max_features": 0.5}
    whole |= {"estimator.extra_trees.min_samples_leaf": 9, "estimator.target": "none"}
    partial = {"estimator": "extra_trees", "estimator.extra_trees.min_samples_leaf": 9}
    assert space.complete(partial) == space.nearest(partial) == space.structural(whole) == whole
    assert space.estimators.complete({}) == {**whole, "estimator.extra_trees.min_samples_leaf": 3}


def test_an_estimator_is_suggested_where_only_estimators_are() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    params = whole_space().estimators.suggest(trial)
    check_whole(whole_space().estimators, params)
    assert trial.params == params


def test_what_is_an_estimators_is_refused_for_a_network() -> None:
    with pytest.raises(SpaceError, match=r"'estimator\.target' may be set only where an estimator is meant"):
        whole_space().complete({"estimator.target": "log"})
    with pytest.raises(SpaceError, match=r"'training\.clip' may be set only where a network is meant"):
        whole_space().complete({"estimator": "k_neighbors", "training.clip": 1.0})


def test_the_recipe_of_an_estimator() -> None:
    space = whole_space()
    params = space.complete({"estimator": "k_neighbors", "estimator.target": "log"})
    config = space.config(params, epochs=20, seed=7)
    assert config.estimator == Component("k_neighbors", {"neighbors": 20})
    assert config.training == {"target": "log"}
    assert (config.encoders, config.fusion, config.loss, config.optimizer) == ({}, None, Component(""), Component(""))
    assert (config.epochs, config.seed) == (1, 7)
    tabular = registry.modalities.load("tabular").space
    assert config.modalities == {
        "table": Component("tabular", {n: v for n, v in tabular.defaults().items() if n in tabular.structural()})
    }
    assert "table.encoder" in space.params(space.config(space.complete({}), 2, 0))


def test_recipes_of_estimators_and_params_are_inverse_through_json() -> None:
    space, generator = whole_space(), np.random.default_rng(0)
    for part in (space, space.estimators):
        for _ in range(20):
            params = space.estimators.random(generator)
            config = TrialConfig.from_json(part.config(params, epochs=1, seed=1).to_json())
            assert part.params(config) == params
            assert part.config(part.params(config), epochs=1, seed=1) == config


def test_an_estimator_that_is_not_searched_stands_at_its_defaults() -> None:
    defaults = registry.estimators.load("linear_model").space.defaults()
    for space in (whole_space(), table_real()):
        for name, settings in (("dummy", {}), ("linear_model", defaults)):
            config = space.config({"estimator": name}, epochs=5, seed=1)
            assert config.estimator == Component(name, settings)
            assert space.params(config)["estimator"] == name
            assert space.config(space.params(config), epochs=5, seed=1) == config


def table_real() -> SearchSpace:
    """Networks alone."""
    return whole_space().networks

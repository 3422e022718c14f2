from __future__ import annotations

import optuna
import pytest
import torch

from autodl import registry
from autodl.contracts import Encoder
from autodl.network import Network
from autodl.records import InputSpec, Task
from autodl.space import Choice, Float, Space
from autodl.tuning._dimensions import admit, default_value
from autodl.tuning._media_recipes import IMAGES
from autodl.tuning._recipes import VECTORS, Recipe
from autodl.tuning.portfolio import portfolio
from autodl.tuning.search_space import SearchSpace
from autodl.tuning.toml_space import from_toml

CLASSES = Task("y", "multiclass", ("a", "b", "c"))
NUMBER = Task("y", "regression")


def table(features: int = 20) -> InputSpec:
    names = tuple(f"x{i}" for i in range(features))
    return InputSpec(
        (features,),
        names,
        torch.arange(features),
        torch.zeros(features),
        names,
        numeric=torch.ones(features, dtype=torch.bool),
        quantiles=torch.linspace(-2, 2, 129).unsqueeze(1).expand(-1, features),
        relevance=torch.rand(features, generator=torch.Generator().manual_seed(0)),
    )


def image(*shape: int) -> InputSpec:
    return InputSpec(shape, ("photo",), torch.zeros(shape, dtype=torch.int64), torch.zeros(shape))


def space_of(*inputs: str, task: Task = CLASSES, rows: int = 2_000, models: list[str] | None = None) -> SearchSpace:
    known = {"table": ("tabular", table()), "photo": ("image", image(1, 28, 28))}
    return SearchSpace.build({name: known[name] for name in inputs}, task, rows, models)


def offered(space: SearchSpace, name: str, recipes: tuple[Recipe, ...]) -> list[Recipe]:
    """The recipes of encoders that take such an input, as pretrained ones take no small image."""
    choice = space.knob(f"{name}.encoder").dimension
    assert isinstance(choice, Choice)
    found = [recipe for recipe in recipes if recipe.encoder in choice.options]
    assert len(found) > len(recipes) / 2
    return found


@pytest.mark.parametrize("task", [CLASSES, NUMBER], ids=["classes", "number"])
@pytest.mark.parametrize(("name", "recipes"), [("table", VECTORS), ("photo", IMAGES)], ids=["table", "photo"])
def test_every_value_of_every_recipe_exists_counts_and_is_met_where_there_is_room(
    name: str, recipes: tuple[Recipe, ...], task: Task
) -> None:
    space = space_of(name, task=task)
    for recipe in offered(space, name, recipes):
        wishes = recipe.wishes(name, space.inputs[name])
        params = space.nearest(wishes)
        for path, value in wishes.items():
            if path.startswith("loss.") and not task.is_classification:
                continue
            assert admit(space.knob(path).dimension, value) == value, path
            assert params[path] == value, path


@pytest.mark.parametrize("task", [CLASSES, NUMBER], ids=["classes", "number"])
@pytest.mark.parametrize("inputs", [("table",), ("photo",), ("photo", "table")], ids="+".join)
def test_configurations_are_whole_and_different(inputs: tuple[str, ...], task: Task) -> None:
    space = space_of(*inputs, task=task)
    found = portfolio(space)
    assert 8 <= len(found) <= 20
    assert all(space.complete(params) == params for params in found)
    assert all(params not in found[:index] for index, params in enumerate(found))


@pytest.mark.parametrize("inputs", [("table",), ("photo",), ("photo", "table")], ids="+".join)
def test_each_builds_a_network(inputs: tuple[str, ...]) -> None:
    space = space_of(*inputs)
    specs = {name: {"table": table(), "photo": image(1, 28, 28)}[name] for name in inputs}
    for params in portfolio(space):
        network = Network.seeded(space.config(params, epochs=1, seed=0), specs, CLASSES.n_outputs).eval()
        rows = {name: spec.baseline.expand(2, *spec.shape) for name, spec in specs.items()}
        assert network(rows).shape == ((2, 3) if network.copies == 1 else (2, network.copies, 3))


def test_a_study_takes_them() -> None:
    space = space_of("photo", "table")
    study = optuna.create_study()
    for params in portfolio(space):
        asked = space.distributions(params)
        past = {path: params[path] for path in asked}
        study.add_trial(optuna.trial.create_trial(params=past, distributions=asked, value=0.0))
    assert len(study.trials) == len(portfolio(space))


def test_best_first_is_the_first_recipe() -> None:
    for name, recipes in (("table", VECTORS), ("photo", IMAGES)):
        space = space_of(name)
        assert portfolio(space)[0] == space.nearest(recipes[0].wishes(name, space.inputs[name]))


def test_encoders_that_are_left_out_are_skipped() -> None:
    found = portfolio(space_of("table", models=["residual_mlp", "linear"]))
    assert {params["table.encoder"] for params in found} == {"residual_mlp", "linear"}
    edited = from_toml('table.encoder = "linear"', space_of("table"))
    assert {params["table.encoder"] for params in portfolio(edited)} == {"linear"}


def test_ranges_that_a_user_narrowed_hold() -> None:
    text = """
    optimizer.name = "sgd"
    training.ema = 0.999
    [table.mlp]
    depth = { low = 2, high = 2 }
    width = [32, 64]
    embedding = "periodic"
    """
    space = from_toml(text, space_of("table", models=["mlp"]))
    found = portfolio(space)
    assert found
    for params in found:
        assert space.complete(params) == params
        assert (params["table.mlp.depth"], params["optimizer"], params["training.ema"]) == (2, "sgd", 0.999)
        assert params["table.mlp.width"] in (32, 64)
        assert params["table.mlp.embedding"] == "periodic"


def test_a_space_of_one_configuration_has_one() -> None:
    space = space_of("table", models=["linear"])
    fixed = {path: Choice(default_value(knob.dimension)) for path, knob in space.knobs.items()}
    space = space.with_dimensions(fixed)
    assert portfolio(space) == [space.complete({})]


def test_plain_tables_and_tiny_images_get_one_too() -> None:
    """Where numeric embeddings, or deep networks, make no sense."""
    names = ("a", "b")
    categories = InputSpec(
        (2,), names, torch.arange(2), torch.zeros(2), names, numeric=torch.zeros(2, dtype=torch.bool)
    )
    for spec, modality in ((categories, "tabular"), (image(3, 4, 4), "image")):
        space = SearchSpace.build({"x": (modality, spec)}, CLASSES, 50)
        found = portfolio(space)
        assert len(found) >= 4
        assert all(space.complete(params) == params for params in found)


def test_an_image_that_only_vector_encoders_may_take_gets_their_recipes() -> None:
    found = portfolio(space_of("photo", models=["mlp"]))
    assert len(found) >= 4
    assert {params["photo.encoder"] for params in found} == {"mlp"}


def test_several_inputs_go_together_and_the_image_has_the_optimizer() -> None:
    space = space_of("photo", "table")
    first = portfolio(space)[0]
    alone = {name: portfolio(space_of(name))[0] for name in ("photo", "table")}
    for name, params in alone.items():
        assert {path: first[path] for path in params if path.startswith(f"{name}.")} == {
            path: value for path, value in params.items() if path.startswith(f"{name}.")
        }
    for path, value in alone["photo"].items():
        if path.startswith("optimizer"):
            assert first[path] == value
    names = {recipe.encoder for recipe in offered(space, "photo", IMAGES)}
    assert {params.get("photo.encoder") for params in portfolio(space)} - {None} == names
    assert {params.get("table.encoder") for params in portfolio(space)} - {None} <= {r.encoder for r in VECTORS}


def test_every_fusion_is_tried_and_every_input_alone() -> None:
    found = portfolio(space_of("photo", "table"))
    assert {params["fusion"] for params in found if "fusion" in params} == set(registry.fusions.names())
    assert {params["inputs"] for params in found} == {"all", "photo", "table"}
    assert [params["inputs"] for params in found[:4]] == ["all", "photo", "table", "all"]
    for params in found:
        alone = params["inputs"] != "all"
        assert alone == ("fusion" not in params)
        assert [name for name in ("photo", "table") if f"{name}.encoder" in params] == (
            [params["inputs"]] if alone else ["photo", "table"]
        )


class Stranger(Encoder):
    """A user's own network."""

    space = Space(rate=Float(0, 1, default=0.25))

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        return True


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.encoders._own, "stranger", Stranger)


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize("name", ["table", "photo"])
def test_an_encoder_that_no_recipe_knows_comes_second_at_its_defaults(name: str) -> None:
    found = portfolio(space_of(name))
    assert [params[f"{name}.encoder"] == "stranger" for params in found].index(True) == 1
    assert found[1][f"{name}.stranger.rate"] == 0.25


@pytest.mark.usefixtures("stranger")
def test_it_comes_first_where_it_is_alone() -> None:
    space = space_of("table", models=["stranger"])
    assert [params["table.encoder"] for params in portfolio(space)] == ["stranger"]

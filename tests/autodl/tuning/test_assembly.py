from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from autodl import registry
from autodl.contracts import Encoder, Estimator, Fusion, Loss, Modality, Optimizer
from autodl.errors import PluginError, SpaceError, UnknownNameError
from autodl.records import InputSpec, Task
from autodl.space import Choice, Float, Integer, Space
from autodl.tasks import TargetScale
from autodl.tuning._assembly import fitting_estimators
from autodl.tuning._sights import n_features
from autodl.tuning.search_space import SearchSpace


class Sheet(Modality):
    space: ClassVar[Space] = Space(scaling=Choice("robust", "standard"), jitter=Float(0, 1, per_member=True))


class Photo(Modality):
    space: ClassVar[Space] = Space(side=Choice(16, 32))


class Vector(Encoder):
    """What takes vectors."""

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        return len(spec.shape) == 1


class Mlp(Vector):
    space: ClassVar[Space] = Space(
        depth=Integer(1, 6, default=2),
        embedding=Choice("none", "bins"),
        bins=Integer(2, 64, when={"embedding": ("bins",)}),
        spacing=Choice("even", "quantile", when={"bins": tuple(range(2, 9))}),
        dropout=Float(0, 0.5, per_member=True, default=0.1),
        act=Choice("relu"),
    )

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        return (
            cls.space if spec.numeric is not None else Space(**{k: v for k, v in cls.space.items() if k != "embedding"})
        )


class Straight(Vector):
    pass


class Filters(Encoder):
    space: ClassVar[Space] = Space(channels=Choice(8, 16))

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        return len(spec.shape) == 3


class Squares(Loss):
    tasks = frozenset({"regression"})


class Entropy(Loss):
    tasks = frozenset({"binary", "multiclass"})


class Focal(Loss):
    tasks = frozenset({"binary", "multiclass"})
    space: ClassVar[Space] = Space(gamma=Float(0.5, 5, per_member=True))


class Adamw(Optimizer):
    space: ClassVar[Space] = Space(
        learning_rate=Float(1e-4, 1e-2, log=True, per_member=True), nesterov=Choice(True, False, per_member=True)
    )


class Sgd(Optimizer):
    space: ClassVar[Space] = Space(learning_rate=Float(1e-3, 1, log=True, per_member=True))


class Join(Fusion):
    space: ClassVar[Space] = Space(norm=Choice(False, True))


class Forest(Estimator):
    tasks = frozenset({"multiclass", "regression"})
    space: ClassVar[Space] = Space(leaf=Integer(1, 50))


class Near(Estimator):
    tasks = frozenset({"multiclass"})
    space: ClassVar[Space] = Space(neighbors=Integer(1, 50), metric=Choice("l1", "l2"))

    @classmethod
    def accepts(cls, rows: int, features: int) -> bool:
        return rows * features <= 10_000


class Plain(Estimator):
    """What has nothing to search."""

    tasks = frozenset({"multiclass", "regression"})
    baseline = True


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the components above are registered."""
    rooms = {
        "modalities": (Sheet, Photo),
        "encoders": (Straight, Mlp, Filters),
        "losses": (Squares, Focal, Entropy),
        "optimizers": (Sgd, Adamw),
        "fusions": (Join,),
        "estimators": (Near, Plain, Forest),
    }
    for name, classes in rooms.items():
        room: registry.Registry[Any] = registry.Registry(name, "")
        room.__dict__["_entries"] = {}
        for each in classes:
            room.add(each)
        monkeypatch.setattr(registry, name, room)


def spec(*shape: int, numeric: bool = True) -> InputSpec:
    columns = tuple(f"x{i}" for i in range(shape[0])) if len(shape) == 1 else ("photo",)
    mask = torch.arange(shape[0]) if len(shape) == 1 else torch.zeros(shape, dtype=torch.int64)
    kinds: Tensor | None = torch.ones(shape, dtype=torch.bool) if len(shape) == 1 and numeric else None
    return InputSpec(shape, columns, mask, torch.zeros(shape), numeric=kinds)


CLASSES = Task("y", "multiclass", ("a", "b", "c"))
NUMBER = Task("y", "regression")


def table_space(task: Task = CLASSES, rows: int = 500, columns: int = 8, **options: Any) -> SearchSpace:
    return SearchSpace.build({"table": ("sheet", spec(columns))}, task, rows, **options)


def both_space(models: list[str] | None = None) -> SearchSpace:
    inputs = {"table": ("sheet", spec(8)), "photo": ("photo", spec(1, 28, 28))}
    return SearchSpace.build(inputs, CLASSES, 500, models)


def options(space: SearchSpace, path: str) -> tuple[Any, ...]:
    dimension = space.knobs[path].dimension
    assert isinstance(dimension, Choice)
    return dimension.options


def test_a_table_gets_these_knobs_in_this_order() -> None:
    assert [path for path in table_space().knobs if not path.startswith("training.")] == [
        "table.encoder",
        "table.sheet.scaling",
        "table.sheet.jitter",
        "table.mlp.depth",
        "table.mlp.embedding",
        "table.mlp.bins",
        "table.mlp.spacing",
        "table.mlp.dropout",
        "table.mlp.act",
        "loss",
        "loss.focal.gamma",
        "optimizer",
        "optimizer.adamw.learning_rate",
        "optimizer.adamw.nesterov",
        "optimizer.sgd.learning_rate",
        "estimator",
        "estimator.forest.leaf",
        "estimator.near.neighbors",
        "estimator.near.metric",
    ]
    assert {path for path in table_space().knobs if path.startswith("training.")} == {
        f"training.{name}"
        for name in ("batch_size", "schedule", "warmup", "clip", "ema", "mixup", "features", "patience")
    }


def test_conditions_are_full_paths_and_stand_after_what_they_refer_to() -> None:
    space = both_space()
    assert space.knobs["table.mlp.bins"].when == (("table.encoder", ("mlp",)), ("table.mlp.embedding", ("bins",)))
    seen: set[str] = set()
    for path, knob in space.knobs.items():
        assert {other for other, _ in knob.when} <= seen
        seen.add(path)


def test_components_are_those_that_fit() -> None:
    assert options(table_space(), "table.encoder") == ("mlp", "straight")
    assert options(table_space(CLASSES), "loss") == ("entropy", "focal")
    assert options(table_space(NUMBER), "loss") == ("squares",)
    assert options(both_space(), "photo.encoder") == ("filters",)


def test_a_fusion_is_searched_only_where_several_inputs_are() -> None:
    assert "fusion" not in table_space().knobs
    assert both_space().knobs["fusion.join.norm"].when == (("fusion", ("join",)),)


def test_batch_sizes_follow_the_rows_and_any_other_may_be_asked_for() -> None:
    knob = table_space(rows=60_000).knobs["training.batch_size"]
    assert options(table_space(rows=60_000), "training.batch_size") == (256, 512, 1024)
    assert knob.widest.allows("full")
    assert knob.widest.allows(8)


@pytest.mark.parametrize(("columns", "selects"), [(3, False), (4, True)])
def test_features_are_selected_only_where_there_are_more_than_a_few(columns: int, selects: bool) -> None:
    assert ("training.features" in table_space(columns=columns).knobs) is selects
    image = SearchSpace.build({"photo": ("photo", spec(1, 28, 28))}, CLASSES, 500)
    assert "training.features" not in image.knobs


def test_a_knob_whose_condition_the_input_does_not_have_is_left_out_with_those_that_hang_on_it() -> None:
    space = SearchSpace.build({"table": ("sheet", spec(8, numeric=False))}, CLASSES, 500)
    assert not {"table.mlp.embedding", "table.mlp.bins", "table.mlp.spacing"} & space.knobs.keys()
    assert "table.mlp.depth" in space.knobs


@pytest.mark.parametrize(
    ("models", "encoders", "estimators"),
    [
        (None, {"mlp", "straight"}, {"forest", "near"}),
        ([], {"mlp", "straight"}, {"forest", "near"}),
        (["all"], {"mlp", "straight"}, {"forest", "near"}),
        (["all", "mlp"], {"mlp", "straight"}, {"forest", "near"}),
        (["networks"], {"mlp", "straight"}, set()),
        (["networks", "near"], {"mlp", "straight"}, {"near"}),
        (["straight"], {"straight"}, set()),
        (["straight", "forest"], {"straight"}, {"forest"}),
        (["forest"], set(), {"forest"}),
    ],
)
def test_models_choose_among_encoders_and_estimators(
    models: list[str] | None, encoders: set[str], estimators: set[str]
) -> None:
    space = table_space(models=models)
    for path, wanted in (("table.encoder", encoders), ("estimator", estimators)):
        assert (set(options(space, path)) if path in space.knobs else set()) == wanted
    assert (space.has_networks, space.has_estimators) == (bool(encoders), bool(estimators))
    assert ("table.mlp.depth" in space.knobs) is ("mlp" in encoders)
    assert ("training.batch_size" in space.knobs) is bool(encoders)
    assert ("estimator.near.metric" in space.knobs) is ("near" in estimators)


def test_knobs_of_estimators_count_where_theirs_is_meant() -> None:
    knob = table_space().knobs["estimator.near.neighbors"]
    assert knob.of_estimator
    assert knob.when == (("estimator", ("near",)),)
    assert not any(knob.of_estimator for path, knob in table_space().knobs.items() if not path.startswith("estimator"))


def test_estimators_are_those_that_suit_task_and_data() -> None:
    assert fitting_estimators(CLASSES, 500, 8) == ["forest", "near", "plain"]
    assert fitting_estimators(CLASSES, 5000, 8) == ["forest", "plain"]
    assert fitting_estimators(NUMBER, 500, 8) == ["forest", "plain"]
    assert fitting_estimators(CLASSES, 500, 4096) == ["forest", "plain"]
    assert fitting_estimators(CLASSES, 500, 4097) == []
    assert n_features([spec(8), spec(1, 28, 28)]) == 8 + 28 * 28
    assert options(table_space(rows=5000), "estimator") == ("forest",)


def test_where_no_estimator_suits_only_networks_are_searched() -> None:
    space = SearchSpace.build({"photo": ("photo", spec(3, 64, 64))}, CLASSES, 500)
    assert not space.has_estimators
    assert space.networks == space


def test_estimators_alone_need_no_encoder_for_an_input() -> None:
    inputs = {"table": ("sheet", spec(8)), "sound": ("sheet", spec(1, 40))}
    space = SearchSpace.build(inputs, CLASSES, 100, ["forest"])
    assert set(space.knobs) == {"estimator", "estimator.forest.leaf"}
    assert set(space.inputs) == {"sound", "table"}


def test_estimators_that_suit_nothing_are_refused_where_nothing_else_is_asked_for() -> None:
    with pytest.raises(SpaceError, match=r"however near cannot take regression with 500 rows × 8 features; .* forest"):
        table_space(NUMBER, models=["near"])
    assert not table_space(NUMBER, models=["near", "mlp"]).has_estimators


@pytest.mark.parametrize(("kind", "scales"), [("regression", ("none",)), ("quantile", ("none", "log"))])
def test_a_target_is_searched_only_where_it_may_be_seen_in_another_way(kind: Any, scales: tuple[str, ...]) -> None:
    class Pinball(Loss):
        tasks = frozenset({"quantile"})

    registry.losses.add(Pinball)
    task = Task("y", kind, scales=tuple(map(TargetScale, scales)))
    assert not {"training.target", "estimator.target"} & table_space(task).knobs.keys()


def test_a_skewed_target_is_searched_for_networks_and_estimators() -> None:
    task = Task("y", "regression", scales=(TargetScale(), TargetScale("log")))
    space = table_space(task)
    for path, per_member in (("training.target", True), ("estimator.target", False)):
        assert options(space, path) == ("none", "log")
        assert space.knobs[path].dimension.per_member is per_member
        assert space.knobs[path].of_estimator is not per_member
    assert "estimator.target" not in table_space(task, models=["networks"]).knobs
    assert "training.target" not in table_space(task, models=["forest"]).knobs


def test_an_input_that_no_model_serves_keeps_all_its_encoders_if_another_is_served() -> None:
    space = both_space(["mlp"])
    assert options(space, "table.encoder") == ("mlp",)
    assert options(space, "photo.encoder") == ("filters",)


def test_models_that_serve_no_input_are_refused() -> None:
    with pytest.raises(SpaceError, match="filters accepts none; what fits is table: mlp, straight"):
        table_space(models=["filters"])


def test_an_unknown_model_is_refused_with_the_nearest() -> None:
    known = "known: all, filters, forest, mlp, near, networks, straight"
    for wrong, right in (("mpl", "mlp"), ("forrest", "forest"), ("network", "networks")):
        with pytest.raises(UnknownNameError, match=f"no model is called '{wrong}'; did you mean '{right}'. {known}"):
            table_space(models=[wrong])


def test_what_has_nothing_to_search_is_no_model() -> None:
    with pytest.raises(UnknownNameError, match="no model is called 'plain'"):
        table_space(models=["plain"])


def test_an_input_that_nothing_accepts_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"'sound' must be accepted by an encoder.*\(1, 8000\)"):
        SearchSpace.build({"sound": ("sheet", spec(1, 8000))}, CLASSES, 500)


@pytest.mark.parametrize(("room", "message"), [("fusions", "fusion"), ("losses", "loss"), ("optimizers", "optimizer")])
def test_an_empty_room_is_refused(monkeypatch: pytest.MonkeyPatch, room: str, message: str) -> None:
    empty: registry.Registry[Any] = registry.Registry(room, "")
    empty.__dict__["_entries"] = {}
    monkeypatch.setattr(registry, room, empty)
    with pytest.raises(SpaceError, match=f"one {message} at least must fit"):
        both_space()


def test_names_that_collide_are_refused() -> None:
    class Name(Focal):
        pass

    registry.losses.add(Name)  # "loss.name" is the TOML key of the choice itself
    with pytest.raises(SpaceError, match=r"two things are called 'loss\.name'"):
        table_space()


def test_two_inputs_whose_paths_are_the_same_are_refused() -> None:
    class B(Mlp):
        space: ClassVar[Space] = Space(encoder=Choice(1, 2))

    registry.encoders.add(B)
    inputs = {"a": ("sheet", spec(8)), "a.b": ("sheet", spec(8))}
    with pytest.raises(SpaceError, match=r"two things are called 'a\.b\.encoder'"):
        SearchSpace.build(inputs, CLASSES, 500)


def test_an_encoder_called_as_the_modality_of_its_input_is_refused() -> None:
    class Sheet(Vector):
        pass

    registry.encoders.add(Sheet)
    with pytest.raises(PluginError, match="'sheet'"):
        table_space()


def test_a_condition_on_a_later_knob_is_refused() -> None:
    class Early(Vector):
        space: ClassVar[Space] = Space(bins=Integer(1, 2, when={"embedding": (True,)}), embedding=Choice(True, False))

    registry.encoders.add(Early)
    with pytest.raises(PluginError, match=r"'bins' in table\.early must name an earlier knob, however 'embedding'"):
        table_space()

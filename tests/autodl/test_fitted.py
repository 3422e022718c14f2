from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from autodl import estimating, own, registry, storage
from autodl.contracts import Encoder, Modality
from autodl.errors import PredictorError, UnknownNameError
from autodl.fitted import FittedEnsemble, FittedMember, modality_key, parts_from_content, structural_settings
from autodl.network import Network
from autodl.records import Column, Component, InputSpec, Schema, Stored, Task, TrialConfig
from autodl.space import Choice, Float, Space
from autodl.tasks import TargetScale

COLUMNS = (Column("a", "number"), Column("b", "number"), Column("c", "number"))


class Magnified(Modality):
    """Numbers times a factor; a negative one is a problem, and counts as 0."""

    space = Space(factor=Choice(1, 2), jitter=Float(0.0, 1.0, per_member=True))

    @classmethod
    def claim(cls, schema: Schema) -> dict[str, list[str]]:
        return {"numbers": [column.name for column in schema]}

    def fit(self, rows: pd.DataFrame, targets: np.ndarray, task: Task, seed: int) -> InputSpec:
        self.mean = rows.mean().to_numpy()
        width = len(self.columns)
        return InputSpec(
            shape=(width,),
            columns=tuple(column.name for column in self.columns),
            feature_mask=torch.arange(width),
            baseline=torch.zeros(width),
            relevance=torch.arange(width).float(),
            offset=torch.tensor(0.5),
        )

    def transform(self, rows: pd.DataFrame) -> Stored:
        cells = rows.to_numpy() - self.mean
        bad = np.argwhere(rows.to_numpy() < 0)
        problems = tuple((int(row), self.columns[column].name, "negative") for row, column in bad)
        values = torch.from_numpy(np.where(rows.to_numpy() < 0, 0, cells) * self.settings["factor"]).float()
        return Stored(values, torch.ones(len(rows), dtype=torch.bool), problems)

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean}

    @classmethod
    def from_state(cls, columns: Sequence[Column], settings: Mapping[str, Any], state: Mapping[str, Any]) -> Magnified:
        fitted = cls(columns, **settings)
        fitted.mean = state["mean"]
        return fitted


class Bent(Encoder):
    """One hidden layer."""

    width = 4

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        return True

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(spec.shape[0], self.width), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found.unsqueeze(1)


class Doubled(Bent):
    """Two predictors in one, each a token of its own."""

    copies = 2

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__(spec)
        self.others = nn.Sequential(nn.Linear(spec.shape[0], self.width), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.layers(x), self.others(x)], dim=1)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.modalities, "_own", {"magnified": Magnified})
    monkeypatch.setattr(registry.encoders, "_own", {"bent": Bent, "doubled": Doubled})


TASK = Task("y", "multiclass", ("x", "y", "z"))
ROWS = pd.DataFrame(np.random.default_rng(0).random((23, 3)), columns=["a", "b", "c"])


def config(
    factor: int, features: float = 1.0, encoder: str = "bent", jitter: float = 0.0, target: str = "none"
) -> TrialConfig:
    return TrialConfig(
        modalities={"numbers": Component("magnified", {"factor": factor, "jitter": jitter})},
        encoders={"numbers": Component(encoder)},
        loss=Component("cross_entropy"),
        optimizer=Component("adamw"),
        training={"features": features, "target": target},
        epochs=1,
        seed=factor,
    )


def learner(name: str, factor: int = 1, target: str = "none", **settings: Any) -> TrialConfig:
    known = {**registry.estimators.load(name).space.defaults(), **settings}
    training = {} if target == "none" else {"target": target}
    part = Component("magnified", {"factor": factor})
    return TrialConfig(
        {"numbers": part}, {}, Component(""), Component(""), training, 1, 3, None, Component(name, known)
    )


def targets_of(task: Task) -> np.ndarray:
    generator = np.random.default_rng(1)
    if task.is_classification:
        return np.arange(len(ROWS)) % len(task.classes)
    if task.kind == "multilabel":
        return generator.integers(0, 2, (len(ROWS), 2)).astype(float)
    numbers = 1 + ROWS["a"].to_numpy() * 9
    return np.stack([numbers, numbers**2], axis=1) if task.kind == "multioutput" else numbers


def member_of(number: int, each: TrialConfig, spec: InputSpec, task: Task, share: float, folds: int) -> FittedMember:
    """One that was not trained, or an estimator that was, a fold on every other row."""
    if each.estimator:
        x, everyone = seen(each, spec), np.arange(len(ROWS))
        parts = [(everyone[everyone % 3 != fold], everyone[everyone % 3 == fold]) for fold in range(folds)]
        fitted, _ = estimating.fit_folds(each, x.numpy(), targets_of(task), task, parts, None, stop=lambda: False)
        return FittedMember(
            number, each, {"learnt": torch.frombuffer(bytearray(estimating.save(fitted)), dtype=torch.uint8)}, share
        )
    networks = [
        Network.seeded(replace(each, seed=each.seed + 100 * fold), {"numbers": spec}, task.n_outputs).state_dict()
        for fold in range(folds)
    ]
    weights = {name: torch.stack([network[name] for network in networks]) for name in networks[0]}
    return FittedMember(number, each, weights, share)


def ensemble(
    configs: Sequence[TrialConfig], shares: Sequence[float], task: Task = TASK, folds: int = 1
) -> FittedEnsemble:
    modalities, specs, members = {}, {}, []
    for number, (each, share) in enumerate(zip(configs, shares, strict=True)):
        component = each.modalities["numbers"]
        key = modality_key("numbers", component)
        modalities[key] = Magnified(COLUMNS, **structural_settings(component))
        specs[key] = modalities[key].fit(ROWS, np.zeros(len(ROWS)), task, 0)
        members.append(member_of(number, each, specs[key], task, share, folds))
    return FittedEnsemble(members, modalities, specs, task)


def seen(each: TrialConfig, spec: InputSpec) -> Tensor:
    """All rows as an encoder sees them."""
    factor = each.modalities["numbers"].settings["factor"]
    return torch.from_numpy((ROWS.to_numpy() - ROWS.to_numpy().mean(0)) * factor).float() - 0.5


def by_hand(whole: FittedEnsemble, number: int) -> np.ndarray:
    """One member's prediction, all rows at once: the mean of its folds."""
    member, task = whole.members[number], whole.task
    spec = whole.specs[member.keys["numbers"]]
    scale = task.scale(member.config.training.get("target", "none"))
    if member.config.estimator:
        parts = estimating.load(member.weights["learnt"].numpy().tobytes(), member.config, task)
        told = [part.predict(seen(member.config, spec).numpy()) for part in parts]
        return np.mean([scale.inverse(each) if task.is_numeric else each for each in told], axis=0)
    found = []
    for fold in range(member.folds):
        network = Network(member.config, {"numbers": spec}, task.n_outputs)
        network.load_state_dict({name: tensor[fold] for name, tensor in member.weights.items()})
        with torch.no_grad():
            outputs = network.eval()({"numbers": seen(member.config, spec)})
        if task.is_numeric:
            numbers = scale.inverse(outputs.double().numpy())
            found.append(np.sort(numbers, 1) if task.kind == "quantile" else numbers)
        elif task.is_classification:
            found.append(outputs.softmax(1).numpy())
        else:
            found.append(outputs.sigmoid().numpy())
    mean = np.mean(found, axis=0)
    return mean[:, 0] if task.kind == "regression" else mean


SCALES = (
    TargetScale("none", (5.0,), (2.0,), (-1.5,), (1.5,)),
    TargetScale("log", (1.5,), (0.7,), (-2.0,), (2.0,), shift=0.5),
)
TASKS = {
    "multiclass": TASK,
    "binary": Task("y", "binary", ("no", "yes")),
    "multilabel": Task("y", "multilabel", further=("z",)),
    "regression": Task("y", "regression", scales=SCALES),
    "multioutput": Task(
        "y",
        "multioutput",
        further=("z",),
        scales=(TargetScale("none", (5.0, 30.0), (2.0, 10.0), (-1.0, -1.0), (1.0, 1.0)),),
    ),
    "quantile": Task("y", "quantile", quantiles=(0.1, 0.5, 0.9), scales=SCALES),
}


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize("rows_at_once", [None, 5])
def test_predicts_the_members_mean_by_their_shares(kind: str, folds: int, rows_at_once: int | None) -> None:
    """Each member's prediction being the mean of its folds'."""
    whole = ensemble([config(1), config(2, features=0.5)], [3.0, 1.0], TASKS[kind], folds)
    found = whole.predict(ROWS, rows_at_once)
    assert found.dtype == np.float64
    assert found.shape == ((23,) if kind == "regression" else (23, TASKS[kind].n_outputs))
    np.testing.assert_allclose(found, 0.75 * by_hand(whole, 0) + 0.25 * by_hand(whole, 1), rtol=1e-5)
    assert [member.folds for member in whole.members] == [folds, folds]
    assert len(whole.networks) == 2 * folds


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("rows_at_once", [None, 5])
def test_estimators_predict_beside_networks(kind: str, rows_at_once: int | None) -> None:
    whole = ensemble([config(1), learner("k_neighbors", 2, neighbors=3)], [1.0, 3.0], TASKS[kind], folds=3)
    found = whole.predict(ROWS, rows_at_once)
    np.testing.assert_allclose(found, 0.25 * by_hand(whole, 0) + 0.75 * by_hand(whole, 1), rtol=1e-5)
    assert len(whole.networks) == 3
    assert whole.members[1].folds == 1


@pytest.mark.parametrize("kind", ["regression", "quantile"])
def test_members_see_the_target_each_in_its_own_scale(kind: str) -> None:
    """The mean is of numbers in the user's unit, which stay where the training rows' targets were."""
    configs = [config(1), config(2, target="log"), learner("k_neighbors", target="log", neighbors=4)]
    whole = ensemble(configs, [1.0, 1.0, 2.0], TASKS[kind], folds=3)
    expected = 0.25 * by_hand(whole, 0) + 0.25 * by_hand(whole, 1) + 0.5 * by_hand(whole, 2)
    found = whole.predict(ROWS)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    lowest = min(float(scale.inverse(np.array([-9e9]))[0]) for scale in SCALES)
    highest = max(float(scale.inverse(np.array([9e9]))[0]) for scale in SCALES)
    assert lowest <= found.min() <= found.max() <= highest


def test_quantiles_never_cross() -> None:
    found = ensemble([config(seed) for seed in (1, 2)], [1.0, 1.0], TASKS["quantile"], folds=3).predict(ROWS)
    assert (np.diff(found, axis=1) >= 0).all()


def test_a_network_of_several_heads_predicts_their_mean() -> None:
    whole = ensemble([config(1, encoder="doubled")], [1.0])
    network = whole.networks[0]
    assert network.copies == 2
    with torch.no_grad():
        outputs = network({"numbers": seen(whole.members[0].config, next(iter(whole.specs.values())))})
    assert outputs.shape == (23, 2, 3)
    np.testing.assert_allclose(whole.predict(ROWS), outputs.softmax(-1).mean(1).numpy(), rtol=1e-5)


def test_estimators_alone_need_no_network_and_read_all_columns() -> None:
    whole = ensemble([learner("k_neighbors"), learner("dummy")], [1.0, 1.0])
    assert whole.networks == []
    assert whole.columns == {"a", "b", "c"}
    np.testing.assert_allclose(whole.predict(ROWS), 0.5 * by_hand(whole, 0) + 0.5 * by_hand(whole, 1), rtol=1e-6)


def test_an_estimator_beside_a_network_of_few_columns_reads_all() -> None:
    assert ensemble([config(1, features=0.3), learner("k_neighbors")], [1, 1]).columns == {"a", "b", "c"}


def test_members_that_differ_in_augmentation_alone_share_what_they_read() -> None:
    whole = ensemble([config(1), config(1, jitter=0.5), config(2)], [1, 1, 1])
    assert len(whole.modalities) == 2
    assert set(whole.modalities) == set(whole.specs) == {key for each in whole.members for key in each.keys.values()}


def test_members_without_a_share_and_what_they_read_are_left_out() -> None:
    whole = ensemble([config(1), config(2)], [0.0, 0.5])
    assert [(member.number, member.share) for member in whole.members] == [(1, 1.0)]
    assert list(whole.modalities) == list(whole.specs) == [whole.members[0].keys["numbers"]]
    for shares in ([0.0, 0.0], [float("nan"), 0.0]):
        with pytest.raises(PredictorError, match="must have members with a share"):
            ensemble([config(1), config(2)], shares)


def test_the_columns_are_those_that_a_member_keeps() -> None:
    assert ensemble([config(1, features=0.3)], [1]).columns == {"c"}
    assert ensemble([config(1, features=0.3), config(2, features=0.6)], [1, 1]).columns == {"b", "c"}
    assert ensemble([config(1, features=0.3), config(2)], [1, 1]).columns == {"a", "b", "c"}


def test_weights_may_come_in_double_precision() -> None:
    whole = ensemble([config(1)], [1])
    doubled = {name: tensor.double() for name, tensor in whole.members[0].weights.items()}
    other = FittedEnsemble([replace(whole.members[0], weights=doubled)], whole.modalities, whole.specs, TASK)
    np.testing.assert_array_equal(other.predict(ROWS), whole.predict(ROWS))


def test_networks_are_ready_to_predict_and_no_random_number_is_spent() -> None:
    before = torch.get_rng_state()
    whole = ensemble([config(1)], [1])
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(network.training for network in whole.networks)
    assert not any(parameter.requires_grad for network in whole.networks for parameter in network.parameters())


def test_no_rows_give_no_predictions() -> None:
    assert ensemble([config(1)], [1]).predict(ROWS.iloc[:0]).shape == (0, 3)


def test_cells_that_cannot_be_used_are_counted_and_the_first_is_named() -> None:
    whole = ensemble([config(1)], [1])
    broken = ROWS.copy()
    broken.iloc[7, 1] = broken.iloc[21, 2] = -1.0
    with pytest.warns(UserWarning, match=r"count as missing: 2; .* column 'b', row 7: negative"):
        whole.predict(broken, rows_at_once=5)


def saved(whole: FittedEnsemble, folder: Path) -> dict[str, Any]:
    storage.save(folder, "ensemble", whole.to_content())
    return storage.load(folder, "ensemble")


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("folds", [1, 3])
def test_comes_back_from_disk_with_the_same_bits(tmp_path: Path, kind: str, folds: int) -> None:
    configs = [config(1), config(2, features=0.5), learner("k_neighbors"), learner("dummy", 2)]
    whole = ensemble(configs, [0.5, 0.25, 0.2, 0.05], TASKS[kind], folds)
    found = FittedEnsemble(**parts_from_content(saved(whole, tmp_path)), task=TASKS[kind])
    np.testing.assert_array_equal(found.predict(ROWS), whole.predict(ROWS))
    assert [member.config for member in found.members] == [member.config for member in whole.members]
    assert [member.folds for member in found.members] == [folds, folds, 1, 1]
    assert found.columns == whole.columns


def test_a_missing_estimator_is_named(tmp_path: Path) -> None:
    content = saved(ensemble([learner("dummy")], [1]), tmp_path)
    assert ["estimators", "dummy"] in [requirement[:2] for requirement in content["requirements"]]
    assert not [room for room, *_ in content["requirements"] if room in ("encoders", "losses", "optimizers")]
    content["requirements"].append(["estimators", "dumy", "autodl-fancy"])
    with pytest.raises(UnknownNameError, match=r"'dumy'.*did you mean 'dummy'.*distribution 'autodl-fancy'"):
        parts_from_content(content)


def test_a_missing_component_of_a_process_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = saved(ensemble([config(1)], [1]), tmp_path)
    monkeypatch.delitem(registry.encoders._own, "bent")
    with pytest.raises(UnknownNameError, match=r"must have 'bent'.*known: .*define and register it here too"):
        parts_from_content(content)


def test_a_missing_component_is_named_with_its_distribution(tmp_path: Path) -> None:
    content = saved(ensemble([config(1)], [1]), tmp_path)
    assert ["modalities", "magnified", "this process"] in content["requirements"]
    content["requirements"].append(["encoders", "bend", "autodl-fancy"])
    with pytest.raises(UnknownNameError, match=r"'bend'.*did you mean 'bent'.*distribution 'autodl-fancy'"):
        parts_from_content(content)


def test_an_own_module_is_imported_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "from torch import nn\nclass Mine(nn.Linear):\n    def __init__(self, shape): super().__init__(shape[0], 5)\n"
    )
    (tmp_path / "my_own_module.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(own, "_registered", {})
    own.register("my_own_module:Mine")
    whole = ensemble([config(1, encoder="mine")], [1])
    content = saved(whole, tmp_path)
    monkeypatch.delitem(registry.encoders._own, "mine")
    monkeypatch.setattr(own, "_registered", {})
    found = FittedEnsemble(**parts_from_content(content), task=TASK)
    np.testing.assert_array_equal(found.predict(ROWS), whole.predict(ROWS))


@given(name=st.text(max_size=300))
def test_a_key_is_fit_for_a_file_name_and_tells_inputs_apart(name: str) -> None:
    key = modality_key(name, Component("tabular", {"scaling": "robust"}))
    assert re.fullmatch(r"[A-Za-z0-9_]{0,40}-[0-9a-f]{16}", key)
    assert key != modality_key(name + "!", Component("tabular", {"scaling": "robust"}))


def test_a_key_depends_on_what_changes_the_tensor_alone() -> None:
    key = modality_key("x", Component("magnified", {"factor": 1, "jitter": 0.1}))
    assert key == modality_key("x", Component("magnified", {"jitter": 0.9, "factor": 1}))
    assert key != modality_key("x", Component("magnified", {"factor": 2, "jitter": 0.1}))
    assert structural_settings(Component("magnified", {"factor": 1, "jitter": 0.1})) == {"factor": 1}

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

from autodl import own, registry, storage
from autodl.contracts import Encoder, Modality
from autodl.errors import PredictorError, UnknownNameError
from autodl.fitted import FittedEnsemble, FittedMember, modality_key, parts_from_content, structural_settings
from autodl.network import Network
from autodl.records import Column, Component, InputSpec, Schema, Stored, Task, TrialConfig
from autodl.space import Choice, Float, Space

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


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.modalities, "_own", {"magnified": Magnified})
    monkeypatch.setattr(registry.encoders, "_own", {"bent": Bent})


TASK = Task("y", "multiclass", ("x", "y", "z"))
ROWS = pd.DataFrame(np.random.default_rng(0).random((23, 3)), columns=["a", "b", "c"])


def config(factor: int, features: float = 1.0, encoder: str = "bent", jitter: float = 0.0) -> TrialConfig:
    return TrialConfig(
        modalities={"numbers": Component("magnified", {"factor": factor, "jitter": jitter})},
        encoders={"numbers": Component(encoder)},
        loss=Component("cross_entropy"),
        optimizer=Component("adamw"),
        training={"features": features},
        epochs=1,
        seed=factor,
    )


def ensemble(configs: Sequence[TrialConfig], shares: Sequence[float], task: Task = TASK) -> FittedEnsemble:
    modalities, specs, members = {}, {}, []
    for number, (each, share) in enumerate(zip(configs, shares, strict=True)):
        component = each.modalities["numbers"]
        key = modality_key("numbers", component)
        modalities[key] = Magnified(COLUMNS, **structural_settings(component))
        specs[key] = modalities[key].fit(ROWS, np.zeros(len(ROWS)), task, 0)
        network = Network.seeded(each, {"numbers": specs[key]}, task.n_outputs)
        members.append(FittedMember(number, each, network.state_dict(), share))
    return FittedEnsemble(members, modalities, specs, task)


def by_hand(whole: FittedEnsemble, number: int) -> np.ndarray:
    """One member's prediction, all rows at once."""
    member, factor = whole.members[number], whole.members[number].config.modalities["numbers"].settings["factor"]
    x = torch.from_numpy((ROWS.to_numpy() - ROWS.to_numpy().mean(0)) * factor).float() - 0.5
    network = Network(member.config, {"numbers": whole.specs[member.keys["numbers"]]}, whole.task.n_outputs)
    network.load_state_dict(dict(member.weights))
    with torch.no_grad():
        outputs = network.eval()({"numbers": x})
    if whole.task.is_classification:
        return outputs.softmax(1).numpy()
    return (outputs[:, 0] * whole.task.scale + whole.task.location).numpy()


@pytest.mark.parametrize("task", [TASK, Task("y", "regression", location=100.0, scale=7.0)])
@pytest.mark.parametrize("rows_at_once", [None, 1, 5])
def test_predicts_the_members_mean_by_their_shares(task: Task, rows_at_once: int | None) -> None:
    whole = ensemble([config(1), config(2, features=0.5)], [3.0, 1.0], task)
    found = whole.predict(ROWS, rows_at_once)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, 0.75 * by_hand(whole, 0) + 0.25 * by_hand(whole, 1), rtol=1e-5)


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


def test_comes_back_from_disk_with_the_same_bits(tmp_path: Path) -> None:
    whole = ensemble([config(1), config(2, features=0.5)], [0.75, 0.25])
    found = FittedEnsemble(**parts_from_content(saved(whole, tmp_path)), task=TASK)
    np.testing.assert_array_equal(found.predict(ROWS), whole.predict(ROWS))
    assert [member.config for member in found.members] == [member.config for member in whole.members]
    assert found.columns == whole.columns


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

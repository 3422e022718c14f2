from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autodl import registry
from autodl.contracts import Encoder
from autodl.data.dataset import DataOptions, load_dataset
from autodl.records import Component
from autodl.tuning.prepared import Prepared
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.views import AFFORDABLE, further_views


class Standard(Encoder):
    """Wishes standardised numbers."""

    reads = {"scaling": "standard"}  # noqa: RUF012


class Unknown(Encoder):
    """Wishes what no modality here has."""

    reads = {"colour": "blue"}  # noqa: RUF012


@pytest.fixture
def prepared(tmp_path):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"a": generator.normal(size=200), "b": generator.normal(size=200)})
    frame["y"] = (frame.a > 0).map({True: "yes", False: "no"})
    return Prepared(load_dataset(frame, DataOptions(target="y")), RunFolder.create(str(tmp_path / "run"), ""), 0)


@pytest.fixture(autouse=True)
def encoders(monkeypatch):
    classes = {"standard": Standard, "unknown": Unknown, "plain": Encoder}
    monkeypatch.setattr(registry.encoders, "names", lambda: tuple(classes))
    monkeypatch.setattr(registry.encoders, "load", lambda name: classes[name])


def test_an_encoder_with_wishes_gets_its_sight_where_the_modality_can_give_it(prepared):
    found = further_views(prepared, None)
    assert {name: list(each) for name, each in found.items()} == {"table": ["standard"]}
    assert found["table"]["standard"].shape == (2,)
    assert not prepared.modalities, "a look at a few rows must leave nothing behind"


@pytest.fixture
def slow(prepared, monkeypatch):
    """A second a row."""
    sample = prepared.sample
    monkeypatch.setattr(prepared, "sample", lambda *given: (sample(*given)[0], 1.0))
    return len(prepared.dataset.split.rows)


def test_what_takes_too_long_to_read_is_left_out(prepared, slow):
    assert further_views(prepared, slow / AFFORDABLE - 1) == {}


def test_what_time_bears_is_not(prepared, slow):
    assert list(further_views(prepared, slow / AFFORDABLE + 1)) == ["table"]


def test_how_long_a_row_takes_is_measured(prepared):
    spec, seconds = prepared.sample("table", Component("tabular", {"scaling": "standard", "categories": 8}), 16)
    assert spec.shape == (2,)
    assert 0 < seconds < 1

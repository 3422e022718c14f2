"""Whatever is predicted: searched, saved, loaded, predicted and judged, through the door that a user takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autodl
from autodl.data.dataset import DataOptions
from autodl.errors import DataError
from autodl.metrics import fitting
from autodl.predictor import Predictor, load
from autodl.tuning.options import SearchOptions
from autodl.tuning.search import search

pytestmark = pytest.mark.slow
ROWS = 120


def table() -> pd.DataFrame:
    """Numbers and a category with gaps, and a target of each kind."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(ROWS, 3))
    noise = 0.2 * generator.normal(size=ROWS)
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).mask(generator.random((ROWS, 3)) < 0.05)
    return frame.assign(
        shop=generator.choice(["north", "south"], ROWS),
        left=x[:, 0] + noise > 0,
        colour=np.array(["red", "green", "blue"])[np.digitize(x[:, 1] + noise, [-0.5, 0.5])],
        price=np.exp(3 + x[:, 0] - x[:, 2] + noise),
        weight=10 * x[:, 1] + noise,
        loud=(x[:, 2] + noise > 0).astype(int),
        tall=(x[:, 0] + noise > 0.5).astype(int),
    )


FEATURES = ["a", "b", "c", "shop"]
LEVELS = (0.1, 0.5, 0.9)
KINDS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "binary": ({"target": ("left",)}, ["left"], ["left set"]),
    "multiclass": ({"target": ("colour",)}, ["colour"], ["colour set"]),
    "multilabel": ({"target": ("loud", "tall"), "task": "multilabel"}, ["loud", "tall"], []),
    "regression": ({"target": ("price",)}, ["price"], ["price low", "price high"]),
    "multioutput": (
        {"target": ("price", "weight"), "task": "multioutput"},
        ["price", "weight"],
        ["price low", "price high", "weight low", "weight high"],
    ),
    "quantile": (
        {"target": ("price",), "quantiles": LEVELS},
        ["price 0.1", "price 0.5", "price 0.9"],
        ["price low", "price high"],
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def run(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of three trials with three folds, networks and an estimator."""
    said = KINDS[kind][0]
    options = SearchOptions(
        trials=5,
        folds=3,
        models=("linear", "mlp", "k_neighbors"),
        executor="inline",
        output=str(tmp_path_factory.mktemp(kind) / "run"),
    )
    return search(table()[[*FEATURES, *said["target"]]], DataOptions(**said), options)


@pytest.fixture(scope="module")
def predictor(run: Path) -> Predictor:
    return load(run, "cpu")


def test_the_task_is_understood(kind: str, predictor: Predictor) -> None:
    assert predictor.task.kind == kind
    assert predictor.task.targets == KINDS[kind][0]["target"]
    assert [column.name for column in predictor.schema] == FEATURES


def test_networks_and_estimators_were_tried(run: Path) -> None:
    board = pd.read_csv(run / "leaderboard.csv")
    assert board["error"].isna().all()
    searched = board[board["source"] != "baseline"]
    assert {"k_neighbors", "mlp"} <= set(searched["model"])
    assert "dummy" in set(board["model"][board["source"] == "baseline"])


def test_it_beats_the_answer_that_knows_nothing(run: Path, predictor: Predictor) -> None:
    known = json.loads((run / "run.json").read_text())
    metric = fitting(predictor.task)[known["metric"]]
    assert metric.better(known["validation"][metric.name], known["baselines"]["dummy"])


def test_it_predicts_each_thing_in_a_column(kind: str, predictor: Predictor) -> None:
    frame = table().set_index(pd.Index(np.arange(ROWS) + 1000, name="customer"))
    found = predictor.predict(frame[FEATURES])
    assert isinstance(found, pd.Series if len(KINDS[kind][1]) == 1 else pd.DataFrame)
    told = pd.DataFrame(found)
    assert told.columns.tolist() == KINDS[kind][1]
    assert told.index.equals(frame.index)
    assert told.notna().all(axis=None)
    if kind == "quantile":
        assert (np.diff(told.to_numpy(), axis=1) >= 0).all()
    if kind == "multilabel":
        assert set(told.to_numpy().ravel()) == {0, 1}
    if not predictor.task.is_numeric:
        shares = predictor.predict_proba(frame[FEATURES])
        assert shares.index.equals(frame.index)
        assert shares.to_numpy().min() >= 0
        assert shares.to_numpy().max() <= 1


def test_it_says_how_sure_it_is(kind: str, run: Path, predictor: Predictor) -> None:
    frame = table()
    _, told, ends = KINDS[kind]
    known = json.loads((run / "run.json").read_text())
    metric = known["metric"]
    low, high = known["test_interval"][metric]
    assert low <= known["test"][metric] <= high
    if kind == "multilabel":
        with pytest.raises(DataError, match="use their probabilities"):
            predictor.predict_interval(frame)
        assert known["test_coverage"] is None
        return
    found = predictor.predict_interval(frame, 0.9)
    assert found.columns.tolist() == [*told, *ends]
    pd.testing.assert_frame_equal(found[told], pd.DataFrame(predictor.predict(frame)))
    assert known["test_coverage"]["asked"] == 0.9
    assert known["test_coverage"]["measured"] > 0.6  # of 24 rows


def test_loaded_again_it_predicts_the_same_bits(run: Path, predictor: Predictor, tmp_path: Path) -> None:
    predictor.save(tmp_path)
    frame = table()
    for other in (load(run, "cpu"), load(tmp_path, "cpu"), autodl.load(run, device="cpu")):
        pd.testing.assert_frame_equal(
            pd.DataFrame(other.predict(frame)), pd.DataFrame(predictor.predict(frame)), check_exact=True
        )
        assert other.evaluate(frame) == predictor.evaluate(frame)


def test_the_test_score_can_be_had_again(run: Path, predictor: Predictor) -> None:
    """On all rows it is at least as good as a guess; each metric of the kind has a value."""
    known = json.loads((run / "run.json").read_text())
    assert set(known["test"]) == set(fitting(predictor.task)) == set(predictor.evaluate(table()))
    assert all(np.isfinite(value) for value in known["test"].values())


def test_a_skewed_number_may_be_seen_by_its_logarithm(tmp_path: Path) -> None:
    """Whatever is seen, answers are prices, and none is far beyond what was seen."""
    space = 'training.target = "log"\nestimator.target = "log"\n'
    options = SearchOptions(
        trials=2,
        folds=2,
        models=("linear", "k_neighbors"),
        executor="inline",
        output=str(tmp_path / "run"),
        space=space,
    )
    frame = table()[[*FEATURES, "price"]]
    predictor = load(search(frame, DataOptions(target=("price",)), options), "cpu")
    assert [scale.name for scale in predictor.task.scales] == ["none", "log"]
    assert {member.config.training["target"] for member in predictor.members} == {"log"}
    prices = frame["price"]
    assert np.corrcoef(predictor.predict(frame), prices)[0, 1] > 0.3
    for far in (1e6, -1e6):
        found = predictor.predict(frame.assign(a=far, c=-far))
        assert -prices.max() < found.min()
        assert found.max() < 10 * prices.max()

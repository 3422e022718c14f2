"""One peer, in the process that ``accuracy.py`` starts for it: reads the rows and the order, writes predictions.

Nothing of a peer is imported until it is its turn, and none is needed by anything else.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

MOST_CATEGORIES = 255  # that scikit-learn's boosting takes; a column with more is given as numbers


@dataclass
class Order:
    """What the peer is to do."""

    name: str
    target: str
    kind: str
    seconds: float
    seed: int
    classes: list[str]
    train: pd.DataFrame
    test: pd.DataFrame
    labels: pd.Series

    @classmethod
    def read(cls) -> Order:
        """Read what lies in this folder; words become categories, those of the training rows."""
        said = json.loads(Path("order.json").read_text())
        train, test = pd.read_parquet("train.parquet"), pd.read_parquet("test.parquet")
        labels = train.pop(said["target"])
        for name in train:
            if not pd.api.types.is_numeric_dtype(train[name]) or pd.api.types.is_bool_dtype(train[name]):
                kind = pd.CategoricalDtype(sorted(train[name].dropna().astype(str).unique()))
                for frame in (train, test):
                    frame[name] = frame[name].where(frame[name].isna(), frame[name].astype(str)).astype(kind)
        return cls(**said, train=train, test=test, labels=labels)

    @property
    def classifies(self) -> bool:
        """Whether probabilities are wanted."""
        return self.kind != "regression"

    def categorical(self) -> list[str]:
        """Columns of words."""
        return [name for name in self.train if isinstance(self.train[name].dtype, pd.CategoricalDtype)]


Fitted = Callable[[], np.ndarray]
"""What a fit returns: call it for predictions, so that fitting is timed alone."""


def _answer(model: Any, order: Order, rows: pd.DataFrame) -> Fitted:
    """Predictions of anything that follows scikit-learn, classes in the order that is asked for."""
    if not order.classifies:
        return lambda: np.asarray(model.predict(rows), dtype=float).reshape(-1)
    places = [list(map(str, model.classes_)).index(label) for label in order.classes]
    return lambda: np.asarray(model.predict_proba(rows), dtype=float)[:, places]


def hist_gradient_boosting(order: Order, **settings: Any) -> Fitted:
    """Scikit-learn's boosting at its defaults, if no settings are given."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    train, test = order.train.copy(), order.test.copy()
    for name in order.categorical():
        if len(train[name].cat.categories) > MOST_CATEGORIES:
            train[name], test[name] = train[name].cat.codes, test[name].cat.codes
    make = HistGradientBoostingClassifier if order.classifies else HistGradientBoostingRegressor
    model = make(categorical_features="from_dtype", random_state=order.seed, **settings).fit(train, order.labels)
    return _answer(model, order, test)


def hist_gradient_boosting_stopped(order: Order) -> Fitted:
    """The same with early stopping, whose default is off below 10,000 rows."""
    return hist_gradient_boosting(order, early_stopping=True)


def lightgbm(order: Order) -> Fitted:
    """LightGBM at its defaults."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    model = (LGBMClassifier if order.classifies else LGBMRegressor)(random_state=order.seed, verbose=-1)
    return _answer(model.fit(order.train, order.labels), order, order.test)


def catboost(order: Order) -> Fitted:
    """CatBoost at its defaults."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    words = order.categorical()
    train, test = order.train.copy(), order.test.copy()
    for frame in (train, test):
        frame[words] = frame[words].astype(object).where(frame[words].notna(), "missing").astype(str)
    make = CatBoostClassifier if order.classifies else CatBoostRegressor
    model = make(random_seed=order.seed, cat_features=words, verbose=False, allow_writing_files=False)
    return _answer(model.fit(train, order.labels), order, test)


def flaml(order: Order) -> Fitted:
    """FLAML with the time limit."""
    from flaml.automl.automl import AutoML

    model = AutoML()
    settings = {"task": "classification", "metric": "log_loss"} if order.classifies else {"task": "regression"}
    model.fit(order.train, order.labels, time_budget=order.seconds, seed=order.seed, verbose=0, **settings)
    return _answer(model, order, order.test)


def autogluon(order: Order) -> Fitted:
    """AutoGluon, medium quality, with the time limit."""
    from autogluon.tabular import TabularPredictor

    metric = "log_loss" if order.classifies else "root_mean_squared_error"
    model = TabularPredictor(order.target, problem_type=order.kind, eval_metric=metric, path="autogluon", verbosity=0)
    frame = order.train.assign(**{order.target: order.labels})
    model.fit(frame, time_limit=order.seconds, presets="medium_quality")
    if not order.classifies:
        return lambda: model.predict(order.test).to_numpy(float)
    return lambda: model.predict_proba(order.test)[order.classes].to_numpy(float)


def realmlp(order: Order) -> Fitted:
    """RealMLP with its tuned defaults, from pytabkit; it takes no missing number, so they become medians."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    numbers = [name for name in order.train if name not in order.categorical()]
    medians = order.train[numbers].median()
    train, test = (frame.fillna(medians) for frame in (order.train, order.test))
    make = RealMLP_TD_Classifier if order.classifies else RealMLP_TD_Regressor
    model = make(random_state=order.seed, device="cpu")
    model.fit(train, order.labels)
    return _answer(model, order, test)


PEERS = (
    *(hist_gradient_boosting, hist_gradient_boosting_stopped, lightgbm, catboost),
    *(flaml, autogluon, realmlp),
)
RUN = {each.__name__: each for each in PEERS}
BOOSTING = dict.fromkeys(("hist_gradient_boosting", "hist_gradient_boosting_stopped"), "scikit-learn")
PACKAGES = {**BOOSTING, "autogluon": "autogluon.tabular", "realmlp": "pytabkit"}


def main() -> None:
    order = Order.read()
    package = PACKAGES.get(order.name, order.name)
    try:
        of = version(package)
    except PackageNotFoundError:
        sys.exit(f"{package} is not installed")
    import_module("sklearn.ensemble" if package == "scikit-learn" else package)
    started = time.perf_counter()
    fitted = RUN[order.name](order)
    seconds = time.perf_counter() - started
    np.save("predictions.npy", fitted())
    Path("answer.json").write_text(json.dumps({"seconds": seconds, "version": f"{package} {of}"}))


if __name__ == "__main__":
    main()

"""A small real problem, its space and a journal, shared by the tests of the search."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from sklearn.datasets import load_iris

from autodl.data.dataset import DataOptions, load_dataset
from autodl.data.folds import cross_validated
from autodl.metrics import get_metric
from autodl.tuning.journal import Journal
from autodl.tuning.prepared import Prepared
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.search_space import SearchSpace
from autodl.tuning.trials import Trials


@pytest.fixture(scope="session")
def iris() -> pd.DataFrame:
    data = load_iris(as_frame=True)
    return data.data.assign(species=pd.Series(data.target).map(dict(enumerate(data.target_names))))


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(str(tmp_path / "run"), "iris")


@pytest.fixture
def folds():
    """One part is held out; a test that is parametrised with ``folds`` has as many."""
    return 1


@pytest.fixture
def dataset(iris, folds):
    found = load_dataset(iris, DataOptions(target="species"))
    return cross_validated(replace(found, task=replace(found.task, metric="log_loss")), folds)


@pytest.fixture
def prepared(dataset, run):
    made = Prepared(dataset, run, seed=0)
    made.write_targets()
    return made


@pytest.fixture
def space(prepared):
    """Networks and estimators."""
    return SearchSpace.build(prepared.defaults(), prepared.dataset.task, 96)


@pytest.fixture
def networks(space):
    """The half of the space that is of networks."""
    return space.networks


@pytest.fixture
def trials(run, dataset):
    journal = Journal(run.journal)
    yield Trials(journal, get_metric("log_loss", dataset.task))
    journal.close()

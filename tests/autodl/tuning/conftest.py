"""A small real problem, its space and a journal, shared by the tests of the search."""

from __future__ import annotations

import pandas as pd
import pytest
from sklearn.datasets import load_iris

from autodl.data.dataset import DataOptions, load_dataset
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
def dataset(iris):
    from dataclasses import replace

    found = load_dataset(iris, DataOptions(target="species"))
    return replace(found, task=replace(found.task, metric="log_loss"))


@pytest.fixture
def prepared(dataset, run):
    made = Prepared(dataset, run, seed=0)
    made.write_targets()
    return made


@pytest.fixture
def space(prepared):
    return SearchSpace.build(prepared.defaults(), prepared.dataset.task, 96)


@pytest.fixture
def trials(run, dataset):
    journal = Journal(run.journal)
    yield Trials(journal, get_metric("log_loss", dataset.task))
    journal.close()

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from autodl.data.dataset import DataOptions, load_dataset
from autodl.data.folds import auto_folds, cross_validated
from autodl.records import Component
from autodl.tuning.budget import cores
from autodl.tuning.executors.inline import Inline
from autodl.tuning.options import SearchOptions
from autodl.tuning.planning import PACK_ROWS, convolves, folded, folds_of, plan, reserve, threads
from autodl.tuning.prepared import Prepared, Reading
from autodl.tuning.search_space import SearchSpace

PHOTO = {"photo": SimpleNamespace(shape=(3, 8, 8))}


@pytest.fixture
def specs(prepared):
    return {name: spec for name, (_, spec) in prepared.defaults().items()}


class TestFolds:
    def test_the_rows_and_the_time_decide_where_nobody_does(self, dataset):
        for seconds in (None, 0.5, 300.0):
            found = folded(dataset, SearchOptions(time=seconds), {})
            folds, repeats = auto_folds(dataset, seconds)
            assert len(found.split.folds) == folds * repeats
        assert len(folded(dataset, SearchOptions(time=300.0), {}).split.cross) > 1

    def test_what_the_user_says_holds(self, dataset):
        assert len(folded(dataset, SearchOptions(folds=3, repeats=2), {}).split.cross) == 6
        assert folded(dataset, SearchOptions(folds=1), {}) is dataset

    def test_a_resumed_search_keeps_what_it_began_with(self, dataset):
        """Or no checkpoint and no score would fit the others."""
        assert len(folded(dataset, SearchOptions(folds=5), {"folds": [3, 2]}).split.cross) == 6
        assert folded(dataset, SearchOptions(time=1e6), {"folds": [1, 1]}) is dataset

    @pytest.mark.parametrize("folds", [2, 3, 8])
    @pytest.mark.parametrize("repeats", [1, 2, 5])
    def test_they_can_be_written_down_and_made_again(self, iris, folds, repeats):
        dataset = load_dataset(iris, DataOptions(target="species"))
        crossed = cross_validated(dataset, folds, repeats)
        assert folds_of(crossed) == (folds, repeats)
        again = folded(dataset, SearchOptions(), {"folds": list(folds_of(crossed))})
        for ours, theirs in zip(again.split.cross, crossed.split.cross, strict=True):
            np.testing.assert_array_equal(ours[1], theirs[1])

    def test_one_part_held_out_is_one_fold(self, dataset):
        assert folds_of(dataset) == (1, 1)


class TestPlan:
    @pytest.fixture
    def planned(self, dataset, specs):
        def build(known=None, specs=specs, dataset=dataset, **options):
            inputs = {name: ("tabular", spec) for name, spec in specs.items()}
            space = SearchSpace.build(inputs, dataset.task, 96)
            return plan(SearchOptions(**options).checked(), Inline("cpu"), specs, dataset, known or {}, space)

        return build

    def test_a_number_of_trials_makes_a_lockstep_of_small_packs(self, planned):
        found = planned(trials=16)
        assert (found.trials, found.lockstep, found.pack_size) == (16, True, 2)
        assert planned(trials=3).pack_size == 1
        assert not planned(time=60.0).lockstep

    def test_folds_and_trials_together_fill_a_pack(self, planned, iris):
        dataset = load_dataset(iris, DataOptions(target="species"))
        for folds in (1, 4, 8, 16, 20):
            crossed = cross_validated(dataset, folds)
            found = planned(dataset=crossed, trials=10_000, device="cpu")
            assert found.pack_size == max(1, PACK_ROWS["cpu"] // folds)

    def test_folds_cost_time_so_that_trainings_get_shorter(self, planned, iris):
        dataset = load_dataset(iris, DataOptions(target="species"))
        lengths = [planned(dataset=cross_validated(dataset, folds), time=1.0).epochs for folds in (1, 4, 16)]
        assert lengths == sorted(lengths, reverse=True)
        assert lengths[0] > lengths[-1] >= 1

    def test_a_resumed_search_keeps_the_length_of_its_trainings(self, planned):
        assert planned(known={"epochs": 7}, time=1000.0).epochs == 7

    @pytest.mark.parametrize(("minimize", "latency"), [(None, False), ("parameters", False), ("latency", True)])
    def test_predictions_are_timed_where_that_is_to_be_small(self, planned, minimize, latency):
        assert planned(minimize=minimize).latency is latency

    def test_convolutions_train_alone_on_a_cpu(self, planned, networks):
        config = networks.config(networks.complete({}), 1, 0)
        assert not planned(device="cpu").alone(config)
        pictures = replace(config, encoders={"photo": Component("cnn")})
        assert convolves(pictures)
        assert planned(device="cpu").alone(pictures)


def test_one_worker_takes_one_thread_for_tables_and_every_core_for_pictures(specs):
    assert threads(Inline("cpu"), specs) == 1
    assert threads(Inline("cpu"), PHOTO) == cores()


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_workers_share_the_cores(specs, count):
    assert threads(SimpleNamespace(slots=count), specs) == max(1, cores() // count)


class TestReserve:
    def test_without_a_budget_nothing_is_kept(self, prepared, specs):
        assert reserve(prepared, specs, SearchOptions(time=None)) == 0.0

    @pytest.mark.parametrize("seconds", [1.0, 10.0, 100.0, 1000.0])
    def test_it_is_a_quarter_at_most(self, prepared, specs, seconds):
        assert 0 < reserve(prepared, specs, SearchOptions(time=seconds)) <= seconds / 4

    def test_rows_that_are_slow_to_read_need_more(self, prepared, specs):
        prepared.readings = {}
        before = reserve(prepared, specs, SearchOptions(time=1000.0))
        prepared.readings = {"table": {"key": Reading(40.0)}}
        share = len(prepared.dataset.split.test) / len(prepared.dataset.split.rows)
        assert reserve(prepared, specs, SearchOptions(time=1000.0)) == pytest.approx(before + 40.0 * share)

    def test_so_do_the_networks_of_many_folds(self, dataset, run, specs):
        one, many = (Prepared(cross_validated(dataset, folds), run, 0) for folds in (1, 8))
        assert reserve(many, specs, SearchOptions(time=1000.0)) > reserve(one, specs, SearchOptions(time=1000.0))

    def test_training_again_takes_its_share(self, prepared, specs):
        plain, again = (reserve(prepared, specs, SearchOptions(time=100.0, refit=refit)) for refit in (False, True))
        assert again == pytest.approx(plain + 10.0)

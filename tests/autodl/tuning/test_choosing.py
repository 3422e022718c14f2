"""Trials that were never trained: what they said of the judged rows is written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from autodl.metrics import METRICS, get_metric
from autodl.records import Component, Task, TrialConfig, TrialRecord
from autodl.tuning.choosing import CANDIDATES, cheapest_as_good, choose, pareto_front
from autodl.tuning.tensors import Goals, save_tensors

NOTHING = TrialConfig({}, {}, Component("l"), Component("o"), {}, 9, 0)
NUMBER = Task("y", "regression", metric="rmse")
CLASSES = Task("y", "multiclass", ("a", "b", "c"), "log_loss")


def goals_of(task, rows=90):
    generator = np.random.default_rng(0)
    if task.is_classification:
        targets = generator.integers(0, 3, rows)
    elif task.kind in ("multioutput", "multilabel"):
        targets = generator.integers(0, 2, (rows, 2)).astype(float)
    else:
        targets = generator.normal(size=rows)
    everyone = np.arange(rows)
    folds = tuple((everyone[everyone % 3 != fold], everyone[everyone % 3 == fold]) for fold in range(3))
    return Goals(targets, task, folds)


@pytest.fixture
def said(run):
    """Write what trials said: the truth and some noise, each its own; return their records."""

    def write(goals, noise, costs=None, states=None):
        metric = get_metric(goals.task.metric, goals.task)
        records = []
        for number, size in enumerate(noise):
            generator = np.random.default_rng(number)
            targets = goals.judged_targets
            if goals.task.is_classification:
                logits = 3 * np.eye(3)[targets] + size * generator.normal(size=(len(targets), 3))
                told = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            elif goals.task.kind == "quantile":
                told = np.sort(targets[:, None] + size * generator.normal(size=(len(targets), 2)), axis=1)
            else:
                told = targets + size * generator.normal(size=targets.shape)
            if goals.task.kind == "multilabel":
                told = told.clip(0.01, 0.99)
            run.trial(number).mkdir(parents=True)
            save_tensors({"predictions": torch.as_tensor(told)}, run.trial(number) / "predictions.safetensors")
            score = float(metric.function(targets, told))
            cost = None if costs is None else costs[number]
            state = "complete" if states is None else states[number]
            records.append(TrialRecord(number, state, NOTHING, score=score, cost=cost))
        return records

    return write


class TestChoose:
    @pytest.mark.parametrize("task", [CLASSES, NUMBER], ids=["classes", "number"])
    def test_shares_sum_to_one_and_the_blend_is_of_what_the_members_said(self, said, run, task):
        goals = goals_of(task)
        records = said(goals, [1.0, 1.1, 1.2, 5.0, 1.05])
        metric = get_metric(task.metric, task)
        chosen = choose(run, records, goals, metric, most=16, seed=0)
        assert chosen.weights.sum() == pytest.approx(1.0)
        assert (chosen.weights > 0).all()
        assert len(chosen.records) > 1
        parts = [load_file(run.trial(r.number) / "predictions.safetensors")["predictions"] for r in chosen.records]
        blend = sum(w * part.numpy() for w, part in zip(chosen.weights, parts, strict=True))
        np.testing.assert_allclose(chosen.predictions, chosen.calibration.apply(blend), atol=1e-12)
        best = min(record.score for record in records)
        assert metric.function(goals.judged_targets, blend) <= best

    def test_one_alone_is_the_best(self, said, run):
        goals = goals_of(NUMBER)
        records = said(goals, [1.0, 0.3, 0.6])
        chosen = choose(run, records, goals, METRICS["rmse"], most=1, seed=0)
        assert [record.number for record in chosen.records] == [1]
        assert chosen.weights.tolist() == [1.0]

    def test_where_more_is_better_it_is_the_one_with_most(self, said, run):
        goals = goals_of(replace(NUMBER, metric="r2"))
        records = said(goals, [1.0, 0.3, 0.6])
        chosen = choose(run, records, goals, METRICS["r2"], most=1, seed=0)
        assert [record.number for record in chosen.records] == [1]

    @pytest.mark.parametrize("most", [2, 3])
    def test_no_more_are_chosen_than_may_be(self, said, run, most):
        goals = goals_of(NUMBER)
        records = said(goals, [1.0, 1.01, 1.02, 1.03, 1.04, 1.05])
        free = choose(run, records, goals, METRICS["rmse"], most=16, seed=0)
        assert len(free.records) > most
        bound = choose(run, records, goals, METRICS["rmse"], most=most, seed=0)
        assert len(bound.records) == most
        assert bound.weights.sum() == pytest.approx(1.0)
        largest = np.argsort(-free.weights, kind="stable")[:most]
        assert [record.number for record in bound.records] == sorted(
            (free.records[at].number for at in largest), key=lambda number: records[number].score
        )

    def test_without_a_score_nobody_is_chosen(self, said, run):
        goals = goals_of(NUMBER)
        waiting = [TrialRecord(number, "failed", NOTHING) for number in range(3)]
        assert choose(run, waiting, goals, METRICS["rmse"], most=16, seed=0) is None
        assert choose(run, [], goals, METRICS["rmse"], most=1, seed=0) is None

    def test_who_failed_or_lost_its_files_is_passed_over(self, said, run):
        goals = goals_of(NUMBER)
        records = said(goals, [0.1, 0.2, 0.5], states=["failed", "complete", "pruned"])
        (run.trial(1) / "predictions.safetensors").unlink()
        chosen = choose(run, records, goals, METRICS["rmse"], most=16, seed=0)
        assert [record.number for record in chosen.records] == [2]

    def test_only_the_best_are_candidates(self, said, run, monkeypatch):
        """So that a long search does not end with an hour of choosing."""
        from autodl.tuning import choosing

        seen = []
        real = choosing.select
        monkeypatch.setattr(
            choosing,
            "select",
            lambda predictions, *rest, **more: seen.append(len(predictions)) or real(predictions, *rest, **more),
        )
        goals = goals_of(NUMBER, rows=30)
        choose(run, said(goals, np.linspace(1, 2, CANDIDATES + 5)), goals, METRICS["rmse"], most=16, seed=0)
        assert seen == [CANDIDATES]

    def test_the_same_seed_chooses_the_same(self, said, run):
        goals = goals_of(CLASSES)
        records = said(goals, [1.0, 1.1, 1.2, 1.3, 1.05])
        metric = METRICS["log_loss"]
        first, second = (choose(run, records, goals, metric, most=16, seed=3) for _ in range(2))
        np.testing.assert_array_equal(first.weights, second.weights)
        np.testing.assert_array_equal(first.predictions, second.predictions)


def beats(one, other):
    """No worse in either, and better in one."""
    no_worse = one.score <= other.score and one.cost <= other.cost
    return no_worse and (one.score, one.cost) != (other.score, other.cost)


def recorded(points):
    """Trials of these scores and costs."""
    return [TrialRecord(n, "pruned", NOTHING, score=float(s), cost=float(c)) for n, (s, c) in enumerate(points)]


POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=15)


class TestParetoFront:
    @given(POINTS)
    def test_it_holds_whoever_is_beaten_by_nobody(self, points):
        records = [
            TrialRecord(n, "complete", NOTHING, score=float(s), cost=float(c)) for n, (s, c) in enumerate(points)
        ]
        front = pareto_front(records, METRICS["rmse"])
        unbeaten = {(r.score, r.cost) for r in records if not any(beats(other, r) for other in records)}
        assert {(r.score, r.cost) for r in front} == unbeaten
        assert len(front) == len(unbeaten)  # of those that are level in both, the first stands for all

    @given(POINTS)
    def test_along_it_scores_get_worse_and_costs_less(self, points):
        records = recorded(points)
        for metric, sign in ((METRICS["rmse"], 1), (METRICS["r2"], -1)):
            front = pareto_front(records, metric)
            assert [sign * r.score for r in front] == sorted({sign * r.score for r in front})
            assert [r.cost for r in front] == sorted({r.cost for r in front}, reverse=True)

    def test_who_has_no_score_or_no_cost_or_failed_is_not_in_it(self):
        known = TrialRecord(0, "complete", NOTHING, score=1.0, cost=1.0)
        others = [replace(known, score=None), replace(known, cost=None), replace(known, state="failed", score=0.5)]
        assert pareto_front([*others, known], METRICS["rmse"]) == [known]


class TestCheapestAsGood:
    @pytest.mark.parametrize(
        "task",
        [
            CLASSES,
            NUMBER,
            Task("y", "multioutput", metric="rmse", further=("z",)),
            Task("y", "multilabel", metric="log_loss", further=("z",)),
            Task("y", "quantile", metric="pinball", quantiles=(0.1, 0.9)),
        ],
        ids=lambda task: task.kind,
    )
    def test_of_those_that_may_be_as_good_the_cheapest_is_taken(self, said, run, task):
        goals = goals_of(task)
        records = said(goals, [1.0, 1.01, 9.0], costs=[3.0, 2.0, 1.0])
        metric = get_metric(task.metric, task)
        ranked = sorted(records, key=lambda record: record.score)
        assert ranked[-1].number == 2
        assert cheapest_as_good(run, records, goals, metric).number == (
            1 if ranked[0].number == 0 else ranked[0].number
        )

    def test_who_is_surely_worse_is_not_taken_however_cheap(self, said, run):
        goals = goals_of(NUMBER)
        records = said(goals, [0.5, 2.0], costs=[1000.0, 0.001])
        assert cheapest_as_good(run, records, goals, METRICS["rmse"]).number == 0

    def test_who_costs_more_than_a_better_one_is_not_taken(self, said, run):
        goals = goals_of(NUMBER)
        records = said(goals, [0.5, 1.0, 1.1], costs=[1.0, 2.0, 3.0])
        assert cheapest_as_good(run, records, goals, METRICS["rmse"]).number == 0

    def test_without_costs_or_files_there_is_none(self, said, run):
        goals = goals_of(NUMBER)
        records = said(goals, [1.0, 2.0], costs=[1.0, None])
        assert cheapest_as_good(run, records[1:], goals, METRICS["rmse"]) is None
        (run.trial(0) / "predictions.safetensors").unlink()
        assert cheapest_as_good(run, records, goals, METRICS["rmse"]) is None
        assert cheapest_as_good(run, [], goals, METRICS["rmse"]) is None

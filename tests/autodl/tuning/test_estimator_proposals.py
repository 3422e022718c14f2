from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from autodl import registry
from autodl.contracts import Estimator
from autodl.records import Task, TrialRecord
from autodl.space import Choice, Float, Integer
from autodl.tasks import TargetScale
from autodl.tuning.estimator_proposals import EstimatorProposer, baseline, baselines
from autodl.tuning.proposals import Known, Params, Proposal
from autodl.tuning.search_space import SearchKnob, SearchSpace

CLASSES = Task("y", "binary", ("no", "yes"))
SKEWED = Task("y", "regression", scales=(TargetScale(), TargetScale("log")))


def built(task: Task = CLASSES, models: Sequence[str] = ()) -> SearchSpace:
    """The space of estimators over what is really registered."""
    names = [name for name in registry.estimators.names() if registry.estimators.load(name).space]
    return SearchSpace.build({}, task, 500, models or names)


def known(space: SearchSpace, proposal: Proposal, number: int, score: float | None) -> Known:
    record = TrialRecord(number, "complete", space.config(proposal.params, 1, number), score=score)
    return Known(record, proposal.params, -1)


def learn(
    space: SearchSpace, judge: Callable[[Params], float | None], count: int, seed: int = 0, greater: bool = False
) -> list[tuple[Proposal, Known]]:
    """Propose some, one after another, and tell each one's score."""
    proposer, told = EstimatorProposer(space, greater, seed), []
    for number in range(count):
        proposal = proposer.next([each for _, each in told])
        assert proposal is not None
        told.append((proposal, known(space, proposal, number, judge(proposal.params))))
    return told


def named(told: Sequence[tuple[Proposal, Known]]) -> list[str]:
    return [str(proposal.params["estimator"]) for proposal, _ in told]


def test_each_comes_at_its_defaults_first_the_most_useful_first() -> None:
    space = built()
    first = learn(space, lambda params: 1.0, 6)
    boosting, *others = ["hist_gradient_boosting", "extra_trees", "linear_model", "random_forest", "k_neighbors"]
    assert named(first) == [boosting, boosting, *others]
    plain = [proposal for at, (proposal, _) in enumerate(first) if at != 1]
    for proposal, name in zip(plain, [boosting, *others], strict=True):
        assert proposal == Proposal(space.complete({"estimator": name}), "portfolio")
    slow = first[1][0].params
    assert slow["estimator.hist_gradient_boosting.max_iter"] == 400


def test_the_logarithm_is_tried_early() -> None:
    first = [proposal.params for proposal, _ in learn(built(SKEWED), lambda params: 1.0, 10)]
    seen = [(params["estimator"], params["estimator.target"]) for params in first]
    assert seen[:4] == [("hist_gradient_boosting", target) for target in ("none", "log", "none", "log")]
    names = ("extra_trees", "linear_model", "random_forest", "k_neighbors")
    assert seen[4:8] == [(name, "none") for name in names]
    assert seen[8:] == [("extra_trees", "log"), ("linear_model", "log")]


def test_what_a_user_fixed_holds() -> None:
    space = built(SKEWED).with_dimensions({"estimator.target": Choice("log"), "estimator": Choice("linear_model")})
    told = learn(space, lambda params: 1.0, 12)
    assert {params["estimator"] for (_, each) in told for params in [each.params]} == {"linear_model"}
    assert {each.params["estimator.target"] for _, each in told} == {"log"}


def test_nothing_is_proposed_twice_and_all_of_it_is_in_the_space() -> None:
    space = built(SKEWED)
    told = learn(space, lambda params: float(len(str(params)) % 7), 60)
    texts = [str(sorted(proposal.params.items())) for proposal, _ in told]
    assert len(set(texts)) == 60
    for proposal, _ in told:
        assert space.complete(proposal.params) == proposal.params
    assert {proposal.source for proposal, _ in told} == {"portfolio", "random", "mutation"}


def test_a_baseline_is_not_proposed_again() -> None:
    space = built()
    done = known(space, baseline(space, "hist_gradient_boosting"), 0, 1.0)
    proposal = EstimatorProposer(space, False, 0).next([done])
    assert proposal is not None
    assert proposal.params != done.params
    assert proposal.params["estimator.hist_gradient_boosting.max_iter"] == 400


def test_what_is_under_way_is_not_proposed_again() -> None:
    proposer = EstimatorProposer(built(), False, 0)
    found = [proposer.next([]) for _ in range(10)]
    assert len({str(proposal) for proposal in found}) == 10


def test_a_small_space_comes_to_an_end() -> None:
    space = built(models=["linear_model"]).with_dimensions({"estimator.linear_model.penalty": Float(1.0, 1.0)})
    proposer = EstimatorProposer(space, False, 0)
    assert proposer.next([]) is not None
    assert proposer.next([]) is None
    assert EstimatorProposer(space.networks, False, 0).next([]) is None


@pytest.mark.parametrize("greater", [False, True])
def test_the_best_gets_most_and_no_other_is_given_up(greater: bool) -> None:
    def judge(params: Params) -> float:
        return float((params["estimator"] == "k_neighbors") is greater)

    counts = Counter(named(learn(built(), judge, 80, greater=greater))[5:])
    assert counts.most_common(1)[0][0] == "k_neighbors"
    assert len(counts) == 5


def test_changes_of_the_best_come_nearer_to_what_is_best() -> None:
    path = "estimator.linear_model.penalty"
    space = built(models=["linear_model"])
    told = learn(space, lambda params: abs(float(params[path]) - 700.0), 40)
    assert min(each.record.score for _, each in told) < 70  # type: ignore[type-var, operator]


def test_a_change_is_of_three_knobs_at_most() -> None:
    space = built(models=["hist_gradient_boosting"])
    told = learn(space, lambda params: 0.0 if params == space.complete({}) else 1.0, 40)
    changed = [
        sum(value != space.complete({})[path] for path, value in proposal.params.items())
        for proposal, _ in told
        if proposal.source == "mutation"
    ]
    assert set(changed) == {1, 2, 3}


def test_failures_and_networks_are_passed_over() -> None:
    space = built()
    told = learn(space, lambda params: None, 12)
    assert {proposal.source for proposal, _ in told} == {"portfolio", "random"}
    dummy = known(space, baseline(space, "dummy"), 12, 0.0)
    assert EstimatorProposer(space, False, 0, proposed=12).next([*(each for _, each in told), dummy]) is not None


def test_the_same_seed_and_number_propose_the_same() -> None:
    space = built()

    def judge(params: Params) -> float:
        return float(len(str(params)) % 7)

    told = learn(space, judge, 15, seed=3)
    assert learn(space, judge, 15, seed=3) == told
    assert [p for p, _ in learn(space, judge, 15, seed=4)] != [p for p, _ in told]
    again = EstimatorProposer(space, False, 3, proposed=14)
    assert again.next([each for _, each in told[:14]]) == told[14][0]


def test_whole_numbers_and_options_move() -> None:
    knobs = [
        SearchKnob(("estimator",), "", Choice("extra_trees"), of_estimator=True),
        SearchKnob(("estimator", "extra_trees"), "min_samples_leaf", Integer(1, 2), of_estimator=True),
    ]
    space = SearchSpace({knob.path: knob for knob in knobs}, {})
    told = learn(space, lambda params: 1.0, 2)
    assert {proposal.params["estimator.extra_trees.min_samples_leaf"] for proposal, _ in told} == {1, 2}


def test_baselines_of_a_task() -> None:
    usual = ["dummy", "linear_model", "hist_gradient_boosting"]
    assert baselines(CLASSES, 500, 8) == usual
    assert baselines(Task("y", "quantile", quantiles=(0.5,)), 500, 8) == ["dummy", "hist_gradient_boosting"]
    assert baselines(CLASSES, 500, 100_000) == ["dummy"]


def test_a_baseline_stands_at_its_defaults_within_the_space() -> None:
    space = built(SKEWED, ["extra_trees"])
    assert baseline(space, "dummy") == Proposal({"estimator": "dummy"}, "baseline")
    assert baseline(space, "extra_trees").params == space.complete({})
    assert baseline(space.networks, "extra_trees").params == {"estimator": "extra_trees"}


def test_a_strangers_estimator_comes_last(monkeypatch: Any) -> None:
    class Another(Estimator):
        tasks = frozenset({"binary"})
        space = registry.estimators.load("extra_trees").space
        baseline = True

    monkeypatch.setitem(registry.estimators._own, "another", Another)
    assert named(learn(built(), lambda params: 1.0, 7))[-1] == "another"
    assert baselines(CLASSES, 500, 8)[-1] == "another"

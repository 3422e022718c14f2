from __future__ import annotations

import pytest

from autodl.records import Component, TrialConfig, TrialRecord
from autodl.tuning import tidy as module
from autodl.tuning.tidy import tidy

NOTHING = TrialConfig({}, {}, Component("l"), Component("o"), {}, 9, 0)
FILES = ("config.json", "weights.safetensors", "predictions.safetensors", "checkpoint.safetensors")


@pytest.fixture
def left(run, monkeypatch):
    """Write the files of five trials with scores 0 to 4, tidy up, and tell what is left."""
    monkeypatch.setattr(module, "WEIGHTS_KEPT", 2)
    monkeypatch.setattr(module, "CHECKPOINTS_KEPT", 3)

    def make(greater_is_better, states=("paused",) * 5, costs=(None,) * 5):
        records = [
            TrialRecord(n, state, NOTHING, score=float(n), cost=cost)
            for n, (state, cost) in enumerate(zip(states, costs, strict=True))
        ]
        for record in records:
            run.trial(record.number).mkdir(parents=True)
            for name in FILES:
                (run.trial(record.number) / name).write_text("x")
        tidy(run, [*records, TrialRecord(9, "failed", NOTHING)], greater_is_better)
        return [{path.name.split(".")[0] for path in run.trial(n).iterdir()} for n in range(5)]

    return make


def test_the_best_keep_everything_and_the_others_what_is_small(left):
    assert left(greater_is_better=False) == [
        {"config", "weights", "predictions", "checkpoint"},
        {"config", "weights", "predictions", "checkpoint"},
        {"config", "checkpoint"},
        {"config"},
        {"config"},
    ]


def test_where_more_is_better_the_last_are_the_best(left):
    assert [len(names) for names in left(greater_is_better=True)] == [1, 1, 2, 4, 4]


def test_what_trains_now_is_left_alone(left):
    assert [len(names) for names in left(False, ("running",) * 5)] == [4] * 5


def test_with_a_second_objective_the_cheap_are_among_the_best(left):
    costs = (5.0, 6.0, 7.0, 8.0, 0.0)
    assert [len(names) for names in left(False, costs=costs)] == [4, 2, 1, 1, 4]


def test_what_is_already_gone_is_no_error(run):
    tidy(run, [TrialRecord(n, "paused", NOTHING, score=float(n)) for n in range(200)], False)

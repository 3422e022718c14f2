from __future__ import annotations

import numpy as np
import pytest

from autodl.report._importance import FEWEST, Importance, importance
from autodl.report._knobs import Knob


def search(trials: int = 60, seed: int = 0) -> tuple[list[Knob], np.ndarray]:
    """Trials whose score hangs on a rate, less on a name, and on nothing else."""
    generator = np.random.default_rng(seed)
    rate = generator.uniform(-4, -1, trials)
    name = generator.choice(["adam", "muon", "sgd"], trials)
    idle = generator.normal(size=trials)
    scores = np.abs(rate + 2.5) + 0.5 * (name == "muon")
    knobs = [
        Knob("idle", tuple(map(float, idle)), False),
        Knob("optimizer", tuple(map(str, name)), False),
        Knob("rate", tuple(map(float, 10**rate)), True),
    ]
    return knobs, scores


def by_path(found: Importance) -> dict[str, float]:
    return {knob.path: share for knob, share in zip(found.knobs, found.share, strict=True)}


def test_what_the_score_hangs_on_comes_first_and_what_is_idle_gets_nothing() -> None:
    found = importance(*search())
    assert [knob.path for knob in found.knobs] == ["rate", "optimizer", "idle"]
    assert found.explained > 0.4
    assert by_path(found)["rate"] > 0.5
    assert abs(by_path(found)["idle"]) < 0.1
    assert found.low[0] > 0.2
    assert found.low[2] < 0.05
    assert all(low <= share <= high for low, share, high in zip(found.low, found.share, found.high, strict=True))


def test_only_the_order_of_scores_counts_and_the_seed_decides_the_rest() -> None:
    knobs, scores = search()
    found = importance(knobs, scores, seed=3)
    assert importance(knobs, np.exp(5 * scores), seed=3).share == found.share
    assert importance(knobs, scores, seed=4).share != found.share
    turned = importance(knobs, -scores, seed=3)
    assert by_path(turned) == pytest.approx(by_path(found), abs=0.05)


def test_a_knob_that_seldom_counts_is_shuffled_where_it_does() -> None:
    """Where it does not count, no value is made up for it."""
    knobs, scores = search(80)
    where = np.arange(80) % 2 == 0
    extra = np.linspace(-1, 1, 80)[np.random.default_rng(1).permutation(80)]
    seldom = Knob("seldom", tuple(float(x) if on else None for x, on in zip(extra, where, strict=True)), False)
    alone = Knob("alone", tuple(1.0 if on else None for on in where), False)
    found = by_path(importance([*knobs, seldom, alone], scores + 3 * np.where(where, extra, 0.0)))
    assert found["seldom"] > found["rate"]
    assert found["alone"] == pytest.approx(0, abs=1e-12)


def test_where_it_cannot_be_told_the_reason_is() -> None:
    knobs, scores = search(FEWEST - 1)
    assert (
        importance(knobs, scores).reason
        == f"only {FEWEST - 1} trials have a score, and fewer than {FEWEST} tell nothing"
    )
    assert importance([], np.arange(20.0)).reason == "all trials have the same hyperparameters"
    knobs, _ = search(20)
    assert importance(knobs, np.ones(20)).reason == "all trials have the same score"
    noise = importance(knobs, np.random.default_rng(5).normal(size=20))
    assert noise.reason.startswith("20 trials are too few to tell: forests fitted on them explain 0%")
    assert noise.knobs == ()

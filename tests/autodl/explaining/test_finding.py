from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autodl.explaining.finding import SHOWN, find
from autodl.explaining.findings import Findings
from autodl.explaining.players import OTHERS
from autodl.predictor import Predictor


@pytest.fixture(scope="module")
def whole(networks: Predictor, rows: pd.DataFrame) -> Findings:
    return find(networks.subject, networks.explain(rows, background=8), None)


def test_with_time_enough_nothing_is_left_out(whole: Findings) -> None:
    assert whole.left_out == {}
    assert len(whole.shown) == SHOWN
    assert whole.permutation is not None
    assert whole.permutation.values.shape == (1, 4)
    assert whole.curves is not None
    assert set(whole.curves.attribution.found["curves"]) == {"age", "plan", "noise", "day"}
    assert {each.name for each in whole.quality} >= {"deletion", "insertion", "sparseness"}
    assert whole.heat is None  # there are no images


def test_interactions_are_those_of_the_columns_that_matter_most(
    networks: Predictor, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autodl.explaining.finding.INTERACTING", 2)
    explanation = networks.explain(rows, background=4)
    found = find(networks.subject, explanation, None).interactions
    assert found is not None
    assert found.players[-1] == OTHERS
    assert set(found.players[:-1]) == set(explanation.importance().index[:2])
    matrix = found.attribution.interactions
    assert matrix is not None
    assert matrix.shape == (len(rows), 3, 3)
    known = networks.explain(rows, background=4, settings={"interactions": True})
    assert find(networks.subject, known, None).interactions is None


def test_counterfactuals_change_the_answer(whole: Findings, networks: Predictor) -> None:
    assert whole.counterfactual is not None
    for found, _ in whole.counterfactual.parts.values():
        told = found.attribution.found
        assert bool(told["reached"].all())
        donors = found.background.iloc[told["donor"].numpy()]
        changed = found.rows.copy()
        for position, name in enumerate(found.players):
            moved = told["changed"][:, position].numpy()
            changed.loc[moved, name] = donors[name].to_numpy()[moved]
        before = networks.predict_proba(found.rows).to_numpy().argmax(1)
        assert (before != networks.predict_proba(changed).to_numpy().argmax(1)).all()
        assert {networks.task.classes[each] for each in before} == {found.output}


def test_influence_is_over_the_training_rows_that_are_kept(whole: Findings, networks: Predictor) -> None:
    assert whole.influence is not None
    assert networks.evidence is not None
    assert sorted(row for _, rows in whole.influence.parts.values() for row in rows) == whole.shown.tolist()
    for found, rows in whole.influence.parts.values():
        assert found.attribution.found["scores"].shape == (len(rows), len(networks.evidence.frame))
        assert len(found.background) == len(networks.evidence.frame)


def test_without_time_all_is_left_out_and_told(networks: Predictor, rows: pd.DataFrame) -> None:
    found = find(networks.subject, networks.explain(rows, background=2), 1e-9)
    assert set(found.left_out) == {
        *("curves", "permutation", "counterfactual", "influence", "heat", "interactions", "quality")
    }
    assert all("--time" in reason for reason in found.left_out.values())


def test_learners_have_no_gradient_and_rows_no_target(learners: Predictor, rows: pd.DataFrame) -> None:
    found = find(learners.subject, learners.explain(rows.drop(columns="left"), background=2), None)
    assert set(found.left_out) == {"influence", "permutation"}
    assert "no member of the predictor is a network" in found.left_out["influence"]
    assert "must have the target" in found.left_out["permutation"]


def test_only_the_columns_that_matter_most_have_curves(
    networks: Predictor, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autodl.explaining.finding.CURVES", 2)
    explanation = networks.explain(rows, background=4)
    curves = find(networks.subject, explanation, None).curves
    assert curves is not None
    assert set(curves.attribution.found["curves"]) == {*explanation.importance().index[:2], OTHERS}


def test_pictures_get_maps_of_where_the_network_looks(pictures: Predictor) -> None:
    evidence = pictures.evidence
    assert evidence is not None
    there = [row for row, cell in enumerate(evidence.frame["photo"]) if cell is not None][:3]
    gone = [row for row, cell in enumerate(evidence.frame["photo"]) if cell is None][:1]
    explanation = pictures.explain(evidence.frame, rows=[*there, *gone], background=2, settings={"evaluations": 64})
    found = find(pictures.subject, explanation, None)
    if any("cnn" in member.config.encoders["photo"].name for member in pictures.members):
        assert found.heat is not None
        assert found.heat.of(len(there)) is None  # a missing one is not looked at
        told = found.heat.of(0)
        assert told is not None
        entries = told[0].attribution.entries
        assert entries is not None
        assert all(np.isfinite(each.numpy()).all() for each in entries.values())
    else:
        assert "heat" in found.left_out

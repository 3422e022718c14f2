from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import autodl
from autodl.explaining.finding import find
from autodl.predictor import Predictor
from autodl.report.explained import figures, sections, write_explanation


def written(predictor: Predictor, rows: pd.DataFrame, path: Path, seconds: float | None = None, **wanted: Any) -> Path:
    explanation = predictor.explain(rows, **{"background": 4, **wanted})
    write_explanation(predictor, find(predictor.subject, explanation, seconds), path)
    return path


def test_the_chapters_stand_in_their_order(networks: Predictor, rows: pd.DataFrame) -> None:
    findings = find(networks.subject, networks.explain(rows, background=4), None)
    anchors = [section.anchor for section in sections(networks, findings)]
    expected = ["importance", "effects", "rows", "what-if", "quality", "judged"]
    assert [anchor for anchor in anchors if anchor in expected] == expected
    assert len(set(anchors)) == len(anchors)


def test_what_is_left_out_is_told_with_the_reason(networks: Predictor, rows: pd.DataFrame, tmp_path: Path) -> None:
    page = written(networks, rows, tmp_path / "page.html", seconds=1e-9).read_text()
    assert "Left out: how good the explanation is (the time was up; give more with --time)." in page


@pytest.mark.parametrize(
    "explainer",
    [
        *("counterfactual", "influence", "input_x_gradient", "integrated_gradients", "layer_conductance", "lime"),
        *("partial_dependence", "permutation_importance", "saliency", "smooth_grad"),
    ],
)
def test_other_methods_have_their_page_too(
    explainer: str, networks: Predictor, rows: pd.DataFrame, tmp_path: Path
) -> None:
    """With the training rows a prediction rests on, whatever the method says or does not say of columns."""
    explanation = networks.explain(rows, explainer=explainer)
    assert explanation.explainer == explainer
    findings = find(networks.subject, explanation, 1e-9)
    findings.influence = find(networks.subject, networks.explain(rows, background=1), 5.0).influence
    write_explanation(networks, findings, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert explainer in page
    assert "the training rows that pull" in page
    figures(findings)


@pytest.mark.parametrize("explainer", ["partial_dependence", "permutation_importance", "feature_ablation"])
def test_images_have_their_page_whatever_the_method(explainer: str, pictures: Predictor, tmp_path: Path) -> None:
    """What all rows are told together speaks of whole images."""
    assert pictures.evidence is not None
    frame = pictures.evidence.frame.assign(kind="day")
    explanation = pictures.explain(frame, rows=4, explainer=explainer)
    assert ("photo" in explanation.players) == (explainer != "feature_ablation")
    write_explanation(pictures, find(pictures.subject, explanation, 1e-9), tmp_path / "page.html")
    assert explainer in (tmp_path / "page.html").read_text()


def test_figures_go_out_by_name(networks: Predictor, rows: pd.DataFrame) -> None:
    findings = find(networks.subject, networks.explain(rows, background=4), 1e-9)
    assert {"importance", "beeswarm", "row-0"} <= set(figures(findings))


@pytest.mark.slow
def test_in_a_browser_it_is_silent_and_a_slider_gets_the_answer_of_torch(
    tmp_path: Path, make_people: Callable[..., pd.DataFrame], hostile: tuple[str, str], visit: Callable[..., Any]
) -> None:
    """No console error, no request but the file itself, no dialog: names that would run stay text."""
    script, breaking = hostile
    names = {"age": script, "noise": breaking, "left": "<b>left"}
    data = make_people().drop(columns="spent").rename(columns=names)
    predictor = autodl.search(
        data, "<b>left", trials=1, models=["linear"], jobs=1, output=tmp_path / "run", folds=1, single=True, quiet=True
    )
    rows = make_people(8, seed=7).drop(columns="spent").rename(columns=names)
    path = written(predictor, rows, tmp_path / "page.html")
    seen = visit(path, viewport={"width": 1200, "height": 900})
    page = seen.page
    assert page.locator("label", has_text=script).first.is_visible()
    slider = page.get_by_role("slider", name=script, exact=True)
    slider.focus()
    page.keyboard.press("Home")
    least = float(page.get_by_label(f"{script} as a number").input_value())
    expected = predictor.predict_proba(rows.assign(**{script: least})).iloc[0]
    shown = [float(each.split()[0]) / 100 for each in page.locator(".wi-value").all_inner_texts()]
    assert shown == pytest.approx(expected.tolist(), abs=6e-4)
    assert seen.errors == []
    assert seen.dialogs == []
    assert [url for url in seen.requests if not url.startswith("blob:")] == [path.as_uri()]

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from autodl.predictor import Predictor
from autodl.report.modalities import modalities_section, verdict
from autodl.report.page import Fragment, Plot, page, write_page
from autodl.report.search import search_sections

ALONE, FUSED = (0.80, 0.76, 0.84), (0.90, 0.87, 0.93)


def model(name: str, kind: str, score: tuple[float, float, float], **more: Any) -> dict[str, Any]:
    known = {"name": name, "kind": kind, "what": f"{name} <b>", "trial": 3}
    return {**known, "validation": {"accuracy": list(score)}, "test": {"accuracy": list(score)}, **more}


def told(**changes: Any) -> dict[str, Any]:
    """What a search writes down of three inputs."""
    inputs = ["photo", "call", "table"]
    return {
        "inputs": inputs,
        "metric": "accuracy",
        "greater_is_better": True,
        "compared": [
            model("photo alone", "alone", ALONE),
            model("call alone", "alone", (0.6, 0.5, 0.7)),
            model("late fusion", "late", (0.89, 0.86, 0.92)),
            model("searched fusion", "fused", FUSED),
        ],
        "contributions": {
            "inputs": inputs,
            "metric": "accuracy",
            "rows": 200,
            "shapley": {"values": {"photo": 0.4, "call": 0.3, "table": 0.0}, "empty": 0.2, "full": 0.9},
            "pairs": [["photo", "call", 0.1], ["photo", "table", 0.0], ["call", "table", -0.01]],
            "shares": {"yes": {"photo": 0.5, "call": 0.3, "table": 0.2}},
            "emap": {"full": 0.9, "additive": 0.888, "value": 0.012, "low": 0.001, "high": 0.02, "rows": 150},
        },
        "missing": {"shares": [0.0, 0.5], "scores": [[0.9, 0.8, 1.0], [0.6, 0.5, 0.7]], "prior": 0.2},
        "pretrained": ["photo: weights of <i>ImageNet</i> are 0.02 better."],
        **changes,
    }


def predictor(known: Any) -> Predictor:
    return cast("Predictor", SimpleNamespace(facts={} if known is None else {"modalities": known}))


def words(known: dict[str, Any]) -> str:
    section = modalities_section(predictor(known))
    assert section is not None
    return page("t", [section], {})


def against(alone: tuple[float, float, float], fused: tuple[float, float, float], **changes: Any) -> str:
    return verdict(told(compared=[model("photo alone", "alone", alone), model("all", "fused", fused)], **changes))


@pytest.mark.parametrize(
    ("fused", "said"),
    [
        ((0.90, 0.87, 0.93), "Fusion helps: "),
        ((0.85, 0.81, 0.89), "Fusion helps: "),
        ((0.83, 0.79, 0.87), "Whether fusion helps cannot be told"),
        ((0.80, 0.76, 0.84), "Whether fusion helps cannot be told"),
        ((0.86, 0.70, 0.95), "Whether fusion helps cannot be told"),  # its own interval is too wide
        ((0.70, 0.66, 0.74), "Fusion does not help, it harms: "),
    ],
)
def test_it_is_said_plainly_whether_fusion_helps(fused: tuple[float, float, float], said: str) -> None:
    assert against(ALONE, fused).startswith(said)
    turned = [tuple(1 - each for each in (value, high, low)) for value, low, high in (ALONE, fused)]
    assert against(*turned, greater_is_better=False).startswith(said)


def test_scores_stand_in_the_verdict_and_late_fusion_is_compared_too() -> None:
    said = verdict(told())
    assert "test accuracy 0.9 (0.87 to 0.93) for searched fusion, 0.8 (0.76 to 0.84) for photo alone" in said
    assert "not to be told from late fusion at 0.89 (0.86 to 0.92)" in said


def test_models_are_chosen_by_validation_rows_and_judged_by_test_rows() -> None:
    lucky = model("lucky", "alone", (0.99, 0.98, 1.0), validation={"accuracy": [0.1, 0.0, 0.2]})
    assert "for photo alone" in verdict(told(compared=[*told()["compared"], lucky]))


def test_without_test_rows_validation_rows_say_it_and_without_either_nothing_is_claimed() -> None:
    known = [{**each, "test": {}} for each in told()["compared"]]
    assert "validation accuracy 0.9" in verdict(told(compared=known))
    assert "is not known" in verdict(told(compared=known[:2]))


def test_every_figure_has_its_words_and_its_numbers() -> None:
    section = modalities_section(predictor(told()))
    assert section is not None
    plots = [part for part in section.parts if isinstance(part, Plot)]
    assert [plot.title for plot in plots] == [
        "Each input alone, and together: accuracy",
        "What each input brings to accuracy",
        "Which input predictions rest on",
        "What pairs of inputs do together",
        "When cells go missing: accuracy",
    ]
    assert all(plot.alternative and "<table" in plot.table for plot in plots)
    text = "".join(part.html for part in section.parts if isinstance(part, Fragment))
    assert "worth +0.012 (+0.001 to +0.02) of accuracy: the predictor has 0.9 on 150 test rows, and 0.888" in text
    assert "&lt;i&gt;ImageNet&lt;/i&gt;" in text


def test_a_value_of_interactions_that_may_be_nothing_is_called_so() -> None:
    known = told()
    known["contributions"]["emap"] |= {"low": -0.01, "interaction": 0.08}
    assert "which cannot be told from nothing" in words(known)
    assert "Interactions are 8.0% of what predictions differ in." in words(known)


def test_a_single_pair_is_told_in_a_sentence() -> None:
    known = told()
    known["contributions"]["pairs"] = [["photo", "call", -0.1]]
    assert "photo and call together change accuracy by −0.1 beyond each alone: they tell the same in part" in words(
        known
    )
    assert "What pairs of inputs do together" not in words(known)


def test_what_was_not_measured_is_left_out() -> None:
    assert modalities_section(predictor(None)) is None
    known = told(contributions=None, missing=None, pretrained=[])
    section = modalities_section(predictor(known))
    assert section is not None
    assert len(section.parts) == 1
    assert modalities_section(predictor(told(compared=[], contributions={}, missing={}, pretrained=[]))) is None
    part = told()
    part["contributions"] |= {"emap": None, "shares": {}, "pairs": []}
    part["contributions"]["shapley"]["empty"] = None
    part["missing"]["scores"] = [[None, None, None]] * 2
    words(part)


def test_the_section_stands_in_the_report_and_hostile_names_in_it_are_text(
    searched: Callable[..., Predictor],
    hostile: tuple[str, str],
    outline: Any,
    tmp_path: Path,
    visit: Callable[..., Any],
) -> None:
    name = hostile[0]
    known = told(compared=[model(name, "alone", ALONE), model(hostile[1], "fused", FUSED)], pretrained=list(hostile))
    known["contributions"]["shares"] = {name: {"photo": 1.0}}
    plain = searched()
    assert "fusion" not in [each.anchor for each in search_sections(plain)]
    facts = {**plain.facts, "modalities": known}
    sections = search_sections(searched(facts=facts))
    assert [each.anchor for each in sections][:2] == ["result", "fusion"]
    assert outline(page("t", sections, {})).safe()
    write_page(tmp_path / "page.html", "t", sections[1:2], {})
    seen = visit(tmp_path / "page.html", color_scheme="dark", viewport={"width": 320, "height": 5000})
    seen.page.wait_for_function("document.querySelectorAll('.canvas:has(.main-svg)').length === 5")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 320
    assert (seen.errors, seen.dialogs) == ([], [])


def test_a_metric_that_is_not_named_is_that_of_the_contributions_or_of_the_search(
    searched: Callable[..., Predictor],
) -> None:
    known = {name: each for name, each in told().items() if name not in ("metric", "greater_is_better")}
    known["contributions"]["greater_is_better"] = True
    section = modalities_section(predictor(known))
    assert section is not None
    assert "Fusion helps: test accuracy" in section.lead
    loss = [{**each, "test": {"log_loss": each["test"]["accuracy"]}} for each in known["compared"]]
    section = modalities_section(searched(facts={"modalities": {"inputs": known["inputs"], "compared": loss}}))
    assert section is not None
    assert "it harms: test log_loss" in section.lead


def test_a_predictor_that_may_rest_on_one_input_is_no_fusion_where_there_is_one() -> None:
    best = model("predictor", "predictor", (0.99, 0.98, 1.0))
    assert "for searched fusion" in verdict(told(compared=[*told()["compared"], best]))
    assert "for predictor" in verdict(told(compared=[told()["compared"][0], best]))


def test_of_a_single_input_it_is_told_what_missing_cells_do() -> None:
    known = {name: each for name, each in told(inputs=["table"], pretrained=[]).items() if name != "compared"}
    section = modalities_section(predictor(known))
    assert section is not None
    assert (section.anchor, section.lead, len(section.parts)) == ("missing", "", 1)
    assert modalities_section(predictor({**known, "missing": None})) is None

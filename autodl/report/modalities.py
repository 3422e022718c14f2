"""Does fusion help: each input alone, late and fused, what each brings, what they do together, what if one is gone."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autodl.report import _modality_figures as figures
from autodl.report._modality_figures import Interval, interval, written
from autodl.report._table import Heading, Plain, table
from autodl.report.page import Fragment, Part, Plot, Section
from autodl.report.style import clean, format_number, format_signed

if TYPE_CHECKING:
    from autodl.predictor import Predictor


def modalities_section(predictor: Predictor) -> Section | None:
    """The section, of a single input what happens where cells are missing; None where nothing of it is known."""
    known: Mapping[str, Any] | None = predictor.facts.get("modalities")
    if not known:
        return None
    told = _judged(known, predictor)
    rest: list[Part] = [*_missing(told), *_pretrained(told)]
    if len(told.get("inputs") or ()) > 1:
        parts = [*_compared(told), *_contributions(told), *rest]
        return Section("Does fusion help?", "fusion", parts, verdict(told)) if parts else None
    return Section("When cells go missing", "missing", rest) if rest else None


def _judged(known: Mapping[str, Any], predictor: Predictor) -> dict[str, Any]:
    """The same with the metric that all of it is told in: that of contributions, unless another is named."""
    for part in (known, known.get("contributions") or {}):
        if part.get("metric") is not None:
            return {**known, "metric": part["metric"], "greater_is_better": part["greater_is_better"]}
    board = predictor.leaderboard
    return {**known, "metric": board.metric, "greater_is_better": board.greater_is_better}


def verdict(told: Mapping[str, Any]) -> str:
    """Whether several inputs together are better than the best one alone, in words, on the part that says it best.

    Two models differ where each one's score lies outside of the other's 95 % interval.

    Args:
        told: ``facts["modalities"]`` of a predictor.
    """
    metric, better = told["metric"], bool(told["greater_is_better"])
    for part in ("test", "validation"):
        alone, fused, late = (_best(told, kind, part) for kind in ("alone", "fused", "late"))
        fused = fused or _best(told, "predictor", part)  # which may rest on one input alone
        if alone is not None and fused is not None:
            break
    else:
        return "Whether fusion helps is not known: a model of one input, or one of all, has no score."
    names = f"{part} {metric} {written(fused[1])} for {fused[0]}, {written(alone[1])} for {alone[0]}, the best of one"
    said = {
        1: f"Fusion helps: {names} input.",
        0: f"Whether fusion helps cannot be told from these rows: {names} input.",
        -1: f"Fusion does not help, it harms: {names} input.",
    }[_apart(fused[1], alone[1], better)]
    if late is not None and late[0] != fused[0]:
        how = {1: "better than", 0: "not to be told from", -1: "worse than"}[_apart(fused[1], late[1], better)]
        said += f" It is {how} {late[0]} at {written(late[1])}, which asks models of one input each."
    return clean(said + " Brackets hold 95 %.")


def _best(told: Mapping[str, Any], kind: str, part: str) -> tuple[str, Interval] | None:
    """Name and score of the model of a kind that validation rows say is best: test rows choose nothing."""
    metric, sign = told["metric"], 1 if told["greater_is_better"] else -1
    known = [
        (each, found)
        for each in told.get("compared") or ()
        if each["kind"] == kind and (found := interval(each, part, metric))
    ]
    if not known:
        return None

    def worth(pair: tuple[Mapping[str, Any], Interval]) -> tuple[bool, float]:
        seen = interval(pair[0], "validation", metric)
        return seen is not None, sign * (seen or pair[1])[0]

    each, found = max(known, key=worth)
    return str(each["name"]), found


def _apart(one: Interval, other: Interval, better: bool) -> int:
    """1 where one is better than the other beyond both intervals, -1 where it is worse, 0 where that cannot be told."""
    above = one[1] > other[0] and one[0] > other[2]
    below = one[2] < other[0] and one[0] < other[1]
    return (above - below) * (1 if better else -1)


def _compared(told: Mapping[str, Any]) -> Iterator[Plot | Fragment]:
    models, metric = told.get("compared") or [], told["metric"]
    if not any(interval(each, part, metric) for each in models for part in figures.PARTS):
        return
    parts = [part for part in ("test", "validation") if any(interval(each, part, metric) for each in models)]
    numbers = [Heading(f"{part} {what}", number=True) for part in parts for what in (metric, "low", "high")]
    lines: list[list[Plain]] = [
        [
            str(each["name"]),
            *(number for part in parts for number in interval(each, part, metric) or (None,) * 3),
            "" if each.get("trial") is None else str(each["trial"]),
            str(each.get("what") or ""),
        ]
        for each in models
    ]
    headings = [Heading("model"), *numbers, Heading("trial"), Heading("what", wide=True)]
    text = table(headings, lines, "Each input alone, and together", sortable=True)
    yield Plot.of(figures.compared(models, metric, bool(told["greater_is_better"])), text)


def _contributions(told: Mapping[str, Any]) -> Iterator[Plot | Fragment]:
    found = told.get("contributions")
    if not found:
        return
    inputs, metric, rows = found["inputs"], found["metric"], found["rows"]
    score = found.get("shapley") or {}
    if score.get("empty") is not None and score.get("full") is not None:
        ends = score.get("intervals") or {}
        headings = [Heading("input"), *(Heading(name, number=True) for name in ("value", "low", "high"))]
        lines = [[name, value, *(ends.get(name) or (None, None))] for name, value in score["values"].items()]
        text = table(headings, lines, f"Shapley values of {metric}")
        yield Plot.of(figures.shapley(score, metric, rows), text, half=True)
    if found.get("shares"):
        headings = [Heading("class"), *(Heading(name, number=True) for name in inputs)]
        lines = [[label, *(parts.get(name) for name in inputs)] for label, parts in found["shares"].items()]
        text = table(headings, lines, "Part of each input in the predictions", sortable=True)
        yield Plot.of(figures.shares(found["shares"], inputs, rows), text, half=True)
    known = [each for each in found.get("pairs") or [] if each[2] is not None]
    if len(known) > 1:
        headings = [Heading("input"), Heading("with"), Heading("interaction", number=True)]
        yield Plot.of(
            figures.pairs(known, inputs, metric), table(headings, known, f"Interactions in {metric}"), half=True
        )
    said = [*_pair_words(known, metric), *_additive_words(found.get("emap"), metric)]
    if said:
        yield Fragment("".join(f"<p>{html.escape(clean(each))}</p>" for each in said), half=len(known) > 1)


def _pair_words(known: Sequence[Sequence[Any]], metric: str) -> Iterator[str]:
    """The one pair there is, where a matrix would be a waste."""
    if len(known) == 1:
        one, other, value = known[0]
        kind = (
            "they complete each other"
            if value > 0
            else "they tell the same in part"
            if value < 0
            else "each for itself"
        )
        yield f"{one} and {other} together change {metric} by {format_signed(value)} beyond each alone: {kind}."


def _additive_words(emap: Mapping[str, Any] | None, metric: str) -> Iterator[str]:
    """What interactions are worth, beside the best model without any."""
    if not emap or emap.get("value") is None:
        return
    low, high = emap.get("low"), emap.get("high")
    span = "" if low is None or high is None else f" ({format_signed(low)} to {format_signed(high)})"
    doubt = ", which cannot be told from nothing" if low is not None and high is not None and low <= 0 <= high else ""
    yield (
        f"Interactions between inputs are worth {format_signed(emap['value'])}{span} of {metric}{doubt}: the predictor "
        f"has {format_number(emap['full'])} on {emap['rows']:,} test rows, and {format_number(emap['additive'])} where "
        "each input may only add to what the others say (empirical multimodally-additive projection)."
    )
    if emap.get("interaction") is not None:
        yield f"Interactions are {emap['interaction']:.1%} of what predictions differ in."


def _missing(told: Mapping[str, Any]) -> Iterator[Plot]:
    found = told.get("missing")
    metric = (found or {}).get("metric", told["metric"])
    if found and any(None not in each for each in found["scores"]):
        headings = [
            Heading("share gone", number=True),
            *(Heading(name, number=True) for name in (metric, "low", "high")),
        ]
        lines = [[share, *scores] for share, scores in zip(found["shares"], found["scores"], strict=True)]
        yield Plot.of(figures.missing(found, metric), table(headings, lines, f"{metric} as cells go missing"))


def _pretrained(told: Mapping[str, Any]) -> Iterator[Fragment]:
    """What weights that came from elsewhere bring."""
    sentences: Sequence[str] = told.get("pretrained") or ()
    if sentences:
        listed = "".join(f"<li>{html.escape(clean(each))}</li>" for each in sentences)
        yield Fragment(f"<h3>What weights from elsewhere bring</h3><ul>{listed}</ul>")

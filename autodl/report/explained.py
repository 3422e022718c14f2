"""The page on some predictions: what they rest on, how sure that is, what if, how good the model is, the search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from autodl.explaining.explanation import Explanation
from autodl.explaining.findings import Findings, in_view
from autodl.explaining.players import OTHERS
from autodl.report import _tables, effects, quality, whole
from autodl.report._cells import column, is_sound, is_table, row_name
from autodl.report._row import Seen, of_rows, row_parts, shares
from autodl.report.judged import judged_section
from autodl.report.page import Fragment, Part, Plot, Section, Select, write_page
from autodl.report.search import facts, search_sections
from autodl.report.sounds import PAGE_BYTES
from autodl.report.style import caption, escape, format_number, quantity, themed
from autodl.report.what_if import what_if

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from torch import Tensor

    from autodl.predictor import Predictor

COLUMNS_DRAWN = 8
"""Columns whose dependence can be chosen."""
PANEL_BYTES, PANEL_SECONDS = 3_000_000, 1.0
"""Size of a network that answers in the page, and time for answers that are worked out before where it is larger."""
SEGMENTS_DIFFER = (
    "Segments, words and moments are those of one row each, and are not compared over rows: here those of one column "
    "count together. Row by row shows each."
)
WHAT = {
    "permutation": "what errors rest on",
    "interactions": "what pairs of columns do beyond each alone",
    "curves": "the effect of single columns",
    "counterfactual": "the nearest change with another answer",
    "influence": "the training rows that a prediction rests on",
    "heat": "the class activation maps",
    "quality": "how good the explanation is",
}


def write_explanation(predictor: Predictor, findings: Findings, path: Path) -> int:
    """Write the page and return its size in bytes.

    Args:
        predictor: Whose predictions they are.
        findings: What was found.
        path: The file.

    Raises:
        RunError: The disk is full, or the place cannot be written.
    """
    explanation = findings.explanation
    title = f"What {quantity(explanation)} rests on" if len(explanation.outputs) == 1 else "What predictions rest on"
    told = {
        "Rows": f"{len(explanation):,}",
        "Method": explanation.explainer,
        "Against": explanation.baseline_words,
        **facts(predictor),
    }
    return write_page(path, f"{title}: {predictor.task.target}", sections(predictor, findings), told)


def sections(predictor: Predictor, findings: Findings) -> list[Section]:
    """The chapters, in their order."""
    first, *others = search_sections(predictor)
    found = [
        first,
        _importance(findings),
        _effects(findings),
        _rows(predictor, findings),
        _what_if(predictor, findings.explanation),
        _quality(findings),
        judged_section(predictor),
        *others,
    ]
    return [section for section in found if section is not None]


def _importance(findings: Findings) -> Section:
    """What matters over all rows, for each output."""
    explanation = findings.explanation
    parts: list[Part] = [_by_output(explanation, _importance_of)]
    if len(explanation.outputs) > 2 and explanation.question.players.names and not explanation.question.players.own:
        parts.append(Plot.of(whole.classes(explanation)))
    if findings.permutation is not None:
        parts.append(Plot.of(_errors(findings.permutation)))
    if findings.interactions is not None:
        parts.append(Plot.of(whole.interaction_matrix(findings.interactions)))
    parts += [*_reasons(findings, "permutation"), *_reasons(findings, "interactions")]
    lead = (
        "Each prediction is shared out among the columns, against what the predictor says of training rows. Bars are "
        "mean sizes over the explained rows; each point below is one row."
    )
    return Section("What matters", "importance", parts, lead)


def _errors(permutation: Explanation) -> go.Figure:
    """What shuffling a column costs."""
    figure = whole.importance(permutation)
    title = "What errors rest on: how the loss rises where a column is shuffled"
    figure.update_layout(meta={**figure.layout.meta, "title": title, "alt": title})
    return figure.update_xaxes(title_text="rise of the mean loss")


def _importance_of(explanation: Explanation) -> Iterator[Part]:
    if not explanation.attribution.values.shape[1]:
        yield Fragment(f"<p>{escape(explanation.explainer)} speaks of no columns: see row by row.</p>")
        return
    if explanation.question.players.own:
        yield Fragment(_tables.importance(explanation) + f"<p>{SEGMENTS_DIFFER}</p>")
    else:
        yield Plot.of(whole.importance(explanation), _tables.importance(explanation))
    if len(explanation) > 1 and of_rows(explanation) and not explanation.question.players.own:
        yield Plot.of(whole.beeswarm(explanation))
    if explanation.attribution.interactions is not None:
        yield Plot.of(whole.interaction_matrix(explanation))


def _effects(findings: Findings) -> Section | None:
    """What the value of one column does."""
    explanation = findings.explanation
    options: list[tuple[str, list[Plot | Fragment]]] = []
    drawn = explanation if "curves" in explanation.attribution.found else findings.curves
    curves = drawn.attribution.found["curves"] if drawn else {}
    for name in list(explanation.importance().index[:COLUMNS_DRAWN]):
        parts: list[Plot | Fragment] = []
        shared = name in explanation.players and column(explanation, str(name)) is not None
        if shared and len(explanation) > 1 and of_rows(explanation):
            parts.append(Plot.of(whole.dependence(explanation, str(name)), half=True))
        if drawn is not None and name in curves and name != OTHERS:
            parts.append(Plot.of(effects.partial_dependence(drawn, str(name)), half=True))
        if parts:
            options.append((str(name), parts))
    reasons = _reasons(findings, "curves")
    if not options and not reasons:
        return None
    lead = "One column at a time: its share in each row's prediction, and what the prediction would be at other values."
    chosen: list[Part] = [Select("Column", options)] if options else []
    return Section("What a column does", "effects", [*chosen, *reasons], lead)


def _rows(predictor: Predictor, findings: Findings) -> Section:
    """Row by row: shares, images, texts, sounds, the nearest other answer, training rows."""
    explanation, ensemble = findings.explanation, predictor.subject.ensemble
    inputs = {key: name for member in ensemble.members for name, key in member.keys.items()}
    columns = {spec.columns for key, spec in explanation.question.specs.items() if is_sound(explanation, key)}
    room = PAGE_BYTES // max(1, len(columns) * len(findings.shown))
    options = []
    for row in map(int, findings.shown):
        seen = Seen(explanation.of(in_view(explanation, row)), row, ensemble.modalities, inputs, room)
        name = f"row {row_name(explanation, row)}: {seen.explanation.output} "
        name += format_number(seen.explanation.predicted[row])
        options.append((name, list(row_parts(findings, seen))))
    reasons = [each for name in ("counterfactual", "influence", "heat") for each in _reasons(findings, name)]
    lead = (
        "From what the predictor says on average to what it says of this row: columns, places of an image, words and "
        "moments of a sound, all in one unit. Orange raises, blue lowers."
    )
    return Section("Row by row", "rows", [Select("Row", options), *reasons], lead)


def _what_if(predictor: Predictor, explanation: Explanation) -> Section:
    """The panel, for tables."""
    columns = [column for column in predictor.schema if column.name in explanation.rows.columns]
    ensemble = predictor.subject.ensemble
    tables = {key: ensemble.modalities[key] for key in explanation.question.names if is_table(explanation, key)}

    def transform(frame: pd.DataFrame) -> dict[str, Tensor]:
        return {key: modality.transform(frame).values for key, modality in tables.items()}

    panel = what_if(explanation, transform, columns, limit_bytes=PANEL_BYTES, seconds=PANEL_SECONDS)
    lead = "Change a row and see what the predictor answers. An answer is what it says, not what would happen."
    return Section("What if", "what-if", [Fragment(panel.html)], lead)


def _quality(findings: Findings) -> Section:
    """Measures beside those of a random explanation, and the curve of taking columns away."""
    explanation = findings.explanation
    parts: list[Part] = []
    if findings.quality:
        parts.append(Fragment(_tables.measures(findings.quality)))
    if any(each.name == "deletion" and each.curve for each in findings.quality):
        parts.append(Plot.of(quality.deletion(explanation, findings.quality)))
    text = f"<p>{escape(caption(explanation))}</p>"
    lead = "No better than a random explanation is worth nothing: each measure stands beside what a random one gets."
    return Section(
        "How good this explanation is", "quality", [*parts, *_reasons(findings, "quality"), Fragment(text)], lead
    )


def _by_output(explanation: Explanation, parts: Callable[[Explanation], Iterator[Part]]) -> Part:
    """The same figures for each output, the one in view first."""
    order = [explanation.focus, *(each for each in range(len(explanation.outputs)) if each != explanation.focus)]
    options = [(explanation.outputs[each], list(parts(explanation.of(each)))) for each in order]
    return Select("Output", options)  # type: ignore[arg-type]


def _reasons(findings: Findings, name: str) -> Sequence[Fragment]:
    """Why something is not here."""
    reason = findings.left_out.get(name)
    if reason is None:
        return []
    return [Fragment(f'<p class="left-out">Left out: {WHAT[name]} ({escape(reason)}).</p>')]


def figures(findings: Findings) -> dict[str, go.Figure]:
    """The figures that go out as pictures, by file name."""
    explanation = findings.explanation
    found = {}
    if explanation.attribution.values.shape[1] and not explanation.question.players.own:
        found["importance"] = whole.importance(explanation)
    if len(explanation) > 1 and of_rows(explanation) and not explanation.question.players.own:
        found["beeswarm"] = whole.beeswarm(explanation)
    for row in findings.shown if of_rows(explanation) else ():
        found[f"row-{row}"] = shares(explanation.of(in_view(explanation, int(row))), int(row))
    return {name: themed(figure) for name, figure in found.items()}

"""All that a page tells of one row: its inputs side by side, then each in its own way, on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from autodl.errors import ExplanationError
from autodl.explaining.explanation import Explanation
from autodl.explaining.findings import Findings
from autodl.report import _tables, images, rows, sounds, words
from autodl.report._cells import is_picture, is_sound, is_text, row_name
from autodl.report.page import Fragment, Plot
from autodl.report.style import caption, escape, quantity

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, eq=False)
class Seen:
    """One row, explained, with what is needed to show its cells.

    Attributes:
        explanation: The output in view is the one that the row is told of.
        row: Its position.
        modalities: Fitted ones by view.
        inputs: View → the input that it is a view of.
        most_bytes: Room for each of its sounds.
    """

    explanation: Explanation
    row: int
    modalities: Mapping[str, Any]
    inputs: Mapping[str, str]
    most_bytes: int = sounds.PAGE_BYTES

    @property
    def limit(self) -> float:
        """The largest share of the row, which has the full colour everywhere."""
        return float(np.abs(np.nan_to_num(self.explanation.values.iloc[self.row].to_numpy())).max(initial=0.0))

    @property
    def shared(self) -> bool:
        """Whether the row has shares of its own."""
        return of_rows(self.explanation)

    def views(self, kind: Any) -> dict[str, list[str]]:
        """Column → its views of one kind that are not missing in this row."""
        found: dict[str, list[str]] = {}
        question = self.explanation.question
        for key in question.names:
            if kind(self.explanation, key) and not bool(question.inputs[key][self.row].isnan().any()):
                found.setdefault(question.specs[key].columns[0], []).append(key)
        return found

    def groups(self) -> dict[str, list[int]]:
        """Input → positions of the players that have a part in it; each player counts once."""
        players, found = self.explanation.question.players, dict[str, list[int]]()
        taken: set[int] = set()
        for key in self.explanation.question.names:
            index = players.rows(key)[self.row if players.own else 0]
            mine = sorted(set(index.flatten().tolist()) - taken)
            taken |= set(mine)
            found.setdefault(self.inputs.get(key, key), []).extend(mine)
        return {name: members for name, members in found.items() if members}


def of_rows(explanation: Explanation) -> bool:
    """Whether each row has shares of its own: not where all get one answer, nor where players are not spoken of."""
    values = explanation.attribution.values
    return len(values) == len(explanation) and values.shape[1] > 0


def shares(explanation: Explanation, row: int, written: Mapping[str, str] | None = None) -> go.Figure:
    """From the mean to the prediction, where values sum to it; else their sizes side by side."""
    draw = rows.bars if explanation.completeness_gap is None else rows.waterfall
    return draw(explanation, row, written=written)


def row_parts(findings: Findings, seen: Seen) -> Iterator[Plot | Fragment]:
    """Shares, pictures, texts and sounds of one row, the nearest other answer, training rows."""
    told, row = seen.explanation, seen.row
    if seen.shared:
        groups = seen.groups()
        if len(groups) > 1:
            yield Plot.of(rows.inputs(told, row, groups))
        yield Plot.of(shares(told, row, _written(seen)))
    for keys in seen.views(is_picture).values():
        yield from _picture(findings, seen, min(keys, key=lambda key: images.is_mapped(told, key)))
    if seen.shared:
        for column, keys in seen.views(is_text).items():
            yield from _text(seen, column, keys)
        for column, keys in seen.views(is_sound).items():
            yield from _sound(seen, column, keys[0])
    if findings.counterfactual is not None and (answer := findings.counterfactual.of(row)) is not None:
        yield from _tables.counterfactual(*answer)
    if findings.influence is not None and (answer := findings.influence.of(row)) is not None:
        sizes = told.values.iloc[row] if seen.shared else told.values.mean()
        order = sizes.abs().sort_values(ascending=False).index
        yield _tables.influence(*answer, list(order) + list(told.rows.columns.difference(order, sort=False)))


def _picture(findings: Findings, seen: Seen, key: str) -> Iterator[Plot | Fragment]:
    try:
        yield Plot.of(images.original(seen.explanation, seen.row, key), half=True)
        if seen.shared:
            yield Plot.of(images.overlay(seen.explanation, seen.row, key, limit=seen.limit), half=True)
        told = None if findings.heat is None else findings.heat.of(seen.row)
        if told is not None and key in told[0].question.specs:
            yield Plot.of(images.overlay(*told, key, outline=False), half=True)
    except ExplanationError as error:  # the file is gone, or cannot be read
        yield Fragment(f'<p class="left-out">{escape(error)}</p>', half=True)


def _pieces(seen: Seen, column: str, keys: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    """A text and where each view's tokens stand in it; None where the row has no text."""
    cell = seen.explanation.rows[column].iloc[seen.row]
    if not isinstance(cell, str):
        return None
    return cell, {key: seen.modalities[key].pieces(cell) for key in keys if hasattr(seen.modalities.get(key), "pieces")}


def _written(seen: Seen) -> dict[str, str]:
    """What each word is, by its player."""
    found = {}
    for column, keys in seen.views(is_text).items():
        if told := _pieces(seen, column, keys):
            for owner, parts in words.places_of(seen.explanation, seen.row, *told).items():
                found[seen.explanation.players[owner]] = told[0][parts[0][0] : parts[-1][1]]
    return found


def _text(seen: Seen, column: str, keys: Sequence[str]) -> Iterator[Fragment]:
    told, read = seen.explanation, _pieces(seen, column, keys)
    if read is None:
        return
    cell, found = read[0], words.words_of(told, seen.row, *read)
    one = told.question.players.own or told.attribution.entries is None
    limit = seen.limit if one else max((abs(each.value) for each in found), default=0.0)
    title = f"Row {row_name(told, seen.row)}: what each word of {column} brings"
    about = {"title": title, "what": quantity(told), "note": caption(told)}
    yield Fragment(words.highlighted(cell, found, limit, **about))


def _sound(seen: Seen, column: str, key: str) -> Iterator[Plot | Fragment]:
    told, cell = seen.explanation, seen.explanation.rows[column].iloc[seen.row]
    modality, name = seen.modalities[key], f"{column} of row {row_name(told, seen.row)}"
    wave = modality.waveform(cell) if hasattr(modality, "waveform") else None
    if wave is None:
        yield Fragment(f'<p class="left-out">{escape(name)} cannot be read any more, and is not drawn.</p>')
        return
    sound = sounds.Sound(wave[0], wave[1], sounds.stored(told, seen.row, key), modality.seconds_per_frame)
    player = sounds.player(sound, name, seen.most_bytes)
    yield Plot.of(sounds.coloured(told, seen.row, key, sound, seen.limit), below=player)

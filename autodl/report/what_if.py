"""What if this cell were another: a panel whose sliders change a row, and in which the network itself answers.

A small network runs in the page, by its own steps; of anything else the panel holds answers that were worked out
beforehand, for one changed column at a time, and says so.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from autodl.attribution import Question
from autodl.explaining.ask import evaluate, untouched
from autodl.explaining.explanation import Explanation
from autodl.records import Column
from autodl.report._controls import (
    Control,
    Transform,
    assembled,
    changed,
    controls_for,
    one_at_a_time,
    own_positions,
    transformed,
)
from autodl.report._export import Refusal, export
from autodl.report._tape import packed
from autodl.report.style import clean, format_value

if TYPE_CHECKING:
    import pandas as pd

HERE = Path(__file__).parent
PROBES = 12
"""Rows changed by chance whose answers the page must find again before it lets a reader change any."""
SECONDS = 5.0


@dataclass(frozen=True)
class Panel:
    """The panel as HTML that holds all it needs, scripts and styles included.

    Attributes:
        html: For ``autodl.report.page.Fragment``.
        live: Whether the network answers in the page.
        reason: Why it does not; empty where it does.
        rows: How many rows can be chosen.
    """

    html: str
    live: bool
    reason: str = ""
    rows: int = 0


def what_if(
    explanation: Explanation,
    transform: Transform,
    columns: Sequence[Column],
    *,
    limit_bytes: int = 1_500_000,
    rows: int = 10,
    seconds: float = SECONDS,
) -> Panel:
    """Return the panel for the first of the explained rows.

    Args:
        explanation: Its question's model answers.
        transform: Rows of the user's table → what the model sees, row by row; inputs that no number, category, boolean
            or date changes may be left out, and are best so where they are dear.
        columns: What the table's columns are.
        limit_bytes: Size of the network, or of the answers, as text.
        rows: Rows to choose from at most.
        seconds: Wall time for answers that are worked out beforehand, where the network cannot answer; one row's are
            in any case.
    """
    scene = _Scene.of(explanation, transform, columns, rows)
    if not scene.controls:
        said = (
            "No number, category, boolean or date takes more than one value here, so that there is nothing to change."
        )
        return Panel(f'<p class="what-if-none">{said}</p>', False, said)
    with untouched(explanation.question.model, explanation.question.seed):
        network = scene.network(limit_bytes)
        reason = network if isinstance(network, str) else ""
        extra = scene.curves(limit_bytes, seconds) if isinstance(network, str) else network
        data = {**scene.facts(), **extra, "reason": reason, "spans": scene.spans()}
    data["rows"] = data["rows"][: len(data.get("curves", data["rows"]))]
    return Panel(what_if_html(data), not reason, reason, len(data["rows"]))


def what_if_html(data: Mapping[str, Any]) -> str:
    """The block: data as JSON that no string in it can end, then style and scripts as the files are."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    scripts = "".join(f"<script>{_own(name)}</script>" for name in ("tape.js", "what_if.js"))
    return (
        f'<style>{_own("what_if.css")}</style><div class="what-if"><p>This panel is drawn by JavaScript.</p>'
        f'<script type="application/json">{text}</script></div>{scripts}'
    )


@dataclass(frozen=True, eq=False)
class _Scene:
    """The rows that can be changed, and all that is asked of them."""

    explanation: Explanation
    transform: Transform
    frame: pd.DataFrame
    controls: Sequence[Control]
    inputs: Mapping[str, Tensor]

    @classmethod
    def of(cls, explanation: Explanation, transform: Transform, columns: Sequence[Column], rows: int) -> _Scene:
        frame = explanation.rows.iloc[:rows]
        controls = controls_for(frame, explanation.background, transform, columns)
        scene = cls(explanation, transform, frame, _by_weight(explanation, controls), {})
        return cls(explanation, transform, frame, scene.controls, scene.at(slice(rows), transformed(frame, transform)))

    @property
    def question(self) -> Question:
        return self.explanation.question

    def at(self, row: slice, seen: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All inputs: as they are transformed, or else those of the explained rows."""
        count = len(next(iter(seen.values()))) if seen else len(self.frame)
        given = {name: x[row] for name, x in self.question.inputs.items()}
        return {name: seen[name].to(x) if name in seen else x.expand(count, *x.shape[1:]) for name, x in given.items()}

    def answers(self, row: int, positions: np.ndarray) -> tuple[dict[str, Tensor], np.ndarray]:
        """What the model sees and says of a row that is changed. Shape: changes controls → …, changes outputs."""
        frame = changed(self.frame.iloc[row : row + 1], self.controls, positions)
        inputs = self.at(slice(row, row + 1), transformed(frame, self.transform))
        return inputs, self._said(inputs)

    def facts(self) -> dict[str, Any]:
        """What both kinds of panel show."""
        told, said = self.explanation, self._said(self.inputs)
        names = [format_value(name) for name in self.frame.index]
        rows = [
            {"name": name, "answer": answer, "current": own_positions(self.controls, at).tolist(), "truth": truth}
            for at, (name, answer, truth) in enumerate(zip(names, said.tolist(), self._truth(), strict=True))
        ]
        return {
            "target": clean(told.target),
            "quantity": told.quantity,
            "outputs": [clean(name) for name in told.outputs],
            "focus": told.focus,
            "rows": rows,
            "controls": [_control_facts(control) for control in self.controls],
        }

    def spans(self) -> list[list[float]]:
        """Between which numbers each output usually lies."""
        if self.explanation.quantity == "probability":
            return [[0.0, 1.0]] * len(self.explanation.outputs)
        both = np.concatenate([self._said(self.question.background), self._said(self.inputs)])
        return [[float(low), float(high)] for low, high in zip(both.min(0), both.max(0), strict=True)]

    def network(self, limit_bytes: int) -> dict[str, Any] | str:
        """The network and what it is checked by; or why it cannot answer in the page."""
        model = self.question.model
        if not isinstance(model, nn.Module):
            return "what answers is no torch network, or not that alone (trees, neighbours)"
        probes = self._probes()
        if isinstance(probes, str):
            return probes
        free = sorted({name for control in self.controls for name in control.entries})
        if not free:
            return "no column that can be changed reaches the network"
        tape = export(model, self.inputs, free=free, limit_bytes=limit_bytes)
        if isinstance(tape, Refusal):
            return tape.reason
        bases = {name: [packed(row) for row in self.inputs[name].flatten(1).cpu().numpy()] for name in tape.inputs}
        features = [
            {name: [control.entries[name].tolist(), packed(control.features[name])] for name in sorted(control.entries)}
            for control in self.controls
        ]
        picks = [each.target for each in self.explanation.attributions]
        return {"tape": tape.to_json(), "bases": bases, "features": features, "picks": picks, "probes": probes}

    def curves(self, limit_bytes: int, seconds: float) -> dict[str, Any]:
        """Each row's answers to one changed column at a time, for as many rows as room and time bear."""
        found: list[str] = []
        started, size = time.monotonic(), 0
        for row in range(len(self.frame)):
            if found and (size * (row + 1) > limit_bytes * row or time.monotonic() - started > seconds):
                break
            _, said = self.answers(row, one_at_a_time(self.controls, own_positions(self.controls, row)))
            found.append(packed(said))
            size += len(found[-1])
        return {"curves": found}

    def _probes(self) -> list[dict[str, Any]] | str:
        """Rows changed by chance with their answers, if the page can put together what the model sees of them."""
        generator = np.random.default_rng(self.question.seed)
        found = []
        for probe in range(PROBES):
            row = probe % len(self.frame)
            own = own_positions(self.controls, row)
            drawn = generator.integers([len(control) for control in self.controls])
            positions = np.where(generator.random(len(own)) < 0.5, drawn, own)
            seen, said = self.answers(row, positions[None])
            mine = assembled({name: x[row] for name, x in self.inputs.items()}, self.controls, positions)
            if any(
                not np.array_equal(mine[name], x.flatten().cpu().numpy(), equal_nan=True) for name, x in seen.items()
            ):
                return "what the network sees of one column hangs on other columns"
            found.append({"row": row, "positions": positions.tolist(), "answer": said[0].tolist()})
        return found

    def _said(self, inputs: Mapping[str, Tensor]) -> np.ndarray:
        """The explained outputs. Shape: {input: rows *shape} → rows outputs."""
        targets = torch.tensor([each.target for each in self.explanation.attributions])
        return evaluate(self.question, inputs).double().cpu()[:, targets].numpy()

    def _truth(self) -> list[str]:
        """What was really so, in words; empty where that is not known, or is another number for each output."""
        told = self.explanation
        several = told.truth is not None and np.ndim(told.truth) != 1
        found = [None if several else told.true(row) for row in range(len(self.frame))]
        return ["" if each is None else clean(each) if isinstance(each, str) else format_value(each) for each in found]


def _by_weight(explanation: Explanation, controls: Sequence[Control]) -> list[Control]:
    """The columns with the largest values first."""
    values = explanation.attribution.values.double().abs().nan_to_num().mean(0).tolist()
    weights = dict(zip(explanation.players, values, strict=False))
    return sorted(controls, key=lambda control: -weights.get(control.column, 0.0))


def _control_facts(control: Control) -> dict[str, Any]:
    return {
        "column": clean(control.column),
        "kind": control.kind,
        "labels": list(control.labels),
        "numbers": [None if number != number else number for number in control.numbers],
        "missing": control.missing,
    }


@functools.cache
def _own(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")

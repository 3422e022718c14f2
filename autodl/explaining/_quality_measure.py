"""One measure of an explanation, as it is told."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from autodl.explaining._quality_game import Found


@dataclass(frozen=True, eq=False)
class Measure:
    """One measure of an explanation.

    Attributes:
        name: What is measured.
        value: Mean over those rows for which it is defined.
        random: The same of random explanations: as a rule, the rows' own values dealt out by chance.
        error: Standard error of ``value`` over rows; NaN with one row.
        greater_is_better: Its direction; random explanations are judged by the same.
        about: What it says, in a sentence.
        rows: ``(rows,)``: each row's; NaN where it is not defined, as a correlation is not for a single player.
        curve: To draw: ``share`` of what was taken away (or forgotten), the mean of the ``explanation`` there and of
            ``random`` ones; ``outputs``: each row's, as the model says them.
    """

    name: str
    value: float
    random: float
    error: float
    greater_is_better: bool
    about: str
    rows: Tensor | None = None
    curve: dict[str, Tensor] | None = None


def measured(name: str, found: Found, greater_is_better: bool, about: str) -> Measure:
    """Means over those rows for which there is a value, and their error."""
    rows = found.rows.detach().double().cpu()
    held = rows[~rows.isnan()]
    error = float(held.std() / len(held) ** 0.5) if len(held) > 1 else float("nan")
    random = found.random.detach().double().cpu()
    curve = {key: each.detach().cpu() for key, each in found.curve.items()}
    return Measure(
        name, float(held.mean()), float(random.nanmean()), error, greater_is_better, about, rows, curve or None
    )

"""What a page on some predictions tells: the explanation, and all that was found beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from autodl.attribution import Quantity
from autodl.explaining.explanation import Explanation
from autodl.explaining.quality import Measure


@dataclass(frozen=True, eq=False)
class Told:
    """What one method says of the shown rows, each about one output: the class that is said of it, or the one in view.

    Attributes:
        parts: Output → the answer, and the positions of its rows among all that are explained.
    """

    parts: Mapping[int, tuple[Explanation, np.ndarray]]

    def of(self, row: int) -> tuple[Explanation, int] | None:
        """The answer about a row and the row's place in it; None where there is none."""
        for found, rows in self.parts.values():
            if row in rows:
                return found, int(np.flatnonzero(rows == row)[0])
        return None

    def noted(self, notes: tuple[str, ...], quantity: Quantity) -> Told:
        """The same answers with further notes, about a quantity of their own."""
        parts = {}
        for output, (found, rows) in self.parts.items():
            each = tuple(replace(one, notes=(*one.notes, *notes)) for one in found.attributions)
            parts[output] = replace(found, attributions=each, quantity=quantity), rows
        return Told(parts)


@dataclass(eq=False)
class Findings:
    """What was found beside the explanation; what is None was left out, and ``left_out`` says why.

    Attributes:
        explanation: The explanation itself.
        shown: Positions of the rows that are told one by one.
        permutation: Whose shuffling costs how much.
        interactions: What pairs of the columns that matter most do beyond each alone.
        curves: Partial dependence of the columns that matter most.
        counterfactual: Of the shown rows, each about the output that it is told of.
        influence: Likewise, on the training rows in its background.
        heat: Likewise, Grad-CAM of their images.
        quality: Measures of the explanation.
        left_out: What is missing → the reason.
    """

    explanation: Explanation
    shown: np.ndarray
    permutation: Explanation | None = None
    interactions: Explanation | None = None
    curves: Explanation | None = None
    counterfactual: Told | None = None
    influence: Told | None = None
    heat: Told | None = None
    quality: Sequence[Measure] = ()
    left_out: dict[str, str] = field(default_factory=dict)


def in_view(explanation: Explanation, row: int) -> int:
    """The output that a row is told of: the class that is said of it, where all are explained, else the one in view."""
    if len(explanation.outputs) < 2 or not explanation.classes:
        return explanation.focus
    return int(np.argmax([explanation.of(each).predicted[row] for each in range(len(explanation.outputs))]))

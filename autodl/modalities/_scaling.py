"""One column of numbers → numbers of a size that networks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

LARGEST = 1e100  # larger numbers count as this one, so that no difference and no square overflows
LIMIT = 1000.0  # a scaled number stays within ± this
NOISE = 1e-5  # in standard deviations
RANKS = (1e-7, 1 - 1e-7)  # ranks mapped to ±5.2


@dataclass(frozen=True, eq=False)
class Scaler:
    """A monotone map that puts the middle of the training numbers at 0, where missing ones go too.

    Attributes:
        kind: ``robust``: (x - median) / interquartile range, then the smooth clip x / √(1 + (x/3)²), which stays
            within ±3; where the interquartile range is 0, half the whole range divides instead.
            ``quantile``: rank among the training numbers, blurred by a little noise so that ties get their middle
            rank, then the normal distribution's quantile of it, within ±5.2.
            ``standard``: (x - mean) / standard deviation.
        center: What becomes 0, for ``robust`` and ``standard``.
        divisor: What becomes 1; 0 where the training numbers are all alike or missing: then everything becomes 0.
        quantiles: The training numbers at evenly spaced ranks, for ``quantile``.

    Reference:
        ``robust``: Holzmüller, Grinsztajn, Steinwart: Better by Default, arXiv 2407.04491, section 3.1.
        ``quantile``: Gorishniy, Rubachev, Khrulkov, Babenko: Revisiting Deep Learning Models for Tabular Data,
        arXiv 2106.11959; number of quantiles as in Gorishniy, Kotelnikov, Babenko: TabM, arXiv 2410.24210.
    """

    kind: str
    center: float = 0.0
    divisor: float = 0.0
    quantiles: np.ndarray = field(default_factory=lambda: np.empty(0))

    @classmethod
    def fit(cls, kind: str, values: np.ndarray, generator: np.random.Generator) -> Scaler:
        """Learn from training numbers; those that are not finite count as missing. Shape of ``values``: rows."""
        known = np.clip(values[np.isfinite(values)], -LARGEST, LARGEST)
        if not known.size or known.min() == known.max():
            return cls(kind)
        if kind == "robust":
            low, median, high = np.quantile(known, [0.25, 0.5, 0.75])
            return cls(kind, float(median), float(high - low or (known.max() - known.min()) / 2))
        mean, deviation = float(known.mean()), float(known.std())
        if kind == "standard":
            return cls(kind, mean, deviation)
        count = int(np.clip(len(values) / 30, 10, 1000))
        noisy = known + NOISE * deviation * generator.standard_normal(known.size)
        return cls(kind, mean, deviation, np.quantile(noisy, np.linspace(0, 1, count)))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Scale; what is missing or infinite becomes 0. Shape: rows → rows."""
        known = np.isfinite(values)
        if self.divisor == 0:
            return np.zeros(len(values))
        safe = np.clip(np.where(known, values, self.center), -LARGEST, LARGEST)
        if self.kind == "quantile":
            ranks = np.interp(safe, self.quantiles, np.linspace(0, 1, len(self.quantiles)))
            scaled = torch.special.ndtri(torch.from_numpy(np.clip(ranks, *RANKS))).numpy()
        else:
            with np.errstate(over="ignore"):  # a tiny divisor; the limit takes care of it
                scaled = np.clip((safe - self.center) / self.divisor, -LIMIT, LIMIT)
            if self.kind == "robust":
                scaled /= np.sqrt(1 + (scaled / 3) ** 2)
        return np.where(known, scaled, 0.0)

    def state(self) -> dict[str, Any]:
        """JSON-able values and arrays."""
        state: dict[str, Any] = {"kind": self.kind, "center": self.center, "divisor": self.divisor}
        return {**state, "quantiles": self.quantiles} if len(self.quantiles) else state

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Scaler:
        """Rebuild from ``state``'s data."""
        return cls(**state)

"""Numbers, booleans, categories and dates as one vector of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from autodl.contracts import Modality
from autodl.modalities._columns import KINDS, ColumnEncoder
from autodl.modalities._relevance import bin_codes, goals
from autodl.records import Column, InputSpec, Schema, Stored, Task, column_names
from autodl.space import Choice, Space

if TYPE_CHECKING:
    import pandas as pd

LEVELS = np.linspace(0, 1, 129)  # of InputSpec.quantiles
RELEVANCE_ROWS = 2000  # training rows that mutual information is counted on
FEATURES_AT_ONCE = 256  # sorted together for quantiles, which bounds the memory


class Tabular(Modality):
    """All columns of numbers, booleans, categories and dates, as the one input ``table``.

    A column's features stand side by side, the columns in their order:

    * number: the scaled number; ``x: missing`` where training cells were missing. A missing, infinite or broken cell
      is the centre, 0.
    * boolean: 0 or 1 less the training mean; ``x: missing`` as above.
    * category: one-hot of the most frequent categories with at least three training rows; ``x: other`` for all others,
      those never seen included; ``x: missing``. Without such training cells there is no such feature: all are 0.
    * date: the scaled age in days before the newest training date; sine and cosine of month, weekday and, where the
      times of day differ, hour; ``x: missing``.

    A table's row is always there, however many of its cells are missing.
    """

    space: ClassVar[Space] = Space(
        scaling=Choice(
            "robust",
            "quantile",
            "standard",
            doc="numbers: robust (median and quartiles, smooth clip), quantile (ranks to a normal), standard",
        ),
        categories=Choice(
            32, 8, 128, limits=(1, 10_000), doc="most categories of one column with a feature of their own"
        ),
    )

    _encoders: dict[str, ColumnEncoder]

    @classmethod
    def claim(cls, schema: Schema) -> dict[str, list[str]]:
        """One input for all; called ``table_`` should another column be called ``table``."""
        mine = column_names(schema.of_kind(*KINDS))
        name = "table"
        while name in {column.name for column in schema if column.kind not in KINDS}:  # an image column called so
            name += "_"
        return {name: mine} if mine else {}

    def fit(self, rows: pd.DataFrame, targets: np.ndarray, task: Task, seed: int) -> InputSpec:
        """Learn scalers and categories; chance blurs quantiles and draws the rows that relevance is counted on."""
        generator = np.random.default_rng(seed)
        self._encoders = {
            column.name: KINDS[column.kind].fit(rows[column.name], self.settings, generator) for column in self.columns
        }
        encoded, _ = self._encode(rows)
        features = [feature for name, encoder in self._encoders.items() for feature in encoder.features(name)]
        widths = [len(encoder.features(name)) for name, encoder in self._encoders.items()]
        return InputSpec(
            shape=(len(features),),
            columns=tuple(self._encoders),
            feature_mask=torch.repeat_interleave(torch.tensor(widths)),
            baseline=torch.from_numpy(encoded.mean(1, dtype=np.float64).astype(np.float32)),
            feature_names=tuple(name for name, _ in features),
            numeric=torch.tensor([numeric for _, numeric in features]),
            quantiles=torch.from_numpy(_quantiles(encoded)),
            relevance=self._relevance(rows, targets, task, generator),
        )

    def transform(self, rows: pd.DataFrame) -> Stored:
        """Return float32 features; cells that hold no finite number or no date are problems."""
        encoded, problems = self._encode(rows)
        values = torch.from_numpy(encoded).T.contiguous()
        return Stored(values, torch.ones(len(rows), dtype=torch.bool), tuple(problems))

    def state(self) -> dict[str, Any]:
        """One entry a column."""
        return {"columns": {name: encoder.state() for name, encoder in self._encoders.items()}}

    @classmethod
    def from_state(cls, columns: Sequence[Column], settings: Mapping[str, Any], state: Mapping[str, Any]) -> Tabular:
        """Rebuild every column's encoder."""
        fitted = cls(columns, **settings)
        parts = state["columns"]
        fitted._encoders = {column.name: KINDS[column.kind].from_state(parts[column.name]) for column in columns}
        return fitted

    def _encode(self, rows: pd.DataFrame) -> tuple[np.ndarray, list[tuple[int, str, str]]]:
        """The features and the broken cells. Shape: features rows, so that a column is written in one piece."""
        widths = [len(encoder.features(name)) for name, encoder in self._encoders.items()]
        out = np.zeros((sum(widths), len(rows)), np.float32)
        problems: list[tuple[int, str, str]] = []
        for column, stop, width in zip(self.columns, accumulate(widths), widths, strict=True):
            cells = rows[column.name]
            missing = self._encoders[column.name].write(cells, out[stop - width : stop])
            if missing.any():
                broken = np.flatnonzero(missing & ~cells.isna().to_numpy())
                problems += [(int(row), column.name, f"not a usable {column.kind}") for row in broken]
        return out, problems

    def _relevance(
        self, rows: pd.DataFrame, targets: np.ndarray, task: Task, generator: np.random.Generator
    ) -> torch.Tensor:
        """Of each column the mutual information of its most telling facet, a mean over targets. Shape: columns."""
        some = np.sort(generator.permutation(len(rows))[:RELEVANCE_ROWS])
        seen = rows.iloc[some]
        known = np.asarray(targets, np.int64 if task.is_classification else np.float64)[some]
        sought = goals(known, generator)
        told = []
        for name, encoder in self._encoders.items():
            facets = [bin_codes(facet) for facet in encoder.facets(seen[name])]
            told.append(sum(max(map(goal.mutual_information, facets)) for goal in sought) / len(sought))
        return torch.tensor(told)


def _quantiles(encoded: np.ndarray) -> np.ndarray:
    """Each feature's values at ``LEVELS``. Shape: features rows → levels features."""
    place = LEVELS * (encoded.shape[1] - 1)
    below, share = np.floor(place).astype(np.int64), (place % 1)[:, None]
    out = np.empty((len(LEVELS), len(encoded)), np.float32)
    for start in range(0, len(encoded), FEATURES_AT_ONCE):
        ordered = np.sort(encoded[start : start + FEATURES_AT_ONCE], axis=1).T
        low, high = ordered[below], ordered[np.ceil(place).astype(np.int64)]
        out[:, start : start + FEATURES_AT_ONCE] = low + (high - low) * share
    return out

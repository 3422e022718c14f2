"""Other sights of an input, for encoders that need their own: which there are, and whether time bears them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from autodl import registry
from autodl.errors import DataError
from autodl.records import Component, InputSpec
from autodl.tuning.prepared import Prepared

Views: TypeAlias = Mapping[str, Mapping[str, InputSpec]]
"""Input → encoder → what the encoder would see, were its input's modality set as it asks (``Encoder.reads``)."""

SAMPLE = 16  # rows that are read to see how long all take
AFFORDABLE = 0.1  # share of the budget that reading an input anew may take


def further_views(prepared: Prepared, seconds: float | None) -> dict[str, dict[str, InputSpec]]:
    """Return what encoders with wishes of their own would see of each input, where reading it so is affordable.

    Args:
        prepared: The rows.
        seconds: The budget; None bears everything.
    """
    found: dict[str, dict[str, InputSpec]] = {}
    wishes = {name: registry.encoders.load(name).reads for name in registry.encoders.names()}
    for name, (kind, _) in prepared.claims.items():
        space = registry.modalities.load(kind).space
        for encoder, settings in wishes.items():
            if not settings or not all(knob in space and space[knob].allows(v) for knob, v in settings.items()):
                continue
            try:
                spec, each = prepared.sample(name, Component(kind, {**space.defaults(), **settings}), SAMPLE)
            except DataError:  # none of so few rows can be read
                continue
            if seconds is None or each * len(prepared.dataset.split.rows) <= AFFORDABLE * seconds:
                found.setdefault(name, {})[encoder] = spec
    return found

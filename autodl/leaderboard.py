"""Leaderboard: every trial of a search, best first, as a frame, as CSV, as JSON and as text for the terminal."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodl.records import Component, TrialConfig, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    *("rank", "number", "state", "score", "model", "what", "epochs", "best_epoch", "parameters", "seconds"),
    *("source", "weight", "cost", "front", "error"),
)
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet runs a cell that begins so
_SIZES = (("depth", "width"), ("blocks", "channels"))
_UNSAID = ("none", "random")  # words of settings that say that nothing special is done
_WIDEST = 60  # characters of a cell in the terminal


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """Every trial, best first: by score whatever its state, then those without a score; equal ones by number.

    Attributes:
        records: The trials; sorted when the leaderboard is made.
        metric: The name of the metric that scores are in.
        greater_is_better: The metric's direction.
        weights: Trial number → its share in the predictor.
        front: Numbers of the trials that no other beats in both score and cost, where there are two objectives.
    """

    records: Sequence[TrialRecord]
    metric: str
    greater_is_better: bool
    weights: Mapping[int, float] = field(default_factory=dict)
    front: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        sign = -1 if self.greater_is_better else 1

        def place(record: TrialRecord) -> tuple[float, int]:
            score = _number(record.score)
            return (math.inf if score is None else sign * score, record.number)

        object.__setattr__(self, "records", tuple(sorted(self.records, key=place)))

    def __len__(self) -> int:
        return len(self.records)

    @property
    def best(self) -> TrialRecord | None:
        """The first trial, where it has a score."""
        return self.records[0] if self.records and _number(self.records[0].score) is not None else None

    def rows(self) -> list[dict[str, Any]]:
        """One dict a trial, best first; None where nothing is known."""
        several = any(len(record.config.encoders) > 1 for record in self.records)
        return [
            {
                "rank": rank,
                "number": record.number,
                "state": record.state,
                "score": _number(record.score),
                "model": model_name(record.config),
                "what": describe(record.config, alone=several),
                "epochs": record.epoch,
                "best_epoch": record.best_epoch,
                "parameters": record.n_parameters,
                "seconds": round(record.seconds, 3),
                "source": record.source,
                "weight": self.weights.get(record.number, 0.0),
                "cost": _number(record.cost),
                "front": record.number in self.front,
                "error": record.error,
            }
            for rank, record in enumerate(self.records, start=1)
        ]

    def frame(self) -> pd.DataFrame:
        """One row a trial, best first; the score is in the metric ``Leaderboard.metric``."""
        import pandas as pd

        return pd.DataFrame(self.rows(), columns=list(_COLUMNS)).astype({"score": "float64"})

    def to_csv(self, path: str | Path) -> None:
        """Write the frame as CSV, but for the seconds, so that equal searches write equal files.

        A text that a spreadsheet would run gets an apostrophe in front.

        Raises:
            RunError: The file cannot be written.
        """
        import csv

        from autodl.storage import write_file

        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        kept = [name for name in _COLUMNS if name != "seconds"]
        writer.writerow(kept)
        for row in self.rows():
            writer.writerow([_harmless(row[name]) for name in kept])
        write_file(Path(path), text.getvalue().encode())

    def table(self, limit: int | None = 20) -> str:
        """The best trials as text for a terminal.

        Args:
            limit: How many; None for all.
        """
        rows = self.rows()
        two = any(row["cost"] is not None for row in rows)
        extra = ["cost", "front"] if two else []
        lines = [["rank", "trial", "state", self.metric, "what", "epochs", "seconds", "weight", *extra]]
        for row in rows[:limit]:
            what = f"{row['what']}: {row['error']}" if row["error"] else row["what"]
            score = "" if row["score"] is None else f"{row['score']:.4f}"
            weight = f"{row['weight']:.2f}" if row["weight"] else ""
            numbers = f"{row['best_epoch']}/{row['epochs']}", f"{row['seconds']:.1f}", weight
            more = ["" if row["cost"] is None else f"{row['cost']:.3g}", "*" if row["front"] else ""] if two else []
            lines.append([str(row["rank"]), str(row["number"]), row["state"], score, _shown(what), *numbers, *more])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        left = {2, 4}
        text = [
            "  ".join(cell.ljust(width) if at in left else cell.rjust(width) for at, (cell, width) in enumerate(pairs))
            for pairs in (list(zip(line, widths, strict=True)) for line in lines)
        ]
        if limit is not None and len(rows) > limit:
            text.append(f"… and {len(rows) - limit} more")
        return "\n".join(line.rstrip() for line in text)

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``Leaderboard.from_json`` takes back."""
        return {
            "metric": self.metric,
            "greater_is_better": self.greater_is_better,
            "weights": {str(number): weight for number, weight in self.weights.items()},
            "front": sorted(self.front),
            "records": [_record_to_json(record) for record in self.records],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Leaderboard:
        """Rebuild a leaderboard from ``to_json``'s data."""
        return cls(
            records=[_record_from_json(record) for record in data["records"]],
            metric=data["metric"],
            greater_is_better=data["greater_is_better"],
            weights={int(number): float(weight) for number, weight in data["weights"].items()},
            front=frozenset(data["front"]),
        )


def model_name(config: TrialConfig) -> str:
    """The estimator, or the encoders of the network."""
    if config.estimator:
        return config.estimator.name
    return " + ".join(part.name for _, part in sorted(config.encoders.items()))


def describe(config: TrialConfig, *, alone: bool = False) -> str:
    """A configuration in words, such as ``mlp 3 × 256 gelu, adamw 0.0021``.

    Args:
        config: The recipe.
        alone: Whether to say which input a network of one input reads: there are others that it does without.
    """
    if config.estimator:
        told = [f"{name} {_told(value)}" for name, value in config.estimator.settings.items()]
        return ", ".join([config.estimator.name, *told])
    encoders = [
        f"{name}: {part.name}{_traits(part)}" if len(config.encoders) > 1 else part.name + _traits(part)
        for name, part in sorted(config.encoders.items())
    ]
    rate = config.optimizer.settings.get("learning_rate")
    optimizer = config.optimizer.name if rate is None else f"{config.optimizer.name} {rate:.2g}"
    fusion = [config.fusion.name] if config.fusion else []
    only = f"{next(iter(config.encoders))} alone: " if alone and len(config.encoders) == 1 else ""
    return only + ", ".join([" + ".join(encoders), *fusion, optimizer])


def _traits(part: Component) -> str:
    """Depth × width and whatever is said in words; numbers beyond these would drown them."""
    settings = part.settings
    sizes = [f"{settings[depth]} × {settings[width]}" for depth, width in _SIZES if {depth, width} <= settings.keys()]
    words = [value for value in settings.values() if isinstance(value, str) and value not in _UNSAID]
    return "".join(f" {trait}" for trait in (*sizes, *words))


def _told(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _harmless(cell: Any) -> Any:
    """A cell of a CSV file that is one line, and no formula."""
    if not isinstance(cell, str):
        return cell
    text = _printable(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _shown(text: str) -> str:
    """Cut to a terminal's width."""
    safe = _printable(text)
    return safe if len(safe) <= _WIDEST else safe[: _WIDEST - 1] + "…"


def _printable(text: str) -> str:
    """Without line breaks and characters that a terminal obeys."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _record_to_json(record: TrialRecord) -> dict[str, Any]:
    rungs = {str(epoch): _number(score) for epoch, score in record.rungs.items()}
    numbers = {"score": _number(record.score), "cost": _number(record.cost)}
    return {**vars(record), **numbers, "config": record.config.to_json(), "rungs": rungs}


def _record_from_json(data: Mapping[str, Any]) -> TrialRecord:
    rungs = {int(epoch): math.nan if score is None else score for epoch, score in data["rungs"].items()}
    return TrialRecord(**{**data, "config": TrialConfig.from_json(data["config"]), "rungs": rungs})

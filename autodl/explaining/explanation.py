"""What was found out about some predictions: values by column, with their error, and the figures of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from autodl.attribution import Attribution, Quantity, Question
from autodl.errors import unknown_name

if TYPE_CHECKING:
    import pandas as pd

MOST_LINES = 20  # players that the summary tells of


@dataclass(frozen=True, eq=False)
class Explanation:
    """The answer of one explainer about some rows, for each output that was asked for; ``focus`` is the one in view.

    Attributes:
        attributions: One an output.
        outputs: What each output is called: a class, a target, a quantile.
        question: What was asked.
        rows: The explained rows as the user wrote them, with the user's own index; empty where there is no table.
        background: The background rows likewise, in the order of ``question.background``.
        quantity: What the numbers are: ``probability``, ``number`` (in the target's unit), ``score`` (of a network,
            before softmax) or ``output`` (of a module of the user's own).
        target: The name of what is predicted.
        truth: ``(rows, …)``: targets as the task has them: the true class as position in ``classes``, or numbers; NaN
            or -1 where unknown; None where the rows came without.
        baseline_words: What "nothing known" was, in words.
        classes: Every class that could be true, explained or not; empty where numbers or 0/1 targets are predicted.
        settings: Of the explainer.
        seconds: Wall time.
        focus: Position of the output in view.
    """

    attributions: tuple[Attribution, ...]
    outputs: tuple[str, ...]
    question: Question
    rows: pd.DataFrame
    background: pd.DataFrame
    quantity: Quantity
    target: str
    baseline_words: str
    truth: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    focus: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def attribution(self) -> Attribution:
        """The one in view."""
        return self.attributions[self.focus]

    @property
    def explainer(self) -> str:
        """The method's name."""
        return self.attribution.explainer

    @property
    def players(self) -> tuple[str, ...]:
        """What has a share: columns, segments, tokens, inputs."""
        return self.question.players.names

    @property
    def output(self) -> str:
        """The name of the output in view."""
        return self.outputs[self.focus]

    @property
    def values(self) -> pd.DataFrame:
        """The share of every player in the output in view, a line a row."""
        return self._frame(self.attribution.values)

    @property
    def standard_error(self) -> pd.DataFrame | None:
        """Of ``values``, where they are estimated."""
        found = self.attribution.standard_error
        return None if found is None else self._frame(found)

    @property
    def predicted(self) -> np.ndarray:
        """The output in view. Shape: → rows."""
        assert self.attribution.output is not None
        return np.asarray(self.attribution.output.double().cpu())

    @property
    def base(self) -> np.ndarray:
        """What the values start from. Shape: → rows."""
        base = self.attribution.base.double().cpu().numpy()
        return np.broadcast_to(base, (len(self),))

    @property
    def completeness_gap(self) -> np.ndarray | None:
        """Sum of the values less what they should sum to. Shape: → rows."""
        found = self.attribution.completeness_gap
        return None if found is None else np.asarray(found.double().cpu())

    def true(self, row: int) -> str | float | None:
        """What is known to be true of a row: a class's name, or the number of the output in view; None if nothing."""
        if self.truth is None or self.quantity == "output":
            return None
        found = self.truth[row]
        if self.classes:
            return self.classes[int(found)] if found >= 0 else None
        number = float(found if np.ndim(found) == 0 else found[self.attribution.target])
        return None if np.isnan(number) else number

    def of(self, output: str | int) -> Explanation:
        """The same, with another output in view: by name, or by position.

        Raises:
            UnknownNameError: No output is called so.
        """
        if isinstance(output, str):
            if output not in self.outputs:
                raise unknown_name("output", output, self.outputs)
            output = self.outputs.index(output)
        return replace(self, focus=output)

    @property
    def plot(self) -> Any:
        """The figures, each a Plotly one: ``plot.waterfall(0)``, ``plot.beeswarm()`` …; see ``autodl.report.plots``."""
        return import_module("autodl.report.plots").Plots(self)  # by name: figures know explanations, not vice versa

    @property
    def baseline(self) -> pd.DataFrame:
        """The background rows as the user wrote them: what the values compare with."""
        return self.background

    def importance(self) -> pd.DataFrame:
        """Mean absolute share of every player over the rows, with its standard error over rows; largest first.

        Segments are those of one image each, so that over rows they count together, as their column.
        """
        import pandas as pd

        sizes = self.by_column().abs()
        table = pd.DataFrame({"importance": sizes.mean(), "standard_error": sizes.sem() if len(sizes) > 1 else np.nan})
        return table.sort_values("importance", ascending=False, kind="stable")

    def by_column(self) -> pd.DataFrame:
        """The values, where players that only one row has, such as segments, are summed to their column."""
        values, question = self.values, self.question
        if not question.players.own or not values.shape[1]:
            return values
        owner = {name: name for name in values.columns}
        for key in question.names:
            columns = question.specs[key].columns if key in question.specs else ()
            if len(columns) == 1 and len(question.specs[key].shape) > 1:
                owner |= {
                    self.players[each]: columns[0] for each in set(question.players.index[key].flatten().tolist())
                }
        return values.T.groupby([owner[name] for name in values.columns], sort=False).sum().T

    def quality(self, *, again: bool = False, **wanted: Any) -> pd.DataFrame:
        """How good the explanation is, measure by measure, beside what a random one gets.

        Args:
            again: Whether to explain again what was changed a little, and the network with its weights forgotten, which
                two measures ask for and which takes as often as long.
            wanted: Arguments of ``autodl.explaining.quality.measure``.
        """
        import pandas as pd

        from autodl import registry
        from autodl.explaining.quality import measure

        if again:
            explainer = registry.explainers.load(self.explainer)(**self.settings)
            wanted["explain"] = lambda question: explainer.attribute(question).values
        found = measure(replace(self.question, target=self.attribution.target), self.attribution, **wanted)
        columns = ("name", "value", "random", "error", "greater_is_better", "about")
        return pd.DataFrame([{name: getattr(each, name) for name in columns} for each in found]).set_index("name")

    def facts(self) -> dict[str, Any]:
        """Method, baseline, output, error, seed and versions, as JSON values."""
        from importlib.metadata import version

        found, gap, error = self.attribution, self.completeness_gap, self.attribution.standard_error
        return {
            "explainer": self.explainer,
            "settings": dict(self.settings),
            "target": self.target,
            "output": self.output,
            "quantity": self.quantity,
            "baseline": self.baseline_words,
            "rows": len(self),
            "players": len(self.players),
            "largest_gap": None if gap is None else float(np.abs(gap).max(initial=0.0)),
            "largest_standard_error": None if error is None else float(error.max()),
            "evaluations": found.evaluations,
            "seed": self.question.seed,
            "seconds": round(self.seconds, 3),
            "notes": list(found.notes),
            "versions": {name: version(name) for name in ("torch-autodl", "torch", "captum")},
        }

    def summary(self) -> str:
        """What was found, as text for a terminal."""
        facts = self.facts()
        lines = [
            f"{facts['explainer']} of {facts['quantity']} '{self.output}', {len(self)} rows, "
            f"against {facts['baseline']}"
        ]
        told = [
            f"{words} {facts[name]:.2g}"
            for name, words in (("largest_gap", "largest gap"), ("largest_standard_error", "largest standard error"))
            if facts[name] is not None
        ]
        lines += [", ".join([*told, f"{facts['evaluations']:,} evaluations", f"seed {facts['seed']}"])]
        table = self.importance().head(MOST_LINES)
        wide = max([len(str(name)) for name in table.index], default=0)
        lines += [f"{name!s:{wide}}  {row.importance:.4g}" for name, row in table.iterrows()]
        return "\n".join([*lines, *facts["notes"]])

    def to_json(self) -> dict[str, Any]:
        """Every number with its names, as JSON values; no data of the rows but what the values say."""
        return {**self.facts(), "outputs": [self._one(position) for position in range(len(self.outputs))]}

    def to_csv(self) -> str:
        """One line a row, player and output: the value and its standard error."""
        import pandas as pd

        parts = []
        for position in range(len(self.outputs)):
            one = self.of(position)
            values, error = one.values, one.standard_error
            part = values.reset_index(names="row").melt("row", var_name="player", value_name="value")
            part["standard_error"] = np.nan if error is None else error.to_numpy().T.ravel()
            part.insert(0, "output", one.output)
            parts.append(part)
        return str(pd.concat(parts).to_csv(index=False, lineterminator="\n"))

    def _one(self, position: int) -> dict[str, Any]:
        one = self.of(position)
        error, gap = one.standard_error, one.completeness_gap
        return {
            "output": one.output,
            "predicted": one.predicted.tolist(),
            "base": one.base.tolist(),
            "players": list(one.players),
            "values": one.values.to_numpy().tolist(),
            "standard_error": None if error is None else error.to_numpy().tolist(),
            "completeness_gap": None if gap is None else gap.tolist(),
        }

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return str(import_module("autodl.report.plots").notebook(self))

    def _frame(self, values: Any) -> pd.DataFrame:
        import pandas as pd

        found = values.double().cpu().numpy()
        index = self.rows.index if len(found) == len(self.rows) else None
        return pd.DataFrame(found, columns=list(self.players)[: found.shape[1]], index=index)

"""The figures of an explanation by name: what ``explanation.plot`` is, and what a notebook shows."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec

from autodl.explaining.explanation import Explanation
from autodl.report import effects, images, quality, rows, whole
from autodl.report.style import themed

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from autodl.explaining.quality import Measure

FRAME_HEIGHT = 900  # pixels of a notebook's cell


P = ParamSpec("P")


def _themed(draw: Callable[P, go.Figure]) -> Callable[P, go.Figure]:
    """Give what is drawn its colours: nobody else will."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> go.Figure:
        return themed(draw(*args, **kwargs))

    return drawn


class Plots:
    """Figures of one explanation, of the output in view.

    Each names its method, baseline, output, gap and seed below its title. ``row`` is a position, from the end where it
    is negative. ``figure.show(config=autodl.report.style.CONFIG)`` leaves out the button that uploads.

    Args:
        explanation: What was found.
    """

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation

    @_themed
    def waterfall(self, row: int = 0, top: int = rows.TOP) -> go.Figure:
        """From what is predicted of nothing known to what is predicted of the row."""
        return rows.waterfall(self.explanation, row, top)

    @_themed
    def bars(self, row: int = 0, top: int = rows.TOP) -> go.Figure:
        """The shares of one row."""
        return rows.bars(self.explanation, row, top)

    @_themed
    def counterfactual(self, row: int = 0) -> go.Figure:
        """What would have to be different."""
        return rows.counterfactual(self.explanation, row)

    @_themed
    def influence(self, row: int = 0, top: int = 6) -> go.Figure:
        """The training rows that moved the prediction most."""
        return rows.influence(self.explanation, row, top=top)

    @_themed
    def importance(self, top: int = whole.TOP) -> go.Figure:
        """Mean size of the shares over rows."""
        return whole.importance(self.explanation, top)

    bar = importance

    @_themed
    def beeswarm(self, top: int = whole.TOP) -> go.Figure:
        """Every share of every row, coloured by value."""
        return whole.beeswarm(self.explanation, top)

    @_themed
    def dependence(self, column: str, colour: str | None = None) -> go.Figure:
        """A column's share against its value."""
        return whole.dependence(self.explanation, column, colour)

    scatter = dependence

    @_themed
    def interactions(self, row: int | None = None) -> go.Figure:
        """What players do together, over all rows or in one."""
        return whole.interaction_matrix(self.explanation, row)

    @_themed
    def classes(self, top: int = whole.TOP) -> go.Figure:
        """Mean size of the shares in each output."""
        return whole.classes(self.explanation, top)

    @_themed
    def partial_dependence(self, column: str) -> go.Figure:
        """The prediction along a column's values."""
        return effects.partial_dependence(self.explanation, column)

    @_themed
    def image(self, row: int = 0, input: str | None = None, *, outline: bool = True) -> go.Figure:
        """The image under its shares, faded in and out by a slider."""
        return images.overlay(self.explanation, row, input, outline=outline)

    @_themed
    def original(self, row: int = 0, input: str | None = None) -> go.Figure:
        """The image as the network saw it."""
        return images.original(self.explanation, row, input)

    @_themed
    def segments(self, row: int = 0, input: str | None = None) -> go.Figure:
        """How the image was divided."""
        return images.segments(self.explanation, row, input)

    @_themed
    def quality(self, measured: Sequence[Measure]) -> go.Figure:
        """Measures of ``autodl.explaining.quality.measure``, beside those of a random explanation."""
        return quality.measures(self.explanation, measured)

    @_themed
    def deletion(self, measured: Sequence[Measure]) -> go.Figure:
        """The measured curves of taking players away and putting them in."""
        return quality.deletion(self.explanation, measured)


def notebook(explanation: Explanation) -> str:
    """The figures that say most, as HTML for a notebook: in a frame of its own, from which no request leaves."""
    from autodl.report.page import Plot, Section, page

    told = [Plot.of(figure) for figure in _best(Plots(explanation))]
    facts = {name: str(value) for name, value in explanation.facts().items() if isinstance(value, str | int)}
    text = page(f"{explanation.explainer} of {explanation.output}", [Section("Figures", "figures", told)], facts)
    return (
        f'<iframe title="Explanation" sandbox="allow-scripts" style="width:100%;height:{FRAME_HEIGHT}px;border:0" '
        f'srcdoc="{html.escape(text, quote=True)}"></iframe>'
    )


def _best(plots: Plots) -> list[go.Figure]:
    """Those that this explanation has."""
    explanation = plots.explanation
    told, found = explanation.attribution, []
    if "curves" in told.found:
        return [plots.partial_dependence(name) for name in list(told.found["curves"])[:4]]
    if "donor" in told.found and int(told.found["donor"][0]) >= 0:
        return [plots.counterfactual(0)]
    if "scores" in told.found and not told.values.shape[1]:
        return [plots.influence(0)]
    if not told.values.shape[1]:
        return []
    question = explanation.question
    pictures = [name for name in question.names if question.inputs[name].ndim == 4]
    each_row = len(told.values) == len(question)
    if pictures and each_row and not bool(question.inputs[pictures[0]][0].isnan().any()):
        found.append(plots.image(0, pictures[0]))
    if not question.players.own:
        found.append(plots.importance())
    if each_row:
        found.append(plots.bars(0) if told.completeness_gap is None else plots.waterfall(0))
    return found

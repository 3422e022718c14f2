"""How figures look: colours, light and dark, fonts, numbers, and the one place where words of the data become safe.

Nothing in a figure names a colour of ink or paper: these come from the template, so that ``Plotly.relayout(figure,
DARK)`` turns a light figure into a dark one and ``LIGHT`` turns it back. The colours of data are seen on both.

Reference:
    Okabe, Ito: Color Universal Design, 2008, https://jfly.uni-koeln.de/color/ (colours that the colour-blind tell
    apart).
"""

from __future__ import annotations

import html
import math
import re
import textwrap
import unicodedata
from datetime import date, datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go

from autodl.explaining.ask import gaps
from autodl.explaining.explanation import Explanation

RAISES, LOWERS, QUIET = "#e0701a", "#2b83c6", "#8a919c"
CATEGORIES = ("#2b83c6", "#e69f00", "#00997a", "#cc79a7", "#56b4e9", "#d5541c", "#9a7fd1", "#8a919c")
SIGNED = (
    (0.0, "rgba(43,131,198,0.85)"),
    (0.5, "rgba(140,140,140,0)"),  # nothing is the paper itself, light or dark, or the picture below
    (1.0, "rgba(224,112,26,0.85)"),  # words over it are read in light and dark
)
AMOUNTS = ((0.0, "rgba(224,112,26,0)"), (1.0, "rgba(224,112,26,0.85)"))
LOW_TO_HIGH = ((0.0, "#2b83c6"), (0.5, "#a58aa8"), (1.0, "#f0861c"))
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
TITLE_WIDTH, CAPTION_WIDTH = 40, 62  # characters that fit a screen of 400 pixels
TITLE_LINE, CAPTION_LINE = 20, 15  # pixels
LABEL, CELL = 24, 11  # characters of a tick, and of the value in it
SLANT, SLANTED = -35, 48  # degrees and pixels of the names of categories below an axis
BAR = 27  # pixels that one bar is given
GLYPHS = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")  # turn text around, or hide in it
CONFIG: dict[str, Any] = {
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
}


def _template(ink: str, pale: str, paper: str, faint: str, stripe: str) -> dict[str, Any]:
    axis = {"gridcolor": faint, "linecolor": faint, "zerolinecolor": QUIET, "automargin": True, "zeroline": False}
    axis |= {"exponentformat": "power", "minexponent": 6, "separatethousands": True}  # not 400µ, nor 2×10⁴
    cell = {"line": {"color": faint}, "font": {"color": ink, "size": 12}}
    whisker = {"color": ink, "thickness": 1.2, "width": 3}
    layout = {
        "font": {"family": FONT, "size": 12, "color": ink},
        "title": {"font": {"size": 16}, "subtitle": {"font": {"size": 11, "color": pale}}},
        "paper_bgcolor": paper,
        "plot_bgcolor": paper,
        "colorway": list(CATEGORIES),
        "xaxis": {**axis, "title": {"font": {"size": 12}}},
        "yaxis": {**axis, "title": {"font": {"size": 12}}},
        "hoverlabel": {"align": "left", "bgcolor": stripe, "bordercolor": QUIET, "font": {"color": ink, "size": 12}},
        "legend": {"orientation": "h", "yanchor": "top", "xanchor": "left", "x": 0, "bgcolor": "rgba(0,0,0,0)"},
        "coloraxis": {"colorbar": {"outlinewidth": 0, "exponentformat": "power"}},
        "annotationdefaults": {"font": {"color": ink}, "showarrow": False},
        "shapedefaults": {"line": {"color": QUIET}},
        "sliderdefaults": {"bgcolor": stripe, "bordercolor": QUIET, "activebgcolor": QUIET, "font": {"color": ink}},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": QUIET, "activecolor": ink},
    }
    data = {
        "bar": [{"error_x": whisker, "error_y": whisker}],
        "scatter": [{"error_x": whisker, "error_y": whisker}],
        "heatmap": [{"textfont": {"color": ink}, "colorbar": {"outlinewidth": 0, "exponentformat": "power"}}],
        "table": [{"header": {**cell, "fill": {"color": stripe}}, "cells": {**cell, "fill": {"color": paper}}}],
    }
    return {"template": {"layout": layout, "data": data}}


LIGHT = _template(ink="#1d2330", pale="#596273", paper="#ffffff", faint="#e3e6eb", stripe="#f2f4f7")
DARK = _template(ink="#e6e9ef", pale="#a9b2c0", paper="#14181f", faint="#2c333f", stripe="#1e242e")


def clean(text: object) -> str:
    """Text on one line, without characters that are not seen or that turn what follows around."""
    plain = GLYPHS.sub("", " ".join(str(text).split()))
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(each) == "Cc" else each for each in plain)


def cut(text: object, most: int = LABEL) -> str:
    """Text on one line of at most so many characters."""
    plain = clean(text)
    return plain if len(plain) <= most else plain[: most - 1].rstrip() + "…"


def escape(text: object, most: int | None = None) -> str:
    """Text that Plotly shows as it is: no tag, no template, no formula.

    Plotly reads tags in every text, ``%{…}`` in hovers and ``$…$`` as a formula where the page has MathJax.
    """
    safe = html.escape(clean(text) if most is None else cut(text, most), quote=False)
    return safe.replace("%{", "%&#123;").replace("$", "&#36;")


def wrapped(text: str, width: int) -> list[str]:
    """Lines of safe text."""
    return [escape(line) for line in textwrap.wrap(clean(text), width)]


def format_value(value: Any) -> str:
    """A cell as the user wrote it, as nearly as can be told."""
    if isinstance(value, np.ndarray):
        return " × ".join(str(size) for size in value.shape)
    if value is None or value != value:
        return "missing"
    if isinstance(value, datetime | date | np.datetime64):
        return str(value).replace("T", " ").removesuffix(" 00:00:00").split(".")[0]
    if isinstance(value, bool | np.bool_ | str) or not isinstance(value, int | float | np.number):
        return clean(value)
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else f"{number:.6g}"


def format_number(value: float, digits: int = 3) -> str:
    """A figure that was worked out, to so many digits."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    text = f"{value:.{digits}g}"
    if "e" in text and 1 <= abs(value) < 1e7:
        text = f"{value:.0f}"
    return text.replace("-", "−", 1) if text.startswith("-") else text


def format_signed(value: float, digits: int = 3) -> str:
    """The same with its sign."""
    return ("+" if value > 0 else "") + format_number(value, digits)


def named(name: object, value: str | None = None) -> str:
    """A safe label such as ``age = 42``: the name is cut so that the value is seen."""
    if value is None:
        return escape(name, LABEL)
    shown = cut(value, CELL)
    return escape(f"{cut(name, LABEL - len(shown) - 3)} = {shown}")


def quantity(explanation: Explanation) -> str:
    """What the numbers are, in words: ``probability of left = yes``."""
    output, target = explanation.output, explanation.target
    if explanation.quantity == "number":
        return target if output in ("", target) else f"{target}: {output}"
    if explanation.quantity == "output" or not target:
        return f"{explanation.quantity} {output}"
    what = "score before softmax" if explanation.quantity == "score" else explanation.quantity
    return f"{what} of {target}" if output == target else f"{what} of {target} = {output}"


def caption(explanation: Explanation) -> str:
    """Name method, output, baseline, gap, error, effort, seed, and whatever else must be known."""
    told = explanation.attribution
    parts = [f"{explanation.explainer} on {quantity(explanation)}", f"nothing known: {explanation.baseline_words}"]
    if told.completeness_gap is None:
        parts.append("values need not sum to the prediction")
    else:
        worst = float(gaps(told).max()) if len(told.completeness_gap) else 0.0
        parts.append(
            f"largest gap to the prediction {format_number(100 * worst, 2)} %" if worst else "sums to the prediction"
        )
    if told.standard_error is not None and told.standard_error.numel():
        parts.append(f"standard error up to {format_number(float(told.standard_error.nan_to_num().max()), 2)}")
    parts.append(f"{told.evaluations:,} rows through the model")
    parts.append(f"seed {explanation.question.seed}")
    notes = "".join(f" {note[:1].upper()}{note[1:].rstrip('.')}." for note in told.notes)
    return "; ".join(parts) + "." + notes


def finish(figure: go.Figure, title: str, caption: str, height: int, alt: str = "") -> go.Figure:
    """Give a figure its title, its caption and its size; its colours come by ``themed``, or from the page it is on.

    Args:
        figure: What is drawn.
        title: Words; they may come from the data.
        caption: A sentence that says where the numbers come from; likewise.
        height: Of what is drawn and the labels below it, in pixels.
        alt: What a reader who does not see it shall be told; the title if nothing.
    """
    top, below = wrapped(title, TITLE_WIDTH), wrapped(caption, CAPTION_WIDTH)
    head = 24 + TITLE_LINE * len(top) + CAPTION_LINE * len(below) + 14
    heading = {"text": "<br>".join(top), "subtitle": {"text": "<br>".join(below)}}
    place = {"x": 0, "xanchor": "left", "xref": "container", "y": 1, "yanchor": "top", "yref": "container"}
    figure.update_layout(
        title={**heading, **place, "pad": {"l": 10, "t": 20}},
        height=head + height,
        margin={"t": head, "l": 10, "r": 16, "b": 46, **figure.layout.margin.to_plotly_json()},
        meta={"title": title, "caption": caption, "alt": alt or title},
    )
    return figure


def legend_below(figure: go.Figure, height: int, ticks: int = 0) -> int:
    """Put the legend below the axis and its title, with room for it on a narrow screen; return the whole height.

    Args:
        figure: Its traces have their names already.
        height: Of the plot alone, in pixels.
        ticks: What the labels of the axis need beside one line.
    """
    names = [trace.name or "" for trace in figure.data if trace.showlegend is not False]
    each = max((len(name) for name in names), default=0) * 7 + 50
    lines = -(-len(names) // max(1, 330 // each)) if len(names) > 1 else 0
    below = 58 + ticks + 20 * lines
    figure.update_layout(margin={"b": below}, legend={"y": -(52 + ticks) / height})
    return height + below


def themed(figure: go.Figure) -> go.Figure:
    """The figure in the colours of day, for a place that gives it none; slow, as Plotly checks every one of them."""
    return figure.update_layout(**LIGHT)


def bare(figure: go.Figure) -> go.Figure:
    """Take title and caption off, for a page that writes ``layout.meta`` above and below the figure."""
    head = figure.layout.margin.t
    return figure.update_layout(title=None, height=figure.layout.height - head + 16, margin_t=16)

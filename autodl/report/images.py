"""Figures about one image of one row: what the network saw, which places count, how it was divided.

A view of an image may be maps of what another network found, which nobody can look at: then the picture is the user's
own, and the places on it are those of the maps, stretched over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from autodl.errors import ExplanationError, unknown_name
from autodl.explaining.explanation import Explanation
from autodl.report._cells import checked, is_picture, row_name
from autodl.report._pictures import data_uri, opened
from autodl.report.style import AMOUNTS, SIGNED, caption, finish, format_number, quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

OPACITIES = tuple(range(0, 101, 10))  # per cent
USUAL = 70
TALL = 300  # pixels of the drawn picture
CLIPPED = 99.5  # percentile of the sizes that takes the full colour
MOST_CHANNELS = 4  # of an image; more are maps


def original(explanation: Explanation, row: int, name: str | None = None) -> go.Figure:
    """The image as the network saw it; or as the user has it, where the network saw maps.

    Args:
        explanation: Whose row it is.
        row: Its position.
        name: The input; None for the first that is an image.

    Raises:
        ExplanationError: There is no picture to be seen.
    """
    row, name = checked(explanation, row), picture_input(explanation, name)
    figure = _canvas(explanation, row, name)
    how = "as it is" if is_mapped(explanation, name) else "as the network saw it"
    said = f"Row {row_name(explanation, row)}: {_called(explanation, name)} {how}"
    return finish(figure, said, caption(explanation), TALL + 16)


def overlay(
    explanation: Explanation, row: int, name: str | None = None, *, outline: bool = True, limit: float | None = None
) -> go.Figure:
    """The image under its shares, which a slider fades in and out; segments have their borders drawn.

    Shares of single pixels are summed over channels; where a method gives none, every pixel has its segment's share.

    Args:
        explanation: Whose row it is.
        row: Its position.
        name: The input; None for the first that is an image.
        outline: Whether borders are drawn where there are segments.
        limit: The share that has the full colour, so that other figures can have the same; of shares of single pixels,
            which are smaller, and where it is None their own largest ones have it.
    """
    row, name = checked(explanation, row), picture_input(explanation, name)
    places = heat(explanation, row, name)
    figure = _canvas(explanation, row, name)
    shared = limit if limit and not _single(explanation, name) else None
    most = shared or float(np.percentile(np.abs(places), CLIPPED)) or float(np.abs(places).max()) or 1.0
    signed = shared is not None or bool((places < 0).any())
    figure.add_heatmap(
        z=np.clip(np.round(places / most * 100), -127, 127).astype(np.int8),  # a byte a pixel
        colorscale=SIGNED if signed else AMOUNTS,
        zmin=-100 if signed else 0,
        zmax=100,
        opacity=USUAL / 100,
        hovertemplate=f"column %{{x}}, line %{{y}}<br>%{{z}} % of {format_number(most)}<extra></extra>",
        colorbar=_bar(most, signed),
    )
    _slider(figure, len(figure.data) - 1)
    if outline and explanation.question.players.own:
        figure.add_trace(borders(explanation, row, name))
    said = f"Row {row_name(explanation, row)}: what in {_called(explanation, name)} counts for {quantity(explanation)}"
    return finish(figure, said, caption(explanation), TALL + 96)


def segments(explanation: Explanation, row: int, name: str | None = None) -> go.Figure:
    """The image with the borders of its segments.

    Raises:
        ExplanationError: It was not divided.
    """
    row, name = checked(explanation, row), picture_input(explanation, name)
    if not explanation.question.players.own:
        raise ExplanationError(f"'{name}' must have been divided, however it is one player; explain with segments")
    figure = _canvas(explanation, row, name)
    figure.add_trace(borders(explanation, row, name))
    return finish(
        figure,
        f"Row {row_name(explanation, row)}: segments of {_called(explanation, name)}",
        caption(explanation),
        TALL + 16,
    )


def is_mapped(explanation: Explanation, name: str) -> bool:
    """Whether a view holds maps of what another network found, and no pixels."""
    return name in explanation.question.specs and explanation.question.specs[name].shape[0] > MOST_CHANNELS


def _called(explanation: Explanation, name: str) -> str:
    """The column behind an input, as the user calls it."""
    columns = explanation.question.specs[name].columns if name in explanation.question.specs else ()
    return columns[0] if len(columns) == 1 else name


def picture_input(explanation: Explanation, name: str | None = None) -> str:
    """The input of that name if it is an image, or the first that is one.

    Raises:
        UnknownNameError: No input is called so.
        ExplanationError: It is no image, or there is none.
    """
    question = explanation.question
    if name is not None and name not in question.inputs:
        raise unknown_name("input", name, question.names)
    for each in question.names if name is None else (name,):
        if is_picture(explanation, each):
            return each
    what = f"'{name}' is none" if name else f"there is none among {', '.join(question.names)}"
    raise ExplanationError(f"a picture must be of an image, however {what}; take waterfall or bars")


def pixels(explanation: Explanation, row: int, name: str) -> Array:
    """The stored image again. Shape: → height width 3, uint8

    Raises:
        ExplanationError: The row has no image.
    """
    seen = explanation.question.inputs[name][row].double().cpu()
    if bool(seen.isnan().any()):
        raise ExplanationError(f"row {row} must have an image in '{name}', however it is missing; take another row")
    spec = explanation.question.specs.get(name)
    if spec is not None and spec.scale is not None:
        seen = seen / spec.scale.double().cpu()
    if spec is not None and spec.offset is not None:
        seen = seen + spec.offset.double().cpu()
    else:  # of a module of the user's own: nobody says what black and white are
        low, high = seen.min(), seen.max()
        seen = (seen - low) / (high - low).clamp_min(1e-12) * 255
    image = np.moveaxis(seen.numpy(), 0, -1)
    image = image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)
    return np.asarray(np.clip(np.round(image), 0, 255).astype(np.uint8))


def heat(explanation: Explanation, row: int, name: str) -> Array:
    """The share of every pixel, or of the segment that it lies in. Shape: → height width"""
    told = explanation.attribution
    if told.entries is not None and _single(explanation, name):
        return np.asarray(np.nan_to_num(told.entries[name][row].double().sum(0).cpu().numpy()))
    if len(told.values) != len(explanation.question):
        raise ExplanationError(
            f"an image must have shares of its own, however {explanation.explainer} answers for all rows"
        )
    one = explanation.question.players.at(slice(row, row + 1))
    spread = one.spread(told.values[row : row + 1].double().nan_to_num())
    return np.asarray(spread[name][0, 0].cpu().numpy())


def borders(explanation: Explanation, row: int, name: str) -> go.Scatter:
    """Lines between pixels of different segments, as one trace."""
    index = explanation.question.players.at(slice(row, row + 1)).rows(name)[0, 0].cpu().numpy()
    down, right = np.nonzero(index[1:] != index[:-1]), np.nonzero(index[:, 1:] != index[:, :-1])
    y = np.concatenate([_holes(down[0] + 0.5, down[0] + 0.5), _holes(right[0] - 0.5, right[0] + 0.5)])
    x = np.concatenate([_holes(down[1] - 0.5, down[1] + 0.5), _holes(right[1] + 0.5, right[1] + 0.5)])
    line = {"color": "rgba(255,255,255,0.85)", "width": 1}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False)


def _holes(start: Array, end: Array) -> Array:
    """Ends of strokes with a hole after each."""
    return np.stack([start, end, np.full(len(start), np.nan)], 1).ravel().astype(np.float32)


def _single(explanation: Explanation, name: str) -> bool:
    """Whether single entries of an input have shares of their own."""
    return explanation.attribution.entries is not None and name in explanation.attribution.entries


def _canvas(explanation: Explanation, row: int, name: str) -> go.Figure:
    """Axes with one unit an entry, the first line at the top, over the image."""
    mapped = is_mapped(explanation, name)
    image = opened(explanation.rows[_called(explanation, name)].iloc[row]) if mapped else pixels(explanation, row, name)
    height, width = explanation.question.inputs[name].shape[-2:]
    figure = go.Figure()
    place = {"x": -0.5, "y": -0.5, "sizex": width, "sizey": height, "sizing": "stretch"}
    figure.add_layout_image(source=data_uri(image, exact=not mapped), xref="x", yref="y", **place)
    figure.update_layout(images=[{"layer": "below"}], margin={"b": 16}, dragmode="pan")
    # a trace gives the axes their ranges; it is not seen
    figure.add_scatter(x=[-0.5, width - 0.5], y=[-0.5, height - 0.5], mode="markers", marker={"opacity": 0})
    figure.update_traces(hoverinfo="skip", showlegend=False)
    hidden = {"visible": False, "constrain": "domain"}
    figure.update_xaxes(range=[-0.5, width - 0.5], **hidden)
    tall = image.shape[0] / height * width / image.shape[1]  # of one entry: 1 but where maps are stretched
    return figure.update_yaxes(range=[height - 0.5, -0.5], scaleanchor="x", scaleratio=tall, **hidden)


def _bar(most: float, signed: bool) -> dict[str, Any]:
    ends = [-100, 0, 100] if signed else [0, 50, 100]
    words = [format_number(each / 100 * most, 2) for each in ends]
    place = {"orientation": "h", "thickness": 8, "len": 0.8, "y": 0, "yanchor": "top", "ypad": 8}
    return {**place, "tickvals": ends, "ticktext": words, "title": {"text": "share", "side": "bottom"}}


def _slider(figure: go.Figure, trace: int) -> None:
    """How much of the heat is seen; the page needs no code for it."""
    steps = [
        {"label": f"{each}", "method": "restyle", "args": [{"opacity": each / 100}, [trace]]} for each in OPACITIES
    ]
    place = {"x": 0.05, "len": 0.9, "y": 0, "yanchor": "top", "pad": {"t": 46, "b": 4}, "ticklen": 0, "minorticklen": 0}
    words = {"prefix": "opacity of the shares: ", "suffix": " %", "font": {"size": 11}, "xanchor": "left"}
    figure.update_layout(
        sliders=[
            {**place, "active": OPACITIES.index(USUAL), "steps": steps, "currentvalue": words, "font": {"size": 1}}
        ],
        margin={"b": 118},
    )

"""A sound whose bands of time are coloured by what each brings: waveform, spectrogram and a player on one time axis."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from autodl.explaining.explanation import Explanation
from autodl.report._cells import checked, errors, local, row_name
from autodl.report._clips import clip
from autodl.report._points import COLOURBAR
from autodl.report.style import (
    LOWERS,
    QUIET,
    RAISES,
    SIGNED,
    caption,
    finish,
    format_number,
    format_signed,
    quantity,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

PAGE_BYTES = 4_000_000
"""Room that all players of a page take together."""
PARTS = 360
"""Strokes that a waveform is drawn with."""
TALL = 300  # pixels
GREYS = ((0.0, "rgba(138,145,156,0)"), (1.0, "rgba(138,145,156,0.9)"))
LOUDEST = 99.5  # percentile of a spectrogram that is drawn as the loudest


class Band(NamedTuple):
    """A span of time, and what it brings.

    Attributes:
        start: Seconds from the beginning.
        end: Where the next one begins.
        value: Its share.
        error: Standard error of the share; None where there is none.
    """

    start: float
    end: float
    value: float
    error: float | None = None


@dataclass(frozen=True, eq=False)
class Sound:
    """A sound as it is and as the network saw it.

    Attributes:
        samples: From -1 to 1.
        rate: Samples a second.
        seen: The spectrogram, low frequencies first. Shape: frequencies frames
        step: Seconds from frame to frame.
    """

    samples: Array
    rate: int
    seen: Array
    step: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate


def stored(explanation: Explanation, row: int, key: str) -> Array:
    """The spectrogram before each frequency was scaled for a network: as it sounds. Shape: → frequencies frames"""
    seen, spec = explanation.question.inputs[key][row].double().cpu(), explanation.question.specs[key]
    if spec.scale is not None:
        seen = seen / spec.scale.double().cpu()
    if spec.offset is not None:
        seen = seen + spec.offset.double().cpu()
    return np.asarray(seen[0].numpy())


def bands_of(explanation: Explanation, row: int, key: str, step: float) -> list[Band]:
    """What each span of time of one row's sound brings, all its pitches together.

    Args:
        explanation: Of a method that answers for every row.
        row: The row's position.
        key: The sound's view.
        step: Seconds from frame to frame.
    """
    values, wrong = local(explanation)[row], errors(explanation)
    owners = _owners(explanation, row, key)
    edges = [0, *(np.flatnonzero((owners[:, 1:] != owners[:, :-1]).any(0)) + 1).tolist(), owners.shape[1]]
    found = []
    for start, end in itertools.pairwise(edges):
        mine = np.unique(owners[:, start])
        error = None if wrong is None else float(np.sqrt((wrong[row, mine] ** 2).sum()))
        found.append(Band(start * step, end * step, float(values[mine].sum()), error))
    return found


def _owners(explanation: Explanation, row: int, key: str) -> Array:
    """The player of every place of a sound. Shape: → frequencies frames"""
    players = explanation.question.players
    return np.asarray(players.rows(key)[row if players.own else 0][0].cpu().numpy())


def _places(explanation: Explanation, row: int, key: str) -> Array | None:
    """The share of every place where pitches are told apart, else None. Shape: → frequencies frames"""
    entries = (explanation.attribution.entries or {}).get(key)
    if entries is not None:
        return np.asarray(np.nan_to_num(entries[row].double().sum(0).cpu().numpy()))
    owners = _owners(explanation, row, key)
    return local(explanation)[row][owners] if (owners != owners[:1]).any() else None


def coloured(explanation: Explanation, row: int, key: str, sound: Sound, limit: float | None = None) -> go.Figure:
    """Waveform and spectrogram under the shares of bands of time, or of single entries where a method gives them.

    Args:
        explanation: Of a method that answers for every row.
        row: The row's position.
        key: The sound's view.
        sound: What is drawn.
        limit: The share that has the full colour; None for the sound's largest.
    """
    row, column = checked(explanation, row), explanation.question.specs[key].columns[0]
    bands, places = bands_of(explanation, row, key, sound.step), _places(explanation, row, key)
    single = key in (explanation.attribution.entries or {})
    if single and places is not None:  # each column of the spectrogram is a band, as finely as is known
        bands = [Band(at * sound.step, (at + 1) * sound.step, float(v)) for at, v in enumerate(places.sum(0))]
    most = max((abs(each.value) for each in bands), default=0.0)
    full = (None if single else limit) or most or 1.0
    heat = _of_bands(sound, bands, full) if places is None else _of_places(sound, places, None if single else full)
    figure = go.Figure([_wave(sound, bands, full), _spectrogram(sound), heat])
    window = max(sound.seconds, sound.seen.shape[1] * sound.step)
    figure.update_layout(
        xaxis={"title": {"text": "seconds"}, "range": [0, window], "anchor": "y2", "showgrid": False},
        yaxis={"domain": [0.64, 1], "range": [-1, 1], "visible": False, "fixedrange": True},
        yaxis2={"domain": [0, 0.58], "title": {"text": "pitch"}, "tickvals": [], "fixedrange": True},
        margin={"b": 88},
        bargap=0,
        showlegend=False,
        dragmode="pan",
    )
    strongest = sorted(bands, key=lambda each: -abs(each.value))[:5]
    said = f"Row {row_name(explanation, row)}: when in {column} counts for {quantity(explanation)}"
    told = ", ".join(f"{_span(each)} {_number(each)}" for each in strongest if each.value)
    return finish(figure, said, caption(explanation), TALL + 60, f"{said}. Most of all: {told or 'nothing'}")


def player(sound: Sound, name: str, most_bytes: int) -> str:
    """The browser's own player with the sound in it, as HTML."""
    address, seconds = clip(sound.samples, sound.rate, most_bytes)
    if not seconds:
        return "<p>The sound holds no samples to be played.</p>"
    short = seconds < sound.seconds - 0.01
    note = f'<p class="note">The first {format_number(seconds)} of {format_number(sound.seconds)} seconds.</p>'
    return (
        f'<audio controls preload="metadata" aria-label="{html.escape(name)}" src="{address}"></audio>'
        f"{note if short else ''}"
    )


def _wave(sound: Sound, bands: Sequence[Band], full: float) -> go.Bar:
    """Strokes from the least to the largest sample of a short while, each in the colour of its band."""
    parts = min(PARTS, max(1, len(sound.samples)))
    edges = np.linspace(0, len(sound.samples), parts + 1).astype(int)
    loudest = float(np.abs(sound.samples).max(initial=0.0)) or 1.0
    pieces = [sound.samples[start:end] / loudest for start, end in itertools.pairwise(edges)]
    low = np.array([each.min(initial=0.0) for each in pieces], np.float32)
    high = np.array([each.max(initial=0.0) for each in pieces], np.float32)
    middle = (edges[:-1] + edges[1:]) / 2 / sound.rate
    starts = np.array([each.start for each in bands])
    place = np.clip(np.searchsorted(starts, middle, side="right") - 1, 0, None)
    inside = middle < (bands[-1].end if bands else 0.0)
    values = np.array([each.value for each in bands] or [0.0])[place] * inside
    words = [_told(bands[at]) if there else "not looked at" for at, there in zip(place, inside, strict=True)]
    return go.Bar(
        x=middle.astype(np.float32),
        y=np.maximum(high - low, 0.02),
        base=np.round((low - np.maximum(0.02 - (high - low), 0) / 2).astype(np.float64), 3),  # Plotly writes it out
        width=1.1 * sound.seconds / parts,  # no hairline between two strokes
        marker={"color": [_tint(value / full) for value in values], "line": {"width": 0}},
        hovertext=words,
        hoverinfo="text",
    )


def _tint(share: float) -> str:
    """From the colour of what lowers to that of what raises, by way of grey: a waveform is seen whatever its share."""
    part, end = min(abs(share), 1.0), RAISES if share > 0 else LOWERS
    mixed = [round(int(QUIET[at : at + 2], 16) * (1 - part) + int(end[at : at + 2], 16) * part) for at in (1, 3, 5)]
    return "#" + "".join(f"{each:02x}" for each in mixed)


def _spectrogram(sound: Sound) -> go.Heatmap:
    """What the network saw, in greys."""
    low, high = float(sound.seen.min(initial=0.0)), float(np.percentile(sound.seen, LOUDEST))
    grey = (sound.seen - low) / ((high - low) or 1.0) * 100
    return go.Heatmap(
        z=np.clip(np.round(grey), 0, 100).astype(np.int8),  # a byte an entry
        x0=sound.step / 2,
        dx=sound.step,
        yaxis="y2",
        colorscale=GREYS,
        zmin=0,
        zmax=100,
        showscale=False,
        hoverinfo="skip",
    )


def _of_bands(sound: Sound, bands: Sequence[Band], full: float) -> go.Heatmap:
    """The shares of whole bands over the spectrogram."""
    edges = np.array([0.0, *(each.end for each in bands)], np.float32)
    heat = _heat(np.array([[each.value for each in bands]]), edges, len(sound.seen), full)
    return heat.update(hovertext=[[_told(each) for each in bands]], hoverinfo="text")


def _of_places(sound: Sound, places: Array, full: float | None) -> go.Heatmap:
    """The shares of single places over the spectrogram. Shape of ``places``: frequencies frames"""
    most = full or float(np.abs(places).max()) or 1.0
    edges = (np.arange(places.shape[1] + 1) * sound.step).astype(np.float32)
    told = f"%{{x:.2f}} s<br>%{{z}} % of {format_number(most)}<extra></extra>"
    return _heat(places, edges, len(places), most).update(hovertemplate=told)


def _heat(shares: Array, edges: Array, count: int, most: float) -> go.Heatmap:
    """Shares over a spectrogram of so many lines, a byte each."""
    words = [format_signed(-most, 2), "share", format_signed(most, 2)]  # a title would lie over the bar
    return go.Heatmap(
        z=np.clip(np.round(shares / most * 100), -100, 100).astype(np.int8),
        x=edges,
        y=np.linspace(-0.5, count - 0.5, len(shares) + 1).astype(np.float32),
        yaxis="y2",
        colorscale=SIGNED,
        zmin=-100,
        zmax=100,
        opacity=0.7,
        colorbar={**COLOURBAR, "tickvals": [-100, 0, 100], "ticktext": words},
    )


def _span(band: Band) -> str:
    return f"{band.start:.2f}–{band.end:.2f} s"


def _number(band: Band) -> str:
    return format_signed(band.value) + (f" ± {format_number(band.error, 2)}" if band.error else "")


def _told(band: Band) -> str:
    return f"{_span(band)}<br>{_number(band)}" if math.isfinite(band.value) else _span(band)

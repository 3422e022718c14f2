from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autodl.attribution import Players
from autodl.explaining.explanation import Explanation
from autodl.report.page import Plot, Section, write_page
from autodl.report.sounds import Sound, bands_of, coloured, player, stored
from autodl.report.style import QUIET, RAISES

STEP = 0.05


@pytest.fixture
def told(make_mixed: Callable[..., Explanation]) -> Explanation:
    return make_mixed()


@pytest.fixture
def sound(told: Explanation) -> Sound:
    samples = np.sin(np.arange(8_000) / 20).astype(np.float32) * np.linspace(0, 1, 8_000, dtype=np.float32)
    return Sound(samples, 8_000, told.question.inputs["call"][1, 0].double().numpy(), STEP)


def test_bands_are_the_seconds_of_their_frames(told: Explanation) -> None:
    bands = bands_of(told, 1, "call", STEP)
    assert [each.start for each in bands] == pytest.approx([0, 0.25, 0.5, 0.75])
    assert [each.end for each in bands] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert [each.value for each in bands] == pytest.approx(list(told.values.iloc[1].filter(like="call")))
    assert bands[0].error == pytest.approx(0.003)


def test_a_spectrogram_is_drawn_as_it_sounds(told: Explanation) -> None:
    seen = told.question.inputs["call"][1, 0].double().numpy()
    np.testing.assert_array_equal(stored(told, 1, "call"), seen)
    offset, scale = torch.arange(6.0)[None, :, None], torch.full((1, 6, 1), 0.5)
    specs = {**told.question.specs, "call": replace(told.question.specs["call"], offset=offset, scale=scale)}
    scaled = replace(told, question=replace(told.question, specs=specs))
    np.testing.assert_allclose(stored(scaled, 1, "call"), seen * 2 + np.arange(6)[:, None])


def divided(told: Explanation) -> Explanation:
    """The same with two pitches in each of two bands of time."""
    whole = told.question.players
    first = whole.names.index("call band 1")
    index = (torch.arange(20) // 10 * 2 + torch.arange(6)[:, None] // 3 + first).expand(2, 1, 6, 20)
    players = Players(whole.names, {**whole.index, "call": index}, own=True)
    return replace(told, question=replace(told.question, players=players))


def test_pitches_of_one_moment_count_together_and_are_drawn_apart(told: Explanation, sound: Sound) -> None:
    values = told.values.iloc[1].filter(like="call").to_numpy()
    bands = bands_of(divided(told), 1, "call", STEP)
    assert [each.value for each in bands] == pytest.approx([values[:2].sum(), values[2:].sum()])
    heat = coloured(divided(told), 1, "call", sound, limit=0.1).data[2]
    assert heat.z.shape == (6, 20)
    np.testing.assert_array_equal(heat.z[[0, 5], 0], np.round(values[:2] * 1000))


def test_waveform_spectrogram_and_shares_lie_on_one_axis_of_time(told: Explanation, sound: Sound) -> None:
    figure = coloured(told, 1, "call", sound, limit=0.2)
    wave, grey, heat = figure.data
    assert [trace.type for trace in figure.data] == ["bar", "heatmap", "heatmap"]
    assert {trace.xaxis for trace in figure.data} == {None}  # the one there is
    assert (wave.yaxis, grey.yaxis, heat.yaxis) == (None, "y2", "y2")
    assert figure.layout.xaxis.range == (0, 1)
    assert (grey.x0, grey.dx) == (STEP / 2, STEP)
    np.testing.assert_allclose(heat.x, [0, 0.25, 0.5, 0.75, 1], atol=1e-6)
    values = told.values.iloc[1].filter(like="call").to_numpy()
    np.testing.assert_array_equal(heat.z[0], np.round(values / 0.2 * 100))
    assert "call band" not in figure.layout.meta["title"]
    assert f"0.75–1.00 s +{values[-1]:.3g}" in figure.layout.meta["alt"]


def test_strokes_have_the_colour_of_their_band_and_grey_where_there_is_none(told: Explanation, sound: Sound) -> None:
    values = told.attribution.values.clone()
    values[1, -4:] = torch.tensor([0.0, 0.0, 0.0, 0.5])
    loud = replace(told, attributions=(replace(told.attribution, values=values),))
    wave = coloured(loud, 1, "call", sound, limit=0.5).data[0]
    assert wave.marker.color[0] == QUIET
    assert wave.marker.color[-1] == RAISES
    assert (wave.base + wave.y <= 1.02).all()
    longer = Sound(np.ones(16_000, np.float32), 8_000, sound.seen, STEP)  # than what is looked at
    assert coloured(loud, 1, "call", longer).data[0].hovertext[-1] == "not looked at"


def test_entries_are_drawn_as_finely_as_they_are_known(make_mixed: Callable[..., Explanation], sound: Sound) -> None:
    entries = {"call": torch.arange(240.0).view(2, 1, 6, 20) - 120}
    heat = coloured(make_mixed(entries=entries), 1, "call", sound, limit=1e-9).data[2]
    assert heat.z.shape == (6, 20)
    assert heat.z.max() == 100  # by a scale of its own
    assert len(coloured(make_mixed(), 1, "call", sound).to_json()) < 40_000


def test_a_player_holds_the_sound_and_says_what_it_leaves_out(sound: Sound, outline: Any) -> None:
    html = player(sound, 'a "<b>" sound', 10**5)
    (audio,) = outline(html).of("audio")
    assert audio["src"].startswith("data:audio/wav;base64,")
    assert audio["aria-label"] == 'a "<b>" sound'
    assert "controls" in audio
    assert "The first" not in html
    assert "The first 0.0" in player(sound, "s", 2_000)
    assert "no samples" in player(Sound(np.zeros(0), 8_000, sound.seen, STEP), "s", 10**5)


def test_silence_is_drawn_too(told: Explanation) -> None:
    silence = Sound(np.zeros(0, np.float32), 8_000, np.zeros((6, 20)), STEP)
    assert len(coloured(told, 1, "call", silence).data) == 3


def test_a_line_runs_along_the_figure_while_the_sound_plays(
    tmp_path: Path, visit: Callable[..., Any], told: Explanation, sound: Sound
) -> None:
    plot = Plot.of(coloured(told, 1, "call", sound), below=player(sound, "call", 10**5))
    write_page(tmp_path / "page.html", "t", [Section("s", "s", [plot])], {})
    seen = visit(tmp_path / "page.html")
    seen.page.wait_for_selector(".main-svg")
    seen.page.wait_for_function("document.querySelector('audio').duration === 1")
    assert seen.page.locator(".cursor").is_hidden()
    seen.page.evaluate("document.querySelector('audio').currentTime = 0.5")
    seen.page.wait_for_selector(".cursor")
    canvas, line = seen.page.locator(".canvas").bounding_box(), seen.page.locator(".cursor").bounding_box()
    size = seen.page.evaluate(
        "(() => { const { l, w } = document.querySelector('.canvas')._fullLayout._size; return [l, w]; })()"
    )
    assert line["x"] - canvas["x"] == pytest.approx(size[0] + size[1] / 2, abs=2)
    seen.page.mouse.click(canvas["x"] + size[0] + size[1] / 4, canvas["y"] + 60)
    assert seen.page.evaluate("document.querySelector('audio').currentTime") == pytest.approx(0.25, abs=0.02)
    assert seen.errors == []

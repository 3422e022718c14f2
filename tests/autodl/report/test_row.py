from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autodl.explaining.explanation import Explanation
from autodl.explaining.findings import Findings
from autodl.report._row import Seen, of_rows, row_parts, shares
from autodl.report.page import Fragment, Plot, Section, page

STEP, WAVE = 0.05, (np.ones(8_000, np.float32), 8_000)
INPUTS = {"table": "columns", "photo": "photo", "review": "review", "call": "call"}


@pytest.fixture
def seen(make_mixed: Callable[..., Explanation], cut: Callable[..., Any]) -> Callable[..., Seen]:
    """One row of the mixed explanation, as a page sees it."""

    def make(row: int = 1, wave: Any = WAVE, **changes: Any) -> Seen:
        sound = SimpleNamespace(waveform=lambda cell: wave, seconds_per_frame=STEP)
        modalities = {"review": SimpleNamespace(pieces=cut), "call": sound}
        return Seen(make_mixed(**changes), row, modalities, INPUTS, 10**5)

    return make


def parts(seen: Seen) -> list[Plot | Fragment]:
    return list(row_parts(Findings(seen.explanation, np.arange(2)), seen))


def test_players_are_grouped_by_the_input_that_they_are_part_of(seen: Callable[..., Seen]) -> None:
    groups = seen().groups()
    names = seen().explanation.players
    assert {name: {names[each].rsplit(" ", 1)[0] for each in members} for name, members in groups.items()} == {
        "columns": {"age"},
        "photo": {"photo segment"},
        "review": {"review word"},
        "call": {"call band"},
    }
    assert sorted(each for members in groups.values() for each in members) == list(range(len(names)))


def test_inputs_stand_side_by_side_and_then_each_in_its_own_way(seen: Callable[..., Seen], outline: Any) -> None:
    found = parts(seen())
    titles = [part.title if isinstance(part, Plot) else "text" for part in found]
    assert titles == [
        "Row 1: what each input brings to probability of left = yes",
        titles[1],
        "Row 1: photo as the network saw it",
        "Row 1: what in photo counts for probability of left = yes",
        "text",
        "Row 1: when in call counts for probability of left = yes",
    ]
    assert titles[1].startswith("Row 1: probability of left = yes is ")
    assert outline(page("t", [Section("s", "s", found)], {})).of("audio")


def test_all_of_a_row_has_one_scale(seen: Callable[..., Seen]) -> None:
    row = seen()
    assert row.limit == pytest.approx(0.1)
    *_, picture, text, sound = parts(row)
    assert isinstance(picture, Plot)
    assert isinstance(text, Fragment)
    assert isinstance(sound, Plot)
    assert list(picture.figure.data[1].colorbar.ticktext) == ["−0.1", "0", "0.1"]
    assert '<span class="number">+0.1</span>' in text.html
    assert sound.figure.data[2].colorbar.ticktext[2] == "+0.1"


def test_words_are_named_by_their_letters(seen: Callable[..., Seen]) -> None:
    way = parts(seen())[1]
    assert isinstance(way, Plot)
    assert any("review word 5 = was" in each or "= fresh" in each for each in way.figure.layout.yaxis.ticktext)


def test_what_a_row_lacks_is_not_drawn(seen: Callable[..., Seen]) -> None:
    assert len(parts(seen(row=0))) == 2
    assert "cannot be read any more" in parts(seen(wave=None))[-1].html  # type: ignore[union-attr]


def test_methods_without_shares_of_rows_show_the_picture_alone(seen: Callable[..., Seen]) -> None:
    whole = seen()
    everywhere = seen(values=whole.explanation.attribution.values[:1])
    assert not of_rows(everywhere.explanation)
    assert [part.title for part in parts(everywhere) if isinstance(part, Plot)] == [
        "Row 1: photo as the network saw it"
    ]


def test_shares_that_need_not_sum_are_bars(seen: Callable[..., Seen]) -> None:
    assert "shares in" in shares(seen(completeness_gap=None).explanation, 1).layout.meta["title"]


def test_maps_are_drawn_on_the_users_own_picture(seen: Callable[..., Seen], tmp_path: Path) -> None:
    """A view of feature maps has no pixels to be seen; a file that is gone is told in a sentence."""
    row = seen()
    told = row.explanation
    spec = told.question.specs["photo"]
    question = replace(
        told.question,
        inputs={**told.question.inputs, "photo": told.question.inputs["photo"][:, :1].repeat(1, 1280, 1, 1)},
        specs={**told.question.specs, "photo": replace(spec, shape=(1280, 8, 8))},
    )
    Image.new("RGB", (600, 300), (255, 0, 0)).save(tmp_path / "a.png")
    for path, count in ((str(tmp_path / "a.png"), 2), ("gone.png", 0)):
        frame = told.rows.assign(photo=[None, path])
        mapped = replace(row, explanation=replace(told, question=question, rows=frame))
        found = parts(mapped)
        drawn = [part for part in found if isinstance(part, Plot) and "photo" in part.title]
        assert len(drawn) == count
        if drawn:
            assert drawn[0].title == "Row 1: photo as it is"
            assert drawn[0].figure.layout.images[0].source.startswith("data:image/jpeg")
            assert drawn[0].figure.layout.yaxis.scaleratio == 0.5
        else:
            assert "there is no file gone.png" in "".join(part.html for part in found if isinstance(part, Fragment))

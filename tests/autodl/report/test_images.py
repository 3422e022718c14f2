from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from autodl.attribution import Players
from autodl.errors import ExplanationError, UnknownNameError
from autodl.explaining.explanation import Explanation
from autodl.report.images import borders, heat, original, overlay, picture_input, pixels, segments


def test_the_stored_image_comes_back_from_what_the_network_saw(picture: Explanation) -> None:
    image = pixels(picture, 0, "photo")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image[:, 3, 1], np.full(16, 3 * 255 // 16))
    assert set(np.unique(image[..., 0])) == {30, 230}


def test_the_picture_in_the_figure_is_the_image_enlarged(picture: Explanation) -> None:
    (layer,) = original(picture, 0).layout.images
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(layer.source.split(",")[1]))))
    np.testing.assert_array_equal(shown[::14, ::14], pixels(picture, 0, "photo"))
    assert (layer.sizex, layer.sizey, layer.layer) == (16, 16, "below")


def test_grey_images_and_those_of_a_module_s_own_can_be_drawn(make_pictured: Callable[..., Explanation]) -> None:
    grey = make_pictured(channels=1)
    assert pixels(grey, 0, "photo").shape == (16, 16, 3)
    free = replace(grey, question=replace(grey.question, specs={}))
    assert (pixels(free, 0, "photo").min(), pixels(free, 0, "photo").max()) == (0, 255)


def test_heat_is_of_pixels_where_there_is_such_and_else_of_segments(make_pictured: Callable[..., Explanation]) -> None:
    told = make_pictured()
    assert told.attribution.entries is not None
    np.testing.assert_allclose(heat(told, 1, "photo"), told.attribution.entries["photo"][1].sum(0))
    coarse = make_pictured(entries=False)
    np.testing.assert_allclose(heat(coarse, 1, "photo")[::4, ::4].ravel(), coarse.values.iloc[1], rtol=1e-6)
    everywhere = replace(coarse.attribution, values=torch.zeros(1, 16))
    with pytest.raises(ExplanationError, match="all rows"):
        heat(replace(coarse, attributions=(everywhere,)), 1, "photo")


def test_the_overlay_takes_a_byte_a_pixel_and_fades_without_the_page_s_help(picture: Explanation) -> None:
    figure = overlay(picture, 0)
    (place,) = [at for at, trace in enumerate(figure.data) if trace.type == "heatmap"]
    z = figure.data[place].z
    assert z.dtype == np.int8
    assert z.max() == 100
    assert (np.sign(z) == np.sign(heat(picture, 0, "photo"))).all()
    (slider,) = figure.layout.sliders
    assert slider.steps[0].args == ({"opacity": 0.0}, (place,))
    assert slider.steps[slider.active].args[0]["opacity"] == figure.data[place].opacity
    assert figure.data[place].zmin == -100
    assert "Forced: layer 3 (GELU)" in figure.layout.meta["caption"]
    assert len(figure.to_json()) < 30_000


def test_heat_without_a_sign_starts_at_nothing(picture: Explanation) -> None:
    assert picture.attribution.entries is not None
    plain = {"photo": picture.attribution.entries["photo"].abs()}
    told = replace(picture, attributions=(replace(picture.attribution, entries=plain),))
    assert overlay(told, 0, outline=False).data[-1].zmin == 0


def test_borders_lie_between_segments_and_nowhere_else(picture: Explanation) -> None:
    line = borders(picture, 0, "photo")
    assert len(line.x) == 3 * 16 * (3 + 3)  # a stroke and a hole for each pixel along three lines each way
    ends = np.stack([line.x, line.y], 1).reshape(-1, 3, 2)[:, :2]
    straight = ends[:, 0] == ends[:, 1]
    assert (straight.sum(1) == 1).all()
    assert set(ends[:, 0][straight] % 4) == {3.5}  # the edges of squares of four pixels
    whole = replace(
        picture.question, players=Players(("photo",), {"photo": torch.zeros(4, 3, 16, 16, dtype=torch.long)}, own=True)
    )
    assert not len(borders(replace(picture, question=whole), 0, "photo").x)


def test_segments_are_drawn_where_there_are_any(make_pictured: Callable[..., Explanation]) -> None:
    assert len(segments(make_pictured(), 0).data) == 2
    with pytest.raises(ExplanationError, match="explain with segments"):
        segments(make_pictured(own=False), 0)
    assert [trace.type for trace in overlay(make_pictured(own=False), 0).data] == ["scatter", "heatmap"]


def test_what_is_no_image_is_refused(picture: Explanation, table: Explanation) -> None:
    assert picture_input(picture) == "photo"
    with pytest.raises(ExplanationError, match="there is none among table"):
        overlay(table, 0)
    with pytest.raises(ExplanationError, match="'table' is none"):
        overlay(table, 0, "table")
    with pytest.raises(UnknownNameError, match="photo"):
        overlay(picture, 0, "photos")
    with pytest.raises(ExplanationError, match="it is missing"):
        overlay(picture, 3)


def test_shares_of_segments_can_have_the_scale_of_a_row_and_those_of_pixels_keep_their_own(
    make_pictured: Callable[..., Explanation],
) -> None:
    coarse = overlay(make_pictured(entries=False), 0, limit=2.0).data[1]
    assert list(coarse.colorbar.ticktext) == ["−2", "0", "2"]
    assert np.abs(coarse.z).max() <= 3
    fine = overlay(make_pictured(), 0, limit=2.0).data[1]
    assert fine.z.max() == 100


def test_sounds_are_no_pictures(make_mixed: Callable[..., Explanation]) -> None:
    assert picture_input(make_mixed()) == "photo"
    with pytest.raises(ExplanationError, match="'call' is none"):
        picture_input(make_mixed(), "call")

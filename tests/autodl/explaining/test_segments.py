from __future__ import annotations

import torch

from autodl.explaining._segments import divided
from autodl.records import InputSpec


def spec(*shape: int) -> InputSpec:
    return InputSpec(shape, ("photo",), torch.zeros(shape).long(), torch.zeros(shape))


def halves(height: int, width: int) -> torch.Tensor:
    image = torch.zeros(1, 1, height, width)
    image[..., width // 2 :] = 5
    return image


def test_the_view_with_most_pixels_tells_segments_not_features_of_an_image() -> None:
    """Features are many, and coarse."""
    specs = {"a": spec(1280, 2, 2), "b": spec(1, 8, 8), "c": spec(1, 16, 16)}
    inputs = {"a": torch.randn(1, 1280, 2, 2), "b": halves(8, 8), "c": halves(16, 16)}
    found = divided(specs, inputs, 8)
    alone = divided({"c": specs["c"]}, inputs, 8)
    assert torch.equal(found["c"], alone["c"])
    assert torch.equal(found["a"][0, 0], found["c"][0, 0, 4::8, 4::8])
    assert found["a"].shape == (1, 1280, 2, 2)


def test_features_alone_are_divided_place_by_place() -> None:
    found = divided({"a": spec(1280, 2, 3)}, {"a": torch.randn(2, 1280, 2, 3)}, 24)
    assert found["a"][0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    many = divided({"a": spec(64, 10, 10)}, {"a": torch.randn(1, 64, 10, 10)}, 24)["a"]
    assert int(many.max()) < 24
    assert (many[0, 0, :3, :3] == 0).all()


def test_features_of_a_missing_image_are_one_segment() -> None:
    found = divided({"a": spec(8, 2, 2)}, {"a": torch.full((1, 8, 2, 2), torch.nan)}, 24)
    assert not found["a"].any()

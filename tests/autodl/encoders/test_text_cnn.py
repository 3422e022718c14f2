from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from autodl.contracts import Dropout
from autodl.encoders._windows import BestWindow
from autodl.encoders.text_cnn import TextCnn
from autodl.testing.encoder import build, image_spec, rows, text_spec

IDS = text_spec(9, vocabulary=20)
VECTORS = text_spec(9, entries=5)
SETTINGS: dict[str, Any] = {"width": 32, "filters": 32}


@pytest.mark.parametrize("spec", [IDS, VECTORS], ids=["ids", "vectors"])
def test_padding_is_not_seen(spec: Any) -> None:
    """Before, behind, or for a text that is all padding."""
    encoder = build(TextCnn, spec, SETTINGS).double().eval()
    x = rows(spec, 4).double()
    padded = nn.functional.pad(x, (0, 0, 3, 11))
    torch.testing.assert_close(encoder(padded), encoder(x))
    torch.testing.assert_close(encoder(0 * padded), encoder(0 * x))


def test_order_counts_under_wide_filters_only() -> None:
    x = torch.arange(1.0, 10.0, dtype=torch.float64).view(1, 9, 1)
    narrow = build(TextCnn, IDS, {**SETTINGS, "smallest": 1, "sizes": 1}).double().eval()
    wide = build(TextCnn, IDS, {**SETTINGS, "smallest": 2, "sizes": 1}).double().eval()
    torch.testing.assert_close(narrow(x), narrow(x.flip(1)))
    assert not torch.allclose(wide(x), wide(x.flip(1)))


@pytest.mark.parametrize(("smallest", "sizes", "expected"), [(1, 1, [1]), (2, 3, [2, 3, 4]), (3, 2, [3, 4])])
def test_sizes_rise_one_by_one(smallest: int, sizes: int, expected: list[int]) -> None:
    encoder = TextCnn(IDS, **SETTINGS, smallest=smallest, sizes=sizes)
    assert [part.size for part in encoder.modules() if isinstance(part, BestWindow)] == expected
    assert encoder.width == 32 * sizes


def test_whole_entries_and_whole_filters_are_dropped() -> None:
    encoder = TextCnn(IDS, **SETTINGS, sizes=2)
    assert [site.shape for site in encoder.modules() if isinstance(site, Dropout)] == [(1, 32), (64,)]


def test_accepts_texts_only() -> None:
    assert TextCnn.accepts(IDS)
    assert TextCnn.accepts(VECTORS)
    assert not TextCnn.accepts(image_spec())


def test_it_convolves() -> None:
    assert TextCnn.convolutional

from __future__ import annotations

import torch

from autodl.encoders.linear import Linear
from autodl.testing.encoder import image_spec, rows, table_spec


def test_features_pass_through() -> None:
    spec = table_spec(numeric=2, categories=(3,))
    encoder, x = Linear(spec), rows(spec, 4)
    assert torch.equal(encoder(x), x.unsqueeze(1))
    assert not list(encoder.parameters())
    assert encoder.width == 5


def test_images_are_flattened_whatever_their_memory_format() -> None:
    spec = image_spec(3, 4, 5)
    encoder, x = Linear(spec), rows(spec, 2)
    assert torch.equal(encoder(x.to(memory_format=torch.channels_last)), x.flatten(1).unsqueeze(1))
    assert encoder.width == 60


def test_with_bins_it_is_additive_over_features() -> None:
    """The tokens of one feature do not hang on another."""
    spec = table_spec(numeric=2)
    encoder = Linear(spec, embedding="piecewise_linear", embedding_width=4, bins=8)
    x = rows(spec, 3)
    changed = x.clone()
    changed[:, 1] += 1
    assert torch.equal(encoder(x)[..., :4], encoder(changed)[..., :4])
    assert not torch.equal(encoder(x)[..., 4:], encoder(changed)[..., 4:])


def test_embedding_parameters_lie_below_embedding() -> None:
    encoder = Linear(table_spec(numeric=2), embedding="periodic")
    assert all(name.startswith("embedding.") for name, _ in encoder.named_parameters())


def test_accepts_vectors_and_images() -> None:
    assert Linear.accepts(table_spec(numeric=1))
    assert Linear.accepts(image_spec(1, 2, 2))
    assert not Linear.accepts(image_spec(1, 0, 2))

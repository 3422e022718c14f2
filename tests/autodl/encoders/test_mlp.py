from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from captum.attr import DeepLift
from torch import Tensor, nn

from autodl.contracts import Dropout
from autodl.encoders._activations import Parametric
from autodl.encoders.mlp import Mlp
from autodl.errors import SpaceError, UnknownNameError
from autodl.testing.encoder import image_spec, rows, table_spec

ARTICLE = {"depth": 2, "width": 10, "activation": "relu", "normalisation": "none", "dropout": 0.0}


def linears(encoder: nn.Module) -> list[nn.Linear]:
    return [module for module in encoder.modules() if isinstance(module, nn.Linear)]


def textbook(encoder: Mlp, x: Tensor, normalisation: str) -> Tensor:
    for layer in linears(encoder):
        x = torch.stack([layer.weight @ row + layer.bias for row in x])
        if normalisation == "layer":
            x = torch.stack([(row - row.mean()) / (row.var(unbiased=False) + 1e-5).sqrt() for row in x])
        if normalisation == "rms":
            x = torch.stack([row / (row.square().mean() + 1e-6).sqrt() for row in x])
        x = x.clamp(min=0)
    return x.unsqueeze(1)


@pytest.mark.parametrize("normalisation", ["none", "layer", "rms"])
def test_is_the_textbooks(normalisation: str) -> None:
    spec = table_spec(numeric=3, categories=(2,))
    encoder = Mlp(spec, depth=3, width=8, normalisation=normalisation).double().eval()
    x = rows(spec, 4).double()
    torch.testing.assert_close(encoder(x), textbook(encoder, x, normalisation))


def test_the_articles_network() -> None:
    """2 → 10 → 10; the last 10 → 1 is the network's head."""
    encoder = Mlp(table_spec(numeric=2), **ARTICLE)
    assert [tuple(layer.weight.shape) for layer in linears(encoder)] == [(10, 2), (10, 10)]
    assert sum(p.numel() for p in encoder.parameters()) == (2 * 10 + 10) + (10 * 10 + 10)
    assert encoder.width == 10


def test_a_layers_order() -> None:
    encoder = Mlp(table_spec(numeric=2), depth=1, width=32, normalisation="layer", activation="mish")
    assert [type(part) for part in encoder.layers] == [nn.Linear, nn.LayerNorm, nn.Mish, Dropout]


def test_images_are_flattened() -> None:
    encoder = Mlp(image_spec(3, 8, 8), depth=1, width=32)
    assert linears(encoder)[0].in_features == 192


def test_dropout_is_there_even_at_zero() -> None:
    """Members of a pack differ in its rate."""
    encoder = Mlp(table_spec(numeric=2), depth=2, width=32, dropout=0.0)
    assert [site.shape for site in encoder.modules() if isinstance(site, Dropout)] == [(32,), (32,)]


def test_dropout_is_unbiased() -> None:
    torch.manual_seed(0)
    encoder = Mlp(table_spec(numeric=2), depth=1, width=32, dropout=0.4)
    x = rows(table_spec(numeric=2), 1).expand(20_000, -1)
    noisy, still = encoder.train()(x), encoder.eval()(x[:1])
    alive = still.squeeze() > 0.1
    torch.testing.assert_close(
        (noisy == 0).float().mean(0).squeeze()[alive], torch.full((32,), 0.4)[alive], rtol=0, atol=0.02
    )
    torch.testing.assert_close(noisy.mean(0)[0, alive], still[0, 0, alive], rtol=0.05, atol=0)


def test_embedded_numbers_and_bare_categories_reach_the_first_layer() -> None:
    spec = table_spec(numeric=3, categories=(4, 2))
    encoder = Mlp(spec, width=32, embedding="periodic", embedding_width=8)
    assert encoder.layers[0].in_features == 3 * 8 + 6
    below = [name for name, _ in encoder.named_parameters() if "embedding" in name.split(".")]
    assert len(below) == 3  # frequencies, and the shared map's weight and bias: Muon leaves them alone


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
def test_deep_lift_is_exact_on_relu() -> None:
    """Each activation is a module of its own, used once, so that shares sum to the difference from the baseline."""
    spec = table_spec(numeric=4)
    network = nn.Sequential(Mlp(spec, depth=3, width=32).double(), nn.Flatten(), nn.Linear(32, 2).double()).eval()
    x, baseline = rows(spec, 6).double(), spec.baseline.double().unsqueeze(0)
    shares = DeepLift(network).attribute(x.requires_grad_(), baseline.requires_grad_(), target=1)
    gap = shares.sum(1) - (network(x) - network(baseline))[:, 1]
    assert gap.abs().max() < 1e-12


def test_limits_are_wider_than_the_range() -> None:
    Mlp(table_spec(numeric=1), depth=12, width=1)
    with pytest.raises(SpaceError, match="width must lie in"):
        Mlp(table_spec(numeric=1), width=5000)
    with pytest.raises(UnknownNameError, match="did you mean 'depth'"):
        Mlp(table_spec(numeric=1), dept=2)


def test_huge_images_get_narrow_layers() -> None:
    width = Mlp.space_for(image_spec(3, 224, 224))["width"]
    assert width.allows(64)
    assert width.center() == 64


def test_a_front_scale_takes_what_numbers_become() -> None:
    spec = table_spec(numeric=3, categories=(4, 2))
    encoder = Mlp(spec, width=32, front_scale=True, embedding="periodic", embedding_width=8)
    assert encoder.layers[0].factor.shape == (3 * 8 + 6,)


def test_every_hidden_layer_may_bend_by_a_parameter_of_each_unit() -> None:
    encoder = Mlp(table_spec(numeric=3), depth=2, width=32, activation="mish", parametric=True)
    bends = [part for part in encoder.layers if isinstance(part, Parametric)]
    assert [(type(bend.activation), bend.amount.shape) for bend in bends] == [(nn.Mish, (32,))] * 2


def test_first_weights_may_fit_the_data() -> None:
    """Every unit answers with a spread of 1, wherever the numbers lie, and is alive on some rows."""
    spec = table_spec(numeric=3)
    assert spec.quantiles is not None
    spec = replace(spec, quantiles=100 * spec.quantiles + 1000)
    for settings in ({}, {"embedding": "piecewise_linear"}, {"front_scale": True, "normalisation": "layer"}):
        torch.manual_seed(0)
        encoder = Mlp(spec, depth=2, width=64, dropout=0.5, initialisation="data", **settings).eval()
        tokens = encoder(rows(spec, 256)).squeeze(1)
        assert tokens.square().mean().sqrt() < 5
        assert ((tokens > 0).float().mean(0) > 0).all()


def test_initialisation_by_data_is_offered_where_there_are_quantiles() -> None:
    assert "initialisation" in Mlp.space_for(table_spec(numeric=3))
    assert "initialisation" not in Mlp.space_for(image_spec())

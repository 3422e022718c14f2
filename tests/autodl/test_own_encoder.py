from __future__ import annotations

import textwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from autodl import own, registry
from autodl.contracts import Dropout, Encoder
from autodl.errors import PluginError, TrialError
from autodl.records import InputSpec
from autodl.space import Choice, Float, Integer, Space
from autodl.testing.encoder import EncoderSuite, table_spec


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_registered", {})
    monkeypatch.setattr(registry.encoders, "_own", {})


def spec_of(*shape: int) -> InputSpec:
    return InputSpec(shape, ("a",), torch.zeros(shape, dtype=torch.int64), torch.zeros(shape))


class Plain(nn.Module):
    """A layer and a dropout."""

    space = Space(
        width=Integer(4, 8, default=6, doc="units"),
        dropout=Float(0.0, 0.5, default=0.25, per_member=True, doc="share dropped"),
    )
    accepts = "vector"

    def __init__(self, shape: tuple[int, ...], width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(shape[0], width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


def make(body: str = "return self.layer(x)", init: str = "", **attributes: object) -> type[nn.Module]:
    """A module with one linear layer, whose forward and constructor a test fills in."""
    source = f"""
class Made(nn.Module):
    def __init__(self, shape, **settings):
        super().__init__()
        self.layer = nn.Linear(shape[0], 5)
        {init or "pass"}
    def forward(self, x):
        {body}
"""
    scope: dict[str, object] = {"nn": nn, "torch": torch, "__name__": __name__}
    exec(textwrap.dedent(source), scope)
    made = scope["Made"]
    assert isinstance(made, type)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def built(module: type[nn.Module], spec: InputSpec) -> Encoder:
    own.add(module)
    encoder = registry.encoders.load(registry.snake_case(module.__name__))
    assert encoder.accepts(spec)
    return encoder(spec, **encoder.space.defaults())


def test_a_vector_becomes_one_token_of_the_width_found() -> None:
    encoder = built(Plain, spec_of(3))
    assert encoder.width == 6
    assert encoder(torch.randn(7, 3)).shape == (7, 1, 6)


def test_tokens_stay_as_they_are() -> None:
    encoder = built(make("return self.layer(x).unflatten(1, (5, 1)).expand(-1, 5, 4)"), spec_of(3))
    assert encoder.width == 4
    assert encoder(torch.randn(7, 3)).shape == (7, 5, 4)


@settings(max_examples=20, deadline=None)
@given(features=st.integers(1, 9), rows=st.integers(1, 9), width=st.integers(4, 8))
def test_every_setting_of_the_space_gives_its_width(features: int, rows: int, width: int) -> None:
    own.add(Plain)
    encoder = registry.encoders.load("plain")(spec_of(features), width=width, dropout=0.1)
    assert encoder.width == width
    assert encoder(torch.randn(rows, features)).shape == (rows, 1, width)


def test_settings_that_fail_fail_the_trial_and_not_the_run() -> None:
    own.add(make(init="self.layer = nn.Linear(shape[0] + 1, 5)"))
    with pytest.raises(TrialError, match=r"shape \(3,\)"):
        registry.encoders.load("made")(spec_of(3))


def test_dropout_draws_from_the_members_own_seed_at_its_own_rate() -> None:
    encoder = built(Plain, spec_of(3)).train()
    (site,) = [module for module in encoder.modules() if isinstance(module, Dropout)]
    assert float(site.rate) == 0.25
    assert site.shape == (6,)
    assert not any(isinstance(module, nn.Dropout) for module in encoder.modules())
    site.keep = torch.zeros(2, 6)
    assert torch.equal(encoder(torch.randn(2, 3)), torch.zeros(2, 1, 6))


def test_dropout_of_maps_drops_whole_maps() -> None:
    class Maps(nn.Module):
        def __init__(self, shape: tuple[int, ...]) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(shape[0], 4, 3, padding=1)
            self.drop = nn.Dropout2d(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(self.convolution(x)).mean((2, 3))  # type: ignore[no-any-return]

    encoder = built(Maps, spec_of(3, 8, 8))
    assert encoder.get_submodule("inner.drop").shape == (4, 1, 1)
    assert encoder.convolutional


def test_building_leaves_nothing_but_the_modules_own_draws() -> None:
    own.add(Plain)
    encoder = registry.encoders.load("plain")
    torch.manual_seed(3)
    wrapped = encoder(spec_of(3), width=4, dropout=0.1)
    after = torch.rand(1)
    torch.manual_seed(3)
    bare = Plain((3,), 4, 0.1)
    assert torch.equal(after, torch.rand(1))
    assert torch.equal(wrapped.inner.layers[0].weight, bare.layers[0].weight)  # type: ignore[union-attr,index]


@pytest.mark.parametrize(
    ("accepts", "shape", "taken"),
    [("vector", (3,), True), ("vector", (1, 4, 4), False), ("image", (3,), False), ("any", (3,), True)],
)
def test_accepts_by_shape(accepts: str, shape: tuple[int, ...], taken: bool) -> None:
    own.add(make(accepts=accepts))
    assert registry.encoders.load("made").accepts(spec_of(*shape)) is taken


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (make("return self.layer(x).flatten()"), r"must return \(rows, features\).*however \(10,\) came"),
        (make("return x, x"), "however tuple came"),
        (make("return self.layer(x).long()"), "floating point, however torch.int64"),
        (make("return self.layer(x) - self.layer(x).mean(0)"), "every row by itself"),
        (make("return self.layer(x[:, :2])"), r"however RuntimeError.*accepts='vector'"),
        (make("return self.norm(self.layer(x))", "self.norm = nn.BatchNorm1d(5)"), "'norm.running_mean'.*LayerNorm"),
        (make("return self.layer(x) * self.layer.weight.sum().item()"), r"torch\.vmap"),
        (make("return self.rnn(x.unsqueeze(2))[0]", "self.rnn = nn.LSTM(1, 4, batch_first=True)"), r"torch\.vmap"),
        (make("return self.d(self.layer(self.d(x)))", "self.d = nn.Dropout(0.1)"), "'d' is used 2 times"),
        (make("raise ValueError('two\\nlines')"), "ValueError: two lines came"),
        (make(init="raise KeyError('x')"), "must be built for rows of shape"),
        (make(init="self.k = settings['k']", space=Space(k=Float(0, 1, per_member=True))), "'k' is none"),
        (make(space={"k": 3}), r"must be an autodl\.Float.*write autodl\.Choice\(3\)"),
        (make(space=[1]), "must map names to ranges"),
        (make(accepts="picture"), "'accepts' of Made must be one of vector, image, any"),
    ],
)
def test_a_broken_contract_says_what_must_hold(module: type[nn.Module], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        built(module, spec_of(3))


def test_a_per_member_setting_that_is_a_buffer_is_fine() -> None:
    module = make(
        "return self.layer(x) * self.k",
        "self.register_buffer('k', torch.tensor(settings['k']))",
        space=Space(k=Choice(0.5, 2.0, per_member=True)),
    )
    assert built(module, spec_of(3)).width == 5


class TestAnOwnModuleOwesWhatEveryEncoderOwes(EncoderSuite):
    """Packs, buffers, dropout, settings: nothing is forgiven because a user wrote it."""

    spec = pytest.fixture(lambda self: table_spec(numeric=3, categories=(4,)))

    @pytest.fixture
    def encoder(self) -> type[Encoder]:
        own.add(Plain)
        return registry.encoders.load("plain")

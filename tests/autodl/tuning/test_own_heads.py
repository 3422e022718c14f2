"""The head of one input says as a member what it says within the network of several."""

from __future__ import annotations

import pytest
import torch

from autodl.fitted import FittedMember
from autodl.network import Network
from autodl.records import Component, InputSpec, TrialConfig
from autodl.tuning.own_heads import own_head

OUTPUTS = 3


def spec(*columns):
    shape = (len(columns),)
    return InputSpec(
        shape=shape, columns=columns, feature_mask=torch.arange(len(columns)), baseline=torch.zeros(len(columns))
    )


SPECS = {"a": spec("x", "y"), "b": spec("z", "u", "v"), "c": spec("w")}


def made(encoder="mlp", fusion="concat", **training):
    config = TrialConfig(
        {name: Component("table") for name in SPECS},
        {name: Component(encoder) for name in SPECS},
        Component("cross_entropy"),
        Component("adamw"),
        training,
        1,
        0,
        fusion=Component(fusion),
    )
    networks = [Network.seeded(config, SPECS, OUTPUTS), Network.seeded(config, SPECS, OUTPUTS)]
    with torch.no_grad():
        for network in networks:
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight) * 0.1)
    states = [network.state_dict() for network in networks]
    weights = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    return networks, FittedMember(7, config, weights, 1.0)


@pytest.mark.parametrize("name", SPECS)
def test_it_says_what_it_said(name):
    networks, member = made(auxiliary=0.3, features=1.0)
    head = own_head(member, name, SPECS[name], OUTPUTS, -1)
    assert head is not None
    assert (head.number, head.folds, head.config.fusion) == (-1, 2, None)
    assert set(head.config.training) == {"features"}
    rows = {each: torch.randn(5, *sight.shape) for each, sight in SPECS.items()}
    for fold, network in enumerate(networks):
        alone = Network.seeded(head.config, {name: SPECS[name]}, OUTPUTS)
        alone.load_state_dict({key: tensor[fold] for key, tensor in head.weights.items()})
        tokens, _ = network.eval().encode(rows)
        at = sorted(SPECS).index(name)
        expected = network.heads[at](tokens[name].mean(1))
        torch.testing.assert_close(alone.eval()({name: rows[name]}), expected)


def test_there_is_none_without_heads_and_where_an_encoder_holds_several_predictors():
    _, member = made()
    assert own_head(member, "a", SPECS["a"], OUTPUTS, -1) is None
    _, member = made("tabm", auxiliary=0.3)
    assert own_head(member, "a", SPECS["a"], OUTPUTS, -1) is None

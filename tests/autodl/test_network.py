from __future__ import annotations

import pytest
import torch

from autodl.errors import PluginError
from autodl.network import Heads, Network, feature_mask, kept_columns
from autodl.records import Component, InputSpec, TrialConfig

MLP = Component("mlp", {"depth": 1, "width": 8, "dropout": 0.0})
TABM = Component("tabm", {"depth": 1, "width": 8, "dropout": 0.0, "copies": 4})
CNN = Component("cnn", {"blocks": 1, "channels": 4, "dense_depth": 1, "dense_width": 8})


def table(columns=4):
    names = tuple(f"c{index}" for index in range(columns))
    return InputSpec(
        shape=(2 * columns,),
        columns=names,
        feature_names=tuple(f"{name}_{part}" for name in names for part in "ab"),
        feature_mask=torch.arange(columns).repeat_interleave(2),
        baseline=torch.zeros(2 * columns),
        numeric=torch.ones(2 * columns, dtype=torch.bool),
        relevance=torch.tensor([0.1, 0.9, 0.5, 0.7][:columns]),
    )


def image():
    mask = torch.zeros(1, 8, 8, dtype=torch.int64)
    return InputSpec((1, 8, 8), ("photo",), mask, torch.full((1, 8, 8), 0.5))


def recipe(fusion=None, training=None, seed=0, **encoders):
    return TrialConfig({}, encoders, Component("cross_entropy"), Component("adamw"), training or {}, 1, seed, fusion)


def test_one_input_needs_no_fusion():
    network = Network.seeded(recipe(table=MLP), {"table": table()}, 3)
    assert network({"table": torch.randn(5, 8)}).shape == (5, 3)


def test_weights_come_from_the_seed_and_torchs_generator_stays_as_it_was():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second, other = (Network.seeded(recipe(table=MLP, seed=s), {"table": table()}, 3) for s in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.head.weight, second.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_only_kept_columns_matter():
    network = Network.seeded(recipe(table=MLP, training={"features": 0.5}), {"table": table()}, 3)
    x = torch.randn(5, 8)
    changed = x.clone()
    changed[:, [0, 1, 4, 5]] = 100.0
    assert torch.equal(network({"table": x}), network({"table": changed}))
    changed[:, 2] = 100.0
    assert not torch.equal(network({"table": x}), network({"table": changed}))


@pytest.mark.parametrize(("share", "kept"), [(0.01, [1]), (0.5, [1, 3]), (0.75, [1, 2, 3]), (1.0, [0, 1, 2, 3])])
def test_the_most_telling_columns_are_kept(share, kept):
    assert kept_columns(table(), share) == kept
    assert feature_mask(table(), share).view(4, 2)[:, 0].nonzero().flatten().tolist() == kept


def test_a_missing_image_is_the_baseline_image():
    network = Network.seeded(recipe(photo=CNN), {"photo": image()}, 2).eval()
    there = torch.full((2, 1, 8, 8), 0.5)
    gone = there.clone()
    gone[1] = torch.nan
    assert torch.equal(network({"photo": there}), network({"photo": gone}))


def test_two_inputs_are_fused_and_one_may_be_missing():
    specs = {"table": table(), "photo": image()}
    network = Network.seeded(recipe(Component("concat"), table=MLP, photo=CNN), specs, 2).eval()
    photos = torch.randn(3, 1, 8, 8)
    photos[2] = torch.nan
    outputs = network({"table": torch.randn(3, 8), "photo": photos})
    assert outputs.shape == (3, 2)
    assert outputs.isfinite().all()


def test_two_inputs_without_a_fusion_are_refused():
    with pytest.raises(PluginError, match="must have a fusion"):
        Network(recipe(table=MLP, photo=CNN), {"table": table(), "photo": image()}, 2)


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_each_copy_has_outputs_of_its_own(mode):
    network = Network.seeded(recipe(table=TABM), {"table": table()}, 3).train(mode)
    assert network.copies == 4
    x = torch.randn(5, 8)
    outputs = network({"table": x})
    assert outputs.shape == (5, 4, 3)
    (tokens,) = (encoder(x) for encoder in network.encoders)
    for copy in range(4):
        torch.testing.assert_close(outputs[:, copy], tokens[:, copy] @ network.head.weight[copy])


def test_most_networks_have_one_copy():
    assert Network.seeded(recipe(table=MLP), {"table": table()}, 3).copies == 1


def test_a_fusion_takes_the_mean_of_copies():
    specs = {"table": table(), "photo": image()}
    network = Network.seeded(recipe(Component("concat"), table=TABM, photo=CNN), specs, 2).eval()
    assert network.copies == 1
    x = torch.randn(3, 8)
    seen = {}
    network.fusion.register_forward_pre_hook(lambda module, given: seen.update(given[0]))
    assert network({"table": x, "photo": torch.randn(3, 1, 8, 8)}).shape == (3, 2)
    torch.testing.assert_close(seen["table"], network.encoders[1](x).mean(1, keepdim=True))


def test_heads_are_linear_maps_that_start_small():
    torch.manual_seed(0)
    heads = Heads(3, 64, 2)
    assert heads.weight.abs().max().item() == pytest.approx(1 / 8, rel=0.05)
    heads.bias.data.normal_()
    tokens = torch.randn(5, 3, 64)
    for copy in range(3):
        expected = tokens[:, copy] @ heads.weight[copy] + heads.bias.view(3, 2)[copy]
        torch.testing.assert_close(heads(tokens)[:, copy], expected)

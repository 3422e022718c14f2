from __future__ import annotations

import pytest
import torch

from autodl.network import Network
from autodl.training.pack import DropoutNoise, Pack, channels_last, layout_of

CPU = torch.device("cpu")


def generators(count):
    return [torch.Generator().manual_seed(index) for index in range(count)]


@pytest.fixture
def members(config):
    return [config(seed, dropout=0.1 * (seed % 3)) for seed in range(4)]


@pytest.fixture
def pack(members, spec):
    return Pack(members, {"table": spec}, 2, CPU, torch.float64)


def test_a_members_row_holds_the_weights_its_seed_draws(pack, members, spec):
    alone = Network.seeded(members[2], {"table": spec}, 2).double()
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in alone.parameters()])
    assert torch.equal(pack.parameters[2], flat)


def test_forward_of_the_pack_is_each_members_own(pack, spec):
    x = torch.randn(4, 7, 6, dtype=torch.float64)
    noise = DropoutNoise(pack).draw(generators(4), 7)
    together = pack.forward({"table": x}, noise)
    for index in range(4):
        pack_alone = Pack([pack_config(pack, index)], {"table": spec}, 2, CPU, torch.float64)
        alone_noise = DropoutNoise(pack_alone).draw([generators(4)[index]], 7)
        alone = pack_alone.forward({"table": x[index : index + 1]}, alone_noise)
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=1e-12)


@pytest.fixture(autouse=True)
def _remember(monkeypatch):
    original = Pack.__init__

    def init(self, configs, *args, **kwargs):
        original(self, configs, *args, **kwargs)
        self.test_configs = list(configs)

    monkeypatch.setattr(Pack, "__init__", init)


def pack_config(pack, index):
    return pack.test_configs[index]


def test_gradient_of_the_sum_is_every_members_own(pack):
    x = torch.randn(4, 7, 6, dtype=torch.float64)
    before = pack.gradients(pack.forward({"table": x}, {}).pow(2).mean(dim=(1, 2)).sum()).clone()
    x[1] = 100.0  # another member's rows are nobody else's business
    after = pack.gradients(pack.forward({"table": x}, {}).pow(2).mean(dim=(1, 2)).sum())
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_changing_the_flat_matrix_changes_the_networks(pack):
    x = torch.randn(4, 3, 6, dtype=torch.float64)
    before = pack.forward({"table": x}, {})
    pack.parameters.zero_()
    assert pack.forward({"table": x}, {}).abs().sum() == 0
    assert before.abs().sum() > 0


@pytest.mark.parametrize("stay", [[0, 3], [2]])
def test_those_who_stay_predict_as_before(pack, stay):
    rows = {"table": torch.randn(5, 6, dtype=torch.float64)}
    before = pack.predict(pack.parameters, rows)
    pack.keep(torch.tensor(stay))
    assert len(pack) == len(stay)
    torch.testing.assert_close(pack.predict(pack.parameters, rows), before[stay], rtol=0, atol=1e-12)


def test_a_member_alone_trains_the_matrix_it_shares_memory_with(config, spec):
    pack = Pack([config(0, dropout=0.0)], {"table": spec}, 2, CPU)
    x = torch.randn(1, 8, 6, generator=torch.Generator().manual_seed(0))
    gradient = pack.gradients(pack.forward({"table": x}, {}).pow(2).sum())
    before = pack.forward({"table": x}, {}).pow(2).sum()
    pack.parameters -= 1e-3 * gradient
    assert pack.forward({"table": x}, {}).pow(2).sum() < before


def test_saved_state_fits_a_fresh_network(pack, members, spec):
    network = Network.seeded(members[3], {"table": spec}, 2).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    network.load_state_dict(pack.state(pack.parameters, 3))
    rows = {"table": torch.randn(5, 6, dtype=torch.float64)}
    torch.testing.assert_close(network.eval()(rows), pack.predict(pack.parameters, rows)[3], rtol=0, atol=1e-12)


def test_layout_covers_every_weight_and_finds_hidden_matrices(pack):
    layout = layout_of(pack.template)
    assert sum(torch.Size(shape).numel() for shape in layout.shapes) == pack.parameters.shape[1]
    hidden = {name for name, is_hidden in zip(layout.names, layout.hidden, strict=True) if is_hidden}
    assert hidden
    assert all(name.startswith("encoders.") and name.endswith("weight") for name in hidden)


class TestDropoutNoise:
    def test_members_drop_at_their_own_rates(self, config, spec):
        rates = [0.0, 0.2, 0.7]
        pack = Pack([config(seed, dropout=rate) for seed, rate in enumerate(rates)], {"table": spec}, 2, CPU)
        for keep in DropoutNoise(pack).draw(generators(3), 4000).values():
            shares = (keep == 0).float().mean(dim=(1, 2))
            torch.testing.assert_close(shares, torch.tensor(rates), rtol=0, atol=0.02)
            torch.testing.assert_close(keep.mean(dim=(1, 2)), torch.ones(3), rtol=0, atol=0.02)

    def test_nobody_who_drops_nothing_pays(self, config, spec):
        pack = Pack([config(0, dropout=0.0)], {"table": spec}, 2, CPU)
        assert DropoutNoise(pack).draw(generators(1), 10) == {}
        assert all(site.off for _, site in pack.sites)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_changes_the_memory_and_not_the_numbers(channels):
    x = torch.randn(4, channels, 5, 7)
    moved = channels_last(x)
    assert torch.equal(moved, x)
    assert moved.stride() == (35 * channels, 1, 7 * channels, channels)
    vector = torch.randn(4, 6)
    assert channels_last(vector) is vector

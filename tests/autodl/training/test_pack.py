from __future__ import annotations

import pytest
import torch

from autodl.network import Network
from autodl.records import Component, InputSpec, TrialConfig
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

    def test_rates_are_kept_closely(self, config, spec):
        """Sixteen bits tell rates apart, and nothing shrinks or grows on average."""
        pack = Pack([config(seed, dropout=rate) for seed, rate in enumerate((0.1, 0.3))], {"table": spec}, 2, CPU)
        noise = DropoutNoise(pack)
        kept = (torch.arange(-(2**15), 2**15).view(1, -1, 1) >= noise._bounds).double().mean(dim=1)
        torch.testing.assert_close(1 - kept[:, 0], torch.tensor([0.1, 0.3]).double(), rtol=0, atol=2**-16)
        torch.testing.assert_close(kept * noise.factors[:, 0], torch.ones_like(kept), rtol=1e-6, atol=0)

    def test_in_bfloat16_nothing_shrinks_or_grows_either(self, config, spec):
        pack = Pack([config(seed, dropout=rate) for seed, rate in enumerate((0.1, 0.37))], {"table": spec}, 2, CPU)
        noise = DropoutNoise(pack, bf16=True)
        kept = (torch.arange(-(2**15), 2**15).view(1, -1, 1) >= noise._bounds).double().mean(dim=1)
        torch.testing.assert_close(1 - kept[:, 0], torch.tensor([0.1, 0.37]).double(), rtol=0, atol=0.003)
        torch.testing.assert_close(kept * noise.factors[:, 0].double(), torch.ones_like(kept), rtol=2**-15, atol=0)
        assert all(keep.dtype == torch.bfloat16 for keep in noise.draw(generators(2), 5).values())

    @pytest.mark.parametrize("batch", [1, 7, 64])
    def test_a_member_meets_the_same_noise_in_every_pack(self, config, spec, batch):
        configs = [config(seed, dropout=0.4) for seed in range(3)]
        together = DropoutNoise(Pack(configs, {"table": spec}, 2, CPU)).draw(generators(3), batch)
        alone = DropoutNoise(Pack(configs[2:], {"table": spec}, 2, CPU)).draw(generators(3)[2:], batch)
        for name, keep in together.items():
            assert torch.equal(keep[2], alone[name][0])
            assert not torch.equal(keep[2], keep[1]) or keep[2].numel() < 64

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


class TestConvolutions:
    """On a CPU they are called member by member; what they learn is the same."""

    @pytest.fixture
    def images(self):
        shape = (1, 8, 8)
        return InputSpec(shape, ("image",), torch.zeros(shape, dtype=torch.long), torch.zeros(shape))

    @pytest.fixture
    def configs(self):
        settings = {"channels": 8, "blocks": 1, "dense_width": 64, "dropout": 0.3}
        return [
            TrialConfig(
                modalities={"image": Component("image")},
                encoders={"image": Component("cnn", settings)},
                loss=Component("cross_entropy"),
                optimizer=Component("adamw"),
                training={"batch_size": 5},
                epochs=1,
                seed=seed,
            )
            for seed in range(3)
        ]

    def test_outputs_and_gradients_are_each_members_own(self, configs, images):
        pack = Pack(configs, {"image": images}, 2, CPU, torch.float64)
        x = torch.randn(3, 5, 1, 8, 8, dtype=torch.float64)
        outputs = pack.forward({"image": x}, DropoutNoise(pack).draw(generators(3), 5))
        gradients = pack.gradients(outputs.pow(2).sum())
        for index, own in enumerate(configs):
            alone = Pack([own], {"image": images}, 2, CPU, torch.float64)
            noise = DropoutNoise(alone).draw(generators(3)[index : index + 1], 5)
            found = alone.forward({"image": x[index : index + 1]}, noise)
            torch.testing.assert_close(found[0], outputs[index], rtol=0, atol=1e-12)
            torch.testing.assert_close(alone.gradients(found.pow(2).sum())[0], gradients[index], rtol=0, atol=1e-11)

    @pytest.mark.parametrize("shared", [True, False])
    def test_predictions_are_too_and_stay_so_when_others_leave(self, configs, images, shared):
        pack = Pack(configs, {"image": images}, 2, CPU, torch.float64)
        x = torch.randn(*(() if shared else (3,)), 4, 1, 8, 8, dtype=torch.float64)
        found = pack.predict(pack.parameters, {"image": x}, shared=shared)
        for index, own in enumerate(configs):
            network = Network.seeded(own, {"image": images}, 2).double().eval()
            torch.testing.assert_close(network({"image": x if shared else x[index]}), found[index], rtol=0, atol=1e-12)
        pack.keep(torch.tensor([0, 2]))
        rest = {"image": x if shared else x[[0, 2]]}
        torch.testing.assert_close(pack.predict(pack.parameters, rest, shared=shared), found[[0, 2]])

    def test_they_are_not_made_grouped_convolutions(self, configs, images, monkeypatch):
        monkeypatch.setattr(torch, "vmap", None)
        pack = Pack(configs, {"image": images}, 2, CPU)
        assert pack.forward({"image": torch.randn(3, 5, 1, 8, 8)}, {}).shape == (3, 5, 2)


@pytest.mark.parametrize("count", [2, 1])
def test_layers_that_share_a_weight_go_on_sharing_it(config, spec, monkeypatch, count):
    original = Network.__init__

    def tied(self, *arguments):
        original(self, *arguments)
        self.twice = torch.nn.ModuleList([self.head, torch.nn.Linear(16, 2)])
        self.twice[1].weight = self.head.weight

    def forward(self, inputs):
        hidden = self.encoders[0](inputs["table"]).squeeze(1)
        return self.twice[0](hidden) + self.twice[1](hidden)

    monkeypatch.setattr(Network, "__init__", tied)
    monkeypatch.setattr(Network, "forward", forward)
    configs = [config(seed, dropout=0.0) for seed in range(count)]
    pack = Pack(configs, {"table": spec}, 2, CPU, torch.float64)
    x = torch.randn(count, 5, 6, dtype=torch.float64)
    outputs = pack.forward({"table": x}, {})
    for index, own in enumerate(configs):
        alone = Network.seeded(own, {"table": spec}, 2).double()
        torch.testing.assert_close(alone({"table": x[index]}), outputs[index], rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [3, 1])
def test_all_members_may_leave(config, spec, count):
    pack = Pack([config(seed) for seed in range(count)], {"table": spec}, 2, CPU)
    pack.keep(torch.tensor([], dtype=torch.int64))
    assert len(pack) == 0

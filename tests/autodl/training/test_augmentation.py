from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from autodl.records import Component
from autodl.training.augmentation import Augmentation

CPU = torch.device("cpu")


def generators(count, seed=0):
    return [torch.Generator().manual_seed(seed + index) for index in range(count)]


def test_nobody_who_asks_for_nothing_gets_anything_else(config):
    augmentation = Augmentation([config(0), config(1)], CPU)
    inputs = {"table": torch.randn(2, 5, 6)}
    assert augmentation(inputs, lambda *shape: pytest.fail("noise was drawn"))["table"] is inputs["table"]
    mixed, partner, share = augmentation.mixup(inputs, generators(2))
    assert mixed is inputs
    assert partner is None
    assert share is None


def test_mixup_blends_rows_with_their_partners(config):
    augmentation = Augmentation([config(0, mixup=0.4), config(1, mixup=0.4)], CPU)
    x = torch.randn(2, 7, 6, dtype=torch.float64)
    mixed, partner, share = augmentation.mixup({"table": x}, generators(2))
    for member in range(2):
        s = share[member, 0]
        assert 0 <= s <= 1
        torch.testing.assert_close(mixed["table"][member], s * x[member] + (1 - s) * x[member][partner[member]])


def test_a_member_without_mixup_keeps_its_rows_beside_one_with(config):
    augmentation = Augmentation([config(0, mixup=0.0), config(1, mixup=0.4)], CPU)
    x = torch.randn(2, 7, 6)
    mixed, _, share = augmentation.mixup({"table": x}, generators(2))
    assert torch.equal(mixed["table"][0], x[0])
    assert share[0, 0] == 1


@pytest.mark.parametrize("alpha", [0.1, 0.4, 2.0])
def test_shares_are_drawn_from_a_beta_distribution(config, alpha):
    """Its mean is 1/2 and its variance 1 / (4 (2 α + 1))."""
    augmentation = Augmentation([config(0, mixup=alpha)], CPU)
    x = {"table": torch.zeros(1, 2, 1)}
    shares = torch.stack([augmentation.mixup(x, generators(1, seed))[2].squeeze() for seed in range(2000)])
    assert abs(float(shares.mean()) - 0.5) < 0.03
    assert abs(float(shares.var()) - 1 / (4 * (2 * alpha + 1))) < 0.02


def test_a_modalitys_own_augmentation_reaches_only_who_asks(config):
    quiet, loud = (
        replace(config(seed), modalities={"table": Component("image", {"flip": flip, "shift": 0.0, "cutout": 0.0})})
        for seed, flip in ((0, 0.0), (1, 1.0))
    )
    x = torch.randn(2, 3, 1, 4, 4)
    changed = Augmentation([quiet, loud], CPU)({"table": x}, lambda *shape: torch.rand(2, *shape))["table"]
    assert torch.equal(changed[0], x[0])
    assert torch.equal(changed[1], x[1].flip(-1))

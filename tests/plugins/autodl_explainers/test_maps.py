from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from autodl.attribution import Players
from autodl_explainers import _maps


class Eyes(nn.Module):
    """Two images, each with convolutions of its own."""

    def __init__(self):
        super().__init__()
        self.left = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU())
        self.right = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2), nn.ReLU())
        self.head = nn.Linear(5, 2)

    def forward(self, inputs):
        seen = [self.left(inputs["left"]).mean((2, 3)), self.right(inputs["right"]).mean((2, 3))]
        return self.head(torch.cat(seen, 1))


def test_each_image_has_maps_of_its_own(question):
    inputs = {name: torch.randn(3, 1, 6, 6) for name in ("left", "right")}
    baseline = {name: torch.zeros(1, 1, 6, 6) for name in inputs}
    index = {name: torch.full((1, 6, 6), place) for place, name in enumerate(inputs)}
    net = Eyes()
    changes = {"inputs": inputs, "baseline": baseline, "background": baseline, "networks": (net,), "model": net}
    asked = replace(question(net, torch.zeros(1, 1)), **changes, players=Players(("left", "right"), index))
    places = _maps.last_maps(asked, net)
    assert {name: layer for name, (layer, _) in places.items()} == {"left": net.left, "right": net.right}
    assert _maps.objection(asked) is None
    found = _maps.activation_maps(asked, positive=False)
    assert {name: each.shape for name, each in found.items()} == dict.fromkeys(inputs, (3, 6, 6))


def test_maps_of_one_cell_do_not_count(question):
    pooled = nn.AdaptiveAvgPool2d(1)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), pooled, nn.Flatten(), nn.Linear(4, 2))
    asked = question(net, torch.randn(2, 2, 6, 6))
    asked = replace(asked, networks=(asked.model,))
    assert _maps.last_maps(asked, asked.model)["x"][0] is net[1]


def test_it_objects_where_there_are_no_maps(question):
    flat = question(nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), torch.randn(2, 1, 6, 6))
    assert "larger than one cell" in _maps.objection(replace(flat, networks=(flat.model,)))
    table = question(nn.Linear(6, 2), torch.randn(2, 6))
    assert "no input is an image" in _maps.objection(replace(table, networks=(table.model,)))


def test_hooks_are_taken_off_after_an_error(question):
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Linear(7, 2))
    asked = question(net, torch.randn(2, 2, 6, 6))
    try:
        _maps.last_maps(asked, asked.model)
    except RuntimeError:
        assert not any(layer._forward_hooks for layer in asked.model.modules())
    else:
        raise AssertionError("the shapes do not fit")


def test_an_image_without_maps_beside_one_with_is_told_of(question):
    class Half(Eyes):
        def forward(self, inputs):
            seen = [self.left(inputs["left"]).mean((2, 3)), inputs["right"].mean((2, 3)).expand(-1, 3)]
            return self.head(torch.cat(seen, 1))

    inputs = {name: torch.randn(3, 1, 6, 6) for name in ("left", "right")}
    baseline = {name: torch.zeros(1, 1, 6, 6) for name in inputs}
    net = Half()
    changes = {"inputs": inputs, "baseline": baseline, "background": baseline, "networks": (net,), "model": net}
    asked = replace(question(net, torch.zeros(1, 1)), **changes)
    assert _maps.objection(asked) is None
    assert _maps.silent(asked) == (
        "Network 1 of 1 has no maps of input 'right', and nothing is said of what it may see there.",
    )
    assert not _maps.activation_maps(asked, positive=False)["right"].any()

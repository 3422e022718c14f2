"""A pack: K networks of one structure, stacked, that train as one.

All weights of a member lie in one row of a matrix ``(members, parameters)``; so do its gradients, its optimizer's state
and its averages. An optimizer is then a handful of operations on one tensor, and a member leaves by dropping a row.
The forward of a pack is the ``vmap`` of one network's; as members are independent, the gradient of the summed losses is
every member's own gradient. One member alone skips ``vmap`` and calls the network itself; so does, member by member, a
pack of convolutions on a CPU, where ``vmap`` would make grouped convolutions of them, ten times slower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvNd

from autodl.contracts import Dropout, Inputs, ParameterLayout
from autodl.network import Network
from autodl.records import InputSpec, TrialConfig

LEVELS = 2**16


class Pack:
    """Stacked networks.

    Args:
        configs: One a member; all of one structure.
        specs: What each input looks like.
        n_outputs: Width of the head.
        device: Where the pack lives.
        dtype: float32, or float64 for tests.
    """

    def __init__(
        self,
        configs: Sequence[TrialConfig],
        specs: Mapping[str, InputSpec],
        n_outputs: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        networks = [Network.seeded(config, specs, n_outputs).to(dtype) for config in configs]
        self.template = networks[0].to(device)
        self.layout = layout_of(self.template)
        flat = [torch.cat([p.detach().reshape(-1) for p in network.parameters()]) for network in networks]
        self.parameters = torch.stack(flat).to(device)
        buffers = [dict(network.named_buffers()) for network in networks]
        self.buffers = {name: torch.stack([each[name] for each in buffers]).to(device) for name in buffers[0]}
        self.sites = [(name, module) for name, module in self.template.named_modules() if isinstance(module, Dropout)]
        self._channels_last = _prefers_channels_last(self.template)
        self._apart = device.type == "cpu" and any(isinstance(m, _ConvNd) for m in self.template.modules())
        self._leaves: list[dict[str, Tensor]] = []  # of the stack, or of each member where they are called apart
        self._places = _places(self.template)
        self._bind()

    def __len__(self) -> int:
        return self.parameters.shape[0]

    def keep(self, members: Tensor) -> None:
        """Let all members but these leave."""
        self.parameters = self.parameters[members].contiguous()
        self.buffers = {name: stack[members] for name, stack in self.buffers.items()}
        self._bind()

    def join(self, other: Pack) -> None:
        """Take in all members of another pack of the same structure, behind those that are here."""
        self.parameters = torch.cat([self.parameters, other.parameters])
        self.buffers = {name: torch.cat([stack, other.buffers[name]]) for name, stack in self.buffers.items()}
        self._bind()

    def load(self, parameters: Tensor) -> None:
        """Take over weights. Shape: members parameters."""
        self.parameters.copy_(parameters)

    def forward(self, inputs: Inputs, noise: Mapping[str, Tensor]) -> Tensor:
        """Outputs for training; ``noise`` is what ``DropoutNoise.draw`` returned.

        Shape: {input: members batch *shape} → members batch outputs.
        """
        if not self.template.training:  # setting it anew at each step is felt in small networks
            self.template.train()
        if len(self) == 1:
            for name, keep in noise.items():
                for owner, attribute in self._places[f"{name}.keep"]:
                    owner[attribute] = keep[0]
            alone: Tensor = self.template(self._rows(inputs, 0))
            return alone.unsqueeze(0)
        buffers = {**self.buffers, **{f"{name}.keep": keep for name, keep in noise.items()}}
        if self._apart:
            return torch.stack([self._one(own, buffers, inputs, member) for member, own in enumerate(self._leaves)])
        return self._each(self._leaves[0], buffers, dict(inputs), shared=False)

    def predict(self, weights: Tensor, inputs: Inputs, *, shared: bool = True) -> Tensor:
        """Outputs of given weights on the same rows for every member, or on rows of its own.

        Shape: members parameters, {input: rows *shape, or members rows *shape} → members rows outputs.
        """
        self.template.eval()
        views = self._views(weights)
        if len(self) == 1 or self._apart:
            if shared:
                inputs = {name: x.expand(len(self), *x.shape) for name, x in inputs.items()}
            each = [{name: stack[member] for name, stack in views.items()} for member in range(len(self))]
            return torch.stack([self._one(own, self.buffers, inputs, member) for member, own in enumerate(each)])
        return self._each(views, self.buffers, inputs, shared=shared)

    def gradients(self, loss: Tensor) -> Tensor:
        """The gradient of the members' summed losses, in memory that the next call uses again.

        Shape: → members parameters.
        """
        leaves = [leaf for own in self._leaves for leaf in own.values()]
        found = torch.autograd.grad(loss, leaves, materialize_grads=True)
        torch._foreach_copy_(self._gradient_views, list(found))
        return self._gradient

    def state(self, weights: Tensor, member: int | slice) -> dict[str, Tensor]:
        """The network of one member, or of some, by parameter and buffer name. Weights: members parameters."""
        tensors = {name: view[member] for name, view in self._views(weights).items()}
        saved = self.template.state_dict()
        return {**tensors, **{name: stack[member] for name, stack in self.buffers.items() if name in saved}}

    def _one(self, tensors: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Inputs, member: int) -> Tensor:
        """One member's outputs on its own rows. Shape: {name: *shape}, {input: members batch *shape} → batch …."""
        own = {name: stack[member] for name, stack in buffers.items() if stack[member].numel()}
        return self._called(tensors, own, self._rows(inputs, member))

    def _called(self, tensors: Mapping[str, Tensor], buffers: Mapping[str, Tensor], rows: Inputs) -> Tensor:
        """The network's outputs with other weights and buffers: ``functional_call`` without its search for names."""
        given = (*tensors.items(), *buffers.items())
        places = [(*place, tensor) for name, tensor in given for place in self._places[name]]
        before = [owner[attribute] for owner, attribute, _ in places]
        try:
            for owner, attribute, tensor in places:
                owner[attribute] = tensor
            outputs: Tensor = self.template(rows)
            return outputs
        finally:
            for (owner, attribute, _), tensor in zip(places, before, strict=True):
                owner[attribute] = tensor

    def _rows(self, inputs: Inputs, member: int) -> Inputs:
        return {name: channels_last(x[member]) if self._channels_last else x[member] for name, x in inputs.items()}

    def _each(self, tensors: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Inputs, *, shared: bool) -> Tensor:
        vectorised = torch.vmap(self._called, in_dims=(0, 0, None if shared else 0), randomness="different")
        return vectorised(tensors, buffers, inputs)

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        return {name: self.layout.view(flat, index) for index, name in enumerate(self.layout.names)}

    def _bind(self) -> None:
        """Make the leaves that gradients are taken at: views that share memory with the flat matrix."""
        self._gradient = torch.empty_like(self.parameters)
        slots = self._views(self._gradient)
        if len(self) != 1 and not self._apart:
            self._leaves = [{n: view.detach().requires_grad_() for n, view in self._views(self.parameters).items()}]
            self._gradient_views = list(slots.values())
            return
        members = range(len(self))
        weights = self._views(self.parameters)
        self._gradient_views = [slot[member] for member in members for slot in slots.values()]
        if len(self) != 1:
            self._leaves = [
                {name: view[member].detach().requires_grad_() for name, view in weights.items()} for member in members
            ]
            return
        for (name, parameter), view in zip(self.template.named_parameters(), weights.values(), strict=True):
            parameter.data = view[0]
            parameter.requires_grad_(True)
            assert name in self.layout.names, f"internal error: {name} is not in the layout"
        for name, stack in self.buffers.items():
            for owner, attribute in self._places[name]:
                owner[attribute] = stack[0]
        self._leaves = [dict(self.template.named_parameters())]


class DropoutNoise:
    """Draws, for every dropout of a pack, each member's noise from the member's own generator.

    So a member meets the same noise whoever shares its pack. On a CPU, where random numbers cost more than the products
    of a small network, an entry takes 16 random bits, four entries a draw; rates are rounded to what 16 bits can tell.

    Args:
        pack: Whose dropouts.
        bf16: Whether the network computes in bfloat16, so that the factors are kept in it too.
    """

    def __init__(self, pack: Pack, *, bf16: bool = False) -> None:
        rates = [pack.buffers[f"{name}.rate"] for name, _ in pack.sites]
        self.sites = [(name, site.shape) for name, site in pack.sites]
        self.sizes = [int(torch.Size(shape).numel()) for _, shape in self.sites]
        self.silent = all(bool((rate == 0).all()) for rate in rates)
        for _, site in pack.sites:
            site.off = self.silent
        if self.silent:
            return
        spread = [rate.unsqueeze(1).expand(-1, size) for rate, size in zip(rates, self.sizes, strict=True)]
        self.rates = torch.cat(spread, dim=1).unsqueeze(1)  # members 1 entries
        self.factors = 1 / (1 - self.rates)
        self._by_bits = self.rates.device.type == "cpu"
        if self._by_bits:
            if bf16:  # the rate whose factor bfloat16 can hold: outputs must not shrink or grow on average
                self.rates = 1 - 1 / self.factors.bfloat16().double()
            drops = (self.rates.double() * LEVELS).round_().clamp_(max=LEVELS - 1)
            self.factors = (LEVELS / (LEVELS - drops)).to(torch.bfloat16 if bf16 else pack.parameters.dtype)
            self._bounds = (drops - LEVELS // 2).to(torch.int16)

    def draw(self, generators: Sequence[torch.Generator], batch: int) -> dict[str, Tensor]:
        """Return each dropout's factors, 0 or 1 / (1 - rate). Shape: {site: members batch *site}."""
        if self.silent:
            return {}
        kept = self._from_bits(generators, batch) if self._by_bits else self._from_uniform(generators, batch)
        parts = torch.split(kept.mul_(self.factors), self.sizes, dim=2)
        return {
            name: part.reshape(*part.shape[:2], *shape) for (name, shape), part in zip(self.sites, parts, strict=True)
        }

    def _from_bits(self, generators: Sequence[torch.Generator], batch: int) -> Tensor:
        """1 where an entry is kept, 0 where not; comparisons in place, as those that make booleans are far slower."""
        count = batch * sum(self.sizes)
        words = torch.empty(len(generators), -(-count // 4), dtype=torch.int64)
        for row, generator in zip(words, generators, strict=True):
            row.random_(-(2**63), None, generator=generator)
        bits = words.view(torch.int16)[:, :count].view(len(words), batch, -1)
        return bits.ge_(self._bounds).to(self.factors.dtype)

    def _from_uniform(self, generators: Sequence[torch.Generator], batch: int) -> Tensor:
        uniform = torch.empty(len(generators), batch, sum(self.sizes), device=self.rates.device, dtype=self.rates.dtype)
        for row, generator in zip(uniform, generators, strict=True):
            row.uniform_(generator=generator)
        return uniform.ge_(self.rates)


def channels_last(x: Tensor) -> Tensor:
    """Images with the channels of a pixel side by side in memory; convolutions keep to it. Other tensors as they are.

    Shape: batch channels height width → the same.
    """
    if x.dim() != 4:
        return x
    _, channels, height, width = x.shape
    strides = (channels * height * width, 1, width * channels, channels)  # with one channel torch would not move them
    return torch.empty_strided(x.shape, strides, dtype=x.dtype, device=x.device).copy_(x)


def _prefers_channels_last(network: torch.nn.Module) -> bool:
    """Convolutions are faster so; torch's group normalisation loses more than they gain."""
    kinds = [type(module) for module in network.modules()]
    return torch.nn.Conv2d in kinds and torch.nn.GroupNorm not in kinds


def _places(network: torch.nn.Module) -> dict[str, list[tuple[dict[str, Any], str]]]:
    """Where modules keep each parameter and buffer, several where they share it.

    Reached past ``Module.__setattr__`` and without a search at each call: both are felt in small networks.
    """
    names = {id(tensor): name for name, tensor in (*network.named_parameters(), *network.named_buffers())}
    found: dict[str, list[tuple[dict[str, Any], str]]] = {}
    for module in network.modules():
        for kept in (module._parameters, module._buffers):
            for attribute, tensor in kept.items():
                if tensor is not None:
                    found.setdefault(names[id(tensor)], []).append((kept, attribute))
    return found


def layout_of(network: torch.nn.Module) -> ParameterLayout:
    """Where each parameter lies in a flat row; head and embeddings count as no hidden matrices."""
    names, shapes, offsets, hidden = [], [], [], []
    position = 0
    for name, parameter in network.named_parameters():
        names.append(name)
        shapes.append(tuple(parameter.shape))
        offsets.append(position)
        position += parameter.numel()
        inside = name.split(".")
        hidden.append(parameter.dim() >= 2 and inside[0] not in ("head", "heads") and "embedding" not in inside)
    return ParameterLayout(tuple(names), tuple(shapes), tuple(offsets), tuple(hidden))

"""A pack: K networks of one structure, stacked, that train as one.

All weights of a member lie in one row of a matrix ``(members, parameters)``; so do its gradients, its optimizer's state
and its averages. An optimizer is then a handful of operations on one tensor, and a member leaves by dropping a row.
The forward of a pack is the ``vmap`` of one network's; as members are independent, the gradient of the summed losses is
every member's own gradient. One member alone skips ``vmap`` and calls the network itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from autodl.contracts import Dropout, Inputs, ParameterLayout
from autodl.network import Network
from autodl.records import InputSpec, TrialConfig


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
        self._leaves: dict[str, Tensor] = {}
        self._keeps = {name: site._buffers for name, site in self.sites}  # past Module.__setattr__, which is slow
        self._bind()

    def __len__(self) -> int:
        return self.parameters.shape[0]

    def keep(self, members: Tensor) -> None:
        """Let all members but these leave."""
        self.parameters = self.parameters[members].contiguous()
        self.buffers = {name: stack[members] for name, stack in self.buffers.items()}
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
                self._keeps[name]["keep"] = keep[0]
            rows = {name: channels_last(x[0]) if self._channels_last else x[0] for name, x in inputs.items()}
            alone: Tensor = self.template(rows)
            return alone.unsqueeze(0)
        buffers = {**self.buffers, **{f"{name}.keep": keep for name, keep in noise.items()}}
        return self._each(self._leaves, buffers, dict(inputs), shared=False)

    def predict(self, weights: Tensor, inputs: Inputs) -> Tensor:
        """Outputs of given weights on the same rows for every member.

        Shape: members parameters, {input: rows *shape} → members rows outputs.
        """
        self.template.eval()
        views = self._views(weights)
        if len(self) == 1:
            tensors = {name: stack[0] for name, stack in {**views, **self.buffers}.items() if stack[0].numel()}
            alone: Tensor = functional_call(self.template, tensors, (inputs,))
            return alone.unsqueeze(0)
        return self._each(views, self.buffers, inputs, shared=True)

    def gradients(self, loss: Tensor) -> Tensor:
        """The gradient of the members' summed losses, in memory that the next call uses again.

        Shape: → members parameters.
        """
        found = torch.autograd.grad(loss, list(self._leaves.values()), materialize_grads=True)
        torch._foreach_copy_(self._gradient_views, list(found))
        return self._gradient

    def state(self, weights: Tensor, member: int) -> dict[str, Tensor]:
        """One member's network, by parameter and buffer name, to save. Weights: members parameters."""
        tensors = {name: view[member] for name, view in self._views(weights).items()}
        saved = self.template.state_dict()
        return {**tensors, **{name: stack[member] for name, stack in self.buffers.items() if name in saved}}

    def _each(self, tensors: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Inputs, *, shared: bool) -> Tensor:
        def one(parameters: dict[str, Tensor], others: dict[str, Tensor], rows: Inputs) -> Tensor:
            return functional_call(self.template, (parameters, others), (rows,))  # type: ignore[no-any-return]

        vectorised = torch.vmap(one, in_dims=(0, 0, None if shared else 0), randomness="different")
        return vectorised(tensors, buffers, inputs)

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        return {name: self.layout.view(flat, index) for index, name in enumerate(self.layout.names)}

    def _bind(self) -> None:
        """Make the leaves that gradients are taken at: views that share memory with the flat matrix."""
        self._gradient = torch.empty_like(self.parameters)
        self._gradient_views = list(self._views(self._gradient).values())
        if len(self) == 1:
            for (name, parameter), view in zip(
                self.template.named_parameters(), self._views(self.parameters).values(), strict=True
            ):
                parameter.data = view[0]
                parameter.requires_grad_(True)
                assert name in self.layout.names, f"internal error: {name} is not in the layout"
            for name, stack in self.buffers.items():
                owner, _, attribute = name.rpartition(".")
                setattr(self.template.get_submodule(owner), attribute, stack[0])
            self._leaves.update(self.template.named_parameters())
            self._gradient_views = [view[0] for view in self._gradient_views]
            return
        self._leaves = {name: view.detach().requires_grad_() for name, view in self._views(self.parameters).items()}


class DropoutNoise:
    """Draws, for every dropout of a pack, each member's noise from the member's own generator.

    So a member meets the same noise whoever shares its pack.
    """

    def __init__(self, pack: Pack) -> None:
        rates = [pack.buffers[f"{name}.rate"] for name, _ in pack.sites]
        self.sites = [(name, site.shape) for name, site in pack.sites]
        self.sizes = [int(torch.Size(shape).numel()) for _, shape in self.sites]
        self.silent = all(bool((rate == 0).all()) for rate in rates)
        for _, site in pack.sites:
            site.off = self.silent
        if not self.silent:
            spread = [rate.unsqueeze(1).expand(-1, size) for rate, size in zip(rates, self.sizes, strict=True)]
            self.rates = torch.cat(spread, dim=1).unsqueeze(1)  # members 1 entries
            self.factors = 1 / (1 - self.rates)

    def draw(self, generators: Sequence[torch.Generator], batch: int) -> dict[str, Tensor]:
        """Return each dropout's factors, 0 or 1 / (1 - rate). Shape: {site: members batch *site}."""
        if self.silent:
            return {}
        uniform = torch.empty(len(generators), batch, sum(self.sizes), device=self.rates.device, dtype=self.rates.dtype)
        for row, generator in zip(uniform, generators, strict=True):
            row.uniform_(generator=generator)
        keep = (uniform >= self.rates) * self.factors
        parts = torch.split(keep, self.sizes, dim=2)
        return {
            name: part.reshape(*part.shape[:2], *shape) for (name, shape), part in zip(self.sites, parts, strict=True)
        }


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
        hidden.append(parameter.dim() >= 2 and "head" not in inside[:1] and "embedding" not in inside)
    return ParameterLayout(tuple(names), tuple(shapes), tuple(offsets), tuple(hidden))

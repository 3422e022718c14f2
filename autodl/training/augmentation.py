"""Rows changed by chance while training: each input by its modality, all inputs together by mixup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autodl import registry
from autodl.contracts import Inputs, Noise
from autodl.records import TrialConfig


class Augmentation:
    """What the members' configurations ask for; nothing is computed where nobody asks.

    Args:
        configs: One a member.
        device: Where batches are.
    """

    def __init__(self, configs: Sequence[TrialConfig], device: torch.device) -> None:
        self._inputs = {name: _asked(configs, name, device) for name in sorted(configs[0].modalities)}
        alphas = [float(config.training.get("mixup", 0.0)) for config in configs]
        self._mixes = any(alphas)
        self._alphas = torch.tensor(alphas, device=device)

    def __call__(self, inputs: Inputs, noise: Noise) -> Inputs:
        """Shape: {input: members batch *shape} → the same."""
        changed = dict(inputs)
        for name, (modality, settings) in self._inputs.items():
            if settings:
                changed[name] = modality.augment(inputs[name], settings, noise)
        return changed

    def mixup(
        self, inputs: Inputs, generators: Sequence[torch.Generator]
    ) -> tuple[Inputs, Tensor | None, Tensor | None]:
        """Blend each row with a partner: x ← s x + (1 - s) x', one share s ~ Beta(α, α) a member and batch.

        Shape: → {input: members batch *shape}, partner: members batch, share: members 1.

        Reference:
            Zhang, Cissé, Dauphin, Lopez-Paz: mixup, arXiv 1710.09412, equation 1.
        """
        if not self._mixes:
            return inputs, None, None
        first = next(iter(inputs.values()))
        batch, device = first.shape[1], first.device
        partner = torch.stack([torch.randperm(batch, generator=g, device=device) for g in generators])
        share = torch.stack([_beta(a, g) for a, g in zip(self._alphas, generators, strict=True)]).to(first.dtype)
        mixed: Inputs = {}
        for name, x in inputs.items():
            factor = share.view(-1, *[1] * (x.dim() - 1))
            rows = partner.view(*partner.shape, *[1] * (x.dim() - 2)).expand_as(x)
            mixed[name] = factor * x + (1 - factor) * x.gather(1, rows)
        return mixed, partner, share.unsqueeze(1)


def _beta(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """One draw from Beta(α, α) by Jöhnk's method in logarithms; 1 (no blending) where α is 0."""
    if alpha == 0:
        return torch.ones((), device=alpha.device)
    while True:
        pair = torch.rand(2, generator=generator, device=alpha.device, dtype=torch.float64)
        x, y = (pair.log() / alpha.double()).unbind()
        total = torch.logaddexp(x, y)
        if total <= 0:
            return (x - total).exp()


def _asked(configs: Sequence[TrialConfig], name: str, device: torch.device) -> tuple[Any, Mapping[str, Tensor]]:
    modality = registry.modalities.load(configs[0].modalities[name].name)
    settings = {}
    for knob, dimension in modality.space.items():
        values = [config.modalities[name].settings.get(knob, 0.0) for config in configs]
        if dimension.per_member and any(values):
            settings[knob] = torch.tensor([float(value) for value in values], device=device)
    if settings:  # a member that asks for nothing still needs a value for every knob
        for knob, dimension in modality.space.items():
            if dimension.per_member and knob not in settings:
                settings[knob] = torch.zeros(len(configs), device=device)
    return modality, settings

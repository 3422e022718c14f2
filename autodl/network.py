"""Network: encoders → fusion → head; the one shape that every model has."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from autodl import registry
from autodl.contracts import Inputs
from autodl.errors import PluginError
from autodl.records import InputSpec, TrialConfig

HEAD_SCALE = 0.1  # a small last layer starts near the prior (Holzmüller et al., arXiv 2407.04491, section 3)


class Network(nn.Module):
    """Encoders, one an input, a fusion where there are several, and a linear head.

    An encoder that holds several predictors ("copies") has a head for each where it is alone; a fusion takes their
    mean. Each copy is trained by a loss of its own, and what they predict is averaged: probabilities, not logits.

    Args:
        config: The recipe; only its encoders, fusion and kept share of features are read.
        specs: What each input looks like.
        n_outputs: Width of the head.

    Attributes:
        copies: Predictors with outputs of their own; 1 for most networks.

    Example:
        >>> network = Network.seeded(config, specs, task.n_outputs)  # doctest: +SKIP
        >>> network({"table": x}).shape  # doctest: +SKIP
        torch.Size([64, 3])
    """

    def __init__(self, config: TrialConfig, specs: Mapping[str, InputSpec], n_outputs: int) -> None:
        super().__init__()
        self.names = tuple(sorted(config.encoders))
        parts = {name: config.encoders[name] for name in self.names}
        self.encoders = nn.ModuleList(
            registry.encoders.load(part.name)(specs[name], **part.settings) for name, part in parts.items()
        )
        widths = {name: int(encoder.width) for name, encoder in zip(self.names, self.encoders, strict=True)}  # type: ignore[arg-type]
        self.fusion: nn.Module | None = None
        if config.fusion is not None:
            fusion = registry.fusions.load(config.fusion.name)
            self.fusion = fusion(widths, **{**fusion.space.defaults(), **config.fusion.settings})
        elif len(widths) > 1:
            raise PluginError(f"a network of {len(widths)} inputs must have a fusion, however none is configured")
        held = [int(encoder.copies) for encoder in self.encoders]  # type: ignore[arg-type]
        self.copies = held[0] if self.fusion is None else 1
        self._mean = [self.fusion is not None and copies > 1 for copies in held]
        width = int(self.fusion.width) if self.fusion else sum(widths.values())
        self.head = nn.Linear(width, n_outputs) if self.copies == 1 else Heads(self.copies, width, n_outputs)
        with torch.no_grad():
            self.head.weight.mul_(HEAD_SCALE)
            self.head.bias.zero_()
        self._masked = "features" in config.training
        for index, name in enumerate(self.names):
            self.register_buffer(f"baseline_{index}", specs[name].baseline.clone())
            if self._masked and len(specs[name].shape) == 1:
                self.register_buffer(f"kept_{index}", feature_mask(specs[name], config.training["features"]))

    @classmethod
    def seeded(cls, config: TrialConfig, specs: Mapping[str, InputSpec], n_outputs: int) -> Network:
        """Build it with the weights that the configuration's seed draws; torch's generator stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)  # manual_seed would queue calls for absent devices
            return cls(config, specs, n_outputs)

    def forward(self, inputs: Inputs) -> Tensor:
        """Outputs of a row, or, where there are several copies, of each of them.

        Shape: {input: batch *shape, all NaN in a missing row} → batch outputs, or batch copies outputs.
        """
        tokens: dict[str, Tensor] = {}
        present: dict[str, Tensor] = {}
        for index, (name, encoder) in enumerate(zip(self.names, self.encoders, strict=True)):
            x = inputs[name]
            if x.dim() > 2:  # a table's row is always there: its missing cells are filled one by one
                there = x.flatten(1)[:, 0].isnan().logical_not()
                x = torch.where(there.view(-1, *[1] * (x.dim() - 1)), x, self.get_buffer(f"baseline_{index}"))
                present[name] = there.to(x.dtype)
            elif self._masked:
                x = x * self.get_buffer(f"kept_{index}")
            token = encoder(x)
            tokens[name] = token.mean(1, keepdim=True) if self._mean[index] else token
        if self.fusion is None:
            (only,) = tokens.values()
            if self.copies > 1:
                return self.head(only)  # type: ignore[no-any-return]
            return self.head(only.squeeze(1) if only.shape[1] == 1 else only.mean(1))  # type: ignore[no-any-return]
        for name, token in tokens.items():
            present.setdefault(name, token.new_ones(token.shape[0]))
        return self.head(self.fusion(tokens, present))  # type: ignore[no-any-return]


class Heads(nn.Module):
    """A linear head for each of several predictors.

    Shape:
        batch copies width → batch copies outputs
    """

    def __init__(self, copies: int, width: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width)  # as of ``nn.Linear``
        self.weight = nn.Parameter(torch.empty(copies, width, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(copies * outputs))  # a vector, which weight decay leaves alone

    def forward(self, tokens: Tensor) -> Tensor:
        """Shape: batch copies width → batch copies outputs."""
        bias = self.bias.view(len(self.weight), 1, -1)
        return torch.baddbmm(bias, tokens.transpose(0, 1), self.weight).transpose(0, 1)


def kept_columns(spec: InputSpec, share: float) -> list[int]:
    """Positions of the most relevant columns that make up a share of all, at least one, in their order."""
    count = max(1, math.ceil(share * len(spec.columns) - 1e-9))
    if spec.relevance is None or count >= len(spec.columns):
        return list(range(len(spec.columns)))
    order = torch.argsort(spec.relevance, descending=True, stable=True)
    return sorted(order[:count].tolist())


def feature_mask(spec: InputSpec, share: float) -> Tensor:
    """1 for the features of the kept columns, 0 for the others. Shape: features."""
    return torch.isin(spec.feature_mask, torch.tensor(kept_columns(spec, share))).to(torch.float32)

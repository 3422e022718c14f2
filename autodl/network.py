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

    Args:
        config: The recipe; only its encoders, fusion and kept share of features are read.
        specs: What each input looks like.
        n_outputs: Width of the head.

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
        self.head = nn.Linear(int(self.fusion.width) if self.fusion else sum(widths.values()), n_outputs)
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
        """Shape: {input: batch *shape, all NaN in a missing row} → batch outputs."""
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
            tokens[name] = encoder(x)
        if self.fusion is None:
            (only,) = tokens.values()
            return self.head(only.squeeze(1) if only.shape[1] == 1 else only.mean(1))  # type: ignore[no-any-return]
        for name, token in tokens.items():
            present.setdefault(name, token.new_ones(token.shape[0]))
        return self.head(self.fusion(tokens, present))  # type: ignore[no-any-return]


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

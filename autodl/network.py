"""Network: encoders → fusion → head; the one shape that every model has."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from autodl import registry
from autodl.contracts import Fusion, Inputs
from autodl.errors import PluginError
from autodl.records import InputSpec, TrialConfig

HEAD_SCALE = 0.1  # a small last layer starts near the prior (Holzmüller et al., arXiv 2407.04491, section 3)


class Network(nn.Module):
    """Encoders, one an input, a fusion where there are several, and a linear head.

    An encoder that holds several predictors ("copies") has a head for each where it is alone; a fusion takes their
    mean. Each copy is trained by a loss of its own, and what they predict is averaged: probabilities, not logits.

    With several inputs each has a head of its own besides ("auxiliary"), which predicts from that input alone: what
    they say is trained too, so that no encoder is left behind by the others, and a late fusion takes nothing else.

    Args:
        config: The recipe; only its encoders, fusion and kept share of features are read.
        specs: What each input looks like.
        n_outputs: Width of the head.

    Attributes:
        copies: Predictors with outputs of their own; 1 for most networks.
        auxiliary: Inputs whose own heads speak in training mode, in order; none where the recipe asks for no such loss.

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
        held = [int(encoder.copies) for encoder in self.encoders]  # type: ignore[arg-type]
        self.copies = held[0] if config.fusion is None else 1
        self._mean = [config.fusion is not None and copies > 1 for copies in held]
        self._add_heads(config, n_outputs)
        self._masked = "features" in config.training
        for index, name in enumerate(self.names):
            self.register_buffer(f"baseline_{index}", specs[name].baseline.clone())
            if self._masked and len(specs[name].shape) == 1:
                self.register_buffer(f"kept_{index}", feature_mask(specs[name], config.training["features"]))

    def _add_heads(self, config: TrialConfig, n_outputs: int) -> None:
        """The fusion where there are several inputs, their own heads, and the head of the whole."""
        widths = {name: int(encoder.width) for name, encoder in zip(self.names, self.encoders, strict=True)}  # type: ignore[arg-type]
        self.fusion: Fusion | None = None
        self.auxiliary: tuple[str, ...] = ()
        self.heads = nn.ModuleList()
        width, late = sum(widths.values()), False
        if config.fusion is not None:
            kind = registry.fusions.load(config.fusion.name)
            late = kind.heads_first
            self.auxiliary = self.names if "auxiliary" in config.training else ()
            if late or self.auxiliary:
                self.heads.extend(_small(nn.Linear(widths[name], n_outputs)) for name in self.names)
            taken = dict.fromkeys(widths, n_outputs) if late else widths
            self.fusion = kind(taken, **{**kind.space.defaults(), **config.fusion.settings})
            width = int(self.fusion.width)
        elif len(widths) > 1:
            raise PluginError(f"a network of {len(widths)} inputs must have a fusion, however none is configured")
        if late:
            self.head: nn.Module = nn.Identity()
        else:
            own = nn.Linear(width, n_outputs) if self.copies == 1 else Heads(self.copies, width, n_outputs)
            self.head = _small(own)

    @classmethod
    def seeded(cls, config: TrialConfig, specs: Mapping[str, InputSpec], n_outputs: int) -> Network:
        """Build it with the weights that the configuration's seed draws; torch's generator stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)  # manual_seed would queue calls for absent devices
            return cls(config, specs, n_outputs)

    def forward(self, inputs: Inputs) -> Tensor:
        """Outputs of a row, or, where there are several copies, of each of them.

        In training mode with ``auxiliary`` heads, what these say follows the outputs, as further copies.

        Shape: {input: batch *shape, all NaN in a missing row} → batch outputs, or batch copies outputs.
        """
        tokens, present = self.encode(inputs)
        if self.fusion is None:
            (only,) = tokens.values()
            if self.copies > 1:
                return self.head(only)  # type: ignore[no-any-return]
            return self.head(only.squeeze(1) if only.shape[1] == 1 else only.mean(1))  # type: ignore[no-any-return]
        speaks = self.fusion.heads_first or (self.training and self.auxiliary)
        said = [head(tokens[name].mean(1)) for name, head in zip(self.names, self.heads, strict=True)] if speaks else []
        if self.fusion.heads_first:
            tokens = {name: each.unsqueeze(1) for name, each in zip(self.names, said, strict=True)}
        outputs: Tensor = self.head(self.fusion(tokens, present))
        return torch.stack([outputs, *said], 1) if self.training and self.auxiliary else outputs

    def encode(self, inputs: Inputs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each input's tokens, and where it is there; where it is not, the baseline is encoded.

        Shape: {input: batch *shape} → {input: batch tokens width}, {input: batch}.
        """
        tokens: dict[str, Tensor] = {}
        present: dict[str, Tensor] = {}
        for index, (name, encoder) in enumerate(zip(self.names, self.encoders, strict=True)):
            x = inputs[name]
            if x.dim() > 2 or self.fusion is not None:  # alone, a table's row is always there: its cells are filled
                there = x.flatten(1)[:, 0].isnan().logical_not()
                x = torch.where(there.view(-1, *[1] * (x.dim() - 1)), x, self.get_buffer(f"baseline_{index}"))
                present[name] = there.to(x.dtype)
            if self._masked and x.dim() == 2:
                x = x * self.get_buffer(f"kept_{index}")
            token = encoder(x)
            tokens[name] = token.mean(1, keepdim=True) if self._mean[index] else token
        return tokens, present


def _small(head: nn.Module) -> nn.Module:
    """A last layer that starts near the prior."""
    with torch.no_grad():
        head.weight.mul_(HEAD_SCALE)  # type: ignore[operator]
        head.bias.zero_()  # type: ignore[operator]
    return head


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

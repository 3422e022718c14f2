"""TabM: many perceptrons in one that share most weights and predict one by one."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.encoders._embeddings import EMBEDDING_KNOBS, embed, narrow_embedding, origins
from autodl.encoders._scales import AdaptedLinear
from autodl.encoders._settings import complete, dropout_knob, is_vector, narrow_width
from autodl.records import InputSpec
from autodl.space import Choice, Integer, Space


class Tabm(Encoder):
    """Each token is one predictor: alone in a network it has a head and a loss of its own, and the mean is predicted.

    All linear maps are shared. At the start predictors differ by how the first layer scales its inputs alone: by
    random signs, or by normally distributed numbers where an embedding is used, one for all that a feature becomes.

    Reference:
        Gorishniy, Kotelnikov, Babenko: TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling,
        arXiv 2410.24210, section 3.3.
    """

    space: ClassVar[Space] = Space(
        copies=Choice(8, 16, 32, doc="predictors in the network", default=16, limits=(1, 256)),
        adapters=Choice(
            *("every", "first"),
            doc="layers in which predictors differ: every one (TabM), or the first alone (TabM-mini)",
            default="every",
        ),
        depth=Integer(1, 4, doc="hidden layers", default=2, limits=(1, 64)),
        width=Choice(64, 128, 256, 512, doc="units of a hidden layer", default=256, limits=(1, 4096)),
        dropout=dropout_knob("share of hidden units set to zero in training", default=0.1),
        **EMBEDDING_KNOBS,
    )

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Vectors."""
        return is_vector(spec)

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        """No embedding where there are no numbers, or too many; narrow layers on very wide inputs."""
        return narrow_width(narrow_embedding(cls.space, spec), spec)

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        chosen = complete(self.space, settings)
        self.width, self.copies = chosen["width"], chosen["copies"]
        self.embedding, inputs = embed(spec, chosen)
        layers: list[nn.Module] = []
        for place in range(chosen["depth"]):
            layer = AdaptedLinear(inputs, self.width, self.copies, own=chosen["adapters"] == "every", first=place == 0)
            layers += [layer, nn.ReLU(), Dropout(chosen["dropout"], (self.copies, self.width))]
            inputs = self.width
        self.layers = nn.Sequential(*layers)
        scales = self.layers[0].into
        assert isinstance(scales, nn.Parameter)
        with torch.no_grad():
            scales.copy_(_first_scales(origins(spec, chosen), self.copies, chosen.get("embedding") != "none").flatten())

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch features → batch copies width."""
        tokens: Tensor = self.layers(self.embedding(x).unsqueeze(1))
        return tokens


def _first_scales(origin: Tensor, copies: int, embedded: bool) -> Tensor:
    """Draw where predictors start. Shape: entries, the feature that each stems from → copies entries."""
    if not embedded:
        return torch.randint(2, (copies, len(origin))) * 2.0 - 1.0
    _, feature = torch.unique(origin, return_inverse=True)
    return torch.randn(copies, int(feature.max()) + 1)[:, feature]

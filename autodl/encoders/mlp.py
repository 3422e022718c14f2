"""Multilayer perceptron, with an embedding of numbers if asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from autodl.contracts import Dropout, Encoder
from autodl.encoders._activations import ACTIVATIONS, Parametric, activation, gain, initialise
from autodl.encoders._data_init import initialise_by_data, likely_rows
from autodl.encoders._embeddings import EMBEDDING_KNOBS, embed, narrow_embedding
from autodl.encoders._norms import vector_norm
from autodl.encoders._scales import FrontScale
from autodl.encoders._settings import complete, dropout_knob, is_image, is_vector, narrow_width
from autodl.records import InputSpec
from autodl.space import Choice, Integer, Space


class Mlp(Encoder):
    """Hidden layers of one width: linear map, normalisation, activation, dropout. Images are flattened.

    Reference:
        Holzmüller, Grinsztajn, Steinwart: Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data
        (RealMLP), arXiv 2407.04491, for depths, widths and activations worth trying, and section 3 for the front
        scale, the parametric activation and the initialisation by data.
        Gorishniy, Rubachev, Babenko: On Embeddings for Numerical Features in Tabular Deep Learning, arXiv 2203.05556.
    """

    space: ClassVar[Space] = Space(
        depth=Integer(1, 6, doc="hidden layers", default=3, limits=(1, 64)),
        width=Choice(32, 64, 128, 256, 512, doc="units of a hidden layer", default=256, limits=(1, 4096)),
        activation=Choice(*ACTIVATIONS, doc="what bends the signal after each hidden layer", default="relu"),
        normalisation=Choice("none", "layer", "rms", doc="what evens out each hidden layer's scale", default="none"),
        dropout=dropout_knob("share of hidden units set to zero in training", default=0.1),
        front_scale=Choice(False, True, doc="whether each input of the first layer has a factor that is learned"),
        parametric=Choice(False, True, doc="whether each unit learns how far it follows its activation"),
        initialisation=Choice(
            *("random", "data"), doc="what first weights are fitted to: nothing, or how training rows spread"
        ),
        **EMBEDDING_KNOBS,
    )

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Vectors and images."""
        return is_vector(spec) or is_image(spec)

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        """No embedding where there are no numbers, or too many; narrow layers on very wide inputs."""
        space = cls.space if spec.quantiles is not None else cls.space.without("initialisation")
        return narrow_width(narrow_embedding(space, spec), spec)

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        chosen = complete(self.space, settings)
        self.width = chosen["width"]
        self.embedding, inputs = embed(spec, chosen)
        layers: list[nn.Module] = [FrontScale(inputs)] if chosen["front_scale"] else []
        for _ in range(chosen["depth"]):
            layers += [
                initialise(nn.Linear(inputs, self.width), gain(chosen["activation"])),
                *vector_norm(chosen["normalisation"], self.width),
                self._activation(chosen),
                Dropout(chosen["dropout"], (self.width,)),
            ]
            inputs = self.width
        self.layers = nn.Sequential(*layers)
        if chosen["initialisation"] == "data":
            still = [layer for layer in layers if not isinstance(layer, Dropout)]
            initialise_by_data([self.embedding, *still], likely_rows(spec))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch *shape → batch 1 width."""
        vector: Tensor = self.layers(self.embedding(x))
        return vector.unsqueeze(1)

    def _activation(self, chosen: Mapping[str, Any]) -> nn.Module:
        plain = activation(chosen["activation"])
        return Parametric(plain, self.width) if chosen["parametric"] else plain

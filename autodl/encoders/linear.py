"""Linear model: the head on the features themselves, or on their embedding."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from autodl.contracts import Encoder
from autodl.encoders._embeddings import EMBEDDING_KNOBS, embed, narrow_embedding
from autodl.encoders._settings import complete, is_image, is_vector
from autodl.records import InputSpec
from autodl.space import Space


class Linear(Encoder):
    """Hands the features on; images are flattened. With an embedding, the model is additive over the features."""

    space: ClassVar[Space] = Space(**EMBEDDING_KNOBS)

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Vectors and images."""
        return is_vector(spec) or is_image(spec)

    @classmethod
    def space_for(cls, spec: InputSpec) -> Space:
        """No embedding where there are no numbers, or too many."""
        return narrow_embedding(cls.space, spec)

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        self.embedding, self.width = embed(spec, complete(self.space, settings))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch *shape → batch 1 width."""
        vector: Tensor = self.embedding(x)
        return vector.unsqueeze(1)

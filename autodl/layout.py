"""Where each parameter of a network lies in the flat matrix that optimizers update."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ParameterLayout:
    """Where each parameter of a network lies in its row of the pack's flat matrix.

    Attributes:
        names: As in ``named_parameters``.
        shapes: Of each parameter, without members.
        offsets: First position of each; ``offsets[i] + prod(shapes[i])`` is past its last.
        hidden: Whether it is a hidden matrix or filter bank (not an embedding, not in the head, at least two axes).
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    offsets: tuple[int, ...]
    hidden: tuple[bool, ...]

    def view(self, flat: Tensor, index: int) -> Tensor:
        """Parameter ``index`` as a view. Shape: members parameters → members *shape."""
        shape = self.shapes[index]
        length = 1
        for size in shape:
            length *= size
        start = self.offsets[index]
        return flat[:, start : start + length].view(flat.shape[0], *shape)

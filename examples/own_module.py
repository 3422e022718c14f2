"""Your own module joins the search: one decorator with the range of each of its settings."""

from __future__ import annotations

import torch
from torch import nn

import autodl


@autodl.encoder(accepts="vector", units=autodl.Choice(16, 32, 64), pieces=autodl.Integer(2, 5))
class Maxout(nn.Module):
    """Units that each take the largest of several linear maps.

    Reference:
        Goodfellow, Warde-Farley, Mirza, Courville, Bengio: Maxout Networks, arXiv 1302.4389, section 3.
    """

    def __init__(self, shape: tuple[int, ...], units: int, pieces: int) -> None:
        super().__init__()
        self.maps = nn.Linear(shape[0], units * pieces)
        self.pieces = nn.Unflatten(-1, (units, pieces))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape: batch features → batch units."""
        return self.pieces(self.maps(x)).amax(-1)


def main(time: str | None = "1m", trials: int | None = None) -> autodl.Predictor:
    """Search among networks of this kind alone; without ``models`` it would race with all others."""
    return autodl.search("wine", models="maxout", time=time, trials=trials)


if __name__ == "__main__":
    predictor = main()
    print(predictor.leaderboard.table())
    print(predictor.scores["test"])

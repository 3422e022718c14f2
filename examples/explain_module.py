"""What any torch module's answers rest on, without a search; a method that would mislead is refused."""

from __future__ import annotations

import torch
from torch import nn

import autodl
from autodl.errors import ExplanationError
from autodl.explaining.explanation import Explanation

NAMES = ["distance", "weight", "hour", "noise"]


def trained(seed: int = 0) -> tuple[nn.Module, torch.Tensor]:
    """A small network that learnt a price from three of four numbers, and rows to explain. Shape: → rows features."""
    torch.manual_seed(seed)
    rows = torch.rand(512, len(NAMES))
    price = 3 * rows[:, 0] * rows[:, 1] + torch.sin(6 * rows[:, 2])
    module = nn.Sequential(nn.Linear(len(NAMES), 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    for _ in range(400):
        loss = (module(rows).squeeze(1) - price).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module, rows


def main() -> tuple[Explanation, Explanation, str]:
    """Explain five rows against a hundred others, by two methods, and see a third one refused."""
    module, rows = trained()
    known = rows[-100:]
    exact = autodl.explain(module, rows[:5], known, names=NAMES, settings={"interactions": True})
    quick = autodl.explain(module, rows[:5], known, "integrated_gradients", names=NAMES)
    refusal = ""
    try:
        autodl.explain(module, rows[:5], known, "grad_cam", names=NAMES)
    except ExplanationError as error:
        refusal = str(error)
    return exact, quick, refusal


if __name__ == "__main__":
    exact, quick, refusal = main()
    print(exact.summary())
    print(quick.summary())
    print(refusal)
    exact.plot.waterfall(0).write_html("waterfall.html")

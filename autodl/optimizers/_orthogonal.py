"""Newton–Schulz iteration: the nearest semi-orthogonal matrix, by products of matrices alone."""

from __future__ import annotations

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return matrices with the same singular vectors and singular values near 1.

    They end between 0.68 and 1.21 unless they are tiny beside the matrix's norm (below some 0.003 of it).

    Shape:
        matrices: batch rows columns

    Reference:
        Jordan, Jin, Boza, You, Cesista, Newhouse, Bernstein: Muon: An optimizer for hidden layers in neural networks,
        https://kellerjordan.github.io/posts/muon/, 2024: five steps of X ← aX + (bXXᵀ + c(XXᵀ)²)X.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = torch.bmm(x, x.mT)
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, gram, x, beta=a)
    return x.mT if tall else x

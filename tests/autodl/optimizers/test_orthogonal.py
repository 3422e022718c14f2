from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autodl.optimizers._orthogonal import orthogonalised

SHAPES = [(1, 1), (1, 7), (7, 1), (5, 5), (3, 20), (20, 3), (16, 64), (64, 16)]
MEMBERS = 4


def random(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    """Shape: members *shape."""
    return torch.randn(MEMBERS, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def scalar_rule(values: Tensor) -> Tensor:
    """What five steps make of a singular value: each x ← 3.4445 x - 4.7750 x³ + 2.0315 x⁵."""
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return values


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    values = torch.linalg.svdvals(orthogonalised(random(shape)))
    assert values.shape == (MEMBERS, min(shape))
    assert ((values > 0.68) & (values < 1.21)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_vectors_stay_and_values_follow_the_rule(shape: tuple[int, int]) -> None:
    """With X = U S Vᵀ the result is U p(S / ‖X‖) Vᵀ."""
    matrices = random(shape)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    changed = scalar_rule(values / torch.linalg.vector_norm(values, dim=-1, keepdim=True))
    torch.testing.assert_close(orthogonalised(matrices), left * changed.unsqueeze(-2) @ right, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_all_at_once_equals_one_by_one(shape: tuple[int, int]) -> None:
    matrices = random(shape) * torch.tensor([1.0, 1e-3, 1e3, 1.0], dtype=torch.float64).view(-1, 1, 1)
    alone = torch.cat([orthogonalised(matrix.unsqueeze(0)) for matrix in matrices])
    torch.testing.assert_close(orthogonalised(matrices), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [1e-5, 0.3, 1e8])
def test_the_length_of_a_gradient_does_not_matter(factor: float, dtype: torch.dtype) -> None:
    matrices = random((6, 9), dtype)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(orthogonalised(factor * matrices), orthogonalised(matrices), rtol=0, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_turns_with_its_matrix(shape: tuple[int, int]) -> None:
    """Of the transpose it is the transpose, of the negative the negative."""
    matrices = random(shape)
    expected = orthogonalised(matrices)
    torch.testing.assert_close(orthogonalised(matrices.mT).mT, expected, rtol=0, atol=1e-10)
    assert torch.equal(orthogonalised(-matrices), -expected)


@pytest.mark.parametrize("shape", [(3, 4), (4, 3)])
def test_matrices_stay_as_they_were(shape: tuple[int, int]) -> None:
    matrices = random(shape)
    orthogonalised(matrices)
    assert torch.equal(matrices, random(shape))


def test_no_matrices_give_none() -> None:
    assert orthogonalised(torch.zeros(0, 3, 4)).shape == (0, 3, 4)

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from autodl.encoders._attention import Block, attend, waves


def plain(queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
    scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
    weights: Tensor = scores.masked_fill(~seen[..., None, None, :], -torch.inf).softmax(-1)
    return weights @ values


def case(*outer: int) -> list[Tensor]:
    """Queries, keys and values of 2 heads, and which of 7 keys are there: always the first."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(*outer, 2, 5, 4), (*outer, 2, 7, 4), (*outer, 2, 7, 4)]
    parts = [torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes]
    seen = torch.rand(*outer, 7, generator=generator) > 0.4
    seen[..., 0] = True
    return [*parts, seen]


def agree(found: Tensor, expected: Tensor, parts: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected)
    direction = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mine, theirs = (torch.autograd.grad(each, parts, direction) for each in (found, expected))
    torch.testing.assert_close(mine, theirs)


def test_is_the_textbooks() -> None:
    queries, keys, values, seen = case(3)
    agree(attend(queries, keys, values, seen), plain(queries, keys, values, seen), [queries, keys, values])


def test_members_of_a_pack_are_what_each_is_alone() -> None:
    """Without a warning, as one would turn into an error here."""
    queries, keys, values, seen = case(4, 3)
    found = torch.vmap(attend)(queries, keys, values, seen)
    agree(found, plain(queries, keys, values, seen), [queries, keys, values])


def test_members_may_share_some_inputs() -> None:
    queries, keys, values, seen = case(4, 3)
    found = torch.vmap(attend, in_dims=(0, None, 0, None))(queries, keys[0], values, seen[0])
    agree(found, plain(queries, keys[0], values, seen[0]), [queries, keys, values][::2])


def test_what_is_not_there_is_not_seen() -> None:
    queries, keys, values, seen = case(3)
    with torch.no_grad():
        expected = attend(queries, keys, values, seen)
        gone = ~seen[:, None, :, None]
        assert torch.equal(attend(queries, keys + 9 * gone, values - 9 * gone, seen), expected)


def by_head(block: Block, tokens: Tensor, seen: Tensor) -> Tensor:
    """Row by row, head by head, with the keys that are not there cut out."""
    answers = []
    for row, there in zip(tokens, seen, strict=True):
        normed = block.norm(row)
        asking = normed[:1] if block.last else normed
        parts = (block.queries(asking), block.keys(normed[there]), block.values(normed[there]))
        looked = []
        for queries, keys, values in zip(*(part.chunk(block.heads, dim=-1) for part in parts), strict=True):
            looked.append((queries @ keys.T / math.sqrt(queries.shape[1])).softmax(-1) @ values)
        kept = row[:1] if block.last else row
        kept = kept + block.out(torch.cat(looked, dim=-1))
        answers.append(kept + block.network(kept))
    return torch.stack(answers)


@pytest.mark.parametrize("last", [False, True])
def test_a_block_is_the_textbooks(last: bool) -> None:
    torch.manual_seed(0)
    block = Block(8, 2, 0.0, last=last).double().eval()
    tokens, seen = torch.randn(4, 6, 8, dtype=torch.float64), torch.rand(4, 6) > 0.4
    seen[:, 0] = True
    torch.testing.assert_close(block(tokens, seen), by_head(block, tokens, seen))


@pytest.mark.parametrize("width", [1, 6, 32])
def test_waves_are_sines_and_cosines_of_falling_rate(width: int) -> None:
    found = waves(5, width)
    for place in range(5):
        for entry in range(width):
            angle = place / 10_000 ** (2 * (entry // 2) / width)
            expected = math.cos(angle) if entry % 2 else math.sin(angle)
            assert found[place, entry].item() == pytest.approx(expected, abs=1e-5)

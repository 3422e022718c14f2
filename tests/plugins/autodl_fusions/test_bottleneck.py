from __future__ import annotations

import torch

from autodl_fusions.bottleneck import LATENTS, Bottleneck

TOKENS = {"photo": torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0)), "table": torch.ones(3, 1, 5)}
BOTH = {"photo": torch.ones(3), "table": torch.ones(3)}


def bottleneck(depth: int) -> Bottleneck:
    torch.manual_seed(0)
    return Bottleneck({"photo": 6, "table": 5}, width=8, depth=depth, normalize=True, dropout=0.0)


def test_it_follows_the_papers_equations() -> None:
    """Each input's block over its tokens and the shared ones; shared ones are then averaged over inputs."""
    fusion = bottleneck(2)
    photo, table = fusion.inputs(TOKENS, BOTH)
    shared = fusion.shared.view(1, LATENTS, 8).expand(3, -1, -1)
    for exchange in fusion.rounds:
        left = exchange.blocks[0](torch.cat((shared, photo), 1), count=LATENTS + 4)
        right = exchange.blocks[1](torch.cat((shared, table), 1), count=LATENTS + 1)
        shared = (left[:, :LATENTS] + right[:, :LATENTS]) / 2
        photo, table = left[:, LATENTS:], right[:, LATENTS:]
    torch.testing.assert_close(fusion(TOKENS, BOTH), fusion.blend(shared.flatten(1)))


def test_inputs_meet_in_the_shared_tokens_alone() -> None:
    """What the table's stream becomes hears of the photo in the second round, not in the first."""
    fusion = bottleneck(2)
    seen = []
    for exchange in fusion.rounds:
        exchange.blocks[1].register_forward_hook(lambda *call: seen.append(call[2]))
    other = {**TOKENS, "photo": TOKENS["photo"] + 1 + torch.arange(6)}
    fusion(TOKENS, BOTH)
    fusion(other, BOTH)
    assert torch.equal(seen[0], seen[2])
    assert not torch.allclose(seen[1], seen[3], atol=1e-4)

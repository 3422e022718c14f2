from __future__ import annotations

import torch

from autodl.encoders._tokens import Pairs, Tokens, is_text, narrow_tokens, there
from autodl.encoders.text_bag import TextBag
from autodl.space import Choice
from autodl.testing.encoder import image_spec, rows, sound_spec, table_spec, text_spec
from autodl.training.pack import layout_of

SETTINGS = {"width": 6, "pairs": 16}


def test_texts_are_told_by_their_axes() -> None:
    assert is_text(text_spec(5, vocabulary=9))
    assert is_text(text_spec(5, entries=3))
    assert not any(is_text(spec) for spec in (table_spec(), image_spec(), sound_spec()))


def test_ids_are_looked_up() -> None:
    spec = text_spec(4, vocabulary=9)
    tokens = Tokens(spec, {**SETTINGS, "pairs": 0}, spread=1.0)
    assert tokens.embedding is not None
    found = tokens(torch.tensor([[[3.0], [0.0], [8.0], [3.0]]]))
    assert torch.equal(found[0, [0, 2, 3]], tokens.embedding[[3, 8, 3]])
    assert not found[0, 1].any()


def test_vectors_are_mapped_and_zeros_stay_zeros() -> None:
    spec = text_spec(4, entries=3)
    tokens = Tokens(spec, SETTINGS, spread=1.0)
    x = rows(spec, 5)
    torch.testing.assert_close(tokens(x), x @ tokens.projection.weight.T)
    assert not tokens(x)[~there(x)].any()


def test_a_pair_is_there_where_both_ids_are() -> None:
    pairs = Pairs(64, 2)
    with torch.no_grad():
        pairs.embedding.copy_(torch.arange(128.0).view(64, 2) + 1)
    found = pairs(torch.tensor([[5, 7, 0, 7, 5, 7]]))[0]
    assert found.any(1).tolist() == [False, True, False, False, True, True]
    assert torch.equal(found[1], found[5]), "the same pair has the same vector"
    assert not torch.equal(found[1], found[4]), "order matters"


def test_pairs_start_at_zero_and_learn() -> None:
    spec = text_spec(6, vocabulary=9)
    tokens, alone = Tokens(spec, SETTINGS, spread=1.0), Tokens(spec, {**SETTINGS, "pairs": 0}, spread=1.0)
    assert tokens.pairs is not None
    alone.load_state_dict({"embedding": tokens.state_dict()["embedding"]})
    x = rows(spec, 4)
    assert torch.equal(tokens(x), alone(x))
    tokens(x).sum().backward()
    assert tokens.pairs.embedding.grad is not None
    assert tokens.pairs.embedding.grad.any()


def test_the_space_is_narrowed_to_the_input() -> None:
    assert "pairs" in narrow_tokens(TextBag.space, text_spec(5, vocabulary=9))
    assert "pairs" not in narrow_tokens(TextBag.space, text_spec(5, entries=3))
    assert "pairs" not in narrow_tokens(TextBag.space, text_spec(1, vocabulary=9))
    width = narrow_tokens(TextBag.space, text_spec(5, vocabulary=200_000))["width"]
    assert isinstance(width, Choice)
    assert width.options == (8, 16, 32)


def test_tables_are_no_hidden_matrices() -> None:
    layout = layout_of(Tokens(text_spec(5, vocabulary=9), SETTINGS, spread=1.0))
    assert dict(zip(layout.names, layout.hidden, strict=True)) == {"embedding": False, "pairs.embedding": False}
    assert layout_of(Tokens(text_spec(5, entries=3), SETTINGS, spread=1.0)).hidden == (True,)

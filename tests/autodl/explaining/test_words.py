from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from autodl.explaining._words import LONGEST, WORDS, divided
from autodl.records import InputSpec


def spec(length: int, width: int = 1) -> InputSpec:
    return InputSpec((length, width), ("review",), torch.zeros(length, width).long(), torch.zeros(length, width))


def pieces(pattern: str) -> object:
    return lambda text: [match.span() for match in re.finditer(pattern, text)]


def ids(rows: Sequence[int], length: int) -> torch.Tensor:
    """So many tokens in each row, then padding."""
    x = torch.zeros(len(rows), length, 1)
    for row, count in enumerate(rows):
        x[row, :count] = 2
    return x


def test_views_share_words_wherever_they_cut() -> None:
    text = "not good, unbelievable"
    by_word, by_part = pieces(r"\w+|[^\w\s]"), pieces(r"\w{1,3}|[^\w\s]")
    found = divided(
        {"a": spec(6), "b": spec(10, 3)},
        {"a": ids([4], 6), "b": ids([8], 10).expand(-1, -1, 3)},
        [text],
        {"a": by_word, "b": by_part},
    )
    assert found["a"][0, :, 0].tolist() == [0, 1, 1, 2, 2, 2]  # "good," is one word, and padding the last one's
    assert found["b"][0, :, 0].tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert found["b"].shape == (1, 10, 3)


def test_words_that_were_cut_off_are_nobody() -> None:
    text = "one two three four"
    found = divided({"a": spec(2)}, {"a": ids([2], 2)}, [text], {"a": lambda _: [(0, 3), (14, 18)]})
    assert found["a"][0, :, 0].tolist() == [0, 1]


def test_long_words_are_divided_as_the_first_view_divides_them() -> None:
    text = "東" * (LONGEST + 4)
    by_character = pieces(".")
    found = divided({"a": spec(40)}, {"a": ids([len(text)], 40)}, [text], {"a": by_character})
    assert found["a"][0, : len(text), 0].tolist() == list(range(len(text)))


def test_long_texts_have_runs_of_neighbours_as_players() -> None:
    text = " ".join(f"w{n}" for n in range(200))
    found = divided({"a": spec(200)}, {"a": ids([200], 200)}, [text], {"a": pieces(r"\S+")})["a"][0, :, 0]
    assert int(found.max()) == WORDS - 1
    assert (found.diff() >= 0).all()
    assert found.bincount().min() >= 200 // WORDS


def test_without_pieces_tokens_are_players_and_views_meet_in_proportion() -> None:
    found = divided({"a": spec(4), "b": spec(8)}, {"a": ids([3], 4), "b": ids([6], 8)}, ["x y z"], {})
    assert found["a"][0, :, 0].tolist() == [0, 1, 2, 2]
    assert found["b"][0, :, 0].tolist() == [0, 0, 1, 1, 2, 2, 2, 2]


def test_missing_and_empty_texts_are_one_player() -> None:
    x = ids([2, 0, 1], 3)
    x[2] = torch.nan
    found = divided({"a": spec(3)}, {"a": x}, ["a b", "", None], {"a": pieces(r"\S+")})
    assert found["a"][:, :, 0].tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_a_cell_that_is_no_string_has_tokens_still() -> None:
    found = divided({"a": spec(3)}, {"a": ids([2], 3)}, [12.5], {"a": pieces(r"\S+")})
    assert found["a"][0, :, 0].tolist() == [0, 1, 1]

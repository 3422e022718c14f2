from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autodl.errors import SpaceError
from autodl.modalities import _text_summary, _word_table, text
from autodl.modalities._tokenizing import RESERVED, normal_form
from autodl.modalities.text import CHARACTERS, Text
from autodl.records import Column, InputSpec, Schema, Task
from autodl.vectors import as_vector

TASK = Task("y", "binary", ("no", "yes"))
REVIEW = (Column("review", "text"),)
KINDS = ["words", "subwords", *(["pretrained"] if _word_table.installed() else [])]
ANY_TEXT = st.text(st.characters(exclude_categories=()))
FILMS = ["A great film, great!", "a bad film", "Great acting", "bad, bad acting"]


def frame(*cells: Any) -> pd.DataFrame:
    return pd.DataFrame({"review": pd.Series(list(cells), dtype=object)})


def fitted(
    cells: Sequence[Any], tokens: str = "words", length: int = 256, vocabulary: int = 1000, seed: int = 0, **more: Any
) -> tuple[Text, InputSpec]:
    modality = Text(REVIEW, tokens=tokens, length=length, vocabulary=vocabulary, **more)
    return modality, modality.fit(frame(*cells), np.zeros(len(cells), np.int64), TASK, seed)


def ids_of(modality: Text, *cells: Any) -> list[list[int]]:
    """Without the zeros that rows are filled up with."""
    values = modality.transform(frame(*cells)).values.flatten(1)
    return [row[: int(row.count_nonzero())].tolist() for row in values]


def test_claims_each_text_column_as_an_input() -> None:
    schema = Schema((Column("title", "text"), Column("x", "number"), Column("body", "text")))
    assert Text.claim(schema) == {"title": ["title"], "body": ["body"]}


def test_words_become_ids() -> None:
    modality, spec = fitted(FILMS)
    words = ["a", "acting", "bad", "film", "great"]
    length = spec.shape[0]
    assert modality.state() == {"length": length, "words": words, "punctuation": False}
    assert spec.shape == (length, 1)
    assert spec.axes == ("token", "entry")
    assert spec.vocabulary == RESERVED + 5
    stored = modality.transform(frame("GREAT unseen film"))
    assert stored.values.dtype == torch.int32
    expected = [words.index("great") + RESERVED, 1, words.index("film") + RESERVED]
    assert stored.values.flatten().tolist() == expected + [0] * (length - 3)
    assert "," in fitted(FILMS, punctuation=True)[0].state()["words"]


def test_the_length_is_that_of_all_but_the_longest_hundredth() -> None:
    cells = ["word " * count for count in [3] * 199 + [500]]
    assert fitted(cells)[1].shape == (3, 1)
    assert fitted([*cells, "word " * 7, "word " * 7, "word " * 7])[1].shape == (7, 1)
    assert fitted(cells, length=2)[1].shape == (2, 1)
    assert fitted(["word " * 10] * 5, length=4096)[1].shape == (10, 1)


@pytest.mark.parametrize(("length", "expected"), [(1, "a"), (2, "ag"), (3, "abg"), (4, "abfg"), (7, "abcdefg")])
def test_of_a_longer_text_the_beginning_and_the_end_are_kept(length: int, expected: str) -> None:
    modality, _ = fitted(["a b c d e f g"] * 3, length=length)
    words = modality.state()["words"]
    (found,) = ids_of(modality, "a b c d e f g")
    assert "".join(words[each - RESERVED] for each in found) == expected
    assert "".join("a b c d e f g"[start:end] for start, end in modality.pieces("a b c d e f g")) == expected


def test_missing_and_blank_cells_are_missing_and_a_text_of_nothing_is_there() -> None:
    """As the data layer says: a blank cell is a missing one."""
    modality, _ = fitted(FILMS)
    cells = [None, np.nan, pd.NA, pd.NaT, "", " \n", "\u200b\x00", "film"]
    stored = modality.transform(frame(*cells))
    assert stored.present.tolist() == [False] * 6 + [True, True]
    assert not stored.values[:7].any()
    assert stored.values[7].any()
    assert stored.problems == ()


def test_what_is_no_string_is_taken_as_written() -> None:
    modality, _ = fitted(["12 3.5 true"] * 2)
    assert ids_of(modality, 12, 3.5, True, [12]) == [*ids_of(modality, "12", "3.5", "True", "[12]")]
    assert all(each for each in ids_of(modality, 12, 3.5, True))


@pytest.mark.parametrize("tokens", KINDS)
@pytest.mark.parametrize("cells", [[], [None], [None, ""], ["one"], ["same same"] * 30, ["\u200b"] * 3, ["\ud800"]])
def test_degenerate_training_texts(tokens: str, cells: list[Any]) -> None:
    modality, spec = fitted(cells, tokens)
    assert spec.shape[0] >= 1
    if tokens != "pretrained":
        assert spec.summary is not None
        assert spec.summary.shape[1] >= 1
        assert spec.summary.isfinite().all()
    assert len(modality.transform(frame("one more", None)).values) == 2


def test_other_rows_are_not_looked_at() -> None:
    modality, _ = fitted(FILMS)
    before = json.dumps(modality.state())
    modality.transform(frame("quite other words", "quite other words"))
    assert json.dumps(modality.state()) == before


def test_the_summary_tells_topics_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text_summary, "WIDTH", 2)
    chance = np.random.default_rng(0)
    topics = (["goal", "ball", "team", "match", "coach"], ["stock", "bank", "rate", "bond", "fund"])
    cells = [" ".join(chance.choice(topics[row % 2], 4)) for row in range(60)]
    modality, spec = fitted(cells)
    vectors = as_vector(modality.transform(frame("goal ball", "team match", "bank fund")).values.float(), spec)
    similar = vectors @ vectors.T
    assert similar[0, 1] > similar[0, 2].abs() + 0.3


@pytest.mark.skipif("pretrained" not in KINDS, reason="wordllama is not installed")
def test_pretrained_tokens_come_with_their_vectors() -> None:
    modality, spec = fitted(FILMS, "pretrained")
    assert spec.table is not None
    assert spec.table.dtype == torch.float16
    assert spec.shape == (spec.shape[0], 256)
    assert spec.vocabulary == 0
    assert spec.summary is None
    stored = modality.transform(frame("a bad film", None))
    assert stored.values.shape == (2, spec.shape[0])
    assert stored.values.dtype == torch.int32
    assert stored.values[0].count_nonzero() == 3


def test_a_predictor_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only fitting does: the state holds the tokenizer, and the spec the table."""
    if "pretrained" not in KINDS:
        pytest.skip("wordllama is not installed")
    modality, _ = fitted(FILMS, "pretrained")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    again = Text.from_state(REVIEW, modality.settings, json.loads(json.dumps(modality.state())))
    assert torch.equal(again.transform(frame(*FILMS)).values, modality.transform(frame(*FILMS)).values)
    with pytest.raises(SpaceError, match="torch-autodl"):
        fitted(FILMS, "pretrained")


@pytest.mark.parametrize("tokens", KINDS)
def test_the_seed_decides(tokens: str) -> None:
    (first, one), (second, other) = fitted(FILMS, tokens, seed=3), fitted(FILMS, tokens, seed=3)
    assert first.state() == second.state()
    if one.summary is not None and other.summary is not None:
        assert torch.equal(one.summary, other.summary)


def test_subwords_of_much_text_are_learned_on_some_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "FITTED_CHARACTERS", 100)
    cells = [f"{letter * 3} {letter * 5} {letter * 7}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    states = [fitted(cells, "subwords", seed=seed)[0].state() for seed in (1, 1, 2)]
    assert states[0] == states[1] != states[2]


# where tokens stand


@pytest.mark.parametrize("tokens", KINDS)
@pytest.mark.parametrize(
    "cell",
    [
        "A great film!",
        "Straße ﬁne ½ é",
        "日本語 👨\u200d👩\u200d👧 ok",
        " \t\nfilm\n\n film ",
        "\u200b",
        "film \ud800\0",
    ],
)
def test_there_is_a_piece_for_each_token(tokens: str, cell: str) -> None:
    modality, _ = fitted([*FILMS, cell, cell], tokens)
    pieces = modality.pieces(cell)
    (ids,) = ids_of(modality, cell)
    assert len(pieces) == len(ids)
    assert all(0 <= start < end <= len(cell) for start, end in pieces)
    assert [start for start, _ in pieces] == sorted(start for start, _ in pieces)


@given(st.lists(ANY_TEXT, min_size=1, max_size=4), st.integers(1, 5))
@settings(deadline=None)
def test_pieces_are_exactly_the_words(cells: list[str], length: int) -> None:
    """Whatever the alphabet, and where a text is cut too: position i of the tensor is characters start to end."""
    modality, _ = fitted(cells * 2, length=length)
    words = modality.state()["words"]
    for cell, ids in zip(cells, ids_of(modality, *cells), strict=True):
        pieces = modality.pieces(cell)
        assert len(ids) <= length
        if cell.strip():
            assert [words[each - RESERVED] for each in ids] == [normal_form(cell[start:end]) for start, end in pieces]


@given(st.lists(ANY_TEXT, max_size=4))
@settings(deadline=None, max_examples=30)
@pytest.mark.parametrize("tokens", KINDS[1:])
def test_any_text_has_ids_and_pieces(tokens: str, cells: list[str]) -> None:
    modality = FITTED[tokens]
    for cell, ids in zip(cells, ids_of(modality, *cells), strict=True):
        if cell.strip():
            assert len(modality.pieces(cell)) == len(ids) <= 8


FITTED = {tokens: fitted(["some words to fit on, eight of them"] * 3, tokens, length=8)[0] for tokens in KINDS}


@pytest.mark.parametrize("tokens", KINDS)
@pytest.mark.parametrize("repeated", ["word ", "字", "a", " ", "👨\u200d", "\u0301"])
def test_a_very_long_text_is_fast(tokens: str, repeated: str) -> None:
    """Only its beginning and its end are looked at."""
    modality = FITTED[tokens]
    cell = f"some {repeated * (2_000_000 // len(repeated))} eight"
    start = time.perf_counter()
    (ids,) = ids_of(modality, cell)
    assert time.perf_counter() - start < 2
    assert len(ids) <= 8
    pieces = modality.pieces(cell)
    assert cell[slice(*pieces[0])] == "some"
    assert cell[slice(*pieces[-1])] == "eight"


@pytest.mark.parametrize("tokens", KINDS)
@pytest.mark.parametrize("extra", range(-3, 4))
def test_pieces_of_a_cut_text(tokens: str, extra: int) -> None:
    """Around the length from which on the middle is not looked at."""
    modality = FITTED[tokens]
    filling = "+" * (2 * 8 * CHARACTERS + 1 - len("some eight") + extra - 2)
    cell = f"some {filling} eight"
    found = [cell[start:end] for start, end in modality.pieces(cell)]
    assert found[0] == "some"
    assert found[-1] == "eight"
    assert set("".join(found[1:-1]).replace(" ", "")) == {"+"}


# augmentation


def batch_of(*rows: Sequence[float]) -> Tensor:
    """One member's batch of ids. Shape: → 1 rows tokens 1."""
    return torch.tensor([rows]).unsqueeze(-1).float()


def test_a_token_is_taken_away_where_the_draw_is_below() -> None:
    batch = batch_of([5, 6, 7, 0], [8, 9, 0, 0])
    draws = torch.tensor([[[0.1, 0.3, 0.29, 0.0], [0.9, 0.0, 0.9, 0.9]]])
    found = Text.augment(batch, {"word_dropout": torch.tensor([0.3])}, lambda *shape: draws.view(1, *shape))
    assert found.squeeze(-1).tolist() == [[[0, 6, 0, 0], [8, 0, 0, 0]]]


def test_a_vector_is_taken_away_whole() -> None:
    batch = torch.randn(1, 1, 3, 4)
    draws = torch.tensor([[[0.0, 0.5, 0.1]]])
    found = Text.augment(batch, {"word_dropout": torch.tensor([0.2])}, lambda *shape: draws.view(1, *shape))
    assert not found[0, 0, [0, 2]].any()
    assert torch.equal(found[0, 0, 1], batch[0, 0, 1])


def test_a_missing_text_stays_missing() -> None:
    gone = torch.full((1, 2, 3, 1), torch.nan)
    found = Text.augment(gone, {"word_dropout": torch.tensor([0.9])}, lambda *shape: torch.zeros(1, *shape))
    assert found.isnan().all()


def test_shares_are_those_asked_for() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = torch.ones(3, 100, 200, 1)
    found = Text.augment(
        batch,
        {"word_dropout": torch.tensor([0.0, 0.1, 0.3])},
        lambda *shape: torch.rand(3, *shape, generator=generator),
    )
    assert found.mean((1, 2, 3)).tolist() == pytest.approx([1, 0.9, 0.7], abs=0.01)

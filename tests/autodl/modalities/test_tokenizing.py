from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from autodl.modalities._tokenizing import LONGEST_WORD, RESERVED, SUBWORDS, Subwords, Tokenizing, Words, normal_form

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates, controls and unassigned ones included
CORPUS = [
    "the old man and the sea",
    "the sea, the sea!",
    "Wholesale wholemeal, whole wheat 1234",
    "Straße 😀",
    "日本語",
]
WORDS = Words.fit(CORPUS * 2, 100)
SUBWORDS_OF_CORPUS = Subwords.fit(CORPUS * 2)


def words_of(text: str) -> list[str]:
    return [text[start:end] for start, end in Words([], punctuation=True).spans(text)]


def ids_of(tokenizing: Tokenizing, text: str) -> list[int]:
    (found,) = tokenizing.ids([text])
    return found


# words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t\u2003", []),
        ("Don't go_there; 3.14!", ["Don't", "go", "_", "there", ";", "3", ".", "14", "!"]),
        ("l’été, 'so' it''s", ["l’été", ",", "'", "so", "'", "it", "'", "'", "s"]),
        ("naïve Straße ŁÓDŹ", ["naïve", "Straße", "ŁÓDŹ"]),
        ("e\u0301te\u0301 cafe\u0301s", ["e\u0301te\u0301", "cafe\u0301s"]),
        ("Привет, κόσμε", ["Привет", ",", "κόσμε"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("日本語です。ok", ["日", "本", "語", "で", "す", "。", "ok"]),
        ("ดีมาก", ["ดี", "ม", "า", "ก"]),
        ("ｶﾞ", ["ｶﾞ"]),
        ("co\u00adoperate", ["co\u00adoperate"]),
        ("good😀😀bad", ["good", "😀", "😀", "bad"]),
        ("👨\u200d👩\u200d👧👍🏽", ["👨\u200d👩\u200d👧", "👍🏽"]),
        ("❤\ufe0f🏳\ufe0f\u200d🌈", ["❤\ufe0f", "🏳\ufe0f\u200d🌈"]),
        ("🇫🇷🇩🇪", ["🇫🇷", "🇩🇪"]),
        ("1\ufe0f\u20e3#\ufe0f\u20e3", ["1\ufe0f\u20e3", "#\ufe0f\u20e3"]),
        ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f!", None),
        ("a\x00b\x1f\x7fc\ud800d", ["a", "b", "c", "d"]),
        ("a\u200bb \u200b \ufeff", ["a", "b"]),
        ("𝐀𝐁 ① ½ m²", ["𝐀𝐁", "①", "½", "m²"]),
    ],
)
def test_what_is_a_word(text: str, expected: list[str] | None) -> None:
    assert words_of(text) == ([text[:-1], "!"] if expected is None else expected)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("e\u0301", "É"),
        ("ﬁne", "Fine"),
        ("ＡＢＣ", "abc"),
        ("ｶﾞ", "ガ"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("❤\ufe0f", "❤"),
        ("co\u00adop", "coop"),
        ("㎏", "kg"),
        ("İ", "i\u0307"),
    ],
)
def test_what_makes_words_the_same(one: str, other: str) -> None:
    assert normal_form(one) == normal_form(other) != ""


@pytest.mark.parametrize(("one", "other"), [("👍", "👍🏽"), ("🇫🇷", "🇩🇪"), ("año", "ano"), ("👨\u200d👩", "👨\u200d👧")])
def test_what_keeps_words_apart(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


@pytest.mark.parametrize("text", ["\u200b", "\ufeff", "\u00ad", "\ufe0f", "\u200d"])
def test_a_word_of_nothing_that_can_be_seen_is_none(text: str) -> None:
    assert normal_form(text) == ""
    assert words_of(text) == []


def test_the_vocabulary_are_words_of_two_texts_the_most_frequent_first() -> None:
    fitted = Words.fit(["b b b c a", "C! a", "a d"], 100)
    assert fitted.words == ["a", "c"]
    assert fitted.size == RESERVED + 2
    assert ids_of(fitted, "c b, A zebra\u200b") == [3, 1, 2, 1]


def test_punctuation_counts_where_it_is_asked_for() -> None:
    with_marks = Words.fit(["a, b", "b, a!"], 100, punctuation=True)
    assert with_marks.words == [",", "a", "b"]
    assert ids_of(with_marks, "a, +") == [3, 2, 1]
    assert ids_of(Words(["a", "b"]), "a, +") == [2, 1]
    assert Words(["a"]).spans("a, +") == [(0, 1), (3, 4)]


def test_apostrophes_inside_words_are_one_however_they_are_written() -> None:
    fitted = Words.fit(["I don't", "I don’t"], 100)
    assert fitted.words == ["don't", "i"]


def test_the_vocabulary_is_cut() -> None:
    assert Words.fit(["c a b", "c b a", "c"], 2).words == ["c", "a"]


def test_endless_words_are_never_in_the_vocabulary() -> None:
    assert Words.fit([f"{'x' * LONGEST_WORD} {'y' * (LONGEST_WORD + 1)}"] * 2, 9).words == ["x" * LONGEST_WORD]


def test_without_texts_there_is_no_vocabulary() -> None:
    assert Words.fit([], 9).words == Words.fit([""], 9).words == []


@given(ANY_TEXT)
def test_words_follow_each_other_and_leave_out_nothing_that_can_be_seen(text: str) -> None:
    place = 0
    for start, end in Words([]).spans(text):
        assert place <= start < end
        assert not any(character.isalnum() for character in text[place:start])
        place = end
    assert not any(character.isalnum() for character in text[place:])


@given(st.lists(ANY_TEXT, max_size=4))
def test_each_id_is_that_of_the_characters_it_stands_at(texts: list[str]) -> None:
    fitted = Words.fit(texts * 2, 1000)
    for text, ids in zip(texts, fitted.ids(texts), strict=True):
        expected = [normal_form(text[start:end]) for start, end in fitted.spans(text)]
        assert [fitted.words[each - RESERVED] for each in ids] == expected


@pytest.mark.parametrize("text", ["字", "a\u0301", "👨\u200d", "x", "\u0301", "\u200d", "a ", "ﷺ"])
def test_long_texts_take_time_in_proportion(text: str) -> None:
    text *= 262_144 // len(text)
    start = time.perf_counter()
    ids_of(WORDS, text)
    assert time.perf_counter() - start < 5


# sub-words


def test_subwords_are_shared_by_words() -> None:
    first, second = ids_of(SUBWORDS_OF_CORPUS, "wholesome"), ids_of(SUBWORDS_OF_CORPUS, "WHOLE")
    assert first[0] == second[0]
    assert SUBWORDS_OF_CORPUS.spans("Wholesome")[0] == (0, 5)


def test_subwords_of_the_same_texts_are_the_same() -> None:
    assert Subwords.fit(CORPUS * 2).state() == SUBWORDS_OF_CORPUS.state()


def test_bytes_stand_where_their_character_does() -> None:
    spans = SUBWORDS_OF_CORPUS.spans("a\n☃!")
    assert spans[-4:] == [(2, 3), (2, 3), (2, 3), (3, 4)]


def test_spans_are_of_the_text_before_it_was_normalised() -> None:
    text = "  ﬁne \n STRASSE  ½"
    found = {text[start:end] for start, end in Subwords.fit(["fine strasse"] * 3).spans(text)}
    assert {"ﬁne", "STRASSE", "½"} <= found


@given(ANY_TEXT)
def test_any_text_has_subwords_within_it(text: str) -> None:
    """Never an id that is reserved or too large, and none at all only where there is nothing to see."""
    ids, spans = ids_of(SUBWORDS_OF_CORPUS, text), SUBWORDS_OF_CORPUS.spans(text)
    assert len(ids) == len(spans)
    assert all(RESERVED <= each < SUBWORDS_OF_CORPUS.size for each in ids)
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    assert ids or not text.strip()


def test_subwords_are_not_more_than_asked_for() -> None:
    letters = np.random.default_rng(0).choice([*"etaoinshrdlu"], (6000, 7))
    words = ["".join(row) for row in letters]
    assert Subwords.fit(words * 2).size == SUBWORDS + RESERVED


@pytest.mark.parametrize("texts", [[], [""], ["a"], ["same"] * 50, ["\ud800"]])
def test_subwords_of_next_to_nothing(texts: list[str]) -> None:
    """Every byte has an id all the same."""
    fitted = Subwords.fit(texts)
    assert fitted.size >= RESERVED + 256
    assert len(ids_of(fitted, "é")) >= 2


def test_tokenizers_do_not_look_for_special_tokens() -> None:
    for text in ("<unk>", "[PAD]", "</s>"):
        assert len(ids_of(SUBWORDS_OF_CORPUS, text)) > 1


@given(st.lists(ANY_TEXT, max_size=3))
@settings(max_examples=30)
def test_states_are_json_and_exact(texts: list[str]) -> None:
    words = Words(json.loads(json.dumps(WORDS.state()))["words"])
    subwords = Subwords.from_state(json.loads(json.dumps(SUBWORDS_OF_CORPUS.state())))
    assert list(words.ids(texts)) == list(WORDS.ids(texts))
    assert list(subwords.ids(texts)) == list(SUBWORDS_OF_CORPUS.ids(texts))
    assert isinstance(Tokenizer.from_str(SUBWORDS_OF_CORPUS.state()["tokenizer"]), Tokenizer)

"""Texts → ids of tokens: words of a learned vocabulary, or sub-words; and where in a text each token stands."""

from __future__ import annotations

import functools
import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

RESERVED = 2  # ids 0 and 1: no token, and a token that training rows did not hold
ROWS = 2  # training rows that must hold a word, for it to be in the vocabulary
LONGEST_WORD = 100  # characters; longer ones (base64, keys) say nothing, and would fill the saved vocabulary
SUBWORDS = 8000
TEXTS_AT_ONCE = 4096

# Written without spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese, Yi.
_SPACELESS = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ec6\u1000-\u103f\u1050-\u108f\u1780-\u17d3\u3005-\u3007\u3041-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\uf900-\ufaff\uff66-\uff9d\U00020000-\U000323af"
)
# Soft hyphen, voicing of half-width katakana, skin tones, tags (of flags), variations of ideographs.
_ATTACHED = "\u00ad\uff9e\uff9f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\U000e0100-\U000e01ef"
_INVISIBLE = dict.fromkeys(
    [
        0xAD,
        0x61C,
        0xFEFF,
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x2070),
        *range(0xFE00, 0xFE10),
    ]
)
_SURROGATES = re.compile("[\ud800-\udfff]")


class Tokenizing(ABC):
    """One way to cut texts to tokens."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many ids there are, the reserved ones included."""

    @abstractmethod
    def ids(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """The tokens of each text."""

    @abstractmethod
    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each of these tokens starts and ends in the text, in characters."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """JSON-able values to rebuild it from."""


class Words(Tokenizing):
    """Words of one vocabulary.

    Letters and digits of any alphabet that stand together are a word, with the marks that belong to them and
    apostrophes between them; of scripts without spaces each character is. So is each other character: a symbol, an
    emoji, however many code points make it, or, if so asked, a punctuation mark. Words are the same where they are
    after Unicode's compatible composition (NFKC) and case folding, without invisible characters.

    Args:
        words: The vocabulary, normal forms in order of their ids.
        punctuation: Whether punctuation marks are tokens.

    Reference:
        Unicode Standard Annex 29, Text Segmentation, and Technical Standard 51, Emoji: what belongs together.
    """

    def __init__(self, words: Sequence[str], *, punctuation: bool = False) -> None:
        self.words = list(words)
        self.punctuation = punctuation
        self._number = {word: position for position, word in enumerate(self.words, RESERVED)}

    @classmethod
    def fit(cls, texts: Sequence[str], most: int, *, punctuation: bool = False) -> Words:
        """Take the words that stand in at least two of the texts, those of most texts first, at most so many."""
        forms, rows, find = _Forms(punctuation), Counter[str](), _pattern().findall
        for text in texts:
            rows.update({forms[surface] for surface in find(text)})
        known = [word for word, count in rows.items() if count >= ROWS and 0 < len(word) <= LONGEST_WORD]
        return cls(sorted(known, key=lambda word: (-rows[word], word))[:most], punctuation=punctuation)

    @property
    def size(self) -> int:
        """The vocabulary, and the reserved ids."""
        return RESERVED + len(self.words)

    def ids(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """1 for a word that is not in the vocabulary."""
        numbers, find = _Numbers(self._number, _Forms(self.punctuation)), _pattern().findall
        for text in texts:
            yield [number for surface in find(text) if (number := numbers[surface])]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Exactly the characters of each word."""
        forms = _Forms(self.punctuation)
        return [match.span() for match in _pattern().finditer(text) if forms[match[0]]]

    def state(self) -> dict[str, Any]:
        """The vocabulary, and what counts as a token."""
        return {"words": self.words, "punctuation": self.punctuation}


class Subwords(Tokenizing):
    """Parts of words, by a tokenizer of the library ``tokenizers``.

    Args:
        tokenizer: Knows every character, or its bytes; without special tokens, which users' texts could hold.
        shift: What is added to its ids.
    """

    def __init__(self, tokenizer: Tokenizer, shift: int) -> None:
        self._tokenizer, self._shift = tokenizer, shift

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Subwords:
        """Learn byte pairs within words of normal form.

        Reference:
            Sennrich, Haddow, Birch: Neural Machine Translation of Rare Words with Subword Units, arXiv 1508.07909,
            section 3.2; over bytes as in Radford et al.: Language Models are Unsupervised Multitask Learners (2019),
            section 2.2.
        """
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFKC(), normalizers.Lowercase(), *single_spaces(), normalizers.Prepend(" ")]
        )
        words = Regex(r" ?[\p{L}\p{M}]+| ?\p{N}{1,3}| ?[^\s\p{L}\p{M}\p{N}]+|\s+")
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(words, "isolated"), as_bytes])
        trainer = trainers.BpeTrainer(
            vocab_size=SUBWORDS,
            min_frequency=2,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            max_token_length=LONGEST_WORD,
        )
        tokenizer.train_from_iterator(map(_encodable, texts), trainer)
        return cls(tokenizer, RESERVED)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Subwords:
        """Rebuild it from ``state``."""
        return cls(Tokenizer.from_str(state["tokenizer"]), state["shift"])

    @property
    def size(self) -> int:
        """The tokenizer's ids, and those before them."""
        return self._shift + int(self._tokenizer.get_vocab_size())

    def ids(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Never 1, as every text is made of known bytes."""
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = [_encodable(text) for text in texts[start : start + TEXTS_AT_ONCE]]
            for found in self._tokenizer.encode_batch_fast(some, add_special_tokens=False):
                yield [number + self._shift for number in found.ids]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Without the space before a word; bytes of one character all stand where it does."""
        found = self._tokenizer.encode(_encodable(text), add_special_tokens=False)
        return [_without_space(text, *span) for span in found.offsets]

    def state(self) -> dict[str, Any]:
        """The tokenizer as the library writes it."""
        return {"tokenizer": self._tokenizer.to_str(), "shift": self._shift}


def single_spaces() -> list[normalizers.Normalizer]:
    """White space of any kind and length is one space, and none at the ends."""
    return [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]


def normal_form(surface: str) -> str:
    """What makes words the same; empty where nothing of it can be seen."""
    if surface.isascii():
        return surface.lower()
    visible = unicodedata.normalize("NFKC", surface.replace("’", "'")).translate(_INVISIBLE)
    return unicodedata.normalize("NFKC", visible.casefold())


class _Forms(dict[str, str]):
    """Surface → normal form, each worked out once; empty for a punctuation mark, unless these count."""

    def __init__(self, punctuation: bool) -> None:
        super().__init__()
        self._punctuation = punctuation

    def __missing__(self, surface: str) -> str:
        form = normal_form(surface)
        if not self._punctuation and len(form) == 1 and unicodedata.category(form)[0] == "P":
            form = ""
        self[surface] = form
        return form


class _Numbers(dict[str, int]):
    """Surface → id, each looked up once; 0 where its form is empty."""

    def __init__(self, known: Mapping[str, int], forms: _Forms) -> None:
        super().__init__()
        self._known, self._forms = known, forms

    def __missing__(self, surface: str) -> int:
        form = self._forms[surface]
        self[surface] = number = self._known.get(form, 1) if form else 0
        return number


@functools.cache
def _pattern() -> re.Pattern[str]:
    """Matches words; possessive throughout, so that the time is linear in the text's length."""
    marks = _ranges(c for c in range(0x300, 0x20000) if unicodedata.category(chr(c))[0] == "M") + _ATTACHED
    letter, attached = rf"[^\W_{_SPACELESS}]", f"[{marks}]"
    word = rf"(?:{letter}++[{marks}\u200c\u200d]*+)++"  # joiners shape letters of Persian and of Indian scripts
    unseen = r"\s\x00-\x1f\x7f-\x9f\ud800-\udfff"
    return re.compile(
        "|".join(
            [
                # Nothing new, but most of a text, and fast.
                r"(?:[A-Za-z0-9]++(?:'[A-Za-z0-9]++)*+|[!-/:-@\[-`{-~])(?![^\x00-\x7f])",
                rf"{word}(?:['’]{word})*+",
                r"[\U0001f1e6-\U0001f1ff]{2}",  # a flag
                rf"[^{unseen}]{attached}*+(?:\u200d[^\w{unseen}]{attached}*+)*+",  # an emoji may join several
            ]
        )
    )


def _ranges(codes: Iterator[int]) -> str:
    """Code points as a character class."""
    spans: list[list[int]] = []
    for code in codes:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in spans)


def _encodable(text: str) -> str:
    """Without lone surrogates, which are no characters; as long as before."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _without_space(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    if not piece.strip():
        return start, end
    return end - len(piece.lstrip()), start + len(piece.rstrip())

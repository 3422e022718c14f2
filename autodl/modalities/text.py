"""Texts of any language as words, sub-words or pretrained word vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from autodl.contracts import Modality, Noise
from autodl.modalities._text_summary import id_vectors
from autodl.modalities._tokenizing import Subwords, Tokenizing, Words
from autodl.modalities._word_table import installed, load_table
from autodl.records import Column, InputSpec, Schema, Stored, Task
from autodl.space import Choice, Float, Space

if TYPE_CHECKING:
    import pandas as pd

COVERED = 0.99  # share of the training texts that are kept whole
CHARACTERS = 32  # a token has fewer on average: what of a long text is looked at at all
FITTED_CHARACTERS = 20_000_000  # training text that sub-words are learned on


class Text(Modality):
    """One text column, as an input of its name; kept as int32 ids of tokens.

    Words and sub-words are those of the training texts, and their vectors are an encoder's to learn: shape
    ``(length, 1)``. Pretrained ones come with their vectors, which encoders see: shape ``(length, width)``. The length
    is that of all but the longest hundredth of the training texts, at most ``length``. Of a longer text the beginning
    and the end are kept, half each; of one that is very long no more than 32 characters a token are looked at on
    either side.

    A blank cell is missing, as wherever tables are read. A text of nothing that can be seen is there, without a token.
    A cell that is no string is taken as Python writes it.

    Augmentation: word dropout, each token with the same probability.

    Reference:
        Iyyer, Manjunatha, Boyd-Graber, Daumé: Deep Unordered Composition Rivals Syntactic Methods for Text
        Classification, ACL 2015, section 3.1, for word dropout.
    """

    space: ClassVar[Space] = Space(
        tokens=Choice(
            *("words", "subwords", *(["pretrained"] if installed() else [])),
            doc="words or subwords of the training rows, or pretrained: subwords with vectors of the package wordllama",
        ),
        length=Choice(
            256, limits=(1, 4096), doc="most tokens of a text; longer ones keep their beginning and their end"
        ),
        vocabulary=Choice(
            20_000,
            limits=(10, 200_000),
            when={"tokens": ("words",)},
            doc="most words with an id of their own, the most frequent ones, of at least two training rows",
        ),
        punctuation=Choice(
            False, True, when={"tokens": ("words",)}, doc="whether punctuation marks are tokens beside the words"
        ),
        word_dropout=Float(
            0.0,
            0.3,
            limits=(0.0, 0.9),
            default=0.0,
            per_member=True,
            doc="probability that a token is taken away from a training text",
        ),
    )

    _length: int
    _tokenizing: Tokenizing

    @classmethod
    def claim(cls, schema: Schema) -> dict[str, list[str]]:
        """Every text column is an input of its own."""
        return {column.name: [column.name] for column in schema.of_kind("text")}

    def fit(self, rows: pd.DataFrame, targets: np.ndarray, task: Task, seed: int) -> InputSpec:
        """Learn the vocabulary and the length; chance draws what sub-words and summaries are learned on, if too much.

        Raises:
            SpaceError: The package with the pretrained table is not installed.
        """
        most, table = self.settings["length"], None
        texts = [_shortened(text, most)[0] for text in self._texts(rows) if text is not None]
        if self.settings["tokens"] == "pretrained":
            self._tokenizing, table = load_table()
        elif self.settings["tokens"] == "subwords":
            self._tokenizing = Subwords.fit(_some(texts, seed))
        else:
            self._tokenizing = Words.fit(
                texts, self.settings["vocabulary"], punctuation=bool(self.settings.get("punctuation"))
            )
        ids = self._ids(texts, most)
        self._length = max(1, math.ceil(np.quantile([len(each) for each in ids], COVERED))) if ids else 1
        shape = (self._length, 1 if table is None else table.shape[1])
        spec = InputSpec(
            shape=shape,
            columns=(self.columns[0].name,),
            feature_mask=torch.zeros(shape, dtype=torch.int64),
            baseline=torch.zeros(shape),
            table=table,
        )
        if table is not None:
            return spec
        size = self._tokenizing.size
        summary = id_vectors(_padded(ids, self._length), size, seed)
        return replace(spec, vocabulary=size, summary=torch.from_numpy(summary))

    def transform(self, rows: pd.DataFrame) -> Stored:
        """Return ids; missing texts are zeros, and not ``present``. Shape: → rows length 1, or rows length."""
        texts = self._texts(rows)
        present = np.array([text is not None for text in texts], dtype=bool)
        values = np.zeros((len(texts), self._length), np.int32)
        there = [_shortened(text, self._length)[0] for text in texts if text is not None]
        values[present] = _padded(self._ids(there, self._length), self._length)
        ids = torch.from_numpy(values)
        learned = self.settings["tokens"] != "pretrained"
        return Stored(ids.unsqueeze(-1) if learned else ids, torch.from_numpy(present))

    def pieces(self, cell: str) -> list[tuple[int, int]]:
        """Where in one text each of its tokens starts and ends, in characters.

        There is one pair for each position of the tensor that holds a token, in order. Words do not overlap;
        sub-words that are bytes of one character all stand where it does.

        Example:
            >>> text.pieces("Don't!")  # doctest: +SKIP
            [(0, 3), (3, 4), (4, 5), (5, 6)]
        """
        short, moved = _shortened(cell, self._length)
        spans = self._tokenizing.spans(short)
        del spans[_between(len(spans), self._length)]
        middle = len(short) // 2  # of a text that was cut, where its end begins
        return [(start + moved, end + moved) if start >= middle else (start, end) for start, end in spans]

    def state(self) -> dict[str, Any]:
        """Return the length, and the vocabulary or the tokenizer."""
        return {"length": self._length, **self._tokenizing.state()}

    @classmethod
    def from_state(cls, columns: Sequence[Column], settings: Mapping[str, Any], state: Mapping[str, Any]) -> Text:
        """Rebuild from the vocabulary or the tokenizer."""
        fitted = cls(columns, **settings)
        fitted._length = state["length"]
        fitted._tokenizing = (
            Words(state["words"], punctuation=state["punctuation"]) if "words" in state else Subwords.from_state(state)
        )
        return fitted

    @classmethod
    def augment(cls, batch: Tensor, settings: Mapping[str, Tensor], noise: Noise) -> Tensor:
        """Take tokens away: their id, or their vector, is zero. A missing text, which is NaN, stays so.

        One number a position is drawn whatever the settings, so that they do not change what a member draws later.
        """
        draws = noise(*batch.shape[1:3]).to(batch.device)  # members batch tokens
        kept = draws >= settings["word_dropout"].view(-1, 1, 1)
        return batch * kept.unsqueeze(-1).to(batch.dtype)

    def _texts(self, rows: pd.DataFrame) -> list[str | None]:
        """None where a cell is missing."""
        cells = rows[self.columns[0].name]
        words = [None if gap else str(cell) for cell, gap in zip(cells.tolist(), cells.isna().tolist(), strict=True)]
        return [word if word and word.strip() else None for word in words]

    def _ids(self, texts: Sequence[str], most: int) -> list[np.ndarray]:
        """The tokens of each text, so many at most."""
        found = (np.array(ids, np.int32) for ids in self._tokenizing.ids(texts))
        return [np.delete(ids, _between(len(ids), most)) for ids in found]


def _shortened(text: str, tokens: int) -> tuple[str, int]:
    """The text, or where it is far too long its beginning and its end; and by how much the end was moved forward.

    Both are as long; between them is a line break, which no token spans.
    """
    half = CHARACTERS * tokens
    if len(text) <= 2 * half + 1:
        return text, 0
    return f"{text[:half]}\n{text[-half:]}", len(text) - 2 * half - 1


def _between(count: int, most: int) -> slice:
    """Which of so many tokens are left out, so that the first and the last stay, half each; the odd one is a first."""
    return slice(most - most // 2, max(count - most // 2, most - most // 2))


def _padded(found: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Shape: → rows length, 0 where there is no token."""
    values = np.zeros((len(found), length), np.int32)
    for row, ids in enumerate(found):
        kept = np.delete(ids, _between(len(ids), length))
        values[row, : len(kept)] = kept
    return values


def _some(texts: list[str], seed: int) -> list[str]:
    """Texts drawn by chance until there is enough to learn from, in their order."""
    order = np.random.default_rng(seed).permutation(len(texts))
    total = np.cumsum([len(texts[row]) for row in order])
    return [texts[row] for row in np.sort(order[: int(np.searchsorted(total, FITTED_CHARACTERS)) + 1])]

"""What a column's cells look like: its kind, why, and what speaks against using it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from autodl.data.cells import as_numbers, check_plain, distinct, holds_arrays, is_sound, word
from autodl.data.dates import SHARE, describe_format, find_format
from autodl.data.paths import AUDIO_SUFFIXES, IMAGE_SUFFIXES
from autodl.data.table import shown
from autodl.records import ColumnKind

MARKS = frozenset({"?", "-", "--", ".", "none", "unknown", "missing", "na", "n/a", "nan", "null", "nil"})
"""Words that stand for a missing number: they do not make a column of numbers one of words."""

_PAIRS = ({"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"on", "off"}, {"0", "1"})
_ID_WORDS = frozenset({"guid", "id", "idx", "index", "key", "row", "rowid", "rownames", "uuid"})
_MIN_COUNTER_ROWS = 100
_FEW = 20
_WORDS_OF_TEXT = 2.5
_SAMPLE = 1000
_SHORTEST_SOUND = 1600  # samples: a tenth of a second


@dataclass(frozen=True)
class Finding:
    """What a column would be taken for.

    Attributes:
        kind: Its kind.
        reason: Why.
        doubt: Why it is of no use to a model; empty where nothing is known.
    """

    kind: ColumnKind
    reason: str
    doubt: str = ""


def examine(cells: pd.Series) -> Finding:
    """Return what the cells of one column look like.

    Raises:
        DataError: The cells hold lists or other things that no column may hold.
    """
    if cells.dtype.kind in "iuf":
        return _examine_numbers(cells)
    if cells.isna().all():
        return Finding("ignored", "no cell holds a value")
    if holds_arrays(cells, "image"):
        check_plain(cells, "image")
        return Finding("image", "images as arrays")
    if holds_arrays(cells, "audio") and _long_enough(cells):
        check_plain(cells, "audio")
        return Finding("audio", "sounds as arrays, taken to have 16,000 samples a second")
    check_plain(cells)
    if isinstance(cells.dtype, pd.CategoricalDtype):
        return _with_constant(Finding("category", _count(cells.nunique(), "distinct categorical value")), cells)
    if isinstance(cells.dtype, pd.PeriodDtype) or cells.dtype.kind == "M":
        return _with_constant(Finding("date", "dates"), cells)
    if cells.dtype.kind == "m":
        return _with_constant(Finding("number", "durations, in days"), cells)
    if cells.dtype.kind == "b":
        return _with_constant(Finding("boolean", "only true and false"), cells)
    return _examine_words(cells)


def _long_enough(cells: pd.Series) -> bool:
    """Whether most arrays are sounds, and not vectors of some kind, which are shorter."""
    return float(np.median([cell.size for cell in cells if is_sound(cell)])) >= _SHORTEST_SOUND


def _examine_numbers(cells: pd.Series) -> Finding:
    name, whole = str(cells.name), cells.dtype.kind != "f"
    # Whole numbers stay whole: float64 would make one of two ids beyond 2**53.
    values = cells.to_numpy() if isinstance(cells.dtype, np.dtype) else as_numbers(cells)
    known = values[np.isfinite(values)]
    if not len(known):
        return Finding("ignored", "no cell holds a finite number")
    n_distinct = len(pd.unique(known))
    if n_distinct == 1 and len(known) == len(cells):
        return Finding("number", "1 distinct number", "the same value in every row")
    if n_distinct <= 2 and set(pd.unique(known).tolist()) <= {0, 1}:
        return Finding("boolean", "only 0 and 1")
    doubt = ""
    if whole and n_distinct == len(cells) and _counts_rows(known, name):
        doubt = f"all {len(cells):,} whole numbers are different: an id"
    if whole and 2 < n_distinct <= _FEW:
        return Finding("number", f"{n_distinct} distinct whole numbers, taken as numbers", doubt)
    return Finding("number", _count(n_distinct, "distinct number"), doubt)


def _counts_rows(values: np.ndarray, name: str) -> bool:
    """Whether whole numbers that are all different are an id, and not a measurement such as an income.

    They are where they are one run (1 to n in any order), where they only rise over many rows, or by their name.
    """
    if int(values.max()) - int(values.min()) == len(values) - 1:
        return True
    if len(values) >= _MIN_COUNTER_ROWS and bool(np.all(values[1:] > values[:-1])):
        return True
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return not _ID_WORDS.isdisjoint(re.split(r"[^a-z]+", parts))


def _examine_words(cells: pd.Series) -> Finding:
    codes, values = distinct(cells)
    words = [word(value) for value in values]
    counts = np.bincount(codes[codes >= 0], minlength=len(words))
    filled = [place for place, text in enumerate(words) if text is not None]
    if not filled:
        return Finding("ignored", "no cell holds a value")
    finding = kind_of_words([words[place] or "" for place in filled], counts[filled])
    present = int(counts[filled].sum())
    if finding.kind == "number":
        numbers = pd.Series(as_numbers(cells), name=cells.name)
        found = _examine_numbers(numbers.astype("int64") if _all_whole(numbers) else numbers)
        return Finding(found.kind, found.reason + finding.reason, found.doubt)
    if len(filled) == 1 and present == len(cells):
        return Finding(finding.kind, finding.reason, "the same value in every row")
    if finding.kind == "category" and len(filled) == present > len(cells) / 2:
        return Finding(finding.kind, finding.reason, f"all {present:,} cells are different: an id")
    return finding


def _all_whole(numbers: pd.Series) -> bool:
    values = numbers.to_numpy()
    return bool(np.all(np.abs(values) < 2**53) and np.all(values == np.round(values)))


def kind_of_words(words: Sequence[str], counts: np.ndarray) -> Finding:
    """Return what the different words of a column look like.

    Args:
        words: Each once, none blank; there is at least one.
        counts: How many cells hold each.
    """
    total = int(counts.sum())
    for kind, suffixes in (("image", IMAGE_SUFFIXES), ("audio", AUDIO_SUFFIXES)):
        ends = [_suffix(text) for text in words]
        fits = np.array([end in suffixes for end in ends])
        if counts[fits].sum() > total / 2:
            told = " ".join(sorted({end for end, fit in zip(ends, fits, strict=True) if fit}))
            return Finding("image" if kind == "image" else "audio", f"paths that end in {told}")
    if len(words) <= _FEW and any({text.strip().lower() for text in words} <= pair for pair in _PAIRS):
        return Finding("boolean", f"only {' and '.join(sorted(shown(text) for text in words))}")
    strays = _strays_among_numbers(words, counts)
    if strays is not None:
        return Finding("number", strays)
    form = find_format(words)
    if form is not None:
        return Finding("date", describe_format(form))
    return _category_or_text(words, total)


def _suffix(text: str) -> str:
    text = text.strip().lower()
    return text[text.rindex(".") :] if "." in text[-8:] else ""


def _strays_among_numbers(words: Sequence[str], counts: np.ndarray) -> str | None:
    """Return what to say of the words in a column of numbers ("" where there are none); None if it is no such one."""
    sample = words[:: max(1, len(words) // _SAMPLE)]
    if sum(map(_may_be_number, sample)) < len(sample) / 2:
        return None  # saves trying to read long texts as numbers
    stray = np.isnan(as_numbers(pd.Series(words, dtype=object)))
    mark = np.array([text.strip().lower() in MARKS for text in words])
    total, n_strays = int(counts.sum()), int(counts[stray].sum())
    if counts[~stray].sum() < SHARE * counts[~(stray & mark)].sum() or n_strays > total / 2:
        return None
    if not n_strays:
        return ""
    example = words[int(np.flatnonzero(stray)[0])]
    return f"; {n_strays:,} of {total:,} cells hold words such as '{shown(example)}': missing"


def _may_be_number(text: str) -> bool:
    text = text.strip().lower()
    return text[0].isdigit() or text[-1].isdigit() or text in MARKS


def _category_or_text(words: Sequence[str], total: int) -> Finding:
    many = len(words) > 0.05 * total and (len(words) > _FEW or len(words) > total / 2)
    sample = words[:: max(1, len(words) // _SAMPLE)]
    length = float(np.mean([len(text.split()) for text in sample]))
    if many and length >= _WORDS_OF_TEXT:
        return Finding("text", f"{length:.0f} words a cell, {len(words):,} different cells")
    return Finding("category", _count(len(words), "distinct word"))


def _with_constant(finding: Finding, cells: pd.Series) -> Finding:
    if len(cells) and cells.nunique(dropna=False) == 1:
        return Finding(finding.kind, finding.reason, "the same value in every row")
    return finding


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"

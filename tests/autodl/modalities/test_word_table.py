from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers

from autodl.errors import SpaceError
from autodl.modalities import _word_table
from autodl.modalities._tokenizing import Subwords

needs_the_package = pytest.mark.skipif(not _word_table.installed(), reason="wordllama is not installed")


def ids_of(tokenizing: Subwords, text: str) -> list[int]:
    (found,) = tokenizing.ids([text])
    return found


def found_at(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> None:
    spec = folder and SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The same layout with five tokens, the first of them reserved."""
    for name in (_word_table.WEIGHTS, _word_table.TOKENIZER):
        (tmp_path / name).parent.mkdir()
    save_file({"embedding.weight": np.arange(10, dtype=np.float16).reshape(5, 2) + 1}, tmp_path / _word_table.WEIGHTS)
    vocabulary = {"<unk>": 0, "<s>": 1, "▁": 2, "a": 3, "▁a": 4}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("▁", "a")], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens(["<unk>", "<s>"])
    tokenizer.enable_padding(length=7)
    tokenizer.enable_truncation(1)
    (tmp_path / _word_table.TOKENIZER).write_text(tokenizer.to_str(), encoding="utf-8")
    return tmp_path


def test_reads_the_files_of_the_package(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found_at(monkeypatch, package)
    assert _word_table.installed()
    tokenizing, table = _word_table.load_table()
    assert table.dtype == torch.float16
    assert table.tolist() == [[0, 0], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert tokenizing.size == 5
    assert ids_of(tokenizing, "  a \n\n aa ") == [4, 4, 3]
    assert tokenizing.spans("  a \n\n aa ") == [(2, 3), (7, 8), (8, 9)]


def test_marks_of_a_texts_ends_are_not_looked_for(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found_at(monkeypatch, package)
    assert 1 not in ids_of(_word_table.load_table()[0], "<s>a")


@pytest.mark.parametrize("lost", [None, _word_table.WEIGHTS, _word_table.TOKENIZER])
def test_says_what_to_install(package: Path, monkeypatch: pytest.MonkeyPatch, lost: str | None) -> None:
    if lost:
        (package / lost).unlink()
    found_at(monkeypatch, package if lost else None)
    with pytest.raises(SpaceError, match=r"wordllama .* install torch-autodl\[pretrained\]"):
        _word_table.load_table()


@needs_the_package
def test_the_real_table() -> None:
    tokenizing, table = _word_table.load_table()
    assert table.shape == (32_000, 256)
    assert tokenizing.size == 32_000
    assert not table[0].any()
    assert table[1:].isfinite().all()
    text = "A great  film,\n日本語 😀!"
    ids, spans = ids_of(tokenizing, text), tokenizing.spans(text)
    assert min(ids) > 0
    assert [text[start:end] for start, end in spans[:4]] == ["A", "great", "film", ","]

    def meaning(words: str) -> Any:
        return table[ids_of(tokenizing, words)].float().mean(0)

    similar = torch.cosine_similarity
    assert similar(meaning("a great film"), meaning("a wonderful movie"), dim=0) > similar(
        meaning("a great film"), meaning("tax return form"), dim=0
    )


@needs_the_package
def test_the_package_is_not_imported() -> None:
    """It brings a web client along, which is slow to import."""
    code = (
        "import sys; from autodl.modalities.text import Text; from autodl.modalities._word_table import load_table; "
        "load_table(); assert 'pretrained' in Text.space['tokens'].options; assert 'wordllama' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_the_package
def test_the_tokenizer_is_saved_whole() -> None:
    tokenizing, _ = _word_table.load_table()
    again = Subwords.from_state(json.loads(json.dumps(tokenizing.state())))
    for text in ("Hello  world", "", "\x00 e\u0301 <s>"):
        assert ids_of(again, text) == ids_of(tokenizing, text)

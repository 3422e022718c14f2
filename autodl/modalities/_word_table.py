"""The table of word vectors that the package ``wordllama`` carries, and its tokenizer."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer, normalizers
from torch import Tensor

from autodl.errors import SpaceError
from autodl.modalities._tokenizing import Subwords, single_spaces

PACKAGE = "wordllama"
WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"


def installed() -> bool:
    """Whether the package can be found; it is not imported, as only its files are needed."""
    return importlib.util.find_spec(PACKAGE) is not None


def load_table() -> tuple[Subwords, Tensor]:
    """Return the tokenizer, and float16 vectors by its ids.

    Id 0, which their tokenizer never gives as it falls back on bytes, is no token: its vector is zero. Their tokens
    that mark a text's ends are no longer found in texts, and white space counts once.

    Shape: → ids width.

    Raises:
        SpaceError: The package, or one of its files, is not there.
    """
    spec = importlib.util.find_spec(PACKAGE)
    folder = Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None
    if folder is None or not ((folder / WEIGHTS).is_file() and (folder / TOKENIZER).is_file()):
        raise SpaceError(
            f"tokens = 'pretrained' needs the table that the package {PACKAGE} carries, however it is not installed or "
            "holds no such table; install torch-autodl[pretrained] or choose other tokens"
        )
    (table,) = load_file(folder / WEIGHTS).values()
    vectors = torch.from_numpy(table.astype(np.float16))
    vectors[0] = 0
    return Subwords(_tokenizer((folder / TOKENIZER).read_text(encoding="utf-8")), shift=0), vectors


def _tokenizer(written: str) -> Tokenizer:
    content = json.loads(written)
    content |= {"added_tokens": [], "post_processor": None, "padding": None, "truncation": None}
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.normalizer = normalizers.Sequence([*single_spaces(), tokenizer.normalizer])
    return tokenizer

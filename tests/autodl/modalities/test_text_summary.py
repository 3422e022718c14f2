from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from autodl.modalities._text_summary import WIDTH, id_vectors


def corpus(rows: int, words: int, seed: int = 0) -> np.ndarray:
    """Rows of two topics, each with words of its own, filled up with zeros."""
    chance = np.random.default_rng(seed)
    ids = chance.integers(0, words // 2, (rows, 12)) + np.arange(rows)[:, None] % 2 * (words // 2) + 2
    ids[:, 9:] *= chance.integers(0, 2, (rows, 3))
    return ids.astype(np.int32)


def sums(ids: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Shape: rows tokens, ids features → rows features."""
    return np.asarray(vectors[ids].sum(1))


def test_sums_are_the_textbooks_latent_semantic_analysis() -> None:
    """Directions of a full singular value decomposition, weights of scikit-learn's vectoriser; up to the length."""
    ids = corpus(40, 16)
    texts = [" ".join(f"w{each}" for each in row if each) for row in ids]
    vectoriser = TfidfVectorizer(vocabulary=[f"w{each}" for each in range(2, 18)], token_pattern=r"\w+")
    weighted = vectoriser.fit_transform(texts).toarray()
    _, _, right = np.linalg.svd(weighted, full_matrices=False)
    expected = weighted @ right.T
    found = sums(ids, id_vectors(ids, 18, seed=0))
    assert found.shape == expected.shape == (40, 16)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)


def test_topics_lie_apart() -> None:
    ids = corpus(200, 400)
    found = sums(ids, id_vectors(ids, 402, seed=0)[:, :2])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    assert (found[::2] @ found[::2].T).min() > 0.9
    assert np.abs(found[::2] @ found[1::2].T).max() < 0.1


def test_no_token_and_an_unknown_one_add_nothing() -> None:
    assert not id_vectors(corpus(30, 20), 22, seed=0)[:2].any()


def test_no_wider_than_a_hundred() -> None:
    assert id_vectors(corpus(300, 300), 302, seed=0).shape == (302, WIDTH)


def test_the_seed_decides() -> None:
    ids = corpus(300, 300)
    np.testing.assert_array_equal(id_vectors(ids, 302, seed=4), id_vectors(ids, 302, seed=4))


@pytest.mark.parametrize(
    ("ids", "vocabulary"),
    [
        (np.zeros((0, 1)), 2),
        (np.zeros((3, 1)), 2),
        (np.ones((3, 4)), 2),
        (np.zeros((3, 4)), 9),
        (np.full((1, 1), 2), 3),
        (np.full((5, 3), 2), 3),
        (np.full((5, 3), 2), 9),
        (np.array([[2, 3], [0, 0]]), 4),
    ],
)
def test_degenerate_corpora(ids: np.ndarray, vocabulary: int) -> None:
    """One row, the same throughout, nothing known: there is at least one column, and all is finite."""
    found = id_vectors(ids.astype(np.int32), vocabulary, seed=0)
    assert found.dtype == np.float32
    assert found.shape[0] == vocabulary
    assert found.shape[1] >= 1
    assert np.isfinite(found).all()

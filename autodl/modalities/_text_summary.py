"""Latent semantic analysis: a vector for each id, whose sum over a text stands for it."""

from __future__ import annotations

import numpy as np

from autodl.modalities._tokenizing import RESERVED

WIDTH = 200
ROWS = 20_000  # training rows that directions are found on; weights count all
ITERATIONS = 5  # of the power method


def id_vectors(ids: np.ndarray, vocabulary: int, seed: int) -> np.ndarray:
    """Return what each id adds: its inverse document frequency times its row of the right singular vectors.

    Of ids 0 and 1 it is zero. The singular vectors are those of rows that are weighted by inverse document frequency
    and of length 1.

    Shape: rows tokens, 0 where there is none → vocabulary features; at least one feature, at most 100.

    Reference:
        Deerwester, Dumais, Furnas, Landauer, Harshman: Indexing by Latent Semantic Analysis, JASIS 41 (1990).
        Halko, Martinsson, Tropp: Finding Structure with Randomness, arXiv 0909.4061, algorithm 4.4, for the singular
        vectors.
    """
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.utils.extmath import randomized_svd

    rows, positions = np.nonzero(ids >= RESERVED)
    terms, known = ids[rows, positions] - RESERVED, vocabulary - RESERVED
    width = max(1, min(WIDTH, len(ids), known))
    vectors = np.zeros((vocabulary, width), np.float32)
    if not len(terms):
        return vectors
    counts = csr_array((np.ones(len(terms)), (rows, terms)), shape=(len(ids), known))
    weighting = TfidfTransformer().fit(counts)
    some = np.sort(np.random.default_rng(seed).permutation(len(ids))[:ROWS])
    _, _, right = randomized_svd(weighting.transform(counts[some]), width, n_iter=ITERATIONS, random_state=seed)
    vectors[RESERVED:] = weighting.idf_[:, None] * right.T
    return vectors

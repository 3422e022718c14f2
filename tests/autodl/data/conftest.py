from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

ROWS = 60


@pytest.fixture
def people() -> pd.DataFrame:
    """Sixty rows with a column of most kinds, and a binary target."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 80, ROWS),
            "income": rng.normal(40_000, 9_000, ROWS).round(2),
            "city": rng.choice(["Oslo", "Rome", "Lima"], ROWS),
            "member": rng.choice(["yes", "no"], ROWS),
            "joined": pd.date_range("2020-01-01", periods=ROWS, freq="9D").strftime("%Y-%m-%d"),
            "churn": ["stays", "stays", "goes"] * (ROWS // 3),
        }
    )

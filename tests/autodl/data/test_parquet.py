from __future__ import annotations

import importlib.util
import io

import pandas as pd
import pytest

from autodl.data import unpacking
from autodl.data.parquet import read_parquet
from autodl.errors import DataError

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def test_reads_what_pandas_wrote():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.to_datetime(["2020-01-01", None])}, index=[7, 9])
    read, notes = read_parquet(parquet(frame), "'t.parquet'")
    assert read["a"].tolist() == [1, 2]
    assert read["b"].isna().tolist() == [False, True]
    assert read["c"].dtype.kind == "M"
    assert read.index.tolist() == [0, 1]
    assert notes == ()


def test_a_damaged_file_is_refused():
    data = parquet(pd.DataFrame({"a": range(1000)}))
    for bad in (b"", b"PAR1", data[:-10], data[: len(data) // 2] + data[len(data) // 2 + 9 :]):
        with pytest.raises(DataError, match="must be a whole Parquet file"):
            read_parquet(bad, "'t.parquet'")


def test_no_rows_are_refused():
    with pytest.raises(DataError, match="must hold rows, however there are none"):
        read_parquet(parquet(pd.DataFrame({"a": pd.Series([], dtype="int64")})), "'t.parquet'")


def test_a_few_bytes_that_claim_many_cells_are_refused(monkeypatch):
    monkeypatch.setattr(unpacking, "SIZE_LIMIT", 80_000)
    data = parquet(pd.DataFrame({"a": [1.0] * 10_001}))
    with pytest.raises(DataError, match="must hold at most 10,000 cells, however 10,001 came"):
        read_parquet(data, "'t.parquet'")


def test_names_that_come_twice_are_refused():
    table = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["a", "a"])
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    with pytest.raises(DataError, match="must be unique, however 'a' comes more than once"):
        read_parquet(buffer.getvalue(), "'t.parquet'")


def test_without_pyarrow_the_pip_line_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DataError, match=r"pip install 'torch-autodl\[parquet\]'"):
        read_parquet(b"", "'t.parquet'")

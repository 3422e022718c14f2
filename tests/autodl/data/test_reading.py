from __future__ import annotations

import gzip
import os

import pandas as pd
import pytest

from autodl.data.reading import read_table
from autodl.errors import DataError

ROWS = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})


def written(path, name):
    path = path / name
    bare = name.lower().removesuffix(".gz")
    if bare.endswith((".csv", ".txt")):
        data = ROWS.to_csv(index=False).encode()
    elif bare.endswith((".tsv", ".tab")):
        data = ROWS.to_csv(index=False, sep="\t").encode()
    else:
        data = ROWS.to_json(orient="records", lines=True).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(
    "name", ["t.csv", "t.txt", "t.tsv", "t.tab", "t.jsonl", "t.ndjson", "t.json", "t.CSV", "t.csv.gz", "t.jsonl.gz"]
)
def test_every_format_gives_the_same_rows(tmp_path, name):
    table = read_table(written(tmp_path, name))
    pd.testing.assert_frame_equal(table.frame, ROWS, check_dtype=False)
    assert table.source == str(tmp_path / name)
    assert table.root == tmp_path
    assert table.target is None


def test_parquet_is_read(tmp_path):
    pytest.importorskip("pyarrow")
    ROWS.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet").frame, ROWS)


def test_a_packed_file_has_the_fingerprint_of_its_content(tmp_path):
    plain, packed = read_table(written(tmp_path, "t.csv")), read_table(written(tmp_path, "t.csv.gz"))
    assert plain.fingerprint == packed.fingerprint
    (tmp_path / "t.csv").write_text("a,b\n1,x\n2,z\n")
    assert read_table(tmp_path / "t.csv").fingerprint != plain.fingerprint


def test_a_relative_path_is_made_absolute(tmp_path, monkeypatch):
    written(tmp_path, "t.csv")
    monkeypatch.chdir(tmp_path)
    assert read_table("t.csv").source == str(tmp_path / "t.csv")


def test_a_built_in_name_wins_unless_a_path_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iris" / "cat").mkdir(parents=True)
    (tmp_path / "iris" / "cat" / "a.png").touch()
    assert read_table("iris").source == "iris"
    assert read_table("./iris").source == str(tmp_path / "iris")


def test_a_misspelt_name_gets_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="nothing is called 'digist'; did you mean 'digits'"):
        read_table("digist")
    written(tmp_path, "people.csv")
    with pytest.raises(DataError, match=r"nothing is called 'peple.csv'; did you mean 'people.csv'"):
        read_table("peple.csv")
    with pytest.raises(DataError, match=r"nothing is called 'nowhere/t.csv'"):
        read_table("nowhere/t.csv")


def test_an_unknown_suffix_is_refused(tmp_path):
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"must end in one of .csv .json .jsonl .* however 't.xlsx' came"):
        read_table(tmp_path / "t.xlsx")


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(DataError, match="must be a file or a folder, however it is neither"):
        read_table(tmp_path / "t.csv")

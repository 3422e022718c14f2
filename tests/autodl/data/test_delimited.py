from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.data.delimited import read_delimited
from autodl.errors import DataError


def read(text: str | bytes, delimiter: str = ",", **options) -> tuple[pd.DataFrame, tuple[str, ...]]:
    return read_delimited(text.encode() if isinstance(text, str) else text, delimiter, "'t.csv'", **options)


def test_reads_numbers_words_and_missing_cells():
    frame, notes = read('age,city\n3,"Rome, Italy"\n,NA\n5.5,None\n')
    assert frame["age"].tolist()[::2] == [3.0, 5.5]
    assert frame["city"].isna().tolist() == [False, True, False]
    assert frame["city"].tolist()[::2] == ["Rome, Italy", "None"]
    assert notes == ()


def test_spaces_after_delimiters_are_dropped():
    frame, _ = read('age, city\n3, "Rome, Italy"\n4, Oslo\n')
    assert frame.columns.tolist() == ["age", "city"]
    assert frame["city"].tolist() == ["Rome, Italy", "Oslo"]


@pytest.mark.parametrize(("delimiter", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_another_delimiter_is_found_and_told(delimiter, word):
    frame, notes = read(f"a{delimiter}b\n1{delimiter}x\n2{delimiter}y\n")
    assert frame["a"].tolist() == [1, 2]
    assert frame["b"].tolist() == ["x", "y"]
    assert notes == (f"'t.csv' is delimited by {word}, not by commas",)


def test_a_tsv_with_commas_is_read():
    frame, notes = read("a,b\n1,2\n", "\t")
    assert frame.shape == (1, 2)
    assert "delimited by commas, not by tabs" in notes[0]


def test_decimal_commas_are_read_as_numbers():
    frame, notes = read("a;b\n1,5;2\n2,25;3\n")
    assert frame["a"].tolist() == [1.5, 2.25]
    assert any("decimal commas" in note for note in notes)


def test_one_column_of_text_with_semicolons_stays_one_column():
    frame, notes = read("text\nhello; you\nhi; all\n")
    assert frame.columns.tolist() == ["text"]
    assert frame["text"].tolist() == ["hello; you", "hi; all"]
    assert notes == ()


def test_columns_read_as_text_keep_their_zeros():
    frame, _ = read("zip,n\n00127,1\n90210,2\n", as_text=["zip", "not there"])
    assert frame["zip"].tolist() == ["00127", "90210"]


def test_a_trailing_delimiter_in_every_row_is_no_cell():
    frame, _ = read("a,b\n1,2,\n3,4,\n")
    assert frame.columns.tolist() == ["a", "b"]
    assert frame["a"].tolist() == [1, 3]


def test_names_are_stripped_and_empty_ones_called_by_position():
    frame, notes = read(",b \n0,1\n1,2\n")
    assert frame.columns.tolist() == ["column_1", "b"]
    assert "1 columns of 't.csv' have no name" in notes[0]


def test_a_byte_order_mark_is_no_part_of_the_first_name():
    frame, _ = read("\ufeffa,b\n1,2\n")
    assert frame.columns.tolist() == ["a", "b"]


def test_latin_1_is_read_and_told():
    frame, notes = read("ville,n\nOrléans,1\n".encode("latin-1"))
    assert frame["ville"].tolist() == ["Orléans"]
    assert "not UTF-8" in notes[0]


def test_line_ends_of_all_systems():
    for end in ("\n", "\r\n", "\r"):
        frame, _ = read(f"a,b{end}1,2{end}{end}3,4{end}")
        assert frame["b"].tolist() == [2, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold a header and rows, however it is empty"),
        (" \n\n", "must hold a header and rows, however it is empty"),
        ("a,b\n", "must hold rows below its header, however there are none"),
        ("a,b,a\n1,2,3\n", "must be unique, however 'a' comes more than once"),
        ("a, a \n1,2\n", "must be unique, however 'a' comes more than once"),
        ("a,b\n1,2\n3,4,5\n", "one cell for each name of the header, however: Expected 2 fields in line 3, saw 3"),
        ("a,b\n1,2,3\n4,5,6\n", "one cell for each name of the header"),
        ('a,b\n1,"2\n', "one cell for each name of the header, however: EOF inside string"),
        (b"PAR1\0\0", "must hold text"),
    ],
)
def test_bad_text_is_refused_in_one_line(text, message):
    with pytest.raises(DataError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_ten_thousand_columns_are_read():
    names = ",".join(f"x{i}" for i in range(10_000))
    row = ",".join(["1"] * 10_000)
    frame, _ = read(f"{names}\n{row}\n{row}\n")
    assert frame.shape == (2, 10_000)


def test_a_cell_longer_than_the_csv_modules_limit():
    frame, _ = read(f"a;b\n1;{'x' * 200_000}\n2;y\n")
    assert frame["b"].str.len().tolist() == [200_000, 1]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120) | st.text(alphabet="a1,;\t|\"\n\r .-'é", max_size=80).map(str.encode))
def test_any_bytes_give_a_frame_or_a_data_error(data):
    try:
        frame, _ = read(data)
    except DataError as error:
        message = str(error)
    else:
        message = ""
        assert len(frame) > 0
        assert frame.columns.is_unique
    assert "\n" not in message

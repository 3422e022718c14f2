from __future__ import annotations

import contextlib
import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.data.json_lines import read_json_lines
from autodl.errors import DataError


def read(text: str | bytes) -> pd.DataFrame:
    return read_json_lines(text.encode() if isinstance(text, str) else text, "'t.jsonl'")[0]


def test_reads_lines_and_takes_lacking_names_as_missing():
    frame = read('{"age": 3, "city": "Rome"}\n\n{"city": null, "age": 4}\n{"age": 5}\n')
    assert frame["age"].tolist() == [3, 4, 5]
    assert frame["city"].isna().tolist() == [False, True, True]


def test_reads_an_array_of_objects():
    assert read('[{"a": 1}, {"a": 2}]')["a"].tolist() == [1, 2]


def test_a_byte_order_mark_is_passed_over():
    assert read('\ufeff{"a": 1}\n')["a"].tolist() == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold JSON objects, however it is empty"),
        ('{"a": 1}\n{"a": \n', "line 2 of 't.jsonl' must be JSON, however"),
        ('{"a": 1}\n[1, 2]\n', "must be a JSON object such as .* however line 2 holds list '\\[1, 2\\]'"),
        ('[{"a": 1}, 3]', "however entry 2 holds int '3'"),
        ('{"a": 1, "a": 2}\n', "must be unique, however 'a' comes more than once"),
        ('{"a": "\\ud800"}\n', "must hold whole characters"),
        ("[]", "must hold rows, however there are none"),
        ('{"a": ' + "[" * 100_000 + "\n", "must be JSON"),
        ('{"a": ' + "9" * 5000 + "}\n", "must be JSON"),
    ],
)
def test_bad_text_is_refused_in_one_line(text, message):
    with pytest.raises(DataError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


CELLS = st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=5)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.dictionaries(st.text(max_size=5), CELLS, min_size=1, max_size=4), min_size=1, max_size=5))
def test_what_json_wrote_is_read_again(rows):
    frame = read("\n".join(json.dumps(row) for row in rows))
    for row, (_, cells) in zip(rows, frame.iterrows(), strict=True):
        for name, value in row.items():
            assert cells[name] == value or (value is None and pd.isna(cells[name]))


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:1a\n ', max_size=40).map(str.encode))
def test_any_bytes_give_a_frame_or_a_data_error(data):
    with contextlib.suppress(DataError):
        assert len(read(data)) > 0

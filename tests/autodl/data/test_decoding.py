from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.data.decoding import to_utf8
from autodl.errors import DataError

TEXT = "städte,größe\nKöln,€5\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (TEXT.encode(), ""),
        (codecs.BOM_UTF8 + TEXT.encode(), ""),
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "read as utf-16-le"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "read as utf-16-be"),
        (codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"), "read as utf-32-le"),
        (TEXT.encode("cp1252"), "is not UTF-8: read as cp1252"),
    ],
)
def test_text_survives_its_encoding(data, told):
    text, notes = to_utf8(data, "'t.csv'")
    assert text.decode() == TEXT
    assert told in "".join(notes)
    assert bool(told) == bool(notes)


def test_bytes_that_windows_1252_lacks_are_latin_1():
    text, notes = to_utf8(b"a,\x81\xe4", "'t.csv'")
    assert text.decode() == "a,\x81ä"
    assert "latin-1" in notes[0]


@pytest.mark.parametrize("data", [b"a\0b", b"a,b\n\xff\0", codecs.BOM_UTF8 + b"a\0", codecs.BOM_UTF16_LE + b"a\0\0\0"])
def test_zero_bytes_are_refused(data):
    with pytest.raises(DataError, match="must hold text, however position"):
        to_utf8(data, "'t.csv'")


def test_half_a_character_is_refused():
    with pytest.raises(DataError, match="must be utf-16-le, as its first bytes say"):
        to_utf8(codecs.BOM_UTF16_LE + b"a\0b", "'t.csv'")


def test_a_character_across_two_blocks_is_no_error():
    data = b"a" * (2**20 - 1) + "ä".encode() + b"b"
    assert to_utf8(data, "'t.csv'") == (data, ())


@given(st.binary(max_size=100))
def test_any_bytes_give_utf8_or_a_data_error(data):
    try:
        text, _ = to_utf8(data, "'t.csv'")
    except DataError:
        return
    text.decode("utf-8")

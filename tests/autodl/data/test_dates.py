from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.data.dates import FORMATS, ISO, describe_format, find_format, format_in, parse_dates, to_nanoseconds


@pytest.mark.parametrize(
    ("words", "form"),
    [
        (["2020-01-02", "2021-12-31"], ISO),
        (["2020-01-02T10:00:00", "2021-12-31 11:30:00"], ISO),
        (["2020-01-02T10:00:00Z", "2020-01-02T10:00:00+02:00"], ISO),
        (["2020-1-2", "2020-11-30"], "%Y-%m-%d"),
        (["2020/01/02", "2021/12/31"], "%Y/%m/%d"),
        (["31.12.2020", "1.2.2021"], "%d.%m.%Y"),
        (["12/31/2020", "1/2/2021"], "%m/%d/%Y"),
        (["31/12/2020", "1/2/2021"], "%d/%m/%Y"),
        (["31/12/2020 08:15", "01/02/2021 17:00"], "%d/%m/%Y %H:%M"),
        (["4 Jan 2020", "28 Feb 2021"], "%d %b %Y"),
        (["January 4, 2020", "May 28, 2021"], "%B %d, %Y"),
    ],
)
def test_finds_the_format_that_reads_all(words, form):
    assert find_format(words) == form
    assert not np.isnat(parse_dates(words, form)).any()


@pytest.mark.parametrize(
    "words",
    [
        *(["2020", "2021"], ["20200102"], ["3.5", "4.25"], ["10.0.0.1", "10.2.3.4"], ["555-123-4567"], ["a-b", "c-d"]),
        *(["12-34", "56-78"], ["1/2", "3/4"], ["May be", "June"], ["v1.2.3", "v2.0.0"], ["2020-13-45"], ["10:30"]),
    ],
)
def test_numbers_and_words_are_no_dates(words):
    assert find_format(words) is None


def test_one_stray_word_in_twenty_is_forgiven_and_two_are_not():
    days = [f"2020-01-{day:02}" for day in range(1, 20)]
    assert find_format([*days, "soon after"]) == ISO
    assert find_format([*days, "soon after", "some-day 1"]) is None


def test_bare_numbers_are_dates_only_where_that_is_said():
    assert find_format(["1999", "2020"], bare=True) == "%Y"
    assert find_format(["19991231", "20200102"], bare=True) == "%Y%m%d"


def test_zones_are_turned_into_utc():
    dates = parse_dates(["2020-01-02T10:00:00+02:00", "2020-01-02T10:00:00"], ISO)
    assert dates.tolist() == [np.datetime64(text, "ns").astype(int) for text in ("2020-01-02T08", "2020-01-02T10")]


def test_what_is_no_date_is_missing():
    dates = parse_dates(["2020-01-02", None, "soon", "9999-01-01", "1066-10-14", "2020-02-30"], ISO)
    assert np.isnat(dates).tolist() == [False, True, True, True, True, True]


def test_dates_beyond_nanoseconds_are_missing_and_not_wrapped():
    days = pd.Series(np.array(["9999-01-01", "0001-01-01", "2020-01-01"], dtype="datetime64[us]"))
    assert np.isnat(to_nanoseconds(days)).tolist() == [True, True, False]
    assert days.isna().sum() == 0


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_survives_its_description(form):
    assert format_in(f"as you said; {describe_format(form)}") == form


def test_other_reasons_tell_of_no_format():
    assert format_in("412 distinct numbers") == ""


@settings(deadline=None)
@given(st.lists(st.dates(datetime.date(1700, 1, 1), datetime.date(2200, 1, 1)), min_size=1, max_size=20))
def test_iso_dates_are_read_as_written(dates):
    words = [date.isoformat() for date in dates]
    assert find_format(words) == ISO
    assert parse_dates(words).astype("datetime64[D]").tolist() == dates


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(max_size=12) | st.from_regex(r"[0-9]{1,4}[-/. ][0-9]{1,2}[-/. ][0-9]{1,4}", fullmatch=True)))
def test_any_words_give_as_many_dates(words):
    assert parse_dates(words).shape == (len(words),)

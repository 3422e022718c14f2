from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.errors import RunError
from autodl.tuning.journal import Journal, read_journal

ENTRIES = st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.none()), max_size=5)


@given(ENTRIES)
def test_what_was_written_is_read(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("run") / "journal.jsonl"
    journal = Journal(path)
    for entry in entries:
        journal.append(entry)
    journal.close()
    assert read_journal(path) == entries


@given(ENTRIES.filter(bool), st.data())
def test_a_torn_last_line_costs_that_line_alone(tmp_path_factory, entries, data):
    path = tmp_path_factory.mktemp("run") / "journal.jsonl"
    whole = b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)
    last = len(json.dumps(entries[-1]).encode() + b"\n")
    path.write_bytes(whole[: len(whole) - data.draw(st.integers(1, last))])
    journal = Journal(path)
    journal.append({"after": "the crash"})
    journal.close()
    assert read_journal(path) == [*entries[:-1], {"after": "the crash"}]


def test_damage_in_the_middle_is_named(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"a": 1}\nnonsense\n{"b": 2}\n')
    with pytest.raises(RunError, match="line 2 is damaged"):
        read_journal(path)


def test_a_full_disk_is_said_in_one_line(tmp_path, monkeypatch):
    import errno
    import os

    journal = Journal(tmp_path / "journal.jsonl")

    def full(file, line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("autodl.tuning.journal.os.write", full)
    with pytest.raises(RunError, match="No space left on device; free some space"):
        journal.append({"a": 1})
    monkeypatch.undo()
    journal.close()

from __future__ import annotations

import json

import pytest

from autodl.errors import RunError
from autodl.tuning.run_folder import SCHEMA, RunFolder, check_empty, provenance, write_text


def test_a_new_run_has_its_parts_and_remembers_facts(tmp_path):
    run = RunFolder.create(str(tmp_path / "run"), "table")
    run.write(source="table.csv")
    run.write(state="running")
    known = RunFolder.open(run.path).read()
    assert known["source"] == "table.csv"
    assert known["state"] == "running"
    assert known["schema"] == SCHEMA
    assert known["versions"]["torch"]
    assert {path.name for path in run.path.iterdir()} == {"data", "trials", "logs", "run.json"}


def test_two_runs_of_the_same_name_do_not_meet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = RunFolder.create(None, "my table"), RunFolder.create(None, "my table")
    assert first.path != second.path
    assert first.path.parent == tmp_path / "autodl-runs"
    assert " " not in first.path.name


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RunError, match="is not empty; choose another, or go on with that run by --resume"):
        RunFolder.create(str(tmp_path), "table")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        check_empty(tmp_path / "file")


def test_what_is_no_run_cannot_be_opened(tmp_path):
    with pytest.raises(RunError, match=r"holds no run\.json"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize("schema", [SCHEMA + 1, None, "1"])
def test_a_run_of_a_newer_version_is_refused(tmp_path, schema):
    run = RunFolder.create(str(tmp_path / "run"), "")
    (run.path / "run.json").write_text(json.dumps({"schema": schema}))
    with pytest.raises(RunError, match="a newer autodl wrote it"):
        RunFolder.open(run.path)


@pytest.mark.parametrize("content", ["", "{", "[1]", "3"])
def test_a_damaged_run_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match="start a new run"):
        RunFolder.open(tmp_path)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    write_text(path, "old")

    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(RunError, match="No space left"):
        write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_provenance_is_json():
    assert json.loads(json.dumps(provenance()))["python"].startswith("3.")


def test_a_run_of_an_older_version_is_refused(tmp_path):
    run = RunFolder.create(str(tmp_path / "run"), "x")
    (run.path / "run.json").write_text(json.dumps({"schema": SCHEMA - 1}))
    with pytest.raises(RunError, match="an older autodl wrote it"):
        RunFolder.open(run.path)

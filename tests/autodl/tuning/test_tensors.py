from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autodl.errors import PluginError, RunError
from autodl.records import InputSpec, Stored, Task
from autodl.tasks import TargetScale
from autodl.training.data import training_data
from autodl.tuning.tensors import (
    TARGETS,
    Goals,
    fingerprint_of,
    read_goals,
    read_input,
    save_tensors,
    write_goals,
    write_input,
)

ROWS = 12
PRESENT = torch.tensor([True, True, False, True] * 3)


def _input(kind: str) -> tuple[InputSpec, Tensor]:
    """A spec of a kind, and values as they are stored."""
    draw = torch.Generator().manual_seed(0)
    if kind == "table":
        names = ("a", "b=x")
        facts = {"numeric": torch.tensor([True, False]), "quantiles": torch.randn(5, 2), "relevance": torch.ones(2)}
        spec = InputSpec((2,), ("a", "b"), torch.tensor([0, 1]), torch.tensor([0.5, 0.25]), names, **facts)
        return spec, torch.randn(ROWS, 2, generator=draw)
    if kind in ("image", "sound"):
        shape = (3, 4, 5) if kind == "image" else (1, 4, 5)
        axes = ("channel", "height", "width") if kind == "image" else ("channel", "frequency", "time")
        offset = torch.randn(shape[0], 1, 1)
        mask = torch.zeros(shape, dtype=torch.int64)
        spec = InputSpec(shape, (kind,), mask, torch.zeros(shape), offset=offset, scale=torch.ones(1), axes=axes)
        return spec, torch.randint(256, (ROWS, *shape), generator=draw, dtype=torch.uint8)
    if kind == "ids":
        facts = {"vocabulary": 9, "summary": torch.randn(9, 3, generator=draw)}
        spec = InputSpec((7, 1), ("words",), torch.zeros(7, 1, dtype=torch.int64), torch.zeros(7, 1), **facts)
        return spec, torch.randint(9, (ROWS, 7, 1), generator=draw, dtype=torch.int32)
    table = torch.randn(9, 5, generator=draw).half()
    mask = torch.zeros(7, 5, dtype=torch.int64)
    spec = InputSpec((7, 5), ("words",), mask, torch.zeros(7, 5), table=table)
    return spec, torch.randint(9, (ROWS, 7), generator=draw, dtype=torch.int32)


KINDS = ("table", "image", "sound", "ids", "vectors")


def _in_parts(values: Tensor, cuts: list[int]) -> Iterator[Stored]:
    edges = [0, *sorted(cuts), len(values)]
    for start, stop in pairwise(edges):
        yield Stored(values[start:stop], PRESENT[start:stop])


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_is_read_as_it_was_written(tmp_path, kind):
    spec, values = _input(kind)
    path = tmp_path / "input.safetensors"
    write_input(path, spec, _in_parts(values, []), ROWS)
    again, rows = read_input(path)
    plain, tensors = spec.to_parts()
    plain_, tensors_ = again.to_parts()
    assert plain_ == plain
    assert tensors_.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert tensors_[name].dtype == tensor.dtype
        assert torch.equal(tensors_[name], tensor)
    assert rows.values.dtype == values.dtype
    assert torch.equal(rows.values, values)
    assert torch.equal(rows.present, PRESENT)
    assert rows.gaps
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", KINDS)
@given(cuts=st.lists(st.integers(0, ROWS), max_size=4))
def test_where_the_rows_are_cut_changes_no_byte(tmp_path_factory, kind, cuts):
    spec, values = _input(kind)
    path = tmp_path_factory.mktemp("input") / "input.safetensors"
    write_input(path, spec, _in_parts(values, []), ROWS)
    whole = path.read_bytes()
    write_input(path, spec, _in_parts(values, cuts), ROWS)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("kind", KINDS)
def test_mapped_rows_make_the_same_batches_and_are_not_copied(tmp_path, kind):
    """Where a pack trains on a CPU, the file's own pages are its rows."""
    spec, values = _input(kind)
    write_input(tmp_path / "input.safetensors", spec, _in_parts(values, [5]), ROWS)
    again, rows = read_input(tmp_path / "input.safetensors")
    folds = [(np.arange(8), np.arange(8, ROWS))]
    goal = (np.arange(ROWS) % 2, Task("y", "binary", (0, 1), "log_loss"), folds)
    mapped = training_data({"x": rows}, {"x": again}, *goal, device=torch.device("cpu"))
    plain = training_data({"x": Stored(values, PRESENT)}, {"x": spec}, *goal, device=torch.device("cpu"))
    assert mapped.stored["x"].values.data_ptr() == rows.values.data_ptr()
    index = torch.tensor([[0, 3, 2], [11, 0, 5]])
    for part in (index, slice(1, 4)):
        assert torch.equal(mapped.batch(part)["x"].nan_to_num(9), plain.batch(part)["x"].nan_to_num(9))


LARGE = """
import re, resource, sys
from pathlib import Path
import torch
from autodl.records import InputSpec, Stored
from autodl.tuning.tensors import read_input, write_input

def held():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

path, megabytes = Path(sys.argv[1]), 160
spec = InputSpec((2**20,), ("x",), torch.zeros(1), torch.zeros(1))
parts = lambda n: (Stored(torch.full((4, 2**20), row, dtype=torch.uint8), torch.ones(4) > 0) for row in range(n))
write_input(path.with_name("warm"), spec, parts(2), 8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_input(path, spec, parts(megabytes // 4), megabytes)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
before = held()
_, rows = read_input(path)
assert int(rows.values[:, ::4096].sum(dtype=torch.int64)) == sum(range(megabytes // 4)) * 4 * 256
print((held() - before) // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks the kernel of Linux")
def test_a_large_input_is_never_held_in_memory(tmp_path):
    """160 MB are written in parts of 4 MB, and read: megabytes of the process's own, in a process of their own."""
    command = [sys.executable, "-c", LARGE, str(tmp_path / "input.safetensors")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    writing, reading = map(int, told)
    assert writing < 40
    assert reading < 10


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([torch.zeros(3, 2), torch.zeros(3, 3)], r"torch.float32 \(3, 3\) came after 3 rows"),
        ([torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.uint8)], "torch.uint8"),
        ([torch.zeros(3, 2)], "however 3 came"),
        ([torch.zeros(3, 2), torch.zeros(4, 2)], r"\(4, 2\) came after 3 rows"),
    ],
    ids=["shape", "type", "too few", "too many"],
)
def test_parts_that_do_not_fit_together_are_refused(tmp_path, parts, why):
    spec, _ = _input("table")
    stored = (Stored(part, torch.ones(len(part)) > 0) for part in parts)
    with pytest.raises(PluginError, match=why):
        write_input(tmp_path / "input.safetensors", spec, stored, 6)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_what_was_there(tmp_path):
    resource = pytest.importorskip("resource")
    spec, values = _input("table")
    path = tmp_path / "input.safetensors"
    write_input(path, spec, _in_parts(values, []), ROWS, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))  # for a disk that is full after so many bytes
    try:
        with pytest.raises(RunError, match=r"must be writable, however: .* free some space"):
            write_input(path, spec, [Stored(torch.zeros(2**16, 2), torch.ones(2**16) > 0)], 2**16, "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert fingerprint_of(path) == "old"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_an_error_on_the_way_leaves_nothing(tmp_path):
    def parts():
        yield Stored(torch.zeros(3, 2), torch.ones(3) > 0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_input(tmp_path / "input.safetensors", _input("table")[0], parts(), 6)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_whole_has_no_fingerprint(tmp_path):
    path = tmp_path / "input.safetensors"
    assert fingerprint_of(path) is None
    spec, values = _input("image")
    write_input(path, spec, _in_parts(values, []), ROWS, "of these")
    assert fingerprint_of(path) == "of these"
    path.write_bytes(path.read_bytes()[:-1])
    assert fingerprint_of(path) is None


SCALES = (TargetScale("none", (3.0,), (2.0,), (-2.0,), (2.5,)), TargetScale("log", (0.5,), (1.5,), shift=1.0))
TASKS = {
    "classes": (Task("y", "multiclass", ("a", "b", "c"), "log_loss"), np.array([0, 2, 1, 1, 0, 2])),
    "labels": (Task("y", "multilabel", metric="log_loss", further=("z",)), np.eye(6, 2)),
    "a number": (Task("y", "regression", metric="rmse", scales=SCALES), np.linspace(0, 9, 6)),
    "numbers": (Task("y", "multioutput", metric="rmse", further=("z",)), np.arange(12.0).reshape(6, 2)),
    "quantiles": (Task("y", "quantile", metric="pinball", quantiles=(0.1, 0.9), scales=SCALES), np.linspace(1, 4, 6)),
}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
def test_goals_are_read_as_they_were_written(tmp_path, name, weighted):
    task, targets = TASKS[name]
    folds = ((np.array([0, 1, 5]), np.array([2, 4])), (np.array([2, 3, 4, 5]), np.array([0, 1])))
    weights = np.linspace(0.1, 3.0, 6) if weighted else None
    write_goals(tmp_path / "targets.safetensors", Goals(targets, task, folds, weights))
    again = read_goals(tmp_path / "targets.safetensors")
    assert again.task == task
    assert again.targets.dtype == targets.dtype
    np.testing.assert_array_equal(again.targets, targets)
    assert len(again.folds) == 2
    for ours, theirs in zip(again.folds, folds, strict=True):
        for part, known in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(part, known)
    if weights is None:
        assert again.weights is None
    else:
        np.testing.assert_array_equal(again.weights, weights)
    np.testing.assert_array_equal(again.judged, [0, 1, 2, 4])
    np.testing.assert_array_equal(again.judged_targets, targets[[0, 1, 2, 4]])


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, unique=True), min_size=1, max_size=5))
def test_the_judged_rows_are_those_that_a_fold_holds_back_each_once(held):
    folds = tuple((np.arange(31), np.array(sorted(rows))) for rows in held)
    goals = Goals(np.arange(31.0) * 10, Task("y", "regression"), folds)
    assert list(goals.judged) == sorted({row for rows in held for row in rows})
    np.testing.assert_array_equal(goals.judged_targets, goals.judged * 10.0)


@pytest.mark.parametrize("folds", [1, 3])
def test_a_datasets_goals_are_in_its_run(prepared, folds):
    goals = read_goals(prepared.run.data(TARGETS))
    dataset = prepared.dataset
    assert goals.task == dataset.task
    assert len(goals.folds) == folds
    np.testing.assert_array_equal(goals.targets, dataset.targets[dataset.split.rows])
    np.testing.assert_array_equal(goals.judged_targets, dataset.targets[dataset.split.validation])


def test_what_cannot_be_written_is_said_and_leaves_nothing(tmp_path):
    (tmp_path / "x.safetensors").mkdir()
    with pytest.raises(RunError, match="must be writable"):
        save_tensors({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]

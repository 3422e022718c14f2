from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.tasks import TASK_KINDS, TargetScale, Task, TaskKind

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.one_of(st.booleans(), st.integers(), NUMBERS, st.text())
ENDS = st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False))
SCALES = st.builds(TargetScale, st.sampled_from(["none", "log"]), ENDS, st.tuples(NUMBERS), ENDS, ENDS, NUMBERS)
TASKS = st.builds(
    Task,
    target=st.text(),
    kind=st.sampled_from(TASK_KINDS),
    classes=st.lists(VALUES, max_size=4).map(tuple),
    metric=st.text(),
    further=st.lists(st.text(), max_size=3).map(tuple),
    quantiles=st.lists(NUMBERS, max_size=3).map(tuple),
    scales=st.lists(SCALES, max_size=2).map(tuple),
)


@given(TASKS)
def test_a_task_comes_back_from_json(task: Task) -> None:
    again = Task.from_json(json.loads(json.dumps(task.to_json())))
    assert again == task
    assert [type(each) for each in again.classes] == [type(each) for each in task.classes]  # 1, 1.0 and True are equal
    assert hash(again) == hash(task)


def test_every_kind_is_listed_once() -> None:
    assert get_args(TaskKind) == TASK_KINDS
    assert len(set(TASK_KINDS)) == len(TASK_KINDS)


@pytest.mark.parametrize(
    ("task", "outputs", "classification", "numeric", "targets"),
    [
        (Task("y", "binary", ("no", "yes")), 2, True, False, ("y",)),
        (Task("y", "multiclass", (1, 2, 3)), 3, True, False, ("y",)),
        (Task("y", "multilabel", further=("z", "w")), 3, False, False, ("y", "z", "w")),
        (Task("y", "regression"), 1, False, True, ("y",)),
        (Task("y", "multioutput", further=("z",)), 2, False, True, ("y", "z")),
        (Task("y", "quantile", quantiles=(0.1, 0.5, 0.9)), 3, False, True, ("y",)),
    ],
    ids=lambda each: getattr(each, "kind", ""),
)
def test_what_a_kind_means(
    task: Task, outputs: int, classification: bool, numeric: bool, targets: tuple[str, ...]
) -> None:
    assert (task.n_outputs, task.is_classification, task.is_numeric) == (outputs, classification, numeric)
    assert task.targets == targets


def test_a_scale_is_found_by_its_name_and_another_changes_nothing() -> None:
    known = TargetScale("log", (1.0,), (2.0,))
    task = Task("y", "regression", scales=(TargetScale("none", (3.0,)), known))
    assert task.scale("log") is known
    assert task.scale().location == (3.0,)
    numbers = np.array([-5.0, 0.0, 1e300])
    for scale in (task.scale("unheard of"), Task("y", "quantile").scale("log")):
        np.testing.assert_array_equal(scale.forward(numbers), numbers)
        np.testing.assert_array_equal(scale.inverse(numbers), numbers)


class TestTargetScale:
    @given(
        st.lists(st.floats(0.01, 1e6), min_size=1, max_size=9),
        st.sampled_from(["none", "log"]),
        st.floats(-100, 100),
        st.floats(0.01, 100),
        st.floats(0, 100),
    )
    def test_there_and_back_is_the_same(
        self, numbers: list[float], name: str, location: float, size: float, shift: float
    ) -> None:
        scale = TargetScale(name, (location,), (size,), shift=shift)
        np.testing.assert_allclose(scale.inverse(scale.forward(np.array(numbers))), numbers, rtol=1e-6, atol=1e-9)

    def test_networks_see_how_far_a_number_lies_from_the_mean(self) -> None:
        seen = TargetScale("none", (10.0,), (5.0,)).forward(np.array([10.0, 15.0, 0.0]))
        assert seen.tolist() == [0.0, 1.0, -2.0]
        seen = TargetScale("log", (1.0,), (2.0,), shift=1.0).forward(np.array([math.e - 1, math.e**3 - 1]))
        np.testing.assert_allclose(seen, [0.0, 1.0], atol=1e-12)

    def test_each_target_has_its_own(self) -> None:
        scale = TargetScale("none", (0.0, 100.0), (1.0, 10.0), (-1.0, -2.0), (1.0, 2.0))
        rows = np.array([[0.5, 110.0], [-0.5, 95.0]])
        np.testing.assert_array_equal(scale.forward(rows), [[0.5, 1.0], [-0.5, -0.5]])
        np.testing.assert_array_equal(scale.inverse(scale.forward(rows)), rows)
        np.testing.assert_array_equal(scale.inverse(np.array([[9.0, 9.0], [-9.0, -9.0]])), [[1.0, 120.0], [-1.0, 80.0]])

    def test_quantiles_of_one_target_share_its_scale(self) -> None:
        told = TargetScale("none", (10.0,), (2.0,)).inverse(np.array([[-1.0, 0.0, 1.0]]))
        np.testing.assert_array_equal(told, [[8.0, 10.0, 12.0]])

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_no_answer_runs_away(self, answer: float) -> None:
        """However sure a network is; an exponential of it would be infinite."""
        scale = TargetScale("log", (2.0,), (1.0,), (-3.0,), (3.0,), shift=0.5)
        (told,) = scale.inverse(np.array([answer]))
        assert math.exp(-1) - 0.5 - 1e-9 <= told <= math.exp(5) - 0.5 + 1e-9


def test_a_task_is_known_without_numpy() -> None:
    """As the command line, which answers at once, knows it."""
    code = "import sys, autodl.tasks; assert not {'numpy', 'torch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from autodl.data.several import infer_several
from autodl.errors import DataError
from autodl.records import Task

ROWS = 30
RNG = np.random.default_rng(0)
CELLS = {
    "bit": [0, 1] * 15,
    "bits with gaps": [0.0, 1.0, None] * 10,
    "word": ["yes", "no", "No"] * 10,
    "truth": [True, False] * 15,
    "number": RNG.normal(size=ROWS),
    "text number": [str(number) for number in RNG.normal(size=ROWS)],
    "few": [1, 2, 3] * 10,
    "name": ["a", "b"] * 15,
    "half": [0.5, 1] * 15,
    "one": [1] * ROWS,
    "day": pd.date_range("2020", periods=ROWS),
    "endless": [np.inf, 1.0] * 15,
}
TABLE = pd.DataFrame(CELLS)


@pytest.mark.parametrize(
    ("names", "said", "kind"),
    [
        (("bit", "bits with gaps", "word", "truth"), None, "multilabel"),
        (("bit", "truth"), "multilabel", "multilabel"),
        (("number", "few", "half"), None, "multioutput"),
        (("text number", "number"), None, "multioutput"),
        (("bit", "number"), "multioutput", "multioutput"),
        (("bit", "truth"), "multioutput", "multioutput"),
    ],
)
def test_several_targets_are_labels_or_numbers(names, said, kind):
    task, why = infer_several(TABLE, names, said)
    assert (task.kind, task.targets, task.classes) == (kind, names, ())
    assert task.n_outputs == len(names)
    assert all(f"'{name}'" in why for name in names)
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


@pytest.mark.parametrize(
    ("names", "said", "message"),
    [
        (("number", "bit"), None, "all numbers, however 'bit' holds labels and 'number' does not; say --task multio"),
        (("bit", "name"), None, "however 'bit' holds labels and 'name' does not"),
        (("number", "name"), None, "'name' must hold numbers or 0 and 1, .* however it holds such as 'a'; predict it"),
        (("bit", "few"), "multilabel", "'few' must hold 0 and 1, yes and no or .* --task multilabel, .* such as '1'"),
        (("number", "word"), "multioutput", "'word' must hold numbers"),
        (("bit", "one"), None, "'one' must have at least two values"),
        (("number", "day"), None, "however it holds dates"),
        (("number", "endless"), None, "'endless' must be finite"),
    ],
)
def test_mixtures_are_refused(names, said, message):
    with pytest.raises(DataError, match=message) as caught:
        infer_several(TABLE, names, said)
    assert "\n" not in str(caught.value)

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import autodl.report._tape as tape_module
from autodl.report._tape import Tape, Value, packed, strides

ENGINE = (tape_module.__spec__.origin or "").replace("_tape.py", "tape.js")  # type: ignore[union-attr]


@pytest.fixture
def page(browser: Any) -> Any:
    page = browser.new_page()
    page.add_script_tag(path=ENGINE)
    yield page
    page.close()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.data())
def test_strides_give_back_any_view_and_nothing_else(shape: list[int], data: st.DataObject) -> None:
    index = np.arange(math.prod(shape)).reshape(shape)
    view = index.transpose(data.draw(st.permutations(range(len(shape)))))[:: data.draw(st.sampled_from([1, 2, -1]))]
    view = np.broadcast_to(view, (data.draw(st.integers(1, 3)), *view.shape))
    start, sizes, steps = strides(view) or pytest.fail("a view has strides")
    places = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), -1)
    assert np.array_equal(start + places @ np.array(steps), view)
    assert strides(np.array([0, 1, 3])) is None


def test_entries_that_stay_where_they_are_take_no_step() -> None:
    tape = Tape()
    value = tape.slot((2, 3))
    assert tape.gather(value, np.arange(6).reshape(3, 2)) == Value(value.slot, (3, 2))
    assert tape.broadcast(tape.slot((1, 1)), (4, 5)).size == 1
    assert tape.steps == []


def test_constants_that_are_alike_are_kept_once() -> None:
    tape = Tape()
    first, again = tape.constant(torch.ones(2, 3)), tape.constant(torch.ones(3, 2).double())
    assert first.slot == again.slot
    assert tape.constant(1.0).slot == tape.constant(1).slot != first.slot
    assert len(tape.constants) == 2


def test_json_holds_numbers_that_json_has_no_word_for(page: Any) -> None:
    tape = Tape()
    tape.inputs["x"] = tape.slot((2,)).slot
    low = tape.zip("maximum", Value(0, (2,)), -math.inf)
    tape.output = tape.zip("minimum", low, math.inf).slot
    text = json.dumps(tape.to_json(), allow_nan=False)
    run = "text => Array.from(autodlTape.compile(JSON.parse(text))({x: Float64Array.of(-3, 4)}))"
    assert page.evaluate(run, text) == [-3, 4]


def test_the_size_is_about_that_of_the_text() -> None:
    tape = Tape()
    tape.zip("add", tape.slot((1, 900)), tape.constant(torch.randn(900)))
    assert tape.n_bytes == pytest.approx(len(json.dumps(tape.to_json())), rel=0.05)


def test_packed_numbers_come_back_as_they_were(page: Any) -> None:
    numbers = np.array([0.1, -1e-30, np.nan, np.inf], dtype=np.float32)
    found = page.evaluate("text => Array.from(autodlTape.unpack(text))", packed(numbers))
    assert np.array_equal(np.array(found, dtype=np.float32), numbers, equal_nan=True)


def test_the_error_function_is_exact(page: Any) -> None:
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    tape = Tape()
    tape.inputs["x"] = tape.slot(x.shape).slot
    tape.output = tape.map("erf", Value(0, tuple(x.shape))).slot
    run = "([tape, x]) => Array.from(autodlTape.compile(tape)({x: Float64Array.from(x)}))"
    found = torch.tensor(page.evaluate(run, [tape.to_json(), x.tolist()]), dtype=torch.float64)
    assert (found - torch.erf(x)).abs().max() < 1e-14

import math
from dataclasses import replace

import pytest
import torch

from autodl.records import InputSpec
from autodl.vectors import as_vector, side_by_side, vector_width


def spec(*shape, **more):
    zeros = torch.zeros(shape)
    return InputSpec(shape=shape, columns=("x",), feature_mask=zeros.long(), baseline=zeros, **more)


TABLE = spec(2)
IMAGE = spec(1, 2, 2)
MAP = spec(64, 2, 2)
SOUND = spec(1, 2, 4, axes=("channel", "frequency", "time"))
WORDS = spec(3, 1, vocabulary=4, summary=torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]))
VECTORS = spec(3, 2)


def test_inputs_stand_side_by_side_in_order_of_their_names():
    rows = side_by_side({"b": torch.ones(2, 1, 2, 2), "a": torch.zeros(2, 2)}, {"a": TABLE, "b": IMAGE})
    assert rows.tolist() == [[0, 0, 1, 1, 1, 1]] * 2


def test_a_sound_is_mean_and_deviation_of_each_frequency():
    x = torch.tensor([[[[1.0, 1, 1, 1], [0, 2, 0, 2]]]])
    assert as_vector(x, SOUND).tolist() == [[1, 1, 0, 1]]


def test_ids_are_the_direction_of_the_sum_of_what_each_adds():
    x = torch.tensor([[[2.0], [3], [0]], [[2], [2], [1]], [[0], [0], [0]]])
    torch.testing.assert_close(as_vector(x, WORDS), torch.tensor([[0.6, 0.8], [1, 0], [0, 0]]))


def test_vectors_of_tokens_are_averaged_over_those_that_are_there():
    x = torch.tensor([[[2.0, 4], [0, 0], [4, 0]], [[0, 0], [0, 0], [0, 0]]])
    assert as_vector(x, VECTORS).tolist() == [[3, 2], [0, 0]]


def test_a_map_of_many_channels_is_their_means():
    x = torch.arange(2 * 64 * 4.0).view(2, 64, 2, 2)
    torch.testing.assert_close(as_vector(x, MAP), x.mean((2, 3)))


@pytest.mark.parametrize("one", [TABLE, IMAGE, MAP, SOUND, WORDS, VECTORS])
def test_a_missing_row_is_nan_and_the_width_is_as_told(one):
    x = torch.zeros(2, *one.shape)
    x[1] = math.nan
    found = as_vector(x, one)
    assert found.shape == (2, vector_width(one))
    assert found[0].isfinite().all()
    assert found[1].isnan().all()


def test_a_spec_survives_saving():
    kept = InputSpec.from_parts(*replace(WORDS, table=torch.ones(2, 3)).to_parts())
    assert (kept.axes, kept.vocabulary, kept.shape) == (("token", "entry"), 4, (3, 1))
    assert torch.equal(kept.summary, WORDS.summary)
    assert torch.equal(kept.table, torch.ones(2, 3))

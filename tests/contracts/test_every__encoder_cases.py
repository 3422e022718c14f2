"""What the suite of encoders feeds."""

from __future__ import annotations

import pytest
import torch

from autodl.records import InputSpec
from autodl.testing._encoder_cases import image_spec, rows, sound_spec, table_spec, text_spec
from autodl.testing._modality_cases import check_spec

SPECS = [table_spec(3, (4, 2)), table_spec(0, (3,)), image_spec(3, 5, 7), sound_spec(6, 9)]
TEXTS = [text_spec(5, vocabulary=9), text_spec(5, entries=3)]
SPECS += TEXTS


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.axes[-1])
def test_specs_are_such_as_modalities_make(spec: InputSpec) -> None:
    check_spec(spec, spec.columns)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.axes[-1])
def test_rows_have_the_shape_and_come_from_the_seed(spec: InputSpec) -> None:
    assert rows(spec, 4).shape == (4, *spec.shape)
    assert torch.equal(rows(spec, 4, seed=1), rows(spec, 4, seed=1))
    assert not torch.equal(rows(spec, 4, seed=1), rows(spec, 4, seed=2))


def test_images_and_sounds_differ_in_their_axes() -> None:
    assert image_spec().axes == ("channel", "height", "width")
    assert sound_spec().axes == ("channel", "frequency", "time")


def test_rows_of_a_table_are_values_that_training_rows_hold() -> None:
    spec = table_spec(2, (3,))
    assert spec.quantiles is not None
    for feature, values in enumerate(rows(spec, 50).T):
        assert set(values.tolist()) <= set(spec.quantiles[:, feature].tolist())


@pytest.mark.parametrize("spec", TEXTS, ids=str)
def test_tokens_that_are_not_there_lie_anywhere(spec: InputSpec) -> None:
    x = rows(spec, 200)
    assert x.ne(0).any(-1).float().mean(0).sub(0.7).abs().max() < 0.15
    if spec.vocabulary:
        assert set(x.flatten().tolist()) == set(range(spec.vocabulary))

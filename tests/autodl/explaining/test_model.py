from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from autodl.errors import ExplanationError
from autodl.explaining.model import NetworksModel, explained_model, natural_quantity, networks_in, output_names
from autodl.predictor import Predictor
from autodl.records import Task


def told(predictor: Predictor, frame: pd.DataFrame, quantity: str, trial: int | None = None) -> np.ndarray:
    subject = predictor.subject
    model = explained_model(subject.ensemble, predictor.calibration, quantity, trial)  # type: ignore[arg-type]
    cast, _ = predictor._read(frame, None, targets=False)
    views, _ = subject.ensemble.views(cast)
    with torch.no_grad():
        return model(views).numpy()


@pytest.mark.parametrize("name", ["networks", "learners"])
def test_what_is_explained_is_what_is_predicted(name: str, rows: pd.DataFrame, request: pytest.FixtureRequest) -> None:
    predictor: Predictor = request.getfixturevalue(name)
    expected = predictor.predict_proba(rows).to_numpy()
    np.testing.assert_allclose(told(predictor, rows, "probability"), expected, rtol=1e-4, atol=1e-6)


def test_numbers_come_in_the_targets_unit(numbers: Predictor, rows: pd.DataFrame) -> None:
    np.testing.assert_allclose(told(numbers, rows, "number")[:, 0], numbers.predict(rows), rtol=1e-4)


def test_networks_are_a_module_and_learners_are_not(networks: Predictor, learners: Predictor) -> None:
    seen = explained_model(networks.subject.ensemble, networks.calibration, "probability")
    assert isinstance(seen, NetworksModel)
    assert len(networks_in(seen)) == len(networks.networks)
    opaque = explained_model(learners.subject.ensemble, learners.calibration, "probability")
    assert not isinstance(opaque, nn.Module)
    assert networks_in(opaque) == ()


def test_calibration_is_part_of_what_is_explained(networks: Predictor, rows: pd.DataFrame) -> None:
    from dataclasses import replace

    from autodl.calibration import Calibration

    sharp = replace(networks, calibration=Calibration(scales=((2.0,),), biases=((0.5,),)))
    expected = sharp.predict_proba(rows).to_numpy()
    assert not np.allclose(expected, networks.predict_proba(rows).to_numpy(), atol=1e-2)
    np.testing.assert_allclose(told(sharp, rows, "probability"), expected, rtol=1e-4, atol=1e-6)


def test_the_score_of_one_member_is_what_its_heads_say(networks: Predictor, rows: pd.DataFrame) -> None:
    member = networks.members[0]
    scores = told(networks, rows, "score", member.number)
    cast, _ = networks._read(rows, None, targets=False)
    views, _ = networks.subject.ensemble.views(cast)
    inputs = {name: views[key] for name, key in member.keys.items()}
    each = [network(inputs) for network in networks.subject.ensemble.networks_of(member)]
    expected = torch.stack([out.mean(-2) if out.dim() == 3 else out for out in each]).mean(0)
    np.testing.assert_allclose(scores, expected.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_what_does_not_exist_is_refused(networks: Predictor, learners: Predictor) -> None:
    with pytest.raises(ExplanationError, match=r"must be a member.*however 99 is none; it has \d"):
        explained_model(networks.subject.ensemble, networks.calibration, "probability", 99)
    with pytest.raises(ExplanationError, match="extra_trees"):
        explained_model(learners.subject.ensemble, learners.calibration, "score")


def test_outputs_are_called_as_the_user_calls_them() -> None:
    assert output_names(Task("y", "multiclass", ("a", 2, True))) == ("a", "2", "True")
    assert output_names(Task("y", "quantile", quantiles=(0.1, 0.5))) == ("y 0.1", "y 0.5")
    assert output_names(Task("y", "multioutput", further=("z",))) == ("y", "z")
    assert natural_quantity(Task("y", "regression")) == "number"
    assert natural_quantity(Task("y", "multilabel", further=("z",))) == "probability"

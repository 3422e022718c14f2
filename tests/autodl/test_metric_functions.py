from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn import metrics as sklearn

from autodl import _metric_functions as functions


@st.composite
def classes(draw, least=2, most=4):
    """Targets and probabilities with many ties; often some class has no row, now and then all but one."""
    rows, width = draw(st.integers(1, 25)), draw(st.integers(least, most))
    targets = draw(npst.arrays(np.int64, rows, elements=st.integers(0, width - 1)))
    weights = draw(npst.arrays(np.float64, (rows, width), elements=st.integers(0, 3)))
    weights[weights.sum(axis=1) == 0] = 1
    return targets, weights / weights.sum(axis=1, keepdims=True)


@st.composite
def labels(draw):
    """Several 0/1 targets and their probabilities, with ties; some target may be all ones or all zeros."""
    shape = draw(st.integers(1, 25)), draw(st.integers(2, 4))
    targets = draw(npst.arrays(np.float64, shape, elements=st.integers(0, 1).map(float)))
    return targets, draw(npst.arrays(np.float64, shape, elements=st.integers(0, 5).map(lambda each: each / 5)))


@st.composite
def numbers(draw, targets=1):
    """Targets and predictions, at times with repeated values, zeros and equal targets."""
    shape = draw(st.integers(1, 25)) if targets == 1 else (draw(st.integers(1, 25)), targets)
    number = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e3, 1e3, width=32))
    values = npst.arrays(np.float64, shape, elements=number, fill=number)
    return draw(values), draw(values)


def quietly(function, *arguments, **options):
    """What scikit-learn answers where it would rather warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def columns(targets, predictions):
    """One pair of 0/1 targets and scores for everything that is judged against the rest."""
    if targets.ndim == 2:
        return list(zip(targets.T, predictions.T, strict=True))
    judged = [1] if predictions.shape[1] == 2 else range(predictions.shape[1])
    return [((targets == each).astype(float), predictions[:, each]) for each in judged]


def roc_auc(targets, predictions):
    found = [sklearn.roc_auc_score(*pair) for pair in columns(targets, predictions) if 0 < pair[0].sum() < len(targets)]
    return np.mean(found) if found else math.nan


def average_precision(targets, predictions):
    found = [sklearn.average_precision_score(*pair) for pair in columns(targets, predictions) if pair[0].any()]
    return np.mean(found) if found else math.nan


def log_loss_of_labels(targets, predictions):
    return np.mean([sklearn.log_loss(*pair, labels=[0, 1]) for pair in zip(targets.T, predictions.T, strict=True)])


def ece(targets, predictions):
    """The formula of Guo et al., bin after bin."""
    sure, right = predictions.max(1), predictions.argmax(1) == targets
    total = 0.0
    for upper in range(1, 16):
        inside = np.ceil(sure * 15) == upper
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    return total


def width(predictions):
    return list(range(predictions.shape[1]))


def f1_of(average):
    return lambda y, p: quietly(sklearn.f1_score, y, p.argmax(1), average=average, zero_division=0)


def labels_f1_of(average):
    return lambda y, p: quietly(sklearn.f1_score, y > 0.5, p > 0.5, average=average, zero_division=0)


OF_CLASSES = {
    "accuracy": lambda y, p: sklearn.accuracy_score(y, p.argmax(1)),
    "balanced_accuracy": lambda y, p: quietly(sklearn.balanced_accuracy_score, y, p.argmax(1)),
    "f1_macro": f1_of("macro"),
    "f1_weighted": f1_of("weighted"),
    "mcc": lambda y, p: quietly(sklearn.matthews_corrcoef, y, p.argmax(1)),
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "log_loss": lambda y, p: sklearn.log_loss(y, p, labels=width(p)),
    "brier": lambda y, p: sklearn.brier_score_loss(y, p, labels=width(p)),
    "ece": ece,
}
OF_LABELS = {
    "accuracy": lambda y, p: sklearn.accuracy_score(y.ravel() > 0.5, p.ravel() > 0.5),
    "f1_macro": labels_f1_of("macro"),
    "f1_weighted": labels_f1_of("weighted"),
    "roc_auc": roc_auc,
    "average_precision": average_precision,
    "log_loss": log_loss_of_labels,
    "brier": lambda y, p: np.mean((y - p) ** 2),
}
OF_NUMBERS = {
    "rmse": sklearn.root_mean_squared_error,
    "mae": sklearn.mean_absolute_error,
    "mape": sklearn.mean_absolute_percentage_error,
    "r2": lambda y, p: quietly(sklearn.r2_score, y, p),
}


def matches(name, case, expected):
    found = getattr(functions, name)(*case)
    return found == pytest.approx(expected(*case), rel=1e-6, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", OF_CLASSES)
@settings(max_examples=40)
@given(case=classes())
def test_classes_are_judged_as_by_scikit_learn(name, case):
    assert matches(name, case, OF_CLASSES[name])


@settings(max_examples=40)
@given(case=classes(2, 2))
def test_the_second_of_two_classes_is_judged_as_by_scikit_learn(case):
    assert matches("f1", case, f1_of("binary"))


@pytest.mark.parametrize("name", OF_LABELS)
@settings(max_examples=40)
@given(case=labels())
def test_several_labels_are_judged_as_by_scikit_learn(name, case):
    assert matches(name, case, OF_LABELS[name])


@pytest.mark.parametrize("name", OF_NUMBERS)
@settings(max_examples=40)
@given(case=numbers() | numbers(targets=3))
def test_numbers_are_judged_as_by_scikit_learn(name, case):
    assert matches(name, case, OF_NUMBERS[name])


@settings(max_examples=40)
@given(case=numbers(), levels=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4, unique=True).map(sorted))
def test_quantiles_are_judged_as_by_scikit_learn(case, levels):
    targets, centre = case
    predictions = centre[:, None] + np.arange(len(levels))
    each = [
        sklearn.mean_pinball_loss(targets, told, alpha=level) for level, told in zip(levels, predictions.T, strict=True)
    ]
    assert functions.pinball(targets, predictions, levels) == pytest.approx(np.mean(each), rel=1e-6, abs=1e-9)
    middle = predictions[:, np.argmin(np.abs(np.array(levels) - 0.5))]
    assert functions.mae(targets, predictions, levels) == pytest.approx(functions.mae(targets, middle))
    assert functions.rmse(targets, predictions, levels) == pytest.approx(functions.rmse(targets, middle))


def test_pinball_without_its_levels_is_an_error_of_ours():
    with pytest.raises(AssertionError, match="internal error"):
        functions.pinball(np.zeros(2), np.zeros((2, 3)))
    with pytest.raises(AssertionError, match="internal error"):
        functions.rmse(np.zeros(2), np.zeros((2, 3)))


@settings(max_examples=40)
@given(case=classes(3, 3))
def test_roc_auc_matches_scikit_learns_own_mean_where_it_has_one(case):
    targets, predictions = case
    targets, predictions = np.r_[targets, 0, 1, 2], np.r_[predictions, np.eye(3)]
    expected = sklearn.roc_auc_score(targets, predictions, multi_class="ovr", average="macro")
    assert functions.roc_auc(targets, predictions) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
@given(case=classes(2, 2))
def test_ranks_depend_on_the_order_alone(name, case):
    targets, predictions = case
    stretched = predictions**3 + 7
    score = getattr(functions, name)
    assert score(targets, stretched) == pytest.approx(score(targets, predictions), nan_ok=True)


def test_float32_probabilities_of_zero_count_as_the_smallest_step():
    predictions = np.array([[1, 0], [0, 1]], dtype=np.float32)
    assert functions.log_loss(np.array([1, 1]), predictions) == pytest.approx(-math.log(2**-23) / 2, rel=1e-5)


def test_one_class_only():
    """Ranking has no answer, the others have."""
    targets, predictions = np.zeros(3, dtype=np.int64), np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    assert math.isnan(functions.roc_auc(targets, predictions))
    assert math.isnan(functions.average_precision(targets, predictions))
    assert functions.accuracy(targets, predictions) == pytest.approx(2 / 3)
    assert functions.balanced_accuracy(targets, predictions) == pytest.approx(2 / 3)
    assert functions.f1(targets, predictions) == functions.mcc(targets, predictions) == 0


def test_equal_targets_are_met_or_not():
    targets = np.full(3, 0.1)
    assert functions.r2(targets, targets) == 1
    assert functions.r2(targets, targets + 1) == 0
    assert math.isnan(functions.r2(targets[:1], targets[:1]))


def test_numbers_in_large_units_do_not_silence_small_ones_in_r2():
    targets = np.random.default_rng(0).normal(size=(50, 2)) * [1, 1e6]
    predictions = np.stack([np.full(50, targets[:, 0].mean()), targets[:, 1]], axis=1)
    assert functions.r2(targets, predictions) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "perfect"),
    [(n, 1.0) for n in OF_CLASSES if n not in ("brier", "ece", "log_loss")] + [("brier", 0.0), ("ece", 0.0)],
)
@pytest.mark.parametrize("count", [2, 3])
def test_perfect_predictions(name, perfect, count):
    targets = np.arange(12) % count
    assert getattr(functions, name)(targets, np.eye(count)[targets]) == pytest.approx(perfect, abs=1e-15)

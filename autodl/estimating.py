"""scikit-learn learners fitted fold by fold, and kept as files: no pickle anywhere."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy

from autodl import registry
from autodl.contracts import Estimator
from autodl.errors import PredictorError, TrialError
from autodl.records import InputSpec, Task, TrialConfig
from autodl.vectors import vector_width

if TYPE_CHECKING:
    from torch import Tensor

_CONTENT = "content"  # the array that holds the JSON text


class Stopped(TrialError):
    """The time was up before every fold had its estimator."""


def fit_folds(
    config: TrialConfig,
    x: np.ndarray,
    targets: np.ndarray,
    task: Task,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    weights: np.ndarray | None,
    *,
    stop: Callable[[], bool],
    groups: Sequence[Sequence[int]] = (),
) -> tuple[list[Estimator], np.ndarray]:
    """Fit the estimator of a configuration once a fold.

    Args:
        config: Names the estimator, its settings, the seed and how numbers are seen.
        x: Features of all rows that the folds name, float32, NaN where missing.
        targets: Of the same rows, as ``Task`` says.
        task: What is predicted.
        folds: Training and validation positions of each.
        weights: Of the same rows; None if all count alike.
        groups: Positions of the one-hot features of each category's column, as ``category_groups`` returns them.
        stop: Asked before each fold, and by the estimator within one. If it ends the last fold early, that fold
            answers with what it has learnt.

    Returns:
        The estimators, and predictions in the user's unit for the sorted union of the validation positions, each by
        the estimators that did not see the row; their mean where there are several.

    Raises:
        Stopped: The time was up before the last fold began: a half cross-validated estimator is no answer.
    """
    rows = np.unique(np.concatenate([validation for _, validation in folds]))
    scale = task.scale(config.training.get("target", "none"))
    seen = scale.forward(targets) if task.is_numeric else targets
    estimators: list[Estimator] = []
    total, times = np.zeros(0), np.zeros(len(rows))
    for number, (train, validation) in enumerate(folds):
        if stop():
            raise Stopped(
                f"an estimator must be fitted on all {len(folds)} folds to be judged, however the time was up after "
                f"{number}; give the search more time"
            )
        estimator = _build(config, task, config.seed + number)
        estimator.groups = groups
        estimator.fit(x[train], seen[train], None if weights is None else weights[train], stop)
        estimators.append(estimator)
        answers = _answers(estimator, config, task, x[validation])
        where = np.searchsorted(rows, validation)
        total = total if len(total) else np.zeros((len(rows), *answers.shape[1:]))
        np.add.at(total, where, answers)
        np.add.at(times, where, 1.0)
    return estimators, total / times.reshape(-1, *[1] * (total.ndim - 1))


def category_groups(specs: Mapping[str, InputSpec]) -> tuple[tuple[int, ...], ...]:
    """Return the positions of each column's one-hot features, where all inputs lie side by side by their names.

    Told by the spec alone: features that are no numbers, are 0 or 1 at every quantile, and share a column.
    """
    groups: list[tuple[int, ...]] = []
    first = 0
    for name in sorted(specs):
        spec = specs[name]
        if len(spec.shape) == 1 and spec.numeric is not None and spec.quantiles is not None:
            quantiles, columns = spec.quantiles.numpy(), spec.feature_mask.numpy()
            one_hot = ~spec.numeric.numpy() & ((quantiles == 0) | (quantiles == 1)).all(axis=0)
            for column in np.unique(columns[one_hot]):
                members = np.flatnonzero(one_hot & (columns == column))
                groups += [tuple(int(first + member) for member in members)] if len(members) > 1 else []
        first += vector_width(spec)
    return tuple(groups)


def predict(estimators: Sequence[Estimator], config: TrialConfig, task: Task, x: np.ndarray) -> np.ndarray:
    """Return the mean of the folds' predictions, in the user's unit. Shape: rows features → rows …."""
    return np.asarray(np.mean([_answers(each, config, task, x) for each in estimators], axis=0))


def save(estimators: Sequence[Estimator]) -> bytes:
    """Return what the folds' estimators have learnt.

    Numbers and arrays in lists and dicts are kept as JSON and safetensors, which are read in no time; whatever else an
    estimator holds by skops.
    """
    arrays: dict[str, np.ndarray] = {}
    content = _plain([estimator.learnt for estimator in estimators], arrays)
    arrays[_CONTENT] = np.frombuffer(json.dumps(content).encode(), np.uint8)
    return zlib.compress(safetensors.numpy.save(arrays), level=1)


def as_weights(estimators: Sequence[Estimator]) -> dict[str, Tensor]:
    """Return ``save``'s bytes as ``autodl.fitted.FittedMember.weights`` has them."""
    import torch

    return {"learnt": torch.frombuffer(bytearray(save(estimators)), dtype=torch.uint8)}


def load(data: bytes, config: TrialConfig, task: Task) -> list[Estimator]:
    """Rebuild the estimators of a configuration from ``save``'s bytes.

    Raises:
        PredictorError: The file is damaged, or holds types that skops does not trust by itself.
    """
    try:
        arrays = safetensors.numpy.load(zlib.decompress(data))
        parts = _restored(json.loads(arrays[_CONTENT].tobytes()), arrays)
    except _ForeignError as error:
        raise _damaged(config, f"it holds {error}") from error
    except Exception as error:  # a damaged file may fail in any way
        raise _damaged(config, f"it cannot be read: {error!r}") from error
    if not isinstance(parts, list) or not parts:
        raise _damaged(config, "it holds no list of folds")
    estimators = []
    for number, learnt in enumerate(parts):
        estimator = _build(config, task, config.seed + number)
        try:
            estimator.learnt = learnt
        except Exception as error:  # what was learnt may be anything
            raise _damaged(config, str(error) if isinstance(error, ValueError) else repr(error)) from error
        estimators.append(estimator)
    return estimators


class _ForeignError(Exception):
    """Names the types that skops does not trust by itself."""


def _plain(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The value as JSON has it; arrays go to ``arrays``. A dict with one key that starts with ``$`` is a mark."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value) is list:
        return [_plain(each, arrays) for each in value]
    if type(value) is dict and all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: _plain(each, arrays) for key, each in value.items()}
    key = str(len(arrays))
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        arrays[key] = np.ascontiguousarray(value, value.dtype.newbyteorder("=")).reshape(value.shape)
        return {"$array": key}
    import skops.io

    arrays[key] = np.frombuffer(skops.io.dumps(value), np.uint8)
    return {"$skops": key}


def _restored(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The inverse of ``_plain``."""
    if isinstance(value, list):
        return [_restored(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return arrays[value["$array"]]
    if "$skops" not in value:
        return {key: _restored(each, arrays) for key, each in value.items()}
    import skops.io

    data = arrays[value["$skops"]].tobytes()
    if foreign := skops.io.get_untrusted_types(data=data):
        raise _ForeignError(", ".join(sorted(foreign)))
    return skops.io.loads(data)


def _build(config: TrialConfig, task: Task, seed: int) -> Estimator:
    assert config.estimator is not None, "internal error: a network's configuration"
    return registry.estimators.load(config.estimator.name)(task, seed, **config.estimator.settings)


def _answers(estimator: Estimator, config: TrialConfig, task: Task, x: np.ndarray) -> np.ndarray:
    """One estimator's predictions in the user's unit."""
    answers = np.asarray(estimator.predict(x), np.float64)
    if not task.is_numeric:
        return answers
    answers = task.scale(config.training.get("target", "none")).inverse(answers)
    return np.sort(answers, axis=1) if task.kind == "quantile" else answers


def _damaged(config: TrialConfig, what: str) -> PredictorError:
    name = config.estimator.name if config.estimator else ""
    return PredictorError(
        f"a saved '{name}' must be as autodl wrote it, with nothing but what its estimators need, however {what}; "
        "take the predictor from its source again"
    )

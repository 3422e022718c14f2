"""Fits of temperature and vector scaling: Newton's method on the log loss, which both make convex."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

STEPS = 50
LEAST_SCALE, MOST_SCALE = 0.05, 20.0  # rows that one probability of 0 spoils must not turn it all flat or hard
SETTLED = 1e-10  # fall of the log loss that a step promises, below which it is found


def scaled(logs: Array, scale: Array, bias: Array) -> Array:
    """Return probabilities: softmax of scale · log p + bias. Shape: rows classes → the same."""
    odds = logs * scale + bias
    odds = np.exp(odds - odds.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


def fit_temperature(logs: Array, true: Array) -> tuple[Array, Array]:
    """Return the scale 1 / T for all classes with which the log loss is least, and a bias of 0.

    Shape:
        logs: rows classes
        true: rows
        returned: 1, and 1
    """
    scale, rows, bias = 1.0, np.arange(len(true)), np.zeros(1)
    loss = _log_loss(logs, true, np.array([scale]), bias)
    for _ in range(STEPS):
        told = scaled(logs, np.array([scale]), bias)
        mean = (told * logs).sum(axis=1)
        slope = float((mean - logs[rows, true]).mean())
        bend = float(((told * logs**2).sum(axis=1) - mean**2).mean())
        step = slope / max(bend, 1e-12)
        if slope * step < SETTLED:
            break
        while True:  # shorter until it helps
            tried = min(max(scale - step, LEAST_SCALE), MOST_SCALE)
            found = _log_loss(logs, true, np.array([tried]), bias)
            if found <= loss or abs(step) < 1e-9:
                break
            step /= 2
        if loss - found < SETTLED:
            break
        scale, loss = tried, found
    return np.array([scale]), bias


def fit_vector(logs: Array, true: Array) -> tuple[Array, Array]:
    """Return a scale and a bias for each class with which the log loss is least; a weak pull keeps them at temperature.

    Of two classes this is beta calibration, as both log p and log(1 - p) have a scale of their own.

    Shape:
        logs: rows classes
        true: rows
        returned: classes, and classes

    Reference:
        Kull, Silva Filho, Flach: Beta calibration, AISTATS 2017, section 3.
    """
    count, classes = logs.shape
    centre = np.concatenate([np.full(classes, fit_temperature(logs, true)[0][0]), np.zeros(classes)])
    at, pull, truth = centre.copy(), 1 / count, np.eye(classes)[true]

    def loss(where: Array) -> float:
        away = where - centre
        return float(_log_loss(logs, true, where[:classes], where[classes:]) + pull / 2 * (away @ away))

    now = loss(at)
    for _ in range(STEPS):
        told = scaled(logs, at[:classes], at[classes:])
        both = np.concatenate([(told - truth) * logs, told - truth], axis=1)
        slope = both.mean(axis=0) + pull * (at - centre)
        step = np.linalg.solve(_bend(logs, told) + pull * np.eye(2 * classes), slope)
        if slope @ step < SETTLED:
            break
        while (found := loss(at - step)) > now and np.abs(step).max() > 1e-9:
            step /= 2
        if now - found < SETTLED:
            break
        at, now = at - step, found
    return np.clip(at[:classes], LEAST_SCALE, MOST_SCALE), at[classes:]


def _bend(logs: Array, told: Array) -> Array:
    """Second derivatives of the mean log loss by scales and biases. Shape: → 2·classes 2·classes."""
    count, classes = logs.shape
    parts = np.concatenate([told * logs, told], axis=1)
    bend = -parts.T @ parts / count
    own = np.arange(classes)
    mixed = (told * logs).mean(axis=0)
    bend[own, own] += (told * logs**2).mean(axis=0)
    bend[own, own + classes] += mixed
    bend[own + classes, own] += mixed
    bend[own + classes, own + classes] += told.mean(axis=0)
    return np.asarray(bend)


def _log_loss(logs: Array, true: Array, scale: Array, bias: Array) -> float:
    odds = logs * scale + bias
    top = odds.max(axis=1)
    total = np.log(np.exp(odds - top[:, None]).sum(axis=1)) + top
    return float((total - odds[np.arange(len(true)), true]).mean())

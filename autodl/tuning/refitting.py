"""Chosen trials trained once more, on every row but the test's, in place of one network a fold."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from autodl import estimating
from autodl.records import TrialConfig, TrialRecord
from autodl.training.data import TrainingData
from autodl.training.loop import Training
from autodl.tuning.budget import Clock
from autodl.tuning.executors._estimate import flat_rows
from autodl.tuning.prepared import Prepared
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.tensors import Goals, rows_in_memory

SAVED = 0.5  # seconds kept back for what comes after
SLACK = 1.5  # a training may take so many times what its folds took, each


class Refitter:
    """Trains chosen trials again as long as there is time.

    Args:
        run: The run.
        prepared: Which tensors a configuration reads.
        goals: Targets, and weights of rows.
        clock: How much time is left.
        device: Where to train.
    """

    def __init__(self, run: RunFolder, prepared: Prepared, goals: Goals, clock: Clock, device: torch.device) -> None:
        self.run, self.prepared, self.goals, self.clock, self.device = run, prepared, goals, clock, device
        self._data: dict[str, TrainingData] = {}

    def weights(self, record: TrialRecord) -> Mapping[str, Tensor] | None:
        """Return what ``FittedMember.weights`` takes, of one network or estimator; None where time is lacking.

        A network trains on all rows as long as its folds took to their best epoch, along the same schedule.
        """
        deadline = self.clock.deadline
        expected = SLACK * record.seconds / len(self.goals.folds)
        if deadline is not None and time.time() + expected + SAVED > deadline:
            return None
        data = self._load(record.config)
        if record.config.estimator:
            return self._estimator(record.config, data)
        return self._network(record, data, deadline)

    def _estimator(self, config: TrialConfig, data: TrainingData) -> Mapping[str, Tensor]:
        goals, everyone = self.goals, np.arange(len(self.goals.targets))
        fitted, _ = estimating.fit_folds(
            config,
            flat_rows(data),
            goals.targets,
            goals.task,
            [(everyone, everyone[:1])],
            goals.weights,
            stop=lambda: False,
            groups=estimating.category_groups(data.specs),
        )
        return estimating.as_weights(fitted)

    def _network(self, record: TrialRecord, data: TrainingData, deadline: float | None) -> Mapping[str, Tensor] | None:
        if not record.best_epoch:
            return None  # it was stopped before its first epoch: what came of that is kept
        training = Training([record.config], data, self.device)
        for _ in range(record.best_epoch):
            if not training.train_epoch(lambda: deadline is not None and time.time() + SAVED > deadline):
                return None
            training.members.epochs = [epoch + 1 for epoch in training.members.epochs]
        return training.state()

    def _load(self, config: TrialConfig) -> TrainingData:
        keys = self.prepared.keys(config)
        key = json.dumps(keys, sort_keys=True)
        if key not in self._data:
            everyone = np.arange(len(self.goals.targets))
            paths = {name: self.run.data(file) for name, file in keys.items()}
            self._data[key] = rows_in_memory(paths, self.goals, self.device, [(everyone, everyone[:1])])
        return self._data[key]

"""What each trial of a pack carries beside its weights: settings, averages, its best epoch, its clock.

A trial has one member a fold. Members lie trial after trial, so that trial t of a pack of F folds has the rows
``t F`` to ``t F + F - 1`` of the pack's matrix; all of them are judged together, by one score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autodl.metrics import Metric
from autodl.records import TrialConfig
from autodl.space import Space
from autodl.training.pack import Pack

PATIENCE = 10**9  # a configuration that names no patience is trained to its end


@dataclass(frozen=True, eq=False)
class Member:
    """A trial as it left its pack.

    Attributes:
        config: Its recipe.
        score: Best validation score; None where no epoch could be judged.
        epoch: Epochs trained.
        best_epoch: The epoch that ``weights`` and ``predictions`` are of, from 1.
        weights: The networks at their best epoch, by name, each with the folds first; empty where there are none.
        predictions: Of the judged rows at the best epoch; None where there are none.
        checkpoint: What ``Training.resume`` goes on from.
        n_parameters: Weights of one network.
        seconds: Its share of the pack's time.
        ended: Whether it is done: trained to its end, stopped early or failed.
        error: Why it failed, in one line.
    """

    config: TrialConfig
    score: float | None
    epoch: int
    best_epoch: int
    weights: Mapping[str, Tensor]
    predictions: Tensor | None
    checkpoint: Mapping[str, Tensor]
    n_parameters: int
    seconds: float
    ended: bool
    error: str = ""


def fold_configs(configs: Sequence[TrialConfig], folds: int) -> list[TrialConfig]:
    """Each trial's recipe once a fold, the seed a different one: the members of a pack, in their order."""
    return [replace(config, seed=config.seed + (fold << 40)) for config in configs for fold in range(folds)]


class Members:
    """What trials carry: one entry a trial in lists, one row a member in tensors, so that one leaves by dropping them.

    Args:
        configs: One a trial.
        folds: Members of each trial.
        parameters: The pack's matrix.
        metric: What trials are judged by.
    """

    def __init__(self, configs: Sequence[TrialConfig], folds: int, parameters: Tensor, metric: Metric) -> None:
        self.configs = list(configs)
        self.folds = folds
        self.metric = metric
        self.state: dict[str, Tensor] = {}
        self.epochs = [0] * len(configs)
        self.until = [config.epochs for config in configs]
        self.scores = [math.nan] * len(configs)
        self.best_epochs = [0] * len(configs)
        self.seconds = np.zeros(len(configs))
        self.failed = [False] * len(configs)
        self.predictions: Tensor | None = None
        self.best = parameters.clone()
        self.updates = torch.zeros(len(parameters), 1, dtype=parameters.dtype, device=parameters.device)
        self.average = parameters.clone()
        self._columns()

    def __len__(self) -> int:
        return len(self.configs)

    def rows(self, trial: int) -> slice:
        """Where a trial's members lie."""
        return slice(trial * self.folds, (trial + 1) * self.folds)

    @property
    def judged(self) -> bool:
        """Whether an epoch has been judged."""
        return self.predictions is not None

    def column(self, values: Sequence[Any]) -> Tensor:
        """One value a trial, once a member. Shape: → members 1."""
        numbers = [[float(value)] for value in values for _ in range(self.folds)]
        return torch.tensor(numbers, dtype=self.average.dtype, device=self.average.device).view(-1, 1)

    def clip(self, gradients: Tensor) -> None:
        """Scale each member's gradient down to its largest norm, in place; 0 means no bound."""
        if self._clips:
            norm = torch.linalg.vector_norm(gradients, dim=1, keepdim=True)
            gradients.mul_(torch.where(self._clip > 0, self._clip / (norm + 1e-6), torch.inf).clamp_(max=1.0))

    def update_average(self, weights: Tensor) -> None:
        """Move the moving average of the weights; young averages forget faster (t + 1) / (t + 10)."""
        self.updates += 1
        decay = torch.minimum(self._decay, (1 + self.updates) / (10 + self.updates))
        self.average.lerp_(weights, 1 - decay)

    def evaluated(self, weights: Tensor) -> Tensor:
        """The weights to judge: the average where a member has one."""
        return torch.where(self._decay > 0, self.average, weights) if self.averages else weights

    def judge(self, weights: Tensor, predictions: Tensor, targets: np.ndarray) -> None:
        """Keep weights and predictions of each trial that got better. Shape of predictions: trials judged …."""
        if self.predictions is None:
            self.predictions = predictions.clone()
        numbers = predictions.double().cpu().numpy()
        better = []
        for index, each in enumerate(numbers):
            finite = bool(np.isfinite(each).all())
            score = float(self.metric.function(targets, each)) if finite else math.nan
            self.failed[index] = not finite
            better.append(math.isfinite(score) and not self._at_least(self.scores[index], score))
            if better[-1]:
                self.scores[index], self.best_epochs[index] = score, self.epochs[index]
        mask = torch.tensor(better, device=weights.device)
        if mask.any():
            rows = mask.repeat_interleave(self.folds)
            self.best[rows] = weights[rows]
            self.predictions[mask] = predictions[mask]

    def done(self) -> list[bool]:
        """Whether each trial is through: patience spent, last epoch reached, or not a number."""
        return [
            failed or epoch >= config.epochs or epoch - best >= config.training.get("patience", PATIENCE)
            for failed, config, best, epoch in zip(
                self.failed, self.configs, self.best_epochs, self.epochs, strict=True
            )
        ]

    def leave(self, pack: Pack, index: int) -> Member:
        """One trial as it stands."""
        found = math.isfinite(self.scores[index])
        config = self.configs[index]
        return Member(
            config=config,
            score=self.scores[index] if found else None,
            epoch=self.epochs[index],
            best_epoch=self.best_epochs[index],
            weights=pack.state(self.best, self.rows(index)) if found else {},
            predictions=self.predictions[index].clone() if found and self.predictions is not None else None,
            checkpoint=self._checkpoint(pack, index),
            n_parameters=pack.parameters.shape[1],
            seconds=float(self.seconds[index]),
            ended=self.done()[index],
            error="" if found or not self.failed[index] else _nan_reason(config, self.epochs[index]),
        )

    def keep(self, trials: Sequence[int]) -> Tensor:
        """Let all trials but these leave; return the rows of the pack that stay."""
        for name in ("configs", "epochs", "until", "scores", "best_epochs", "failed"):
            setattr(self, name, [getattr(self, name)[index] for index in trials])
        self.seconds = self.seconds[list(trials)]
        device = self.best.device
        stay = torch.tensor([t * self.folds + f for t in trials for f in range(self.folds)], device=device).long()
        for name in ("best", "updates", "average"):
            setattr(self, name, getattr(self, name)[stay])
        if self.predictions is not None:
            self.predictions = self.predictions[torch.tensor(list(trials), device=device).long()]
        self.state = {name: tensor[stay] for name, tensor in self.state.items()}
        self._columns()
        return stay

    def join(self, other: Members) -> None:
        """Take in trials that nobody has judged yet, behind those that are here."""
        for name in ("configs", "epochs", "until", "scores", "best_epochs", "failed"):
            setattr(self, name, [*getattr(self, name), *getattr(other, name)])
        self.seconds = np.concatenate([self.seconds, other.seconds])
        for name in ("best", "updates", "average"):
            setattr(self, name, torch.cat([getattr(self, name), getattr(other, name)]))
        self.state = {name: torch.cat([tensor, other.state[name]]) for name, tensor in self.state.items()}
        if self.predictions is not None:
            nothing = self.predictions.new_zeros(len(other), *self.predictions.shape[1:])
            self.predictions = torch.cat([self.predictions, nothing])
        self._columns()

    def load(self, checkpoints: Sequence[Mapping[str, Tensor]], device: torch.device) -> None:
        """Take over what ``Member.checkpoint`` holds."""

        def joined(name: str) -> Tensor:
            return torch.cat([each[name] for each in checkpoints]).to(device)

        self.best, self.average, self.updates = joined("best"), joined("average"), joined("updates")
        self.predictions = torch.stack([each["predictions"] for each in checkpoints]).to(device)
        self.state = {name: joined(f"state.{name}") for name in self.state}
        self.epochs = [int(each["epoch"]) for each in checkpoints]
        self.scores = [float(each["score"]) for each in checkpoints]
        self.best_epochs = [int(each["best_epoch"]) for each in checkpoints]
        self.seconds = np.array([float(each["seconds"]) for each in checkpoints])

    def _checkpoint(self, pack: Pack, index: int) -> dict[str, Tensor]:
        if self.predictions is None or self.failed[index] or not self.epochs[index]:
            return {}
        tensors = {"best": self.best, "average": self.average, "updates": self.updates, "parameters": pack.parameters}
        tensors |= {f"state.{name}": tensor for name, tensor in self.state.items()}
        numbers = {"score": self.scores[index], "seconds": self.seconds[index]}
        counts = {"epoch": self.epochs[index], "best_epoch": self.best_epochs[index]}
        return {
            **{name: tensor[self.rows(index)].clone() for name, tensor in tensors.items()},
            **{name: torch.tensor(float(value), dtype=torch.float64) for name, value in numbers.items()},
            **{name: torch.tensor(value) for name, value in counts.items()},
            "predictions": self.predictions[index].clone(),
        }

    def _columns(self) -> None:
        self._clip = self.column([config.training.get("clip", 0.0) for config in self.configs])
        self._decay = self.column([config.training.get("ema", 0.0) for config in self.configs])
        self._clips, self.averages = bool((self._clip > 0).any()), bool((self._decay > 0).any())

    def _at_least(self, known: float, score: float) -> bool:
        if not math.isfinite(known):
            return False
        return known >= score if self.metric.greater_is_better else known <= score


def as_settings(space: Space, settings: Sequence[Mapping[str, Any]], members: Members) -> dict[str, Tensor]:
    """Settings of all members as columns; what a recipe does not name is at its default. Shape: → {name: members 1}."""
    usual = space.defaults()
    return {name: members.column([each.get(name, usual[name]) for each in settings]) for name in space}


def _nan_reason(config: TrialConfig, epoch: int) -> str:
    rate = config.optimizer.settings.get("learning_rate")
    how = f"optimizer {config.optimizer.name}, learning rate {rate:.3g}"
    return f"weights became infinite or not a number in epoch {epoch} ({how})"

"""What each member of a pack carries beside its weights: settings, averages, its best epoch, its clock."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """A member as it left its pack.

    Attributes:
        config: Its recipe.
        score: Best validation score; None where no epoch could be judged.
        epoch: Epochs trained.
        best_epoch: The epoch that ``weights`` and ``predictions`` are of, from 1.
        weights: The network at its best epoch, by name; empty where there is none.
        predictions: Validation rows at the best epoch: probabilities or numbers; None where there are none.
        checkpoint: What ``Training.resume`` goes on from.
        n_parameters: Weights of the network.
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


class Members:
    """The members' own rows: every tensor here has members first, so that one leaves by dropping a row."""

    def __init__(self, configs: Sequence[TrialConfig], parameters: Tensor, metric: Metric) -> None:
        self.configs = list(configs)
        self.metric = metric
        self.state: dict[str, Tensor] = {}
        self.scores = [math.nan] * len(configs)
        self.best_epochs = [0] * len(configs)
        self.seconds = np.zeros(len(configs))
        self.failed = [False] * len(configs)
        self.predictions: Tensor | None = None
        self.best = parameters.clone()
        self.updates = torch.zeros(len(configs), 1, dtype=parameters.dtype, device=parameters.device)
        self.average = parameters.clone()
        self._columns()

    @property
    def judged(self) -> bool:
        """Whether an epoch has been judged."""
        return self.predictions is not None

    def column(self, values: Sequence[Any]) -> Tensor:
        """One value a member. Shape: → members 1."""
        return torch.tensor([[float(value)] for value in values], dtype=self.average.dtype, device=self.average.device)

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

    def judge(self, weights: Tensor, predictions: Tensor, targets: np.ndarray, epoch: int) -> None:
        """Keep weights and predictions of each member that got better."""
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
                self.scores[index], self.best_epochs[index] = score, epoch
        mask = torch.tensor(better, device=weights.device)
        if mask.any():
            self.best[mask] = weights[mask]
            self.predictions[mask] = predictions[mask]

    def done(self, epoch: int) -> list[bool]:
        """Whether each member is through: patience spent, last epoch reached, or not a number."""
        return [
            failed or epoch >= config.epochs or epoch - best >= config.training.get("patience", PATIENCE)
            for failed, config, best in zip(self.failed, self.configs, self.best_epochs, strict=True)
        ]

    def leave(self, pack: Pack, index: int, epoch: int) -> Member:
        """One member as it stands."""
        found = math.isfinite(self.scores[index])
        config = self.configs[index]
        return Member(
            config=config,
            score=self.scores[index] if found else None,
            epoch=epoch,
            best_epoch=self.best_epochs[index],
            weights=pack.state(self.best, index) if found else {},
            predictions=self.predictions[index].clone() if found and self.predictions is not None else None,
            checkpoint=self._checkpoint(pack, index),
            n_parameters=pack.parameters.shape[1],
            seconds=float(self.seconds[index]),
            ended=self.done(epoch)[index],
            error="" if found or not self.failed[index] else _nan_reason(config, epoch),
        )

    def keep(self, members: Tensor) -> None:
        """Let all members but these leave."""
        chosen = members.tolist()
        for name in ("configs", "scores", "best_epochs", "failed"):
            setattr(self, name, [getattr(self, name)[index] for index in chosen])
        self.seconds = self.seconds[chosen]
        for name in ("best", "updates", "average", "predictions"):
            value = getattr(self, name)
            setattr(self, name, None if value is None else value[members])
        self.state = {name: tensor[members] for name, tensor in self.state.items()}
        self._columns()

    def load(self, checkpoints: Sequence[Mapping[str, Tensor]], device: torch.device) -> None:
        """Take over what ``Member.checkpoint`` holds."""

        def stacked(name: str) -> Tensor:
            return torch.stack([each[name] for each in checkpoints]).to(device)

        self.best, self.average, self.updates = stacked("best"), stacked("average"), stacked("updates")
        self.predictions = stacked("predictions")
        self.state = {name: stacked(f"state.{name}") for name in self.state}
        self.scores = [float(each["score"]) for each in checkpoints]
        self.best_epochs = [int(each["best_epoch"]) for each in checkpoints]
        self.seconds = np.array([float(each["seconds"]) for each in checkpoints])

    def _checkpoint(self, pack: Pack, index: int) -> dict[str, Tensor]:
        if self.predictions is None or self.failed[index]:
            return {}
        rows = {"best": self.best, "average": self.average, "updates": self.updates, "predictions": self.predictions}
        rows |= {"parameters": pack.parameters, **{f"state.{name}": tensor for name, tensor in self.state.items()}}
        numbers = {"score": self.scores[index], "seconds": self.seconds[index]}
        return {
            **{name: tensor[index].clone() for name, tensor in rows.items()},
            **{name: torch.tensor(float(value), dtype=torch.float64) for name, value in numbers.items()},
            "best_epoch": torch.tensor(self.best_epochs[index]),
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

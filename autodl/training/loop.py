"""The loop one can read aloud: train an epoch, judge it, keep the best, let go of those who are done.

train → for each epoch: train_epoch → for each batch: train_step
                        judge        (best epoch kept, early stop, NaN)
                        let_go
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autodl import registry
from autodl.contracts import Inputs, Loss
from autodl.metrics import Metric, get_metric
from autodl.records import TrialConfig
from autodl.training.augmentation import Augmentation
from autodl.training.data import TrainingData, predictions
from autodl.training.members import Member, Members, as_settings
from autodl.training.pack import DropoutNoise, Pack
from autodl.training.schedules import SCHEDULES, schedule_table

Listener = Callable[["Training"], None]
PURPOSES = ("order", "dropout", "augmentation", "mixup")  # each draws from a source of its own, or packs would matter


@dataclass
class Limits:
    """When a training must end.

    Attributes:
        until: The epoch to train to, counted from the trial's start.
        stop: Says, before each step, whether to stop inside the epoch.
    """

    until: int
    stop: Callable[[], bool] = lambda: False


class Training:
    """One pack on its way through the epochs.

    Args:
        configs: One a member, all of one structure and one length.
        data: The rows.
        device: Where to train.
        bf16: Whether products are computed in bfloat16 (weights stay float32).
    """

    def __init__(
        self, configs: Sequence[TrialConfig], data: TrainingData, device: torch.device, *, bf16: bool = False
    ) -> None:
        self.data = data
        self.device = device
        self.bf16 = bf16
        self.epoch = 0
        self.whole = True
        self.epochs = configs[0].epochs
        self.pack = Pack(configs, data.specs, data.task.n_outputs, device, data.dtype)
        self.metric: Metric = get_metric(data.task.metric, data.task)
        self.members = Members(configs, self.pack.parameters, self.metric)
        self.optimizer = registry.optimizers.load(configs[0].optimizer.name)(self.pack.layout)
        self.members.state = self.optimizer.initial_state(self.pack.parameters)
        self.loss: Loss = registry.losses.load(configs[0].loss.name)(data.class_counts.to(device))
        size = configs[0].training["batch_size"]
        rows = len(data.train)
        self.batch_size = rows if size == "full" else min(int(size), rows)
        self.steps = max(1, rows // self.batch_size)
        self._prepare()

    def run(self, limits: Limits, listener: Listener = lambda training: None) -> list[Member]:
        """Train to ``limits.until`` and return every member as it stands at its end."""
        ended: list[Member] = []
        while len(self.pack) and self.epoch < limits.until:
            started = time.perf_counter()
            self.whole = self.train_epoch(limits.stop)
            self.epoch += self.whole
            if self.whole or not self.members.judged:  # a part of a first epoch is judged too: better than no answer
                self.judge()
            self.members.seconds += (time.perf_counter() - started) / len(self.pack)
            listener(self)
            ended += self.let_go()
            if not self.whole:
                break
        everyone = range(len(self.pack))
        return ended + [self.members.leave(self.pack, index, self.epoch) for index in everyone]

    def train_epoch(self, stop: Callable[[], bool]) -> bool:
        """Train on every row once, in each member's own order; False if it was stopped on the way."""
        self._seed()
        batches = torch.split(self._orders(), self.batch_size, dim=1)
        for index, schedule in zip(batches, self._schedule(), strict=False):  # the rest that fills no batch is dropped
            if stop():
                return False
            self.train_step(index, schedule)
        return True

    def train_step(self, index: Tensor, schedule: Tensor) -> None:
        """One update of all members, each on its own rows. Shape: members batch, members 1."""
        targets = self.data.train.targets[index]
        inputs = self.augmentation(self.data.batch(self.data.train, index), self._uniform)
        inputs, partner, share = self.augmentation.mixup(inputs, self.chance["mixup"])
        outputs = self.compute_outputs(inputs)
        loss = self.loss(outputs, targets, self.loss_settings)
        if partner is not None and share is not None:
            loss = share * loss + (1 - share) * self.loss(outputs, targets.gather(1, partner), self.loss_settings)
        self.update(self.pack.gradients(loss.mean(dim=1).sum()), schedule)

    def compute_outputs(self, inputs: Inputs) -> Tensor:
        """The forward of all members. Shape: {input: members batch *shape} → members batch outputs."""
        noise = self.noise.draw(self.chance["dropout"], self.batch_size)
        if not self.bf16:
            return self.pack.forward(inputs, noise)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.pack.forward(inputs, noise).to(self.data.dtype)

    @torch.no_grad()
    def update(self, gradients: Tensor, schedule: Tensor) -> None:
        """Move the weights, and their averages. Shape: members parameters, members 1."""
        self.members.clip(gradients)
        state = self.members.state
        self.optimizer.update(self.pack.parameters, gradients, state, self.settings, schedule)
        if self.members.averages:
            self.members.update_average(self.optimizer.evaluation(self.pack.parameters, state, self.settings))

    @torch.no_grad()
    def judge(self) -> None:
        """Score every member on the validation rows and keep what is best."""
        weights = self.members.evaluated(
            self.optimizer.evaluation(self.pack.parameters, self.members.state, self.settings)
        )
        self.members.judge(weights, self.predict(weights), self.data.validation_targets, self.epoch)

    def predict(self, weights: Tensor) -> Tensor:
        """Predictions for the validation rows. Shape: members parameters → members rows classes, or members rows."""
        chunks = self.data.chunks(self.data.validation, len(self.pack))
        outputs = torch.cat([self.pack.predict(weights, inputs) for inputs in chunks], dim=1)
        return predictions(outputs, self.data.task)

    def let_go(self) -> list[Member]:
        """Members that stopped early or became NaN leave the pack."""
        done = self.members.done(self.epoch)
        if not any(done):
            return []
        left = [self.members.leave(self.pack, index, self.epoch) for index, gone in enumerate(done) if gone]
        stay = torch.tensor(
            [index for index, gone in enumerate(done) if not gone], dtype=torch.int64, device=self.device
        )
        self.pack.keep(stay)
        self.members.keep(stay)
        if len(stay):
            self._prepare()
        return left

    def resume(self, checkpoints: Sequence[dict[str, Tensor]], epoch: int) -> None:
        """Go on from where members were left; all at the same epoch."""
        self.epoch = epoch
        self.pack.load(torch.stack([each["parameters"] for each in checkpoints]).to(self.device))
        self.members.load(checkpoints, self.device)

    def _prepare(self) -> None:
        """Everything that depends on who is in the pack."""
        configs = self.members.configs
        self.chance = {purpose: [torch.Generator(self.device) for _ in configs] for purpose in PURPOSES}
        self.noise = DropoutNoise(self.pack)
        self.augmentation = Augmentation(configs, self.device)
        self.settings = as_settings(self.optimizer.space, [c.optimizer.settings for c in configs], self.members)
        self.loss_settings = as_settings(self.loss.space, [c.loss.settings for c in configs], self.members)
        kinds = [SCHEDULES.index(config.training.get("schedule", "constant")) for config in configs]
        self.kinds = torch.tensor(kinds, device=self.device).unsqueeze(1)
        self.warmup = self.members.column([config.training.get("warmup", 0.0) for config in configs])

    def _schedule(self) -> Tensor:
        """The factor on learning rates at each step of this epoch. Shape: → steps members 1."""
        steps = torch.arange(self.steps, device=self.device, dtype=self.warmup.dtype)
        progress = (self.epoch * self.steps + steps + 0.5) / (self.epochs * self.steps)
        return schedule_table(self.kinds, progress, self.warmup)

    def _seed(self) -> None:
        """Each epoch of each member draws from its own, repeatable sources: no generator's state is ever saved."""
        for place, generators in enumerate(self.chance.values()):
            for generator, config in zip(generators, self.members.configs, strict=True):
                source = (config.seed * 1_000_003 + self.epoch + 1) * len(PURPOSES) + place
                generator.manual_seed(source % (2**63 - 1))

    def _orders(self) -> Tensor:
        rows = len(self.data.train)
        if self.batch_size == rows:
            return torch.arange(rows, device=self.device).expand(len(self.pack), -1)
        orders = [torch.randperm(rows, generator=g, device=self.device) for g in self.chance["order"]]
        return torch.stack(orders)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.stack(
            [
                torch.rand(*shape, generator=g, device=self.device, dtype=self.data.dtype)
                for g in self.chance["augmentation"]
            ]
        )

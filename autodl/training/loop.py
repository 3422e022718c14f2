"""The loop one can read aloud: train an epoch, judge it, keep the best, let go of those who are done.

train → for each epoch: train_epoch → for each batch: train_step
                        judge        (best epoch kept, early stop, NaN)
                        let_go

A trial is one member a fold of the data: they train side by side like any others, and are judged together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autodl import registry
from autodl.contracts import Inputs, Loss, ParameterLayout
from autodl.metrics import Metric, get_metric
from autodl.records import TrialConfig
from autodl.training.augmentation import Augmentation
from autodl.training.data import TrainingData, predictions
from autodl.training.joint import InputDropout, JointLoss, there
from autodl.training.members import Member, Members, as_settings, fold_configs
from autodl.training.pack import DropoutNoise, Pack
from autodl.training.schedules import SCHEDULES, schedule_factor

Listener = Callable[["Training"], None]
WIDE = 128
PURPOSES = ("order", "dropout", "augmentation", "mixup")  # each draws from a source of its own, or packs would matter


@dataclass
class Limits:
    """When a training must end.

    Attributes:
        until: The epoch to train to, counted from the trial's start.
        stop: Says, before each step, whether to stop inside the epoch.
        more: Given how many trials the pack has room for while others still train in it, returns those that join it
            now, each with its own ``until``.
        room: Trials that the pack may hold; None means as many as it began with.
        left: Told of each trial as it leaves.
    """

    until: int
    stop: Callable[[], bool] = lambda: False
    more: Callable[[int], Sequence[tuple[TrialConfig, int]]] = lambda room: ()
    room: int | None = None
    left: Callable[[Member], None] = lambda member: None


class Training:
    """One pack on its way through the epochs.

    Args:
        configs: One a trial, all of one structure.
        data: The rows, and the folds that make a trial's members.
        device: Where to train.
        bf16: Whether products are computed in bfloat16 (weights stay float32); networks that have no convolution and no
            hidden layer of ``WIDE`` units are faster without.
    """

    def __init__(
        self, configs: Sequence[TrialConfig], data: TrainingData, device: torch.device, *, bf16: bool = False
    ) -> None:
        self.data = data
        self.device = device
        self.whole = True
        self.folds = len(data.folds)
        self.pack = Pack(fold_configs(configs, self.folds), data.specs, data.task.n_outputs, device, data.dtype)
        self.copies = self.pack.template.copies
        self.bf16 = bf16 and gains_from_bf16(self.pack.layout)
        self.metric: Metric = get_metric(data.task.metric, data.task)
        self.members = Members(configs, self.folds, self.pack.parameters, self.metric)
        self.optimizer = registry.optimizers.load(configs[0].optimizer.name)(self.pack.layout)
        self.members.state = self.optimizer.initial_state(self.pack.parameters)
        self.loss: Loss = registry.losses.load(configs[0].loss.name)(data.task, data.class_counts.to(device))
        size = configs[0].training["batch_size"]
        rows = data.train_rows
        self.batch_size = rows if size == "full" else min(int(size), rows)
        self.steps = max(1, rows // self.batch_size)
        self._prepare()

    def run(self, limits: Limits, listener: Listener = lambda training: None) -> list[Member]:
        """Train to ``limits.until`` and return every trial as it stands at its end, those that joined included."""
        room = limits.room or len(self.members)
        self.members.until = [limits.until] * len(self.members)
        ended: list[Member] = []

        def tell(members: Sequence[Member]) -> None:
            for member in members:
                limits.left(member)
            ended.extend(members)

        tell(self.let_go())
        while len(self.members):
            started = time.perf_counter()
            self.whole = self.train_epoch(limits.stop)
            self.members.epochs = [epoch + self.whole for epoch in self.members.epochs]
            if self.whole or not self.members.judged:  # a part of a first epoch is judged too: better than no answer
                self.judge()
            self.members.seconds += (time.perf_counter() - started) / len(self.members)
            listener(self)
            if not self.whole:
                break
            tell(self.let_go())
            if 0 < len(self.members) < room:  # a pack that is empty makes room for another structure
                self.join(limits.more(room - len(self.members)))
        tell([self.members.leave(self.pack, index) for index in range(len(self.members))])
        return ended

    def join(self, newcomers: Sequence[tuple[TrialConfig, int]]) -> None:
        """Let new trials of the same structure into the pack, each to be trained to its own epoch."""
        if not newcomers:
            return
        configs = [config for config, _ in newcomers]
        data = self.data
        fresh = Pack(fold_configs(configs, self.folds), data.specs, data.task.n_outputs, self.device, data.dtype)
        members = Members(configs, self.folds, fresh.parameters, self.metric)
        members.until = [until for _, until in newcomers]
        members.state = self.optimizer.initial_state(fresh.parameters)
        self.members.join(members)
        self.pack.join(fresh)
        self._prepare()

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
        inputs = self.augmentation(self.data.batch(index), self._uniform)
        inputs = self.dropped(inputs, self._uniform)
        inputs, partner, share = self.augmentation.mixup(inputs, self.chance["mixup"])
        outputs = self.compute_outputs(inputs)
        had = there(inputs) if self.joint else None
        loss = self.compute_loss(outputs, index, had)
        if partner is not None and share is not None:
            loss = share * loss + (1 - share) * self.compute_loss(outputs, index.gather(1, partner), had)
        gradients = self.pack.gradients(loss.mean(dim=1).sum())
        if self.joint:
            self.joint.slow_down(gradients)
        self.update(gradients, schedule)

    def compute_outputs(self, inputs: Inputs) -> Tensor:
        """The forward of all members. Shape: {input: members batch *shape} → members batch [copies] outputs."""
        noise = self.noise.draw(self.chance["dropout"], self.batch_size)
        if not self.bf16:
            return self.pack.forward(inputs, noise)
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.pack.forward(inputs, noise).to(self.data.dtype)

    def compute_loss(self, outputs: Tensor, index: Tensor, had: Tensor | None = None) -> Tensor:
        """Each row's loss, the mean over the heads where there are several; ``had`` says which inputs a row has, where
        these have heads of their own. Shape: …, members batch, inputs members batch → members batch.
        """
        goals = self.data.goals(index, self.scales)
        if self.joint and had is not None:
            rows = self.joint(outputs, goals, self.loss_settings, had)
        elif self.copies > 1:
            goals = goals.repeat_interleave(self.copies, dim=1)
            each = self.loss(outputs.flatten(1, 2), goals, self.loss_settings)
            rows = each.view(len(each), -1, self.copies).mean(-1)
        else:
            rows = self.loss(outputs, goals, self.loss_settings)
        return rows if self.data.weights is None else rows * self.data.weights[index]

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
        """Score every trial on the rows that its members were not fitted on, and keep what is best."""
        weights = self.members.evaluated(
            self.optimizer.evaluation(self.pack.parameters, self.members.state, self.settings)
        )
        self.members.judge(weights, self.predict(weights), self.data.judged_truth)

    def predict(self, weights: Tensor) -> Tensor:
        """Predictions for the judged rows. Shape: members parameters → trials judged …."""
        data, trials = self.data, len(self.members)
        index = data.validation_index
        members, parts = len(self.pack), []
        for rows in data.chunks(index.shape[1], members):
            if self.folds == 1:
                parts.append(self.pack.predict(weights, data.batch(index[0, rows])))
            else:
                own = data.batch(index[:, rows].repeat(trials, 1))
                parts.append(self.pack.predict(weights, own, shared=False))
        joined = torch.cat(parts, dim=1)
        outputs = joined.view(trials, self.folds, *joined.shape[1:])
        scales = self.scales[:: self.folds]
        found = [predictions(own, data.task, scale, self.copies) for own, scale in zip(outputs, scales, strict=True)]
        return torch.stack([data.collect(own) for own in found])

    @torch.no_grad()
    def state(self) -> dict[str, Tensor]:
        """The first trial's networks as they are now, by name, each with the folds first."""
        weights = self.members.evaluated(
            self.optimizer.evaluation(self.pack.parameters, self.members.state, self.settings)
        )
        return {name: tensor.clone() for name, tensor in self.pack.state(weights, self.members.rows(0)).items()}

    def let_go(self) -> list[Member]:
        """Trials that got to their epoch, stopped early or became NaN leave the pack."""
        members = self.members
        done = [
            ended or epoch >= until
            for ended, epoch, until in zip(members.done(), members.epochs, members.until, strict=True)
        ]
        if not any(done):
            return []
        left = [self.members.leave(self.pack, index) for index, gone in enumerate(done) if gone]
        self.pack.keep(self.members.keep([index for index, gone in enumerate(done) if not gone]))
        if len(self.members):
            self._prepare()
        return left

    def resume(self, checkpoints: Sequence[Mapping[str, Tensor]]) -> None:
        """Go on from where trials were left, be it at different epochs."""
        self.pack.load(torch.cat([each["parameters"] for each in checkpoints]).to(self.device))
        self.members.load(checkpoints, self.device)

    def _prepare(self) -> None:
        """Everything that depends on who is in the pack."""
        configs = self.members.configs
        self.seeds = [config.seed for config in fold_configs(configs, self.folds)]
        self.scales = [c.training.get("target", "none") for c in configs for _ in range(self.folds)]
        self.chance = {purpose: [torch.Generator(self.device) for _ in self.seeds] for purpose in PURPOSES}
        self.noise = DropoutNoise(self.pack)
        members = fold_configs(configs, self.folds)
        self.augmentation = Augmentation(members, self.device)
        self.dropped = InputDropout(members, self.device)
        self.joint: JointLoss | None = None
        if self.pack.template.auxiliary:
            self.joint = JointLoss(members, self.loss, self.data.task, self.pack.layout, self.device)
        self.settings = as_settings(self.optimizer.space, [c.optimizer.settings for c in configs], self.members)
        self.loss_settings = as_settings(self.loss.space, [c.loss.settings for c in configs], self.members)
        kinds = [SCHEDULES.index(config.training.get("schedule", "constant")) for config in configs]
        self.kinds = torch.tensor(kinds, device=self.device).repeat_interleave(self.folds).unsqueeze(1)
        self.warmup = self.members.column([config.training.get("warmup", 0.0) for config in configs])

    def _schedule(self) -> Tensor:
        """The factor on learning rates at each step of this epoch. Shape: → steps members 1."""
        steps = torch.arange(self.steps, device=self.device, dtype=self.warmup.dtype).view(-1, 1, 1)
        behind = self.members.column(self.members.epochs)
        lengths = self.members.column([config.epochs for config in self.members.configs])
        return schedule_factor(self.kinds, (behind + (steps + 0.5) / self.steps) / lengths, self.warmup)

    def _seed(self) -> None:
        """Each epoch of each member draws from its own, repeatable sources: no generator's state is ever saved."""
        epochs = [epoch for epoch in self.members.epochs for _ in range(self.folds)]
        for place, generators in enumerate(self.chance.values()):
            for generator, seed, epoch in zip(generators, self.seeds, epochs, strict=True):
                source = (seed * 1_000_003 + epoch + 1) * len(PURPOSES) + place
                generator.manual_seed(source % (2**63 - 1))

    def _orders(self) -> Tensor:
        """Positions of rows in each member's own order, as many for each. Shape: → members rows."""
        count = self.data.train_rows
        trains = [fold.train for fold in self.data.folds] * len(self.members)
        if self.batch_size == count and self.folds == 1:
            return trains[0].expand(len(self.pack), -1)
        orders = [
            train[torch.randperm(len(train), generator=generator, device=self.device)[:count]]
            for train, generator in zip(trains, self.chance["order"], strict=True)
        ]
        return torch.stack(orders)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.stack(
            [
                torch.rand(*shape, generator=g, device=self.device, dtype=self.data.dtype)
                for g in self.chance["augmentation"]
            ]
        )


def gains_from_bf16(layout: ParameterLayout) -> bool:
    """Whether a network has a convolution, or a hidden matrix of ``WIDE`` by ``WIDE`` at least."""
    shapes = [shape for shape, hidden in zip(layout.shapes, layout.hidden, strict=True) if hidden]
    return any(len(shape) == 4 or min(shape[-2:]) >= WIDE for shape in shapes)

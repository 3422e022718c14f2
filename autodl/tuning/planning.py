"""What a search decides before its first trial: folds, lengths, pack sizes, what is kept for the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from autodl import registry
from autodl.data.dataset import Dataset
from autodl.data.folds import auto_folds, cross_validated
from autodl.records import InputSpec, TrialConfig
from autodl.training.device import bf16_pays, prepare_device, resolve_device
from autodl.training.settings import usual_batch_size
from autodl.training.speed import fastest
from autodl.tuning._assembly import INPUTS
from autodl.tuning.budget import cores, epoch_seconds, full_epochs, lengths, pack_size
from autodl.tuning.driver import Plan
from autodl.tuning.executors.inline import Inline
from autodl.tuning.executors.job import Executor
from autodl.tuning.finish import members_at_most
from autodl.tuning.options import SearchOptions
from autodl.tuning.portfolio import portfolio
from autodl.tuning.prepared import Prepared
from autodl.tuning.rungs import N_RUNGS
from autodl.tuning.search_space import SearchSpace
from autodl.tuning.tensors import TARGETS, read_goals, rows_in_memory

PACK_ROWS = {"cpu": 16, "mps": 32, "cuda": 128}  # members, folds counted, of a pack that nobody measured
PATIENT_TRAININGS = 10  # where all workers together can do so many whole ones …
FEW_RUNGS = 2  # … nobody is judged by a ninth of a training: what learns slowly often ends best
AGAIN = 0.1  # share of the time for training chosen trials once more
COMPARED, COMPARED_SECONDS = 0.02, 8.0  # share of the time, and seconds at most, for telling what each input brings
PACKED_SHARE = 0.4  # what a member of a pack of folds costs of one that trains alone


def folded(dataset: Dataset, options: SearchOptions, known: Mapping[str, Any]) -> Dataset:
    """The dataset with its folds; a resumed search keeps those it began with."""
    if "folds" in known:
        folds, repeats = known["folds"]
    elif options.folds is not None:
        folds, repeats = options.folds, options.repeats
    else:
        folds, repeats = auto_folds(dataset, options.time)
    return cross_validated(dataset, folds, repeats) if folds > 1 else dataset


def folds_of(dataset: Dataset) -> tuple[int, int]:
    """Folds and repeats, to write down."""
    cross = dataset.split.cross
    if not cross:
        return 1, 1
    judged = sum(len(held) for _, held in cross)
    repeats = max(1, round(judged / len(dataset.split.rows)))
    return len(cross) // repeats, repeats


def measured(
    prepared: Prepared, space: SearchSpace, options: SearchOptions, known: Mapping[str, Any]
) -> dict[str, Any] | None:
    """How fast packs of the first network to be tried train here: timed at the start, kept in the run's folder.

    None where nothing may depend on time, or where no network is searched.
    """
    if "speed" in known or options.trials is not None or not space.has_networks:
        return known.get("speed")
    config = first_of(space, options)
    paths = {name: prepared.run.data(key) for name, key in prepared.keys(config).items()}
    device = resolve_device(options.device)
    data = rows_in_memory(paths, read_goals(prepared.run.data(TARGETS)), device)
    before = torch.get_num_threads()
    prepare_device(device, 1)
    try:
        speed = fastest(config, data, device)
    finally:
        torch.set_num_threads(before)
    steps = max(1, data.train_rows // usual_batch_size(data.train_rows))
    return {**speed.to_json(), "epoch_seconds": steps * len(data.folds) * speed.seconds_per_member_step}


def plan(
    options: SearchOptions,
    executor: Executor,
    specs: Mapping[str, InputSpec],
    dataset: Dataset,
    known: Mapping[str, Any],
    space: SearchSpace,
) -> Plan:
    """What does not change during the search; a resumed one keeps its length of training, whatever its time."""
    device = resolve_device(options.device)
    folds = len(dataset.split.folds)
    rows = min(len(train) for train, _ in dataset.split.folds)
    batch = usual_batch_size(rows)
    speed = known.get("speed")
    one_epoch = epoch_seconds(specs, rows, batch) * (1 + PACKED_SHARE * (folds - 1))
    one_epoch = speed["epoch_seconds"] if speed else one_epoch
    epochs = known.get("epochs") or full_epochs(specs, rows, batch, options.time, one_epoch)
    largest = max(1, (speed["pack_size"] if speed else PACK_ROWS[device.type]) // folds)
    if options.trials is not None:  # few trials should be different ones, not one pack's
        largest = max(1, min(largest, options.trials // 8))
    images = any(len(spec.shape) > 1 for spec in specs.values())
    patient = options.time is not None and options.time * executor.slots >= PATIENT_TRAININGS * one_epoch * epochs
    return Plan(
        epochs=epochs,
        pack_size=pack_size(one_epoch, epochs, options.time, largest),
        trials=options.trials,
        lockstep=options.trials is not None,
        seed=options.seed,
        device=str(device),
        threads=threads(executor, specs),
        bf16=bool(speed["bf16"]) if speed else images and bf16_pays(device.type),
        alone=lambda config: device.type == "cpu" and convolves(config),
        latency=options.minimize == "latency",
        rungs=known.get("rungs") or (FEW_RUNGS if patient else N_RUNGS),
        length=lengths(epochs, first_of(space, options) if INPUTS in space.knobs else None, specs, rows, batch),
    )


def first_of(space: SearchSpace, options: SearchOptions) -> TrialConfig:
    """The first network that is tried."""
    return space.networks.config(portfolio(space.networks)[0], 1, options.seed)


def threads(executor: Executor | None, specs: Mapping[str, InputSpec]) -> int:
    """Threads of a worker; one alone does better on a table with one thread, as its products are small."""
    if isinstance(executor, Inline) and all(len(spec.shape) == 1 for spec in specs.values()):
        return 1
    return max(1, cores() // (executor.slots if executor else 1))


def convolves(config: TrialConfig) -> bool:
    """Whether a network has convolutions."""
    return any(registry.encoders.load(part.name).convolutional for part in config.encoders.values())


def reserve(prepared: Prepared, specs: Mapping[str, InputSpec], options: SearchOptions) -> float:
    """What the end needs: judging what trains, training again, predicting the test rows with each member, saving."""
    seconds = options.time
    if seconds is None:
        return 0.0
    again = AGAIN * seconds if options.refit or options.single else 0.0
    split = prepared.dataset.split
    reading = prepared.seconds * len(split.test) / len(split.rows)
    judged = sum(len(held) for _, held in split.folds)
    rows = judged + members_at_most(specs) * len(split.folds) * len(split.test)
    told = min(COMPARED_SECONDS, COMPARED * seconds) / 2
    if len(specs) > 1:
        told = 4 * told + 2 * reading
        rows += 2 * len(specs) * len(split.folds) * len(split.test)
    return min(0.25 * seconds, 2.0 + 0.01 * seconds + again + reading + told + epoch_seconds(specs, rows, 1024))

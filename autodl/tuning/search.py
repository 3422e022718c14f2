"""A search from the user's words to a saved predictor: read, prepare, drive, finish."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from autodl import own, registry
from autodl.data.dataset import DataOptions, Dataset, load_dataset
from autodl.errors import AutoDLError, RunError
from autodl.metrics import Metric, default_metric, get_metric
from autodl.records import InputSpec, TrialConfig
from autodl.training.device import bf16_pays, resolve_device
from autodl.training.settings import usual_batch_size
from autodl.tuning.budget import Clock, cores, epoch_seconds, full_epochs, pack_size
from autodl.tuning.driver import Driver, Plan
from autodl.tuning.events import Finished, Listener, Started, silent
from autodl.tuning.executors.inline import Inline
from autodl.tuning.executors.job import Executor
from autodl.tuning.executors.local import Local
from autodl.tuning.finish import finish, members_at_most
from autodl.tuning.journal import Journal, read_journal
from autodl.tuning.options import SearchOptions
from autodl.tuning.prepared import Prepared, left_out
from autodl.tuning.proposals import Proposer
from autodl.tuning.run_folder import RunFolder, check_empty
from autodl.tuning.search_space import SearchSpace
from autodl.tuning.toml_space import from_toml
from autodl.tuning.trials import Trials

PACK_SIZES = {"cpu": 8, "mps": 16, "cuda": 32}


@dataclass
class Session:
    """One search, or one more of a run: what its steps hand to each other."""

    data: DataOptions
    options: SearchOptions
    listener: Listener
    stop: threading.Event
    started: float
    executor: Executor | None = None

    def start_workers(self) -> None:
        """Start them first of all: they import torch while the data is read."""
        device = str(resolve_device(self.options.device))
        jobs = self.options.jobs or (cores() if device == "cpu" else 1)
        threads = max(1, cores() // jobs)
        if self.options.executor == "inline" or self.only_here:
            self.executor = Inline(device, self.stop.is_set)
        else:
            self.executor = Local(jobs, device, threads, own.references())

    @property
    def only_here(self) -> list[str]:
        """Own modules to search that no worker could import."""
        models = self.options.models
        return [name for name in own.only_here() if models is None or name in models]

    def close(self) -> None:
        """End the workers."""
        if self.executor is not None:
            self.executor.close()


def search(
    source: Any,
    data: DataOptions,
    options: SearchOptions,
    *,
    listener: Listener = silent,
    stop: threading.Event | None = None,
    started: float | None = None,
) -> Path:
    """Search, and return the run folder with the predictor in it.

    Args:
        source: A file, a folder, a frame or the name of a built-in set.
        data: What the user says of the data.
        options: What the user says of the search.
        listener: Whom to tell what happens.
        stop: Set it, from any thread, to end the search well.
        started: ``time.time()`` from which the budget counts; now if None.

    Raises:
        AutoDLError: Something that the user can act on; nothing half-written is left behind.
    """
    session = Session(data, options.checked(), listener, stop or threading.Event(), started or time.time())
    if options.output is not None:
        check_empty(Path(options.output))
    try:
        session.start_workers()
        dataset = _with_metric(load_dataset(source, data), options.metric)
        run = RunFolder.create(options.output, Path(dataset.source).name.split(".")[0])
        run.write(
            source=dataset.source,
            fingerprint=dataset.fingerprint,
            data=asdict(data),
            options=session.options.to_json(),
            own=own.facts(registry.encoders.names()),
            state="running",
        )
        with _removed_on_error(run):
            prepared, space = _prepare(dataset, run, session.options)
        return _drive(session, prepared, space)
    finally:
        session.close()


def resume(
    folder: Path,
    changes: Mapping[str, Any],
    *,
    source: Any = None,
    listener: Listener = silent,
    stop: threading.Event | None = None,
    started: float | None = None,
) -> Path:
    """Go on with a run: finished trials stay, half-run ones go on from their checkpoints.

    Args:
        folder: The run folder.
        changes: Options to change, such as ``time`` (for this session) or ``trials`` (in all).
        source: The data, where it was a frame in memory; None reads it from where it was.
        listener: Whom to tell what happens.
        stop: Set it, from any thread, to end the search well.
        started: ``time.time()`` from which the budget counts; now if None.

    Raises:
        RunError: The folder is no run, or the data changed since.
    """
    run = RunFolder.open(folder)
    known = run.read()
    data = DataOptions(**{name: _frozen(value) for name, value in known["data"].items()})
    options = replace(SearchOptions.from_json(known["options"]), **changes, output=str(folder))
    session = Session(data, options.checked(), listener, stop or threading.Event(), started or time.time())
    own.restore(known["own"], trusted=True)
    try:
        session.start_workers()
        dataset = _with_metric(load_dataset(known["source"] if source is None else source, data), options.metric)
        if dataset.fingerprint != known["fingerprint"]:
            raise RunError(
                f"{dataset.source} must be as it was when {folder} was begun, however it has changed since; "
                "bring the old data back, or start a new run"
            )
        run.write(options=session.options.to_json(), state="running")
        return _drive(session, *_prepare(dataset, run, session.options))
    finally:
        session.close()


def build_space(source: Any, data: DataOptions, options: SearchOptions) -> tuple[SearchSpace, Dataset]:
    """Return the space that a search of this data would search, and the data."""
    from tempfile import TemporaryDirectory

    dataset = _with_metric(load_dataset(source, data), options.metric)
    with TemporaryDirectory() as folder:
        _, space = _prepare(dataset, RunFolder.create(folder, ""), options)
    return space, dataset


@contextmanager
def _removed_on_error(run: RunFolder) -> Iterator[None]:
    """What the user asked cannot be searched: leave no run behind that never began."""
    try:
        yield
    except AutoDLError:
        shutil.rmtree(run.path)
        raise


def _prepare(dataset: Dataset, run: RunFolder, options: SearchOptions) -> tuple[Prepared, SearchSpace]:
    prepared = Prepared(dataset, run, options.seed)
    prepared.write_targets()
    space = SearchSpace.build(prepared.defaults(), dataset.task, len(dataset.split.train), options.models)
    return prepared, from_toml(options.space, space) if options.space else space


def _drive(session: Session, prepared: Prepared, space: SearchSpace) -> Path:
    options, executor = session.options, session.executor
    assert executor is not None, "internal error: no executor"
    dataset, run = prepared.dataset, prepared.run
    executor.log_to(run.path / "logs")
    metric = get_metric(dataset.task.metric, dataset.task)
    specs = {name: spec for name, (_, spec) in prepared.defaults().items()}
    clock = Clock(session.started, options.time)
    plan = _plan(session, specs, dataset, run.read().get("epochs"))
    run.write(epochs=plan.epochs)
    clock.reserve = _reserve(prepared, specs, options.time)
    old = read_journal(run.journal) if run.journal.exists() else []
    trials = Trials(Journal(run.journal), metric)
    trials.restore(old, space)
    proposer = Proposer(space, metric.greater_is_better, options.seed, trials.packs)
    session.listener(_started(session, prepared, space, clock))
    driver = Driver(
        plan, trials, proposer, prepared, executor, clock=clock, listener=session.listener, stop=session.stop
    )
    driver.run()
    executor.close()
    trials.prune_the_rest()
    state = "stopped" if session.stop.is_set() else "finished"
    summary = finish(run, trials, prepared, clock, state, proposer.seconds)
    trials.journal.close()
    session.listener(Finished(run.path, summary))
    return run.path


def _plan(session: Session, specs: Mapping[str, InputSpec], dataset: Dataset, known_epochs: int | None) -> Plan:
    """What does not change during the search; a resumed one keeps its length of training, whatever its time."""
    options = session.options
    device = resolve_device(options.device)
    rows = len(dataset.split.train)
    batch = usual_batch_size(rows)
    epochs = known_epochs or full_epochs(specs, rows, batch, options.time)
    largest = PACK_SIZES[device.type]
    if options.trials is not None:  # few trials should be different ones, not one pack's
        largest = max(1, min(largest, options.trials // 8))
    return Plan(
        epochs=epochs,
        pack_size=pack_size(epoch_seconds(specs, rows, batch), epochs, options.time, largest),
        trials=options.trials,
        lockstep=options.trials is not None,
        seed=options.seed,
        device=str(device),
        threads=_threads(session.executor, specs),
        bf16=any(len(spec.shape) > 1 for spec in specs.values()) and bf16_pays(device.type),
        alone=lambda config: device.type == "cpu" and _convolves(config),
    )


def _threads(executor: Executor | None, specs: Mapping[str, InputSpec]) -> int:
    """Threads of a worker; one alone does better on a table with one thread, as its products are small."""
    if isinstance(executor, Inline) and all(len(spec.shape) == 1 for spec in specs.values()):
        return 1
    return max(1, cores() // (executor.slots if executor else 1))


def _convolves(config: TrialConfig) -> bool:
    return any(registry.encoders.load(part.name).convolutional for part in config.encoders.values())


def _reserve(prepared: Prepared, specs: Mapping[str, InputSpec], seconds: float | None) -> float:
    """What the end needs: judging what trains, reading the test rows, predicting them with each member, saving."""
    if seconds is None:
        return 0.0
    split = prepared.dataset.split
    reading = prepared.seconds * len(split.test) / (len(split.train) + len(split.validation))
    rows = len(split.validation) + members_at_most(specs) * len(split.test)
    return min(0.25 * seconds, 2.0 + 0.01 * seconds + reading + epoch_seconds(specs, rows, 1024))


def _started(session: Session, prepared: Prepared, space: SearchSpace, clock: Clock) -> Started:
    dataset, split = prepared.dataset, prepared.dataset.split
    rows = {"train": len(split.train), "validation": len(split.validation), "test": len(split.test), "how": split.how}
    problems = [
        f"{len(cells)} cells of the images could not be read, the first in row {cells[0][0]}: {cells[0][2]}"
        for cells in prepared.problems.values()
        if cells
    ]
    here = session.only_here
    alone = [f"trials train in this process, one after another: {', '.join(here)} is not importable elsewhere"]
    facts = [*dataset.notes, *left_out(dataset, prepared.claims), *problems, *(alone if here else [])]
    prepared.run.write(
        task=dataset.task.to_json(),
        columns=[asdict(column) for column in dataset.schema],
        rows=rows,
        notes=facts,
        seed=session.options.seed,
        problems=[cell for cells in prepared.problems.values() for cell in cells],
    )
    return Started(
        folder=prepared.run.path,
        source=dataset.source,
        task=dataset.task,
        schema=dataset.schema,
        rows=rows,
        notes=tuple(facts),
        deadline=clock.deadline,
        trials=session.options.trials,
        device=f"{resolve_device(session.options.device)} × {session.executor.slots if session.executor else 1}",
        knobs=len(space.knobs),
    )


def _with_metric(dataset: Dataset, name: str | None) -> Dataset:
    metric: Metric = get_metric(name or default_metric(dataset.task), dataset.task)
    return replace(dataset, task=replace(dataset.task, metric=metric.name))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

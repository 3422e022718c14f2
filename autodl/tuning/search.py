"""A search from the user's words to a saved predictor: read, prepare, drive, finish."""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from autodl import own, registry
from autodl.data.dataset import DataOptions, Dataset, load_dataset
from autodl.errors import AutoDLError, RunError
from autodl.metrics import Metric, default_metric, get_metric
from autodl.records import TrialRecord
from autodl.training.device import resolve_device
from autodl.tuning.budget import Clock, cores
from autodl.tuning.driver import Driver
from autodl.tuning.estimator_proposals import EstimatorProposer, baselines
from autodl.tuning.events import Finished, Listener, Started, silent
from autodl.tuning.executors.inline import Inline
from autodl.tuning.executors.job import Executor
from autodl.tuning.executors.local import Local
from autodl.tuning.finish import Ending, finish
from autodl.tuning.journal import Journal, read_journal
from autodl.tuning.options import SearchOptions
from autodl.tuning.planning import folded, folds_of, measured, plan, reserve
from autodl.tuning.prepared import Prepared, bad_cells, left_out
from autodl.tuning.proposals import Proposer
from autodl.tuning.run_folder import RunFolder, check_empty
from autodl.tuning.search_space import SearchSpace
from autodl.tuning.toml_space import from_toml
from autodl.tuning.trials import BASELINE, Cost, Trials
from autodl.tuning.turns import Turns
from autodl.tuning.views import further_views


@dataclass
class Session:
    """One search, or one more of a run: what its steps hand to each other."""

    data: DataOptions
    options: SearchOptions
    listener: Listener
    stop: threading.Event
    started: float
    cost: Callable[[TrialRecord], float] | None = None
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
    cost: Callable[[TrialRecord], float] | None = None,
) -> Path:
    """Search, and return the run folder with the predictor in it.

    Args:
        source: A file, a folder, a frame or the name of a built-in set.
        data: What the user says of the data.
        options: What the user says of the search.
        listener: Whom to tell what happens.
        stop: Set it, from any thread, to end the search well.
        started: ``time.time()`` from which the budget counts; now if None.
        cost: A second objective of the caller's own, to be made small beside a good score.

    Raises:
        AutoDLError: Something that the user can act on; nothing half-written is left behind.
    """
    session = Session(data, options.checked(), listener, stop or threading.Event(), started or time.time(), cost)
    if options.output is not None:
        check_empty(Path(options.output))
    try:
        session.start_workers()
        dataset = folded(_with_metric(load_dataset(source, data), options.metric), session.options, {})
        run = RunFolder.create(options.output, Path(dataset.source).name.split(".")[0])
        run.write(
            source=dataset.source,
            fingerprint=dataset.fingerprint,
            data=asdict(data),
            options=session.options.to_json(),
            own=own.facts(registry.encoders.names()),
            folds=folds_of(dataset),
            own_cost=cost is not None,
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
    cost: Callable[[TrialRecord], float] | None = None,
) -> Path:
    """Go on with a run: finished trials stay, half-run ones go on from their checkpoints.

    Args:
        folder: The run folder.
        changes: Options to change, such as ``time`` (for this session) or ``trials`` (in all).
        source: The data, where it was a frame in memory; None reads it from where it was.
        listener: Whom to tell what happens.
        stop: Set it, from any thread, to end the search well.
        started: ``time.time()`` from which the budget counts; now if None.
        cost: The second objective that the run was begun with, where that was a function.

    Raises:
        RunError: The folder is no run, or the data changed since.
    """
    run = RunFolder.open(folder)
    known = run.read()
    data = DataOptions(**{name: _frozen(value) for name, value in known["data"].items()})
    options = replace(SearchOptions.from_json(known["options"]), **changes, output=str(folder))
    session = Session(data, options.checked(), listener, stop or threading.Event(), started or time.time(), cost)
    if known.get("own_cost") and cost is None:
        raise RunError(f"{folder} was begun with a cost function, however none came; give it to resume as cost=")
    own.restore(known["own"], trusted=True)
    try:
        session.start_workers()
        dataset = _with_metric(load_dataset(known["source"] if source is None else source, data), options.metric)
        if dataset.fingerprint != known["fingerprint"]:
            raise RunError(
                f"{dataset.source} must be as it was when {folder} was begun, however it has changed since; "
                "bring the old data back, or start a new run"
            )
        dataset = folded(dataset, session.options, known)
        run.write(options=session.options.to_json(), state="running")
        return _drive(session, *_prepare(dataset, run, session.options))
    finally:
        session.close()


def build_space(source: Any, data: DataOptions, options: SearchOptions) -> tuple[SearchSpace, Dataset]:
    """Return the space that a search of this data would search, and the data."""
    from tempfile import TemporaryDirectory

    dataset = folded(_with_metric(load_dataset(source, data), options.metric), options, {})
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
    inputs = prepared.defaults()
    views = further_views(prepared, options.time)
    space = SearchSpace.build(inputs, dataset.task, len(dataset.split.train), options.models, views)
    return prepared, from_toml(options.space, space) if options.space else space


def _drive(session: Session, prepared: Prepared, space: SearchSpace) -> Path:
    options, executor = session.options, session.executor
    assert executor is not None, "internal error: no executor"
    dataset, run = prepared.dataset, prepared.run
    executor.log_to(run.path / "logs")
    metric = get_metric(dataset.task.metric, dataset.task)
    specs = {name: spec for name, (_, spec) in prepared.defaults().items()}
    clock = Clock(session.started, options.time)
    run.write(speed=measured(prepared, space, options, run.read()))
    laid = plan(options, executor, specs, dataset, run.read(), space)
    run.write(epochs=laid.epochs, rungs=laid.rungs, pack_size=laid.pack_size)
    clock.reserve = reserve(prepared, specs, options)
    old = read_journal(run.journal) if run.journal.exists() else []
    trials = Trials(Journal(run.journal), metric, _cost(session))
    trials.restore(old, space)
    proposer = Proposer(
        space.networks, metric.greater_is_better, options.seed, trials.packs, two=trials.cost is not None
    )
    turns = _turns(space, trials, dataset, options)
    session.listener(_started(session, prepared, space, clock))
    driver = Driver(
        laid, trials, proposer, turns, prepared, executor, clock=clock, listener=session.listener, stop=session.stop
    )
    driver.run()
    executor.close()
    trials.prune_the_rest()
    state = "stopped" if session.stop.is_set() else "finished"
    searched = turns.proposer.names if turns.proposer else frozenset()
    end = Ending(run, trials, prepared, options, clock, state, searched, proposer.seconds)
    summary = finish(end)
    trials.journal.close()
    session.listener(Finished(run.path, summary))
    return run.path


def _cost(session: Session) -> Cost | None:
    """The second objective, if there is one."""
    own_cost = session.cost
    if own_cost is not None:
        return lambda record, said: value if math.isfinite(value := float(own_cost(record))) else None
    if session.options.minimize == "latency":
        return lambda record, said: said.get("latency")
    if session.options.minimize == "parameters":
        return lambda record, said: None if record.config.estimator else float(record.n_parameters)
    return None


def _turns(space: SearchSpace, trials: Trials, dataset: Dataset, options: SearchOptions) -> Turns:
    proposer = None
    if space.has_estimators:
        proposed = sum(each.record.source != BASELINE for each in trials.estimators)
        proposer = EstimatorProposer(space.estimators, trials.metric.greater_is_better, options.seed, proposed)
    usual = baselines(dataset.task, len(dataset.split.rows), space.sights.features)
    return Turns(space, trials, proposer, usual, options.seed, lockstep=options.trials is not None)


def _started(session: Session, prepared: Prepared, space: SearchSpace, clock: Clock) -> Started:
    dataset, split = prepared.dataset, prepared.dataset.split
    rows = {"train": len(split.train), "validation": len(split.validation), "test": len(split.test), "how": split.how}
    here = session.only_here
    alone = [f"trials train in this process, one after another: {', '.join(here)} is not importable elsewhere"]
    facts = [
        *dataset.notes,
        *left_out(dataset, prepared),
        *bad_cells(prepared.problems),
        *(alone if here else []),
    ]
    prepared.run.write(
        task=dataset.task.to_json(),
        columns=[asdict(column) for column in dataset.schema],
        rows=rows,
        notes=facts,
        seed=session.options.seed,
        problems=prepared.problems,
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

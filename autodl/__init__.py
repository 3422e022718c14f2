"""autodl: from a table to a tested, saved network.

    predictor = autodl.search("table.csv", target="y", time="5m")
    predictor.predict("new.csv")

Importing this package imports neither torch nor pandas nor Optuna: each is imported where it is first used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from autodl.explaining.explanation import Explanation
    from autodl.own import encoder
    from autodl.predictor import Predictor
    from autodl.records import TrialRecord
    from autodl.space import Choice, Float, Integer, Space

__all__ = [
    "Choice",
    "Float",
    "Integer",
    "Predictor",
    "Space",
    "__version__",
    "encoder",
    "explain",
    "load",
    "resume",
    "search",
]

_HOME = {
    "Choice": "autodl.space",
    "Float": "autodl.space",
    "Integer": "autodl.space",
    "Predictor": "autodl.predictor",
    "Space": "autodl.space",
    "encoder": "autodl.own",
}


def search(
    data: Any,
    target: str | Sequence[str] | None = None,
    *,
    time: str | float | None = None,
    trials: int | None = None,
    metric: str | None = None,
    seed: int = 0,
    device: str = "auto",
    jobs: int | None = None,
    models: str | Sequence[str] | None = None,
    space: str | Path | None = None,
    output: str | Path | None = None,
    folds: int | None = None,
    repeats: int = 1,
    refit: bool = False,
    single: bool = False,
    minimize: str | Callable[[TrialRecord], float] | None = None,
    task: str | None = None,
    quantiles: Sequence[float] = (),
    sample_weight: str | None = None,
    columns: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    keep: Sequence[str] = (),
    root: str | Path | None = None,
    group: str | None = None,
    time_order: str | None = None,
    validation: str | Path | None = None,
    test: str | Path | None = None,
    validation_share: float = 0.2,
    test_share: float = 0.2,
    encoders: Iterable[type[nn.Module]] = (),
    quiet: bool = False,
) -> Predictor:
    """Search networks for a table and return the saved, tested predictor.

    Ctrl-C once stops well and keeps the best; twice stops at once, and ``resume`` goes on.

    Args:
        data: A file (CSV, TSV, JSON lines, their .gz, .zip or .zst, Parquet), a folder with one sub-folder of images a
            class, a pandas or polars frame, or the name of a built-in set such as ``breast_cancer``.
        target: The column to predict, or several: all 0/1, yes/no or boolean (predicted as 0 and 1), or all numbers;
            None where the data says it itself.
        time: Wall time for everything, such as 90 (seconds), "90s", "5m", "1.5h"; None takes 5 minutes, or no limit
            where ``trials`` is given.
        trials: Trials to start at most; None for as many as fit.
        metric: What to optimise; None takes the task's usual one.
        seed: Source of all chance.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        jobs: Workers side by side; None takes one a core, or one a GPU.
        models: Names of the encoders and estimators to search, ``networks`` or ``all``; None for all that fit.
        space: An edited search space: a path, or the TOML text itself.
        output: The run folder; None makes one in ``autodl-runs``.
        folds: Folds of the cross-validation that scores every trial; 1 holds one part out, None decides by the rows
            and the time.
        repeats: How often all rows are divided into the given folds anew.
        refit: Train the best again on all rows but the test's, instead of keeping one network a fold.
        single: Make the predictor one network instead of an ensemble.
        minimize: What shall be small beside a good score: ``latency``, ``parameters``, or your own function of a
            trial, lower being better.
        task: ``binary``, ``multiclass``, ``multilabel``, ``regression``, ``multioutput`` or ``quantile``; None infers
            it.
        quantiles: Levels between 0 and 1 to predict of a number, such as ``(0.1, 0.5, 0.9)``.
        sample_weight: Column that says how much each row counts; it is no feature.
        columns: Kinds of columns that were typed wrongly, such as ``{"zip": "category"}``.
        ignore: Columns to leave out.
        keep: Columns to keep that would be left out.
        root: Folder that image paths start from; None for the table's own.
        group: Column whose equal values stay in one part of the split.
        time_order: Column to split by: the last rows are the test.
        validation: File of rows that steer the search; None splits them off.
        test: File of rows to test on, touched once; None splits them off.
        validation_share: Share of the rows that are left which steers the search.
        test_share: Share of the rows to test on.
        encoders: Own ``nn.Module`` classes that join the search.
        quiet: Say only where the run is and how good.

    Raises:
        AutoDLError: Anything that the caller can act on, in one line.

    Example:
        >>> predictor = autodl.search("table.csv", target="y", time="5m")  # doctest: +SKIP
    """
    given = dict(locals())
    import time as clock

    started = clock.time()
    from autodl import own
    from autodl._cli_values import data_options, search_options
    from autodl.live import watching
    from autodl.tuning.search import search as run

    for module in encoders:
        own.add(module)
    own_cost = {"cost": given.pop("minimize")} if callable(minimize) else {}
    said = data_options(given), search_options(given)
    with watching("quiet" if quiet else "show") as watch:
        folder = run(data, *said, listener=watch, stop=watch.stop, started=started, **own_cost)
    return load(folder, device=device)


def resume(
    folder: str | Path,
    *,
    data: Any = None,
    time: str | float | None = None,
    trials: int | None = None,
    jobs: int | None = None,
    device: str | None = None,
    minimize: Callable[[TrialRecord], float] | None = None,
    quiet: bool = False,
) -> Predictor:
    """Go on with a search that was stopped or killed and return its predictor.

    Args:
        folder: The run folder.
        data: The data again, where it was a frame in memory; None reads it from where it was.
        time: Wall time from now, as in ``search``; None takes what the run was given.
        trials: Trials in all; None takes what the run was given.
        jobs: Workers side by side; None takes what the run was given.
        device: Where to train now; None takes what the run was given.
        minimize: The cost function that the run was begun with; None where it was begun with none.
        quiet: Say only where the run is and how good.

    Raises:
        AutoDLError: Anything that the caller can act on, in one line.
    """
    import time as clock
    from pathlib import Path

    started = clock.time()
    from autodl._cli_values import changes
    from autodl.live import watching
    from autodl.tuning.search import resume as run

    said = changes({"time": time, "trials": trials, "jobs": jobs, "device": device})
    with watching("quiet" if quiet else "show") as watch:
        found = run(Path(folder), said, source=data, listener=watch, stop=watch.stop, started=started, cost=minimize)
    return load(found, device=device or "auto")


def load(folder: str | Path, device: str = "auto") -> Predictor:
    """Load a saved predictor.

    Args:
        folder: A run folder, or the predictor's folder in it.
        device: Where to predict: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        PredictorError: There is none, it is damaged, or of a newer version.
        UnknownNameError: It uses an own module that is not registered and cannot be imported.
    """
    from autodl.predictor import load as read

    return read(folder, device)


def explain(
    module: Callable[..., Any],
    inputs: Any,
    background: Any = None,
    explainer: str = "auto",
    *,
    outputs: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[int]] | None = None,
    segments: bool = True,
    settings: Mapping[str, Any] | None = None,
    seconds: float | None = 60.0,
    seed: int = 0,
    force: bool = False,
) -> Explanation:
    """Explain any torch module, or any function of tensors, without a search.

    Args:
        module: Takes ``inputs`` and returns ``(rows,)`` or ``(rows, outputs)``, every row by itself. A module is put in
            evaluation mode meanwhile; a function that is none can be explained by methods that need no gradient.
        inputs: The rows: a tensor, an array or a frame ``(rows, *shape)``; several as a tuple (handed over by position)
            or a dict (by keyword).
        background: Rows that stand for "nothing known", of the same form; None takes up to 32 of the inputs, or zeros
            where there is one row.
        explainer: A registered name; ``auto`` takes Shapley values, exact with few players.
        outputs: Positions of the outputs to explain; None for all.
        names: One a feature of a single input.
        groups: Name → positions of features that count as one, such as a one-hot group.
        segments: Whether an image is divided into segments; else the whole image is one player.
        settings: Of the explainer, see ``autodl components explainers``.
        seconds: Wall time for methods that can stop early: for more of it errors are smaller; None for no limit.
        seed: Source of all chance.
        force: Whether to answer in spite of objections, and say so.

    Raises:
        AutoDLError: Anything that the caller can act on, in one line: an answer that would mislead above all.

    Example:
        >>> autodl.explain(module, rows, background=training_rows).values  # doctest: +SKIP
    """
    given = dict(locals())
    from autodl.explaining.module import explain_module

    return explain_module(**given)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("torch-autodl")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'autodl' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

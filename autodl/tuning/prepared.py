"""Columns made into tensors once, on disk, for all workers: one file for each input and structural setting."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from autodl import registry
from autodl.contracts import Modality
from autodl.data.dataset import Dataset
from autodl.errors import DataError, PluginError
from autodl.fitted import modality_key, structural_settings
from autodl.records import Column, Component, InputSpec, TrialConfig
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.tensors import TARGETS, Goals, write_goals, write_input


class Prepared:
    """Fitted modalities and their tensors, made when a configuration first asks for them.

    Args:
        dataset: The rows.
        run: Where the tensors go.
        seed: For what modalities draw by chance.
    """

    def __init__(self, dataset: Dataset, run: RunFolder, seed: int) -> None:
        self.dataset = dataset
        self.run = run
        self.seed = seed
        self.claims = claims(dataset)
        self.modalities: dict[str, Modality] = {}
        self.specs: dict[str, InputSpec] = {}
        self.seconds = 0.0  # spent on reading rows
        self.problems: dict[str, tuple[tuple[int, str, str], ...]] = {}

    def write_targets(self) -> None:
        """Write what is predicted, and which rows are for what."""
        dataset, split = self.dataset, self.dataset.split
        place = np.full(len(dataset.targets), -1)
        place[split.rows] = np.arange(len(split.rows))
        folds = tuple((np.sort(place[train]), np.sort(place[held])) for train, held in split.folds)
        weights = None if dataset.weights is None else dataset.weights[split.rows]
        write_goals(self.run.data(TARGETS), Goals(dataset.targets[split.rows], dataset.task, folds, weights))

    def defaults(self) -> dict[str, tuple[str, InputSpec]]:
        """For each input its modality and what it looks like at the modality's default settings."""
        found = {}
        for name, (modality, _) in self.claims.items():
            key = self.ensure(name, Component(modality, registry.modalities.load(modality).space.defaults()))
            found[name] = (modality, self.specs[key])
        return found

    def keys(self, config: TrialConfig) -> dict[str, str]:
        """The files that a configuration reads, by input; made if they are not there."""
        return {name: self.ensure(name, component) for name, component in config.modalities.items()}

    def ensure(self, name: str, component: Component) -> str:
        """Fit a modality on the training rows and write its tensors, once; return the file's key."""
        key = modality_key(name, component)
        if key not in self.modalities:
            modality = registry.modalities.load(component.name)(self._columns(name), **structural_settings(component))
            split, frame = self.dataset.split, self.dataset.frame
            train = frame.iloc[split.train]
            spec = modality.fit(train, self.dataset.targets[split.train], self.dataset.task, self.seed)
            rows = split.rows
            started = time.perf_counter()
            stored = modality.transform(frame.iloc[rows])
            self.seconds = max(self.seconds, time.perf_counter() - started)
            self.problems[key] = tuple((int(rows[row]), column, why) for row, column, why in stored.problems)
            write_input(self.run.data(key), spec, stored)
            self.modalities[key], self.specs[key] = modality, spec
        return key

    def _columns(self, name: str) -> list[Column]:
        wanted = self.claims[name][1]
        return [column for column in self.dataset.schema if column.name in wanted]


def claims(dataset: Dataset) -> dict[str, tuple[str, list[str]]]:
    """For each input the modality that claims it and its columns.

    Raises:
        DataError: No column can be used.
        PluginError: Two modalities call an input the same.
    """
    found: dict[str, tuple[str, list[str]]] = {}
    for modality in registry.modalities.names():
        for name, columns in registry.modalities.load(modality).claim(dataset.schema).items():
            if name in found:
                raise PluginError(
                    f"inputs must have names of their own, however {modality} and {found[name][0]} both call theirs "
                    f"'{name}'; rename the column, or leave one of the plugins out by AUTODL_PLUGINS"
                )
            found[name] = (modality, columns)
    if not found:
        kinds = ", ".join(f"{column.name} ({column.kind}: {column.reason})" for column in dataset.schema)
        raise DataError(
            f"at least one column must be usable, however none of these is: {kinds[:500]}; "
            "set a kind with --column NAME=KIND or bring one back with --keep NAME"
        )
    return dict(sorted(found.items()))


def left_out(dataset: Dataset, claimed: Mapping[str, tuple[str, list[str]]]) -> list[str]:
    """Lines that name the columns which no modality takes."""
    taken = {column for _, columns in claimed.values() for column in columns}
    lost = [column for column in dataset.schema if column.kind != "ignored" and column.name not in taken]
    return [f"column '{column.name}' is left out: it is {column.kind}, which no modality takes yet" for column in lost]

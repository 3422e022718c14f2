"""Columns made into tensors once, on disk, for all workers: one file for each input and structural setting.

    data/KEY.safetensors     the rows as tensors, and the spec
    data/KEY.json            the fitted modality, the cells that could not be used, and how long reading took
    data/KEY-….safetensors   its arrays

A run that goes on takes what it finds there, if it was made of the same: the same table, rows, settings and version,
and files of images and sounds that nobody has written to since.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import numpy as np

from autodl import registry, storage
from autodl.contracts import Modality
from autodl.data.dataset import Dataset
from autodl.errors import DataError, PluginError, PredictorError
from autodl.fitted import modality_key, structural_settings
from autodl.records import Column, Component, InputSpec, Stored, TrialConfig
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.tensors import TARGETS, Goals, fingerprint_of, read_input, write_goals, write_input

FIRST_ROWS = 512  # transformed at once to begin with; from them the size of a slice is told
SLICE_BYTES = 32 * 2**20  # of the stored rows that are made and written at once

Cell: TypeAlias = tuple[int, str, str]
"""A cell that could not be used: row of the dataset, column, why."""


@dataclass
class Reading:
    """What was found while rows were read."""

    seconds: float = 0.0
    problems: list[Cell] = field(default_factory=list)


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
        self.readings: dict[str, dict[str, Reading]] = {}  # by input, then by key
        self.unreadable: dict[str, str] = {}  # columns that were left out, and why
        self._fingerprints: dict[str, str] = {}

    @property
    def seconds(self) -> float:
        """What reading all rows of all inputs takes, each at its slowest settings."""
        return sum(max(reading.seconds for reading in found.values()) for found in self.readings.values())

    @property
    def problems(self) -> list[Cell]:
        """Cells that could not be used, by column and row, each with its reason."""
        cells = [cell for found in self.readings.values() for reading in found.values() for cell in reading.problems]
        known = {(column, row): (row, column, why) for row, column, why in reversed(cells)}
        return [known[place] for place in sorted(known)]

    def write_targets(self) -> None:
        """Write what is predicted, and which rows are for what."""
        dataset, split = self.dataset, self.dataset.split
        place = np.full(len(dataset.targets), -1)
        place[split.rows] = np.arange(len(split.rows))
        folds = tuple((np.sort(place[train]), np.sort(place[held])) for train, held in split.folds)
        weights = None if dataset.weights is None else dataset.weights[split.rows]
        write_goals(self.run.data(TARGETS), Goals(dataset.targets[split.rows], dataset.task, folds, weights))

    def defaults(self) -> dict[str, tuple[str, InputSpec]]:
        """For each input its modality and what it looks like at the modality's default settings.

        An input of which no training row can be read is left out, as a column of empty cells would be.

        Raises:
            DataError: No input can be read.
        """
        found, reason = {}, None
        for name, (modality, columns) in list(self.claims.items()):
            try:
                key = self.ensure(name, Component(modality, registry.modalities.load(modality).space.defaults()))
            except DataError as error:
                reason = error
                del self.claims[name]
                self.unreadable |= dict.fromkeys(columns, str(error))
            else:
                found[name] = (modality, self.specs[key])
        if reason is not None and not found:
            raise reason
        return found

    def keys(self, config: TrialConfig) -> dict[str, str]:
        """The files that a configuration reads, by input; made if they are not there."""
        return {name: self.ensure(name, component) for name, component in config.modalities.items()}

    def ensure(self, name: str, component: Component) -> str:
        """Fit a modality on the training rows and write its tensors, once; return the file's key."""
        key = modality_key(name, component)
        if key not in self.modalities:
            if name not in self._fingerprints:
                self._fingerprints[name] = self._fingerprint(name)
            made_of = self._fingerprints[name]
            if not self._recall(name, component, key, made_of):
                self._make(name, component, key, made_of)
        return key

    def sample(self, name: str, component: Component, count: int) -> tuple[InputSpec, float]:
        """What an input looks like at some settings, and seconds to transform a row: told by a few training rows that
        lie far apart, and kept nowhere.
        """
        modality = registry.modalities.load(component.name)(self._columns(name), **structural_settings(component))
        train = self.dataset.split.train
        some = train[:: max(1, len(train) // count)][:count]
        frame = self.dataset.frame.iloc[some]
        spec = modality.fit(frame, self.dataset.targets[some], self.dataset.task, self.seed)
        began = time.perf_counter()
        modality.transform(frame)
        return spec, (time.perf_counter() - began) / len(frame)

    def _make(self, name: str, component: Component, key: str, fingerprint: str) -> None:
        modality = registry.modalities.load(component.name)(self._columns(name), **structural_settings(component))
        split, targets = self.dataset.split, self.dataset.targets
        spec = modality.fit(self.dataset.frame.iloc[split.train], targets[split.train], self.dataset.task, self.seed)
        reading = Reading()
        path = self.run.data(key)
        write_input(path, spec, self._slices(modality, reading), len(split.rows), fingerprint)
        found = {"seconds": reading.seconds, "problems": reading.problems}
        storage.save(path.parent, key, {"fingerprint": fingerprint, "state": modality.state(), **found})
        self.modalities[key], self.specs[key] = modality, spec
        self.readings.setdefault(name, {})[key] = reading

    def _slices(self, modality: Modality, reading: Reading) -> Iterator[Stored]:
        """The rows as tensors, some at a time."""
        rows, frame = self.dataset.split.rows, self.dataset.frame
        start, size = 0, FIRST_ROWS
        while start < len(rows):
            some = rows[start : start + size]
            began = time.perf_counter()
            stored = modality.transform(frame.iloc[some])
            reading.seconds += time.perf_counter() - began
            reading.problems += [(int(some[row]), column, why) for row, column, why in stored.problems]
            yield stored
            start += size
            size = max(FIRST_ROWS, SLICE_BYTES // max(1, stored.values[0].nbytes))

    def _recall(self, name: str, component: Component, key: str, fingerprint: str) -> bool:
        """Take what an earlier session of the run made of the same; False where there is nothing, or it is damaged."""
        path = self.run.data(key)
        if fingerprint_of(path) != fingerprint:
            return False
        try:
            found = storage.load(path.parent, key)
        except PredictorError:
            return False
        if found["fingerprint"] != fingerprint:
            return False
        kind, settings = registry.modalities.load(component.name), structural_settings(component)
        self.modalities[key] = kind.from_state(self._columns(name), settings, found["state"])
        self.specs[key] = read_input(path)[0]
        problems = [(row, column, why) for row, column, why in found["problems"]]
        self.readings.setdefault(name, {})[key] = Reading(found["seconds"], problems)
        return True

    def _fingerprint(self, name: str) -> str:
        """Of all that an input's tensors are made of, but for the settings, which the key tells.

        Of files of images and sounds path, size and time of change, so that none is read for it.
        """
        digest = hashlib.sha256(self._common.encode())
        for column in self._columns(name):
            digest.update(json.dumps(vars(column)).encode())
            if column.kind in ("image", "audio"):
                for cell in self.dataset.frame[column.name].iloc[self.dataset.split.rows]:
                    digest.update(_file_facts(cell).encode(errors="surrogateescape"))
        return digest.hexdigest()

    @cached_property
    def _common(self) -> str:
        """What the tensors of all inputs are made of."""
        dataset, split = self.dataset, self.dataset.split
        digest = hashlib.sha256(dataset.targets.tobytes())
        for rows in (split.train, split.rows):
            digest.update(rows.astype(np.int64).tobytes())
        said = [version("torch-autodl"), dataset.fingerprint, str(dataset.root), dataset.task.to_json(), self.seed]
        return f"{json.dumps(said, sort_keys=True, default=str)} {digest.hexdigest()}"

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


def left_out(dataset: Dataset, prepared: Prepared) -> list[str]:
    """Lines that name the columns which no modality takes, or of which nothing can be read."""
    taken = {column for _, columns in prepared.claims.values() for column in columns}
    lost = [column for column in dataset.schema if column.kind != "ignored" and column.name not in taken]
    why = prepared.unreadable
    return [
        f"column '{each.name}' is left out: {why.get(each.name) or f'it is {each.kind}, which no modality takes yet'}"
        for each in lost
    ]


def bad_cells(problems: Sequence[Cell]) -> list[str]:
    """A line that counts the cells that could not be used, with each column's first; no line where there are none."""
    columns: dict[str, list[Cell]] = {}
    for row, column, why in sorted(problems):
        columns.setdefault(column, []).append((row, column, why))
    told = [
        f"{len(cells):,} in '{column}' (first row {cells[0][0]}: {cells[0][2]})"
        for column, cells in sorted(columns.items())
    ]
    return [f"cells that could not be used, and count as missing: {'; '.join(told)}"] if told else []


def _file_facts(cell: object) -> str:
    """What tells whether a file is still the same, on a line; an array is told by the table's own fingerprint."""
    if not isinstance(cell, str):
        return "\n"
    try:
        found = Path(cell).stat()
    except (OSError, ValueError):
        return f"{cell}\n"
    return f"{cell}\0{found.st_size}\0{found.st_mtime_ns}\n"

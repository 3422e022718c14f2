"""What a predictor computes with: fitted modalities, and the networks and estimators that read them."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from autodl import estimating, own, registry
from autodl.contracts import Inputs, Modality
from autodl.errors import PredictorError, UnknownNameError, nearest
from autodl.network import Network, kept_columns
from autodl.records import Column, Component, InputSpec, Stored, Task, TrialConfig
from autodl.training.data import ENTRIES_PER_CHUNK, as_input, predictions, spec_on
from autodl.vectors import side_by_side

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class FittedMember:
    """One trial of the ensemble: a network, or an estimator, for each fold that it was trained on.

    Attributes:
        number: The trial that it comes from.
        config: Its recipe.
        weights: As ``Network.state_dict`` names them, each with the folds first; of an estimator one entry,
            ``learnt``: the bytes that ``autodl.estimating.save`` wrote.
        share: Its weight in the ensemble.
    """

    number: int
    config: TrialConfig
    weights: Mapping[str, Tensor]
    share: float

    @property
    def folds(self) -> int:
        """Networks that it holds; their mean predicts."""
        return 1 if self.config.estimator else len(next(iter(self.weights.values())))

    @property
    def keys(self) -> dict[str, str]:
        """Input name → key of the fitted modality that it reads."""
        return {name: modality_key(name, self.config.modalities[name]) for name in sorted(self.config.modalities)}


def structural_settings(component: Component) -> dict[str, Any]:
    """The settings of a modality that decide what it transforms to; the others are augmentation."""
    structural = registry.modalities.load(component.name).space.structural()
    return {name: value for name, value in component.settings.items() if name in structural}


def modality_key(input_name: str, component: Component) -> str:
    """Return what two configurations share exactly if they see the same tensor of an input.

    It begins with the input's name, ends with a digest of the modality's name and structural settings, and is fit for
    a file name.
    """
    recipe = [input_name, component.name, structural_settings(component)]
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    return f"{re.sub('[^A-Za-z0-9]+', '_', input_name)[:40]}-{digest}"


class FittedEnsemble:
    """Networks that predict together, on a device, some rows at a time.

    Args:
        members: The networks; those without a share are left out, the shares of the others made to sum to 1.
        modalities: Fitted modalities by ``modality_key``; those that no member reads are left out.
        specs: What each of these emits, by the same key.
        task: What is predicted.

    Raises:
        PredictorError: No member has a share.
    """

    def __init__(
        self,
        members: Sequence[FittedMember],
        modalities: Mapping[str, Modality],
        specs: Mapping[str, InputSpec],
        task: Task,
    ) -> None:
        total = sum(member.share for member in members)
        if not total > 0:
            raise PredictorError(f"a predictor must have members with a share, however theirs sum to {total}; add one")
        self.members = [replace(each, share=each.share / total) for each in members if each.share > 0]
        keys = sorted({key for member in self.members for key in member.keys.values()})
        self.modalities = {key: modalities[key] for key in keys}
        self.specs = {key: specs[key] for key in keys}
        self.task = task
        self._networks = {m.number: self._built(m) for m in self.members if not m.config.estimator}
        self._estimators = {
            m.number: estimating.load(m.weights["learnt"].numpy().tobytes(), m.config, task)
            for m in self.members
            if m.config.estimator
        }
        self.to(torch.device("cpu"))

    @property
    def columns(self) -> set[str]:
        """The columns that a member keeps."""
        used: set[str] = set()
        for member in self.members:
            if member.config.estimator:
                return {column for spec in self.specs.values() for column in spec.columns}
            share = float(member.config.training.get("features", 1.0))
            for key in member.keys.values():
                spec = self.specs[key]
                kept = kept_columns(spec, share) if len(spec.shape) == 1 else range(len(spec.columns))
                used |= {spec.columns[position] for position in kept}
        return used

    @property
    def networks(self) -> list[Network]:
        """Every network, member after member, fold after fold; estimators have none."""
        return [network for networks in self._networks.values() for network in networks]

    def to(self, device: torch.device) -> None:
        """Move the networks there."""
        self.device = device
        for network in self.networks:
            network.to(device)
        self._specs = {key: spec_on(spec, device, torch.float32) for key, spec in self.specs.items()}

    @torch.no_grad()
    def predict(self, frame: pd.DataFrame, rows_at_once: int | None = None) -> np.ndarray:
        """Return probabilities, or numbers in the target's unit, NaN as ``mean``; warn of cells that cannot be used.

        Args:
            frame: Rows as ``autodl.data`` casts them.
            rows_at_once: Rows read and predicted together; None takes as many as some hundred megabytes bear.

        Shape:
            returned: rows …, as ``Task`` says
        """
        size = rows_at_once or _rows_at_once(self.specs)
        alone = self.task.kind == "regression"
        found = np.empty(len(frame) if alone else (len(frame), self.task.n_outputs))
        problems: list[tuple[int, str, str]] = []
        for start in range(0, len(frame), size):
            views, broken = self.views(frame.iloc[start : start + size])
            found[start : start + size] = self.mean(self.members, views)
            problems += [(start + row, column, reason) for row, column, reason in broken]
        _warn(problems)
        return found

    def to_content(self) -> dict[str, Any]:
        """Everything but the task, for ``autodl.storage``."""
        read = {key: (name, each.config.modalities[name]) for each in self.members for name, key in each.keys.items()}
        needed = sorted({each for member in self.members for each in _needed(member.config)})
        return {
            "own": own.facts(name for room, name in needed if room == "encoders"),
            "requirements": [[room, name, registry.ROOMS[room].distribution(name)] for room, name in needed],
            "modalities": [self._modality_content(key, *read[key]) for key in sorted(read)],
            "members": [{**vars(member), "config": member.config.to_json()} for member in self.members],
        }

    def networks_of(self, member: FittedMember) -> list[Network]:
        """The member's networks, one a fold; an estimator has none."""
        return self._networks.get(member.number, [])

    def views(self, frame: pd.DataFrame) -> tuple[Inputs, list[tuple[int, str, str]]]:
        """Rows as members see them, by modality key, and the cells that cannot be used. Shape: → {key: rows *shape}."""
        stored = {key: modality.transform(frame) for key, modality in self.modalities.items()}
        there = {key: Stored(each.values.to(self.device), each.present.to(self.device)) for key, each in stored.items()}
        seen = {key: as_input(each, self._specs[key], torch.float32) for key, each in there.items()}
        for key, x in seen.items():
            if x.dim() == 2:  # a row of a table without a single cell is missing, as an image that is not there
                blank = frame[[column.name for column in self.modalities[key].columns]].isna().to_numpy().all(axis=1)
                seen[key] = x.masked_fill(torch.as_tensor(blank, device=x.device).unsqueeze(1), torch.nan)
        return seen, [problem for each in stored.values() for problem in each.problems]

    def mean(self, members: Sequence[FittedMember], views: Inputs) -> np.ndarray:
        """What some members predict together, by their shares, before calibration.

        A member that reads nothing of a row has no vote there; where none has one, the row is NaN.

        Shape: {key: rows *shape} → rows ….
        """
        told = [self.member_mean(each, views) for each in members]
        there = [has_any(each, views).cpu().numpy().reshape(-1, *[1] * (told[0].ndim - 1)) for each in members]
        votes = [each.share * has for each, has in zip(members, there, strict=True)]
        with np.errstate(invalid="ignore"):
            return np.asarray(sum(np.where(v > 0, v * t, 0) for v, t in zip(votes, told, strict=True)) / sum(votes))

    def member_mean(self, member: FittedMember, views: Inputs) -> np.ndarray:
        """What one member predicts, the mean over its folds. Shape: {key: rows *shape} → rows …."""
        inputs = {name: views[key] for name, key in member.keys.items()}
        if member.config.estimator:
            rows = side_by_side(inputs, {name: self._specs[key] for name, key in member.keys.items()})
            return estimating.predict(self._estimators[member.number], member.config, self.task, rows.cpu().numpy())
        networks = self._networks[member.number]
        return np.asarray(sum(self._predicted(member, each, inputs) for each in networks) / len(networks))

    def _predicted(self, member: FittedMember, network: Network, inputs: Inputs) -> np.ndarray:
        scale = member.config.training.get("target", "none")
        found = predictions(network(inputs), self.task, scale, network.copies)
        return np.asarray(found.cpu().double().numpy())

    def _built(self, member: FittedMember) -> list[Network]:
        """The member's networks as they were trained, one a fold."""
        specs = {name: self.specs[key] for name, key in member.keys.items()}
        networks = []
        for fold in range(member.folds):
            network = Network.seeded(member.config, specs, self.task.n_outputs)
            network.load_state_dict({name: tensor[fold] for name, tensor in member.weights.items()})
            networks.append(network.float().eval().requires_grad_(False))
        return networks

    def _modality_content(self, key: str, input_name: str, component: Component) -> dict[str, Any]:
        modality = self.modalities[key]
        return {
            "input": input_name,
            "name": component.name,
            "settings": structural_settings(component),
            "columns": [vars(column) for column in modality.columns],
            "state": modality.state(),
            "spec": self.specs[key].to_parts(),
        }


def has_any(member: FittedMember, views: Inputs) -> Tensor:
    """Whether a row has anything that the member reads. Shape: {key: rows *shape} → rows, 1 or 0."""
    present = [views[key].flatten(1)[:, 0].isnan().logical_not() for key in member.keys.values()]
    return torch.stack(present).any(0)


def parts_from_content(content: Mapping[str, Any]) -> dict[str, Any]:
    """Rebuild members, modalities and specs from ``FittedEnsemble.to_content``'s data.

    Raises:
        UnknownNameError: A component is not registered here.
    """
    own.restore(content["own"])
    for room, name, distribution in content["requirements"]:
        _check_known(room, name, distribution)
    fitted = [_modality(part) for part in content["modalities"]]
    configs = [TrialConfig.from_json(member["config"]) for member in content["members"]]
    return {
        "members": [
            FittedMember(**{**member, "config": config})
            for member, config in zip(content["members"], configs, strict=True)
        ],
        "modalities": {key: modality for key, modality, _ in fitted},
        "specs": {key: spec for key, _, spec in fitted},
    }


def _modality(content: Mapping[str, Any]) -> tuple[str, Modality, InputSpec]:
    component = Component(content["name"], content["settings"])
    columns = [Column(**column) for column in content["columns"]]
    modality = registry.modalities.load(component.name).from_state(columns, component.settings, content["state"])
    return modality_key(content["input"], component), modality, InputSpec.from_parts(*content["spec"])


def _needed(config: TrialConfig) -> set[tuple[str, str]]:
    """Room and name of every component that the configuration predicts with."""
    found = {("modalities", part.name) for part in config.modalities.values()}
    found |= {("estimators", config.estimator.name)} if config.estimator else set()
    found |= {("encoders", part.name) for part in config.encoders.values()}
    return found | ({("fusions", config.fusion.name)} if config.fusion else set())


def _check_known(room: str, name: str, distribution: str) -> None:
    known = registry.ROOMS[room].names()
    if name in known:
        return
    if distribution == "this process":
        advice = "it was a class of the process that trained: define and register it here too, before loading"
    else:
        advice = f"it came with the distribution '{distribution}': install that, and look at AUTODL_PLUGINS"
    raise UnknownNameError(f"{room} must have '{name}' for this predictor, however: {nearest(name, known)}; {advice}")


def _rows_at_once(specs: Mapping[str, InputSpec]) -> int:
    """So many rows that the widest input stays within a fixed number of entries."""
    widest = max(int(np.prod(spec.shape)) for spec in specs.values())
    return int(np.clip(ENTRIES_PER_CHUNK // widest, 16, 8192))


def _warn(problems: Sequence[tuple[int, str, str]]) -> None:
    if problems:
        row, column, reason = problems[0]
        warnings.warn(
            f"cells that cannot be used, and count as missing: {len(problems)}; the first is in column '{column}', "
            f"row {row}: {reason}",
            stacklevel=6,
        )

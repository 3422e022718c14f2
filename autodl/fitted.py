"""The parts of a predictor: fitted modalities, the members that read them, and how both become plain content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autodl import registry
from autodl.contracts import Modality
from autodl.errors import UnknownNameError, nearest
from autodl.records import Column, Component, InputSpec, TrialConfig


@dataclass(frozen=True, eq=False)
class FittedMember:
    """One network of the ensemble.

    Attributes:
        number: The trial that it comes from.
        config: Its recipe.
        weights: As ``Network.state_dict`` names them.
        share: Its weight in the ensemble.
    """

    number: int
    config: TrialConfig
    weights: Mapping[str, Tensor]
    share: float

    @property
    def keys(self) -> dict[str, str]:
        """Input name → key of the fitted modality that it reads."""
        return {name: modality_key(name, self.config.modalities[name]) for name in sorted(self.config.encoders)}


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


def modality_to_content(input_name: str, component: Component, modality: Modality, spec: InputSpec) -> dict[str, Any]:
    """All of a fitted modality and its spec, for ``autodl.storage``."""
    return {
        "input": input_name,
        "name": component.name,
        "settings": structural_settings(component),
        "columns": [vars(column) for column in modality.columns],
        "state": modality.state(),
        "spec": vars(spec),
    }


def modality_from_content(content: Mapping[str, Any]) -> tuple[str, Modality, InputSpec]:
    """Rebuild a modality's key, itself and its spec."""
    component = Component(content["name"], content["settings"])
    columns = [Column(**column) for column in content["columns"]]
    modality = registry.modalities.load(component.name).from_state(columns, component.settings, content["state"])
    spec: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content["spec"].items()
    }
    return modality_key(content["input"], component), modality, InputSpec(**spec)


def member_to_content(member: FittedMember) -> dict[str, Any]:
    """All of a member, for ``autodl.storage``."""
    return {**vars(member), "config": member.config.to_json()}


def member_from_content(content: Mapping[str, Any]) -> FittedMember:
    """Rebuild a member."""
    return FittedMember(**{**content, "config": TrialConfig.from_json(content["config"])})


def requirements(members: Iterable[FittedMember]) -> list[list[str]]:
    """Room, name and distribution of every component that the members predict with."""
    found: set[tuple[str, str]] = set()
    for member in members:
        config = member.config
        found |= {("modalities", config.modalities[name].name) for name in config.encoders}
        found |= {("encoders", part.name) for part in config.encoders.values()}
        found |= {("fusions", config.fusion.name)} if config.fusion else set()
    return [[room, name, registry.ROOMS[room].distribution(name)] for room, name in sorted(found)]


def check_requirements(needed: Iterable[Iterable[str]]) -> None:
    """Refuse to go on without a component.

    Raises:
        UnknownNameError: One is not registered here.
    """
    for room, name, distribution in needed:
        known = registry.ROOMS[room].names()
        if name in known:
            continue
        if distribution == "this process":
            advice = "it was registered by a class of the process that trained: define it here too, before loading"
        else:
            advice = f"it came with the distribution '{distribution}': install that, and look at AUTODL_PLUGINS"
        raise UnknownNameError(
            f"{room} must have '{name}' for this predictor, however: {nearest(name, known)}; {advice}"
        )

"""In which settings of its modality an input is seen: by encoders with wishes of their own, and by estimators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autodl import registry
from autodl.records import Component, InputSpec
from autodl.space import Choice, Dimension, Value
from autodl.vectors import vector_width

if TYPE_CHECKING:
    from autodl.tuning._assembly import SearchKnob

MOST_FEATURES = 4096  # beyond, a row is a large image or the like, and nothing for an estimator

PRETRAINED = frozenset({"pretrained", "imagenet"})
"""Values of modalities' settings by which an input is seen through weights that came with a package."""


def following(modality: str) -> dict[str, Value]:
    """The settings of a modality that follow from the encoder, and are no knobs of their own; at their defaults."""
    reads = [registry.encoders.load(name).reads for name in registry.encoders.names()]
    space = registry.modalities.load(modality).space
    return {knob: space[knob].center() for knob in space if any(knob in each for each in reads)}


def free_of(dimension: Dimension, follow: Mapping[str, Value]) -> Dimension:
    """The same range without conditions on settings that are no knobs."""
    freed = copy(dimension)
    kept = {name: values for name, values in dimension.when.items() if name not in follow}
    object.__setattr__(freed, "when", kept)  # a Choice is made of options, which replace() does not know
    return freed


def as_it_is(modality: str, reads: Mapping[str, Value]) -> Component:
    """A modality at its defaults but for what is read otherwise, without augmentation."""
    space = registry.modalities.load(modality).space
    found = {**{name: space[name].center() for name in space.structural()}, **reads}
    return Component(modality, counting(modality, found))


def counting(modality: str, settings: Mapping[str, Value]) -> dict[str, Value]:
    """The settings of a modality that count beside the others."""
    space = registry.modalities.load(modality).space
    return {name: value for name, value in settings.items() if space[name].active(settings)}


def learnable(
    specs: Mapping[str, InputSpec], views: Mapping[str, Mapping[str, InputSpec]]
) -> dict[tuple[str, str], InputSpec]:
    """What estimators read: ``(input, encoder)`` → the sight, that of an encoder with wishes where the usual one is too
    wide, the encoder's name empty where it is not. An input that is too wide in any sight is left out, unless it is the
    only one.
    """
    found = {}
    for name, spec in specs.items():
        sights = {"": spec, **views.get(name, {})}
        narrow = [sight for sight, each in sights.items() if vector_width(each) <= MOST_FEATURES]
        if narrow or len(specs) == 1:
            sight = narrow[0] if narrow else ""
            found[name, sight] = sights[sight]
    return found


def pretrained_sights(
    inputs: Mapping[str, tuple[str, InputSpec]], views: Mapping[str, Mapping[str, InputSpec]]
) -> dict[str, Mapping[str, Value]]:
    """Input → settings of its modality by which it is seen through pretrained weights, where that can be had.

    What an encoder asks for can be had where the encoder's sight is affordable.
    """
    found: dict[str, Mapping[str, Value]] = {}
    for name, (modality, _) in inputs.items():
        follow = following(modality)
        affordable = [dict(registry.encoders.load(encoder).reads) for encoder in views.get(name, {})]
        for knob, dimension in registry.modalities.load(modality).space.items():
            options = dimension.options if isinstance(dimension, Choice) else ()
            for option in options:
                if option in PRETRAINED and (knob not in follow or {knob: option} in affordable):
                    found[name] = {knob: option}
    return found


def n_features(specs: Iterable[InputSpec]) -> int:
    """How many numbers a row is to an estimator, its inputs side by side."""
    return sum(vector_width(spec) for spec in specs)


@dataclass(frozen=True)
class Sights:
    """How inputs are seen in one search.

    Attributes:
        follow: Settings of each input's modality that follow from the encoder, at their defaults.
        learned: What estimators read of each input, as settings of its modality; None takes all as they are.
        pretrained: What they read instead where ``estimator.pretrained`` says so.
        features: How many numbers a row is to them.
    """

    follow: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    learned: Mapping[str, Mapping[str, Value]] | None = None
    pretrained: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    features: int = 0

    @classmethod
    def of(cls, inputs: Mapping[str, tuple[str, InputSpec]], views: Mapping[str, Mapping[str, InputSpec]]) -> Sights:
        """Tell them from what is registered; see ``SearchSpace.build``."""
        read = learnable({name: spec for name, (_, spec) in sorted(inputs.items())}, views)
        return cls(
            {name: found for name, (modality, _) in inputs.items() if (found := following(modality))},
            {name: registry.encoders.load(sight).reads if sight else {} for name, sight in read},
            pretrained_sights(inputs, views),
            n_features(read.values()),
        )

    def of_encoder(self, name: str, modality: str, encoder: str, settings: Mapping[str, Value]) -> Component:
        """The modality of an input: its knobs, and what follows from the encoder."""
        if name not in self.follow:
            return Component(modality, settings)
        found = {**settings, **self.follow[name], **registry.encoders.load(encoder).reads}
        return Component(modality, counting(modality, found))

    def of_estimator(self, inputs: Mapping[str, str], *, pretrained: bool) -> dict[str, Component]:
        """The modalities of what an estimator reads; ``inputs`` names those of all."""
        read: dict[str, Mapping[str, Value]] = {name: {} for name in inputs}
        read = read if self.learned is None else dict(self.learned)
        read |= self.pretrained if pretrained else {}
        return {name: as_it_is(inputs[name], reads) for name, reads in sorted(read.items())}

    def within(self, knobs: Mapping[str, SearchKnob], inputs: Mapping[str, str]) -> Sights:
        """The same without what changed ranges no longer search, be it by a knob or by an encoder."""

        def kept(sights: Mapping[str, Mapping[str, Value]]) -> dict[str, Mapping[str, Value]]:
            return {name: reads for name, reads in sights.items() if _searched(reads, name, inputs[name], knobs)}

        learned = None if self.learned is None else kept(self.learned)
        return replace(self, learned=learned, pretrained=kept(self.pretrained))


def _searched(reads: Mapping[str, Value], name: str, modality: str, knobs: Mapping[str, SearchKnob]) -> bool:
    encoders = _options(knobs.get(f"{name}.encoder"))
    if any(dict(registry.encoders.load(str(option)).reads) == dict(reads) for option in encoders):
        return True
    return all(value in _options(knobs.get(f"{name}.{modality}.{knob}")) for knob, value in reads.items())


def _options(knob: SearchKnob | None) -> tuple[Value, ...]:
    """What a choice is among; nothing where it is none."""
    return knob.dimension.options if knob and isinstance(knob.dimension, Choice) else ()

"""The search space of a task as data: every knob of every component that fits, by its full path.

    inputs                     with several inputs: all of them, fused, or one alone
    table.encoder              which of the encoders that accept the input
    table.tabular.scaling      a knob of the input's modality
    table.mlp.depth            a knob of an encoder: counts where the input's encoder is this one
    loss, loss.focal.gamma     a loss that fits the task, and its knob; so too optimizer and, for several inputs, fusion
    training.batch_size        a knob of the training loop
    estimator                  which of scikit-learn's learners, where no network is meant
    estimator.extra_trees.max_features    a knob of a learner
    training.target, estimator.target     how a number to predict is seen

A configuration ("params") has a value for every knob that counts in it, and for no other. It is a network's, or an
estimator's, where ``estimator`` has a value: the two halves of a space.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autodl import registry
from autodl.errors import SpaceError, nearest
from autodl.records import Component, InputSpec, Task, TrialConfig
from autodl.space import Dimension, Value
from autodl.tuning._assembly import INPUTS, SearchKnob, all_inputs, assemble
from autodl.tuning._dimensions import (
    admit,
    default_value,
    distribution,
    draw,
    nearest_value,
    only_value,
    range_in_words,
    suggest,
)
from autodl.tuning._sights import Sights

if TYPE_CHECKING:
    import numpy as np
    import optuna

_SEEN = ("target", "pretrained")  # knobs that say how estimators see the data
__all__ = ["SearchKnob", "SearchSpace"]


@dataclass(frozen=True)
class SearchSpace:
    """All knobs of a search, in an order in which conditions look back only.

    Attributes:
        knobs: By path.
        inputs: The modality of each input.
        sights: How inputs are seen, by encoders and by estimators.
    """

    knobs: Mapping[str, SearchKnob]
    inputs: Mapping[str, str]
    sights: Sights = field(default_factory=Sights)

    @classmethod
    def build(
        cls,
        inputs: Mapping[str, tuple[str, InputSpec]],
        task: Task,
        rows: int,
        models: Sequence[str] | None = None,
        views: Mapping[str, Mapping[str, InputSpec]] | None = None,
    ) -> SearchSpace:
        """Assemble the space from what is registered.

        Args:
            inputs: The modality and the shape of each input.
            task: What is predicted; it decides which losses fit.
            rows: Number of training rows.
            models: The encoders and estimators to search among, or the words ``networks`` (all encoders) and ``all``;
                all that fit if None. An input that none of the encoders accepts is left to all that do, as long as
                another input is served.
            views: What encoders that see an input in their own way would see; see ``autodl.tuning.views``.

        Raises:
            UnknownNameError: A model that is not registered.
            SpaceError: No component fits, or two names collide.
        """
        knobs = assemble(inputs, task, rows, models, views or {})
        names = {name: inputs[name][0] for name in sorted(inputs)}
        return cls({knob.path: knob for knob in knobs}, names, Sights.of(inputs, views or {}))

    @cached_property
    def networks(self) -> SearchSpace:
        """The same with the knobs of networks only; there may be none."""
        return self._half(estimators=False)

    @cached_property
    def estimators(self) -> SearchSpace:
        """The same with the knobs of estimators only; there may be none."""
        return self._half(estimators=True)

    @property
    def has_networks(self) -> bool:
        """Whether networks are searched."""
        return any(not knob.of_estimator for knob in self.knobs.values())

    @property
    def has_estimators(self) -> bool:
        """Whether estimators are searched."""
        return any(knob.of_estimator for knob in self.knobs.values())

    def active(self, params: Mapping[str, Value]) -> Iterator[SearchKnob]:
        """The knobs that count in a configuration, in order."""
        return (knob for knob in self._meant(params).knobs.values() if knob.active(params))

    def suggest(self, trial: optuna.Trial) -> dict[str, Value]:
        """Ask a trial for a configuration, of a network if there are any; what has one value only is set, not asked."""
        return self._walk(lambda knob: suggest(trial, knob.path, knob.dimension), {})

    def random(self, generator: np.random.Generator, fixed: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """Draw a configuration that has some values fixed."""
        given = fixed or {}

        def take(knob: SearchKnob) -> Value:
            return given[knob.path] if knob.path in given else draw(knob.dimension, generator)

        return self._walk(take, given)

    def complete(self, partial: Mapping[str, Value]) -> dict[str, Value]:
        """Fill a configuration up with defaults.

        Raises:
            SpaceError: A path that does not exist or does not count here, or a value out of its range.
        """
        for path in partial:
            self.knob(path)
        params = self._walk(lambda knob: _value(knob, partial), partial, fixed=False)
        for path in partial:
            if path not in params:
                rules = " and ".join(
                    f"{other} is {' or '.join(map(str, values))}" for other, values in self.knobs[path].when
                )
                rules = rules or ("an estimator is meant" if self.knobs[path].of_estimator else "a network is meant")
                raise SpaceError(f"'{path}' may be set only where {rules}, however it was set elsewhere; leave it out")
        return params

    def nearest(self, wishes: Mapping[str, Value]) -> dict[str, Value]:
        """Return the configuration that comes nearest to some wishes.

        What the ranges forbid is moved to the nearest value that they hold, what does not count is left out, and what
        nobody wishes is at its default.
        """

        def take(knob: SearchKnob) -> Value:
            wished = knob.path in wishes
            return nearest_value(knob.dimension, wishes[knob.path]) if wished else default_value(knob.dimension)

        return self._walk(take, wishes)

    def knob(self, path: str) -> SearchKnob:
        """Return the knob of that path.

        Raises:
            SpaceError: There is none.
        """
        if path not in self.knobs:
            siblings = [known for known in self.knobs if known.rpartition(".")[0] == path.rpartition(".")[0]]
            raise SpaceError(f"no knob is called '{path}'; {nearest(path, siblings or self.knobs)}")
        return self.knobs[path]

    def structural(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """The part of a configuration that all members of a pack share."""
        return {knob.path: params[knob.path] for knob in self.active(params) if not knob.dimension.per_member}

    def distributions(self, params: Mapping[str, Value]) -> dict[str, optuna.distributions.BaseDistribution]:
        """Optuna's ranges of what ``suggest`` would ask for on the way to a configuration."""
        return {k.path: distribution(k.dimension) for k in self.active(params) if only_value(k.dimension) is None}

    def with_dimensions(self, dimensions: Mapping[str, Dimension]) -> SearchSpace:
        """Return a copy that searches other ranges for some paths."""
        changed = {path: replace(self.knobs[path], dimension=dimension) for path, dimension in dimensions.items()}
        knobs = {**self.knobs, **changed}
        return replace(self, knobs=knobs, sights=self.sights.within(knobs, self.inputs))

    def config(self, params: Mapping[str, Value], epochs: int, seed: int) -> TrialConfig:
        """Return the recipe that a whole configuration stands for.

        An estimator's has one epoch, and every input at its modality's defaults; one that is not searched, a baseline,
        stands at its defaults too.
        """
        if "estimator" in params:
            return self._estimator_config(params, seed)
        settings: defaultdict[tuple[str, ...], dict[str, Any]] = defaultdict(dict)
        for knob in self.active(params):
            settings[knob.owner][knob.name] = params[knob.path]

        def chosen(owner: str, choice: str = "") -> Component:
            name = settings[(owner,)][choice]
            return Component(name, settings[(owner, name)])

        read = [name for name in self.inputs if f"{name}.encoder" in params]
        return TrialConfig(
            modalities={
                name: self.sights.of_encoder(name, kind, settings[(name,)]["encoder"], settings[(name, kind)])
                for name, kind in self.inputs.items()
                if name in read
            },
            encoders={name: chosen(name, "encoder") for name in read},
            fusion=chosen("fusion") if "fusion" in params else None,
            loss=chosen("loss"),
            optimizer=chosen("optimizer"),
            training=settings[("training",)],
            epochs=epochs,
            seed=seed,
        )

    def _estimator_config(self, params: Mapping[str, Value], seed: int) -> TrialConfig:
        name = str(params["estimator"])
        own = [knob for knob in self.estimators.active(params) if knob.owner == ("estimator", name)]
        given = {knob.name: params[knob.path] for knob in own if knob.path in params}
        return TrialConfig(
            modalities=self.sights.of_estimator(self.inputs, pretrained=bool(params.get("estimator.pretrained"))),
            encoders={},
            loss=Component(""),
            optimizer=Component(""),
            training={knob: params[f"estimator.{knob}"] for knob in _SEEN if f"estimator.{knob}" in params},
            epochs=1,
            seed=seed,
            estimator=Component(name, given or registry.estimators.load(name).space.defaults()),
        )

    def params(self, config: TrialConfig) -> dict[str, Value]:
        """Return the configuration that a recipe came from: the inverse of ``config``."""
        settings: defaultdict[tuple[str, ...], dict[str, Any]] = defaultdict(dict)
        if config.estimator:
            name = config.estimator.name
            settings[("estimator",)].update(config.training)
            settings[("estimator", name)].update(config.estimator.settings)
            knobs = self.estimators.knobs.items()
            found = {path: settings[k.owner][k.name] for path, k in knobs if k.name in settings[k.owner]}
            return {"estimator": name, **found}
        settings[("training",)].update(config.training)
        if INPUTS in self.knobs:
            one, *others = config.encoders
            settings[(INPUTS,)][""] = all_inputs(self.inputs) if others else one
        for name, part in config.modalities.items():
            settings[(name, part.name)].update(part.settings)
        choices = [(name, "encoder", part) for name, part in config.encoders.items()]
        choices += [("loss", "", config.loss), ("optimizer", "", config.optimizer)]
        choices += [("fusion", "", config.fusion)] if config.fusion else []
        for owner, choice, part in choices:
            settings[(owner,)][choice] = part.name
            settings[(owner, part.name)].update(part.settings)
        knobs = self.networks.knobs.items()
        return {path: settings[knob.owner][knob.name] for path, knob in knobs if knob.name in settings[knob.owner]}

    def _half(self, *, estimators: bool) -> SearchSpace:
        knobs = {path: knob for path, knob in self.knobs.items() if knob.of_estimator == estimators}
        return self if len(knobs) == len(self.knobs) else replace(self, knobs=knobs)

    def _meant(self, values: Mapping[str, Value]) -> SearchSpace:
        """The half that some values are of."""
        return self.estimators if "estimator" in values or not self.has_networks else self.networks

    def _walk(
        self, take: Callable[[SearchKnob], Value], given: Mapping[str, Value], *, fixed: bool = True
    ) -> dict[str, Value]:
        """Go through the knobs that count in the half that is meant by what is given.

        With ``fixed``, those with one value only are not taken but set.
        """
        params: dict[str, Value] = {}
        for knob in self._meant(given).knobs.values():
            if knob.active(params):
                only = only_value(knob.dimension) if fixed else None
                params[knob.path] = take(knob) if only is None else only
        return params


def _value(knob: SearchKnob, partial: Mapping[str, Value]) -> Value:
    if knob.path not in partial:
        return default_value(knob.dimension)
    value = admit(knob.dimension, partial[knob.path])
    if value is None:
        allowed = range_in_words(knob.dimension)
        raise SpaceError(f"'{knob.path}' must be {allowed}, however {partial[knob.path]!r} came; change it")
    return value

"""Which estimator to fit next: each at its defaults, then small changes of the best, and some by chance.

Reference:
    Bäck: Evolutionary Algorithms in Theory and Practice, Oxford University Press (1996): selection by rank, mutation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from autodl import registry
from autodl.records import Task
from autodl.space import Choice, Value
from autodl.tuning._assembly import SearchKnob, fitting_estimators
from autodl.tuning._dimensions import admit, draw, near, only_value
from autodl.tuning.proposals import Known, Params, Proposal
from autodl.tuning.search_space import SearchSpace

_USEFUL = ("hist_gradient_boosting", "extra_trees", "linear_model", "random_forest", "k_neighbors")
_SLOW: Params = {  # many small steps: dearer, and mostly a little better
    "estimator.hist_gradient_boosting.learning_rate": 0.025,
    "estimator.hist_gradient_boosting.max_iter": 400,
}
_OTHER_SIGHT = _USEFUL[:3]  # also tried at their defaults on the target's logarithm, and through pretrained weights
_RANDOM_SHARE = 0.3
_FLOOR = 0.2  # of the choices, shared out evenly: no estimator is given up
_FADING = 0.5  # an estimator of the next rank is chosen half as often
_MOST_CHANGES = 3
_STEP = 0.2  # of a range: the standard deviation of a mutation
_TRIES = 32  # to find what was not tried before


class EstimatorProposer:
    """Proposes estimators, one at a time, each configuration once.

    Args:
        space: What may be proposed; its knobs of networks are left alone.
        greater_is_better: Which scores are good.
        seed: Of all chance.
        proposed: How many were proposed before, in an earlier session.
    """

    def __init__(self, space: SearchSpace, greater_is_better: bool, seed: int, proposed: int = 0) -> None:
        self.space = space.estimators
        self.sign = -1.0 if greater_is_better else 1.0
        self.seed = seed
        self.proposed = proposed
        self._own: list[Params] = []
        self._first = _firsts(self.space)

    @property
    def names(self) -> frozenset[str]:
        """The estimators that may be proposed."""
        return frozenset(str(first["estimator"]) for first in self._first)

    def next(self, known: Sequence[Known]) -> Proposal | None:
        """Return what to fit next; None where there is nothing, or nothing new.

        Args:
            known: All trials so far, those of networks and those under way too.
        """
        if not self.space.knobs:
            return None
        fitted = [each for each in known if each.record.config.estimator is not None]
        tried = [*(self.space.params(each.record.config) for each in fitted), *self._own]
        params, source = next(((first, "portfolio") for first in self._first if first not in tried), (None, ""))
        if params is None:
            params, source = self._drawn(fitted, tried)
        if params is None:
            return None
        self.proposed += 1
        self._own.append(params)
        return Proposal(params, source)

    def _drawn(self, known: Sequence[Known], tried: Sequence[Params]) -> tuple[Params | None, str]:
        generator = np.random.default_rng([self.seed, self.proposed, 1])  # 1: not the networks' draws
        best = self._best(known)
        for _ in range(_TRIES):
            name = self._pick(generator, best)
            changes = name in best and generator.random() >= _RANDOM_SHARE
            params = self._mutated(generator, best[name][1]) if changes else self._random(generator, name)
            if params not in tried:
                return params, "mutation" if changes else "random"
        return None, ""

    def _best(self, known: Sequence[Known]) -> dict[str, tuple[float, Params]]:
        """Loss and configuration of the best trial of each estimator that is searched and has a score."""
        best: dict[str, tuple[float, Params]] = {}
        for each in known:
            params = self.space.params(each.record.config)
            name = str(params["estimator"])
            if name not in self._names or each.record.score is None or not math.isfinite(each.record.score):
                continue
            loss = self.sign * each.record.score
            if name not in best or loss < best[name][0]:
                best[name] = (loss, params)
        return best

    def _pick(self, generator: np.random.Generator, best: dict[str, tuple[float, Params]]) -> str:
        """Draw an estimator by the rank of its best score; those without one come last."""
        names = sorted(self._names, key=lambda name: best[name][0] if name in best else math.inf)
        by_rank = _FADING ** np.arange(len(names))
        chances = (1 - _FLOOR) * by_rank / by_rank.sum() + _FLOOR / len(names)
        return names[int(generator.choice(len(names), p=chances))]

    def _random(self, generator: np.random.Generator, name: str) -> Params:
        return self.space.random(generator, {"estimator": name})

    def _mutated(self, generator: np.random.Generator, params: Params) -> Params:
        """Change one to three knobs; what newly counts is at its default."""
        best = self.space.nearest(params)
        knobs = [k for k in self.space.active(best) if k.path != "estimator" and only_value(k.dimension) is None]
        count = min(int(generator.integers(1, _MOST_CHANGES, endpoint=True)), len(knobs))
        chosen = [knobs[i] for i in generator.permutation(len(knobs))[:count]]
        return self.space.nearest({**best, **{knob.path: _moved(generator, knob, best[knob.path]) for knob in chosen}})

    @property
    def _names(self) -> tuple[str, ...]:
        dimension = self.space.knobs["estimator"].dimension
        return tuple(map(str, dimension.options)) if isinstance(dimension, Choice) else ()


def baselines(task: Task, rows: int, features: int) -> list[str]:
    """The estimators that every search of this task tries at their defaults, the quickest first.

    ``dummy`` and others that have nothing to set look at no feature, and are there however wide a row is.
    """
    fitting = fitting_estimators(task, rows, features)
    loaded = {name: registry.estimators.load(name) for name in registry.estimators.names()}
    plain = [name for name, each in loaded.items() if each.baseline and not each.space and task.kind in each.tasks]
    others = [name for name in fitting if loaded[name].baseline and loaded[name].space]
    return [*plain, *sorted(others, key=lambda name: -_USEFUL.index(name) if name in _USEFUL else 1)]


def baseline(space: SearchSpace, name: str) -> Proposal:
    """An estimator at its defaults; one that is searched too keeps within the ranges of the space."""
    wish: Params = {"estimator": name}
    found = space.estimators.nearest(wish) if space.has_estimators else {}
    return Proposal(found if found.get("estimator") == name else wish, "baseline")


def _firsts(space: SearchSpace) -> list[Params]:
    """Each estimator at its defaults, the most useful first, and the best of them with other sights of the data."""
    if not space.knobs:
        return []
    dimension = space.knobs["estimator"].dimension
    names = sorted(
        map(str, dimension.options if isinstance(dimension, Choice) else ()),
        key=lambda name: _USEFUL.index(name) if name in _USEFUL else len(_USEFUL),
    )
    other: Params = {"estimator.target": "log"}
    pretrained: Params = {"estimator.pretrained": True}
    wishes: list[Params] = []
    for name in names:
        wishes.append({"estimator": name})
        if name == _USEFUL[0]:
            wishes += [{**wishes[-1], **other}, {**wishes[-1], **_SLOW}, {**wishes[-1], **other, **_SLOW}]
    wishes += [{"estimator": name, **pretrained} for name in names if name in _OTHER_SIGHT]
    wishes += [{"estimator": name, **other} for name in names if name in _OTHER_SIGHT]
    firsts: list[Params] = []
    for wish in wishes:
        params = space.nearest(wish)
        if params["estimator"] == wish["estimator"] and params not in firsts:
            firsts.append(params)
    return firsts


def _moved(generator: np.random.Generator, knob: SearchKnob, value: Value) -> Value:
    """Another option, or a number nearby."""
    dimension = knob.dimension
    if isinstance(dimension, Choice):
        others = [option for option in dimension.options if option != admit(dimension, value)]
        return others[int(generator.integers(len(others)))]
    found = near(dimension, value, generator, _STEP)
    return draw(dimension, generator) if found == value else found

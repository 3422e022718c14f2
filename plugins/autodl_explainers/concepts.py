"""Whether a concept that example inputs show moves the output (TCAV)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.space import Choice, Integer, Space
from autodl_explainers._donors import parts
from autodl_explainers._influence_directions import directions, random_directions
from autodl_explainers._influence_layers import Caught, Layer, Place, gradients, layers
from autodl_explainers._objections import first, missing, rewritable

FEWEST = 6
"""Rows that show a concept, below which no classifier is fitted and judged."""
HARDLY = 0.7
"""Accuracy below which a classifier hardly tells a concept's rows from others."""


class Concepts(Explainer):
    """TCAV: the share of explained rows whose output rises as a hidden layer's activations move towards a concept.

    The direction of a concept is that of a linear classifier (logistic regression) between rows that show it and as
    many background rows, fitted to two thirds of them and judged on the rest, for some random draws of both. One layer
    of each network is looked at; activations of several stand side by side. Where a concept comes without some inputs,
    these are taken from background rows. Rows at which the derivative is 0 count half.

    With ``layer`` "map" it is the last maps behind which the network still bends: those that the first layer after the
    last convolution reads, or, where that is the network's last layer, those that the last convolution reads. With
    "hidden", and in networks without convolutions, it is what the last layer with weights before the head answers.

    The test asks whether a concept is more than any set of rows: the same is done with random sets of as many
    background rows in its place; ``p`` is the share of those (the concept counted in) along whose direction the output
    changes as much or more, in size: mean cosine between direction and gradient. The score itself would not do for it,
    since where all rows' gradients point the same way, every direction has a score of 0 or 1. The test is two-sided,
    holds however few draws are made, and is not corrected for the number of concepts.

    ``values`` is empty: nothing is said of players. ``found``:

    * ``names``: the concepts, sorted;
    * ``scores`` (concepts): mean over the draws; ``spread`` (concepts): their standard deviation over the draws;
    * ``alignment`` (concepts): mean cosine between direction and gradient, over rows and draws; ``p`` (concepts);
    * ``accuracy`` (concepts): of the classifiers on rows they were not fitted to; one half is chance;
    * ``random`` (concepts random): alignments of the random sets that a concept is compared with;
    * ``layers``: names of the layers, one a network.

    Reference:
        Kim, Wattenberg, Gilmer, Cai, Wexler, Viegas, Sayres: Interpretability Beyond Feature Attribution: Quantitative
        Testing with Concept Activation Vectors (TCAV), arXiv 1711.11279; a permutation test in the place of its t-test,
        whose p falls with the number of draws alone.
        Pahde, Dreyer, Weckbecker, Weber, Anders, Wiegand, Samek, Lapuschkin: Navigating Neural Space: Revisiting
        Concept Activation Vectors to Overcome Directional Divergence, arXiv 2202.03482, for why the classifier's
        weights are held down.
    """

    needs: ClassVar[tuple[str, ...]] = ("concepts",)
    space: ClassVar[Space] = Space(
        layer=Choice(
            *("map", "hidden"), doc="which activations are looked at: the last maps, or the last hidden layer"
        ),
        pool=Choice(
            "mean", "none", doc="whether a concept is one wherever it is in a map, or there where it was shown"
        ),
        repeats=Integer(1, 20, default=5, limits=(1, 1000), doc="random draws of rows for each concept"),
        random=Integer(19, 200, default=40, limits=(1, 10_000), doc="random sets that each concept is compared with"),
    )

    def objection(self, question: Question) -> str | None:
        """No layer to look at, or too little to fit a classifier to."""
        return (
            first(rewritable(question), missing(question))
            or _few(question)
            or next((reason for name in sorted(question.concepts) if (reason := _unfit(question, name))), None)
            or self._layerless(question)
        )

    def attribute(self, question: Question) -> Attribution:
        """See the class."""
        return self.attribute_all(question, [question.target])[0]

    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        """The directions are the same for all outputs."""
        seen = [spot for each in layers(question) if (spot := self._spot(each))]
        names = sorted(question.concepts)
        background = self._activations(question, seen, question.background)
        shown = [self._activations(question, seen, _filled(question, name)) for name in names]
        ways, accuracies, by_chance = self._ways(question.seed, background, shown)
        slopes = self._slopes(question, seen, targets)
        rows = len(background) + sum(len(each) for each in shown) + len(question)
        answers = []
        for slope in slopes:
            told = {
                "scores": np.array([_shares(slope, each).mean() for each in ways]),
                "spread": np.array([_shares(slope, each).std() for each in ways]),
                "alignment": np.array([_alignment(slope, each) for each in ways]),
                "random": np.array([[_alignment(slope, each) for each in sets] for sets in by_chance]),
                "accuracy": np.array([each.mean() for each in accuracies]),
            }
            told["p"] = _p(told["alignment"], told["random"])
            answers.append(_answer(question, told))
        places = tuple(spot.name for spot in seen)
        return [replace(each, evaluations=rows, found={**each.found, "layers": places}) for each in answers]

    def _ways(
        self, seed: int, background: np.ndarray, shown: Sequence[np.ndarray]
    ) -> tuple[list[np.ndarray], list[np.ndarray], list[list[np.ndarray]]]:
        """Directions and accuracies of each concept, and directions of the random sets that it is compared with."""
        generator = np.random.default_rng(seed)
        repeats, sets = int(self.settings["repeats"]), int(self.settings["random"])
        sizes = [min(len(each), len(background) // 2) for each in shown]
        found = [
            directions(each, background, size, repeats, generator) for each, size in zip(shown, sizes, strict=True)
        ]
        chance = {
            size: list(random_directions(background, size, sets, repeats, generator)) for size in sorted(set(sizes))
        }
        return [ways for ways, _ in found], [right for _, right in found], [chance[size] for size in sizes]

    def _spot(self, called: Sequence[Layer]) -> _Spot | None:
        """Where a network is looked at; None where only the head has weights."""
        before = called[:-1]
        if not before:
            return None
        maps = [position for position, layer in enumerate(before) if layer.maps]
        if self.settings["layer"] == "hidden" or not maps:
            return _Spot(before[-1], into=False)
        last = maps[-1]
        if last + 1 < len(before):
            return _Spot(before[last + 1], into=True)
        return _Spot(before[last], into=last > 0)  # before the first layer there are no activations

    def _layerless(self, question: Question) -> str | None:
        for position, called in enumerate(layers(question)):
            spot = self._spot(called)
            if spot is None:
                return (
                    f"network {position} of the model has no layer with weights before its last, so that there are no "
                    "activations in which a concept could be a direction; explain it with shapley"
                )
            if spot.layer.calls > 1:
                return (
                    f"layer '{spot.layer.name}' of network {position} is called {spot.layer.calls} times for a row, so "
                    "that its activations are several; set 'layer' to another one"
                )
        return None

    def _activations(self, question: Question, seen: Sequence[_Spot], inputs: Mapping[str, Tensor]) -> np.ndarray:
        """Shape: {input: rows *shape} → rows activations."""
        found = []
        for part in parts(question, len(next(iter(inputs.values())))):
            with torch.enable_grad(), Caught([spot.place for spot in seen]) as caught:
                question.model({name: x[part] for name, x in inputs.items()})
            found.append(self._flat(seen, caught.leaves))
        return np.concatenate(found)

    def _slopes(self, question: Question, seen: Sequence[_Spot], targets: Sequence[int]) -> list[np.ndarray]:
        """For each output its gradient at the activations. Shape: → rows activations."""
        found: list[list[np.ndarray]] = [[] for _ in targets]
        for part in parts(question, len(question)):
            with torch.enable_grad(), Caught([spot.place for spot in seen]) as caught:
                outputs = question.model({name: x[part] for name, x in question.inputs.items()})
            for block, each in zip(found, gradients(caught, [outputs[:, target] for target in targets]), strict=True):
                block.append(self._flat(seen, each))
        return [np.concatenate(blocks) for blocks in found]

    def _flat(self, seen: Sequence[_Spot], values: Sequence[Tensor]) -> np.ndarray:
        """Of a map its mean over positions, where that is asked for. Shape: each rows … → rows activations."""
        pooled = self.settings["pool"] == "mean"
        flat = [(spot.pooled(value) if pooled else value.flatten(1)) for spot, value in zip(seen, values, strict=True)]
        return np.asarray(torch.cat(flat, 1).detach().double().cpu())


@dataclass(frozen=True, eq=False)
class _Spot:
    """A layer that is looked at, at what it reads (``into``) or answers."""

    layer: Layer
    into: bool

    @property
    def name(self) -> str:
        """The layer's, and on which side of it."""
        return f"{'before' if self.into else 'after'} {self.layer.name}"

    @property
    def place(self) -> Place:
        """For ``Caught``."""
        return Place(self.layer.module, self.into)

    def pooled(self, x: Tensor) -> Tensor:
        """The mean over the positions of maps, flattened ones included. Shape: rows … → rows activations."""
        shape = self.layer.before
        if self.into and shape is not None and x[0].numel() == math.prod(shape):
            x = x.reshape(len(x), *shape)
        is_map = x.dim() > 2 and (self.layer.maps or self.into)
        return x.flatten(2).mean(2) if is_map else x.flatten(1)


def _shares(slope: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """Share of rows that rise in each direction. Shape: rows activations, repeats activations → repeats."""
    return np.asarray((np.sign(slope @ ways.T).mean(0) + 1) / 2)


def _alignment(slope: np.ndarray, ways: np.ndarray) -> float:
    """Mean cosine of gradients and directions. Shape: rows activations, repeats activations."""
    length = np.linalg.norm(slope, axis=1, keepdims=True)
    length[length == 0] = 1.0  # a row that nothing moves is at a right angle to everything
    return float((slope / length @ ways.T).mean())


def _p(found: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Shape: concepts, concepts random → concepts."""
    farther = np.abs(chance) >= np.abs(found)[:, None] - 1e-12
    return np.asarray((1 + farther.sum(1)) / (1 + chance.shape[1]))


def _answer(question: Question, told: Mapping[str, np.ndarray]) -> Attribution:
    names = tuple(sorted(question.concepts))
    vague = [name for name, right in zip(names, told["accuracy"], strict=True) if right < HARDLY]
    notes = tuple(f"{name}: its rows are hardly told from background rows in this layer." for name in vague)
    empty = torch.zeros(len(question), 0, device=next(iter(question.inputs.values())).device)
    found = {"names": names, **{name: torch.from_numpy(each) for name, each in told.items()}}
    return Attribution(values=empty, base=empty.new_zeros(()), found=found, notes=notes)


def _filled(question: Question, name: str) -> dict[str, Tensor]:
    """A concept's rows with all inputs; those that it comes without are the background's."""
    shown = question.concepts[name]
    rows = len(next(iter(shown.values())))
    donor = torch.arange(rows) % len(next(iter(question.background.values())))
    return {each: shown[each] if each in shown else question.background[each][donor] for each in question.names}


def _few(question: Question) -> str | None:
    rows = len(next(iter(question.background.values())))
    if rows < 2 * FEWEST:
        least = f"at least {2 * FEWEST} background rows are needed to tell concepts from"
        return f"{least}, however {rows} came; hand over more"
    return None


def _unfit(question: Question, name: str) -> str | None:
    """What speaks against one concept."""
    shown = question.concepts[name]
    unknown = sorted(set(shown) - set(question.inputs))
    if unknown or not shown:
        known = ", ".join(question.names)
        return f"concept '{name}' must show inputs of the model, however it has {unknown or 'none'}; known: {known}"
    rows = len(next(iter(shown.values())))
    if rows < FEWEST:
        return f"at least {FEWEST} rows must show concept '{name}', however {rows} came; hand over more"
    if any(bool(x.isnan().any()) for x in shown.values()):
        return f"concept '{name}' has rows in which an input is missing; leave them out"
    return None

"""The nearest change, of as few columns as possible, that brings another answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.errors import nearest
from autodl.space import Choice, Float, Integer, Space
from autodl_explainers._donors import Deadline, answers, divided, outputs
from autodl_explainers._donors_search import Line, Metric, Swaps, candidates, cheapest, reverted
from autodl_explainers._objections import first


class _Names(Choice):
    """Any names at all: which there are, only a question tells."""

    def allows(self, value: Any) -> bool:
        return isinstance(value, str) or (isinstance(value, Sequence) and all(isinstance(each, str) for each in value))


class Counterfactual(Explainer):
    """For each row some players of one background row that bring the output across a line.

    The nearest background rows that bring the row across are tried: all players that may change are taken from one,
    then given back, first those together that are needed least by themselves, then one by one, each time the one that
    leaves the row farthest across, until none can be spared; the result with the least distance is kept. Distance is
    the number of changed players plus the mean change over all players, each the mean distance of its entries in units
    of their standard deviation over the background (1 where the input is missing, or one word is another). Every value
    is one that a background row has, and all of them stem from the same one: nothing is out of range.

    ``values``: how far the output would fall back if that one player were given back; 0 for players that stay.

    ``found``:

    * ``inputs``: {input: rows *shape}, the changed rows; the row itself where none is found;
    * ``outputs`` (rows outputs): their outputs;
    * ``changed`` (rows players): which players changed;
    * ``donor`` (rows): the background row that they come from; -1 where none is found;
    * ``reached`` (rows): whether a counterfactual is found;
    * ``distance`` (rows): as above; NaN where none is found.

    Reference:
        Wachter, Mittelstadt, Russell: Counterfactual Explanations without Opening the Black Box, arXiv 1711.00399.
        Mothilal, Sharma, Tan: Explaining Machine Learning Classifiers through Diverse Counterfactual Explanations,
        arXiv 1905.07697, for sparsity by giving features back.
        Brughmans, Leyman, Martens: NICE: An Algorithm for Nearest Instance Counterfactual Explanations,
        arXiv 2104.07411, for neighbours of another class as the source of values.
    """

    space: ClassVar[Space] = Space(
        desired=Choice(
            *("auto", "class", "higher", "lower", "either"),
            doc="class: the explained class is left, or becomes the likeliest; higher, lower, either: the explained "
            "number moves; auto: class where there are several outputs, else either",
        ),
        shift=Float(
            *(0.1, 3.0),
            default=1.0,
            limits=(0.0, 1e6),
            when={"desired": ("auto", "higher", "lower", "either")},
            doc="how far a number must move, in standard deviations of the background's outputs",
        ),
        candidates=Integer(1, 10, default=3, limits=(1, 10_000), doc="background rows tried for each row"),
        immutable=_Names("", doc="players that never change: names with commas between them, or a sequence of names"),
    )

    def objection(self, question: Question) -> str | None:
        """Names that nobody has, nothing that may change, no second class, or inputs that cannot be put together."""
        immutable = _names(self.settings["immutable"])
        unknown = [name for name in immutable if name not in question.players.names]
        if unknown:
            known = nearest(unknown[0], question.players.names)
            return f"no player is called '{unknown[0]}', which shall be immutable; {known}"
        if set(immutable) >= set(question.players.names):
            return "every player is immutable, so that nothing could change; leave one out of 'immutable'"
        one = {name: x[:1] for name, x in question.background.items()}
        if self.settings["desired"] == "class" and outputs(question, one).shape[1] < 2:
            return "there is a single output, so that no other class can be the likeliest; set desired to 'either'"
        return first(divided(question, question.inputs))

    def attribute(self, question: Question) -> Attribution:
        """See the class."""
        own, background = outputs(question, question.inputs), outputs(question, question.background)
        line = self._line(question.target, own, background)
        immutable = _names(self.settings["immutable"])
        mutable = torch.tensor([name not in immutable for name in question.players.names], device=own.device)
        metric = Metric.of(question, mutable)
        swaps, searched = candidates(metric, line, background, int(self.settings["candidates"]))
        swaps, given_back, in_time = reverted(question, line, swaps, Deadline(question))
        best = cheapest(swaps, len(question))
        swaps = swaps.at(best[best >= 0])
        told = _told(question, swaps, own)
        values, asked = _falls(question, swaps, told["outputs"])
        return Attribution(
            values=values,
            base=values.new_zeros(()),
            evaluations=2 * len(own) + len(background) + searched + given_back + asked,
            found=told,
            notes=_notes(line, len(own) - len(swaps), len(own), in_time),
        )

    def _line(self, target: int, own: Tensor, background: Tensor) -> Line:
        desired = self.settings["desired"]
        if desired == "auto":
            desired = "class" if own.shape[1] > 1 else "either"
        if desired == "class":
            return Line(target, own.argmax(1) == target, own[:, target])
        spread = float(background[:, target].double().std(correction=0))
        least = float(self.settings["shift"]) * spread if spread > 0 else float("inf")  # a constant cannot move
        return Line(target, None, own[:, target], {"higher": 1, "lower": -1, "either": 0}[desired], least)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names apart, whichever way they came."""
    names = given.split(",") if isinstance(given, str) else given
    return tuple(name.strip() for name in names if name.strip())


def _told(question: Question, swaps: Swaps, own: Tensor) -> dict[str, Any]:
    """``found``, from at most one swap a row."""
    row = swaps.row
    taken = question.players.at(row).spread(swaps.taken)
    inputs = {name: question.inputs[name].clone() for name in question.names}
    for name, x in inputs.items():
        x[row] = torch.where(taken[name], question.background[name][swaps.donor], x[row])
    changed = torch.zeros(len(own), len(question.players), dtype=torch.bool, device=own.device)
    donor = torch.full((len(own),), -1, device=own.device)
    distance = torch.full((len(own),), torch.nan, dtype=torch.float64, device=own.device)
    changed[row], donor[row], distance[row] = swaps.taken, swaps.donor, swaps.distance()
    told = {"inputs": inputs, "outputs": outputs(question, inputs), "changed": changed, "donor": donor}
    return {**told, "reached": donor >= 0, "distance": distance}


def _falls(question: Question, swaps: Swaps, after: Tensor) -> tuple[Tensor, int]:
    """How far each changed player given back takes the output back, and rows asked for it. Shape: → rows players."""
    which, player = swaps.taken.nonzero(as_tuple=True)
    jobs = swaps.without(which, player)
    values = after.new_zeros(len(after), len(question.players))
    for part, output in answers(question, question.inputs, question.background, jobs):
        row = jobs.row[part]
        values[row, player[part]] = (after[row] - output)[:, question.target]
    return values, len(jobs)


def _notes(line: Line, missed: int, rows: int, in_time: bool) -> tuple[str, ...]:
    """The line in words, and what is lacking."""
    way = {1: "higher", -1: "lower", 0: "higher or lower"}[line.way]
    found = [f"Across the line: the explained output is {way} by at least {line.least:.4g}."]
    if line.toggles is not None:
        found = ["Across the line: the explained class is the likeliest where it was not, and is not where it was."]
    if missed:
        found.append(f"No background row brings {missed} of {rows} rows across: they have no counterfactual.")
    if not in_time:
        found.append("The time was up before all players that are not needed were given back.")
    return tuple(found)

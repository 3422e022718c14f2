"""How good an explanation is: measured, always beside what random explanations get."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from autodl.attribution import Attribution, Question
from autodl.errors import ExplanationError, unknown_name
from autodl.explaining._quality_again import Explain, parameter_randomisation, sensitivity_max
from autodl.explaining._quality_agreement import Agreement as Agreement
from autodl.explaining._quality_agreement import agreement as agreement
from autodl.explaining._quality_agreement import stability as stability
from autodl.explaining._quality_game import Found, Game, game_of
from autodl.explaining._quality_measure import Measure as Measure
from autodl.explaining._quality_measure import measured
from autodl.explaining._quality_order import deletion_and_insertion, prediction_gaps
from autodl.explaining._quality_road import road
from autodl.explaining._quality_shape import shape
from autodl.explaining._quality_subsets import faithfulness_correlation, faithfulness_estimate, infidelity
from autodl.explaining.ask import untouched

MEASURES: dict[str, tuple[bool, str]] = {
    "deletion": (False, "area under the output while the players said to matter most are taken away first"),
    "insertion": (True, "area under the output while the players said to matter most come in first"),
    "infidelity": (False, "mean square by which sums of values miss what taking those players away does"),
    "infidelity_scaled": (False, "the same with the best factor: 0 is perfect, 1 is what saying nothing gets"),
    "faithfulness_correlation": (True, "correlation of sums of values with what taking those players away does"),
    "faithfulness_estimate": (True, "correlation of values with what taking away that player alone does"),
    "pgi": (True, "how far the output moves where the important players get other rows' entries"),
    "pgu": (False, "how far the output moves where all but the important players get other rows' entries"),
    "road_most_relevant_first": (False, "effect that is left without the pixels said to matter most (ROAD)"),
    "road_least_relevant_first": (True, "effect that is left without the pixels said to matter least (ROAD)"),
    "sensitivity_max": (False, "largest relative change of the values a little beside the row"),
    "parameter_randomisation": (
        False,
        "likeness of the values once the network has forgotten all; what is asked for is the random one's, about 0",
    ),
    "sparseness": (True, "Gini index of |values|: 0 all the same, near 1 one player has all; says nothing of truth"),
    "complexity": (False, "entropy of |values| in nats: 0 one player has all; says nothing of truth"),
}
"""Each measure's direction, and what it says."""

Family = Callable[[Game, torch.Generator], dict[str, Found]]
FAMILIES: tuple[tuple[tuple[str, ...], Family], ...] = (
    (("deletion", "insertion"), deletion_and_insertion),
    (("infidelity", "infidelity_scaled"), infidelity),
    (("faithfulness_correlation",), faithfulness_correlation),
    (("faithfulness_estimate",), faithfulness_estimate),
    (("pgi", "pgu"), prediction_gaps),
    (("road_most_relevant_first", "road_least_relevant_first"), road),
    (("sparseness", "complexity"), shape),
)
AGAIN = (
    (("sensitivity_max",), sensitivity_max),
    (("parameter_randomisation",), parameter_randomisation),
)


def measure(
    question: Question,
    attribution: Attribution,
    *,
    explain: Explain | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Measure]:
    """Return how good an explanation is by several measures.

    Players are taken away by giving their entries those of ``question.baseline``; what is missing stays missing. The
    model is left as it was.

    Args:
        question: What was asked; any callable model.
        attribution: What was answered; its ``target`` counts.
        explain: Explains another question about the same rows and players by the same method: → rows players. Without
            it the two measures that explain again are left out.
        names: The measures that are wanted; all that can be worked out if None.
        seed: Source of all chance.

    Raises:
        UnknownNameError: No measure is called so.
        ExplanationError: A measure was asked for by name that cannot be worked out here, or the method says nothing of
            players.
    """
    for name in names or ():
        if name not in MEASURES:
            raise unknown_name("measure", name, MEASURES)
    wanted = set(MEASURES if names is None else names)
    game = game_of(question, attribution)
    found: dict[str, Found] = {}
    with untouched(question.model, seed):
        for number, (known, family) in enumerate(FAMILIES):
            if wanted & set(known):
                found |= family(game, torch.Generator().manual_seed(seed + number))
        for number, (known, again) in enumerate(AGAIN):
            if explain is not None and wanted & set(known):
                found |= again(game, explain, torch.Generator().manual_seed(seed + len(FAMILIES) + number))
    defined = {name: each for name, each in found.items() if name in wanted and not bool(each.rows.isnan().all())}
    for name in names or ():
        if name not in defined:
            raise ExplanationError(
                f"measure '{name}' must have what it needs (two players that move the output; images for road; explain "
                "and a torch module for sensitivity_max and parameter_randomisation; background rows for pgi, pgu and "
                "sensitivity_max), however this question lacks it; leave it out of names"
            )
    return [measured(name, defined[name], *MEASURES[name]) for name in MEASURES if name in defined]

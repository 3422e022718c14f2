"""Known-good configurations that every search tries first, best first.

Where a user's space forbids a value of a recipe, the nearest one that it holds is taken; recipes of an encoder that it
leaves out are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from autodl.space import Choice, Value
from autodl.tuning._assembly import INPUTS, all_inputs
from autodl.tuning._media_recipes import IMAGES, SOUNDS, TEXTS
from autodl.tuning._recipes import VECTORS, Recipe
from autodl.tuning.search_space import SearchSpace

KINDS = (SOUNDS, TEXTS, IMAGES, VECTORS)
"""The first whose own encoders accept an input is the one for it; those of later kinds may accept it too."""
FUSIONS = ("concat", "late", "gated", "cross_attention", "low_rank", "bottleneck", "tensor_product")
"""The order in which fusions are tried; those that are not registered are left out, others follow."""

PICTURES = frozenset({"pooled_mlp", "efficientnet_lite0"})
"""Where both accept an image it is large enough for what a network learnt on ImageNet, and there is time for it: then
such encoders go first."""
BLEND: dict[str, Value] = {"fusion.concat.projection": 128}
"""Without a layer that blends the inputs, what stands side by side in front of a linear head would only add up."""


def portfolio(space: SearchSpace) -> list[dict[str, Value]]:
    """Return the configurations to try first in this space, best first, all different.

    Encoders that no recipe knows, such as a user's own, are tried second, at their defaults. With several inputs, the
    first recipes of each go together, then each input alone, then the first recipes by another fusion, the second ones
    by the next, and so on; the optimizer and the loop are those of an image's, a sound's or a text's recipe if there is
    one.
    """
    recipes = {name: _recipes(space, name) for name in space.inputs}
    found: list[dict[str, Value]] = []
    for wishes in _alone(space, recipes) if len(recipes) == 1 else _together(space, recipes):
        params = space.nearest(wishes)
        if params not in found:
            found.append(params)
    return found


def _alone(space: SearchSpace, recipes: Mapping[str, Sequence[Recipe]]) -> Iterator[dict[str, Value]]:
    (name,) = recipes
    for recipe in recipes[name]:
        yield recipe.wishes(name, space.inputs[name])


def _together(space: SearchSpace, recipes: Mapping[str, Sequence[Recipe]]) -> Iterator[dict[str, Value]]:
    """Wishes for several inputs."""
    every = all_inputs(space.inputs)
    fusions = _fusions(space)
    leaders = sorted(recipes, key=lambda name: recipes[name][0] in VECTORS, reverse=True)  # the last wish holds
    turns = len(recipes[leaders[-1]])

    def fused(turn: int, fusion: str) -> dict[str, Value]:
        wishes: dict[str, Value] = {}
        for name in leaders:
            wishes |= recipes[name][turn % len(recipes[name])].wishes(name, space.inputs[name])
        return {**wishes, INPUTS: every, "fusion": fusion, **BLEND, "training.length": 1.0}

    def alone(turn: int) -> Iterator[dict[str, Value]]:
        for name in space.inputs:
            if turn < len(recipes[name]):
                yield {**recipes[name][turn].wishes(name, space.inputs[name]), INPUTS: name}

    yield fused(0, fusions[0])
    yield from alone(0)
    for turn in range(1, max(turns + 1, len(fusions))):
        yield fused(turn - 1, fusions[turn % len(fusions)])
        if turn == 2:
            yield from alone(1)


def _fusions(space: SearchSpace) -> list[str]:
    choice = space.knobs["fusion"].dimension
    assert isinstance(choice, Choice), "internal error: the fusion is no choice"
    known = [str(option) for option in choice.options]
    return [*(name for name in FUSIONS if name in known), *(name for name in known if name not in FUSIONS)]


def _recipes(space: SearchSpace, name: str) -> list[Recipe]:
    """The recipes for one input, best first; at least one."""
    choice = space.knobs[f"{name}.encoder"].dimension
    assert isinstance(choice, Choice), f"internal error: the encoder of '{name}' is no choice"
    options = {str(option) for option in choice.options}
    recipes: Sequence[Recipe] = VECTORS
    for place, kind in enumerate(KINDS):
        later = {recipe.encoder for other in KINDS[place + 1 :] for recipe in other}
        if ({recipe.encoder for recipe in kind} - later) & options:
            recipes = kind
            break
    known = [recipe for recipe in recipes if recipe.encoder in options]
    if options >= PICTURES:
        known.sort(key=lambda recipe: recipe.encoder not in PICTURES)
    of_any = {recipe.encoder for kind in KINDS for recipe in kind}
    strangers = [Recipe(str(encoder)) for encoder in choice.options if encoder not in of_any]
    return [*known[:1], *strangers, *known[1:]] or [Recipe(str(choice.options[0]))]

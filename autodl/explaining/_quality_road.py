"""ROAD: pixels are removed so that nothing but their information is lost, then the model is asked again."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from autodl.explaining._quality_game import Found, Game, draw

SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Shares of an image's pixels that are removed."""
NOISE = 0.01
"""Of the background's range: deviation of what is added to removed pixels."""
DRAWS = 4
"""Random explanations: fewer than elsewhere, as each costs as many imputations."""
TOLERANCE, MOST_ITERATIONS = 1e-6, 1000
NEIGHBOURS = ((1 / 12, 1 / 6, 1 / 12), (1 / 6, 0.0, 1 / 6), (1 / 12, 1 / 6, 1 / 12))
"""Weights of a pixel's eight neighbours in what it is taken to be."""


def road(game: Game, generator: torch.Generator) -> dict[str, Found]:
    """The share of the effect that is left where an image's pixels are removed, most, or least, relevant ones first.

    A removed pixel becomes the weighted mean of its neighbours, removed ones among them, and a little noise. Of a row
    with several images, or views of one, the same share is removed of each. Random are the explanation's own maps
    moved to a random place, so that they are as coarse as it: scattered pixels are easier to fill in than patches
    (an explanation by segments: its values dealt out by chance).

    Reference:
        Yao Rong, Tobias Leemann, Vadim Borisov, Gjergji Kasneci, Enkelejda Kasneci: A Consistent and Efficient
        Evaluation Strategy for Attribution Methods, ICML 2022, arXiv 2202.00449, section 4 (noisy linear imputation).
    """
    images = [name for name in game.names if game.question.inputs[name].dim() == 4]
    if not images:
        return {}
    told: list[list[Tensor]] = []
    same: list[list[Tensor]] = []
    for part in _image_parts(game, images):
        maps = [relevance(part, images)]
        maps += [_elsewhere(part, images, generator) for _ in range(DRAWS)]
        orders = [{name: pixel_ranks(each, generator) for name, each in one.items()} for one in maps]
        orders.insert(1, {name: each.shape[1] - 1 - each for name, each in orders[0].items()})
        answers = [[_without(part, order, share, generator) for share in SHARES] for order in orders]
        told.append([torch.stack([out[:, game.question.target] for out in each], 1) for each in answers])
        best = part.ask(dict(part.question.inputs)).argmax(1)
        same.append([torch.stack([out.argmax(1) == best for out in each], 1) for each in answers])
    outputs = [torch.cat(each) for each in zip(*told, strict=True)]
    unchanged = [torch.cat(each).double() for each in zip(*same, strict=True)]
    there = torch.stack([~game.question.inputs[name].flatten(1).isnan().all(1) for name in images]).any(0)
    random = torch.stack(outputs[2:]).mean(0), torch.stack(unchanged[2:]).mean(0)
    return {
        name: _found(game, there, (outputs[place], unchanged[place]), random)
        for place, name in enumerate(("road_most_relevant_first", "road_least_relevant_first"))
    }


def relevance(game: Game, images: list[str]) -> dict[str, Tensor]:
    """What each pixel is worth, channels together, in the direction of the whole effect. Shape: → {input: rows h w}."""
    entries = {**game.question.players.spread(game.values), **(game.entries or {})}
    return {name: entries[name].sum(1) * game.direction[:, None, None] for name in images}


def pixel_ranks(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Each pixel's place from the most relevant, 0, down; ties by chance. Shape: rows h w → rows pixels."""
    flat = maps.flatten(1)
    mixed = draw(tuple(flat.shape), generator, flat.device).argsort(dim=1)
    order = mixed.gather(1, flat.gather(1, mixed).argsort(dim=1, descending=True, stable=True))
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def imputed(images: Tensor, removed: Tensor) -> Tensor:
    """Every removed pixel solves: the weighted mean of its neighbours; by conjugate gradients, all images at once.

    Shape: rows channels h w, BoolTensor rows h w → rows channels h w
    """
    x = images.double().nan_to_num()
    channels = x.shape[1]
    kernel = torch.tensor(NEIGHBOURS, dtype=x.dtype, device=x.device).expand(channels, 1, 3, 3)
    hole = removed[:, None].to(x.dtype)
    weight = F.conv2d(torch.ones_like(x), kernel, padding=1, groups=channels)  # less at the border

    def apply(y: Tensor) -> Tensor:
        return hole * (weight * y - F.conv2d(y, kernel, padding=1, groups=channels))

    right = hole * F.conv2d((1 - hole) * x, kernel, padding=1, groups=channels)
    known = (((1 - hole) * x).sum((2, 3)) / (1 - hole).sum((2, 3)).clamp_min(1))[:, :, None, None]
    y = hole * known
    residual = right - apply(y)
    step, size = residual, residual.square().sum((2, 3), keepdim=True)
    enough = TOLERANCE**2 * (right.square() + x.square()).sum((2, 3), keepdim=True)
    for _ in range(MOST_ITERATIONS):
        if bool((size <= enough).all()):
            break
        image = apply(step)
        along = size / (step * image).sum((2, 3), keepdim=True).clamp_min(1e-300)
        along = torch.where(size <= enough, 0.0, along)  # those that are done rest
        y = y + along * step
        residual = residual - along * image
        next_size = residual.square().sum((2, 3), keepdim=True)
        step = torch.where(size <= enough, step, residual + next_size / size.clamp_min(1e-300) * step)
        size = next_size
    return torch.where(removed[:, None], y, images.double())


def _without(game: Game, order: dict[str, Tensor], share: float, generator: torch.Generator) -> Tensor:
    """All outputs with a share of each image's pixels removed. Shape: → rows outputs."""
    inputs = dict(game.question.inputs)
    for name, places in order.items():
        x = inputs[name]
        removed = (places < int(share * places.shape[1])).view(len(x), *x.shape[2:])
        held = game.question.background.get(name, x[:0])
        held = held if held.numel() else x.nan_to_num()
        noise = torch.randn(x.shape, generator=generator).to(x) * NOISE * (held.max() - held.min())
        filled = imputed(x, removed).to(x) + torch.where(removed[:, None], noise, 0.0)
        inputs[name] = torch.where(x.isnan(), x, filled)
    return game.ask(inputs)


def _elsewhere(game: Game, images: list[str], generator: torch.Generator) -> dict[str, Tensor]:
    """A random explanation that is as coarse as the game's own."""
    found = relevance(replace(game.shuffled(generator), entries=None), images)
    entries = game.entries or {}
    for name, each in relevance(game, [name for name in images if name in entries]).items():
        _, height, width = each.shape
        down = (draw((len(each), 1), generator, each.device) * height).long() + torch.arange(height, device=each.device)
        across = (draw((len(each), 1), generator, each.device) * width).long() + torch.arange(width, device=each.device)
        rows = torch.arange(len(each), device=each.device)[:, None, None]
        found[name] = each[rows, (down % height)[:, :, None], (across % width)[:, None, :]]
    return found


def _found(game: Game, there: Tensor, own: tuple[Tensor, Tensor], random: tuple[Tensor, Tensor]) -> Found:
    """Means over shares of what is left, and the curves. Shape: rows, (rows shares) × 4."""
    left = [torch.where(there[:, None], game.left(each), torch.nan) for each in (own[0], random[0])]
    curve = {
        "share": torch.tensor(SHARES, dtype=torch.float64),
        "explanation": left[0].nanmean(0),
        "random": left[1].nanmean(0),
        "unchanged": own[1][there].mean(0),
        "random_unchanged": random[1][there].mean(0),
        "outputs": own[0],
    }
    return Found(left[0].mean(1), left[1].mean(1), curve)


def _image_parts(game: Game, images: list[str]) -> list[Game]:
    """Some rows at a time: an imputation holds about ten float64 copies of its images."""
    each = 80 * max(game.question.inputs[name][:1].numel() for name in images)
    step = max(1, game.question.memory // each)
    return [game.at(slice(start, start + step)) for start in range(0, len(game), step)]

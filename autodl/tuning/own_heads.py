"""The heads that inputs have beside a fusion, as networks of one input: what each says by itself, without training."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from autodl.fitted import FittedMember
from autodl.network import Network
from autodl.records import InputSpec
from autodl.training.settings import OF_SEVERAL

_MOVED = ("encoders.{0}", "heads.{0}", "baseline_{0}", "kept_{0}")
_TO = ("encoders.0", "head", "baseline_0", "kept_0")


def own_head(member: FittedMember, name: str, spec: InputSpec, n_outputs: int, number: int) -> FittedMember | None:
    """The encoder of one input and its head, as a member of its own.

    Args:
        member: A network of several inputs.
        name: One of them.
        spec: What it looks like.
        n_outputs: Width of a head.
        number: The new member's.

    Returns:
        None where that input has no head, or its encoder holds several predictors, of which a head reads the mean.
    """
    config, weights = member.config, member.weights
    at = sorted(config.encoders).index(name)
    if config.fusion is None or f"heads.{at}.weight" not in weights:
        return None
    kept: dict[str, Tensor] = {}
    for source, target in zip(_MOVED, _TO, strict=True):
        source = source.format(at)
        for key, tensor in weights.items():
            if key == source or key.startswith(f"{source}."):
                kept[target + key[len(source) :]] = tensor
    alone = replace(
        config,
        modalities={name: config.modalities[name]},
        encoders={name: config.encoders[name]},
        fusion=None,
        training={knob: value for knob, value in config.training.items() if knob not in OF_SEVERAL},
    )
    if Network.seeded(alone, {name: spec}, n_outputs).copies > 1:
        return None
    return replace(member, number=number, config=alone, weights=kept)

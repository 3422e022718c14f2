"""Adam and AdamW on a CPU by torch's fused step: weights, gradients and averages pass through the cache once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

from torch import Tensor

from autodl.contracts import ParameterLayout

FEWEST_PARAMETERS = 8_192  # below, a call a member costs more than the passes over memory that it saves
EPSILON = 1e-8
STREAMS = ("mean", "square")


@dataclass
class _Slices:
    """The columns of one member that decay, or those that do not, in parameters, gradients and averages."""

    tensors: tuple[list[Tensor], ...]
    step: Tensor
    decays: bool


class FusedAdam:
    """One call of torch's kernel for each member, and for the columns that decay and those that do not.

    Args:
        layout: Where each parameter lies.
        kernel: ``torch._fused_adamw_``, or ``torch._fused_adam_``.
    """

    def __init__(self, layout: ParameterLayout, kernel: Callable[..., Any]) -> None:
        self._runs = decay_runs(layout)
        self._kernel = kernel
        self._places: tuple[Any, ...] = ()
        self._slices: list[list[_Slices]] = []

    @staticmethod
    def pays(parameters: Tensor) -> bool:
        """Whether this is the faster way for parameters of that device and number."""
        return parameters.device.type == "cpu" and parameters.shape[1] >= FEWEST_PARAMETERS

    def update(
        self,
        parameters: Tensor,
        gradients: Tensor,
        state: Mapping[str, Tensor],
        settings: Mapping[str, Tensor],
        schedule: Tensor,
    ) -> None:
        """Take one step; see ``Optimizer.update``."""
        streams = (parameters, gradients, *(state[name] for name in STREAMS), state["steps"])
        places = tuple((stream.data_ptr(), stream.shape) for stream in streams)
        if places != self._places:  # cutting tensors to pieces takes longer than a step on them
            self._places, self._slices = places, self._cut(streams)
        state["steps"].add_(1)
        rates = (settings["learning_rate"] * schedule).flatten().tolist()
        own = zip(
            rates, *(settings[name].flatten().tolist() for name in ("weight_decay", "beta1", "beta2")), strict=True
        )
        for slices, (rate, decay, beta1, beta2) in zip(self._slices, own, strict=True):
            for part in slices:
                self._kernel(
                    *part.tensors,
                    [],
                    [part.step] * len(part.tensors[0]),
                    lr=rate,
                    beta1=beta1,
                    beta2=beta2,
                    weight_decay=decay if part.decays else 0.0,
                    eps=EPSILON,
                    amsgrad=False,
                    maximize=False,
                )

    def _cut(self, streams: tuple[Tensor, ...]) -> list[list[_Slices]]:
        *flat, steps = streams
        found = []
        for member in range(len(steps)):
            parts = []
            for decays in (True, False):
                spans = [(start, stop) for start, stop, kind in self._runs if kind is decays]
                if spans:
                    tensors = tuple([stream[member, start:stop] for start, stop in spans] for stream in flat)
                    parts.append(_Slices(tensors, steps[member, 0], decays))
            found.append(parts)
        return found


def decay_runs(layout: ParameterLayout) -> list[tuple[int, int, bool]]:
    """Return stretches of columns that all decay, or all do not: first, past the last, whether."""
    order = sorted(range(len(layout.names)), key=lambda index: layout.offsets[index])
    kinds = [len(layout.shapes[index]) > 1 for index in order]
    end = max((layout.offsets[i] + prod(layout.shapes[i]) for i in order), default=0)
    changes = [at for at, kind in enumerate(kinds) if at == 0 or kind is not kinds[at - 1]]
    starts = [*(layout.offsets[order[at]] for at in changes), end]
    return [(start, stop, kinds[at]) for (start, stop), at in zip(pairwise(starts), changes, strict=True)]

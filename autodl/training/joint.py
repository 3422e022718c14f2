"""Training several inputs together: whole inputs dropped, a loss for each input alone, none that outruns the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autodl.contracts import Inputs, Loss, Noise, ParameterLayout
from autodl.records import Task, TrialConfig


def there(inputs: Inputs) -> Tensor:
    """Which inputs a row has, in order of their names. Shape: {input: … batch *shape} → inputs … batch."""
    first = [inputs[name] for name in sorted(inputs)]
    return torch.stack([x.flatten(2)[:, :, 0].isnan().logical_not() for x in first])


class InputDropout:
    """Takes whole inputs away from single rows, so that a network learns to do without; never all that a row has.

    Args:
        configs: One a member.
        device: Where batches are.

    Reference:
        Neverova, Wolf, Taylor, Nebout: ModDrop: adaptive multi-modal gesture recognition, arXiv 1501.00102.
    """

    def __init__(self, configs: Sequence[TrialConfig], device: torch.device) -> None:
        rates = [float(config.training.get("input_dropout", 0.0)) for config in configs]
        self.drops = len(configs[0].modalities) > 1 and any(rates)
        self._rates = torch.tensor(rates, device=device).unsqueeze(1)

    def __call__(self, inputs: Inputs, noise: Noise) -> Inputs:
        """Shape: {input: members batch *shape} → the same, all NaN where an input is taken away."""
        if not self.drops:
            return inputs
        names = sorted(inputs)
        had = there(inputs)
        draws = noise(had.shape[2], len(names)).movedim(2, 0)  # inputs members batch
        left = had & (draws >= self._rates)
        luckiest = torch.where(had, draws, -1.0).argmax(0, keepdim=True)
        spared = had & torch.zeros_like(had).scatter_(0, luckiest, True)
        left |= spared & ~left.any(0)
        return {
            name: inputs[name].masked_fill(~kept.view(*kept.shape, *[1] * (inputs[name].dim() - 2)), torch.nan)
            for name, kept in zip(names, left, strict=True)
        }


class JointLoss:
    """The loss of the whole, of each input's own head where that input is there, and of heads that disagree.

    ``auxiliary`` is the weight of the mean over the inputs' own losses, ``alignment`` that of the mean over pairs of
    inputs of the symmetric Kullback-Leibler divergence of what their heads say (of numbers, half the squared
    difference). ``balance`` slows the encoders down that are ahead: see ``slow_down``.

    Args:
        configs: One a member, all of several inputs with heads of their own.
        loss: Of one prediction.
        task: What is predicted.
        layout: Where encoders' parameters lie.
        device: Where the pack is.

    Reference:
        Wang, Tran, Feiszli: What Makes Training Multi-modal Classification Networks Hard?, arXiv 1905.12681 (a head for
        each input). Peng, Wei, Deng, Wang, Hu: Balanced Multimodal Learning via On-the-fly Gradient Modulation,
        arXiv 2203.15332, equations 8 to 10.
    """

    def __init__(
        self, configs: Sequence[TrialConfig], loss: Loss, task: Task, layout: ParameterLayout, device: torch.device
    ) -> None:
        def column(name: str) -> Tensor:
            return torch.tensor([[float(config.training.get(name, 0.0))] for config in configs], device=device)

        self._loss, self._task = loss, task
        self._auxiliary, self._alignment, self._balance = map(column, ("auxiliary", "alignment", "balance"))
        self._aligns, self._balances = bool(self._alignment.any()), bool(self._balance.any())
        self._ranges = [_range(layout, index) for index in range(len(configs[0].encoders))]
        self._ahead: Tensor | None = None

    def __call__(self, outputs: Tensor, goals: Tensor, settings: Mapping[str, Any], had: Tensor) -> Tensor:
        """Return each row's loss.

        Shape:
            outputs: members batch 1+inputs outputs
            goals: members batch …
            had: inputs members batch
            returned: members batch
        """
        whole, *own = outputs.unbind(2)
        total = self._loss(whole, goals, settings)
        losses = torch.stack([self._loss(each, goals, settings) for each in own])
        kept = had.to(losses.dtype)
        mean = (losses * kept).sum(0) / kept.sum(0).clamp(min=1)
        total = total + self._auxiliary.to(mean) * mean
        if self._aligns:
            total = total + self._alignment.to(mean) * self._disagreement(torch.stack(own), kept)
        if self._balances:
            sure = (torch.exp(-losses.detach()) * kept).sum(2) / kept.sum(2).clamp(min=1)
            self._ahead = sure / ((sure.sum(0) - sure) / (len(sure) - 1)).clamp(min=1e-6)
        return total

    def slow_down(self, gradients: Tensor) -> None:
        """Scale the gradients of encoders that are ahead by 1 - tanh(balance · ratio), in place.

        The ratio is how sure an input's own head is of the truth (the batch mean of exp(-loss)) to the mean of the
        others; where it is at most 1, nothing changes. Generalises the paper's two inputs and one linear head to any
        number, fusion and loss. Shape: members parameters.
        """
        if not self._balances or self._ahead is None:
            return
        ahead = self._ahead.to(gradients)
        factors = torch.where(ahead > 1, 1 - torch.tanh(self._balance.to(gradients).T * ahead), 1.0)
        for (start, end), factor in zip(self._ranges, factors, strict=True):
            gradients[:, start:end] *= factor.unsqueeze(1)

    def _disagreement(self, own: Tensor, kept: Tensor) -> Tensor:
        """Mean over pairs of inputs that a row has. Shape: inputs members batch outputs → members batch."""
        said = own
        if not self._task.is_numeric:
            said = own.softmax(-1) if self._task.is_classification else own.sigmoid()
        total, count = torch.zeros_like(kept[0]), torch.zeros_like(kept[0])
        for one in range(len(own)):
            for other in range(one):
                both = kept[one] * kept[other]
                total = total + both * ((said[one] - said[other]) * (own[one] - own[other])).sum(-1) / 2
                count = count + both
        return total / count.clamp(min=1)


def _range(layout: ParameterLayout, index: int) -> tuple[int, int]:
    """Where the parameters of one encoder lie in a row; they stand side by side."""
    prefix = f"encoders.{index}."
    mine = [place for place, name in enumerate(layout.names) if name.startswith(prefix)]
    if not mine:
        return 0, 0
    return layout.offsets[mine[0]], layout.offsets[mine[-1]] + torch.Size(layout.shapes[mine[-1]]).numel()

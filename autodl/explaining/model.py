"""A predictor as one function of tensors: what explainers are asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from autodl.attribution import Quantity
from autodl.calibration import LEAST, Calibration
from autodl.contracts import Inputs
from autodl.errors import ExplanationError
from autodl.fitted import FittedEnsemble, FittedMember, has_any
from autodl.records import Task
from autodl.training.data import predictions

Model: TypeAlias = Callable[[Inputs], Tensor]


class NetworksModel(nn.Module):
    """Networks that predict together, as one module whose inputs are views: modality key → tensor.

    What comes out is what the predictor says, calibration included; or, as ``score``, the mean of what the networks'
    heads say (logits, standardised numbers), weighted by their shares, which no softmax bends. A network that reads
    nothing of a row has no vote there; where none has one, the row gets the predictor's prior, as a score 0.

    Args:
        ensemble: Where they stand.
        members: Those that count; none of them an estimator. Their shares are made to sum to 1.
        calibration: Of the whole predictor.
        quantity: What comes out.

    Shape:
        {key: batch *shape} → batch outputs
    """

    scales: Tensor
    biases: Tensor
    prior: Tensor

    def __init__(
        self, ensemble: FittedEnsemble, members: Sequence[FittedMember], calibration: Calibration, quantity: Quantity
    ) -> None:
        super().__init__()
        self.task, self.quantity = ensemble.task, quantity
        self.parts = [(member, network) for member in members for network in ensemble.networks_of(member)]
        self.networks = nn.ModuleList(network for _, network in self.parts)
        total = sum(member.share for member in members)
        self.shares = [member.share / total / member.folds for member, _ in self.parts]
        scales, biases = calibration.scales, calibration.biases
        self.gaps = any(len(ensemble.specs[key].shape) > 1 for each in members for key in each.keys.values())
        self.register_buffer("prior", torch.tensor(calibration.prior, dtype=torch.float32), persistent=False)
        self.register_buffer("scales", torch.tensor(scales, dtype=torch.float32), persistent=False)
        self.register_buffer("biases", torch.tensor(biases, dtype=torch.float32), persistent=False)

    def forward(self, inputs: Inputs) -> Tensor:
        """Shape: {key: batch *shape} → batch outputs."""
        said = [self._said(*part, inputs) for part in self.parts]
        there = [has_any(member, inputs) for member, _ in self.parts] if self.gaps else []
        if all(bool(each.all()) for each in there):
            return self._finished(sum(share * each for share, each in zip(self.shares, said, strict=True)))  # type: ignore[arg-type]
        total, votes = torch.zeros_like(said[0]), torch.zeros_like(said[0][:, :1])
        for share, each, has in zip(self.shares, said, there, strict=True):
            total = total + torch.where(has.unsqueeze(1), share * each, 0.0)
            votes = votes + share * has.unsqueeze(1).to(votes.dtype)
        known = votes > 0
        found = self._finished(total / torch.where(known, votes, 1.0))
        nothing = self.prior.to(found) if self.quantity != "score" and self.prior.numel() else torch.zeros_like(found)
        return torch.where(known, found, nothing)

    def _finished(self, mean: Tensor) -> Tensor:
        return self._calibrated(mean) if self.quantity == "probability" and self.scales.numel() else mean

    def _said(self, member: FittedMember, network: nn.Module, inputs: Inputs) -> Tensor:
        outputs: Tensor = network({name: inputs[key] for name, key in member.keys.items()})
        copies = int(network.copies)  # type: ignore[arg-type]
        if self.quantity == "score":
            return outputs.mean(-2) if copies > 1 else outputs
        found = predictions(outputs, self.task, member.config.training.get("target", "none"), copies)
        return found.unsqueeze(-1) if self.task.kind == "regression" else found

    def _calibrated(self, mean: Tensor) -> Tensor:
        """``Calibration.apply`` for tensors; see there."""
        scales, biases = self.scales.to(mean.dtype), self.biases.to(mean.dtype)
        if self.task.kind != "multilabel":
            return (mean.clamp_min(LEAST).log() * scales[0] + biases[0]).softmax(-1)
        logs = torch.stack([1 - mean, mean], -1).clamp_min(LEAST).log()  # batch targets 2
        return (logs * scales + biases).softmax(-1)[..., 1]


def explained_model(
    ensemble: FittedEnsemble, calibration: Calibration, quantity: Quantity, trial: int | None = None
) -> Model:
    """The predictor as a module where all its members are networks; else as a function without gradients.

    Args:
        ensemble: What predicts.
        calibration: Of its probabilities.
        quantity: What comes out.
        trial: The one member to look at; None for all.

    Raises:
        ExplanationError: There is no such member; or scores are asked of members that have none.
    """
    members = [each for each in ensemble.members if trial is None or each.number == trial]
    if not members:
        numbers = ", ".join(str(each.number) for each in ensemble.members)
        raise ExplanationError(
            f"the trial must be a member of the predictor, however {trial} is none; it has {numbers}"
        )
    learners = [each for each in members if each.config.estimator]
    if not learners:
        return NetworksModel(ensemble, members, calibration, quantity)
    if quantity == "score":
        names = ", ".join(f"{each.number} ({each.config.estimator.name})" for each in learners if each.config.estimator)
        raise ExplanationError(
            f"scores before softmax are what networks alone have, however members are estimators: {names}; "
            "explain probabilities or numbers, or one network by its trial"
        )
    return _opaque(ensemble, members, calibration)


def _opaque(ensemble: FittedEnsemble, members: Sequence[FittedMember], calibration: Calibration) -> Model:
    """Members of any kind as a function; large batches, as estimators take long to begin."""

    @torch.no_grad()
    def model(inputs: Inputs) -> Tensor:
        found = torch.as_tensor(calibration.apply(ensemble.mean(members, inputs)))
        first = next(iter(inputs.values()))
        found = found.to(first.dtype)
        return found.unsqueeze(-1) if found.dim() == 1 else found

    return model


def output_names(task: Task) -> tuple[str, ...]:
    """What each output is called: a class, a target, a quantile."""
    if task.is_classification:
        return tuple(str(label) for label in task.classes)
    if task.kind == "quantile":
        return tuple(f"{task.target} {level:g}" for level in task.quantiles)
    return task.targets


def natural_quantity(task: Task) -> Quantity:
    """What a user reads: probabilities, or numbers in the target's unit."""
    return "number" if task.is_numeric else "probability"


def networks_in(model: Model) -> tuple[nn.Module, ...]:
    """The networks in which layers are looked up."""
    if isinstance(model, NetworksModel):
        return tuple(model.networks)
    return (model,) if isinstance(model, nn.Module) else ()

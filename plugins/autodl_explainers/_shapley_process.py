"""Walsh terms of a game as a Gaussian process: values of few coalitions → Shapley values with their error.

A game is a sum of products c_T Π_{i in T} s_i over ±1 (present, absent). Half the difference between a coalition and
its complement holds the terms of odd size alone, and these are all that Shapley values depend on; half the sum holds
the even ones, on which interactions of pairs depend. Coefficients are taken as independent, with variance a_k Π w_i:
a_k for the size k of T, w_i for how much player i matters. The covariance of two coalitions then is the elementary
symmetric polynomial of the agreements of their members, in closed form: thousands of terms cost no more than one.

Reference:
    Lundberg, Lee: A Unified Approach to Interpreting Model Predictions, arXiv 1705.07874 (values by regression);
    Fumagalli et al.: KernelSHAP-IQ, arXiv 2405.10852 (regression on terms of higher order); Rasmussen, Williams:
    Gaussian Processes for Machine Learning, 2006, eq. 2.23-2.24 (posterior), 2.30 (likelihood), 5.12 (leave one out).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

ODD, EVEN = (1, 3, 5), (0, 2, 4)
SEEN, COLUMNS = 128, 24
"""Coalitions and columns by which the variances are chosen."""
LEAST, MOST = math.log(1e-6), math.log(1e3)
STEPS, FINER = (1.5, 0.6), (0.8,)
"""By which the logarithms of variances are changed, at first and once they are about right."""
CLEARLY = 0.1
"""What a step must gain, in twice the logarithm of the likelihood."""
NUGGET = 1e-9
AT_ONCE = 128
"""Rows of a covariance that are worked out together, so that they stay in the cache."""
FLOOR = 0.05
"""Of a mean player's weight: what is left to one that seems not to matter."""
LARGEST = 2**21
"""Numbers that may be held at a time where a pair of players has one for each coalition."""


@dataclass(frozen=True, eq=False)
class Process:
    """What is believed of a game's terms.

    Attributes:
        weights: ``(players,)``: how much each matters, 1 on average.
        orders: Sizes of terms.
        shares: Logarithm of the variance of all terms of each size, and last of all higher ones together, which count
            as noise, against the first size that is told from data (1, or 2).
    """

    weights: Tensor
    orders: tuple[int, ...] = ODD
    shares: tuple[float, ...] = (0.0, -2.5, -4.5, -6.0)

    def scales(self) -> list[float]:
        """The factor a_k of each size, then the noise, in a game of variance 1."""
        powers = [(self.weights**power).sum() for power in range(1, max(self.orders) + 1)]
        sums = elementary(powers, max(self.orders))
        shares = self.variance_shares()
        return [a / float(sums[k]) for a, k in zip(shares, self.orders, strict=False)] + shares[-1:]

    def variance_shares(self) -> list[float]:
        """Of the terms of each size, then of the noise; they sum to 1."""
        total = sum(map(math.exp, self.shares))
        return [math.exp(share) / total for share in self.shares]

    def terms(self, some: Tensor, signs: Tensor) -> list[Tensor]:
        """Correlation of coalitions by the terms of each size, whatever the shares.

        Shape:
            some: m players
            signs: n players
            → m n, one for each size
        """
        highest = max(self.orders)
        sizes = [(self.weights**power).sum() for power in range(1, highest + 1)]
        powers = [
            (some * self.weights**power) @ signs.T if power % 2 else sizes[power - 1] for power in range(1, highest + 1)
        ]
        sums, whole = elementary(powers, highest), elementary(sizes, highest)
        return [(sums[k] / whole[k]).expand(len(some), len(signs)) for k in self.orders]

    def mixed(self, terms: Sequence[Tensor]) -> Tensor:
        """Covariance of all coalitions, the first of which is everybody and known without noise."""
        *shares, noise = self.variance_shares()
        found = noise * torch.eye(len(terms[-1]), dtype=torch.float64)
        found[0, 0] = NUGGET
        for share, term in zip(shares, terms, strict=True):
            found.add_(term, alpha=share)
        return found

    def covariance(self, signs: Tensor) -> Tensor:
        """The same from the coalitions, some at a time. Shape: n players → n n."""
        *shares, noise = self.variance_shares()
        found = torch.empty(len(signs), len(signs), dtype=torch.float64)
        for start in range(0, len(signs), AT_ONCE):
            terms = self.terms(signs[start : start + AT_ONCE], signs)
            block = found[start : start + AT_ONCE].zero_()
            for share, term in zip(shares, terms, strict=True):
                block.add_(term, alpha=share)
        found.diagonal()[1:] += noise
        found[0, 0] += NUGGET
        return found

    def with_values(self, signs: Tensor) -> Tensor:
        """Covariance of coalitions with Shapley values. Shape: n players → n players."""
        alone = self.weights * signs
        powers = [(alone**power).sum(1, keepdim=True) - alone**power for power in range(1, max(self.orders))]
        sums = elementary(powers, max(self.orders) - 1)
        terms = (2 / k * a * sums[k - 1] for a, k in zip(self.scales(), self.orders, strict=False))
        return alone * sum(terms, torch.zeros(()).double())

    def with_interactions(self, signs: Tensor) -> Tensor:
        """Covariance of coalitions with Shapley interactions. Shape: n players → n players players."""
        alone = self.weights * signs
        left = max(self.orders) - 2
        powers = []
        for power in range(1, left + 1):
            own = alone**power
            powers.append(own.sum(1)[:, None, None] - own[:, :, None] - own[:, None, :])
        sums = elementary(powers, left)
        pairs = zip(self.scales(), self.orders, strict=False)
        terms = (4 / (k - 1) * a * sums[k - 2] for a, k in pairs if k >= 2)
        return alone[:, :, None] * alone[:, None, :] * sum(terms, torch.zeros(()).double())

    def variances(self) -> Tensor:
        """Of Shapley values before anything is known. Shape: → players."""
        highest = max(self.orders)
        powers = [(self.weights**power).sum() - self.weights**power for power in range(1, highest)]
        sums = elementary(powers, highest - 1)
        terms = ((2 / k) ** 2 * a * sums[k - 1] for a, k in zip(self.scales(), self.orders, strict=False))
        return self.weights * sum(terms, torch.zeros(()).double())

    def surprise(self, terms: Sequence[Tensor], worths: Tensor) -> float:
        """Twice the negative logarithm of the likelihood, each column with a scale of its own, per column."""
        factor = torch.linalg.cholesky(self.mixed(terms))
        squares = torch.linalg.solve_triangular(factor, worths, upper=False).square().sum(0)
        fit = squares.clamp_min(1e-30).log().mean()
        return float(len(worths) * fit + 2 * factor.diagonal().log().sum())

    def fitted(self, terms: Sequence[Tensor], worths: Tensor, steps: Sequence[float]) -> Process:
        """The same with the most likely shares, found by steps along each."""
        best, least = self, self.surprise(terms, worths)
        free = range(2 if 0 in self.orders else 1, len(self.shares))  # the constant stays, the next is the measure
        for step in steps:
            for index in free:
                for direction in (step, -step):
                    start = least
                    while True:
                        shares = list(best.shares)
                        shares[index] = min(MOST, max(LEAST, shares[index] + direction))
                        tried = replace(best, shares=tuple(shares))
                        now = tried.surprise(terms, worths)
                        if now >= least - CLEARLY:
                            break
                        best, least = tried, now
                    if least < start:
                        break
        return best


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of a game once some coalitions were asked.

    Attributes:
        signs: ``(coalitions, players)``: ±1; the first row is everybody.
        worths: ``(coalitions, columns)``: half the difference to the complement's worth (or half the sum).
    """

    process: Process
    signs: Tensor
    worths: Tensor

    def values(self) -> tuple[Tensor, Tensor]:
        """Shapley values and their standard errors. Shape: → columns players, columns players.

        The variance is the mean of two: the posterior's own, which errs low where the game is not as believed, and that
        of values as sums of worths that each err by as much as they surprised the others when left out, which sees
        noise that differs between small and large coalitions and errs high.
        """
        factor = torch.linalg.cholesky(self.process.covariance(self.signs))
        towards = self.process.with_values(self.signs)
        weights = torch.cholesky_solve(towards, factor)  # coalitions players
        inverse = torch.cholesky_inverse(factor)
        solved = torch.cholesky_solve(self.worths, factor)
        scale = (self.worths * solved).sum(0) / len(self.worths)
        known = (towards * weights).sum(0)
        believed = (self.process.variances() - known).clamp_min(0) * scale.unsqueeze(1)
        surprise = (solved / inverse.diagonal().unsqueeze(1))[1:]  # that of everybody is no noise
        seen = surprise.square().T @ weights[1:].square()
        return self.worths.T @ weights, ((believed + seen) / 2).sqrt()

    def interactions(self) -> Tensor:
        """Shapley interactions. Shape: → columns players players."""
        factor = torch.linalg.cholesky(self.process.covariance(self.signs))
        solved = torch.cholesky_solve(self.worths, factor)
        count = self.signs.shape[1]
        found = torch.zeros(self.worths.shape[1], count**2, dtype=torch.float64)
        step = max(1, LARGEST // count**2)
        for start in range(0, len(solved), step):
            towards = self.process.with_interactions(self.signs[start : start + step])
            found += solved[start : start + step].T @ towards.flatten(1)
        return found.view(-1, count, count)


def learn(process: Process, signs: Tensor, worths: Tensor, values: Tensor | None) -> Process:
    """The most likely process, by some coalitions and columns: all players alike, or as values so far tell them apart.

    Shape:
        signs: coalitions players
        worths: coalitions columns
        values: columns players, or None where nothing is known
    """
    spread = torch.linspace(0, len(signs) - 1, min(len(signs), SEEN)).long()  # the first coalitions are the singles
    some = torch.linspace(0, worths.shape[1] - 1, min(worths.shape[1], COLUMNS)).long()
    seen, judged = signs[spread], worths[spread][:, some]
    beliefs = [replace(process, weights=torch.ones_like(process.weights))]
    if values is not None:
        told = importance(values)
        beliefs += [replace(process, weights=weights / weights.mean()) for weights in (told, told.sqrt())]
    terms = [belief.terms(seen, seen) for belief in beliefs]
    best = min(range(len(beliefs)), key=lambda index: beliefs[index].surprise(terms[index], judged))
    return beliefs[best].fitted(terms[best], judged, STEPS if values is None else FINER)


def importance(values: Tensor) -> Tensor:
    """How much each player matters over all columns. Shape: columns players → players."""
    squares = values.square()
    shares = squares / squares.sum(1, keepdim=True).clamp_min(1e-300)
    mean = shares.mean(0)
    # a single column says little of what matters: its own errors would be believed
    floor = (FLOOR + 1 / len(values)) * mean.mean()
    return mean + floor if float(floor) > 0 else torch.ones_like(mean)


def elementary(powers: Sequence[Tensor], highest: int) -> list[Tensor]:
    """Elementary symmetric polynomials up to an order from sums of powers: Newton's identities."""
    found = [torch.ones((), dtype=torch.float64)]
    for order in range(1, highest + 1):
        total = torch.zeros((), dtype=torch.float64)
        for power in range(1, order + 1):
            sign = (-1) ** (power - 1)
            total = torch.addcmul(total, found[order - power], powers[power - 1], value=sign / order)
        found.append(total)
    return found

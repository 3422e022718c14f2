"""LIME: a weighted linear model of each row's neighbourhood, over players."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from autodl.attribution import Attribution, Question
from autodl.contracts import Explainer
from autodl.space import Float, Integer, Space
from autodl_explainers._game import Game, Table, tables


class Lime(Explainer):
    """How the output goes with the presence of each player, near the row: slopes of a weighted ridge regression.

    Coalitions are drawn with sizes alike, the same for all rows; what is absent is taken from background rows, over
    which outputs are averaged. A coalition with a share q of the players lies at cosine distance 1 - √q from the row.
    Slopes do not sum to the output, and shrink as ``ridge`` grows; there is no selection of features, which at a fixed
    penalty returns zeros for outputs as small as probabilities are. Standard errors allow for errors of unlike size.

    ``found`` holds ``r2``: ``(rows,)``, the weighted share of the neighbourhood's variance that the line explains, and
    ``intercept``: ``(rows,)``, its value where nobody is present.

    Reference:
        Ribeiro, Singh, Guestrin: "Why Should I Trust You?", arXiv 1602.04938, eq. 2 and section 3.4; White: A
        heteroskedasticity-consistent covariance matrix estimator, Econometrica 48, 1980, eq. 4.
    """

    space: ClassVar[Space] = Space(
        samples=Integer(100, 5000, log=True, limits=(4, 100000), default=1000, doc="coalitions a row"),
        kernel_width=Float(
            0.1, 1.0, log=True, limits=(0.01, 100.0), default=0.25, doc="cosine distance at which weights are 1/e"
        ),
        ridge=Float(
            1e-6,
            0.1,
            log=True,
            limits=(0.0, 10.0),
            default=1e-3,
            doc="penalty on slopes, as a share of the mean weighted variance",
        ),
    )

    def objection(self, question: Question) -> str | None:
        """A line through too few points is any line."""
        players, samples = len(question.players), self.settings["samples"]
        if samples < 2 * players + 2:
            return (
                f"{samples} samples do not tell {players} players apart, which takes at least {2 * players + 2}; "
                "raise samples"
            )
        return None

    def attribute(self, question: Question) -> Attribution:
        """Return the slopes of one output."""
        return self.attribute_all(question, [question.target])[0]

    def attribute_all(self, question: Question, targets: Sequence[int]) -> list[Attribution]:
        """Return the slopes of some outputs from the same evaluations."""
        game = Game(question, targets)
        shape = (len(targets), len(question), len(question.players))
        values, errors = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        r2, intercept = torch.zeros(shape[:2], dtype=torch.float64), torch.zeros(shape[:2], dtype=torch.float64)
        for table in tables(question):
            if not len(table):
                intercept[:, table.rows] = game.full[table.rows].T
                continue
            fit = self._fit(game, table, question.seed)
            rows, sides = table.rows.unsqueeze(1), (len(targets), len(table.rows), -1)
            values[:, rows, table.players] = fit[0].view(len(table.rows), len(targets), -1).transpose(0, 1)
            errors[:, rows, table.players] = fit[1].view(len(table.rows), len(targets), -1).transpose(0, 1)
            r2[:, table.rows], intercept[:, table.rows] = (each.view(sides[1], sides[0]).T for each in fit[2:])
        return [
            Attribution(
                values=values[index].to(game.device),
                base=torch.zeros((), dtype=torch.float64, device=game.device),
                standard_error=errors[index].to(game.device),
                evaluations=game.evaluations,
                found={"r2": r2[index], "intercept": intercept[index]},
            )
            for index in range(len(targets))
        ]

    def _fit(self, game: Game, table: Table, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Slopes and their errors, R² and intercept. Shape: → columns seats (twice), columns (twice)."""
        coalitions = neighbours(len(table), self.settings["samples"] - 1, seed)
        full = game.full[table.rows].unsqueeze(0)
        worths = torch.cat([full, game.worth(table, coalitions)]).flatten(1)
        present = torch.cat([torch.ones(1, len(table), dtype=torch.bool), coalitions]).double()
        distance = 1 - present.mean(1).sqrt()
        weights = torch.exp(-((distance / self.settings["kernel_width"]) ** 2)).unsqueeze(1)
        return weighted_ridge(present, worths, weights / weights.sum(), self.settings["ridge"])


def neighbours(players: int, count: int, seed: int) -> Tensor:
    """Coalitions whose sizes, 0 to all, are alike likely. Shape: → count players."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.randint(0, players + 1, (count, 1), generator=generator)
    return torch.rand(count, players, generator=generator).argsort(1).argsort(1) < size


def weighted_ridge(x: Tensor, y: Tensor, weights: Tensor, ridge: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Slopes with their errors, R² and intercept of many columns at once; the intercept is not shrunk.

    Shape:
        x: points features
        y: points columns
        weights: points 1, with a sum of 1
        → columns features (twice), columns (twice)
    """
    middle_x, middle_y = (weights * x).sum(0), (weights * y).sum(0)
    x, y = x - middle_x, y - middle_y
    normal = x.T @ (weights * x)
    normal.diagonal().add_(max(ridge, 1e-12) * normal.diagonal().mean() + 1e-300)
    solver = torch.linalg.solve(normal, (weights * x).T)  # features points
    slopes = (solver @ y).T
    left = y - x @ slopes.T
    spare = len(x) / max(1, len(x) - x.shape[1] - 1)
    errors = (spare * left.square().T @ solver.square().T).sqrt()
    whole = (weights * y.square()).sum(0)
    r2 = torch.where(whole > 0, 1 - (weights * left.square()).sum(0) / whole.clamp_min(1e-300), 1.0)
    return slopes, errors, r2, middle_y - slopes @ middle_x

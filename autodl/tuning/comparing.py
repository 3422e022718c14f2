"""Does fusing help? Each input alone, late fusion, the searched fusion and the predictor side by side, and what is said
where inputs or cells are missing: measured at the end of a search, on rows that nothing was fitted on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from autodl import registry
from autodl.contracts import Inputs
from autodl.explaining.contributions import measured, missing_curve
from autodl.explaining.model import explained_model, natural_quantity
from autodl.fitted import FittedEnsemble, FittedMember
from autodl.intervals import bootstrap_interval
from autodl.leaderboard import describe
from autodl.metrics import Metric
from autodl.predictor import Predictor
from autodl.records import Task, TrialConfig, TrialRecord
from autodl.tuning._sights import PRETRAINED
from autodl.tuning.own_heads import own_head
from autodl.tuning.prepared import Prepared
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.tensors import Goals

MOST_ROWS = 1000
MOST_INPUTS = 6  # of more, the inputs of one modality count as one
CHUNK = 64  # rows read together
KINDS = ("alone", "late", "fused")


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is compared.

    Attributes:
        run: The run.
        prepared: Fitted modalities.
        records: All trials.
        goals: Targets of the rows that trials were judged by.
        metrics: What is told, the one that steered first and the one that people ask for last.
        seed: Of all chance.
    """

    run: RunFolder
    prepared: Prepared
    records: Sequence[TrialRecord]
    goals: Goals
    metrics: Sequence[Metric]
    seed: int

    def told(self, predictor: Predictor, judged: np.ndarray, test: np.ndarray, seconds: float) -> dict[str, Any]:
        """Everything, as JSON values.

        Args:
            predictor: What the search ends with.
            judged: What it says of the judged rows.
            test: Positions of the test rows.
            seconds: Wall time, about: where it is short fewer rows are asked, drawn by chance.
        """
        until = time.monotonic() + seconds
        dataset = self.prepared.dataset
        frame, truth = dataset.frame.iloc[test], dataset.targets[test]
        some = np.sort(np.random.default_rng(self.seed).permutation(len(test))[:MOST_ROWS])
        names = sorted(self.prepared.claims)
        usual = self.metrics[-1]
        found: dict[str, Any] = {
            "inputs": names,
            "metric": usual.name,
            "greater_is_better": usual.greater_is_better,
        }
        if len(names) > 1:
            found["compared"] = self._compared(predictor, judged, frame, truth, until - 0.6 * seconds)
            views, _ = predictor.subject.ensemble.views(frame.iloc[some])
            found["contributions"] = self._contributions(predictor, views, truth[some], usual, _left(until) / 2)
        found["missing"] = missing_curve(
            predictor.predict_frame,
            frame.iloc[some],
            truth[some],
            usual,
            predictor.columns,
            seed=self.seed,
            seconds=_left(until),
        )
        found["pretrained"] = self._pretrained()
        return found

    def best(self) -> dict[tuple[str, str], TrialRecord]:
        """The best trial of each kind: ``("alone", input)``, ``("late", "")``, ``("fused", "")``."""
        sign = -1.0 if self.metrics[0].greater_is_better else 1.0
        found: dict[tuple[str, str], TrialRecord] = {}
        for record in sorted(self.records, key=lambda each: (sign * (each.score or 0.0), each.number)):
            usable = record.score is not None and record.state != "failed" and record.config.encoders
            if usable and (self.run.trial(record.number) / "weights.safetensors").exists():
                found.setdefault(kind_of(record.config), record)
        return found

    def _compared(
        self, predictor: Predictor, judged: np.ndarray, frame: pd.DataFrame, truth: np.ndarray, until: float
    ) -> list[dict[str, Any]]:
        best = self.best()
        order = sorted(best, key=lambda key: (KINDS.index(key[0]), key[1]))
        members = [self._member(best[key]) for key in order]
        heads = self._own_heads(members, predictor.task)
        asked, tested = self._predictions([*members, *heads.values()], predictor, frame, until)
        found = []
        for (kind, name), told in zip(order, tested, strict=False):
            record = best[kind, name]
            said = load_file(self.run.trial(record.number) / "predictions.safetensors")["predictions"].double().numpy()
            title = {"alone": f"{name} alone", "late": "late fusion", "fused": "fused"}[kind]
            found.append(
                {
                    **{"name": title, "kind": kind, "what": describe(record.config), "trial": record.number},
                    **({"input": name} if name else {}),
                    "validation": self._scores(said, self.goals.judged_targets),
                    "test": self._scores(told, truth[asked]),
                    "rows": len(asked),
                }
            )
        for (name, head), told in zip(heads.items(), tested[len(order) :], strict=True):
            found.append(
                {
                    **{"name": f"{name} by its head", "kind": "head", "trial": best["fused", ""].number, "input": name},
                    **{"what": f"head beside the fusion: {describe(head.config)}", "validation": {}},
                    **{"test": self._scores(told, truth[asked]), "rows": len(asked)},
                }
            )
        return [*found, self._whole(predictor, judged, truth)]

    def _whole(self, predictor: Predictor, judged: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        """The predictor's scores."""
        assert predictor.evidence is not None, "internal error: a predictor without evidence"
        scores = {
            "validation": self._scores(judged, self.goals.judged_targets, predictor),
            "test": self._scores(predictor.evidence.told, truth, predictor),
        }
        count = len(predictor.members)
        what = f"ensemble of {count} trials" if count > 1 else describe(predictor.members[0].config)
        return {"name": "predictor", "kind": "predictor", "what": what, "trial": None, "rows": len(truth), **scores}

    def _member(self, record: TrialRecord) -> FittedMember:
        """A trial by itself."""
        self.prepared.keys(record.config)
        weights = load_file(self.run.trial(record.number) / "weights.safetensors")
        return FittedMember(record.number, record.config, weights, 1.0)

    def _own_heads(self, members: Sequence[FittedMember], task: Task) -> dict[str, FittedMember]:
        """Input → its head in the best network that fuses, where it has one."""
        found: dict[str, FittedMember] = {}
        for member in members:
            if kind_of(member.config)[0] == "fused":
                for at, (name, key) in enumerate(member.keys.items()):
                    head = own_head(member, name, self.prepared.specs[key], task.n_outputs, -1 - at)
                    found |= {name: head} if head else {}
        return found

    def _predictions(
        self, members: Sequence[FittedMember], predictor: Predictor, frame: pd.DataFrame, until: float
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Which rows were asked, as many as time bears, and what each of some members says of them by itself.

        The prior is said where a member reads nothing of a row.
        """
        if not members:
            return np.arange(0), []
        ensemble = FittedEnsemble(members, self.prepared.modalities, self.prepared.specs, predictor.task)
        plain = replace(predictor.calibration, scales=(), biases=())
        order = np.random.default_rng(self.seed).permutation(len(frame))
        parts: list[list[np.ndarray]] = [[] for _ in members]
        asked = 0
        while asked < len(frame) and (asked == 0 or time.monotonic() < until):
            views, _ = ensemble.views(frame.iloc[order[asked : asked + CHUNK]])
            for part, member in zip(parts, ensemble.members, strict=True):
                part.append(plain.apply(ensemble.mean([member], views)))
            asked = min(asked + CHUNK, len(frame))
        return order[:asked], [np.concatenate(part) for part in parts]

    def _scores(
        self, told: np.ndarray, truth: np.ndarray, predictor: Predictor | None = None
    ) -> dict[str, list[float]]:
        """Each metric's value with its interval."""
        found = {}
        for metric in self.metrics:
            seen = predictor.calibration.judged(told, metric) if predictor else told
            interval = bootstrap_interval(metric.function, truth, seen, seed=self.seed)
            found[metric.name] = [float(metric.function(truth, seen)), *map(float, interval)]
        return found

    def _contributions(
        self, predictor: Predictor, views: Inputs, truth: np.ndarray, metric: Metric, seconds: float
    ) -> dict[str, Any]:
        """What inputs contribute to the predictor's score; of many inputs, those of one modality count as one."""
        ensemble, task = predictor.subject.ensemble, predictor.task
        groups: dict[str, list[str]] = {}
        kinds = {name: modality for name, (modality, _) in self.prepared.claims.items()}
        many = len(kinds) > MOST_INPUTS
        for member in ensemble.members:
            for name, key in member.keys.items():
                keys = groups.setdefault(kinds[name] if many else name, [])
                if key not in keys:
                    keys.append(key)
        model = explained_model(ensemble, predictor.calibration, natural_quantity(task))
        ordered = {name: groups[name] for name in sorted(groups)}
        return measured(model, views, ordered, truth, task, metric, seconds=seconds, seed=self.seed)

    def _pretrained(self) -> list[str]:
        """Whether weights that came with packages are worth having, a sentence for each input that could have them."""
        sentences = []
        for name in sorted(self.prepared.claims):
            scored = [r for r in self.records if r.score is not None and name in r.config.encoders]
            several = len(self.prepared.claims) > 1
            scored = [r for r in scored if not several or len(r.config.encoders) > 1]
            with_them = [r.score for r in scored if reads_pretrained(r.config, name)]
            without = [r.score for r in scored if not reads_pretrained(r.config, name)]
            if with_them and without:
                metric = self.metrics[0]
                best = max if metric.greater_is_better else min
                ahead, behind = best(with_them), best(without)  # type: ignore[type-var]
                gains = ahead != behind and best(ahead, behind) == ahead  # type: ignore[type-var]
                sentences.append(
                    f"Pretrained weights for '{name}' {'help' if gains else 'do not help'}: the best trial with them "
                    f"has a {metric.name} of {ahead:.4g}, the best without {behind:.4g} (validation)."
                )
        return sentences


def _left(until: float) -> float:
    """Seconds left; never none, as something must be said."""
    return max(0.2, until - time.monotonic())


def kind_of(config: TrialConfig) -> tuple[str, str]:
    """Whether a network reads one input of several, or fuses them, and how."""
    if config.fusion is None:
        return "alone", next(iter(config.encoders))
    return ("late" if registry.fusions.load(config.fusion.name).heads_first else "fused"), ""


def reads_pretrained(config: TrialConfig, name: str) -> bool:
    """Whether a network sees an input through weights that came with a package."""
    encoder = registry.encoders.load(config.encoders[name].name)
    settings = {**config.modalities[name].settings, **encoder.reads}
    return encoder.pretrained or not PRETRAINED.isdisjoint(map(str, settings.values()))

"""All trials of a run and what the journal says of them: the one place where a record changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from autodl.metrics import Metric
from autodl.records import TrialConfig, TrialRecord
from autodl.space import Value
from autodl.tuning.journal import Journal
from autodl.tuning.proposals import Known, Params, Proposal
from autodl.tuning.search_space import SearchSpace

Cost: TypeAlias = Callable[[TrialRecord, Mapping[str, Any]], "float | None"]
NO_PACK = -1
BASELINE = "baseline"


@dataclass(frozen=True)
class Entry:
    """One trial: its record, and what only the search needs to know."""

    record: TrialRecord
    params: dict[str, Value]
    pack: int

    @property
    def known(self) -> Known:
        """As the sampler sees it."""
        return Known(self.record, self.params, self.pack)


class Trials:
    """Every trial by number; whatever changes is in the journal before anybody hears of it.

    Args:
        journal: Where changes are written.
        metric: Which scores are good.
        cost: The second objective of a trial that left its pack, given what its worker said; None without.
    """

    def __init__(self, journal: Journal, metric: Metric, cost: Cost | None = None) -> None:
        self.journal = journal
        self.metric = metric
        self.cost = cost
        self.entries: dict[int, Entry] = {}

    @property
    def records(self) -> list[TrialRecord]:
        """All records, in order of their numbers."""
        return [entry.record for entry in self.entries.values()]

    @property
    def networks(self) -> list[Known]:
        """All trials of networks as the sampler sees them."""
        return [entry.known for entry in self.entries.values() if entry.record.config.estimator is None]

    @property
    def estimators(self) -> list[Known]:
        """All trials of estimators as their sampler sees them, baselines among them."""
        return [entry.known for entry in self.entries.values() if entry.record.config.estimator is not None]

    @property
    def searched(self) -> int:
        """Trials that count against ``--trials``: all but baselines."""
        return sum(entry.record.source != BASELINE for entry in self.entries.values())

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the best score; the earlier one if two are level."""
        return self.best_of(self.records)

    def best_of(self, records: Sequence[TrialRecord]) -> TrialRecord | None:
        """The best of some."""
        scored = [record for record in records if record.score is not None]
        return min(scored, key=self._loss) if scored else None

    @property
    def packs(self) -> int:
        """Packs proposed so far."""
        return 1 + max((entry.pack for entry in self.entries.values()), default=NO_PACK)

    def start(
        self, proposals: Sequence[Proposal], build: Callable[[Params, int], TrialConfig], pack: int, seed: int
    ) -> list[int]:
        """Number some new trials; each gets a seed of its own.

        Args:
            proposals: What to try.
            build: From a configuration and a seed to a recipe.
            pack: The pack that they share; ``NO_PACK`` for an estimator.
            seed: Of the whole search.
        """
        numbers = []
        for proposal in proposals:
            number = len(self.entries)
            config = build(proposal.params, seed * 1_000_003 + number)
            record = TrialRecord(number, "running", config, source=proposal.source)
            self.entries[number] = Entry(record, proposal.params, pack)
            facts = {"number": number, "pack": pack, "source": proposal.source, "config": config.to_json()}
            self.journal.append({"event": "trial", **facts})
            numbers.append(number)
        return numbers

    def running(self, numbers: Sequence[int]) -> None:
        """Trials go on from their rung."""
        for number in numbers:
            self._change(number, state="running")

    def heard(self, message: Mapping[str, Any], levels: Sequence[int]) -> TrialRecord:
        """Take over what a worker says of a trial that left its pack."""
        number = message["number"]
        record = self.entries[number].record
        rungs = dict(record.rungs)
        if message["score"] is not None:
            rungs |= {level: message["score"] for level in levels if record.epoch < level <= message["epoch"]}
        failed = bool(message["error"])
        waiting = "paused" if message["epoch"] in levels else "stopped"
        state = "failed" if failed else "complete" if message["ended"] else waiting
        numbers = ("score", "epoch", "best_epoch", "n_parameters", "error")
        changes = {name: message[name] for name in numbers}
        if failed:
            changes = {"error": message["error"]}
        seconds = max(record.seconds, message["seconds"])
        changes |= {"state": state, "rungs": rungs, "seconds": seconds}
        if self.cost is not None and not failed and message["score"] is not None:
            changes["cost"] = self.cost(replace(record, **changes), message)
        self.journal.append({"event": "heard", "number": number, **changes})
        return self._change(number, **changes)

    def fail(self, number: int, reason: str) -> TrialRecord:
        """A trial is given up."""
        changes = {"state": "failed", "error": reason}
        self.journal.append({"event": "heard", "number": number, **changes})
        return self._change(number, **changes)

    def prune_the_rest(self) -> None:
        """The search is over: what waits at a rung was pruned, what runs was stopped.

        Not written to the journal: a resumed search lets them go on.
        """
        for number, entry in self.entries.items():
            if entry.record.state in ("paused", "running"):
                self._change(number, state="pruned" if entry.record.state == "paused" else "stopped")

    def restore(self, entries: Sequence[Mapping[str, Any]], space: SearchSpace) -> None:
        """Rebuild all trials from a journal; those that ran when it ended wait again."""
        for entry in entries:
            number = entry.get("number", -1)
            if entry["event"] == "trial":
                config = TrialConfig.from_json(entry["config"])
                record = TrialRecord(number, "running", config, source=entry["source"])
                self.entries[number] = Entry(record, space.params(config), entry["pack"])
            elif entry["event"] == "heard":
                changes = {name: value for name, value in entry.items() if name not in ("event", "number")}
                if "rungs" in changes:
                    changes["rungs"] = {int(level): score for level, score in changes["rungs"].items()}
                if changes["state"] == "stopped":
                    changes["state"] = "running"
                self._change(number, **changes)

    def _change(self, number: int, **changes: Any) -> TrialRecord:
        entry = self.entries[number]
        record = replace(entry.record, **changes)
        self.entries[number] = replace(entry, record=record)
        return record

    def _loss(self, record: TrialRecord) -> tuple[float, int]:
        assert record.score is not None, "internal error: an unscored trial"
        return (-record.score if self.metric.greater_is_better else record.score), record.number

"""Where a search stands, as its events tell."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autodl import _cli_screens as screens
from autodl.tuning.events import EpochDone, Event, Finished, PackStarted, Said, Started, TrialChanged

if TYPE_CHECKING:
    from autodl.records import TrialRecord

_MOST_SAID = 3


class Progress:
    """Where a search stands, as its events tell."""

    def __init__(self) -> None:
        self.began = time.time()
        self.started: Started | None = None
        self.finished: Finished | None = None
        self.best: TrialRecord | None = None
        self.states: dict[int, str] = {}
        self.packs: dict[tuple[int, ...], tuple[PackStarted, int]] = {}
        self.said: deque[str] = deque(maxlen=_MOST_SAID)

    def take(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case Started():
                self.started = event
            case PackStarted():
                self._leave(event.numbers)
                self.packs[event.numbers] = event, event.epoch
            case EpochDone():
                for numbers, (pack, _) in self.packs.items():
                    if set(event.numbers) & set(numbers):
                        self.packs[numbers] = pack, event.epoch
            case TrialChanged():
                self.states[event.record.number] = event.record.state
                self.best = event.best
                self._leave((event.record.number,))
            case Said():
                self.said.append(screens.printable(event.text))
            case Finished():
                self.finished = event

    @property
    def running(self) -> int:
        """Trials that train now."""
        return sum(len(numbers) for numbers in self.packs)

    def counts(self) -> str:
        """Trials by what became of them, those that train now included."""
        resting = {number: state for number, state in self.states.items() if not self._trains(number)}
        return screens.counted({**Counter(resting.values()), "running": self.running})

    def best_in_words(self) -> str:
        """The best score, whose it is and what that is."""
        if self.best is None or self.started is None:
            return ""
        from autodl.leaderboard import describe

        what = screens.printable(describe(self.best.config))
        return f"{self.started.task.metric} {screens.score(self.best.score)}, trial {self.best.number}: {what}"

    def share(self) -> float:
        """How much of the time, else of the trials, is over."""
        if self.started is None:
            return 0.0
        if self.started.deadline is not None:
            return min(1.0, (time.time() - self.began) / max(1e-9, self.started.deadline - self.began))
        ended = sum(not self._trains(number) for number in self.states)
        return min(1.0, ended / self.started.trials) if self.started.trials else 0.0

    def left(self) -> str:
        """What is left of the time, else how long it has taken."""
        now = time.time()
        if self.started is not None and self.started.deadline is not None:
            return f"{screens.duration(self.started.deadline - now)} left"
        return f"{screens.duration(now - self.began)} so far"

    def _trains(self, number: int) -> bool:
        return any(number in numbers for numbers in self.packs)

    def _leave(self, numbers: Sequence[int]) -> None:
        """Trials leave the packs they were in."""
        gone = set(numbers)
        for members in [members for members in self.packs if gone & set(members)]:
            pack = self.packs.pop(members)
            rest = tuple(number for number in members if number not in gone)
            if rest:
                self.packs[rest] = pack

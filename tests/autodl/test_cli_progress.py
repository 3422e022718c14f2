from __future__ import annotations

import time
from typing import TYPE_CHECKING

from autodl._cli_progress import Progress
from autodl.tuning.events import EpochDone, PackStarted, Said

if TYPE_CHECKING:
    from conftest import Story


def told(*events: object) -> Progress:
    progress = Progress()
    for event in events:
        progress.take(event)  # type: ignore[arg-type]
    return progress


def test_counts_follow_the_story(story: Story) -> None:
    progress = Progress()
    counts = []
    for event in story:
        progress.take(event)
        counts.append(progress.counts())
    assert counts == [
        "none yet",
        "2 training",
        "3 training",
        "3 training",
        "1 waiting · 2 training",
        "2 waiting · 1 training",
        "2 waiting · 1 failed",
        "2 waiting · 1 failed",
        "1 waiting · 1 failed · 1 training",
        "1 complete · 1 waiting · 1 failed",
        "1 complete · 1 waiting · 1 failed",
    ]
    assert progress.best_in_words() == "roc_auc 0.9123, trial 0: mlp 3 × 256 gelu, adamw 0.0021"
    assert progress.finished is not None


def test_an_epoch_belongs_to_the_pack_that_holds_its_trials() -> None:
    progress = told(PackStarted((0, 1), "a", 0, 9), PackStarted((2,), "b", 9, 27), EpochDone((1,), 5, (0.5,)))
    assert {numbers: epoch for numbers, (_, epoch) in progress.packs.items()} == {(0, 1): 5, (2,): 9}


def test_a_pack_that_starts_again_stands_there_once() -> None:
    progress = told(PackStarted((0, 1, 2), "a", 0, 9), PackStarted((0, 1), "a", 0, 9))
    assert {numbers: pack.numbers for numbers, (pack, _) in progress.packs.items()} == {
        (2,): (0, 1, 2),
        (0, 1): (0, 1),
    }
    assert progress.running == 3


def test_the_share_is_of_the_time_or_else_of_the_trials(story: Story) -> None:
    progress = told(story.started())
    progress.began -= 60
    assert 0.4 < progress.share() < 0.6
    progress = told(
        story.started(deadline=None, trials=4), PackStarted((1,), "a", 0, 9), story.trial(0, "complete", 0.5)
    )
    assert progress.share() == 0.25
    assert told(story.started(deadline=None)).share() == told().share() == 0.0
    assert told(story.started(deadline=time.time() - 5)).share() == 1.0


def test_what_is_left_is_said_in_words(story: Story) -> None:
    assert told(story.started()).left() == "1 min left"
    assert told(story.started(deadline=None)).left() == "0 s so far"


def test_the_last_lines_said_are_kept_and_are_harmless() -> None:
    assert list(told(*(Said(f"{at}\x1b") for at in range(5))).said) == ["2\\x1b", "3\\x1b", "4\\x1b"]


def test_before_anything_is_known_there_is_no_best() -> None:
    assert told().best_in_words() == ""

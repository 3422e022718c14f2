from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pytest

from autodl._cli_screens import aligned, budget, closing, counted, duration, nearby, opening, outcome, printable, score
from autodl.records import Column, Schema

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Story


def test_the_first_screen_says_what_was_understood(story: Story) -> None:
    text = "\n".join(opening(story.started()))
    for expected in (
        r"^data +churn$",
        r"^task +predict 'left \[bold\]us\[/bold\]' \(no, yes\), judged by roc_auc\n +binary, two words$",
        r"^columns +2 numbers: age, \[red\]income\[/red\]\n +1 category: job$",
        r"^left out +id\\x1b\[2J, code \(an id: all 500 values differ\)$",
        r"^split +stratified by class, seed 0$",
        r"^search +57 hyperparameters on cpu × 2, 1 min left, until \d\d:\d\d:\d\d$",
        r"^note +3 images cannot be read$",
        rf"^run +{re.escape(str(story.folder))}$",
    ):
        assert re.search(expected, text, re.MULTILINE), expected
    assert text.count("left out") == text.count("split ") == 1  # what has a line of its own is no note


def test_ten_thousand_columns_do_not_flood_the_screen(story: Story) -> None:
    columns = [Column(f"c{at}", "number" if at % 2 else "ignored", "constant") for at in range(10_000)]
    lines = opening(story.started(schema=Schema(tuple(columns))))
    assert len(lines) < 20
    assert any("5000 numbers: c1, c3" in line for line in lines)
    assert sum("… " in line and "more" in line for line in lines) == 2


def test_the_last_screen_says_how_good_and_what_next(story: Story) -> None:
    *_, finished = story
    lines = closing(finished, "churn")
    text = "\n".join(lines)
    for expected in (
        r"^rank +trial +roc_auc +share +epochs +model$",
        r"^ +1 +0 +0\.9123 +0\.75 +9 +mlp 3 × 256 gelu, adamw 0\.0021$",
        r"^score +validation +test\nroc_auc +0\.9123 +0\.8987\naccuracy +0\.8500 +0\.8400$",
        r"^failed +1 × weights became infinite$",
        r"^columns +2 used: age, \[red\]income\[/red\]$",
        r"^trials +1 complete · 1 pruned · 1 failed; done after 58 s$",
        r"^next +autodl predict \S+ churn -o predictions\.csv\n +autodl evaluate \S+ churn\n +autodl leaderboard \S+$",
    ):
        assert re.search(expected, text, re.MULTILINE), expected


def test_the_last_screen_says_how_sure_it_is_of_the_score(story: Story) -> None:
    """The interval that 95 of 100 tests would fall into, beside the metrics that have one."""
    story.trial(0, "complete", 0.9123)
    lines = closing(story.finished(test_interval={"roc_auc": (0.8512, 0.9371)}), "churn")
    head = next(at for at, line in enumerate(lines) if line.startswith("score"))
    assert lines[head].split() == ["score", "validation", "test", "95", "%", "of", "tests"]
    assert lines[head + 1].split() == ["roc_auc", "0.9123", "0.8987", "0.8512", "–", "0.9371"]
    assert lines[head + 2].split() == ["accuracy", "0.8500", "0.8400"]
    assert len(lines[head]) == len(lines[head + 1])  # below each other


def test_baselines_and_the_honesty_of_intervals_are_told_where_they_are_known(story: Story) -> None:
    story.trial(0, "complete", 0.9123)
    before = closing(story.finished(), "churn")
    assert not any(line.startswith(("baselines", "intervals")) for line in before)
    told = {
        "baselines": {"dummy": 0.5, "linear_model": 0.8712, "broken": None},
        "test_coverage": {"asked": 0.9, "measured": 0.884, "size": 1.25},
    }
    text = "\n".join(closing(story.finished(**told), "churn", width=200))
    assert "baselines   dummy 0.5000 · linear_model 0.8712 · broken – (validation roc_auc)" in text
    assert "intervals   asked to hold 90% of the rows, they hold 88.4% of the test rows; mean size 1.2500" in text
    narrow = closing(story.finished(**told), "churn", width=60)
    assert all(len(line) <= 60 for line in narrow if line.startswith(("baselines", "intervals")))


def test_where_intervals_cannot_be_measured_nothing_is_said_of_them(story: Story) -> None:
    story.trial(0, "complete", 0.9123)
    assert not any("asked to hold" in line for line in closing(story.finished(test_coverage=None), "churn"))


@pytest.mark.parametrize("source", ["frame", ""])
def test_data_that_has_no_name_is_not_named(story: Story, source: str) -> None:
    *_, finished = story
    assert any("DATA -o" in line for line in closing(finished, source))


def test_names_in_commands_are_quoted(story: Story) -> None:
    *_, finished = story
    assert any("'my data.csv' -o" in line for line in closing(finished, "my data.csv"))


def test_screens_fit_their_width_but_for_what_is_copied(story: Story) -> None:
    *_, finished = story
    for width in (60, 80, 132):
        copied = ("run ", "next ", " " * 12 + "autodl ")
        for line in [*opening(story.started(), width), *closing(finished, "churn", width)]:
            assert len(line) <= width or line.startswith(copied)


def test_only_the_five_best_are_shown(story: Story) -> None:
    for number in range(9):
        story.trial(number, "complete", number / 10)
    lines = closing(story.finished(), "churn")
    ranks = [line.split()[0] for line in lines if line.endswith("adamw 0.0021")]
    assert ranks == ["1", "2", "3", "4", "5"]


def test_a_quiet_end_is_two_lines(story: Story) -> None:
    *_, finished = story
    assert outcome(finished) == ["roc_auc: test 0.8987, validation 0.9123", f"run: {story.folder}"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-3, "0 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (7200, "2 h")],
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.91234, "0.9123"), (-3.5, "-3.5000"), (21345.678, "21,345.7"), (None, "–"), (math.nan, "–")]
)
def test_scores(value: float | None, text: str) -> None:
    assert score(value) == text


def test_budgets_in_words(story: Story) -> None:
    assert budget(story.started(deadline=None)) == "without a limit"
    assert budget(story.started(deadline=None, trials=9)) == "9 trials"
    assert re.fullmatch(r"1 min left, until \S+ or 9 trials", budget(story.started(trials=9)))


def test_trials_by_state() -> None:
    assert counted({"failed": 1, "complete": 2, "paused": 3, "running": 4, "pruned": 0}) == (
        "2 complete · 3 waiting · 1 failed · 4 training"
    )
    assert counted({}) == "none yet"


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    assert printable("a\x1b[2J\nb\u202e") == r"a\x1b[2J\nb\u202e"
    assert printable("größe × 2") == "größe × 2"


def test_paths_below_the_user_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert nearby(tmp_path / "runs" / "a") == "runs/a"
    assert nearby(tmp_path.parent) == str(tmp_path.parent)
    assert nearby("breast_cancer") == "breast_cancer"


def test_cells_stand_below_each_other() -> None:
    assert aligned([["name", "n"], ["a", "10"]], left={0}) == ["name   n", "a     10"]

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from autodl import live
from autodl.tuning.events import EpochDone, PackStarted, Said

if TYPE_CHECKING:
    from conftest import Story


def drawn(progress: live.Progress, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, highlight=False)
    console.print(live.render(progress))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def terminal(width: int = 80) -> live.Terminal:
    environment = {"TERM": "xterm"}
    return live.Terminal(Console(file=io.StringIO(), width=width, height=40, force_terminal=True, _environ=environment))


def test_live_lines_say_time_trials_best_and_what_trains(story: Story) -> None:
    progress = live.Progress()
    events = list(story)
    for event in [*events[:5], events[7]]:
        progress.take(event)
    lines = drawn(progress).splitlines()
    assert lines[0].startswith("time") and "left" in lines[0]  # noqa: PT018  (one line, two facts)
    assert "1 waiting · 2 training" in lines[1]
    assert "roc_auc 0.9100, trial 0: mlp 3 × 256 gelu, adamw 0.0021" in lines[2]
    assert "epoch 4/9 · trial 1: mlp 3 × 256" in lines[3]
    assert "epoch 0/9 · trial 2: linear" in lines[4]
    assert "a worker died [x]" in lines[5]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_live_lines_never_wrap(width: int) -> None:
    progress = live.Progress()
    for at in range(9):
        progress.take(PackStarted((at,), "[red]" + "x" * 300, 0, 9))
        progress.take(Said("y" * 300))
    lines = drawn(progress, width).splitlines()
    assert len(lines) == 3 + 4 + 1 + 3
    assert max(map(len, lines)) <= width
    assert "and 5 more" in lines[7]
    assert "[red]" in lines[3]


def test_a_terminal_shows_first_screen_live_lines_and_last_screen(story: Story) -> None:
    view = terminal()
    for event in story:
        view(event)
    text = view.console.file.getvalue()  # type: ignore[attr-defined]
    first, last = text.index("predict 'left [bold]us[/bold]'"), text.index("autodl leaderboard")
    assert first < text.index("trials") < last
    assert "id\\x1b[2J" in text
    assert text.endswith(f"autodl leaderboard {story.folder}\n")


def test_a_terminal_is_left_as_it_was_when_a_search_breaks_off(story: Story) -> None:
    view = terminal()
    view(story.started())
    assert "\x1b[?25l" in view.console.file.getvalue()  # type: ignore[attr-defined]  # the cursor is hidden
    view.close()
    view.close()
    assert view.console.file.getvalue().count("\x1b[?25h") >= 1  # type: ignore[attr-defined]
    for thread in threading.enumerate():
        if "Refresh" in type(thread).__name__:
            thread.join(2.0)
            assert not thread.is_alive()


def test_drawing_is_cheap(story: Story) -> None:
    """Four drawings a second must not take a noticeable share of a core."""
    progress = live.Progress()
    for event in list(story)[:5]:
        progress.take(event)
    drawn(progress)
    began = time.process_time()
    for _ in range(20):
        drawn(progress)
    assert (time.process_time() - began) / 20 * live.REFRESHES_A_SECOND < 0.1


def test_plain_lines_for_what_is_no_terminal(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    view = live.Lines()
    for event in story:
        view(event)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("s  ", 1)[1] for line in lines if line.strip().startswith("0 s")] == [
        "best roc_auc 0.9100, trial 0: mlp 3 × 256 gelu, adamw 0.0021",
        "a worker died [x]",
        "best roc_auc 0.9123, trial 0: mlp 3 × 256 gelu, adamw 0.0021",
    ]
    assert lines[0].startswith("data")
    assert lines[-1].strip() == f"autodl leaderboard {story.folder}"
    assert not any("\x1b" in line for line in lines)


def test_plain_lines_say_now_and_then_that_it_goes_on(
    story: Story, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    view = live.Lines()
    view(story.started())
    view(PackStarted((0,), "mlp", 0, 9))
    clock = time.monotonic()
    for step in range(100):  # 25 seconds
        monkeypatch.setattr(time, "monotonic", lambda step=step: clock + step / 4)
        view(EpochDone((0,), step, (0.5,)))
    said = [line for line in capsys.readouterr().out.splitlines() if "1 training" in line]
    assert len(said) == 2


def test_quiet_says_the_outcome_alone(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    view = live.Quiet()
    for event in story:
        view(event)
    assert capsys.readouterr().out.splitlines() == live.screens.outcome(story.finished())


def test_silent_says_nothing_and_remembers(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    view = live.Silent()
    for event in story:
        view(event)
    assert capsys.readouterr() == ("", "")
    assert view.progress.finished is not None


@pytest.mark.parametrize(
    ("mode", "isatty", "term", "kind"),
    [
        ("silent", True, "xterm", live.Silent),
        ("quiet", True, "xterm", live.Quiet),
        ("show", False, "xterm", live.Lines),
        ("show", True, "dumb", live.Lines),
        ("show", True, "xterm", live.Terminal),
    ],
)
def test_the_view_suits_where_output_goes(
    mode: live.Mode, isatty: bool, term: str, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: isatty, raising=False)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", term)
    assert type(live.view(mode)) is kind


def test_a_reader_that_goes_away_does_not_cost_the_run() -> None:
    code = (
        "import os, sys\nfrom autodl import live\nview = live.Lines()\n"
        "os.close(0)\nfor _ in range(3): view.write(['x' * 100000])\nprint('still here', file=sys.stderr)"
    )
    command = f'{sys.executable} -c "$CODE" | true; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "CODE": code}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "still here\n")


def test_the_first_interrupt_stops_well_and_the_second_at_once(story: Story, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), live.watching("quiet") as watch:  # noqa: PT012  (the second one is meant)
        watch(story.started())
        os.kill(os.getpid(), signal.SIGINT)
        assert watch.stop.is_set()
        assert live.STOPPING in capfd.readouterr().err
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_before_there_is_anything_to_keep_is_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), live.watching("quiet"):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_termination_stops_well_however_often_it_comes(story: Story) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with live.watching("silent", (signal.SIGINT, signal.SIGTERM)) as watch:
        watch(story.started())
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert watch.stop.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupt_in_a_terminal_is_said_with_the_next_drawing(story: Story) -> None:
    view = terminal()
    view(story.started())
    view.interrupted()
    assert live.STOPPING in drawn(view.progress)
    view.close()


def test_another_thread_may_watch_without_signals() -> None:
    seen = []

    def run() -> None:
        with live.watching("silent") as watch:
            seen.append(watch.stop.is_set())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]

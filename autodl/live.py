"""The view of a running search: live in a terminal, plain lines elsewhere, little or nothing when asked.

    with watching("show") as watch:
        folder = search(source, data, options, listener=watch, stop=watch.stop)

The first Ctrl-C, or a SIGTERM, sets ``watch.stop``: the search ends well and keeps its best. The second one, and any
before the search has started, raises KeyboardInterrupt at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from autodl import _cli_screens as screens
from autodl._cli_progress import Progress
from autodl.tuning.events import EpochDone, Event, Finished, Said, Started, TrialChanged

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import Console, RenderableType

Mode: TypeAlias = Literal["show", "quiet", "silent"]
REFRESHES_A_SECOND = 4
SECONDS_BETWEEN_LINES = 10.0
STOPPING = "stopping well: keeping the best; Ctrl-C again to stop at once"
_MOST_PACKS = 4  # lines about what trains now


class Silent:
    """Listens, and says nothing: for ``--json``.

    Attributes:
        stop: Set when the search shall end well.
        progress: What was heard so far.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.progress = Progress()

    def __call__(self, event: Event) -> None:
        """Take an event in, and show it."""
        self.progress.take(event)
        self.show(event)

    def show(self, event: Event) -> None:
        """Say what is to be said of an event that was taken in."""

    def interrupted(self) -> None:
        """Say that the search is about to end; called from a signal's handler, where no lock may be taken."""
        os.write(2, f"{STOPPING}\n".encode())

    def close(self) -> None:
        """Leave the terminal as it was."""


class Quiet(Silent):
    """Says where the run is and how good, at the end."""

    def show(self, event: Event) -> None:
        """Say the outcome."""
        if isinstance(event, Finished):
            self.write(screens.outcome(event))

    def write(self, lines: Sequence[str]) -> None:
        """Print lines; a reader that has gone away must not cost the run."""
        try:
            print(*lines, sep="\n", flush=True)
        except BrokenPipeError:
            screens.hang_up()


class Lines(Quiet):
    """Plain lines: the first screen, a line for every better score and now and then, the last screen."""

    def __init__(self) -> None:
        super().__init__()
        self._spoke = time.monotonic()
        self._best: float | None = None

    def show(self, event: Event) -> None:
        """Say it, if it is worth a line."""
        match event:
            case Started():
                self.write(screens.opening(event))
            case Said():
                self._line(screens.printable(event.text))
            case Finished():
                source = self.progress.started.source if self.progress.started else ""
                self.write(screens.closing(event, source))
            case TrialChanged() if event.best is not None and event.best.score != self._best:
                self._best = event.best.score
                self._line(f"best {self.progress.best_in_words()}")
            case TrialChanged() | EpochDone() if time.monotonic() - self._spoke >= SECONDS_BETWEEN_LINES:
                self._line(f"{self.progress.counts()}; {self.progress.left()}")

    def _line(self, text: str) -> None:
        self._spoke = time.monotonic()
        self.write([f"{time.time() - self.progress.began:6.0f} s  {text}"])


class Terminal(Quiet):
    """A few lines at the bottom of a terminal that are drawn anew a few times a second.

    Args:
        console: Where to draw.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        from rich.live import Live

        self.console = console
        self._lock = threading.Lock()
        self._live = Live(
            get_renderable=self.render, console=console, refresh_per_second=REFRESHES_A_SECOND, transient=True
        )

    def __call__(self, event: Event) -> None:
        """Take an event in, and show it."""
        with self._lock:
            self.progress.take(event)
        self.show(event)

    def show(self, event: Event) -> None:
        """Print the first and the last screen; all between is drawn anew by itself."""
        width = self.console.width
        if isinstance(event, Started):
            self._print(screens.opening(event, width))
            self._live.start()
        elif isinstance(event, Finished):
            self.close()
            source = self.progress.started.source if self.progress.started else ""
            self._print(screens.closing(event, source, width))

    def interrupted(self) -> None:
        """Say it with the next drawing."""
        self.progress.said.append(STOPPING)

    def close(self) -> None:
        """Wipe the live lines off."""
        self._live.stop()

    def render(self) -> RenderableType:
        """The live lines."""
        with self._lock:
            return render(self.progress)

    def _print(self, lines: Sequence[str]) -> None:
        self.console.out(*lines, sep="\n", highlight=False)


def render(progress: Progress) -> RenderableType:
    """The live lines: time left, trials, best so far, what trains now, the last lines said."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    def line(label: str, text: str, style: str = "") -> Text:
        return Text.assemble((label.ljust(screens.LABEL), "bold"), (text, style), no_wrap=True, overflow="ellipsis")

    bar = Table.grid()
    share = ProgressBar(total=1.0, completed=progress.share(), width=40)
    bar.add_row(line("time", ""), share, Text(f"  {progress.left()}"))
    lines = [line("trials", progress.counts()), line("best", progress.best_in_words() or "none yet", "green")]
    packs = sorted(progress.packs.items(), key=lambda item: item[0])
    for at, (numbers, (pack, epoch)) in enumerate(packs[:_MOST_PACKS]):
        who = f"trial {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} trials from {numbers[0]}"
        text = f"epoch {epoch}/{pack.until} · {who}: {screens.printable(pack.what)}"
        lines.append(line("" if at else "now", text))
    if len(packs) > _MOST_PACKS:
        lines.append(line("", f"and {len(packs) - _MOST_PACKS} more"))
    lines += [line("", text, "yellow") for text in tuple(progress.said)]
    return Group(bar, *lines)


def view(mode: Mode) -> Silent:
    """The view that suits where standard output goes."""
    if mode == "silent":
        return Silent()
    if mode == "quiet":
        return Quiet()
    if not sys.stdout.isatty():
        return Lines()
    from rich.console import Console

    console = Console(highlight=False)
    return Terminal(console) if console.is_terminal and not console.is_dumb_terminal else Lines()


@contextmanager
def watching(mode: Mode, signals: Sequence[int] = (signal.SIGINT,)) -> Iterator[Silent]:
    """A view for as long as a search runs, which the given signals end well."""
    watch = view(mode)

    def handle(number: int, frame: FrameType | None) -> None:
        nothing_yet = watch.progress.started is None
        if nothing_yet or (watch.stop.is_set() and number == signal.SIGINT):
            raise KeyboardInterrupt
        if not watch.stop.is_set():
            watch.stop.set()
            watch.interrupted()

    main = threading.current_thread() is threading.main_thread()
    before: dict[int, Any] = {number: signal.signal(number, handle) for number in signals} if main else {}
    try:
        yield watch
    finally:
        watch.close()
        for number, handler in before.items():
            signal.signal(number, handler)

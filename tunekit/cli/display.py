"""What a person sees while a sweep runs: one calm table that redraws itself, or plain lines where nothing can."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tunekit.cli.sweep_words import ARM_COLUMNS, TOLD, EventWords, arm_row
from tunekit.cli.time_left import TimeLeft
from tunekit.wording import clock, plural, visible

if TYPE_CHECKING:
    from tunekit.journal import Event
    from tunekit.search import Search

SILENCE_S = 60.0
"""Plain lines: after so many seconds without a line, an epoch is worth one."""


class Progress:
    """Follows one run of a sweep. Use as a context manager and pass :meth:`watch` to ``run_sweep``."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._time_left: TimeLeft | None = None
        self._name = ""
        self._rows: list[tuple[str, ...]] = []
        self._left: tuple[float, float] | None = None
        self._said_at = time.monotonic()
        self._is_finalising = False
        self._words: EventWords | None = None

    def __enter__(self) -> Progress:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=2)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def watch(self, search: Search, event: Event | None) -> None:
        """Take one event of the sweep; None is the state found at the start."""
        if event is None:
            self._begin(search)
        elif self._words is not None:
            self._words.count(event)
            if self._live is None or _is_trouble(search, event):
                self._tell(search, event)
        if self._live is not None:
            self._look(search)

    def _begin(self, search: Search) -> None:
        self._time_left, self._name = TimeLeft(search.progress), search.sweep.name
        self._words = EventWords(search.progress)
        trials = search.record.trials.values()
        self._is_finalising = any(trial.phase == "finalise" for trial in trials)
        finished = sum(trial.state != "RUNNING" for trial in trials)
        again = sum(trial.state == "RUNNING" and bool(trial.earlier_failures) for trial in trials)
        if trials:
            retried = f"; {plural(again, 'trial')} that failed will be tried again" if again else ""
            self.say(f"going on: {plural(finished, 'trial')} finished before{retried}")

    # -- plain lines ---------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Print one line with the time before it."""
        self._said_at = time.monotonic()
        self._console.print(
            f"{time.strftime('%H:%M:%S')}  {visible(' '.join(text.splitlines()))}", markup=False, soft_wrap=True
        )

    def _tell(self, search: Search, event: Event) -> None:
        kind = event["event"]
        if self._words is None or kind not in TOLD:
            return
        if kind == "reported" and time.monotonic() - self._said_at < SILENCE_S:
            return
        trial = search.record.trials[event["trial_id"]]
        if (trial.phase == "finalise" or kind == "tested") and not self._is_finalising:
            self._is_finalising = True
            self.say("finalising: the best points on the final seeds, then test")
        self.say(f"{self._words.line(event)}{self._left_in_words()}")

    def _left_in_words(self) -> str:
        left = self._time_left.seconds_left() if self._time_left else None
        return "" if left is None else f"  about {clock(max(1.0, left))} left"

    # -- the live table ------------------------------------------------------------------------------------------

    def _look(self, search: Search) -> None:
        """Note what the table shows: it is drawn by another thread, while the record goes on changing in this one."""
        self._rows = [arm_row(search.progress, arm) for arm in search.sweep.arms]
        left = self._time_left.seconds_left() if self._time_left else None
        self._left = None if left is None else (time.monotonic(), left)

    def _render(self) -> Group:
        if self._time_left is None:
            return Group()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
        for column in ARM_COLUMNS:
            table.add_column(column, justify="left" if column in ("arm", "now") else "right", no_wrap=True)
        for row in self._rows:
            table.add_row(*row)
        times = f"{clock(self._time_left.elapsed_s)} elapsed"
        if self._left is not None:
            since, left = self._left
            times += f", about {clock(max(1.0, left - (time.monotonic() - since)))} left"
        return Group(Text.assemble((self._name, "bold"), f"   {times}"), table)


def _is_trouble(search: Search, event: Event) -> bool:
    """Whether an event is worth a line even beside the table."""
    failed = event["event"] == "finished" and search.record.trials[event["trial_id"]].state == "FAILED"
    return failed or event["event"] == "interrupted"

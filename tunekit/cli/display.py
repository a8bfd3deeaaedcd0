"""What a person sees while a sweep runs: one calm table that redraws itself, or plain lines where nothing can redraw.

Everything else that libraries print goes to a log file.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tunekit.cli.pace import Pace
from tunekit.errors import StorageError

if TYPE_CHECKING:
    from tunekit.journal import Event, TrialRecord
    from tunekit.search import Search
    from tunekit.sweep import Arm

PLAIN_WIDTH = 120
"""Columns where no terminal tells and no COLUMNS is set."""
SILENCE_S = 60.0
"""Plain lines: when nothing has been said for so long, an epoch is worth a line."""
SHOWN_EPOCHS = 3
"""Running trials an arm whose epochs the table shows."""


def console(file: Any = None, *, is_terminal: bool | None = None) -> Console:
    """A console on `file` (standard output) as wide as the terminal, or :data:`PLAIN_WIDTH` where there is none."""
    at_terminal = os.isatty(1) if is_terminal is None else is_terminal
    width = None if at_terminal or "COLUMNS" in os.environ else PLAIN_WIDTH
    return Console(file=file, force_terminal=at_terminal or None, width=width, highlight=False)


@contextmanager
def quiet(log: Path) -> Iterator[Console]:
    """Send whatever this process and its libraries print to `log`; the yielded console still reaches the user.

    Raises:
        StorageError: `log` cannot be written.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        stream = log.open("ab")
    except OSError as error:
        raise StorageError(f"cannot write {log}: {error.strerror or error}") from None
    sys.stdout.flush()
    sys.stderr.flush()
    is_terminal = os.isatty(1)
    saved = os.dup(1), os.dup(2)
    with stream, os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8", errors="replace") as user:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            yield console(user, is_terminal=is_terminal)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for original, number in zip(saved, (1, 2), strict=True):
                os.dup2(original, number)
                os.close(original)


@contextmanager
def quiet_for(log: Callable[[], Path | None]) -> Iterator[Console]:
    """Like `quiet`, where it shows only at the end whether there is a place to log to: `log` is asked then."""
    with tempfile.TemporaryDirectory(prefix="tunekit-") as scratch:
        noise = Path(scratch) / "noise"
        try:
            with quiet(noise) as console:
                yield console
        finally:
            path = log() if noise.stat().st_size else None
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab") as kept:
                    kept.write(noise.read_bytes())


@contextmanager
def patience(console: Console, message: str, *, is_logged: bool = False) -> Iterator[None]:
    """Say what is taking its time: in a terminal for as long as it takes, elsewhere as a line if `is_logged`."""
    if console.is_terminal and not console.is_dumb_terminal:
        with console.status(Text(message)):
            yield
        return
    if is_logged:
        console.print(message, markup=False, soft_wrap=True)
    yield


class Progress:
    """Follows one run of a sweep. Use as a context manager and pass :meth:`watch` to ``run_sweep``."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._pace: Pace | None = None
        self._name = ""
        self._rows: list[tuple[str, ...]] = []
        self._left: tuple[float, float] | None = None
        self._said_at = time.monotonic()
        self._is_finalising = False

    def __enter__(self) -> Progress:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=2)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*exception)

    def watch(self, search: Search, event: Event | None) -> None:
        """Take one event of the sweep; None is the state found at the start."""
        if event is None:
            self._begin(search)
        elif self._live is None or _is_trouble(search, event):
            self._tell(search, event)
        if self._live is not None:
            self._look(search)

    def _begin(self, search: Search) -> None:
        self._pace, self._name = Pace(search.progress), search.sweep.name
        finished = sum(trial.state != "RUNNING" for trial in search.record.trials.values())
        self._is_finalising = any(trial.phase == "finalise" for trial in search.record.trials.values())
        if search.record.trials:
            self._line(f"going on: {finished} trial{'s' * (finished != 1)} finished before")

    # -- plain lines ---------------------------------------------------------------------------------------------

    def _line(self, text: str) -> None:
        self._said_at = time.monotonic()
        self._console.print(f"{time.strftime('%H:%M:%S')}  {text}", markup=False, soft_wrap=True)

    def _tell(self, search: Search, event: Event) -> None:
        kind = event["event"]
        if kind not in ("finished", "tested", "interrupted", "reported"):
            return
        if kind == "reported" and time.monotonic() - self._said_at < SILENCE_S:
            return
        trial = search.record.trials[event["trial_id"]]
        if (trial.phase == "finalise" or kind == "tested") and not self._is_finalising:
            self._is_finalising = True
            self._line("finalising: the best points on the final seeds, then test")
        width = max(len(arm.name) for arm in search.sweep.arms)
        self._line(f"{trial.arm:{width}}  {_spelled(search, trial, event)}{self._left_in_words()}")

    def _left_in_words(self) -> str:
        left = self._pace.seconds_left() if self._pace else None
        return "" if left is None else f"  about {clock(max(1.0, left))} left"

    # -- the live table ------------------------------------------------------------------------------------------

    def _look(self, search: Search) -> None:
        """Note what the table shows: it is drawn by another thread, while the record goes on changing in this one."""
        self._rows = [_row(search, arm) for arm in search.sweep.arms]
        left = self._pace.seconds_left() if self._pace else None
        self._left = None if left is None else (time.monotonic(), left)

    def _render(self) -> Group:
        if self._pace is None:
            return Group()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
        for column in ("arm", "finished", "running", "pruned", "failed", "best dev", "now"):
            table.add_column(column, justify="left" if column in ("arm", "now") else "right", no_wrap=True)
        for row in self._rows:
            table.add_row(*row)
        times = f"{clock(self._pace.elapsed_s)} elapsed"
        if self._left is not None:
            since, left = self._left
            times += f", about {clock(max(1.0, left - (time.monotonic() - since)))} left"
        return Group(Text.assemble((self._name, "bold"), f"   {times}"), table)


def _row(search: Search, arm: Arm) -> tuple[str, ...]:
    found, planned = search.record.arm(arm.name), search.progress.num_trials_planned(arm)
    best = next((point.value for point in found.top(1)), None)
    running = list(found.running.values())
    finished = f"{found.num_searched - found.num(phase='search', state='RUNNING')}/{planned}"
    pruned, failed = (found.num(phase="search", state=state) for state in ("PRUNED", "FAILED"))
    counts = (str(len(running)), str(pruned), str(failed))
    tested = found.num_tested
    now = [f"{tested}/{search.progress.num_finals_planned(arm)} tested"] if tested else []
    training = [trial for trial in running if trial.num_attempts]
    epochs = ", ".join(f"{len(t.reports) + 1}/{t.config['training']['epochs']}" for t in training[:SHOWN_EPOCHS])
    more = f" +{len(training) - SHOWN_EPOCHS}" if len(training) > SHOWN_EPOCHS else ""
    now += [f"epoch {epochs}{more}"] if training else ["starting"] if running else []
    return (arm.name, finished, *counts, "" if best is None else _percent(best), ", ".join(now))


def _is_trouble(search: Search, event: Event) -> bool:
    """Whether an event is worth a line even beside the table."""
    failed = event["event"] == "finished" and search.record.trials[event["trial_id"]].state == "FAILED"
    return failed or event["event"] == "interrupted"


def _spelled(search: Search, trial: TrialRecord, event: Event) -> str:
    """One event in a line, without its arm."""
    who = f"seed {trial.seed}  {trial.trial_id}"
    if event["event"] == "interrupted":
        return f"interrupted: {event['reason']}; it goes on from its last epoch  {who}"
    if event["event"] == "tested":
        return f"test scored  {who}"
    if event["event"] == "reported":
        report, epochs = event["report"], trial.config["training"]["epochs"]
        return f"epoch {report['epoch']}/{epochs}  dev {_percent(report['value'])}  {who}"
    arm = search.sweep.arm(trial.arm)
    found = search.record.arm(arm.name)
    done = found.num_searched - found.num(phase="search", state="RUNNING")
    count = f"{done}/{search.progress.num_trials_planned(arm)}" if trial.phase == "search" else "final"
    return f"{count:5}  {_verdict(trial)}  {_settings(trial.params)}  {trial.duration_s:.1f} s  {who}"


def _verdict(trial: TrialRecord) -> str:
    assert trial.outcome is not None
    if trial.state == "FAILED":
        return f"FAILED: {trial.outcome.reason}"
    text = f"{trial.state:8}  dev {_percent(trial.outcome.value or 0):>6}"
    return f"{text}  stopped after epoch {len(trial.reports)}" if trial.state == "PRUNED" else text


def _settings(params: dict[str, Any]) -> str:
    return " ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())


def _percent(score: float) -> str:
    return f"{100 * score:.2f}"


def clock(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` below an hour.

    >>> clock(3723), clock(123.9)
    ('1:02:03', '2:03')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

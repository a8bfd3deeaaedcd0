"""What a person sees while a sweep runs: one calm table that redraws itself, or plain lines where nothing can."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tunekit.cli.time_left import TimeLeft
from tunekit.wording import clock, parameters, percent, plural, visible

if TYPE_CHECKING:
    from tunekit.journal import Event, TrialRecord
    from tunekit.search import Search
    from tunekit.sweep import Arm

SILENCE_S = 60.0
"""Plain lines: after so many seconds without a line, an epoch is worth one."""
SHOWN_EPOCHS = 3
"""Running trials per arm whose epochs the table shows."""


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
        self._num_ended: Counter[str] = Counter()
        """Search trials of each arm that have ended, one event after the other; the record may be ahead."""

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
        else:
            self._count(search, event)
            if self._live is None or _is_trouble(search, event):
                self._tell(search, event)
        if self._live is not None:
            self._look(search)

    def _begin(self, search: Search) -> None:
        self._time_left, self._name = TimeLeft(search.progress), search.sweep.name
        trials = search.record.trials.values()
        self._num_ended.update(t.arm for t in trials if t.phase == "search" and t.state != "RUNNING")
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

    def _count(self, search: Search, event: Event) -> None:
        if event["event"] == "finished":
            trial = search.record.trials[event["trial_id"]]
            self._num_ended[trial.arm] += trial.phase == "search"

    def _tell(self, search: Search, event: Event) -> None:
        kind = event["event"]
        if kind not in ("finished", "tested", "interrupted", "reported"):
            return
        if kind == "reported" and time.monotonic() - self._said_at < SILENCE_S:
            return
        trial = search.record.trials[event["trial_id"]]
        if (trial.phase == "finalise" or kind == "tested") and not self._is_finalising:
            self._is_finalising = True
            self.say("finalising: the best points on the final seeds, then test")
        width = max(len(arm.name) for arm in search.sweep.arms)
        self.say(f"{trial.arm:{width}}  {self._spelled(search, trial, event)}{self._left_in_words()}")

    def _spelled(self, search: Search, trial: TrialRecord, event: Event) -> str:
        """One event in a line, without its arm."""
        who = f"seed {trial.replicate}  {trial.trial_id}"
        if event["event"] == "interrupted":
            return f"interrupted: {event['reason']}; it goes on from its last epoch  {who}"
        if event["event"] == "tested":
            return f"test scored  {who}"
        if event["event"] == "reported":
            report, epochs = event["report"], trial.config["training"]["epochs"]
            return f"epoch {report['epoch']}/{epochs}  dev {_dev(report['value'])}  {who}"
        planned = search.progress.num_trials_planned(search.sweep.arm(trial.arm))
        count = f"{self._num_ended[trial.arm]}/{planned}" if trial.phase == "search" else "final"
        params = parameters(trial.params, join="=", between=" ")
        return f"{count:5}  {_verdict(trial)}  {params}  {trial.duration_s:.1f} s  {who}"

    def _left_in_words(self) -> str:
        left = self._time_left.seconds_left() if self._time_left else None
        return "" if left is None else f"  about {clock(max(1.0, left))} left"

    # -- the live table ------------------------------------------------------------------------------------------

    def _look(self, search: Search) -> None:
        """Note what the table shows: it is drawn by another thread, while the record goes on changing in this one."""
        self._rows = [_row(search, arm) for arm in search.sweep.arms]
        left = self._time_left.seconds_left() if self._time_left else None
        self._left = None if left is None else (time.monotonic(), left)

    def _render(self) -> Group:
        if self._time_left is None:
            return Group()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
        for column in ("arm", "finished", "running", "pruned", "failed", "best dev", "now"):
            table.add_column(column, justify="left" if column in ("arm", "now") else "right", no_wrap=True)
        for row in self._rows:
            table.add_row(*row)
        times = f"{clock(self._time_left.elapsed_s)} elapsed"
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
    return (arm.name, finished, *counts, "" if best is None else _dev(best), ", ".join(now))


def _is_trouble(search: Search, event: Event) -> bool:
    """Whether an event is worth a line even beside the table."""
    failed = event["event"] == "finished" and search.record.trials[event["trial_id"]].state == "FAILED"
    return failed or event["event"] == "interrupted"


def _verdict(trial: TrialRecord) -> str:
    assert trial.outcome is not None
    if trial.state == "FAILED":
        return f"FAILED: {trial.outcome.reason}"
    text = f"{trial.state:8}  dev {_dev(trial.outcome.value or 0):>6}"
    return f"{text}  stopped after epoch {len(trial.reports)}" if trial.state == "PRUNED" else text


def _dev(score: float) -> str:
    return percent(score, decimals=2)

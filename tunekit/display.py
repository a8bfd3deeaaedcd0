"""What a person sees while a sweep runs: one calm table that redraws itself, or plain lines where nobody redraws.

Everything else that libraries print goes to a log file.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tunekit.journal import TrialRecord
from tunekit.search import Search
from tunekit.sweep import Arm


@contextmanager
def quiet(log: Path) -> Iterator[Console]:
    """Send whatever this process and its libraries print to `log`; the yielded console still reaches the user."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    is_terminal = os.isatty(1)
    with log.open("ab") as stream, os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8") as user:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            width = None if is_terminal else 120
            yield Console(file=user, force_terminal=is_terminal, width=width, highlight=False)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for original, number in zip(saved, (1, 2), strict=True):
                os.dup2(original, number)
                os.close(original)


class Progress:
    """Follows one run of a sweep. Use as a context manager and pass :meth:`watch` to ``run_sweep``."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._search: Search | None = None
        self._started = time.monotonic()
        self._finished_before = 0
        self._is_finalising = False

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=2, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*exception)

    def watch(self, search: Search, event: dict[str, Any] | None) -> None:
        """Take one event of the sweep; None is the state found at the start."""
        if event is None:
            self._search, self._finished_before = search, _num_finished(search)
            if self._finished_before and self._live is None:
                self._line(f"going on: {self._finished_before} trials are finished already")
        elif self._live is None:
            self._tell(search, event)

    def _line(self, text: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')}  {text}", markup=False, soft_wrap=True)

    def _tell(self, search: Search, event: dict[str, Any]) -> None:
        if event["event"] not in ("finished", "tested", "interrupted"):
            return
        trial = search.record.trials[event["trial_id"]]
        if trial.phase == "finalise" and not self._is_finalising:
            self._is_finalising = True
            self._line("finalising: the best points on every seed, then test")
        done = sum(t.state != "RUNNING" for t in search.record.arm(trial.arm) if t.phase == "search")
        what = f"{trial.arm}  {trial.trial_id}  seed {trial.seed}"
        if event["event"] == "interrupted":
            self._line(f"{what}  interrupted ({event['reason']}); goes on from its last epoch")
        elif event["event"] == "tested":
            self._line(f"{what}  test scored")
        elif trial.outcome is not None:
            count = f"  {done}/{_planned(search, search.sweep.arm(trial.arm))}" if trial.phase == "search" else ""
            self._line(f"{what}{count}  {_verdict(trial)}  {_spelled(trial.params)}  {trial.duration_s:.1f} s")

    def _render(self) -> Table:
        search = self._search
        table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
        for column, justify in (("arm", "left"), ("done", "right"), ("running", "right"), ("pruned", "right"),
                                ("failed", "right"), ("best dev", "right"), ("now", "left")):  # fmt: skip
            table.add_column(column, justify=justify)  # type: ignore[arg-type]
        if search is None:
            return table
        for arm in search.sweep.arms:
            table.add_row(*_row(search, arm))
        elapsed = time.monotonic() - self._started
        table.caption = f"{search.sweep.name}   {_clock(elapsed)} elapsed{self._left(search, elapsed)}"
        table.caption_justify = "left"
        return table

    def _left(self, search: Search, elapsed: float) -> str:
        """An estimate from the trials finished in this run; silent until there are some."""
        done = _num_finished(search) - self._finished_before
        finals = sum(search.sweep.finalise.top * len(search.sweep.finalise.seeds) for _ in search.sweep.arms)
        left = sum(_planned(search, arm) for arm in search.sweep.arms) + finals - _num_finished(search)
        return f", about {_clock(elapsed / done * left)} left" if done >= 2 and left > 0 else ""


def _planned(search: Search, arm: Arm) -> int:
    seeds = 1 if arm.searches_seed else len(search.sweep.seeds)
    return search.sweep.num_points(arm) * seeds


def _num_finished(search: Search) -> int:
    return sum(trial.state != "RUNNING" for trial in search.record.trials.values())


def _row(search: Search, arm: Arm) -> tuple[str, ...]:
    trials = search.record.arm(arm.name)
    states = [trial.state for trial in trials if trial.phase == "search"]
    best = max((t.value for t in trials if t.value is not None), default=None)
    running = [trial for trial in trials if trial.state == "RUNNING"]
    finals = sum(trial.test_scores is not None for trial in trials)
    now = ", ".join(f"epoch {len(t.reports)}/{t.config['training']['epochs']}" for t in running[:4])
    if finals:
        now = f"{finals} tested" + (f", {now}" if now else "")
    done = f"{states.count('COMPLETE')}/{_planned(search, arm)}"
    counts = (str(len(running)), str(states.count("PRUNED")), str(states.count("FAILED")))
    return (arm.name, done, *counts, "" if best is None else f"{100 * best:.2f}", now)


def _verdict(trial: TrialRecord) -> str:
    assert trial.outcome is not None
    if trial.state == "FAILED":
        return f"FAILED ({trial.outcome.reason})"
    text = f"{trial.state} dev {100 * (trial.outcome.value or 0):.2f}"
    return f"{text} at epoch {len(trial.reports)}" if trial.state == "PRUNED" else text


def _spelled(params: dict[str, Any]) -> str:
    return " ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

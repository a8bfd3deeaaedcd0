"""What a person sees of a running sweep: a table in a terminal, lines elsewhere, and none of the libraries' words."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from simulation import curve_value, drive, launch, simulated_sweep

from tunekit.cli import console as consoles
from tunekit.cli import display, time_left
from tunekit.cli.display import Progress
from tunekit.cli.time_left import TimeLeft
from tunekit.journal import Event, Journal, SweepProgress, SweepRecord
from tunekit.search import Search
from tunekit.sweep import Sweep
from tunekit.trial import Outcome, TrialFacts

SMALL = {"search": {"searcher": "random", "num_trials": 3, "seed": 1}, "fixed": {"epochs": 3}}


def watched(sweep: Sweep, folder: Path, console: Console, run: Callable[[Search], None] = drive, **options: Any) -> str:
    """Run a simulated sweep under a Progress; what it printed."""
    with Journal(folder) as journal:
        launch(sweep, journal)
        with Progress(console) as progress:
            search = Search(sweep, journal, on_event=lambda event: progress.watch(search, event))
            progress.watch(search, None)
            run(search, **options)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def plain() -> Console:
    return Console(file=io.StringIO(), width=120, highlight=False)


def terminal(**options: Any) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, highlight=False, **options)


def test_without_a_terminal_each_trial_is_one_plain_line(tmp_path: Path) -> None:
    said = watched(simulated_sweep(**SMALL), tmp_path, plain())
    assert "\x1b" not in said
    lines = said.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d  ", line) for line in lines)
    searched = [line for line in lines if "/3  " in line]
    assert len(searched) == 6
    assert re.search(
        r"finetune    1/3    COMPLETE  dev +\d+\.\d\d  learning_rate=\S+ batch_size=\d+  3\.0 s  seed 10  ", said
    )
    assert sum("finalising" in line for line in lines) == 1
    assert sum("test scored" in line for line in lines) == 8
    assert sum("  final  COMPLETE" in line for line in lines) == 4


def test_a_pruned_trial_says_after_which_epoch_it_was_stopped(tmp_path: Path) -> None:
    said = watched(simulated_sweep(), tmp_path, plain())
    assert re.search(r"PRUNED    dev +\d+\.\d\d  stopped after epoch 1  ", said)


def test_a_failed_trial_says_why_in_a_terminal_too(tmp_path: Path) -> None:
    def fail(search: Search) -> None:
        assignment = search.next_trial()
        assert assignment is not None
        search.finish(assignment.trial, Outcome(state="FAILED", value=None, reason="loss became nan [at update 3]"))
        search.flush()

    for name, console in (("plain", plain()), ("terminal", terminal())):
        assert "FAILED: loss became nan [at update 3]" in watched(simulated_sweep(), tmp_path / name, console, fail)


def test_trials_that_end_at_once_are_counted_one_after_the_other(tmp_path: Path) -> None:
    def fail_three(search: Search) -> None:
        taken = [search.next_trial() for _ in range(3)]
        for assignment in taken:
            assert assignment is not None
            search.finish(assignment.trial, Outcome(state="FAILED", value=None, reason="loss became nan"))
        search.flush()

    said = watched(simulated_sweep(), tmp_path, plain(), fail_three)
    counts = {arm: re.findall(rf"{arm} +(\d+)/", said) for arm in ("finetune", "ptuning_v2")}
    assert sorted(counts.values(), key=len) == [["1"], ["1", "2"]]


def test_an_interrupted_trial_is_told_of(tmp_path: Path) -> None:
    def interrupt(search: Search) -> None:
        assignment = search.next_trial()
        assert assignment is not None
        search.interrupted(assignment.trial, "its worker died")
        search.flush()

    said = watched(simulated_sweep(), tmp_path, plain(), interrupt)
    assert "interrupted: its worker died; it goes on from its last epoch" in said


def test_going_on_says_how_much_was_done_before(tmp_path: Path) -> None:
    watched(simulated_sweep(**SMALL), tmp_path, plain())
    again = watched(simulated_sweep(**SMALL), tmp_path, plain())
    assert again.endswith("going on: 10 trials finished before\n")
    assert len(again.splitlines()) == 1


def test_epochs_are_silent_until_nothing_was_said_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "epoch 2/3" not in watched(simulated_sweep(**SMALL), tmp_path / "short", plain())
    monkeypatch.setattr(display, "SILENCE_S", 0.0)
    assert re.search(r"finetune    epoch 2/3  dev \d", watched(simulated_sweep(**SMALL), tmp_path / "long", plain()))


def test_in_a_terminal_one_table_shows_every_arm(tmp_path: Path) -> None:
    said = watched(simulated_sweep(**SMALL), tmp_path, terminal())
    last = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", said).split("simulated   ")[-1]
    assert "elapsed" in last
    for column in ("arm", "finished", "running", "pruned", "failed", "best dev", "now"):
        assert column in last
    assert re.search(r"finetune +3/3 +0 +\d +0 +\d+\.\d\d +4/4 tested", last)
    assert re.search(r"ptuning_v2 +3/3 +0 +0 +0 +\d+\.\d\d +4/4 tested", last)
    assert "COMPLETE" not in said, "what went well is in the table"


def test_the_table_shows_epochs_of_what_runs_and_counts_what_does_not_fit(tmp_path: Path) -> None:
    def start(search: Search) -> None:
        for _ in range(10):
            assignment = search.next_trial()
            assert assignment is not None
            search.started(assignment.trial, "worker", TrialFacts())
        search.flush()

    said = watched(simulated_sweep(), tmp_path, terminal(), start)
    assert "epoch 1/9, 1/9, 1/9 +2" in said


def test_the_best_so_far_is_of_whole_points(tmp_path: Path) -> None:
    """Mean over the search's seeds, which selects, and not the luckiest seed."""
    sweep = simulated_sweep(**{**SMALL, "seeds": [10, 42], "scheduler": {"name": "none"}})
    said = watched(sweep, tmp_path, terminal())
    with Journal(tmp_path) as journal:
        best = max(
            sum(max(curve_value(trial, epoch) for epoch in (1, 2, 3)) for trial in trials) / 2
            for number in range(3)
            if (trials := journal.record.arm("finetune").points[number].trials)
        )
    assert re.search(rf"finetune +6/6 +0 +0 +0 +{100 * best:.2f} ", said)


def test_a_terminal_that_cannot_redraw_gets_lines(tmp_path: Path) -> None:
    said = watched(simulated_sweep(**SMALL), tmp_path, terminal(_environ={"TERM": "dumb"}))
    assert "finetune    1/3" in said
    assert "elapsed" not in said


# -- time left -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_time_left_follows_what_trials_take_and_how_many_run_at_once(
    num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time_left.time, "monotonic", lambda: now)
    off = {"scheduler": {"name": "none"}, "finalise": {"top": 1, "seeds": [10, 42]}}
    sweep = simulated_sweep(**{**SMALL, **off})
    estimates: dict[int, float | None] = {}
    with Journal(tmp_path) as journal:
        launch(sweep, journal)

        def on_event(event: Event) -> None:
            nonlocal now
            if event["event"] == "reported":  # a second of training each, told of at once by all workers
                now += 1 / num_workers
            if event["event"] == "finished":
                estimates[sum(t.state != "RUNNING" for t in journal.record.trials.values())] = measured.seconds_left()

        search = Search(sweep, journal, on_event=on_event)
        measured = TimeLeft(search.progress)
        assert measured.seconds_left() is None, "nothing is known at the start"
        drive(search, num_workers=num_workers)
    # 6 search trials and 2 to finalise on another seed, 3 epochs each; another worker has its own epochs behind it.
    others = 2 if num_workers == 2 else 0
    assert estimates[1] == pytest.approx((7 * 3 - others) / num_workers)
    assert estimates[4] == pytest.approx(4 * 3 / num_workers, rel=0.25)
    assert estimates[8] is None


def test_the_time_left_stops_at_the_budget(tmp_path: Path) -> None:
    off = {"scheduler": {"name": "none"}, "finalise": {"top": 0}}
    free = simulated_sweep(**{**SMALL, **off})
    arm = free.arms[0]
    progress = SweepProgress(SweepRecord(), free)
    assert progress.num_trials_planned(arm) == 3
    short = simulated_sweep(**{**SMALL, **off, "budget": {"trials": 5}})
    assert SweepProgress(SweepRecord(), short).num_trials_planned(arm) == 2
    assert progress.num_finals_planned(arm) == 0


# -- what libraries print --------------------------------------------------------------------------------------------

NOISY = """
import os, sys
from pathlib import Path
from tunekit.cli.console import quiet
print("before", flush=True)
with quiet(Path("logs/driver.log")) as console:
    print("a library's print")
    print("a library's complaint", file=sys.stderr)
    os.write(1, b"a C library's word\\n")
    os.system("echo a child process")
    console.print("for the user")
    console.print("x" * 130)
print("after")
print("an error", file=sys.stderr)
"""


def test_what_libraries_print_goes_to_the_log_and_the_user_reads_on(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    command = [sys.executable, "-c", NOISY]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["before", "for the user", "x" * 120, "x" * 10, "after"]
    assert done.stderr == "an error\n"
    log = (tmp_path / "logs/driver.log").read_text()
    assert set(log.splitlines()) == {
        "a library's print", "a library's complaint", "a C library's word", "a child process"
    }  # fmt: skip


def test_without_a_terminal_the_width_is_120_or_what_columns_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert consoles.console(io.StringIO(), is_terminal=False).width == 120
    monkeypatch.setenv("COLUMNS", "66")
    assert consoles.console(io.StringIO(), is_terminal=False).width == 66

"""A sweep without training: trials whose dev curves are a formula, run through the real Search and journal.

Driving it costs microseconds a trial, so a test can kill the driver at every single event.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tunekit.journal import SCHEMA, Event, Journal, SweepRecord, TrialRecord
from tunekit.search import Search
from tunekit.sweep import Source, Sweep, parse_sweep, resolved
from tunekit.trial import EpochReport, FinalScores, Outcome, TrialFacts

TEST_S = 0.5
"""Seconds that scoring test takes; an epoch takes one."""


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs."""


class DyingJournal(Journal):
    """A journal whose driver is killed after some more events, none of which may have waited for the others."""

    events_left: int | None = None

    def append(self, kind: str, **content: object) -> Event:
        """Write the event to the disk, then maybe die."""
        event = super().append(kind, **content)
        self.flush()
        if self.events_left is not None:
            self.events_left -= 1
            if self.events_left <= 0:
                raise Killed
        return event


def simulated_sweep(**changes: Any) -> Sweep:
    """Two arms of real methods on udpos (whose data are never read)."""
    content: dict[str, Any] = {
        "name": "simulated",
        "task": {"name": "udpos", "target_languages": ["de"]},
        "backbone": "toy-bert",
        "arms": {
            "finetune": {
                "method": "finetune",
                "space": {"learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}, "batch_size": [8, 16]},
            },
            "ptuning_v2": {
                "method": "ptuning_v2",
                "space": {
                    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
                    "prompt_length": {"low": 4, "high": 32},
                },
                "enqueue": [{"learning_rate": 0.01, "prompt_length": 16}],
            },
        },
        "fixed": {"epochs": 9},
        "search": {"searcher": "tpe", "num_trials": 14, "seed": 3},
        "scheduler": {"name": "asha", "grace_period": 1, "reduction_factor": 3},
        "seeds": [10],
        "finalise": {"top": 2, "seeds": [10, 42]},
        **changes,
    }
    return parse_sweep(content, Source("simulated.yaml"))


def curve_value(trial: TrialRecord, epoch: int) -> float:
    """A dev score that depends on the trial alone: best near learning rate 1e-3, rising with the epoch."""
    rate = trial.config["training"]["learning_rate"]
    quality = math.exp(-((math.log10(rate) + 3) ** 2))
    noise = int(trial.trial_id, 16) % 1000 / 20000
    return quality * (1 - math.exp(-epoch / 3)) + noise


def drive(search: Search, *, num_workers: int = 1) -> None:
    """Run a sweep to its end with simulated trials; `num_workers` at once, taking turns epoch by epoch."""
    running: list[tuple[Any, int]] = []
    while True:
        while len(running) < num_workers and (assignment := search.next_trial()) is not None:
            if assignment.trial.state == "RUNNING":
                search.started(assignment.trial, "worker", TrialFacts())
            running.append((assignment, 0))
        if not running:
            return
        assignment, epoch = running.pop(0)
        if advance(search, assignment, epoch + 1):
            running.append((assignment, epoch + 1))


def advance(search: Search, assignment: Any, epoch: int) -> bool:
    """One epoch of a simulated trial, or its test; whether it goes on."""
    trial = assignment.trial
    num_epochs = trial.config["training"]["epochs"]
    if trial.state == "RUNNING":
        decision = search.report(trial, _report(trial, epoch))
        search.flush()
        if decision.stop:
            search.stop(trial, decision)
        is_paused = not decision.stop and search.pause(trial)
        if not decision.stop and not is_paused and epoch < num_epochs:
            return True
        if not decision.stop and not is_paused:
            best = max(curve_value(trial, e) for e in range(1, num_epochs + 1))
            search.finish(trial, Outcome(state="COMPLETE", value=best, best_epoch=num_epochs))
    if assignment.test and trial.state == "COMPLETE":
        scores = {"test/de/accuracy": curve_value(trial, 3)}
        majority = {"majority/de/accuracy": 0.2}
        found = FinalScores(epoch=3, scores=scores, majority=majority, num_examples={"de": 100}, duration_s=TEST_S)
        search.tested(trial, found)
    search.release(trial)
    search.flush()
    return False


def _report(trial: TrialRecord, epoch: int) -> EpochReport:
    value = curve_value(trial, epoch)
    return EpochReport(epoch=epoch, value=value, metrics={"dev/en/accuracy": value}, duration_s=1.0)


def launch(sweep: Sweep, journal: Journal) -> None:
    """Write the first line of a new journal."""
    if not journal.num_events:
        described = {"sweep": resolved(sweep), "definition": dict(sweep.definition)}
        journal.append("launched", **described, versions={}, schema=SCHEMA)
        journal.flush()


def run(sweep: Sweep, folder: Path, *, num_workers: int = 1, kill_after: int | None = None) -> SweepRecord:
    """One process's life: launch or resume, drive, and maybe die after `kill_after` new events."""
    with DyingJournal(folder) as journal:
        launch(sweep, journal)
        journal.events_left = kill_after
        drive(Search(sweep, journal), num_workers=num_workers)
        return journal.record


def facts(record: SweepRecord) -> list[tuple[Any, ...]]:
    """What must not depend on interruptions: every trial, what was decided at every epoch, how it ended."""
    return [
        (t.trial_id, t.arm, t.number, t.seed, t.phase, t.state, t.decisions, t.outcome, t.test_scores)
        for t in record.trials.values()
    ]

"""What a running sweep's arms and events are in words, for every command that shows them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tunekit.wording import parameters, percent

if TYPE_CHECKING:
    from tunekit.journal import Event, SweepProgress, TrialRecord
    from tunekit.sweep import Arm

SHOWN_EPOCHS = 3
"""Running trials per arm whose epochs a row shows."""
ARM_COLUMNS = ("arm", "finished", "running", "pruned", "failed", "best dev", "now")
"""Headings of :func:`arm_row`."""
TOLD = ("finished", "tested", "interrupted", "reported")
"""Events that are worth a line of their own."""


def arm_row(progress: SweepProgress, arm: Arm) -> tuple[str, ...]:
    """How far an arm is: a text for each of :data:`ARM_COLUMNS`."""
    found, planned = progress.record.arm(arm.name), progress.num_trials_planned(arm)
    best = next((point.value for point in found.top(1)), None)
    running = list(found.running.values())
    finished = f"{found.num_searched - found.num(phase='search', state='RUNNING')}/{planned}"
    pruned, failed = (found.num(phase="search", state=state) for state in ("PRUNED", "FAILED"))
    counts = (str(len(running)), str(pruned), str(failed))
    tested = found.num_tested
    now = [f"{tested}/{progress.num_finals_planned(arm)} tested"] if tested else []
    training = [trial for trial in running if trial.num_attempts]
    epochs = ", ".join(f"{len(t.reports) + 1}/{t.num_epochs}" for t in training[:SHOWN_EPOCHS])
    more = f" +{len(training) - SHOWN_EPOCHS}" if len(training) > SHOWN_EPOCHS else ""
    now += [f"epoch {epochs}{more}"] if training else ["starting"] if running else []
    return (arm.name, finished, *counts, "" if best is None else dev(best), ", ".join(now))


class EventWords:
    """The events of one sweep as lines; they are counted one after the other, as the record may be ahead of them.

    Attributes:
        progress: of the sweep, followed; another one may take its place when the sweep was amended.
    """

    def __init__(self, progress: SweepProgress) -> None:
        self.progress = progress
        trials = progress.record.trials.values()
        self._num_ended = Counter(t.arm for t in trials if t.phase == "search" and t.state != "RUNNING")
        """Search trials of each arm that have ended."""

    def count(self, event: Event) -> None:
        """Take the next event."""
        if event["event"] in ("finished", "reopened"):
            trial = self._trial(event)
            change = 1 if event["event"] == "finished" else -1
            self._num_ended[trial.arm] += change * (trial.phase == "search")

    def line(self, event: Event) -> str:
        """The event that was counted last, if it is one of :data:`TOLD`, in a line."""
        trial = self._trial(event)
        width = max(len(arm.name) for arm in self.progress.sweep.arms)
        return f"{trial.arm:{width}}  {self._spelled(trial, event)}"

    def _trial(self, event: Event) -> TrialRecord:
        return self.progress.record.trials[event["trial_id"]]

    def _spelled(self, trial: TrialRecord, event: Event) -> str:
        """One event in a line, without its arm."""
        who = f"seed {trial.replicate}  {trial.trial_id}"
        if event["event"] == "interrupted":
            return f"interrupted: {event['reason']}; it goes on from its last epoch  {who}"
        if event["event"] == "tested":
            return f"test scored  {who}"
        if event["event"] == "reported":
            report = event["report"]
            return f"epoch {report['epoch']}/{trial.num_epochs}  dev {dev(report['value'])}  {who}"
        planned = self.progress.num_trials_planned(self.progress.sweep.arm(trial.arm))
        number = f"{self._num_ended[trial.arm]}/{planned}" if trial.phase == "search" else "final"
        params = parameters(trial.params, join="=", between=" ")
        return f"{number:5}  {verdict(trial)}  {params}  {trial.duration_s:.1f} s  {who}"


def verdict(trial: TrialRecord) -> str:
    """How a finished trial ended."""
    assert trial.outcome is not None
    if trial.state == "FAILED":
        return f"FAILED: {trial.outcome.reason}"
    text = f"{trial.state:8}  dev {dev(trial.outcome.value or 0):>6}"
    return f"{text}  stopped after epoch {len(trial.reports)}" if trial.state == "PRUNED" else text


def dev(score: float) -> str:
    """A dev score, with a digit more than tables of results have: neighbours are told apart."""
    return percent(score, decimals=2)

"""What did not complete, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from tunekit.journal import TrialRecord
from tunekit.markdown import code, plain
from tunekit.reports.results import SweepResult
from tunekit.reports.tables import Column, Table, plain_row
from tunekit.reports.words import searched
from tunekit.wording import names, one_line, plural


def stopped(result: SweepResult) -> Iterator[str]:
    """A line of Markdown for each arm with PRUNED trials: how many, after which epoch."""
    for arm in result.arms:
        pruned = [trial for trial in arm.trials if trial.state == "PRUNED"]
        if pruned:
            epochs = Counter(len(trial.reports) for trial in pruned)
            after = ", ".join(f"{number} after epoch {epoch}" for epoch, number in sorted(epochs.items()))
            by = code(result.sweep.scheduler.name)
            yield f"{plain(arm.name)}: {plural(len(pruned), 'trial')} PRUNED by {by} ({after})."


def failures(result: SweepResult) -> Table | None:
    """Failed trials grouped by reason; None if there are none."""
    rows = []
    for trials in failed_alike(result):
        first = trials[0]
        phases = Counter(trial.phase for trial in trials)
        values = (
            first.arm,
            len(trials),
            one_line(reason_of(first)),
            names(f"{number} {phase}" for phase, number in phases.items()),
            first.trial_id,
            searched(first.params),
        )
        rows.append(plain_row(values))
    if not rows:
        return None
    return Table(
        name="failures",
        title="Failed trials by reason",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="trials", title="trials", kind="count"),
            Column(key="reason", title="reason (of the first)"),
            Column(key="phase", title="phase"),
            Column(key="first", title="first", kind="code"),
            Column(key="params", title="its params"),
        ),
        rows=tuple(rows),
    )


def failed_alike(result: SweepResult) -> list[list[TrialRecord]]:
    """Failed trials by arm and reason, the most frequent first. Reasons that differ only in numbers are one."""
    return alike(trial for arm in result.arms for trial in arm.trials if trial.state == "FAILED")


def alike(failed: Iterable[TrialRecord]) -> list[list[TrialRecord]]:
    """The same, of trials that are known to have failed."""
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in failed:
        groups.setdefault((trial.arm, re.sub(r"\d[\d.e+-]*", "#", reason_of(trial))), []).append(trial)
    return sorted(groups.values(), key=len, reverse=True)


def reason_of(trial: TrialRecord) -> str:
    """Why it failed."""
    return (trial.outcome.reason if trial.outcome else None) or "no reason given"

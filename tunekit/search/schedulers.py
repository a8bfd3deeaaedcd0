"""Whether a trial goes on: early-stopping rules as pure functions of the curves in the journal.

A rule sees the best dev objective that each trial had reached at an epoch (a trial keeps its best checkpoint, so its
best so far is what stopping it would leave). It holds no state: after a restart the same curves give the same
decisions. The rules are those of Ray Tune's schedulers of the same names: ``asha`` (Li et al. 2020, asynchronous
successive halving, https://arxiv.org/abs/1810.05934), ``hyperband`` (the same in brackets, Li et al. 2018) and
``median`` (Golovin et al. 2017, Google Vizier).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from tunekit.sweep import SchedulerConfig


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One trial's objective by epoch, and the number of its point."""

    number: int
    values: Mapping[int, float]

    def best(self, epoch: int) -> float:
        """The best value up to and including `epoch`."""
        return max(value for at, value in self.values.items() if at <= epoch)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided after an epoch, and on what grounds."""

    stop: bool
    rung: int | None = None
    """The epoch of the rung, where the epoch was one."""
    cutoff: float | None = None
    """The value that had to be reached."""
    num_compared: int = 0
    """How many other trials set the cutoff."""


GO_ON = Decision(stop=False)


def decide(
    scheduler: SchedulerConfig, *, epoch: int, num_epochs: int, trial: Curve, others: Sequence[Curve]
) -> Decision:
    """Whether `trial`, having reported `epoch`, stops.

    Args:
        scheduler: the rule and its settings.
        epoch: the epoch just reported, 1-based.
        num_epochs: the last epoch of this trial; nothing is decided there.
        trial: its curve, `epoch` included.
        others: the curves of the arm's other search trials, whatever their state.
    """
    if scheduler.name == "none" or epoch >= num_epochs or epoch < scheduler.grace_period:
        return GO_ON
    if scheduler.name == "median":
        return _median(scheduler, epoch, trial, others)
    grace = scheduler.grace_period
    if scheduler.name == "hyperband":
        brackets = num_brackets(scheduler, num_epochs)
        bracket = trial.number % brackets
        grace *= scheduler.reduction_factor**bracket
        others = [other for other in others if other.number % brackets == bracket]
    return _halving(
        epoch, rungs(grace, scheduler.reduction_factor, num_epochs), scheduler.reduction_factor, (trial, others)
    )


def rungs(grace_period: int, reduction_factor: int, num_epochs: int) -> tuple[int, ...]:
    """The epochs before the last at which halving compares.

    >>> rungs(1, 3, 10)
    (1, 3, 9)
    """
    result, epoch = [], grace_period
    while epoch < num_epochs:
        result.append(epoch)
        epoch *= reduction_factor
    return tuple(result)


def num_brackets(scheduler: SchedulerConfig, num_epochs: int) -> int:
    """Hyperband's brackets: one a rung that fits, at least one; points take turns in them."""
    return max(1, len(rungs(scheduler.grace_period, scheduler.reduction_factor, num_epochs)))


def _halving(epoch: int, at: Sequence[int], factor: int, field: tuple[Curve, Sequence[Curve]]) -> Decision:
    if epoch not in at:
        return GO_ON
    trial, others = field
    reached = [other.best(epoch) for other in others if epoch in other.values]
    if not reached:
        return Decision(stop=False, rung=epoch)
    cutoff = quantile(reached, 1 - 1 / factor)
    return Decision(stop=trial.best(epoch) < cutoff, rung=epoch, cutoff=cutoff, num_compared=len(reached))


def _median(scheduler: SchedulerConfig, epoch: int, trial: Curve, others: Sequence[Curve]) -> Decision:
    counted = range(scheduler.grace_period, epoch + 1)
    means = [fmean(v for at, v in other.values.items() if at in counted) for other in others if epoch in other.values]
    if len(means) < scheduler.min_trials:
        return GO_ON
    cutoff = median(means)
    return Decision(stop=trial.best(epoch) < cutoff, rung=epoch, cutoff=cutoff, num_compared=len(means))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lies, linearly interpolated (numpy's default).

    >>> quantile([0.0, 1.0, 2.0], 0.75)
    1.5
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

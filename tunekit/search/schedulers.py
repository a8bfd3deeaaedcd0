"""Whether a trial goes on: early-stopping rules as pure functions of the curves in the journal.

A rule sees the best dev objective that each trial had reached at an epoch (a trial keeps its best checkpoint, so its
best so far is what stopping it would leave). The rules are those of Ray Tune's schedulers of the same names: ``asha``
(Li et al. 2020, asynchronous successive halving, https://arxiv.org/abs/1810.05934), ``hyperband`` (the same in
brackets, Li et al. 2018) and ``median`` (Golovin et al. 2017, Google Vizier).

:class:`Rungs` keeps what the trials of one arm had reached at each epoch in order, so that a decision costs the same
whatever the number of trials. It is rebuilt from the reports in the journal; their order does not matter.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from tunekit.sweep import SchedulerConfig

Curve = Mapping[int, float]
"""A trial's objective by epoch."""


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


class Rungs:
    """What the search trials of one arm on one draw of the data had reached at each epoch.

    Args:
        scheduler: the rule, which says what is compared.
    """

    def __init__(self, scheduler: SchedulerConfig) -> None:
        self._scheduler = scheduler
        self._reached: dict[int, list[tuple[float, int]]] = {}
        self._brackets: dict[tuple[int, int, int], list[float]] = {}
        self._num_brackets: set[int] = set()

    def add(self, number: int, epoch: int, curve: Curve) -> None:
        """Take a trial's report.

        Args:
            number: of its point.
            epoch: which it has just reported.
            curve: its objective up to and including `epoch`.
        """
        if self._scheduler.name == "none" or epoch < self._scheduler.grace_period:
            return
        value = standing(self._scheduler, epoch, curve)
        self._reached.setdefault(epoch, []).append((value, number))
        for brackets in self._num_brackets:
            bisect.insort(self._brackets.setdefault((brackets, number % brackets, epoch), []), value)

    def at(self, epoch: int, *, bracket: int = 0, num_brackets: int = 1) -> Sequence[float]:
        """The standings of all trials that have reported `epoch`, ascending.

        Args:
            epoch: of the rung.
            bracket: only of the points whose number leaves this remainder.
            num_brackets: when divided by this.
        """
        if num_brackets not in self._num_brackets:
            self._num_brackets.add(num_brackets)
            for at, reached in self._reached.items():
                for value, number in sorted(reached):
                    self._brackets.setdefault((num_brackets, number % num_brackets, at), []).append(value)
        return self._brackets.get((num_brackets, bracket, epoch), ())


def standing(scheduler: SchedulerConfig, epoch: int, curve: Curve) -> float:
    """What a rule compares of a trial at `epoch`: its best so far, or for ``median`` its running mean."""
    if scheduler.name == "median":
        return fmean(value for at, value in curve.items() if scheduler.grace_period <= at <= epoch)
    return best(curve, epoch)


def best(curve: Curve, epoch: int) -> float:
    """The best value up to and including `epoch`."""
    return max(value for at, value in curve.items() if at <= epoch)


def decide(
    scheduler: SchedulerConfig, *, number: int, epoch: int, num_epochs: int, curve: Curve, others: Rungs
) -> Decision:
    """Whether a trial, having reported `epoch`, stops.

    Args:
        scheduler: the rule and its settings.
        number: of the trial's point.
        epoch: the epoch just reported, 1-based.
        num_epochs: the last epoch of this trial; nothing is decided there.
        curve: its objective, `epoch` included.
        others: what the arm's other search trials on the same draw of the data had reached, whatever their state.
    """
    if scheduler.name == "none" or epoch >= num_epochs or epoch < scheduler.grace_period:
        return GO_ON
    if scheduler.name == "median":
        return _median(scheduler, epoch, best(curve, epoch), others.at(epoch))
    grace, brackets = scheduler.grace_period, 1
    if scheduler.name == "hyperband":
        brackets = num_brackets(scheduler, num_epochs)
        grace *= scheduler.reduction_factor ** (number % brackets)
    if epoch not in rungs(grace, scheduler.reduction_factor, num_epochs):
        return GO_ON
    reached = others.at(epoch, bracket=number % brackets, num_brackets=brackets)
    return _halving(epoch, scheduler.reduction_factor, best(curve, epoch), reached)


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
    """Hyperband's brackets: one per rung that fits, at least one; points take turns in them."""
    return max(1, len(rungs(scheduler.grace_period, scheduler.reduction_factor, num_epochs)))


def _halving(epoch: int, factor: int, value: float, reached: Sequence[float]) -> Decision:
    if not reached:
        return Decision(stop=False, rung=epoch)
    cutoff = quantile(reached, 1 - 1 / factor)
    return Decision(stop=value < cutoff, rung=epoch, cutoff=cutoff, num_compared=len(reached))


def _median(scheduler: SchedulerConfig, epoch: int, value: float, means: Sequence[float]) -> Decision:
    if len(means) < scheduler.min_trials:
        return GO_ON
    middle = means[(len(means) - 1) // 2 : len(means) // 2 + 1]  # one value, or the two in the middle
    cutoff = median(middle)
    return Decision(stop=value < cutoff, rung=epoch, cutoff=cutoff, num_compared=len(means))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of ascending values lies, linearly interpolated (numpy's default).

    >>> quantile([0.0, 1.0, 2.0], 0.75)
    1.5
    """
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

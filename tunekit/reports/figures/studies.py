"""An arm's search as a study of Optuna in memory, rebuilt from the record, so that Optuna's own pictures show it.

Scores in it are x 100, as in every table. Numbers are rounded, and where an arm has very many points or epochs the
study holds an even choice of them: :class:`StudyCopy` says which, so that a picture can say so too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from tunekit.journal import Point
from tunekit.reports.figures.figure import rounded
from tunekit.reports.results import ArmResult
from tunekit.wording import count, plural

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")

MOST_POINTS = 1000
"""Points of all arms together that pictures of single points show; each arm has an equal part."""
MOST_STUDIED = 5000
"""Points of an arm that importances and the history are made of."""
MOST_CURVES = 300
"""The same for curves."""
MOST_EPOCHS = 50
"""Epochs of one curve that are drawn."""
NUM_BEST = 10
"""The best points of an arm are always among those shown."""


@dataclass(frozen=True)
class StudyCopy:
    """One arm's points as Optuna's pictures see them."""

    arm: ArmResult
    most: int
    """Points at most."""
    is_complete: bool = False
    """Whether only COMPLETE points are wanted."""

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Those shown, by number: the best ones, and an even choice of the others."""
        found = self._wanted
        if len(found) <= self.most:
            return found
        best = {point.number for point in self.arm.record.top(min(NUM_BEST, self.most))}
        others = [point for point in found if point.number not in best]
        kept = best | {point.number for point in evenly(others, self.most - len(best))}
        return tuple(point for point in found if point.number in kept)

    @cached_property
    def _wanted(self) -> tuple[Point, ...]:
        return tuple(point for point in self.arm.points if not self.is_complete or point.value is not None)

    @property
    def left_out(self) -> tuple[str, ...]:
        """A sentence on points that there was no room for; none if there are none."""
        if len(self.points) == len(self._wanted):
            return ()
        shown, whole = count(len(self.points)), count(len(self._wanted))
        what = "COMPLETE points" if self.is_complete else "points"
        return (f"Shown are {shown} of {whole} {what}: the best {NUM_BEST}, and an even choice of the others.",)

    @property
    def notes(self) -> tuple[str, ...]:
        """The same, and a sentence on points that the study cannot hold."""
        if not self._outside:
            return self.left_out
        lost = plural(len(self._outside), "point")
        return (*self.left_out, f"Left out, since their values are outside of the space: {lost}.")

    @property
    def _outside(self) -> tuple[int, ...]:
        """Numbers of points that Optuna cannot take."""
        return tuple(number for number, trial in self._trials.items() if trial is None)

    @cached_property
    def _trials(self) -> dict[int, optuna.trial.FrozenTrial | None]:
        from tunekit.search.frozen import frozen_trial

        found: dict[int, optuna.trial.FrozenTrial | None] = {}
        for point in self.points:
            try:
                found[point.number] = _in_percent(frozen_trial(self.arm.arm, point))
            except ValueError:  # a value that the space does not hold
                found[point.number] = None
        return found

    @cached_property
    def study(self) -> optuna.Study:
        """The study. Trials keep their numbers: a point that is left out leaves an empty one in its place."""
        import optuna

        found = self._trials
        study = optuna.create_study(direction="maximize", study_name=self.arm.name)
        empty = optuna.trial.create_trial(state=optuna.trial.TrialState.WAITING)
        study.add_trials([found.get(number) or empty for number in range(len(self.arm.points))])
        return study

    @cached_property
    def complete(self) -> tuple[optuna.trial.FrozenTrial, ...]:
        """The trials with a value that counts."""
        import optuna

        states = (optuna.trial.TrialState.COMPLETE,)
        return tuple(self.study.get_trials(deepcopy=False, states=states))


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most `most` items at even distances, the first and the last among them."""
    if len(items) <= most or most < 2:
        return list(items[: max(0, most)])
    step = (len(items) - 1) / (most - 1)
    return [items[round(index * step)] for index in range(most)]


def _in_percent(trial: optuna.trial.FrozenTrial) -> optuna.trial.FrozenTrial:
    """The trial with scores x 100 and few digits; mutates and gives it."""
    if trial.value is not None:
        trial.value = rounded(100 * trial.value)
    kept = evenly(sorted(trial.intermediate_values), MOST_EPOCHS)
    trial.intermediate_values = {epoch: 100 * trial.intermediate_values[epoch] for epoch in kept}
    for name, value in trial.params.items():
        span = trial.distributions[name]
        if isinstance(value, float) and getattr(span, "step", None) is None:
            low, high = getattr(span, "low", value), getattr(span, "high", value)
            trial.params[name] = min(max(rounded(value) or 0.0, low), high)
    return trial

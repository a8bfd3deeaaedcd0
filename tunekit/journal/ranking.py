"""Points and their order: by all trials of a configuration, however often it was drawn.

A searcher may draw one configuration several times, each time on another seed and on every draw of the data. The mean
over all of its trials ranks it: of many noisy draws the luckiest would otherwise win. A draw that was stopped or failed
counts with what it had reached, so that it neither hides the draws before it nor is left out.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from statistics import fmean

from tunekit.journal.trial_record import TrialRecord
from tunekit.schema import Values
from tunekit.trial import Replicate


@dataclass(slots=True)
class Point:
    """A configuration without its seed and its draw of the data, and its trials."""

    number: int
    point_id: str
    params: Values
    """What the search chose, the seed left out."""
    sampler: Values = field(default_factory=dict)
    """What the searcher remembers of this draw."""
    trials: list[TrialRecord] = field(default_factory=list)
    """Those of the search, in the order of creation; at least one."""
    finals: list[TrialRecord] = field(default_factory=list)
    """Those that only finalising asked for."""

    @property
    def first(self) -> TrialRecord:
        """The first trial of the search, whose curve the searcher sees."""
        return self.trials[0]

    @property
    def counted(self) -> list[float]:
        """What each trial of the search counts in the mean: its dev objective, or what it had reached when it ended.

        A trial that was stopped or failed would have reached at least that. One that runs, or failed before its first
        epoch, counts nothing.
        """
        return [value for trial in self.trials if (value := trial.reached) is not None]

    @property
    def num_draws(self) -> int:
        """How often the search drew it."""
        return len({trial.number for trial in self.trials})

    @property
    def value(self) -> float | None:
        """Mean dev objective over the trials of the search; None unless every one of them is COMPLETE.

        Of a point that was drawn several times: None unless those of one draw are COMPLETE; the mean is then over
        what all of its trials count, so that no draw wins by luck and none is hidden.
        Trials of finalising do not count, so that finalising cannot change what is finalised.
        """
        states: dict[int, set[str]] = {}
        for trial in self.trials:
            states.setdefault(trial.number, set()).add("no value" if trial.reached is None else trial.state)
        return fmean(self.counted) if {"COMPLETE"} in states.values() else None

    def search_replicates(self, asked: Sequence[Replicate]) -> tuple[Replicate, ...]:
        """What its search runs on: the sweep's replicates.

        A searched seed runs on its own seed and every draw, and so does a point that was drawn again: each draw of the
        data then weighs the same in the mean of a configuration, however often it was drawn.
        """
        first = self.first
        if "seed" not in first.params and first.replicate == asked[0]:
            return tuple(asked)
        return tuple(dict.fromkeys(Replicate(first.seed, replicate.draw) for replicate in asked))

    def missing(self, asked: Sequence[Replicate]) -> Replicate | None:
        """What the search owes this point next; nothing while a trial runs, or once one was stopped or failed."""
        runs = any(trial.state == "RUNNING" for trial in self.trials)
        return None if runs else next(iter(self.owed(asked)), None)

    def owed(self, asked: Sequence[Replicate]) -> list[Replicate]:
        """What the search owes this point, now or once others have ended; nothing after one was stopped or failed."""
        if any(trial.state in ("PRUNED", "FAILED") for trial in self.trials):
            return []
        done = {trial.replicate for trial in self.trials}
        return [replicate for replicate in self.search_replicates(asked) if replicate not in done]

    def end(self, asked: Sequence[Replicate]) -> tuple[str, float | None] | None:
        """How the point's search ended, COMPLETE with its mean, PRUNED or FAILED; None if it has not."""
        stopped = next((trial.state for trial in self.trials if trial.state in ("PRUNED", "FAILED")), None)
        if stopped is not None:
            return stopped, None
        value = self.value
        is_whole = len(self.trials) >= len(self.search_replicates(asked))
        return ("COMPLETE", value) if value is not None and is_whole else None


@dataclass(slots=True)
class _Configuration:
    """All draws of one configuration."""

    first: Point
    """The first draw."""
    point: Point
    """The same; once there are several, all draws as one point."""
    total: Fraction = Fraction(0)
    """Of what its trials count: exact, so that it does not depend on the order in which they ended."""
    num_counted: int = 0
    num_whole: int = 0
    """Draws that have a value of their own."""

    @property
    def value(self) -> float | None:
        """See `Point.value`; the same number, without going through the trials."""
        return float(self.total) / self.num_counted if self.num_whole else None


@dataclass(slots=True)
class Ranking:
    """The configurations of one arm that have a value, best first; of equals the one drawn first."""

    _known: dict[str, _Configuration] = field(default_factory=dict)
    """By point_id."""
    _order: list[tuple[float, int, str]] = field(default_factory=list)
    """(-value, number of the first draw, point_id)."""

    def best(self, number: int) -> list[Point]:
        """The best `number` points, best first."""
        return [self._known[point_id].point for _, _, point_id in self._order[:number]]

    def add(self, draw: Point, trial: TrialRecord) -> None:
        """Take a new trial of the search, which `draw` holds already; the draw must not be entered."""
        found = self._known.setdefault(draw.point_id, _Configuration(draw, draw))
        if found.point is draw:
            return
        if found.point is found.first:
            found.point = replace(found.first, trials=[*found.first.trials], finals=[*found.first.finals])
        found.point.trials.append(trial)

    def finalise(self, draw: Point, trial: TrialRecord) -> None:
        """Take a new trial that only finalising asked for."""
        found = self._known.get(draw.point_id)
        if found is not None and found.point is not draw:
            found.point.finals.append(trial)

    def leave(self, draw: Point) -> None:
        """Take a draw out, before it changes."""
        self._move(draw, -1)

    def enter(self, draw: Point) -> None:
        """Put a draw where it now belongs."""
        self._move(draw, 1)

    def _move(self, draw: Point, sign: int) -> None:
        found = self._known[draw.point_id]
        before = found.value
        if before is not None:
            del self._order[bisect.bisect_left(self._order, (-before, found.point.number, draw.point_id))]
        counted = draw.counted
        found.total += sign * sum(map(Fraction, counted))
        found.num_counted += sign * len(counted)
        found.num_whole += sign * (draw.value is not None)
        after = found.value
        if after is not None:
            bisect.insort(self._order, (-after, found.point.number, draw.point_id))

"""The point that an arm's sweep ends with, honestly: how sure the choice is, and its score without the luck of it.

Three things are said of a winner. Which other points cannot be told from it: each that is not shown to be worse by more
than `delta`, by the chances of :mod:`tunekit.racing.estimates` at the level that Boole's inequality leaves to each
(comparison with the best, after Hsu, *Simultaneous confidence intervals for all distances from the "best"*, 1981). Its
mean over the seeds that chose it, which being the highest of several is too high in expectation. And an estimate that
is corrected for that:

* by new seeds, where there are any that took no part in the choice: after a race the winner runs on some; and of an arm
  that finalises one point (`top: 1`), all final seeds that its search has not run. Their mean is right on average
  whatever chose the point, and needs no model but for how wide its interval is.
* else by the model of :mod:`tunekit.racing.shrinkage`, over all finalised points, of the seeds that the search has not
  run, if there are any. It is right on average over sweeps like its model, and not for each.

All of this is about dev scores over seeds, on the draws of the data and the dev set that the sweep has: another dev set
would add to the intervals. Test scores are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tunekit.journal import Point, dev_scores
from tunekit.racing import Estimates, Interval, estimate, fresh, own, shrunk
from tunekit.racing.rounds import End
from tunekit.reports.results import ArmResult, SweepResult
from tunekit.reports.scores import Spread
from tunekit.schema import Values
from tunekit.wording import names, percent, plural, share

CONFIDENCE = 0.95
"""Of intervals where no race says another."""

Row = dict[int, float]
"""Scores of a point by the number of the seed."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A finalised point that cannot be told from the winner."""

    number: int
    params: Values
    dev: Spread
    """Over the seeds that it ran on."""
    chance_better: float | None
    """The chance that it is truly better than the winner; None where the noise is not known."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The point that an arm ends with, or that leads so far. Scores are fractions, dev, over seeds."""

    arm: str
    metric: str
    number: int
    """Of the point, in the order in which the arm drew them."""
    params: Values
    is_final: bool
    """Whether it was chosen among finalised points, and the choice is over; else it leads so far."""
    num_points: int
    """Points that it was chosen from: the finalised ones, or those that the search brought to an end."""
    seeds: tuple[int, ...]
    """Those whose scores took part in the choice, and are there."""
    new_seeds: tuple[int, ...]
    """Those that it ran on afterwards, and whose scores are there."""
    dev: Spread
    """The naive estimate: over `seeds`."""
    interval: Interval | None
    """The confidence interval of that by its own spread (Student); None of a single seed."""
    corrected: Interval | None
    """The estimate corrected for selection, with its confidence interval; None where nothing is known of the noise."""
    correction: Literal["new seeds", "model"] | None
    """How it was made."""
    num_corrected: int
    """Seeds of the winner that it is made of."""
    rivals: tuple[Rival, ...]
    """The other finalised points that cannot be told from it, best first."""
    delta: float
    """A point that is worse by no more than this is not told from the winner."""
    confidence: float
    chance: float | None
    """At most the chance that another finalised point is better by more than `delta`; None if not known."""
    end: End | None
    """Why the race is over; None: there was none, or it is not."""

    @property
    def is_told(self) -> bool:
        """Whether the choice can be told from noise."""
        return self.is_final and self.chance is not None and not self.rivals

    @property
    def first_line(self) -> str:
        """One plain sentence: which point, how good, how sure. Scores x 100."""
        return f"{self.arm}: {self._choice()}; {self._score()}."

    def _choice(self) -> str:
        best = f"point {self.number}"
        if not self.is_final:
            return f"{best} leads {plural(self.num_points, 'point')} so far, which is no choice yet"
        if self.num_points == 1:
            return f"{best} is the only one that was finalised, so that nothing was chosen there"
        sure = f"{share(self.confidence)} confidence"
        worse = f" by more than {percent(self.delta, decimals=2)}" if self.delta else ""
        if self.is_told:
            return f"{best} is the best of {self.num_points}: all others are worse{worse} ({sure})"
        others = names(f"point {rival.number}" for rival in self.rivals)
        if self.chance is None:
            return f"the choice of {best} cannot be told from noise: with one seed each, {others} may be as good"
        shown = "is not shown" if len(self.rivals) == 1 else "are not shown"
        return f"the choice of {best} cannot be told from noise: {others} {shown} to be worse{worse} ({sure})"

    def _score(self) -> str:
        spread = f" ± {percent(self.dev.std, decimals=2)}" if self.dev.std is not None else ""
        naive = f"dev {self.metric} {percent(self.dev.mean, decimals=2)}{spread} over {plural(self.dev.n, 'seed')}"
        if self.corrected is None:
            return f"{naive}, not corrected for selection"
        found = self.corrected
        low, high = percent(found.low, decimals=2), percent(found.high, decimals=2)
        how = f"by {plural(self.num_corrected, 'new seed')}" if self.correction == "new seeds" else "by a model"
        return f"{naive}, {percent(found.mean, decimals=2)} [{low}, {high}] corrected for selection {how}"


def winners(result: SweepResult) -> tuple[Winner, ...]:
    """The winner of each arm that has one, in the order of the file; what leads, where the sweep is not finished."""
    found = (_of_finalised(result, arm) or _of_search(result, arm) for arm in result.arms)
    return tuple(winner for winner in found if winner is not None)


def _of_finalised(result: SweepResult, arm: ArmResult) -> Winner | None:
    """The winner among the finalised points; None as long as none of them has a score on a final seed."""
    choice = _choice_of(result, arm) if arm.progress.num_final_asked else None
    if choice is None:
        return None
    corrected, correction, num_corrected = choice.corrected()
    point, chosen_by = choice.points[choice.place], choice.chosen_by[choice.place]
    return Winner(
        arm=arm.name,
        metric=arm.metric,
        number=point.number,
        params=point.params,
        is_final=arm.race.is_over if arm.race else arm.progress.is_done,
        num_points=len(choice.found.scored),
        seeds=tuple(result.sweep.final_seeds[seed] for seed in chosen_by),
        new_seeds=tuple(result.sweep.final_seeds[seed] for seed in choice.later),
        dev=_spread(chosen_by),
        interval=own(list(chosen_by.values()), choice.confidence),
        corrected=corrected,
        correction=correction,
        num_corrected=num_corrected,
        rivals=choice.rivals(),
        delta=choice.delta,
        confidence=choice.confidence,
        chance=choice.chance(),
        end=arm.race.standing.end if arm.race else None,
    )


def _of_search(result: SweepResult, arm: ArmResult) -> Winner | None:
    """The point that leads the search, of which nothing more can be said; None before a point is COMPLETE."""
    point = arm.leader
    dev = Spread.of(point.counted) if point is not None else None
    if point is None or dev is None:
        return None
    return Winner(
        arm=arm.name,
        metric=arm.metric,
        number=point.number,
        params=point.params,
        is_final=False,
        num_points=len({found.point_id for found in arm.points if found.value is not None}),
        seeds=tuple(dict.fromkeys(trial.seed for trial in point.trials)),
        new_seeds=(),
        dev=dev,
        interval=own(point.counted, CONFIDENCE),
        corrected=None,
        correction=None,
        num_corrected=0,
        rivals=(),
        delta=0.0,
        confidence=CONFIDENCE,
        chance=None,
        end=None,
    )


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What one of the finalised points was chosen by."""

    points: Sequence[Point]
    place: int
    """Of the winner among them."""
    chosen_by: Sequence[Row]
    """Scores that took part in the choice, of each point by the number of the seed."""
    later: Row
    """Scores of the winner that took no part in it: a race was over before they came."""
    searched: frozenset[tuple[int, int]]
    """Scores that took part in the search's choice before: number of the point and of the seed."""
    found: Estimates
    """By `chosen_by`."""
    delta: float
    confidence: float

    def corrected(self) -> tuple[Interval | None, Literal["new seeds", "model"] | None, int]:
        """The estimate corrected for selection, how it was made, and of how many seeds of the winner."""
        unseen = [
            {seed: score for seed, score in row.items() if (place, seed) not in self.searched}
            for place, row in enumerate(self.chosen_by)
        ]
        later = self.later or (unseen[self.place] if len(self.found.scored) == 1 else {})
        if later:
            estimated = fresh(list(later.values()), self.found, self.place, self.confidence)
            return estimated, "new seeds" if estimated is not None else None, len(later)
        by_unseen = estimate(unseen)
        is_enough = bool(by_unseen.df) and self.place in by_unseen.scored
        used = by_unseen if is_enough else self.found
        estimated = shrunk(used, self.place, self.confidence)
        return estimated, "model" if estimated is not None else None, used.num_scores[self.place]

    def chance(self) -> float | None:
        """At most the chance that another point is better by more than delta; None where the noise is not known."""
        found = estimate(self.chosen_by, for_comparison=True)
        others = self._others(found)
        if not found.df or not others:
            return None
        return min(1.0, sum(found.chance_better(other, self.place, by=self.delta) for other in others))

    def rivals(self) -> tuple[Rival, ...]:
        """The points that are not shown to be worse by more than delta, by all scores that there are."""
        rows = [*self.chosen_by]
        rows[self.place] = {**rows[self.place], **self.later}
        found = estimate(rows, for_comparison=True)
        others = self._others(found)
        enough = 1 - (1 - self.confidence) / max(1, len(others))
        close = [each for each in others if found.chance_better(self.place, each, by=self.delta) < enough]
        close.sort(key=lambda each: -(found.means[each] or 0.0))
        return tuple(
            Rival(
                number=self.points[each].number,
                params=self.points[each].params,
                dev=_spread(self.chosen_by[each]),
                chance_better=found.chance_better(each, self.place) if found.df else None,
            )
            for each in close
        )

    def _others(self, found: Estimates) -> list[int]:
        return [each for each in found.scored if each != self.place]


def _choice_of(result: SweepResult, arm: ArmResult) -> _Choice | None:
    """What the winner of an arm was chosen by; None as long as nothing could choose."""
    sweep, race = result.sweep, arm.race
    points = arm.record.top(sweep.finalise.top)
    rows = [_scores(dev_scores(result.record, sweep, arm.arm, point)) for point in points]
    num_asked = race.standing.num_asked if race else [len(sweep.final_seeds)] * len(points)
    chosen_by = [{s: v for s, v in row.items() if s < number} for row, number in zip(rows, num_asked, strict=True)]
    found = estimate(chosen_by)
    place = race.standing.leader if race else _reported(arm, points, found)
    if place is None or place not in found.scored:  # its first seed may lack a draw yet
        return None
    confirming = {
        sweep.final_seeds.index(seed)
        for seed in (race.confirmed_on(place) if race else ())
        if not _is_searched(arm, points[place], seed)
    }
    rule = sweep.finalise.race
    return _Choice(
        points=points,
        place=place,
        chosen_by=chosen_by,
        later={seed: score for seed, score in rows[place].items() if seed in confirming},
        searched=frozenset(
            (at, seed)
            for at, row in enumerate(chosen_by)
            for seed in row
            if _is_searched(arm, points[at], sweep.final_seeds[seed])
        ),
        found=found,
        delta=rule.delta if rule else 0.0,
        confidence=rule.confidence if rule else CONFIDENCE,
    )


def _reported(arm: ArmResult, points: Sequence[Point], found: Estimates) -> int | None:
    """The place of the point that tables report; before any is tested, of the one with the highest mean."""
    numbers = [point.number for point in points]
    return numbers.index(arm.best.number) if arm.best is not None else found.leader()


def _is_searched(arm: ArmResult, point: Point, seed: int) -> bool:
    """Whether a point ran on a seed in the search of its arm, which chose the point by it."""
    return any(trial.seed == seed and trial.arm == arm.name for trial in point.trials)


def _scores(row: Mapping[int, float | None]) -> Row:
    return {seed: score for seed, score in row.items() if score is not None}


def _spread(row: Row) -> Spread:
    found = Spread.of(row.values())
    assert found is not None, "a point without a score is not compared"
    return found

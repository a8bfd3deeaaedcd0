"""How the points of an arm race for further seeds: the journal's dev scores, put before the rules of a race.

Nothing about a race is written down. Which seeds it asks for follows from the dev scores of the trials that have ended,
round by round, so a sweep that was killed and resumed asks for the same ones. Test scores are not looked at.

Where each seed runs on several draws of the data, the score of a seed is its mean over the draws: new seeds, and no new
draws, tell the points apart. A trial that FAILED leaves its seed without a score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean

from tunekit.journal.points import Point
from tunekit.journal.record import SweepRecord
from tunekit.journal.trial_record import TrialRecord
from tunekit.racing import Rules, Standing, race
from tunekit.sweep import Arm, Sweep


@dataclass(frozen=True, kw_only=True)
class ArmRace:
    """The race of one arm."""

    points: tuple[Point, ...]
    """Those that race, as the search ranked them."""
    seeds: tuple[int, ...]
    """In the order in which each point runs on them."""
    standing: Standing
    num_confirming: int
    """New seeds that the winner runs on at the end, which take no part in the choice."""

    @property
    def is_over(self) -> bool:
        """Whether the winner is chosen, and test may be read."""
        return self.standing.end is not None

    @property
    def winner(self) -> Point | None:
        """The point that was chosen; None as long as the race is not over, and if no point has a score."""
        return None if self.standing.leader is None or not self.is_over else self.points[self.standing.leader]

    def chosen_on(self, place: int) -> tuple[int, ...]:
        """The seeds of a point, by its place among `points`, whose scores take part in the race."""
        return self.seeds[: self.standing.num_asked[place]]

    def confirmed_on(self, place: int) -> tuple[int, ...]:
        """The new seeds that a point runs on after the race; none if it is not the winner."""
        if not self.is_over or self.standing.leader != place:
            return ()
        number = self.standing.num_asked[place]
        return self.seeds[number : number + self.num_confirming]

    def asked(self, place: int) -> tuple[int, ...]:
        """All seeds that finalising now asks a point to run on."""
        return (*self.chosen_on(place), *self.confirmed_on(place))


class Races:
    """The races of a sweep, asked at any moment; an answer is kept until a score changes it.

    Args:
        record: followed, not copied.
        sweep: as it is to be run.
    """

    def __init__(self, record: SweepRecord, sweep: Sweep) -> None:
        self._record, self._sweep = record, sweep
        self._known: dict[str, tuple[object, Standing]] = {}

    def of(self, arm: Arm, *, is_cut: bool = False) -> ArmRace | None:
        """The race of an arm; None where the sweep has none.

        Args:
            arm: which.
            is_cut: no trial that it asks for may run.
        """
        finalise = self._sweep.finalise
        if finalise.race is None:
            return None
        points = tuple(self._record.arm(arm.name).top(finalise.top))
        return ArmRace(
            points=points,
            seeds=self._sweep.final_seeds,
            standing=self._standing(arm, points, is_cut),
            num_confirming=finalise.num_confirming,
        )

    def lacking(self, arm: Arm, found: ArmRace) -> Iterator[TrialRecord | None]:
        """The trials that the round waits for; None stands for one that is yet to be made."""
        for place, point in enumerate(found.points):
            trials = self._record.replicates[point.point_id]
            for replicate in self._sweep.on_final_draws(arm, found.chosen_on(place)):
                trial = trials.get(replicate)
                if trial is None or trial.state == "RUNNING":
                    yield trial

    def _standing(self, arm: Arm, points: Iterable[Point], is_cut: bool) -> Standing:
        table = [dev_scores(self._record, self._sweep, arm, point) for point in points]
        key = [list(row.items()) for row in table], is_cut
        known = self._known.get(arm.name)
        if known is None or known[0] != key:
            known = self._known[arm.name] = key, race(table, _rules(self._sweep), is_cut=is_cut)
        return known[1]


def dev_scores(record: SweepRecord, sweep: Sweep, arm: Arm, point: Point) -> dict[int, float | None]:
    """The dev objective of a point by the number of the seed, of each final seed that has ended on every draw.

    Args:
        record: what has happened.
        sweep: says which seeds, in which order, and which draws.
        arm: of the point.
        point: which; the trials of all arms with its configuration count.
    """
    scores: dict[int, float | None] = {}
    trials = record.replicates[point.point_id]
    for number, seed in enumerate(sweep.final_seeds):
        found = [trials.get(replicate) for replicate in sweep.on_final_draws(arm, (seed,))]
        ended = [trial for trial in found if trial is not None and trial.state != "RUNNING"]
        if len(ended) == len(found):
            scores[number] = _seed_score(ended)
    return scores


def _seed_score(trials: Iterable[TrialRecord]) -> float | None:
    """The score of one seed: the mean dev objective over its draws; None if one of them has none."""
    values = [trial.value for trial in trials]
    found = [value for value in values if value is not None]
    return fmean(found) if found and len(found) == len(values) else None


def _rules(sweep: Sweep) -> Rules:
    finalise = sweep.finalise
    assert finalise.race is not None
    return Rules(
        num_first=len(finalise.seeds),
        max_seeds=finalise.race.max_seeds,
        delta=finalise.race.delta,
        confidence=finalise.race.confidence,
    )

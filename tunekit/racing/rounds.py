"""A race: new seeds go to the leader and its close challengers, until it is clear enough who wins.

All points run on the same first seeds. Then, round by round: the point with the highest estimated mean leads, and for
each other point there is the chance that it is better by more than `delta` (:mod:`tunekit.racing.estimates`). The sum
of these chances is at least the chance that any of them is (Boole's inequality). The race is over once the sum is below
what may go wrong at one look, :attr:`Rules.allowed`. Until then the leader and each point whose chance is at least its
share of that get their next seed; the others wait, and come back if the leader falls.

Such races go back to Maron and Moore, *Hoeffding races* (1994); asking for a winner that is near enough to the best,
and not for the best, to Bechhofer's indifference zone (1954). Who looks after each round and stops at the first that
pleases is wrong more often than at each look (Armitage, McPherson and Rowe, *Repeated significance tests on
accumulating data*, 1969), so ``1 - confidence`` is spent in proportion to the seeds that have run (Kim and DeMets,
*Design and analysis of group sequential tests based on the type I error spending rate function*, 1987, with exponent
1): little where few have. Looks between which few seeds were added are nearly the same look; a look may spend what was
added since there were half as many seeds. That is a rule of thumb: how often the winner is within `delta` of the best
is measured by ``benchmarks/racing.py``.

Scores that are all alike say that there is no noise, or that nobody has seen it yet: a few-shot method that learns
nothing gives one score on most seeds. They end a race after :data:`SEEDS_WITHOUT_NOISE` seeds, and not before.

Rounds are synchronous: nothing is decided before each trial of a round has ended. So a race depends on the scores
alone, and not on the order in which they came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tunekit.racing.estimates import Estimates, Table, estimate

End = Literal["confident", "max_seeds", "alone", "no score", "cut"]
"""Why a race is over: no point is likely to be better by more than delta; who may be better has run on all seeds; there
was one point; no point has a score; it could not go on (which the caller says: a budget)."""
SEEDS_WITHOUT_NOISE = 5
"""Scores that a point must have, where those of each point are alike, before noise is taken to be nothing."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a race is run."""

    num_first: int
    """Seeds that every point runs on; at least 1."""
    max_seeds: int
    """Seeds that a point runs on at most; more than `num_first`."""
    delta: float
    """How much worse than the best the winner may be, in units of the score."""
    confidence: float
    """Between 0.5 and 1."""

    def allowed(self, num_seeds: int) -> float:
        """The chance below which another point must be better by more than delta for a look to end the race.

        Args:
            num_seeds: that the leader has run on.
        """
        return (1 - self.confidence) * num_seeds / (2 * self.max_seeds)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a race stands."""

    num_asked: tuple[int, ...]
    """Seeds that each point is to have run on by the end of this round: the first ones of the row of seeds."""
    num_rounds: int
    """Decisions that gave a point a new seed."""
    leader: int | None
    """By the scores of the rounds that are over; None before the first is, and if no point has a score."""
    chance: float | None
    """The sum of the chances that another point is better by more than delta; None if not known."""
    end: End | None
    """Why it is over; None: it goes on."""


def race(table: Table, rules: Rules, *, is_cut: bool = False) -> Standing:
    """How the race of some points stands, by all that has been scored.

    Args:
        table: for each point its scores by the number of the seed; a number that is missing is not known yet.
        rules: of the race.
        is_cut: what the round still lacks will not come; the scores that are there decide.
    """
    asked, num_rounds = [rules.num_first] * len(table), 0
    verdict: tuple[int | None, float | None] = None, None
    while True:
        is_whole = all(seed in row for row, number in zip(table, asked, strict=True) for seed in range(number))
        end: End | None = None
        following: list[int] = []
        if is_whole or is_cut:
            known = [{s: v for s, v in row.items() if s < n} for row, n in zip(table, asked, strict=True)]
            leader, chance, end, following = _decide(estimate(known, for_comparison=True), asked, rules)
            verdict = leader, chance
            end = end or (None if is_whole else "cut")
        if end is not None or not is_whole:
            return Standing(
                num_asked=tuple(asked), num_rounds=num_rounds, leader=verdict[0], chance=verdict[1], end=end
            )
        for point in following:
            asked[point] += 1
        num_rounds += 1


def _decide(found: Estimates, asked: list[int], rules: Rules) -> tuple[int | None, float | None, End | None, list[int]]:
    """Leader, chance, why it is over, and who gets the next seed."""
    leader = found.leader()
    if leader is None:
        return None, None, "no score", []
    others = [point for point in found.scored if point != leader]
    if not others:
        return leader, None, "alone", []
    chances = {point: found.chance_better(point, leader, by=rules.delta) for point in others}
    chance, allowed = sum(chances.values()), rules.allowed(asked[leader])
    is_known = any(found.own) or max(found.num_scores) >= SEEDS_WITHOUT_NOISE
    if found.df and is_known and chance < allowed:
        return leader, chance, "confident", []
    close = [point for point in others if not is_known or chances[point] >= allowed / len(others)]
    following = sorted(point for point in (leader, *close) if asked[point] < rules.max_seeds)
    return leader, chance, None if following else "max_seeds", following

"""What an arm's trials add up to: points, and which of them are best. Shared by the search and by reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tunekit.journal import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Point:
    """A configuration without its seed, and all of its trials."""

    number: int
    params: Mapping[str, Any]
    trials: tuple[TrialRecord, ...]

    @property
    def value(self) -> float | None:
        """Mean dev objective over its COMPLETE trials; None unless every search trial is COMPLETE."""
        searched = [trial for trial in self.trials if trial.phase == "search"]
        if any(trial.state != "COMPLETE" for trial in searched):
            return None
        values = [trial.value for trial in self.trials if trial.value is not None]
        return fmean(values) if values else None


def points_of(trials: Iterable[TrialRecord]) -> list[Point]:
    """Group an arm's trials by point number."""
    grouped: dict[int, list[TrialRecord]] = {}
    for trial in trials:
        grouped.setdefault(trial.number, []).append(trial)
    return [
        Point(number=number, params={k: v for k, v in members[0].params.items() if k != "seed"}, trials=tuple(members))
        for number, members in sorted(grouped.items())
    ]


def top_points(trials: Iterable[TrialRecord], top: int) -> list[Point]:
    """The best `top` points by the dev objective of their search trials, best first; each configuration once.

    Ties go to the point drawn first. Trials of the finalising phase do not count, so that finalising cannot change
    what is finalised; the report then ranks the finalised points by all of their seeds.
    """
    searched = points_of(trial for trial in trials if trial.phase == "search")
    ranked = sorted((p for p in searched if p.value is not None), key=lambda p: (-(p.value or 0.0), p.number))
    distinct: dict[str, Point] = {}
    for point in ranked:
        distinct.setdefault(point.trials[0].point_id, point)
    return list(distinct.values())[:top]


def search_seeds(first: TrialRecord, seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds that a point's search trials run on; a searched seed, or a point drawn again, has one of its own.

    Args:
        first: the point's first trial of the search.
        seeds: the sweep's.
    """
    return tuple(seeds) if first.seed == seeds[0] and "seed" not in first.params else (first.seed,)


def missing_seed(point: Point, seeds: Sequence[int]) -> int | None:
    """The next seed that the search owes `point`; none once a trial of it was stopped or failed."""
    searched = [trial for trial in point.trials if trial.phase == "search"]
    if not searched or any(trial.state != "COMPLETE" for trial in searched):
        return None
    done = {trial.seed for trial in searched}
    return next((seed for seed in search_seeds(searched[0], seeds) if seed not in done), None)

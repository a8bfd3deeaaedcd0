"""Scores of finalised points over seeds: means, their spread, the zero-shot mean and the transfer gap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from tunekit.journal import Point, TrialRecord
from tunekit.schema import Values


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A mean over seeds and how far they spread."""

    mean: float
    std: float | None
    """Sample standard deviation (n - 1); None for a single value."""
    n: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Of all values that are there; None if none is."""
        found = [value for value in values if value is not None]
        if not found:
            return None
        return cls(mean=fmean(found), std=stdev(found) if len(found) > 1 else None, n=len(found))


@dataclass(frozen=True, kw_only=True)
class FinalPoint:
    """A point with test scores."""

    number: int
    params: Values
    trials: tuple[TrialRecord, ...]
    """COMPLETE, scored on test, and on a seed of `finalise`; in the order of these seeds. At least one."""
    missing: Mapping[int, str]
    """Seeds of `finalise` without a test score, and why."""

    @property
    def dev(self) -> Spread:
        """The objective over the seeds of finalising."""
        spread = Spread.of(trial.value for trial in self.trials)
        assert spread is not None
        return spread

    def score(self, language: str, metric: str) -> Spread | None:
        """Test scores in one language over seeds; None if there are none."""
        return Spread.of(_test(trial, language, metric) for trial in self.trials)

    def zero_shot(self, targets: Sequence[str], metric: str) -> Spread | None:
        """The mean over `targets`, taken for each seed and then over seeds; None without targets or scores."""
        return Spread.of(_zero_shot(trial, targets, metric) for trial in self.trials)

    def transfer_gap(self, source: str, targets: Sequence[str], metric: str) -> Spread | None:
        """Source minus zero-shot mean, likewise."""
        pairs = [(_test(t, source, metric), _zero_shot(t, targets, metric)) for t in self.trials]
        return Spread.of(a - b if a is not None and b is not None else None for a, b in pairs)

    def majority(self, language: str, metric: str) -> float | None:
        """The test score of always predicting train's most frequent label."""
        return next(
            (t.baselines[k] for t in self.trials if (k := f"majority/{language}/{metric}") in t.baselines), None
        )


def _test(trial: TrialRecord, language: str, metric: str) -> float | None:
    return (trial.test_scores or {}).get(f"test/{language}/{metric}")


def _zero_shot(trial: TrialRecord, targets: Sequence[str], metric: str) -> float | None:
    scores = [_test(trial, language, metric) for language in targets]
    found = [score for score in scores if score is not None]
    return fmean(found) if found and len(found) == len(targets) else None


def final_point(point: Point, by_seed: Mapping[int, TrialRecord], seeds: Sequence[int]) -> FinalPoint | None:
    """`point` with the trials of its configuration on `seeds`; None if none of them has test scores.

    Args:
        point: which.
        by_seed: every trial of its configuration; some may have been drawn as another point, or by another arm.
        seeds: those of finalising.
    """
    replicates = {seed: by_seed.get(seed) for seed in seeds}
    missing = {seed: why for seed, trial in replicates.items() if (why := _why_missing(trial)) is not None}
    scored = tuple(trial for seed, trial in replicates.items() if trial is not None and seed not in missing)
    if not scored:
        return None
    return FinalPoint(number=point.number, params=point.params, trials=scored, missing=missing)


def _why_missing(trial: TrialRecord | None) -> str | None:
    if trial is None:
        return "not run yet"
    if trial.state == "COMPLETE":
        return None if trial.test_scores is not None else "not scored on test yet"
    reason = trial.outcome.reason if trial.outcome else None
    return f"{trial.state}: {reason}" if reason else trial.state

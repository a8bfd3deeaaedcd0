"""Scores of finalised points over seeds and draws: means, their spread, the zero-shot mean and the transfer gap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from tunekit.journal import Point, TrialRecord
from tunekit.schema import Values
from tunekit.segmentation import Granularity
from tunekit.trial import Replicate


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A mean over trials, of several seeds and draws of the data, and how far they spread."""

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
    """COMPLETE, scored on test, and what `finalise` asks for; in its order. At least one."""
    missing: Mapping[Replicate, str]
    """Seeds and draws of `finalise` without a test score, and why."""

    @property
    def num_failed(self) -> int:
        """Seeds and draws of `finalise` on which it failed or was stopped."""
        return sum(why.startswith(("FAILED", "PRUNED")) for why in self.missing.values())

    @property
    def dev(self) -> Spread:
        """The objective over the trials of finalising."""
        spread = Spread.of(trial.value for trial in self.trials)
        assert spread is not None
        return spread

    def score(self, language: str, metric: str) -> Spread | None:
        """Test scores in one language over trials; None if there are none."""
        return Spread.of(_test(trial, language, metric) for trial in self.trials)

    def zero_shot(self, targets: Sequence[str], metric: str) -> Spread | None:
        """The mean over `targets`, taken for each trial and then over trials; None without targets or scores."""
        return Spread.of(mean_score(trial, targets, metric) for trial in self.trials)

    def transfer_gap(self, source: str, targets: Sequence[str], metric: str) -> Spread | None:
        """Source minus zero-shot mean, likewise."""
        pairs = [(_test(t, source, metric), mean_score(t, targets, metric)) for t in self.trials]
        return Spread.of(a - b if a is not None and b is not None else None for a, b in pairs)

    def granularity(self, language: str) -> Granularity | None:
        """How finely the test texts of a language are written in tokens, alike for all seeds; None if not said."""
        return next((t.granularity[language] for t in self.trials if language in t.granularity), None)

    def majority(self, language: str, metric: str) -> float | None:
        """The test score of always predicting train's most frequent label, the mean over trials (draws may differ)."""
        found = Spread.of(trial.baselines.get(f"majority/{language}/{metric}") for trial in self.trials)
        return found.mean if found else None


def _test(trial: TrialRecord, language: str, metric: str) -> float | None:
    return (trial.test_scores or {}).get(f"test/{language}/{metric}")


def mean_score(trial: TrialRecord, languages: Sequence[str], metric: str) -> float | None:
    """The mean test score of one trial over `languages`; None unless it has all of them."""
    scores = [_test(trial, language, metric) for language in languages]
    found = [score for score in scores if score is not None]
    return fmean(found) if found and len(found) == len(languages) else None


def final_point(point: Point, found: Mapping[Replicate, TrialRecord], asked: Sequence[Replicate]) -> FinalPoint | None:
    """`point` with the trials of its configuration that finalising asks for; None if none of them has test scores.

    Args:
        point: which.
        found: every trial of its configuration; some may have been drawn as another point, or by another arm.
        asked: the seeds and draws of finalising.
    """
    replicates = {replicate: found.get(replicate) for replicate in asked}
    missing = {replicate: why for replicate, trial in replicates.items() if (why := _why_missing(trial)) is not None}
    scored = tuple(trial for replicate, trial in replicates.items() if trial is not None and replicate not in missing)
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

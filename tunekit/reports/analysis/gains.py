"""What one arm gains over another in each language: differences of test scores, seed by seed where both ran on it.

The other arm of a difference is the first one of the file that has test scores and as many shots. That rule is fixed
before anything is scored, so that the reference is not chosen by its result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from tunekit.journal import TrialRecord
from tunekit.reports.results import ArmResult, Comparison
from tunekit.reports.scores import FinalPoint, Spread, mean_score


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An arm and the one that it is compared with; both have a reported point."""

    arm: ArmResult
    other: ArmResult
    metric: str

    @property
    def label(self) -> str:
        """Such as ``lora − finetune``."""
        return f"{self.arm.name} − {self.other.name}"

    def gain(self, languages: Sequence[str]) -> Spread | None:
        """The mean score over `languages`, this arm's minus the other's; None unless both have all of them.

        Over the trials that share a seed and draw, pair by pair. Where none does: the difference of the means, whose
        spread is not known, and whose n is that of the arm with fewer trials.
        """
        if self.shared:
            scores = [[mean_score(trial, languages, self.metric) for trial in pair] for pair in self.shared]
            return Spread.of(one - other if one is not None and other is not None else None for one, other in scores)
        means = [_best(arm).zero_shot(languages, self.metric) for arm in (self.arm, self.other)]
        if means[0] is None or means[1] is None:
            return None
        return Spread(mean=means[0].mean - means[1].mean, std=None, n=min(means[0].n, means[1].n))

    @cached_property
    def shared(self) -> tuple[tuple[TrialRecord, TrialRecord], ...]:
        """The trials of both reported points that have the same seed and draw."""
        others = {trial.replicate: trial for trial in _best(self.other).trials}
        return tuple((t, others[t.replicate]) for t in _best(self.arm).trials if t.replicate in others)

    @property
    def is_complete(self) -> bool:
        """Whether every trial of both has a partner of the same seed and draw."""
        return len(self.shared) == len(_best(self.arm).trials) == len(_best(self.other).trials)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The target languages that both have scores in."""
        return tuple(language for language in self.arm.targets if self.gain([language]) is not None)


def pairs(comparison: Comparison) -> tuple[Pair, ...]:
    """Each arm with a reported point, beside the first such arm that has as many shots."""
    return tuple(_pairs(comparison))


def _pairs(comparison: Comparison) -> Iterator[Pair]:
    first: dict[int | None, ArmResult] = {}
    for arm in comparison.arms:
        if arm.best is None:
            continue
        other = first.setdefault(arm.task.shots, arm)
        if other is not arm:
            yield Pair(arm=arm, other=other, metric=comparison.metric)


def _best(arm: ArmResult) -> FinalPoint:
    assert arm.best is not None
    return arm.best

"""Which of our arms is the best in a column of scores, where they may be compared at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunekit.reports.results import ArmResult, Comparison
from tunekit.reports.scores import Spread
from tunekit.wording import percent

ZERO_SHOT, GAP = "zero_shot", "transfer_gap"
"""Keys of the columns with means over languages."""
SAMPLE_KEYS = ("max_test_examples", "sample_seed")
"""What decides which test examples are scored."""
Scores = Mapping[str, Spread | None]
"""Of an arm, by the key of the column."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best of a column."""

    arms: frozenset[str]
    """Those with the highest score, by the digits that are shown: equal numbers are equally best."""
    order: tuple[str, ...]
    """All that were compared, the highest mean first."""


def best_by_column(comparison: Comparison, scores: Mapping[str, Scores]) -> dict[str, Best]:
    """The best by the key of the column, among the arms of `scores`.

    A column is left out where fewer than two arms have a score or they were scored on other test data than each other,
    and so is the transfer gap, which is small for an arm that fails everywhere.
    """
    found: dict[str, Best] = {}
    for key in (*comparison.languages, ZERO_SHOT):
        means = {name: value.mean for name, each in scores.items() if (value := each[key]) is not None}
        arms = [arm for arm in comparison.arms if arm.name in means]
        if len(arms) < 2 or not are_comparable(arms, None if key == ZERO_SHOT else key):
            continue
        order = sorted(means, key=lambda name: -means[name])
        highest = percent(means[order[0]])
        best = frozenset(name for name in order if percent(means[name]) == highest)
        found[key] = Best(arms=best, order=tuple(order))
    return found


def are_comparable(arms: Sequence[ArmResult], language: str | None) -> bool:
    """Whether arms were scored on the same test data of a language; None: of all their targets, which are the same.

    What no trial said of its data counts as the same; samples must be drawn alike.
    """
    if language is None:
        if len({frozenset(arm.targets) for arm in arms}) > 1:
            return False
        return all(are_comparable(arms, each) for each in arms[0].targets)
    samples = {tuple(getattr(arm.task, key) for key in SAMPLE_KEYS) for arm in arms if arm.task.max_test_examples}
    if samples and (len(samples) > 1 or any(not arm.task.max_test_examples for arm in arms)):
        return False
    prints = {arm.facts.fingerprints.get(f"test/{language}") for arm in arms if arm.facts is not None}
    return len(prints - {None}) < 2

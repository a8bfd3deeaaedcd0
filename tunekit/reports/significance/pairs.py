"""Which arms of a sweep differ, for each language and on the zero-shot mean, from what is stored of their trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from tunekit.reports.results import ArmResult, SweepResult
from tunekit.reports.significance.intervals import holm, interval
from tunekit.reports.significance.measured import Measured
from tunekit.reports.significance.reading import ArmCounts, read_counts
from tunekit.reports.significance.replicates import Contrast, contrast
from tunekit.reports.significance.resampling import NUM_RESAMPLES
from tunekit.reports.significance.types import Difference, Differences, Uncompared
from tunekit.storage import SweepFolder
from tunekit.wording import names as listed
from tunekit.wording import plural

TRANSLATED = ("xnli", "pawsx")
"""Tasks whose test sets are translations of each other."""


def differences(result: SweepResult) -> Differences:
    """The differences between all arms of each comparison, with intervals and corrected p-values.

    For each pair of arms with finalised points: of the main metric in each language where both were asked the same test
    examples, and of the mean over the target languages among these. What cannot be compared is named with its reason.

    Raises:
        StorageError: predictions are there and cannot be read.
    """
    return result.once("differences", lambda: _differences(result))


def _differences(result: SweepResult) -> Differences:
    parts = [
        compare([(arm, arm.folder) for arm in comparison.arms], task=comparison.task, source=comparison.source)
        for comparison in result.comparisons
    ]
    return joined(parts)


def joined(parts: Sequence[Differences]) -> Differences:
    """Those of several comparisons as one."""
    return Differences(
        found=tuple(each for part in parts for each in part.found),
        uncompared=tuple(each for part in parts for each in part.uncompared),
    )


def compare(
    arms: Sequence[tuple[ArmResult, SweepFolder | None]],
    *,
    task: str,
    source: str,
    num_resamples: int = NUM_RESAMPLES,
) -> Differences:
    """The differences between arms of one task and source language, of one sweep or of several.

    Args:
        arms: each with the folder of its sweep; None: only its journal is at hand. Names must differ.
        task: the task of all.
        source: the source language of all.
        num_resamples: of the test examples.

    Raises:
        StorageError: predictions are there and cannot be read.
    """
    read = [read_counts(arm, folder) for arm, folder in arms]
    return compare_counts(read, task=task, source=source, num_resamples=num_resamples)


def compare_counts(
    read: Sequence[ArmCounts], *, task: str, source: str, num_resamples: int = NUM_RESAMPLES
) -> Differences:
    """The same, from counts that have been read."""
    measured = Measured(read, num_resamples)
    found: list[Difference] = []
    uncompared: list[Uncompared] = []
    for one, other in combinations(read, 2):
        pair = _Pair(one=one, other=other, task=task, source=source)
        found.extend(pair.differences(measured))
        uncompared.extend(pair.uncompared())
    shots = {each.arm.name: each.arm.task.shots for each in read}
    return Differences(found=tuple(_corrected(found, shots)), uncompared=tuple(uncompared), num_resamples=num_resamples)


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two arms."""

    one: ArmCounts
    other: ArmCounts
    task: str
    source: str

    @property
    def reason(self) -> str | None:
        """Why nothing of them can be compared."""
        reasons = dict.fromkeys(each.reason for each in (self.one, self.other) if each.reason is not None)
        if reasons:
            return "; ".join(reasons)
        metrics = (self.one.arm.metric, self.other.arm.metric)
        if metrics[0] != metrics[1]:
            return f"another metric: {metrics[0]} and {metrics[1]}"
        if self.contrast is None:
            return "they have no seed and draw in common"
        return None

    @property
    def contrast(self) -> Contrast | None:
        """How their trials are compared."""
        return contrast(self.one.replicates, self.other.replicates)

    @property
    def languages(self) -> tuple[str, ...]:
        """In which they were asked the same examples, the source first."""
        return tuple(language for language, name in self.one.names.items() if self.other.names.get(language) == name)

    def differences(self, measured: Measured) -> Iterator[Difference]:
        """The mean first; p-values are not corrected yet."""
        how = self.contrast if self.reason is None else None
        if how is None:
            return
        targets = tuple(language for language in self.languages if language != self.source)
        if targets:
            yield self._difference(measured, how, None, targets)
        for language in self.languages:
            yield self._difference(measured, how, language, (language,))

    def _difference(
        self, measured: Measured, how: Contrast, language: str | None, languages: tuple[str, ...]
    ) -> Difference:
        names = tuple(self.one.names[each] for each in languages)
        trials = {self.one.arm.name: how.one, self.other.arm.name: how.other}
        sizes = {self.one.counts[each].shape[2] for each in languages}
        num_examples = min(sizes)
        num_units = sum(min(self.one.units[each], self.other.units[each]) for each in languages)
        result = interval(*measured.of(names, trials), how, num_examples=num_examples, num_units=num_units)
        return Difference(
            task=self.task,
            source=self.source,
            one=self.one.arm.name,
            other=self.other.arm.name,
            language=language,
            languages=languages,
            metric=self.one.arm.metric,
            difference=result.difference,
            low=result.difference - result.half_width(),
            high=result.difference + result.half_width(),
            error=result.error,
            error_of_examples=math.sqrt(result.examples.variance),
            p=result.p,
            p_holm=result.p,
            num_tests=1,
            num_examples=num_examples,
            num_seeds=how.num_seeds,
            num_draws=how.num_draws,
            num_trials=(len(how.one), len(how.other)),
            num_pairs=how.num_pairs,
            covers=listed(("examples", *how.factors)),
            is_mean_of_unlike=len(sizes) > 1 and self.task in TRANSLATED,
            left_out=self._left_out(how),
        )

    def _left_out(self, how: Contrast) -> str:
        parts = [
            f"{len(arm.replicates) - len(take)} of {plural(len(arm.replicates), 'trial')} of {arm.arm.name}"
            for arm, take in ((self.one, how.one), (self.other, how.other))
            if len(take) < len(arm.replicates)
        ]
        return f"{listed(parts)}: not every seed on every draw in both arms" if parts else ""

    def uncompared(self) -> Iterator[Uncompared]:
        """What is not among the differences."""
        if self.reason is not None:
            yield self._uncompared((), self.reason)
            return
        reasons: dict[str, list[str]] = {}
        both = (self.one, self.other)
        for language in dict.fromkeys(each for side in both for each in (self.source, *side.arm.targets)):
            if language not in self.languages:
                reasons.setdefault(self._why_not(language), []).append(language)
        for reason, languages in reasons.items():
            yield self._uncompared(tuple(languages), reason)

    def _why_not(self, language: str) -> str:
        both = (self.one, self.other)
        refused = dict.fromkeys(side.refused[language] for side in both if language in side.refused)
        if refused:
            return "; ".join(refused)
        lacking = [side.arm.name for side in both if language not in side.names]
        if lacking:
            return f"{listed(lacking)} is not tested there"
        return "they were asked other test examples"

    def _uncompared(self, languages: tuple[str, ...], reason: str) -> Uncompared:
        return Uncompared(
            task=self.task,
            source=self.source,
            one=self.one.arm.name,
            other=self.other.arm.name,
            languages=languages,
            reason=reason,
        )


def _corrected(found: Sequence[Difference], shots: Mapping[str, int | None]) -> list[Difference]:
    """With Holm's correction over each family, in the same order."""
    families: dict[tuple[str | None, bool], list[int]] = {}
    for place, each in enumerate(found):
        families.setdefault((each.language, shots[each.one] == shots[each.other]), []).append(place)
    corrected = list(found)
    for places in families.values():
        for place, p in zip(places, holm([found[place].p for place in places]), strict=True):
            corrected[place] = replace(found[place], p_holm=p, num_tests=len(places))
    return corrected

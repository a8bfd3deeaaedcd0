"""What a comparison of arms gives: differences, and what could not be compared, with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from tunekit.reports.significance.intervals import LEVEL
from tunekit.reports.significance.resampling import NUM_RESAMPLES


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much better one arm is than another, in one language or on the zero-shot mean."""

    task: str
    source: str
    """The source language: with the task it names the comparison."""
    one: str
    """The arm from which is subtracted."""
    other: str
    """The arm that is subtracted."""
    language: str | None
    """None: the mean over `languages`, the target languages in which both arms were asked the same examples."""
    languages: tuple[str, ...]
    """What `difference` is over."""
    metric: str
    """The task's main metric."""
    difference: float
    """Of the means over trials, a fraction."""
    low: float
    """The lower end of the 95 % confidence interval."""
    high: float
    """Its upper end."""
    error: float
    """Standard error over all that is covered."""
    error_of_examples: float
    """What test examples add to it."""
    p: float
    """Of no difference, two-sided."""
    p_holm: float
    """The same, corrected for the `num_tests` of its family."""
    num_tests: int
    """How many differences its family holds."""
    num_examples: int
    """Test examples; of several languages, in the one that has fewest."""
    num_seeds: int
    """Seeds that take part, of the arm that has fewer."""
    num_draws: int
    """Draws of the data, likewise."""
    num_trials: tuple[int, int]
    """Trials of each arm that take part."""
    num_pairs: int
    """Those of them that both arms ran with the same seed and draw."""
    covers: str
    """What the interval is over: ``examples``, ``examples and seeds``, ``examples, seeds and draws``, ..."""
    is_mean_of_unlike: bool = False
    """Whether its languages, translations of each other, have other numbers of examples than each other. They are
    resampled independently then, and the interval is too narrow."""
    left_out: str = ""
    """Which trials of a reported point take no part, and why; empty if all do."""

    @property
    def is_significant(self) -> bool:
        """Whether the arms differ at 5 %, after Holm's correction."""
        return self.p_holm <= LEVEL

    @property
    def covers_trials(self) -> bool:
        """Whether seeds or draws are covered; else it is about the trained models, and not about the arms."""
        return self.covers != "examples"

    @property
    def reversed(self) -> Difference:
        """The same, the other way round."""
        return replace(
            self, one=self.other, other=self.one, difference=-self.difference, low=-self.high, high=-self.low,
            num_trials=self.num_trials[::-1],
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Uncompared:
    """What could not be compared."""

    task: str
    source: str
    one: str
    other: str
    languages: tuple[str, ...]
    """In which languages not; empty: in none at all."""
    reason: str
    """A clause, plain text."""


@dataclass(frozen=True, kw_only=True)
class Differences:
    """All differences of a sweep's arms.

    Of each comparison and language, and of its mean, there are two families for Holm's correction: the pairs of arms
    with as many shots, and those with other shots. Languages are not corrected for each other.
    """

    found: tuple[Difference, ...] = ()
    """By comparison, then pair in the order of the file; the mean first, then the languages."""
    uncompared: tuple[Uncompared, ...] = ()
    """Everything else, likewise."""
    num_resamples: int = NUM_RESAMPLES
    """Of the examples."""

    @cached_property
    def _by_pair(self) -> Mapping[tuple[str, str, str | None], Difference]:
        both = {(each.one, each.other, each.language): each for each in self.found}
        return both | {(each.other, each.one, each.language): each.reversed for each in self.found}

    def of(self, one: str, other: str, language: str | None = None) -> Difference | None:
        """Arm `one` minus arm `other`, in a language or (None) on the mean; None if that was not compared."""
        return self._by_pair.get((one, other, language))

    def why_not(self, one: str, other: str, language: str | None = None) -> str | None:
        """Why two arms were not compared there; None if they were, or if nothing is said of them.

        On the mean (None) they are not if in no target language: why not in the first of these.
        """
        if self.of(one, other, language) is not None:
            return None
        told = [each for each in self.uncompared if {each.one, each.other} == {one, other}]
        return next((each.reason for each in told if language in (None, *each.languages) or not each.languages), None)

"""A difference, its confidence interval and p-value, from what varies over examples, seeds and draws.

Examples are bootstrapped; seeds and draws are not. A resample of n seeds has (n - 1) / n of the variance that n seeds
have, and no heavier tails than a normal distribution: of 3 seeds its intervals are far too short. So the variance over
trials is estimated without bias (`tunekit.reports.significance.replicates`), and few trials are counted as few, by
quantiles of Student's t.

Each trial answers examples in its own way. What is due to that stands in the variance over trials and in the bootstrap
over examples, and is counted once, as Owen (*The Pigeonhole Bootstrap*, 2007) does for a table of two crossed factors.
With G the covariance of the trials' scores over resamples, w the weights of the difference, and y' Q y the parts of its
variance over trials, the examples add ``w' G w - sum of trace(Q G)``.

The interval adds squares of half widths, each with its own quantile (Howe, *Approximate Confidence Limits on the Mean
of X + Y*, 1974): ``h^2 = sum of t(freedom)^2 variance``. Where one part outweighs the others that is the interval of a
t test; between, it covers a little more than it says. Satterthwaite's degrees of freedom would cover less: of 3 seeds
some look alike by chance, and his quantile is then far too small. The p-value is the level whose interval ends at 0, so
that the two never disagree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tunekit.reports.significance.replicates import Contrast
from tunekit.reports.significance.resampling import Floats

LEVEL = 0.05
"""Of tests; intervals cover with 1 - LEVEL."""
LEAST_P = 1e-16
"""What a p-value is at least: further down the quantiles are no longer exact."""
ROUNDING = 1e-12
"""A difference below it is none."""
STEPS = 40
"""Halvings of the range of a p-value's logarithm, which is 37 wide: ten digits count."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a difference's variance."""

    variance: float
    freedom: int
    """Degrees of freedom."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A difference and how sure it is."""

    difference: float
    examples: Part
    """What the examples add."""
    trials: tuple[Part, ...] = ()
    """What seeds and draws add; empty for a single trial."""

    @property
    def error(self) -> float:
        """Standard error over all that is covered."""
        return math.sqrt(sum(part.variance for part in (self.examples, *self.trials)))

    def half_width(self, level: float = LEVEL) -> float:
        """Of the interval that covers with 1 - `level`."""
        from scipy.special import stdtrit

        parts = (self.examples, *self.trials)
        return math.sqrt(sum(float(stdtrit(part.freedom, level / 2)) ** 2 * part.variance for part in parts))

    @property
    def p(self) -> float:
        """Of no difference, two-sided: the level whose interval has 0 at its end."""
        low, high = math.log(LEAST_P), 0.0
        for _ in range(STEPS):
            middle = (low + high) / 2
            if self.half_width(math.exp(middle)) > abs(self.difference):
                low = middle
            else:
                high = middle
        return math.exp(high)


def interval(
    scores: Floats, covariance: Floats, contrast: Contrast, *, num_examples: int, num_units: float
) -> Interval:
    """The difference of two arms.

    The standard error that examples add is at least 1 / `num_units`, one word, pair or entity that comes out otherwise:
    where no example tells two arms apart, the next one may.

    Args:
        scores: of the trials of `contrast`, those of the first arm in front, [trials].
        covariance: of these over resamples of the examples, [trials, trials].
        contrast: how the trials are compared.
        num_examples: in the smallest test set; at least 2.
        num_units: what can be right, in all test sets that the difference is over.
    """
    weights = contrast.weights
    over_trials = [max(0.0, float(scores @ form.matrix @ scores)) for form in contrast.forms]
    counted_there = [float((form.matrix * covariance).sum()) for form in contrast.forms]
    of_examples = float(weights @ covariance @ weights) - _added(contrast, counted_there)
    difference = float(weights @ scores)
    return Interval(
        difference=difference if abs(difference) > ROUNDING else 0.0,
        examples=Part(variance=max(of_examples, num_units**-2), freedom=num_examples - 1),
        trials=_parts(contrast, over_trials),
    )


def _added(contrast: Contrast, values: Sequence[float]) -> float:
    """The variance of the mean that parts add up to: means over seeds and over draws both hold the rest."""
    return values[0] + values[1] - values[2] if contrast.is_crossed else sum(values)


def _parts(contrast: Contrast, values: Sequence[float]) -> tuple[Part, ...]:
    """What seeds and draws add; no component of variance is negative."""
    if contrast.is_crossed:
        rest = values[2]
        values = (max(0.0, values[0] - rest), max(0.0, values[1] - rest), rest)
    return tuple(Part(variance=value, freedom=form.freedom) for value, form in zip(values, contrast.forms, strict=True))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for being several, in the same order (Holm, *A Simple Sequentially Rejective Multiple Test
    Procedure*, 1979): the chance that any true null hypothesis falls stays below the level, however they depend."""
    corrected, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = highest
    return corrected

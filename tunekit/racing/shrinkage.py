"""The true mean of a chosen point, corrected for having been chosen: a Bayesian estimate over all points of the choice.

The highest of several noisy means is too high in expectation. If the true means of the points are draws from one normal
distribution, the posterior mean of each is right whichever is looked at and whenever one stops to look: what chose the
point is in the data (Dawid, *Selection paradoxes of Bayesian inference*, 1994; Efron, *Tweedie's formula and selection
bias*, 2011). The model: estimated means ``x ~ N(mu, C)`` with ``C`` as :mod:`tunekit.racing.estimates` has it, and
``mu_i ~ N(m, tau^2)``. ``m`` is unknown (flat); of ``tau`` nothing is known but that the part of noise in the spread of
the means, ``v / (v + tau^2)``, lies anywhere in (0, 1) alike (the uniform shrinkage prior: Strawderman 1971; Daniels
1999). That one number is integrated over numerically, everything else in closed form.

It is no better than its model: with few points nobody can say how far true means lie apart, and one point that truly
stands out from the rest is drawn towards them too far. Scores that took no part in the choice need no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from tunekit.racing.estimates import Estimates, quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NUM_STEPS = 64
"""Of the numerical integration."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate and what covers the truth with some confidence."""

    mean: float
    low: float
    high: float


def own(scores: Sequence[float], confidence: float) -> Interval | None:
    """The mean of some scores, with the interval that they give by themselves; None of fewer than two."""
    if len(scores) < 2:
        return None
    half = quantile(len(scores) - 1, confidence) * stdev(scores) / len(scores) ** 0.5
    return Interval(mean=fmean(scores), low=fmean(scores) - half, high=fmean(scores) + half)


def fresh(scores: Sequence[float], found: Estimates, point: int, confidence: float) -> Interval | None:
    """The mean of scores of a point that took no part in the choice, and so are right on average whatever chose it.

    Args:
        scores: of new seeds, at least one.
        found: by the scores that chose, for how far scores of this point spread.
        point: which.
        confidence: of the interval.

    Returns:
        None where the noise is not known.
    """
    if not found.df:
        return None
    half = quantile(found.df_of(point), confidence) * (found.variance(point) / len(scores)) ** 0.5
    return Interval(mean=fmean(scores), low=fmean(scores) - half, high=fmean(scores) + half)


def shrunk(found: Estimates, point: int, confidence: float) -> Interval | None:
    """The true mean of a point that was chosen as the best of those of `found`.

    Args:
        found: by scores of which all may have taken part in the choice.
        point: which.
        confidence: of the interval, which is that of Student's distribution with the posterior's mean and variance.

    Returns:
        None where the noise is not known. Of a single point, its mean.
    """
    import numpy as np

    there = found.scored
    if not found.df or point not in there:
        return None
    mean, variance = found.means[point], float(found.covariance[point, point])
    assert mean is not None
    if len(there) > 1 and variance > 0:
        means = np.array([found.means[each] for each in there], dtype=float)
        covariance = found.covariance[np.ix_(there, there)]
        mean, variance = _posterior(means, covariance, there.index(point))
    half = quantile(found.df_of(point), confidence) * variance**0.5
    return Interval(mean=mean, low=mean - half, high=mean + half)


def _posterior(means: NDArray[np.float64], covariance: NDArray[np.float64], at: int) -> tuple[float, float]:
    """Mean and variance of the true mean at `at`, over all that the spread of the true means may be."""
    import numpy as np

    size = len(means)
    common = (covariance.sum() - np.trace(covariance)) / (size * (size - 1))
    noise = max(float(np.trace(covariance) / size - common), 1e-300)
    results = []
    for step in range(NUM_STEPS):
        part = (step + 0.5) / NUM_STEPS
        spread = noise * (1 - part) / part
        inverse = np.linalg.inv(covariance + spread * np.eye(size))
        weights = inverse.sum(axis=0)
        centre = float(weights @ means / weights.sum())
        rest = means - centre
        log_density = 0.5 * (np.linalg.slogdet(inverse)[1] - np.log(weights.sum()) - rest @ inverse @ rest)
        kept = 1 - spread * weights[at]  # how much of an error of the centre reaches this point
        variance = spread - spread**2 * inverse[at, at] + kept**2 / weights.sum()
        results.append((float(log_density), centre + spread * float(inverse[at] @ rest), float(variance)))
    logs, centres, variances = map(np.array, zip(*results, strict=True))
    density = np.exp(logs - logs.max())
    density /= density.sum()
    mean = float(density @ centres)
    return mean, float(density @ (variances + (centres - mean) ** 2))

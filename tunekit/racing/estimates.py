"""What noisy scores of a few points tell: their true means, how sure each is, and the chance that one beats another.

The score of point i on seed j is ``y_ij = mu_i + b_j + e_ij``: the point's true mean, an effect that the seed has on
every point (``b_j``, of variance `shared`), and the rest (``e_ij``, of variance `own` of the point), all independent
and normal. Where seeds have no effect in common, points are compared by their means; where they have, by their
differences on the seeds that both ran on (a paired comparison). Of both the estimates here are special cases: they are
the generalised least squares of that model, also where points ran on different numbers of seeds.

Variances are estimated by moments (Searle, Casella and McCulloch, *Variance Components*, 1992, chapter 4): the mean
covariance of two points over the seeds that both ran on is `shared`, 0 if it comes out negative; the rest is the mean
variance within a point, or, where there is an effect in common, half of that of the difference of two. A point's own
rest is drawn towards the mean of all, as if that were known from :data:`PRIOR_DF` further degrees of freedom (Smyth,
*Linear models and empirical Bayes methods*, 2004, equation 3.1): of three seeds nobody can tell a steady point from a
lucky one. Estimates for a comparison go further and take no point for steadier than the mean of all. Noise is often
skewed (most seeds of a few-shot method give the score of a constant answer, a few give some points more), and then a
point whose scores so far are alike is rather one that has not shown its noise yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Table = Sequence[Mapping[int, float | None]]
"""For each point its scores by the number of the seed, counted from 0. None: the trial ended without a score."""

PRIOR_DF = 4.0
"""Degrees of freedom that the mean variance of all points counts in the variance of each."""
NO_NOISE = 1e-9
"""Where differences of points do not vary at all, their noise is this part of the variance that they have in common."""


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What the scores of some points tell of their true means."""

    means: tuple[float | None, ...]
    """Of each point; None of one that has no score."""
    covariance: NDArray[np.float64]
    """Of the errors of these means, [points, points]; rows of points without a score are 0."""
    own: tuple[float, ...]
    """Variance of one score of each point, the effect of the seed left out."""
    shared: float
    """Variance of the effect that a seed has on all points."""
    num_scores: tuple[int, ...]
    df: float
    """Degrees of freedom of the variances; 0: nothing is known of the noise, because no point has two scores."""

    @property
    def scored(self) -> list[int]:
        """The points that have a score."""
        return [point for point, mean in enumerate(self.means) if mean is not None]

    def leader(self) -> int | None:
        """The point with the highest mean, of equals the first; None if no point has a score."""
        return max(self.scored, key=lambda point: (self.means[point], -point), default=None)

    def variance(self, point: int) -> float:
        """Of one score of a point over seeds, what all points share included."""
        return self.own[point] + self.shared

    def df_of(self, *points: int) -> float:
        """Degrees of freedom of what is said of some points: at most those of all, fewer where variances differ."""
        return min(self.df, PRIOR_DF + sum(self.num_scores[point] - 1 for point in points))

    def chance_better(self, one: int, other: int, by: float = 0.0) -> float:
        """The chance that the true mean of `one` is more than `by` above that of `other`.

        By Student's distribution of their difference, nothing being known of it beforehand. Without noise it is 0 or 1;
        where the noise is not known it is 0.5.

        Args:
            one: number of a point that has a score.
            other: likewise.
            by: in units of the score.
        """
        from scipy.special import stdtr

        here, there = self.means[one], self.means[other]
        assert here is not None and there is not None
        if not self.df:
            return 0.5
        gap = here - there - by
        square = float(self.covariance[one, one] + self.covariance[other, other] - 2 * self.covariance[one, other])
        if square <= 0:
            return float(gap > 0)
        return float(stdtr(self.df_of(one, other), gap / square**0.5))

    def half_width(self, point: int, confidence: float) -> float | None:
        """Half the confidence interval of a point's mean; None where the noise is not known."""
        return (
            quantile(self.df_of(point), confidence) * float(self.covariance[point, point]) ** 0.5 if self.df else None
        )


def quantile(df: float, confidence: float) -> float:
    """Standard errors to each side of a mean that cover it with a confidence, by Student's distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + confidence) / 2))


def estimate(table: Table, *, for_comparison: bool = False) -> Estimates:
    """The true means of the points by their scores, as the model of this module has it.

    Args:
        table: the scores.
        for_comparison: take no point for steadier than the mean of all.
    """
    import numpy as np

    rows = [sorted(row.items()) for row in table]  # sums do not depend on the order in which scores came
    scores = [{seed: score for seed, score in row if score is not None} for row in rows]
    counts = tuple(map(len, scores))
    noise = _noise(scores)
    own = tuple(max(each, noise.rest) for each in noise.own) if for_comparison else noise.own
    there = [point for point, count in enumerate(counts) if count]
    covariance = np.zeros((len(table), len(table)))
    means = [fmean(row.values()) if row else None for row in scores]
    if there and noise.rest > 0:
        information, pull = _information(scores, own, noise.shared)
        block = np.linalg.inv(information[np.ix_(there, there)])
        covariance[np.ix_(there, there)] = block
        for point, mean in zip(there, block @ pull[there], strict=True):
            means[point] = float(mean)
    return Estimates(
        means=tuple(means), covariance=covariance, own=own, shared=noise.shared, num_scores=counts, df=noise.df
    )


@dataclass(frozen=True, kw_only=True)
class _Noise:
    """Variances of one score."""

    own: tuple[float, ...]
    """Of each point."""
    rest: float
    """The mean of them."""
    shared: float
    df: float


def _noise(scores: Sequence[Mapping[int, float]]) -> _Noise:
    """The variances by moments.

    Where seeds have an effect in common, the rest is half the variance of the difference of two points, on the seeds
    that both ran on; and what differences with a point vary more than others is its own.
    """
    counts = [max(0, len(row) - 1) for row in scores]
    within = [_variance(list(row.values())) for row in scores]
    pairs = list(_pairs(scores))
    shared = max(0.0, _mean([(pair.df, pair.covariance) for pair in pairs]))
    if shared > 0:
        rest = max(_mean([(pair.df, pair.difference / 2) for pair in pairs]), NO_NOISE * shared)
        for point in range(len(scores)):
            with_others = [(pair.df, pair.difference) for pair in pairs if point in pair.points]
            within[point] = max(0.0, _mean(with_others, 2 * rest) - rest)
    else:
        rest = _mean(list(zip(counts, within, strict=True)))
    own = (
        (PRIOR_DF * rest + count * variance) / (PRIOR_DF + count)
        for count, variance in zip(counts, within, strict=True)
    )
    num_seeds = len({seed for row in scores for seed in row})
    df = sum(counts) - (num_seeds - 1 if shared > 0 else 0)  # each seed's effect was estimated too
    return _Noise(own=tuple(own), rest=rest, shared=shared, df=float(max(1, df)) if sum(counts) else 0.0)


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two points on the seeds that both ran on."""

    points: tuple[int, int]
    df: int
    difference: float
    """Variance of their difference."""
    covariance: float


def _pairs(scores: Sequence[Mapping[int, float]]) -> Iterator[_Pair]:
    for one, here in enumerate(scores):
        for other, there in enumerate(scores[:one]):
            both = [seed for seed in here if seed in there]
            if len(both) < 2:
                continue
            difference = _variance([here[seed] - there[seed] for seed in both])
            whole = _variance([here[seed] for seed in both]) + _variance([there[seed] for seed in both])
            yield _Pair(
                points=(one, other), df=len(both) - 1, difference=difference, covariance=(whole - difference) / 2
            )


def _mean(weighted: Sequence[tuple[int, float]], otherwise: float = 0.0) -> float:
    """The mean of values, each with its weight; `otherwise` if there are none."""
    total = sum(weight for weight, _ in weighted)
    return sum(weight * value for weight, value in weighted) / total if total else otherwise


def _information(
    scores: Sequence[Mapping[int, float]], own: Sequence[float], shared: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matrix of the normal equations of generalised least squares, and their right side.

    Scores on one seed have covariance ``diag(own) + shared``, whose inverse is that of Sherman and Morrison.
    """
    import numpy as np

    size = len(scores)
    information, pull = np.zeros((size, size)), np.zeros(size)
    for seed in sorted({seed for row in scores for seed in row}):
        at = [point for point in range(size) if seed in scores[point]]
        weights = np.array([1 / own[point] if own[point] > 0 else 0.0 for point in at])
        inverse = np.diag(weights)
        if shared > 0:
            inverse = inverse - np.outer(weights, weights) / (1 / shared + weights.sum())
        information[np.ix_(at, at)] += inverse
        pull[at] += inverse @ np.array([scores[point][seed] for point in at])
    return information, pull


def _variance(values: Sequence[float]) -> float:
    """Sample variance; 0 of fewer than two values, and, whatever rounding does, of equal ones."""
    if len(set(values)) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)

"""Scores of the trials of several arms, and how they would vary together on other test examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tunekit.reports.significance.reading import ArmCounts
from tunekit.reports.significance.resampling import Counts, Floats, covariance, deviations, scores

T = TypeVar("T", np.float32, np.float64)


class Measured:
    """Scores of all trials and how they would vary on other examples; each set of examples is resampled once."""

    def __init__(self, read: Iterable[ArmCounts], num_resamples: int) -> None:
        counts: dict[str, list[Counts]] = {}
        self._places: dict[str, dict[str, int]] = {}  # by the examples' name, of each arm's first trial
        for arm in read:
            for language, name in arm.names.items():
                rows = counts.setdefault(name, [])
                self._places.setdefault(name, {})[arm.arm.name] = sum(map(len, rows))
                rows.append(arm.counts[language])
        whole = {name: np.concatenate(rows) for name, rows in counts.items()}
        self._scores = {name: scores(rows) for name, rows in whole.items()}
        self._deviations = deviations(whole, num_resamples=num_resamples)
        self._means: dict[tuple[str, ...], tuple[Floats, Floats]] = {}

    def of(self, names: tuple[str, ...], trials: Mapping[str, Sequence[int]]) -> tuple[Floats, Floats]:
        """The mean over sets of examples for each trial, and the covariance of these over resamples.

        Args:
            names: of the sets.
            trials: places of the trials among those of their arm, by arm.
        """
        where = self._places[names[0]]
        if any(self._places[name] != where for name in names):  # not all arms were asked all of these sets
            picked = [[self._places[name][arm] + place for arm in trials for place in trials[arm]] for name in names]
            values = [self._scores[name][places] for name, places in zip(names, picked, strict=True)]
            moved = [self._deviations[name][:, places] for name, places in zip(names, picked, strict=True)]
            return _mean(values), covariance(_mean(moved))
        if names not in self._means:
            moved = [self._deviations[name] for name in names]
            self._means[names] = (_mean([self._scores[name] for name in names]), covariance(_mean(moved)))
        columns = [where[arm] + place for arm in trials for place in trials[arm]]
        mean, varying = self._means[names]
        return mean[columns], varying[np.ix_(columns, columns)]


def _mean(rows: Sequence[NDArray[T]]) -> NDArray[T]:
    """Of the rows, in their own number format."""
    total = rows[0].copy()
    for row in rows[1:]:
        total += row
    total /= total.dtype.type(len(rows))
    return total

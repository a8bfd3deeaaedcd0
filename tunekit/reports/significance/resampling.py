"""How much scores would vary on other test examples: a paired bootstrap, with the same resamples for all trials.

A resample draws as many examples as there are, with replacement (Efron and Tibshirani, *An Introduction to the
Bootstrap*, 1993, chapter 6), and the metric is computed anew from the sums of counts, so that entity F1 is resampled by
sentence (Berg-Kirkpatrick, Burkett and Klein, *An Empirical Investigation of Statistical Significance in NLP*, 2012). A
resample is a row of weights, how often each example was taken, and resampling all trials is one product of matrices.

Languages with as many examples are resampled at the same places. Where they are translations of each other, that is
what their common noise asks for; where they are not, what they share by chance is nothing on average.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000
"""The standard error of a bootstrap's standard error is then 1 / sqrt(2 * 2000), or 1.6 % of it."""
WEIGHTS_AT_ONCE = 2**22
"""16 MB of weights."""

Counts = NDArray[np.int32]
"""Of trials on the examples of a language, [trials, 2, examples]: what is right, and predicted + there."""
Floats = NDArray[np.float64]


def scores(counts: Counts) -> Floats:
    """The main metric of each trial, [trials]: 2 right / (predicted + there), and 0 where nothing is either."""
    right, asked = counts.sum(axis=2, dtype=np.float64).T
    return _ratio(right, asked)


def deviations(counts: Mapping[str, Counts], *, num_resamples: int = NUM_RESAMPLES) -> dict[str, NDArray[np.float32]]:
    """How far each trial's score on each resample is from its score, [resamples, trials], by the examples' name.

    Equal examples give equal resamples, whatever else is compared: the generator's seed is made of their names.

    Args:
        counts: of the trials that were asked the examples of one name; at least one example each.
        num_resamples: how many.
    """
    sizes: dict[int, list[str]] = {}
    for name in sorted(counts):
        sizes.setdefault(counts[name].shape[2], []).append(name)
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in counts}
    for size, names in sizes.items():
        columns = {
            name: np.concatenate([counts[name][:, 0], counts[name][:, 1]]).T.astype(np.float32) for name in names
        }
        measured = {name: scores(counts[name]) for name in names}
        for weights in _weights(size, num_resamples, "\n".join(names)):
            for name in names:
                right, asked = np.split(weights @ columns[name], 2, axis=1)
                found[name].append((_ratio(right, asked) - measured[name]).astype(np.float32))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def covariance(found: NDArray[np.float32]) -> Floats:
    """Of the scores of trials on other examples, [trials, trials], from their `deviations`."""
    centred = found - found.mean(axis=0, dtype=np.float64).astype(np.float32)
    return np.asarray(centred.T @ centred, dtype=np.float64) / (len(centred) - 1)


def _weights(size: int, num_resamples: int, content: str) -> Iterator[NDArray[np.float32]]:
    """How often each example is drawn, [resamples, examples], some resamples at a time."""
    digest = hashlib.sha256(content.encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16]))
    at_once = max(1, WEIGHTS_AT_ONCE // size)
    for start in range(0, num_resamples, at_once):
        num = min(at_once, num_resamples - start)
        picks = rng.integers(0, size, (num, size)) + size * np.arange(num)[:, None]
        yield np.bincount(picks.ravel(), minlength=num * size).reshape(num, size).astype(np.float32)


def _ratio(right: NDArray[np.floating], asked: NDArray[np.floating]) -> Floats:
    found = np.zeros(right.shape)
    np.divide(2 * right, asked, out=found, where=asked > 0)
    return found

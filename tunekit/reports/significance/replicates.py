"""How the mean difference of two arms varies with the seed and the draw of the data.

The scores of the trials of both arms are one vector y, those of the first arm in front. The difference of the arms'
means is a weighted sum of y, and each part of its variance over seeds and draws a quadratic form y' Q y that has
degrees of freedom:

- *one factor* (several seeds on one draw, or one seed on several draws). Trials with the same seed are a pair, and the
  variance is that of the differences of pairs; trials that the other arm lacks add the variance of their own arm
  (Welch). With all trials paired it is a paired t test, with none it is Welch's.
- *crossed* (several seeds on several draws): effects of seed, of draw and a rest (the model of
  `tunekit.reports.variance`), on the differences of pairs. The variance of the mean is that of means over seeds, plus
  that of means over draws, minus that of the rest, which both contain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tunekit.reports.significance.resampling import Floats
from tunekit.trial import Replicate


@dataclass(frozen=True, kw_only=True)
class Form:
    """One part of a variance."""

    matrix: Floats
    """Q, [trials, trials]."""
    freedom: int
    """Degrees of freedom."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What of two arms is compared, and how it varies."""

    one: tuple[int, ...]
    """The first arm's trials that take part, by their places."""
    other: tuple[int, ...]
    """Those of the other."""
    num_seeds: int
    """Of the arm that has fewer."""
    num_draws: int
    """Likewise; 1 where nothing is drawn."""
    num_pairs: int
    """Trials that have the same seed and draw in both."""
    factors: tuple[str, ...]
    """What the forms are of: ``seeds``, ``draws``, both or neither."""
    forms: tuple[Form, ...] = ()
    """One factor: paired, then each arm alone. Crossed: between seeds, between draws, rest. Empty: a single trial."""

    @property
    def weights(self) -> Floats:
        """Of the trials in the difference, [trials]."""
        return np.array([1 / len(self.one)] * len(self.one) + [-1 / len(self.other)] * len(self.other))

    @property
    def is_crossed(self) -> bool:
        """Whether both seeds and draws vary."""
        return len(self.factors) == 2


def contrast(one: Sequence[Replicate], other: Sequence[Replicate]) -> Contrast | None:
    """How trials of two arms are compared; None if they have no seed and draw in common where several draws are.

    With several seeds and several draws only trials that both arms have take part, and of these a whole table of seeds
    and draws: whatever keeps more, the seeds that ran on every draw, or the draws that every seed ran on.
    """
    for factor, constant in (("seeds", 1), ("draws", 0)):
        if len({replicate[constant] for replicate in (*one, *other)}) == 1:
            return _one_factor(one, other, factor)
    table = _whole_table(one, other)
    if not table:
        return None
    if min(len({each[place] for each in table}) for place in (0, 1)) == 1:
        found = _one_factor(table, table, "draws" if len({each.seed for each in table}) == 1 else "seeds")
    else:
        found = _crossed(table)
    places = [tuple(trials.index(table[place]) for place in range(len(table))) for trials in (one, other)]
    return replace(found, one=tuple(places[0]), other=tuple(places[1]))


def _one_factor(one: Sequence[Replicate], other: Sequence[Replicate], factor: str) -> Contrast:
    m, n = len(one), len(other)
    forms: list[Form] = []
    if min(m, n) > 1:
        pairs = [(place, other.index(each)) for place, each in enumerate(one) if each in other]
        num = len(pairs) if len(pairs) > 1 else 0  # a single pair tells nothing of how pairs vary
        if num:
            differences = np.zeros((num, m + n))
            for row, (first, second) in enumerate(pairs):
                differences[row, first], differences[row, m + second] = 1 / m, -1 / n
            centring = np.eye(num) - 1 / num
            forms.append(Form(matrix=num / (num - 1) * differences.T @ centring @ differences, freedom=num - 1))
        for start, size in ((0, m), (m, n)):
            if size > num:
                matrix, own = np.zeros((m + n, m + n)), slice(start, start + size)
                matrix[own, own] = (size - num) / size**2 / (size - 1) * (np.eye(size) - 1 / size)
                forms.append(Form(matrix=matrix, freedom=size - 1))
    fewer = min(m, n)
    return Contrast(
        one=tuple(range(m)),
        other=tuple(range(n)),
        num_seeds=fewer if factor == "seeds" else 1,
        num_draws=fewer if factor == "draws" else 1,
        num_pairs=len(set(one) & set(other)),
        factors=(factor,) if forms else (),
        forms=tuple(forms),
    )


def _crossed(table: Sequence[Replicate]) -> Contrast:
    """Of a whole table, sorted by seed, then draw."""
    num_seeds, num = len({each.seed for each in table}), len(table)
    num_draws = num // num_seeds
    differences = np.hstack([np.eye(num), -np.eye(num)])
    apart = {size: np.eye(size) - 1 / size for size in (num_seeds, num_draws)}
    mean = {size: np.full((size, size), 1 / size) for size in (num_seeds, num_draws)}
    parts = (
        (np.kron(apart[num_seeds], mean[num_draws]), num_seeds - 1),
        (np.kron(mean[num_seeds], apart[num_draws]), num_draws - 1),
        (np.kron(apart[num_seeds], apart[num_draws]), (num_seeds - 1) * (num_draws - 1)),
    )
    return Contrast(
        one=tuple(range(num)),
        other=tuple(range(num)),
        num_seeds=num_seeds,
        num_draws=num_draws,
        num_pairs=num,
        factors=("seeds", "draws"),
        forms=tuple(
            Form(matrix=differences.T @ projection @ differences / (freedom * num), freedom=freedom)
            for projection, freedom in parts
        ),
    )


def _whole_table(one: Sequence[Replicate], other: Sequence[Replicate]) -> list[Replicate]:
    both = {replicate for replicate in one if replicate in other}
    seeds, draws = {each.seed for each in both}, {each.draw for each in both}
    full_seeds = {seed for seed in seeds if all(Replicate(seed, draw) in both for draw in draws)}
    full_draws = {draw for draw in draws if all(Replicate(seed, draw) in both for seed in seeds)}
    if len(full_seeds) * len(draws) >= len(full_draws) * len(seeds):
        seeds = full_seeds
    else:
        draws = full_draws
    kept = [each for each in both if each.seed in seeds and each.draw in draws]
    return sorted(kept, key=lambda each: (each.seed, -1 if each.draw is None else each.draw))

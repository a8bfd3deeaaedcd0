"""How much of the spread between trials comes from the seed, and how much from the draw of the data.

The trials of a point are a table of S seeds x D draws. Each score is a mean, an effect of its seed, one of its draw and
a rest, all random and independent (a crossed random-effects model with one trial in each cell). The components are
the usual estimates of the analysis of variance (Searle, Casella and McCulloch, *Variance Components*, 1992, chapter 4);
one that comes out negative is 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, variance

from tunekit.trial import Replicate


@dataclass(frozen=True, kw_only=True)
class Components:
    """Standard deviations of the parts that a score is made of, in the score's own unit."""

    seed: float
    """Between seeds, on one draw."""
    draw: float
    """Between draws, with one seed."""
    rest: float
    """What neither explains: the two together, and chance."""
    standard_error: float
    """Of the mean over all trials, which are not independent: those of one draw share what was drawn."""

    @property
    def draw_share(self) -> float | None:
        """The draw's part of a single trial's variance, 0 to 1; None if nothing varies."""
        whole = self.seed**2 + self.draw**2 + self.rest**2
        return self.draw**2 / whole if whole > 0 else None


def components(scores: Mapping[Replicate, float]) -> Components | None:
    """The parts of the variance of `scores`; None unless each of several seeds ran on each of several draws."""
    seeds = list(dict.fromkeys(replicate.seed for replicate in scores))
    draws = list(dict.fromkeys(replicate.draw for replicate in scores))
    if min(len(seeds), len(draws)) < 2 or len(scores) != len(seeds) * len(draws):
        return None
    of_seed = {seed: fmean(scores[Replicate(seed, draw)] for draw in draws) for seed in seeds}
    of_draw = {draw: fmean(scores[Replicate(seed, draw)] for seed in seeds) for draw in draws}
    mean = fmean(of_seed.values())
    rests = [score - of_seed[seed] - of_draw[draw] + mean for (seed, draw), score in scores.items()]
    rest = math.fsum(r * r for r in rests) / ((len(seeds) - 1) * (len(draws) - 1))
    seed_variance = max(0.0, variance(of_seed.values()) - rest / len(draws))
    draw_variance = max(0.0, variance(of_draw.values()) - rest / len(seeds))
    of_mean = seed_variance / len(seeds) + draw_variance / len(draws) + rest / len(scores)
    return Components(
        seed=math.sqrt(seed_variance),
        draw=math.sqrt(draw_variance),
        rest=math.sqrt(rest),
        standard_error=math.sqrt(of_mean),
    )

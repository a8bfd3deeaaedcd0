"""Whether intervals of differences between arms cover what they say, on simulated sweeps; and differences of real ones.

    python benchmarks/significance.py --sweeps 1000 --seeds 3,5,10 --draws 1,3     # simulate
    python benchmarks/significance.py RUNS/SWEEP [RUNS/OTHER ...]                  # every pair of arms, of all sweeps

A simulated sweep has arms on four target languages, 400 test examples each, translations of each other. An example
(a pair for accuracy, each entity of a sentence for F1) is right where a latent score is above zero: the arm's level +
effects of seed, draw and both together (correlated 0.3, 0.7 and 0.2 between arms) + how hard the example is (standard
deviation 1, the same for all arms and trials, half of it shared by translations) + how hard it is for the arm (0.5) +
noise of the trial (1). What the arms differ by in truth, over all seeds, draws and examples, is an integral. `spread`
is the standard deviation of the effects of seed and draw: 0.15 is about 4 points of accuracy. Every other sweep has no
difference, the rest one of 0.2, about 5 points.

Columns, in percent: how often the 95 % interval of the zero-shot mean holds the true difference, and that of one
language; the same of a plain bootstrap, which resamples seeds and draws like examples (percentiles), for comparison;
how often a difference that is none has p < 0.05, and how often one that is there; the mean half width, and the plain
bootstrap's. Below: four equal arms, and how often any of the six pairs is significant, before and after Holm's
correction.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tunekit.journal import replay
from tunekit.reports.results import read
from tunekit.reports.significance import Difference, compare
from tunekit.reports.significance.intervals import holm, interval
from tunekit.reports.significance.replicates import Contrast, contrast
from tunekit.reports.significance.resampling import covariance, deviations, scores
from tunekit.storage import SweepFolder
from tunekit.trial import Replicate

LANGUAGES, EXAMPLES, RESAMPLES = 4, 400, 500
LEVEL, DIFFERENCE = 0.4, 0.2
OF_EXAMPLE, OF_ARM = 1.0, 0.5
AT_ONCE = 20
"""Sweeps that share their resamples, to save time."""
SPREADS = (0.0, 0.15, 0.4)
ENTITIES, WRONG, SPURIOUS = 1.2, 0.7, 0.2
"""A sentence's entities, on average; how many of those that are missed are predicted wrongly; others predicted."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What is simulated."""

    metric: str
    num_seeds: int
    num_draws: int
    spread: float

    @property
    def parts(self) -> tuple[float, float, float]:
        """Standard deviations of the effects of seed, draw and both together."""
        shares = (0.6, 0.6, 0.53) if self.num_draws > 1 else (1.0, 0.0, 0.0)
        return tuple(self.spread * share for share in shares)  # type: ignore[return-value]

    @property
    def table(self) -> list[Replicate]:
        """The trials of each arm."""
        draws = range(self.num_draws) if self.num_draws > 1 else [None]
        return [Replicate(seed, draw) for seed in range(self.num_seeds) for draw in draws]

    def truth(self, level: float) -> float:
        """The score over all seeds, draws and examples."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(61)
        trials = level + math.hypot(*self.parts) * nodes
        right = ndtr(trials / math.sqrt(1 + OF_EXAMPLE**2 + OF_ARM**2))
        if self.metric == "f1":
            right = 2 * right / (1 + right + WRONG * (1 - right) + SPURIOUS / ENTITIES)
        return float(right @ weights / weights.sum())

    def counts(self, rng: np.random.Generator, levels: Sequence[float]) -> NDArray[np.int32]:
        """Of all arms' trials, [arms, trials, languages, 2, examples]."""
        arms, shape = len(levels), (self.num_seeds, self.num_draws)
        trials = np.array(levels).reshape(-1, 1, 1) + sum(
            _effects(rng, (arms, *where), part, shared)
            for where, part, shared in zip(
                ((shape[0], 1), (1, shape[1]), shape), self.parts, (0.3, 0.7, 0.2), strict=True
            )
        )
        hard = _effects(rng, (LANGUAGES, EXAMPLES), OF_EXAMPLE, 0.5)
        of_arm = rng.normal(0, OF_ARM, (arms, 1, LANGUAGES, EXAMPLES))
        latent = trials.reshape(arms, -1, 1, 1) + hard + of_arm
        if self.metric == "f1":
            there = np.broadcast_to(rng.poisson(ENTITIES, (LANGUAGES, EXAMPLES)), latent.shape)
            right = rng.binomial(there, ndtr(latent))
            predicted = right + rng.binomial(there - right, WRONG) + rng.poisson(SPURIOUS, latent.shape)
        else:
            right = latent + rng.normal(size=latent.shape) > 0
            there = predicted = np.ones(latent.shape, dtype=np.int32)
        return np.stack([right, predicted + there], axis=-2).astype(np.int32)


def _effects(rng: np.random.Generator, shape: tuple[int, ...], deviation: float, shared: float) -> NDArray[np.float64]:
    """Normal effects, of which the variance is shared along the first axis to a part."""
    common, own = rng.normal(size=(1, *shape[1:])), rng.normal(size=shape)
    return deviation * (math.sqrt(shared) * common + math.sqrt(1 - shared) * own)


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """A simulated sweep: scores of two or more arms' trials and how they vary over resamples, by column."""

    values: list[NDArray[np.float64]]
    """The mean over languages, then each language: [arms, trials]."""
    moved: list[NDArray[np.float32]]
    """Likewise: [resamples, arms, trials]."""

    @classmethod
    def several(cls, counts: Sequence[NDArray[np.int32]]) -> Iterator[Sampled]:
        """Of several sweeps with the same resamples."""
        num, arms, trials = len(counts), *counts[0].shape[:2]
        named = {f"{place}": np.concatenate([each[:, :, place] for each in counts]) for place in range(LANGUAGES)}
        named = {name: rows.reshape(num * arms * trials, 2, -1) for name, rows in named.items()}
        values = [scores(rows).reshape(num, arms, trials) for rows in named.values()]
        found = deviations(named, num_resamples=RESAMPLES)
        moved = [found[name].reshape(-1, num, arms, trials) for name in named]
        for sweep in range(num):
            own, away = [each[sweep] for each in values], [each[:, sweep] for each in moved]
            yield cls(values=[np.mean(own, axis=0), *own], moved=[np.mean(away, axis=0), *away])

    def compared(self, how: Contrast, pair: tuple[int, int], column: int) -> Any:
        """The interval of a pair of arms."""
        one, other = pair
        moved = self.moved[column]
        both = np.hstack([moved[:, one], moved[:, other]])
        values = np.concatenate([self.values[column][one], self.values[column][other]])
        num_units = EXAMPLES if column else LANGUAGES * EXAMPLES
        return interval(values, covariance(both), how, num_examples=EXAMPLES, num_units=num_units)


def simulated(world: World, rng: np.random.Generator, levels: Sequence[Sequence[float]]) -> Iterator[Sampled]:
    """A sweep for each row of the arms' levels."""
    for start in range(0, len(levels), AT_ONCE):
        yield from Sampled.several([world.counts(rng, row) for row in levels[start : start + AT_ONCE]])


def plain(rng: np.random.Generator, sampled: Sampled, num_seeds: int) -> tuple[float, float]:
    """The 95 % percentile interval of a bootstrap that resamples examples, seeds and draws alike."""
    values, moved = sampled.values[0], sampled.moved[0]
    table = (values[0] - values[1] + moved[:, 0] - moved[:, 1]).reshape(len(moved), num_seeds, -1)
    seeds = rng.integers(0, num_seeds, (len(table), num_seeds, 1))
    draws = rng.integers(0, table.shape[2], (len(table), 1, table.shape[2]))
    means = table[np.arange(len(table))[:, None, None], seeds, draws].mean(axis=(1, 2))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def covered(world: World, num_sweeps: int) -> dict[str, float]:
    """How often intervals hold the truth, and what else is measured of them."""
    rng = np.random.default_rng(0)
    how = contrast(world.table, world.table)
    assert how is not None
    truths = {gain: world.truth(LEVEL + gain) - world.truth(LEVEL) for gain in (0.0, DIFFERENCE)}
    rows = []
    levels = [(LEVEL + DIFFERENCE * (sweep % 2), LEVEL) for sweep in range(num_sweeps)]
    for sweep, sampled in enumerate(simulated(world, rng, levels)):
        truth = truths[DIFFERENCE * (sweep % 2)]
        mean, language = (sampled.compared(how, (0, 1), column) for column in (0, 1))
        low, high = plain(rng, sampled, world.num_seeds)
        rows.append(
            {
                "mean": abs(mean.difference - truth) <= mean.half_width(),
                "language": abs(language.difference - truth) <= language.half_width(),
                "plain": low <= truth <= high,
                "false": mean.p < 0.05 if sweep % 2 == 0 else math.nan,
                "found": mean.p < 0.05 if sweep % 2 else math.nan,
                "width": mean.half_width(),
                "plain_width": (high - low) / 2,
            }
        )
    return {key: float(np.nanmean([row[key] for row in rows])) for key in rows[0]}


def family(world: World, num_sweeps: int) -> tuple[float, float]:
    """How often any pair of four equal arms is significant, without and with Holm's correction."""
    rng = np.random.default_rng(1)
    how = contrast(world.table, world.table)
    assert how is not None
    wrong = np.zeros(2)
    for sampled in simulated(world, rng, [[LEVEL] * 4] * num_sweeps):
        values = [sampled.compared(how, pair, 0).p for pair in combinations(range(4), 2)]
        wrong += (min(values) <= 0.05, min(holm(values)) <= 0.05)
    return tuple(wrong / num_sweeps)  # type: ignore[return-value]


def simulate(words: argparse.Namespace) -> Iterator[str]:
    """The tables, line by line."""
    sizes = [(seeds, draws) for draws in _numbers(words.draws) for seeds in _numbers(words.seeds)]
    yield "| metric | seeds | draws | spread | n | mean | language | plain | false | found | ± | plain ± |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for metric in words.metrics.split(","):
        for seeds, draws in sizes:
            for spread in SPREADS:
                world = World(metric=metric, num_seeds=seeds, num_draws=draws, spread=spread)
                found = covered(world, words.sweeps)
                shares = (f"{100 * found[key]:.1f}" for key in ("mean", "language", "plain", "false", "found"))
                widths = (f"{100 * found[key]:.1f}" for key in ("width", "plain_width"))
                cells = (metric, seeds, draws, spread, words.sweeps, *shares, *widths)
                yield f"| {' | '.join(map(str, cells))} |"
    yield "\n| metric | seeds | draws | spread | n | any of 6 pairs | after Holm |\n|---|---|---|---|---|---|---|"
    for metric in words.metrics.split(","):
        for seeds, draws in sizes:
            world = World(metric=metric, num_seeds=seeds, num_draws=draws, spread=0.15)
            bare, corrected = family(world, words.sweeps)
            yield f"| {metric} | {seeds} | {draws} | 0.15 | {words.sweeps} | {100 * bare:.1f} | {100 * corrected:.1f} |"


def of_sweeps(folders: Sequence[Path]) -> Iterator[str]:
    """Every pair of arms of some sweeps that has one task and source language, on the mean."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for folder in map(SweepFolder, folders):
        for arm in read(replay(folder.path), folder).arms:
            groups.setdefault((arm.task.name, arm.source), []).append((arm, folder))
    for (task, source), arms in groups.items():
        names = [arm.name for arm, _ in arms]
        if len(set(names)) < len(names):
            raise SystemExit(f"two sweeps have an arm of the same name: {', '.join(names)}")
        found = compare(arms, task=task, source=source)
        yield f"{task} from {source}: differences of the zero-shot mean x 100\n"
        yield "| arms | n | difference | 95 % interval | p | p (Holm) | covers |\n|---|---|---|---|---|---|---|"
        yield from (_row(each) for each in found.found if each.language is None)
        yield from (f"\n{each.one}, {each.other}: {each.reason}" for each in found.uncompared)


def _row(each: Difference) -> str:
    ends = f"{100 * each.low:.1f} to {100 * each.high:.1f}"
    n = f"{each.num_trials[0]}, {each.num_trials[1]}"
    p = f"{each.p:.3f} | {each.p_holm:.3f}"
    return f"| {each.one} - {each.other} | {n} | {100 * each.difference:.1f} | {ends} | {p} | {each.covers} |"


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main() -> None:
    """Simulate, or compare the arms of real sweeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", help="folders of real sweeps; none: simulate")
    parser.add_argument("--sweeps", type=int, default=1000, help="how many to simulate for each row")
    parser.add_argument("--metrics", default="accuracy,f1")
    parser.add_argument("--seeds", default="3,5,10")
    parser.add_argument("--draws", default="1,3")
    words = parser.parse_args()
    for line in of_sweeps(words.folders) if words.folders else simulate(words):
        print(line, flush=True)


if __name__ == "__main__":
    main()

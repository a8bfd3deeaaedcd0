"""Racing in finalising: does it find a winner within delta, with how many seeds, and is its estimate without luck?

    python benchmarks/racing.py                       # simulated landscapes
    python benchmarks/racing.py --bank bank.json      # and scores of real trials, from which seeds are drawn
    python benchmarks/racing.py --bank RUNS/SWEEP     # the same, from a sweep's journal

A sweep is simulated like this: every point of the landscape runs on one seed; the best `--top` are finalised on
`--first` seeds, the search's among them, and race; the winner is confirmed on as many new seeds. The rules are those of
:mod:`tunekit.racing`, the scores `true mean + effect of the seed + rest`. Printed for each landscape, with 95 %
intervals over sweeps:

    within      sweeps whose winner is truly within delta of the best finalised point
    all         the same for the highest mean after every finalised point has run on `max_seeds` seeds
    seeds       trials of finalising, of those that running all on `max_seeds` takes; confirmation included
    ended sure  races that ended because no other point was likely to be better by more than delta, and the share
                of these whose winner is within
    naive       mean error of the winner's own mean over the seeds that chose it: the bias
    fresh       the same of the estimate from confirmation, which a report calls corrected
    shrunk      the same of the model's estimate, which stands in where there was no confirmation
    cover       truths inside the 95 % intervals: naive (of its own scores), fresh, shrunk

A bank is JSON: ``{"points": [{"params": {...}, "scores": {SEED: dev score}}, ...]}``, or the folder of a sweep whose
points are COMPLETE on several seeds and draws. Only points that ran on all of them are taken. A simulated seed is a
column of that table, drawn with replacement; the true mean of a point is that over all columns.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunekit.journal import replay
from tunekit.racing import Rules, estimate, fresh, own, race, shrunk

Array = np.ndarray[Any, Any]
World = Callable[[np.random.Generator, int], tuple[Array, Array]]
"""Gives true means, [points], and scores on so many seeds, [points, seeds]."""

NUM_POINTS = 30
"""Of a simulated search."""


def normal(
    means: Callable[[np.random.Generator], Array],
    *,
    noise: Callable[[np.random.Generator], float | Array] = lambda rng: 0.01,
    shared: float = 0.0,
    collapse: float = 0.0,
) -> World:
    """A landscape with normal noise.

    Args:
        means: draws the true means.
        noise: draws the standard deviation between seeds, of all points or of each.
        shared: that of the effect of a seed on all points.
        collapse: the part of trials that lose 0.1; the true means count that.
    """

    def draw(rng: np.random.Generator, num_seeds: int) -> tuple[Array, Array]:
        true = means(rng)
        spread = np.broadcast_to(noise(rng), true.shape)[:, None]
        scores = true[:, None] + spread * rng.standard_normal((len(true), num_seeds))
        scores += shared * rng.standard_normal(num_seeds)
        scores -= 0.1 * (rng.random(scores.shape) < collapse)
        return true - 0.1 * collapse, scores

    return draw


def few_good(rng: np.random.Generator) -> Array:
    """Three good points among many that are far behind."""
    means = rng.normal(0.6, 0.05, NUM_POINTS)
    means[rng.choice(NUM_POINTS, 3, replace=False)] = 0.8 + rng.normal(0, 0.01, 3)
    return means


def hill(rng: np.random.Generator) -> Array:
    """What random search finds around one optimum in two dimensions."""
    return np.asarray(0.8 - 0.1 * (rng.uniform(-1, 1, (NUM_POINTS, 2)) ** 2).sum(axis=1))


def near_ties(rng: np.random.Generator) -> Array:
    """The best points are a little more than delta apart."""
    means = rng.normal(0.7, 0.03, NUM_POINTS)
    means[rng.choice(NUM_POINTS, 5, replace=False)] = 0.8 - 0.006 * np.arange(5)
    return means


def plateau(rng: np.random.Generator) -> Array:
    """All points are equally good."""
    return np.full(NUM_POINTS, 0.8)


def gaussian(rng: np.random.Generator) -> Array:
    """True means as the model of the shrunk estimate has them."""
    return rng.normal(0.78, 0.01, NUM_POINTS)


WORLDS: dict[str, World] = {
    "few good among many": normal(few_good),
    "hill": normal(hill),
    "near ties": normal(near_ties),
    "plateau": normal(plateau),
    "normal means": normal(gaussian),
    "heavy noise": normal(hill, noise=lambda rng: 0.02),
    "unequal noise": normal(hill, noise=lambda rng: np.exp(rng.uniform(math.log(0.002), math.log(0.025), NUM_POINTS))),
    "seeds in common": normal(hill, shared=0.02),
    "5 % collapse": normal(hill, noise=lambda rng: 0.005, collapse=0.05),
}


def bank(path: Path) -> World:
    """The scores of real trials."""
    rows = _rows_of_sweep(path) if path.is_dir() else _rows_of_file(path)
    columns = sorted({column for row in rows for column in row})
    whole = [row for row in rows if len(row) == len(columns)]
    if len(whole) < 2 or len(columns) < 4:
        raise SystemExit(f"{path}: {len(whole)} points on all {len(columns)} seeds; at least 2 points on 4 are needed")
    print(f"{path.name}: {len(whole)} of {len(rows)} points, each on {len(columns)} seeds (and draws)\n")
    table = np.array([[row[column] for column in columns] for row in whole], dtype=float)

    def draw(rng: np.random.Generator, num_seeds: int) -> tuple[Array, Array]:
        return table.mean(axis=1), table[:, rng.integers(0, table.shape[1], num_seeds)]

    return draw


def _rows_of_file(path: Path) -> list[dict[str, float]]:
    return [dict(point["scores"]) for point in json.loads(path.read_text(encoding="utf-8"))["points"]]


def _rows_of_sweep(folder: Path) -> list[dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for trial in replay(folder).trials.values():
        if trial.value is not None:
            rows.setdefault(trial.point_id, {})[str(trial.replicate)] = trial.value
    return list(rows.values())


@dataclass(frozen=True, kw_only=True)
class Found:
    """What came of one simulated sweep. Errors are estimate minus truth."""

    is_within: bool
    all_is_within: bool
    num_trials: int
    num_all: int
    end: str
    errors: dict[str, float]
    covers: dict[str, bool]


def simulate(world: World, rng: np.random.Generator, rules: Rules, top: int) -> Found:
    """One sweep."""
    true, scores = world(rng, rules.max_seeds + rules.num_first)
    chosen = np.argsort(-scores[:, 0], kind="stable")[:top]
    true, scores = true[chosen], scores[chosen]
    standing = race([dict(enumerate(map(float, row))) for row in scores], rules)  # it looks at what it asks for alone
    table: list[dict[int, float | None]] = [
        {seed: float(score) for seed, score in enumerate(row[:number])}
        for row, number in zip(scores, standing.num_asked, strict=True)
    ]
    winner = standing.leader
    assert winner is not None
    number = standing.num_asked[winner]
    confirmed = [float(score) for score in scores[winner, number : number + rules.num_first]]
    selected = estimate([{seed: row[seed] for seed in row if seed} for row in table])
    intervals = {
        "naive": own([score for score in table[winner].values() if score is not None], rules.confidence),
        "fresh": fresh(confirmed, estimate(table), winner, rules.confidence),
        "shrunk": shrunk(selected, winner, rules.confidence),
    }
    by_all = int(np.argmax(scores[:, : rules.max_seeds].mean(axis=1)))
    return Found(
        is_within=bool(true[winner] >= true.max() - rules.delta),
        all_is_within=bool(true[by_all] >= true.max() - rules.delta),
        num_trials=sum(standing.num_asked) + rules.num_first,
        num_all=len(chosen) * rules.max_seeds,
        end=str(standing.end),
        errors={name: found.mean - float(true[winner]) for name, found in intervals.items() if found},
        covers={name: found.low <= true[winner] <= found.high for name, found in intervals.items() if found},
    )


def _row(name: str, found: list[Found]) -> list[str]:
    parts = [_share([each.is_within for each in found]), _share([each.all_is_within for each in found])]
    trials, all_trials = (np.mean([getattr(each, key) for each in found]) for key in ("num_trials", "num_all"))
    parts.append(f"{trials:.1f} of {all_trials:.0f} ({100 * trials / all_trials:.0f} %)")
    sure = [each.is_within for each in found if each.end == "confident"]
    parts.append(f"{100 * len(sure) / len(found):.0f} %, {100 * np.mean(sure):.1f}" if sure else "0 %")
    for key in ("naive", "fresh", "shrunk"):
        errors = 100 * np.array([each.errors[key] for each in found])
        parts.append(f"{errors.mean():+.2f} ± {1.96 * errors.std(ddof=1) / math.sqrt(len(errors)):.2f}")
    parts.append(" / ".join(_percent([each.covers[key] for each in found]) for key in ("naive", "fresh", "shrunk")))
    return [name, *parts]


def _percent(hits: list[bool]) -> str:
    return f"{100 * np.mean(hits):.0f}"


def _share(hits: list[bool]) -> str:
    """A share with Wilson's interval."""
    n, part, z = len(hits), float(np.mean(hits)), 1.96
    centre, half = part + z * z / (2 * n), z * math.sqrt(part * (1 - part) / n + z * z / (4 * n * n))
    low, high = (100 * (centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return f"{100 * part:.1f} [{low:.1f}, {high:.1f}]"


def main() -> None:
    """Print a row for each landscape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sweeps", type=int, default=200, help="simulated sweeps of each landscape")
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--first", type=int, default=3, help="seeds that every finalised point runs on")
    parser.add_argument("--max-seeds", type=int, default=20)
    parser.add_argument("--delta", type=float, default=0.005)
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bank", type=Path, help="scores of real trials: JSON, or the folder of a sweep")
    parser.add_argument("--only", help="landscapes whose name holds this")
    words = parser.parse_args()
    rules = Rules(num_first=words.first, max_seeds=words.max_seeds, delta=words.delta, confidence=words.confidence)
    worlds = {name: world for name, world in WORLDS.items() if words.only is None or words.only in name}
    if words.bank is not None:
        worlds[f"real: {words.bank.name}"] = bank(words.bank)
    print(f"{words.sweeps} sweeps each; top {words.top}; {rules}; errors x 100\n")
    print("| landscape | within | all | seeds | ended sure | naive | fresh | shrunk | cover |")
    print("|---|---|---|---|---|---|---|---|---|")
    totals: list[Found] = []
    for name, world in worlds.items():
        rng = np.random.default_rng([words.seed, *name.encode()])
        found = [simulate(world, rng, rules, words.top) for _ in range(words.sweeps)]
        totals += found
        print("| " + " | ".join(_row(name, found)) + " |", flush=True)
    print("| " + " | ".join(_row("all of them", totals)) + " |")


if __name__ == "__main__":
    main()

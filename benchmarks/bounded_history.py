"""Whether a bounded history costs a searcher quality: the same simulated search with and without the bound.

    python benchmarks/bounded_history.py --searcher tpe --points 1000 --seeds 8

Each seed is a search of its own for the best of a noisy landscape over a learning rate, a prompt length, a dropout and
a choice, with up to `--at-once` points running at a time. Printed are the true value of the best point found (by its
noisy score, as a search would choose it) after some numbers of points, its mean and sample standard deviation over
seeds, and the milliseconds per draw in the last tenth.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections import deque
from statistics import fmean, stdev
from typing import Any

import torch

from tunekit.search import study as studies
from tunekit.search.study import ArmStudy
from tunekit.sweep import Source, Sweep, parse_sweep
from tunekit.trial import EpochReport

NOISE = 0.01
WITHOUT_BOUND = {"tpe": (10**9, 10**9)}


def sweep_of(searcher: str, num_points: int, seed: int) -> Sweep:
    """One arm with four parameters."""
    space = {
        "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
        "prompt_length": {"low": 4, "high": 64},
        "prefix_dropout": {"low": 0.0, "high": 0.5},
        "batch_size": [8, 16, 32, 64],
    }
    content: dict[str, Any] = {
        "name": "landscape",
        "task": "udpos",
        "backbone": "xlm-roberta-base",
        "arms": {"ptuning_v2": {"method": "ptuning_v2", "space": space}},
        "search": {"searcher": searcher, "num_trials": num_points, "seed": seed},
    }
    return parse_sweep(content, Source("landscape.yaml"))


def truth(params: dict[str, Any]) -> float:
    """The landscape: one narrow ridge that depends on rate and length together, and a gentle rest."""
    rate = math.log10(params["learning_rate"])
    length = params["prompt_length"]
    ridge = math.exp(-((rate + 2.5 - 0.02 * (length - 24)) ** 2) / 0.15)
    gentle = math.exp(-(((length - 24) / 20) ** 2)) * (1 - 0.4 * params["prefix_dropout"])
    return 0.6 * ridge * gentle + 0.1 * {8: 0.7, 16: 1.0, 32: 0.9, 64: 0.5}[params["batch_size"]]


def run(searcher: str, num_points: int, *, seed: int, at_once: int) -> tuple[list[float], float]:
    """The true value of the best point so far after each point, and milliseconds per draw at the end."""
    sweep = sweep_of(searcher, num_points, seed)
    study, noise = ArmStudy(sweep, sweep.arms[0]), random.Random(seed)
    running: deque[tuple[int, float]] = deque()
    best: list[tuple[float, float]] = []
    draws: list[float] = []
    found: dict[int, float] = {}

    def finish() -> None:
        number, score = running.popleft()
        study.report(number, EpochReport(epoch=1, value=score, metrics={}, duration_s=1.0))
        study.tell(number, "COMPLETE", score)
        best.append(max([(score, found[number]), *best[-1:]]))

    for number in range(num_points):
        started = time.process_time()
        params, _ = study.ask(number)
        draws.append(time.process_time() - started)
        found[number] = truth(params)
        running.append((number, found[number] + noise.gauss(0, NOISE)))
        if len(running) >= at_once:
            finish()
    while running:
        finish()
    last = draws[-max(1, num_points // 10) :]
    return [value for _, value in best], 1000 * fmean(last)


def main() -> None:
    """Run both and print them side by side."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--searcher", default="tpe")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--at-once", type=int, default=8)
    words = parser.parse_args()
    torch.set_num_threads(1)
    places = [words.points * part // 10 for part in (3, 5, 7, 10)]
    bounds = {"bounded": dict(studies.HISTORY), "all": dict.fromkeys(("tpe", words.searcher), WITHOUT_BOUND["tpe"])}
    print(f"{words.searcher}: best true value after so many points, over {words.seeds} seeds, {words.at_once} at once")
    print(f"{'history':>10}" + "".join(f"{place:>18}" for place in places) + f"{'ms per draw':>14}")
    for name, bound in bounds.items():
        studies.HISTORY.clear()
        studies.HISTORY.update(bound)
        runs = [run(words.searcher, words.points, seed=seed, at_once=words.at_once) for seed in range(words.seeds)]
        cells = [[values[place - 1] for values, _ in runs] for place in places]
        shown = "".join(f"{fmean(cell):>10.4f} ± {stdev(cell):.4f}" for cell in cells)
        print(f"{name:>10}{shown}{fmean(ms for _, ms in runs):>14.1f}", flush=True)


if __name__ == "__main__":
    main()

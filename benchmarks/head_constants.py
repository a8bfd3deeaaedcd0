"""The two constants of the head (spread of states, spread of weights), compared by the source language's dev alone.

    python benchmarks/head_constants.py --data DATA/xtreme --backbone MODEL

Fine-tuning and P-tuning v2 are trained at several rates with each pair of constants, on the same sentences for the
same updates. One JSON line for each trial, then a table: the dev score at a method's best rate (mean over seeds) and
the mean over all of its rates, which says how much a search has to find. No target language and no test is read.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from statistics import fmean

import torch

from tunekit.methods.parts import head
from tunekit.sweep import Source, parse_sweep, trial_config
from tunekit.training import WorkerCache, run_trial

SETTINGS = ((0.2, 0.1), (0.2, 0.02), (1.0, 0.1), (1.0, 0.02))
"""(spread of states, spread of the head's weights)."""
RATES = {"finetune": (3e-5, 1e-4, 3e-4), "ptuning_v2": (3e-3, 1e-2, 3e-2)}


def main() -> None:
    """Run every trial, one after the other."""
    words = _arguments()
    torch.set_num_threads(words.threads)
    cache = WorkerCache()
    found: dict[tuple[object, ...], float] = {}
    order = itertools.product(words.seeds, words.tasks, RATES, SETTINGS)
    for (seed, task, method, setting), rate in ((key, rate) for key in order for rate in RATES[key[2]]):
        head.STATE_STD, head.HEAD_STD = setting
        with tempfile.TemporaryDirectory() as folder:
            value = _dev(words, cache, Path(folder), {"task": task, "method": method, "rate": rate, "seed": seed})
        found[task, method, setting, rate, seed] = value
        line = {"task": task, "method": method, "state": setting[0], "weight": setting[1], "rate": rate, "seed": seed}
        print(json.dumps({**line, "dev": round(value, 4)}), flush=True)
    _print_table(words, found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--tasks", nargs="+", default=["udpos", "panx"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[10, 42])
    parser.add_argument("--examples", type=int, default=600)
    parser.add_argument("--dev-examples", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _dev(words: argparse.Namespace, cache: WorkerCache, folder: Path, trial: dict[str, object]) -> float:
    """The best dev score of one trial."""
    limits = {"max_train_examples": words.examples, "max_dev_examples": words.dev_examples}
    arm = {"method": trial["method"], "fixed": {"learning_rate": trial["rate"]}}
    content = {
        "task": {"name": trial["task"], "data_dir": words.data, **limits},
        "backbone": words.backbone,
        "arms": {"arm": arm},
        "fixed": {"epochs": words.epochs, "batch_size": 16, "schedule": "constant", "dtype": words.dtype},
    }
    sweep = parse_sweep(content, Source("head_constants"))
    config = trial_config(sweep, sweep.arms[0], {}, int(str(trial["seed"])))
    outcome = run_trial(config, folder=folder, locations=sweep.arms[0].locations, cache=cache)
    if outcome.value is None:
        raise SystemExit(f"{trial}: {outcome.reason}")
    return outcome.value


def _print_table(words: argparse.Namespace, found: dict[tuple[object, ...], float]) -> None:
    print(
        "\n| task | method | states | weights | best rate | dev at it | mean over rates |"
        "\n|---|---|---|---|---|---|---|"
    )
    for task, method, setting in itertools.product(words.tasks, RATES, SETTINGS):
        by_rate = {r: fmean(found[task, method, setting, r, s] for s in words.seeds) for r in RATES[method]}
        best = max(by_rate, key=by_rate.__getitem__)
        cells = [task, method, *setting, best, f"{100 * by_rate[best]:.1f}", f"{100 * fmean(by_rate.values()):.1f}"]
        print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()

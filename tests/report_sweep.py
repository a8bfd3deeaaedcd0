"""A finished sweep with something of everything that a report shows: made by hand, without training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from builders import JournalBuilder, definition

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> & \"quoted\" 'it' ${jndi} {{7*7}} `code` **bold**"
"""A text from outside that means to be more than text."""
RATE = {"low": 1e-5, "high": 1e-1, "log": True}
ARMS: dict[str, Any] = {
    "finetune": {"method": "finetune", "space": {"learning_rate": RATE, "batch_size": [8, 16, 32]}},
    "ptuning_v2": {
        "method": "ptuning_v2",
        "space": {"learning_rate": RATE, "prompt_length": {"low": 4, "high": 64}, "schedule": ["linear", "constant"]},
    },
}
NUM_POINTS = 16
LANGUAGES = ("de", "ar", "zh", "ru", "tr", "sw")


def rich_sweep(folder: Path, **changes: Any) -> JournalBuilder:
    """Two arms of 16 points: COMPLETE, PRUNED and FAILED ones, the best of each finalised on three seeds."""
    task = {"name": "udpos", "source_language": "en", "target_languages": [*LANGUAGES], "data_dir": "/data/xtreme"}
    content: dict[str, Any] = {
        "name": "rich",
        "task": task,
        "arms": ARMS,
        "fixed": {"epochs": 4},
        "search": {"searcher": "tpe", "num_trials": NUM_POINTS, "seed": 0},
        "scheduler": {"name": "asha"},
        "finalise": {"top": 1, "seeds": [10, 42, 421]},
    }
    sweep = JournalBuilder(folder, definition(**{**content, **changes}))
    for place, arm in enumerate(ARMS):
        best = _search(sweep, arm, place)
        for index, seed in enumerate((10, 42, 421)):
            if index:
                trial = sweep.create(arm, best, seed=seed, number=3, phase="finalise")
                sweep.report(trial, _curve(0.9 - 0.01 * index - 0.05 * place), duration_s=60 + 7 * place)
                sweep.finish(trial)
            else:
                trial = next(t.trial_id for t in sweep.record.arm(arm).trials if t.number == 3)
            scores = {language: 0.82 - 0.06 * at - 0.03 * place for at, language in enumerate(LANGUAGES)}
            sweep.test(trial, {"en": 0.88 - 0.02 * index, **{k: v + 0.004 * index for k, v in scores.items()}})
    return sweep


def _search(sweep: JournalBuilder, arm: str, place: int) -> dict[str, Any]:
    """Draw and run the points; gives the params of the best one, which is point 3."""
    best: dict[str, Any] = {}
    for number in range(NUM_POINTS):
        rate = 10 ** (-5 + 4 * ((7 * number) % NUM_POINTS) / NUM_POINTS)
        params: dict[str, Any] = {"learning_rate": rate, "batch_size": (8, 16, 32)[number % 3]}
        if place:
            lengths = {"prompt_length": 4 + (11 * number) % 60, "schedule": ("linear", "constant")[number % 2]}
            params = {"learning_rate": rate, **lengths}
        trial = sweep.create(arm, params)
        reached = 0.9 - 0.05 * place if number == 3 else 0.85 * math.exp(-((math.log10(rate) + 3) ** 2) / 4)
        if number % 8 == 5:
            sweep.finish(trial, "FAILED", reason=f"{HOSTILE} after {number} steps")
        elif number % 4 == 2:
            sweep.report(trial, _curve(reached)[:2])
            sweep.finish(trial, "PRUNED", reason="asha: below the cutoff")
        else:
            sweep.report(trial, _curve(reached))
            sweep.finish(trial)
        best = params if number == 3 else best
    return best


def _curve(reached: float) -> list[float]:
    return [reached * part for part in (0.5, 0.8, 0.95, 1.0)]

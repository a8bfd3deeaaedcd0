"""Run a sweep of the tests' tiny world in a process of its own, so that a test can kill it.

Usage: python sweep_driver.py FOLDER BACKBONE [--ray] [--address ADDRESS] [--workers N] [--trials N] [--epochs N]
[--method NAME] [--prompt-method NAME] [--retries N] [--pack N] [--searcher NAME] [--scheduler NAME] [--idle SECONDS]
[--hang SECONDS] [--track NAME]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tunekit.execution import Execution, run_sweep
from tunekit.storage import place
from tunekit.sweep import Source, Sweep, parse_sweep


def tiny_sweep(
    backbone: Path,
    *,
    num_trials: int = 6,
    epochs: int = 4,
    method: str = "finetune",
    prompt_method: str = "ptuning_v2",
    searcher: str = "tpe",
    scheduler: str = "asha",
    retries: int = 3,
    pack: object = "auto",
    tracking: str | None = None,
) -> Sweep:
    """Two arms on generated sentences and a random two-layer BERT: an epoch takes some 50 ms."""
    rate = {"low": 1e-4, "high": 3e-2, "log": True}
    content: dict[str, Any] = {
        "name": "tiny",
        "task": {"name": "fakes:load_words", "target_languages": ["xx"]},
        "backbone": {"name": "tiny", "path": str(backbone)},
        "arms": {
            "finetune": {"method": method, "space": {"learning_rate": rate, "batch_size": [4, 8]}},
            "ptuning_v2": {
                "method": prompt_method,
                "space": {"learning_rate": rate, "prompt_length": {"low": 2, "high": 8}},
            },
        },
        "fixed": {"epochs": epochs, "max_length": 16},
        "search": {"searcher": searcher, "num_trials": num_trials, "seed": 1},
        "scheduler": {"name": scheduler, "grace_period": 1, "reduction_factor": 2},
        "seeds": [10],
        "resources": {"retries": retries, "pack": pack},
        "finalise": {"top": 1, "seeds": [10, 42]},
        "tracking": ["tensorboard", *([tracking] if tracking else [])],
    }
    return parse_sweep(content, Source("tiny.yaml"))


def main() -> None:
    """Parse the words and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=place)
    parser.add_argument("backbone", type=Path)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--address")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--method", default="finetune")
    parser.add_argument("--prompt-method", default="ptuning_v2")
    parser.add_argument("--searcher", default="tpe")
    parser.add_argument("--scheduler", default="asha")
    parser.add_argument("--idle", type=float, help="after which a slot without work gives its resources back")
    parser.add_argument("--hang", type=float, help="after which a slot without progress is ended, at least")
    parser.add_argument("--retries", type=int, default=3)
    parser.add_argument("--pack", type=int)
    parser.add_argument("--track", help="a tracker beside TensorBoard")
    words = parser.parse_args()
    if words.idle is not None:
        from tunekit.execution import ray_slots

        ray_slots.IDLE_S = words.idle
    if words.hang is not None:
        from tunekit.execution import in_process, watchdog

        watchdog.LEAST_S = watchdog.UNKNOWN_S = words.hang
        watchdog.FACTOR, in_process.LOOK_S = 1.0, 0.2
    sweep = tiny_sweep(
        words.backbone,
        num_trials=words.trials,
        epochs=words.epochs,
        method=words.method,
        prompt_method=words.prompt_method,
        searcher=words.searcher,
        scheduler=words.scheduler,
        retries=words.retries,
        pack=words.pack or "auto",
        tracking=words.track,
    )
    workers = words.workers or (None if words.address else 2)
    run_sweep(sweep, words.folder, Execution(in_process=not words.ray, address=words.address, workers=workers))


if __name__ == "__main__":
    main()

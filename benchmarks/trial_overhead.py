"""What a trial costs beside its training, on a worker that has run others: tunekit against stock Ray Tune.

    python benchmarks/trial_overhead.py

Every trial is the same: one epoch of a method on 64 toy sentences and a four-layer BERT, in one worker of one CPU, by
tunekit's own training loop with its checkpoints. Only who runs it differs:

- ``tunekit``: a sweep, as ``tunekit sweep`` runs it on a local Ray: TPE is asked, every event is in the journal.
- ``class, reused`` and ``function, reused``: stock Ray Tune with random search and ``reuse_actors=True``; like
  tunekit's worker they keep data and backbone in the process.
- ``class, stock`` and ``function, stock``: Ray Tune as it comes, a new process for each trial.

A trial's overhead is the time from its start to the start of the next (the last: to the end), as the driver sees them,
less the seconds spent inside training and dev evaluation. Each runner has a driver process and a Ray of its own, one
after the other. The first trial, which loads everything in a process that is not warm yet, is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import tunekit
from tunekit.schema import build, canonical_json
from tunekit.sweep import Source, Sweep, parse_sweep, trial_config
from tunekit.trial import TOKENS_PER_STEP, Locations, TrialConfig

RUNNERS = ("tunekit", "class, reused", "function, reused", "class, stock", "function, stock")
METHODS = ("ptuning_v2", "finetune")
TARGET_S = 0.2
"""What the 100th trial may cost."""


def main() -> None:
    """Measure every runner with every method and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=110, help="trials where the worker is kept (default 110)")
    parser.add_argument("--stock-trials", type=int, default=12, help="where each trial is a new process (default 12)")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--runners", nargs="+", default=RUNNERS, choices=RUNNERS)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        backbone = _backbone(Path(scratch) / "backbone")
        print(_conditions(), flush=True)
        print("| method | runner | n | median s | 90 % s | 100th s | training s | ratio of medians |")
        print("|---|---|---|---|---|---|---|---|")
        for method in words.methods:
            baseline: float | None = None
            for runner in words.runners:
                num_trials = words.stock_trials if runner.endswith("stock") else words.trials
                folder = Path(scratch) / f"{method}-{runner.replace(', ', '-')}"
                folder.mkdir()
                sweep = _sweep(method, backbone, num_trials)
                overheads, durations = _in_a_process(runner, sweep, folder)
                median = statistics.median(overheads)
                baseline = median if baseline is None else baseline
                print(_row(method, runner, overheads, durations, median / baseline), flush=True)
        print(f"\nload after: {_load()}")


def _backbone(folder: Path) -> Path:
    """A toy BERT that has hardly been pretrained: how good it is makes no difference to the clock."""
    from tunekit.toy import backbones as toy_backbones

    toy_backbones.build(replace(toy_backbones.BERT, num_updates=1), folder)
    return folder


def _sweep(method: str, backbone: Path, num_trials: int) -> Sweep:
    content = {
        "name": "overhead",
        "task": {"name": "toy_tagging", "source_language": "alo", "max_train_examples": 64, "max_dev_examples": 32},
        "backbone": {"name": "toy", "path": str(backbone)},
        "arms": {method: {"method": method, "space": {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}}}},
        "fixed": {"epochs": 1, "max_length": 64},
        "search": {"searcher": "tpe", "num_trials": num_trials, "seed": 0},
        "finalise": {"top": 0},
    }
    return parse_sweep(content, Source("trial_overhead"))


def _in_a_process(runner: str, sweep: Sweep, folder: Path) -> tuple[list[float], list[float]]:
    """Overheads and training seconds of all trials but the first, measured in a fresh driver."""
    (folder / "sweep.json").write_text(canonical_json(sweep.definition))
    here = Path(__file__)
    code = (
        f"import {here.stem}; {here.stem}.measure({runner!r}, {str(folder)!r})"  # importable, so that workers find it
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent), os.environ.get("PYTHONPATH", "")])}
    log = folder / "log"
    with log.open("w") as output:
        driver = subprocess.run([sys.executable, "-c", code], env=environment, stdout=output, stderr=output)
    if driver.returncode:
        sys.exit(f"{runner} failed:\n{log.read_text()[-3000:]}")
    starts, end, durations = json.loads((folder / "measured.json").read_text())
    cycles = [after - before for before, after in zip(starts, [*starts[1:], end], strict=True)]
    overheads = [cycle - duration for cycle, duration in zip(cycles, durations, strict=True)]
    return overheads[1:], durations[1:]


def measure(runner: str, place: str) -> None:
    """In a process of its own: run, and leave starts, end and training seconds in ``measured.json``."""
    folder = Path(place)
    sweep = parse_sweep(json.loads((folder / "sweep.json").read_text()), Source("trial_overhead"))
    measured = _run_tunekit(sweep, folder) if runner == "tunekit" else _run_stock(runner, sweep, folder)
    (folder / "measured.json").write_text(json.dumps(measured))


def _run_tunekit(sweep: Sweep, folder: Path) -> tuple[list[float], float, list[float]]:
    from tunekit.execution import Execution, run_sweep
    from tunekit.journal import FILE_NAME, read_events, replay

    run_sweep(sweep, folder / "sweep", Execution(workers=1))
    events = list(read_events(folder / "sweep" / FILE_NAME))
    trials = replay(folder / "sweep").trials
    starts = [(_seconds(e["time"]), e["trial_id"]) for e in events if e["event"] == "started"]
    durations = [sum(r.duration_s for r in trials[trial_id].reports.values()) for _, trial_id in starts]
    end = max(_seconds(e["time"]) for e in events if e["event"] == "finished")
    return [start for start, _ in starts], end, durations


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _run_stock(runner: str, sweep: Sweep, folder: Path) -> tuple[list[float], float, list[float]]:
    import ray
    from ray import tune

    ray.init(address="local", num_cpus=1, include_dashboard=False)
    clock = _clock()
    arm = sweep.arms[0]
    job = {
        "config": canonical_json(trial_config(sweep, arm, {"learning_rate": 1e-3}, seed=0)),
        "locations": canonical_json(arm.locations),
        "folder": str(folder / "trials"),
    }
    trainable = _make_class() if runner.startswith("class") else _function
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"CPU": 1}),
        param_space={**job, "learning_rate": tune.loguniform(1e-5, 1e-2)},
        tune_config=tune.TuneConfig(
            num_samples=sweep.search.num_trials, max_concurrent_trials=1, reuse_actors=runner.endswith("reused")
        ),
        run_config=tune.RunConfig(storage_path=str(folder), callbacks=[clock], verbose=0),
    )
    results = tuner.fit()
    ray.shutdown()
    if results.num_errors:
        raise RuntimeError(f"{results.num_errors} trials failed: {results.errors[0]}")
    durations = [clock.durations[trial_id] for trial_id in clock.starts]
    return list(clock.starts.values()), clock.end, durations


def _clock() -> Any:
    """A callback that notes when the driver learns that a trial started or ended."""
    from ray import tune

    class Clock(tune.Callback):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.starts: dict[str, float] = {}
            self.durations: dict[str, float] = {}
            self.end = 0.0

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.starts[trial.trial_id] = time.time()

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            self.durations[trial.trial_id] = result["training_s"]

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.end = time.time()

    return Clock()


_cache: Any = None


def _train(params: dict[str, Any]) -> dict[str, float]:
    """One trial by tunekit's own loop; what can be kept in this process is kept."""
    import torch

    from tunekit.training import TrialRun, WorkerCache

    global _cache
    torch.set_num_threads(1)
    _cache = _cache or WorkerCache()
    config = build(TrialConfig, json.loads(params["config"]), "benchmark")
    config = replace(config, training=replace(config.training, learning_rate=params["learning_rate"]))
    locations = build(Locations, json.loads(params["locations"]), "benchmark")
    run = TrialRun(
        config,
        folder=Path(params["folder"]) / config.trial_id,
        locations=locations,
        cache=_cache,
        tokens_per_step=TOKENS_PER_STEP,
    )
    report = run.step()
    run.outcome()
    return {"value": report.value, "training_s": report.duration_s}


def _function(params: dict[str, Any]) -> None:
    from ray import tune

    tune.report(_train(params))


def _make_class() -> Any:
    from ray import tune

    class Trainable(tune.Trainable):  # type: ignore[misc, unused-ignore]
        def setup(self, config: dict[str, Any]) -> None:
            self._params = config

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._params = new_config
            return True

        def step(self) -> dict[str, Any]:
            return {**_train(self._params), "done": True}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """The trial writes its own."""

    return Trainable


def _row(method: str, runner: str, overheads: list[float], durations: list[float], ratio: float) -> str:
    tenth = statistics.quantiles(overheads, n=10)[-1]
    hundredth = f"{overheads[98]:.3f}" if len(overheads) >= 99 else "-"  # the first trial is not among them
    numbers = f"{statistics.median(overheads):.3f} | {tenth:.3f} | {hundredth} | {statistics.median(durations):.3f}"
    return f"| {method} | {runner} | {len(overheads)} | {numbers} | {ratio:.1f} |"


def _load() -> str:
    return ", ".join(f"{value:.1f}" for value in os.getloadavg())


def _conditions() -> str:
    from importlib.metadata import version

    libraries = ", ".join(f"{name} {version(name)}" for name in ("ray", "torch", "optuna"))
    words = " ".join(sys.argv)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load before {_load()}"
    return f"`python {words}`\n\ntunekit {tunekit.__version__}, {libraries}; {machine}; target: {TARGET_S} s\n"


if __name__ == "__main__":
    main()

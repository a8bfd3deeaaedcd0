"""Trials whose files were cut or changed, and what becomes of them: each must end as if nothing had happened.

    python benchmarks/torn_checkpoints.py

One small trial on toy data is stopped after two of its three epochs, and once more when it has been tested. For each
case a copy of its folder is taken, one or two files in it are cut at a random place or get a random byte changed, and
the trial is run to its end. Epochs, outcome, test scores, predictions and the best parameters must be those of the
trial that was left alone. No case may raise anything.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from tunekit.predictions import load_predictions
from tunekit.training import TrialRun, WorkerCache, checkpoints, run_trial
from tunekit.trial import BackboneConfig, EpochReport, Locations, TaskConfig, TrainingConfig, TrialConfig

NUM_CASES = 300
"""Cuts, and as many changed bytes."""
TOKENS_PER_STEP = 2048

Damage = Literal["cut", "byte"]
RUNNING = ("last.pt",), ("last.pt",), ("last.pt",), ("best.pt",), ("last.pt", "best.pt"), ("last.pt", "previous.pt")
"""Files to damage where the trial was stopped between two epochs: most often the one that it goes on from."""
TESTED = ("outcome.json",), ("test.json",), ("test_predictions.json.gz",), ("best.pt", "test.json")
"""The same where it had been tested."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One folder with damaged files."""

    number: int
    stage: Literal["running", "tested"]
    damage: Damage
    files: tuple[str, ...]
    places: tuple[float, ...]
    """Where in each file, as a share of its size."""
    bits: int
    """What a changed byte is combined with by exclusive or, 1 to 255."""


@dataclass(frozen=True, kw_only=True)
class End:
    """What a trial came to, without what a clock or a memory meter says."""

    curve: tuple[EpochReport, ...]
    state: str
    value: float | None
    best_epoch: int | None
    scores: dict[str, float]
    predictions: Any
    parameters: dict[str, list[float]]


def checkpoint_cases(seed: int, n: int) -> Iterator[Case]:
    """`n` cuts and `n` changed bytes; one in five befalls a trial that had been tested."""
    draw = random.Random(seed)
    for number in range(2 * n):
        stage: Literal["running", "tested"] = "tested" if number // 2 % 5 == 4 else "running"
        files = draw.choice(RUNNING if stage == "running" else TESTED)
        yield Case(
            number=number,
            stage=stage,
            damage="cut" if number % 2 == 0 else "byte",
            files=files,
            places=tuple(draw.random() for _ in files),
            bits=draw.randint(1, 255),
        )


class Bench:
    """A trial, stopped at two stages, and how it ends undisturbed."""

    def __init__(self, config: TrialConfig, locations: Locations, scratch: Path) -> None:
        self._config, self._locations, self._scratch = config, locations, scratch
        self._cache = WorkerCache()
        run = self._open(scratch / "running")
        while len(run.history) < config.training.epochs - 1:
            run.step()
        self.undisturbed = self.end(scratch / "tested")

    def _open(self, folder: Path) -> TrialRun:
        return TrialRun(
            self._config,
            folder=folder,
            locations=self._locations,
            cache=self._cache,
            tokens_per_step=TOKENS_PER_STEP,
        )

    def end(self, folder: Path) -> End:
        """Run the trial in `folder` to its end, test included."""
        options = {"locations": self._locations, "cache": self._cache, "tokens_per_step": TOKENS_PER_STEP}
        outcome = run_trial(self._config, folder=folder, test=True, **options)  # type: ignore[arg-type]
        stored = checkpoints.load(folder / "best.pt")
        assert stored is None or stored.parameters is not None
        predicted = load_predictions(folder)
        return End(
            curve=tuple(replace(report, duration_s=0.0) for report in self._open(folder).history),
            state=outcome.state,
            value=outcome.value,
            best_epoch=outcome.best_epoch,
            scores=dict(outcome.metrics),
            predictions=predicted,
            parameters={name: t.flatten().tolist() for name, t in stored.parameters.items()} if stored else {},
        )

    def faults(self, case: Case) -> list[str]:
        """What came out otherwise than undisturbed."""
        folder = self._scratch / "case"
        shutil.copytree(self._scratch / case.stage, folder)
        try:
            for name, place in zip(case.files, case.places, strict=True):
                damage(folder / name, case.damage, place, case.bits)
            found = self.end(folder)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return [f"{type(error).__name__}: {error}"]
        finally:
            shutil.rmtree(folder)
        # Files that nothing needs any more stay as they are: a torn one is passed over whenever it is read.
        spared = {"predictions"} if case.files == ("test_predictions.json.gz",) else set()
        return [
            f"{key} differs"
            for key, value in vars(self.undisturbed).items()
            if key not in spared and getattr(found, key) != value
        ]


def damage(path: Path, kind: Damage, place: float, bits: int) -> None:
    """Cut a file, or change one byte of it, at a share of its size; one that is not there stays away."""
    if not path.exists():
        return
    content = bytearray(path.read_bytes())
    number = int(place * len(content))
    if kind == "cut":
        path.write_bytes(content[:number])
        return
    content[number] ^= bits
    path.unlink()  # two names may lead to one file
    path.write_bytes(content)


def toy_trial() -> TrialConfig:
    """Three short epochs of P-tuning v2 on toy sentences, with a checkpoint of some 100 KB."""
    return TrialConfig(
        task=TaskConfig(
            name="toy_tagging",
            source_language="alo",
            target_languages=("evin",),
            max_train_examples=32,
            max_dev_examples=24,
            max_test_examples=16,
        ),
        backbone=BackboneConfig(name="toy-bert"),
        method="ptuning_v2",
        options={"prompt_length": 4},
        training=TrainingConfig(learning_rate=0.03, epochs=3, updates_per_epoch=3, batch_size=8, max_length=32),
        seed=1,
    )


def main() -> None:
    """Try every case; exit 1 if one ends otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=NUM_CASES, help=f"of each kind of damage (default {NUM_CASES})")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    started, num_faulty, tried = time.monotonic(), 0, Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(toy_trial(), Locations(device="cpu"), Path(scratch))
        sizes = {path.name: path.stat().st_size for path in Path(scratch).glob("*/*") if path.is_file()}
        for case in checkpoint_cases(words.seed, words.cases):
            found = bench.faults(case)
            tried[f"{case.damage:4} of {' and '.join(case.files)}, {case.stage}"] += 1
            num_faulty += bool(found)
            for fault in found:
                print(f"{case}: {fault}", flush=True)
    print(f"sizes in bytes: {sizes}")
    for kind, number in sorted(tried.items()):
        print(f"{number:5} {kind}")
    print(
        f"{num_faulty} of {sum(tried.values())} ended otherwise; seed {words.seed}, {time.monotonic() - started:.0f} s"
    )
    raise SystemExit(1 if num_faulty else 0)


if __name__ == "__main__":
    main()

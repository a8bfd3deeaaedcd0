"""What the driver costs: the search, early stopping and the journal, without any training.

    python benchmarks/driver.py                       # 1,000, 3,000 and 10,000 trials
    python benchmarks/driver.py --trials 1000 --searcher tpe

Simulated trials report a curve that follows from their parameters. The driver does all that it does in a real sweep:
it draws points, decides at each epoch, and writes the journal (without waiting for the disk, whose speed is not the
driver's). One row for each number of trials: the driver's own milliseconds per trial, the searcher's draw apart, then
how long the journal takes to be replayed, a resumed search to be rebuilt, and ``status``, ``report`` and its page,
``report.html``, to be made of it, how large the page is, and the memory of a process that makes the report.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import torch

from tunekit.journal import SCHEMA, Journal
from tunekit.search import Assignment, Search
from tunekit.search.study import ArmStudy
from tunekit.sweep import Source, Sweep, parse_sweep, resolved
from tunekit.trial import EpochReport, FinalScores, Outcome, TrialFacts

EPOCHS = 3
LANGUAGES = ("en", "de", "fr", "zh", "ru", "ar", "hi", "tr", "fi", "ja", "sw")
FACTS = TrialFacts(
    fingerprints={"backbone": "0123456789abcdef", "train/en": "0123456789abcdef", "dev/en": "0123456789abcdef"}
    | {f"test/{language}": "0123456789abcdef" for language in LANGUAGES},
    num_trainable_parameters=300_000,
    num_backbone_parameters=278_000_000,
    num_train_examples=20_000,
    num_train_rows=20_050,
    num_updates_per_epoch=1_254,
    majority={"dev/en/accuracy": 0.17},
    device="cpu (x86_64)",
    versions={"torch": "2.13.0", "transformers": "5.23.0", "python": "3.12.0"},
)
READERS = {
    "replay": "from tunekit.journal import replay; replay(folder)",
    "status": (
        "from rich.console import Console\nfrom tunekit.journal import replay\nfrom tunekit.reports import *\n"
        "Console(file=open('/dev/null', 'w')).print(status_table([('a', replay(folder))]))"
    ),
    "page": (
        "from tunekit.journal import replay\nfrom tunekit.reports.results import read\n"
        "from tunekit.reports.render.html.page import write\nfrom tunekit.storage import SweepFolder\n"
        "write(read(replay(folder), SweepFolder(folder)), folder / 'page')"
    ),
    "report": (
        "from rich.console import Console\nfrom tunekit.journal import replay\nfrom tunekit.reports import *\n"
        "from tunekit.storage import SweepFolder\n"
        "record = replay(folder); write(record, folder / 'report', SweepFolder(folder))\n"
        "Console(file=open('/dev/null', 'w')).print(summary(record))"
    ),
}
MEASURED = """
import sys, time
from pathlib import Path
folder = Path(sys.argv[1])
started = time.process_time()
{code}
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.process_time() - started, int(peak.split()[1]) / 1024)
"""


def sweep_of(num_trials: int, searcher: str, scheduler: str) -> Sweep:
    """Two arms that share `num_trials` trials."""
    rate = {"low": 1e-5, "high": 1e-1, "log": True}
    arms = {
        "finetune": {"method": "finetune", "space": {"learning_rate": rate, "batch_size": [8, 16, 32]}},
        "ptuning_v2": {
            "method": "ptuning_v2",
            "space": {"learning_rate": rate, "prompt_length": {"low": 4, "high": 64}},
        },
    }
    content: dict[str, Any] = {
        "name": "driver",
        "task": {"name": "udpos", "target_languages": list(LANGUAGES[1:])},
        "backbone": "xlm-roberta-base",
        "arms": arms,
        "fixed": {"epochs": EPOCHS},
        "search": {"searcher": searcher, "num_trials": num_trials // len(arms), "seed": 0},
        "scheduler": {"name": scheduler},
        "finalise": {"top": 2, "seeds": [10, 42]},
    }
    return parse_sweep(content, Source("driver.yaml"))


def score(assignment: Assignment, epoch: int) -> float:
    """A dev score that follows from the trial's learning rate and point: best near 1e-3, rising with the epoch."""
    trial = assignment.trial
    rate = trial.config["training"]["learning_rate"]
    noise = random.Random(f"{trial.arm} {trial.number} {trial.seed} {epoch}").gauss(0, 0.01)
    return 0.9 * math.exp(-((math.log10(rate) + 3) ** 2) / 4) * (1 - math.exp(-epoch)) + noise


class Drawing:
    """Seconds that searchers spend on drawing points."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ask = ArmStudy.ask
        ask, measured = ArmStudy.ask, self

        def timed(study: ArmStudy, number: int) -> Any:
            started = time.process_time()
            try:
                return ask(study, number)
            finally:
                measured.seconds += time.process_time() - started

        ArmStudy.ask = timed  # type: ignore[method-assign]

    def stop(self) -> None:
        """Measure no more."""
        ArmStudy.ask = self._ask  # type: ignore[method-assign]


def drive(search: Search, *, at_once: int) -> None:
    """Run the sweep to its end, `at_once` trials taking turns epoch by epoch."""
    running: deque[tuple[Assignment, int]] = deque()
    while True:
        while len(running) < at_once and (assignment := search.next_trial()) is not None:
            search.started(assignment.trial, "worker-0", FACTS)
            search.flush()
            running.append((assignment, 0))
        if not running:
            return
        assignment, epoch = running.popleft()
        if step(search, assignment, epoch + 1):
            running.append((assignment, epoch + 1))
        search.flush()


def step(search: Search, assignment: Assignment, epoch: int) -> bool:
    """One epoch of a trial, or its test; whether it goes on."""
    trial = assignment.trial
    if trial.state == "RUNNING":
        value = score(assignment, epoch)
        metrics = {"train/loss": 1.0 / epoch, "dev/en/accuracy": value, "dev/en/macro_f1": value - 0.1}
        report = EpochReport(epoch=epoch, value=value, metrics=metrics, duration_s=30.0)
        decision = search.report(trial, report)
        if decision.stop:
            search.stop(trial, decision)
        elif epoch < EPOCHS:
            return True
        else:
            best = max(trial.reports.values(), key=lambda report: report.value)
            outcome = Outcome(state="COMPLETE", value=best.value, best_epoch=best.epoch, metrics=best.metrics)
            search.finish(trial, outcome)
    if assignment.test and trial.state == "COMPLETE":
        scores = {f"test/{language}/accuracy": score(assignment, 2) for language in LANGUAGES}
        majority = {f"majority/{language}/accuracy": 0.17 for language in LANGUAGES}
        search.tested(trial, FinalScores(epoch=2, scores=scores, majority=majority, num_examples={}))
    search.release(trial)
    return False


def launch(folder: Path, sweep: Sweep) -> Journal:
    """The journal of a new sweep; it does not wait for the disk."""
    journal = Journal(folder, durable=False)
    journal.append("launched", sweep=resolved(sweep), definition=dict(sweep.definition), versions={}, schema=SCHEMA)
    journal.flush()
    return journal


def measure(num_trials: int, searcher: str, scheduler: str, at_once: int) -> dict[str, float]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, sweep = Path(scratch) / "driver", sweep_of(num_trials, searcher, scheduler)
        with launch(folder, sweep) as journal:
            search, drawing = Search(sweep, journal), Drawing()
            started = time.process_time()
            drive(search, at_once=at_once)
            whole = time.process_time() - started
            drawing.stop()
            found = len(journal.record.trials)
        with Journal(folder, durable=False) as journal:
            started = time.process_time()
            Search(sweep, journal)
            rebuilt = time.process_time() - started
        row: dict[str, float] = {
            "trials": found,
            "driver ms": 1000 * (whole - drawing.seconds) / found,
            "draw ms": 1000 * drawing.seconds / found,
            "rebuild s": rebuilt,
            "journal MB": (folder / "journal.jsonl").stat().st_size / 1e6,
        }
        for name, code in READERS.items():
            command = [sys.executable, "-c", MEASURED.format(code=code), str(folder)]
            seconds, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            row[f"{name} s"] = float(seconds)
        row["page MB"] = (folder / "page" / "report.html").stat().st_size / 1e6
        row["report MiB"] = float(memory)
        return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 3_000, 10_000])
    parser.add_argument("--searcher", default="random")
    parser.add_argument("--scheduler", default="none")
    parser.add_argument("--at-once", type=int, default=1_000, help="trials running at the same time")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of a table")
    words = parser.parse_args()
    torch.set_num_threads(1)
    for index, num_trials in enumerate(words.trials):
        row = measure(num_trials, words.searcher, words.scheduler, words.at_once)
        if words.json:
            print(json.dumps(row), flush=True)
            continue
        if not index:
            print(f"{words.searcher} searcher, {words.scheduler} scheduler, {words.at_once} at once, {EPOCHS} epochs")
            print("  ".join(f"{name:>10}" for name in row))
        print(
            "  ".join(f"{value:10,.2f}" if name != "trials" else f"{value:10,.0f}" for name, value in row.items()),
            flush=True,
        )


if __name__ == "__main__":
    main()

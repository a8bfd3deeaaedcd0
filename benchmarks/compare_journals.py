"""Whether two sweeps made the same points, decisions and scores, to the last digit: compares their journals.

    python benchmarks/compare_journals.py runs/before/journal.jsonl runs/after/journal.jsonl

Reads the lines themselves, of any schema, and none of tunekit's own code for journals. Trials are matched by arm,
number of the point, seed and phase, since their names are hashes of everything that a version of tunekit takes for a
part of a trial. Compared are what the search chose, each epoch's metrics and objective, each decision, how each trial
ended, and each test score. Times, durations and names of trials are not. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[str, int, int, str]
"""Arm, number of the point, seed and phase."""
SHOWN = 10
OUTCOME = ("state", "value", "best_epoch", "metrics", "reason")
"""What is compared of an outcome."""


@dataclass
class Trial:
    """What a journal tells of a trial, without its name and without clocks."""

    params: Mapping[str, Any]
    config: Mapping[str, Any]
    epochs: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    decisions: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    outcome: Mapping[str, Any] = field(default_factory=dict)
    test: Mapping[str, Any] = field(default_factory=dict)


def read(path: Path) -> dict[Key, Trial]:
    """The trials of a journal (a file, or the folder of a sweep), in the order of creation."""
    path = path / "journal.jsonl" if path.is_dir() else path
    trials: dict[Key, Trial] = {}
    by_name: dict[str, Trial] = {}
    for line in path.read_text(encoding="utf-8", errors="surrogatepass").split("\n")[:-1]:
        event = json.loads(line)
        kind = event["event"]
        if kind == "created":
            key = (event["arm"], event["number"], event["seed"], event["phase"])
            trials[key] = by_name[event["trial_id"]] = Trial(event["params"], event["config"])
        elif "trial_id" in event:
            _advance(by_name[event["trial_id"]], event)
    return trials


def _advance(trial: Trial, event: Mapping[str, Any]) -> None:
    if event["event"] == "reported":
        report = event["report"]
        trial.epochs[report["epoch"]] = {"value": report["value"], **report["metrics"]}
        if event.get("decision") is not None:
            trial.decisions[report["epoch"]] = event["decision"]
    elif event["event"] == "decided":
        trial.decisions[event["epoch"]] = event["decision"]
    elif event["event"] == "finished":
        trial.outcome = {key: event["outcome"].get(key) for key in OUTCOME}
    elif event["event"] == "tested":
        sizes = {f"n/{language}": number for language, number in event["num_examples"].items()}
        trial.test = {**event["scores"], **event["baselines"], **sizes}


def differences(old: Mapping[Key, Trial], new: Mapping[Key, Trial]) -> Iterator[str]:
    """A line for each thing that is not the same."""
    for key in old.keys() - new.keys():
        yield f"{_spelled(key)}: only in the first journal"
    for key in new.keys() - old.keys():
        yield f"{_spelled(key)}: only in the second journal"
    for key in sorted(old.keys() & new.keys()):
        one, other = old[key], new[key]
        for name in ("params", "epochs", "decisions", "outcome", "test"):
            before, after = getattr(one, name), getattr(other, name)
            for part in {**before, **after}:
                if before.get(part) != after.get(part):
                    yield f"{_spelled(key)}: {name} {part}: {before.get(part)} and {after.get(part)}"
        yield from (f"{_spelled(key)}: config {line}" for line in _unlike(one.config, other.config, ""))


def _unlike(one: Any, other: Any, path: str) -> Iterator[str]:
    """Where two configurations differ; what only one of them has is told by `only_in_one`."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted(one.keys() & other.keys()):
            yield from _unlike(one[key], other[key], f"{path}.{key}" if path else key)
    elif one != other:
        yield f"{path}: {one!r} and {other!r}"


def only_in_one(old: Mapping[Key, Trial], new: Mapping[Key, Trial]) -> set[str]:
    """Fields that the configurations of one journal have and those of the other lack."""
    names = [{name for trial in trials.values() for name in _names(trial.config, "")} for trials in (old, new)]
    return names[0] ^ names[1]


def _names(config: Any, path: str) -> Iterator[str]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from _names(value, f"{path}.{key}" if path else str(key))
    else:
        yield path


def _spelled(key: Key) -> str:
    arm, number, seed, phase = key
    return f"{arm} point {number} seed {seed} ({phase})"


def main() -> int:
    """Compare, print counts and the first differences; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    words = parser.parse_args()
    old, new = read(words.old), read(words.new)
    found = list(differences(old, new))
    both = [old[key] for key in old.keys() & new.keys()]
    print(
        f"{len(both)} trials in both, {sum(len(trial.epochs) for trial in both)} epochs, "
        f"{sum(len(trial.decisions) for trial in both)} decisions, "
        f"{sum(len(trial.test) for trial in both)} test figures"
    )
    if alone := only_in_one(old, new):
        print(f"fields of configurations that only one journal has: {', '.join(sorted(alone))}")
    print(f"{len(found)} differences" if found else "the same to the last digit")
    for line in found[:SHOWN]:
        print(f"  {line}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

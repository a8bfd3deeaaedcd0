"""Whether two sweeps made the same points, decisions and scores, to the last digit: compares their journals.

    python benchmarks/compare_journals.py runs/before runs/after     # two sweeps, or their journal.jsonl

It reads the lines as plain JSON, whatever their schema, and uses none of tunekit's code, so that a mistake in that code
cannot hide a difference. Trials are matched by arm, number of the point, seed and phase, and not by their names, which
are hashes of all that a version of tunekit counts as part of a trial.

Compared are: params and configuration; each epoch's losses, dev scores and objective; each decision of early stopping;
how each trial ended (state, best epoch, value, scores, reason); test scores, majority baselines and the number of test
examples; sizes (parameters, rows and tokens of train, updates). Not compared are times, workers, versions, memory and
names of trials. Configuration and sizes are compared where both journals have them, since versions differ in what they
write; the fields of the configuration that only one journal has are listed at the end.

Exit code: 0 if nothing differs, 1 if something does (the first ten differences are printed), 2 if a journal cannot be
read or holds no trial.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SHOWN = 10
"""Differences that are printed."""
OUTCOME = ("state", "value", "best_epoch", "metrics", "reason")
SIZES = {
    "num_updates": "num_updates",
    "num_trainable_parameters": "num_trainable_parameters",
    "num_backbone_parameters": "num_backbone_parameters",
    "num_train_examples": "num_train_examples",
    "num_train_rows": "num_train_rows",
    "num_train_pieces": "num_train_tokens",  # its name in schema 1
    "num_train_tokens": "num_train_tokens",
    "num_train_truncated": "num_train_truncated",
    "majority": "majority",
}
"""What a trial says of its size, by the name that either schema gives it."""

Json = Mapping[str, object]
Key = tuple[str, int, int, str]
"""Arm, number of the point, seed and phase."""
Flat = dict[str, object]
"""Values by their path, such as ``epoch 2 dev/en/accuracy`` or ``training.batch_size``."""


class UnreadableError(Exception):
    """A file is not a journal that can be compared; says where and why."""


@dataclass(kw_only=True)
class Trial:
    """What a journal tells of one trial."""

    params: Flat
    config: Flat
    """May have fields that the other version's configuration lacks."""
    sizes: Flat = field(default_factory=dict)
    """Likewise."""
    epochs: dict[int, Flat] = field(default_factory=dict)
    decisions: dict[int, Flat] = field(default_factory=dict)
    outcome: Flat = field(default_factory=dict)
    test: Flat = field(default_factory=dict)
    """Scores, ``test/<language>/<metric>``."""
    test_setting: Flat = field(default_factory=dict)
    """Majority baselines, and the number of examples for each language."""

    def results(self) -> Flat:
        """All that both journals must have, and have alike, in the order in which it comes about."""
        found = _named("params", self.params)
        for epoch in sorted({*self.epochs, *self.decisions}):
            found |= _named(f"epoch {epoch}", self.epochs.get(epoch, {}))
            found |= _named(f"decision at epoch {epoch}", self.decisions.get(epoch, {}))
        return found | _named("outcome", self.outcome) | _named("tested", {**self.test, **self.test_setting})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not the same in both journals."""

    text: str
    what: str = ""
    """The path of the value."""
    size: float = math.nan
    """The distance of two numbers; NaN where something else differs."""


def read(path: Path) -> dict[Key, Trial]:
    """The trials of a journal (the file, or the folder of its sweep), in the order of their creation.

    A last line without a line feed was never complete and is left out. An epoch that was reported again after an
    interruption counts as it was reported last.

    Raises:
        UnreadableError: there is no such file, a line is no event, or two trials are the same one.
    """
    path = path / "journal.jsonl" if path.is_dir() else path
    trials: dict[Key, Trial] = {}
    names: dict[str, Trial] = {}
    for where, event in _events(path):
        try:
            if event["event"] == "created":
                key = (str(event["arm"]), _whole(event["number"]), _whole(event["seed"]), str(event["phase"]))
                if key in trials:
                    raise UnreadableError(f"{where}: {_spelled(key)} is created a second time")
                trial = Trial(params=_flat(event["params"]), config=_flat(event["config"]))
                trials[key] = names[str(event["trial_id"])] = trial
            elif "trial_id" in event:
                _advance(names[str(event["trial_id"])], event)
        except (KeyError, TypeError) as error:
            raise UnreadableError(f"{where}: not as expected of a journal: {error!r}") from error
    if not trials:
        raise UnreadableError(f"{path}: no trial in it")
    return trials


def _events(path: Path) -> Iterator[tuple[str, Json]]:
    """Each complete line with its place."""
    try:
        text = path.read_bytes().decode("utf-8", "surrogatepass")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path}: {error}") from error
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            event = json.loads(line)
        except ValueError as error:
            raise UnreadableError(f"{path}:{number}: no JSON: {line[:80]!r}") from error
        if not isinstance(event, dict) or "event" not in event:
            raise UnreadableError(f"{path}:{number}: no event: {line[:80]!r}")
        yield f"{path}:{number}", event


def _advance(trial: Trial, event: Json) -> None:
    """Take one event of a trial in."""
    match event["event"]:
        case "started":
            trial.sizes |= _sizes(_mapping(event.get("facts")))
        case "reported":
            report = _mapping(event["report"])
            epoch = _whole(report["epoch"])
            trial.epochs[epoch] = {"value": report["value"], **_flat(report["metrics"])}
            if event.get("decision") is not None:  # schema 1 has an event of its own for it
                trial.decisions[epoch] = _flat(event["decision"])
        case "decided":
            trial.decisions[_whole(event["epoch"])] = _flat(event["decision"])
        case "finished":
            outcome = _mapping(event["outcome"])
            trial.outcome = _flat({name: outcome.get(name) for name in OUTCOME})
            if outcome.get("state") == "COMPLETE":  # of a trial that the driver stopped, schema 1 knows no sizes
                trial.sizes |= _sizes(_mapping(outcome.get("facts"))) | _sizes(outcome)
        case "tested":
            trial.test = _flat(event["scores"])
            trial.test_setting = _flat(event["baselines"]) | _named("num_examples", _flat(event["num_examples"]))


def _sizes(facts: Json) -> Flat:
    return _flat({SIZES[name]: value for name, value in facts.items() if name in SIZES})


def _mapping(value: object) -> Json:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"a mapping was expected, not {value!r}")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"a whole number was expected, not {value!r}")
    return value


def _flat(value: object, path: str = "") -> Flat:
    """Nested mappings as one, with dotted paths; lists stay whole."""
    if path and (not isinstance(value, Mapping) or not value):
        return {path: value}
    found: Flat = {}
    for name, inner in _mapping(value).items():
        found |= _flat(inner, f"{path}.{name}" if path else name)
    return found


def _named(prefix: str, values: Flat) -> Flat:
    return {f"{prefix} {name}": value for name, value in values.items()}


def _spelled(key: Key) -> str:
    arm, number, seed, phase = key
    return f"{arm} point {number} seed {seed} ({phase})"


def differences(old: Mapping[Key, Trial], new: Mapping[Key, Trial]) -> Iterator[Difference]:
    """Each thing that is not the same, trial by trial in the order of the first journal."""
    for key in [*old, *(key for key in new if key not in old)]:
        if key not in new or key not in old:
            yield Difference(text=f"{_spelled(key)}: only in the {'first' if key in old else 'second'} journal")
            continue
        before, after = old[key], new[key]
        yield from _differing(key, *_common("config", before.config, after.config))
        yield from _differing(key, *_common("sizes", before.sizes, after.sizes))
        yield from _differing(key, before.results(), after.results())


def _common(prefix: str, one: Flat, other: Flat) -> tuple[Flat, Flat]:
    """The fields that both have."""
    names = [name for name in one if name in other]
    return _named(prefix, {name: one[name] for name in names}), _named(prefix, {name: other[name] for name in names})


def _differing(key: Key, one: Flat, other: Flat) -> Iterator[Difference]:
    for path in {**one, **other}:
        if path not in one or path not in other:
            side = "first" if path in one else "second"
            yield Difference(text=f"{_spelled(key)}: {path}: only in the {side} journal")
        elif not _is_same(one[path], other[path]):
            text = f"{_spelled(key)}: {path}: {one[path]!r} and {other[path]!r}"
            yield Difference(text=text, what=path, size=_distance(one[path], other[path]))


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, bool) != isinstance(other, bool):  # True == 1 in Python
        return False
    return one == other or (one != one and other != other)  # NaN is the same as NaN here


def _distance(one: object, other: object) -> float:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other)
    return math.nan


def only_in_one(old: Mapping[Key, Trial], new: Mapping[Key, Trial]) -> Iterator[str]:
    """Each field of the configuration that one of the journals lacks, with the number of trials that it concerns."""
    pairs = [(old[key].config, new[key].config) for key in old if key in new]
    for side, other, word in ((0, 1, "first"), (1, 0, "second")):
        counts = Counter(path for pair in pairs for path in pair[side] if path not in pair[other])
        for path, count in counts.items():
            yield f"{path}: only in the {word} journal, in {count} of {len(pairs)} trials"


def summary(trials: Iterable[Trial], found: Iterable[Difference]) -> Iterator[str]:
    """What was compared, and how far apart the numbers are."""
    trials = list(trials)
    widest = max((each for each in found if not math.isnan(each.size)), key=lambda each: each.size, default=None)
    yield f"trials in both      {len(trials):8,}"
    yield f"epochs              {sum(len(trial.epochs) for trial in trials):8,}"
    yield f"decisions           {sum(len(trial.decisions) for trial in trials):8,}"
    yield f"test scores         {sum(len(trial.test) for trial in trials):8,}"
    yield f"largest difference  {widest.size:8.3g} ({widest.what})" if widest else f"largest difference  {0:8}"


def main(words: list[str] | None = None) -> int:
    """Compare, print counts and the first differences; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", type=Path, help="a journal.jsonl, or the folder of its sweep")
    parser.add_argument("new", type=Path, help="the other one")
    chosen = parser.parse_args(words)
    try:
        old, new = read(chosen.old), read(chosen.new)
    except UnreadableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = list(differences(old, new))
    print("\n".join(summary((old[key] for key in old if key in new), found)))
    number = f"{len(found):,} difference{'s' * (len(found) != 1)}"
    print(number if found else "the same to the last digit")
    for difference in found[:SHOWN]:
        print(f"  {difference.text}")
    if len(found) > SHOWN:
        print(f"  and {len(found) - SHOWN:,} more")
    if alone := list(only_in_one(old, new)):
        print("fields of the configuration that only one journal has:")
        print("\n".join(f"  {line}" for line in alone))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

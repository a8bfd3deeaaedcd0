"""Journals of schema 1, told as events of today: for reports of sweeps that an earlier tunekit ran.

Their lines have no number and no checksum, decisions are events of their own, what a trial found stands in its
outcome, and the sweep stands there as its file only, which is read again.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields, replace

from tunekit.journal.events import KEYS, JournalError, parsed, require_complete
from tunekit.schema import JsonObject, Values
from tunekit.sweep import Source, Sweep, parse_sweep, resolved
from tunekit.trial import Outcome, TrialFacts

SCHEMA = 1
_KEYS = {
    **{kind: KEYS[kind] for kind in ("created", "interrupted", "finished", "tested")},
    "launched": ("definition", "versions", "schema"),
    "amended": ("definition",),
    "resumed": ("host", "pid", "versions"),
    "started": ("trial_id", "attempt", "worker"),
    "reported": ("trial_id", "report"),
    "decided": ("trial_id", "epoch", "decision"),
}


_OUTCOME = frozenset(field.name for field in fields(Outcome))
_FACTS = frozenset(field.name for field in fields(TrialFacts))


def is_of_schema_1(line: bytes) -> bool:
    """Whether a journal that begins with `line` is of schema 1."""
    try:
        return parsed(line, "journal").get("schema") == SCHEMA
    except JournalError:
        return False


class Translator:
    """Tells the lines of one journal, in their order, as events of today.

    Args:
        lines: all of them; the metric of each arm shows in its first report.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._metrics = _metrics(lines)
        self._num_epochs: Counter[str] = Counter()

    def event(self, line: bytes, where: str) -> JsonObject:
        """What a line says; a decision is an event ``decided``, which only old journals have.

        Raises:
            JournalError: no driver wrote this line.
            ConfigError: the sweep file in it cannot be read any more.
        """
        event = parsed(line, where)
        require_complete(event, _KEYS, where)
        match event["event"]:
            case "launched" | "amended":
                event["sweep"] = resolved(self._sweep(event["definition"], where))
            case "started":
                event["facts"] = None
            case "reported":
                event["decision"] = None
                self._num_epochs[event["trial_id"]] += 1
            case "finished":
                event["facts"] = self._facts(event)
                event["outcome"] = {key: value for key, value in event["outcome"].items() if key in _OUTCOME}
        return event

    def _sweep(self, definition: Values, where: str) -> Sweep:
        sweep = parse_sweep(_readable(definition), Source(where), folders_must_exist=False)
        arms = (replace(arm, metric=self._metrics.get(arm.name, arm.metric)) for arm in sweep.arms)
        return replace(sweep, arms=tuple(arms))

    def _facts(self, event: Values) -> JsonObject | None:
        """What the trial had found; None for one that the driver stopped, which did not say so."""
        outcome = event["outcome"]
        found = outcome.get("facts") or {}
        if not found:
            return None
        return {
            **{key: value for key, value in found.items() if key in _FACTS},
            "fingerprints": {"train and dev": found["data_fingerprint"]} if "data_fingerprint" in found else {},
            "num_train_tokens": found.get("num_train_pieces", 0),
            "num_trainable_parameters": outcome.get("num_trainable_parameters", 0),
            "num_backbone_parameters": outcome.get("num_backbone_parameters", 0),
            "num_updates_per_epoch": outcome["num_updates"] // max(1, self._num_epochs[event["trial_id"]]),
            "versions": {key.removesuffix("_version"): found[key] for key in found if key.endswith("_version")},
        }


def _metrics(lines: Iterable[bytes]) -> dict[str, str]:
    """The main metric of each arm: the first one that its first report names."""
    arms: dict[str, str] = {}
    found: dict[str, str] = {}
    for line in lines:
        with contextlib.suppress(JournalError, KeyError):  # told of when the line itself is read
            event = parsed(line, "journal")
            if event["event"] == "created":
                arms[event["trial_id"]] = event["arm"]
            elif event["event"] == "reported":
                names = [key for key in event["report"]["metrics"] if key.startswith("dev/")]
                found.setdefault(arms[event["trial_id"]], names[0].rpartition("/")[2])
    return found


def _readable(definition: Values) -> JsonObject:
    """The sweep file without what is no longer a parameter: how many tokens are computed at once changes no score."""
    arms = {name: _without_tokens(arm) for name, arm in definition["arms"].items()}
    return {**_without_tokens(definition), "arms": arms}


def _without_tokens(block: Values) -> JsonObject:
    fixed = block.get("fixed")
    if not fixed or "tokens_per_step" not in fixed:
        return dict(block)
    return {**block, "fixed": {key: value for key, value in fixed.items() if key != "tokens_per_step"}}

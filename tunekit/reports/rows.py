"""What others may want to count and plot, row by row: scores, trials and learning curves, before they have a format.

Values are fractions, times seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tunekit.journal import TrialRecord
from tunekit.reports.contents.languages import has_words
from tunekit.reports.results import ArmResult, SweepResult
from tunekit.schema import JsonObject

Type = Literal["text", "whole", "real", "yes_or_no"]

RESULTS: Mapping[str, Type] = {
    "sweep": "text", "selection": "text", "arm": "text", "method": "text", "backbone": "text", "task": "text",
    "shots": "whole", "point": "whole", "is_best_point": "yes_or_no", "trial_id": "text", "seed": "whole",
    "draw": "whole", "split": "text", "language": "text", "role": "text", "metric": "text",
    "is_main_metric": "yes_or_no", "value": "real", "majority": "real", "tokens_per_word": "real",
    "tokens_per_character": "real",
}  # fmt: skip
"""`role` is source or target; `majority` is the same score of the most frequent label. Tokens are those of the test
texts; none a word where the data do not say what a word is and the language does not part them."""
TRIALS: Mapping[str, Type] = {
    "sweep": "text", "arm": "text", "method": "text", "backbone": "text", "task": "text", "shots": "whole",
    "trial_id": "text", "point": "whole", "point_id": "text", "is_best_point": "yes_or_no", "phase": "text",
    "seed": "whole", "draw": "whole", "state": "text", "reason": "text", "dev": "real", "best_epoch": "whole",
    "num_epochs": "whole", "num_epochs_asked": "whole", "num_updates": "whole", "duration_s": "real",
    "peak_memory_bytes": "whole", "num_trainable_parameters": "whole", "num_backbone_parameters": "whole",
    "num_train_examples": "whole", "num_train_rows": "whole", "num_train_tokens": "whole", "device": "text",
    "num_attempts": "whole", "num_interruptions": "whole", "is_tested": "yes_or_no", "created_at": "text",
}  # fmt: skip
"""`dev` is the best objective that the trial has reported, whatever its state; `num_epochs` and `duration_s` are of the
epochs reported, `num_train_tokens` of one pass over train. What the search chose follows, ``param_NAME`` each."""
CURVES: Mapping[str, Type] = {
    "arm": "text", "trial_id": "text", "point": "whole", "phase": "text", "seed": "whole", "draw": "whole",
    "state": "text", "epoch": "whole", "objective": "real", "duration_s": "real",
}  # fmt: skip
"""What else the trial said after the epoch follows, each under its own key, such as ``train/loss``."""

MOST_WHOLE = 2**63
"""Whole numbers below it fit a column of their own kind."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table for machines."""

    name: str
    types: Mapping[str, Type]
    """By column, in order."""
    make: Callable[[], Iterator[JsonObject]]
    """Makes them one by one: a sweep may have a million epochs. What is not there is None, or missing."""

    @property
    def rows(self) -> Iterator[JsonObject]:
        """All of them, from the first."""
        return self.make()


def results(result: SweepResult) -> Rows:
    """Every score of the finalised points: dev at the best epoch, and test; a row for each seed, language and metric.

    The reported point of each arm is marked. An arm without a finalised point has the dev scores of the best point of
    its search.
    """
    return Rows(
        name="results", types=RESULTS, make=lambda: (row for arm in result.arms for row in _scores(result, arm))
    )


def trials(result: SweepResult) -> Rows:
    """Every trial: its parameters, how it ended, what it reached and took."""
    found: dict[str, dict[type, bool]] = {}
    for trial in result.record.trials.values():
        for name, value in trial.params.items():
            kinds = found.setdefault(name, {}) if name != "seed" else {}
            if value is not None:
                is_fit = not isinstance(value, int) or abs(value) < MOST_WHOLE
                kinds[type(value)] = is_fit and kinds.get(type(value), True)
    types = {f"param_{name}": _type_of(kinds) for name, kinds in found.items()}

    def rows() -> Iterator[JsonObject]:
        for arm in result.arms:
            best = {final.trial_id for final in arm.best.trials} if arm.best else set()
            for trial in arm.trials:
                row = {**_trial(arm, trial), "sweep": result.sweep.name, "is_best_point": trial.trial_id in best}
                yield row | {f"param_{name}": value for name, value in trial.params.items() if name != "seed"}

    return Rows(name="trials", types={**TRIALS, **types}, make=rows)


def curves(result: SweepResult) -> Rows:
    """Every epoch that a trial has reported."""
    trials = [trial for arm in result.arms for trial in arm.trials]
    metrics = dict.fromkeys(key for trial in trials for report in trial.reports.values() for key in report.metrics)
    further: dict[str, Type] = dict.fromkeys(metrics, "real")
    return Rows(
        name="curves", types={**CURVES, **further}, make=lambda: (row for trial in trials for row in _epochs(trial))
    )


def _of_arm(arm: ArmResult) -> JsonObject:
    return {
        "arm": arm.name,
        "method": arm.arm.method,
        "backbone": arm.arm.backbone.name,
        "task": arm.task.name,
        "shots": arm.task.shots,
    }


def _scores(result: SweepResult, arm: ArmResult) -> Iterator[JsonObject]:
    common = {"sweep": result.sweep.name, "selection": result.sweep.selection, **_of_arm(arm)}
    for final in arm.tested:
        point = {**common, "point": final.number, "is_best_point": final is arm.best}
        for trial in final.trials:
            yield from ({**point, **row} for row in _scores_of_trial(arm, trial))
    if arm.best is None and arm.leader is not None:
        point = {**common, "point": arm.leader.number, "is_best_point": True}
        for trial in (trial for trial in arm.leader.trials if trial.outcome is not None):
            yield from ({**point, **row} for row in _scores_of_trial(arm, trial) if row["split"] == "dev")


def _scores_of_trial(arm: ArmResult, trial: TrialRecord) -> Iterator[JsonObject]:
    assert trial.outcome is not None
    scores = {**trial.outcome.metrics, **(trial.test_scores or {})}
    dev_majority = trial.facts.majority if trial.facts else {}
    for key, value in scores.items():
        split, _, rest = key.partition("/")
        language, _, metric = rest.rpartition("/")
        if split not in ("dev", "test") or not language:
            continue
        floor = trial.baselines.get(f"majority/{rest}") if split == "test" else dev_majority.get(key)
        found = trial.granularity.get(language) if split == "test" else None
        yield {
            "trial_id": trial.trial_id,
            "seed": trial.seed,
            "draw": trial.draw,
            "split": split,
            "language": language,
            "role": "source" if language == arm.source else "target",
            "metric": metric,
            "is_main_metric": metric == arm.metric,
            "value": value,
            "majority": floor,
            "tokens_per_word": found.per_word if found and has_words(found, language) else None,
            "tokens_per_character": found.per_character if found else None,
        }


def _trial(arm: ArmResult, trial: TrialRecord) -> JsonObject:
    outcome, facts = trial.outcome, trial.facts
    num_epochs = len(trial.reports)
    return {
        **_of_arm(arm),
        "trial_id": trial.trial_id,
        "point": trial.number,
        "point_id": trial.point_id,
        "phase": trial.phase,
        "seed": trial.seed,
        "draw": trial.draw,
        "state": trial.state,
        "reason": trial.reason,
        "dev": trial.best_so_far,
        "best_epoch": outcome.best_epoch if outcome else None,
        "num_epochs": num_epochs,
        "num_epochs_asked": trial.num_epochs,
        "num_updates": facts.num_updates(num_epochs) if facts else None,
        "duration_s": trial.duration_s,
        "peak_memory_bytes": outcome.peak_memory_bytes or None if outcome else None,
        "num_trainable_parameters": facts.num_trainable_parameters if facts else None,
        "num_backbone_parameters": facts.num_backbone_parameters if facts else None,
        "num_train_examples": facts.num_train_examples if facts else None,
        "num_train_rows": facts.num_train_rows if facts else None,
        "num_train_tokens": facts.num_train_tokens if facts else None,
        "device": facts.device if facts else None,
        "num_attempts": trial.num_attempts,
        "num_interruptions": trial.num_interruptions,
        "is_tested": trial.test_scores is not None,
        "created_at": trial.created_at,
    }


def _type_of(kinds: Mapping[type, bool]) -> Type:
    """The type of a column whose values are of `kinds`, each with whether it fits; text where they are not alike."""
    if kinds.keys() == {bool}:
        return "yes_or_no"
    if kinds.keys() == {int}:
        return "whole" if kinds[int] else "text"
    return "real" if kinds and kinds.keys() <= {int, float} else "text"


def _epochs(trial: TrialRecord) -> Iterator[JsonObject]:
    common = {
        "arm": trial.arm,
        "trial_id": trial.trial_id,
        "point": trial.number,
        "phase": trial.phase,
        "seed": trial.seed,
        "draw": trial.draw,
        "state": trial.state,
    }
    for epoch, report in sorted(trial.reports.items()):
        yield {
            **common,
            "epoch": epoch,
            "objective": report.value,
            "duration_s": report.duration_s,
            **report.metrics,
        }

"""``results.csv``: every score of the reported points, one row for each arm, point, language, seed and metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from tunekit.journal import TrialRecord
from tunekit.reports.files import save
from tunekit.reports.render.groups import has_words
from tunekit.reports.results import ArmResult, SweepResult
from tunekit.schema import JsonObject
from tunekit.storage import AnyPath

COLUMNS = (
    "sweep", "selection", "arm", "method", "backbone", "task", "shots", "point", "is_best_point", "trial_id", "seed",
    "draw", "split", "language", "role", "metric", "is_main_metric", "value", "majority", "tokens_per_word",
    "tokens_per_character",
)  # fmt: skip
"""Values are fractions. `role` is source or target; `majority` is the same score of the most frequent label. Tokens are
those of the test texts; none a word where the data do not say what a word is and the language does not part them."""


def write(result: SweepResult, out: AnyPath) -> list[AnyPath]:
    """Write ``results.csv`` into `out`.

    All finalised points are in it (dev at the best epoch, and test), the reported one of each arm marked
    ``is_best_point``. An arm without a finalised point has the dev scores of the best point of its search.
    """
    return [save(out / "results.csv", to_csv(result))]


def to_csv(result: SweepResult) -> str:
    """The text of ``results.csv``: a heading and a line for each score, in the order of the tables."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for arm in result.arms:
        writer.writerows(_arm_rows(result, arm))
    return text.getvalue()


def _arm_rows(result: SweepResult, arm: ArmResult) -> Iterator[JsonObject]:
    common = {
        "sweep": result.sweep.name,
        "selection": result.sweep.selection,
        "arm": arm.name,
        "method": arm.arm.method,
        "backbone": arm.arm.backbone.name,
        "task": arm.task.name,
        "shots": arm.task.shots,
    }
    for final in arm.tested:
        point = {**common, "point": final.number, "is_best_point": final is arm.best}
        for trial in final.trials:
            yield from ({**point, **row} for row in _trial_rows(arm, trial))
    if arm.best is None and arm.leader is not None:
        point = {**common, "point": arm.leader.number, "is_best_point": True}
        for trial in (trial for trial in arm.leader.trials if trial.outcome is not None):
            yield from ({**point, **row} for row in _trial_rows(arm, trial) if row["split"] == "dev")


def _trial_rows(arm: ArmResult, trial: TrialRecord) -> Iterator[JsonObject]:
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

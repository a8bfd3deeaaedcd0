"""A sweep's searches as an Optuna storage, for optuna-dashboard and ``optuna.load_study``. A copy, never the truth."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.trial import TrialState, create_trial

from tunekit.journal import Point, SweepRecord
from tunekit.schema import JsonObject
from tunekit.search.study import distribution
from tunekit.storage import make_folder, remove
from tunekit.sweep import Arm, Sweep

_STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAILED": TrialState.FAIL}


def export_studies(sweep: Sweep, record: SweepRecord, path: Path) -> list[str]:
    """Write one Optuna study an arm into a fresh SQLite file at `path`, replacing an older export.

    An Optuna trial is a point: its value is the mean over its search seeds, its intermediate values are the dev curve
    of the first; trial_ids and seeds are user attributes.

    Returns:
        The studies' names, ``sweep/arm``; load one with ``optuna.load_study(study_name=..., storage="sqlite:///PATH")``.
    """
    remove(path)
    make_folder(path.parent)
    storage = f"sqlite:///{path}"
    names = []
    for arm in sweep.arms:
        study = optuna.create_study(storage=storage, study_name=f"{sweep.name}/{arm.name}", direction="maximize")
        study.set_user_attr("method", arm.method)
        study.set_user_attr("backbone", arm.backbone.name)
        study.set_user_attr("task", arm.task.name)
        study.add_trials([_trial(arm, point) for point in record.arm(arm.name).points])
        names.append(study.study_name)
    return names


def _trial(arm: Arm, point: Point) -> optuna.trial.FrozenTrial:
    first = point.trials[0]
    state = next((t.state for t in point.trials if t.state != "COMPLETE"), "COMPLETE")
    params: JsonObject = dict(first.params)
    draws = [trial.draw for trial in point.trials]
    curve = {epoch: report.value for epoch, report in first.reports.items()}
    value = point.value if state == "COMPLETE" else first.best_so_far if state == "PRUNED" else None
    return create_trial(
        state=_STATES.get(state, TrialState.WAITING),
        value=value,
        params=params if state in _STATES else {},
        distributions={d.name: distribution(d) for d in arm.space if d.name in params} if state in _STATES else {},
        intermediate_values=curve if state in _STATES else {},
        user_attrs={
            "number": point.number,
            "trial_ids": [trial.trial_id for trial in point.trials],
            "seeds": [trial.seed for trial in point.trials],
            **({"draws": draws} if any(draw is not None for draw in draws) else {}),
            **({"reason": first.outcome.reason} if first.outcome and first.outcome.reason else {}),
        },
    )

"""A sweep's searches as an Optuna storage, for optuna-dashboard and ``optuna.load_study``. A copy, never the truth."""

from __future__ import annotations

from pathlib import Path

import optuna

from tunekit.journal import SweepRecord
from tunekit.search.frozen import frozen_trial
from tunekit.storage import make_folder, remove
from tunekit.sweep import Sweep


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
        study.add_trials([frozen_trial(arm, point) for point in record.arm(arm.name).points])
        names.append(study.study_name)
    return names

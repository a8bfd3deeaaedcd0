"""A point of the journal as a trial of Optuna, for its dashboard and its plots. A copy, never the truth."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState, create_trial

from tunekit.journal import Point
from tunekit.schema import JsonObject
from tunekit.search.study import distribution, plain_choice
from tunekit.sweep import Arm

_STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAILED": TrialState.FAIL}


def frozen_trial(arm: Arm, point: Point) -> FrozenTrial:
    """A point whose value is the mean over its search seeds, and whose curve is that of the first.

    A point that still runs is WAITING, without params. trial_ids, seeds and draws are user attributes.
    """
    first = point.trials[0]
    state = next((t.state for t in point.trials if t.state != "COMPLETE"), "COMPLETE")
    params: JsonObject = {name: plain_choice(value) for name, value in first.params.items()}
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

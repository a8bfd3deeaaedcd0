"""``best_config.<arm>.yaml``: the best configuration of an arm, whole, as ``tunekit trial`` runs it."""

from __future__ import annotations

import yaml

from tunekit.errors import ConfigError
from tunekit.journal import Point, TrialRecord
from tunekit.reports.files import save
from tunekit.reports.render.formats import spread
from tunekit.reports.results import ArmResult, SweepResult
from tunekit.reports.scores import FinalPoint, Spread
from tunekit.reports.words import config_file, metric_name
from tunekit.schema import JsonObject, to_json
from tunekit.storage import AnyPath
from tunekit.wording import names, percent, plural

KEYS = ("task", "backbone", "method", "options", "training", "seed", "selection")


def write(result: SweepResult, out: AnyPath) -> list[AnyPath]:
    """Write a file into `out` for each arm that has a COMPLETE point."""
    return [
        save(out / config_file(arm.name), to_yaml(result, arm))
        for arm in result.arms
        if arm.best is not None or arm.leader is not None
    ]


def to_yaml(result: SweepResult, arm: ArmResult) -> str:
    """The best configuration of `arm`, headed by where it comes from.

    It is the finalised point with the best dev score and the first seed of finalising; while nothing is finalised, the
    point that leads the search.

    Raises:
        ConfigError: no point of the arm is COMPLETE.
    """
    best = arm.best or arm.leader
    if best is None:
        raise ConfigError(f"arm {arm.name!r} of sweep {result.sweep.name!r} has no COMPLETE point: {_states(arm)}")
    trial = next(trial for trial in best.trials if trial.value is not None)
    content: JsonObject = {key: trial.config[key] for key in KEYS if key in trial.config}
    locations = {key: value for key, value in to_json(arm.arm.locations).items() if value is not None}
    if locations:
        content["locations"] = locations
    header = "".join(f"# {line}\n" for line in _header(result, arm, best, trial))
    return header + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def _header(result: SweepResult, arm: ArmResult, best: FinalPoint | Point, trial: TrialRecord) -> list[str]:
    counted = [t.replicate for t in best.trials if t.reached is not None]
    unit = "trial" if len({replicate.draw for replicate in counted}) > 1 else "seed"
    is_final = isinstance(best, FinalPoint)
    rule = "target-language dev" if result.is_target_dev else f"dev in {arm.source}"
    dev = spread(Spread.of(t.reached for t in best.trials))
    lines = [
        f"Best configuration of arm {arm.name} in sweep {result.sweep.name}: point {best.number}"
        f" ({'finalised' if is_final else 'the best of the search, not finalised'}).",
        f"Chosen by {rule}, {metric_name(arm.metric)}: {dev} over {plural(len(counted), unit)} ({names(counted)});"
        " test took no part in it.",
        f"This file is trial {trial.trial_id}: seed {trial.replicate}, {percent(trial.value)} on dev.",
        f"Run it again: tunekit trial {config_file(arm.name)}",
    ]
    if not is_final and not result.is_finished:
        lines.insert(1, "The sweep is unfinished: a better point may still be found.")
    return lines


def _states(arm: ArmResult) -> str:
    states = ("RUNNING", "PRUNED", "FAILED")
    found = [f"{number} {state}" for state in states if (number := sum(t.state == state for t in arm.trials))]
    return f"its trials are {names(found)}" if found else "no trial has been run"

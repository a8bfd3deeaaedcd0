"""Which arms can be checked here, where their data or backbones may be on another machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tunekit.check.absent import has_stand_in
from tunekit.errors import ConfigError, DataError
from tunekit.sweep import Arm, Sweep
from tunekit.tasks.readers.sources import by_mapping, by_pattern


def checkable(sweep: Sweep) -> tuple[Sweep | None, tuple[str, ...]]:
    """The sweep with those arms only that can be checked here, and for each other one a line that says why not.

    None if there is none. Data of a known task may be missing, since their sizes are documented.
    """
    reasons = {arm.name: reason for arm in sweep.arms if (reason := missing(arm)) is not None}
    arms = tuple(arm for arm in sweep.arms if arm.name not in reasons)
    notes = tuple(f"arm {name} is checked only on the cluster: {reason}" for name, reason in reasons.items())
    return (replace(sweep, arms=arms) if arms else None), notes


def missing(arm: Arm) -> str | None:
    """What an arm needs to be checked and this machine does not have; None for an arm that can be checked."""
    try:
        places = arm.locations.here()
    except ConfigError as error:
        return str(error)
    if places.backbone_path is not None and not Path(places.backbone_path).is_dir():
        return f"there is no folder {places.backbone_path} here"
    for folder in (places.data_dir, places.fewshot_dir, places.parallel_dir):
        if folder is not None and not Path(folder).is_dir() and not has_stand_in(arm.task):
            return f"there is no folder {folder} here"
    if places.files is None:
        return None
    try:
        found = by_pattern(places.files) if isinstance(places.files, str) else by_mapping(places.files)
    except DataError as error:
        return str(error)
    absent = next((path for paths in found.values() for path in paths.values() if not path.exists()), None)
    return None if absent is None else f"there is no file {absent} here"

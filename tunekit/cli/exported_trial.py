"""Which trained trial ``tunekit export`` means, and where its data and backbone were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunekit.errors import ConfigError
from tunekit.schema import build
from tunekit.storage import AnyPath, SweepFolder, TrialFolder, place, read_json, read_sealed_json, sweep_folder
from tunekit.trial import Locations, TrialConfig

if TYPE_CHECKING:
    from tunekit.export import FinishedTrial


def trial_to_export(name: str, arm: str | None, root: AnyPath) -> tuple[FinishedTrial, AnyPath]:
    """The trial that `name` means, and the folder to which it is exported by default.

    Args:
        name: a finished trial's folder, or a sweep by name or path; of a sweep the trial that ``tunekit best`` prints.
        arm: of the sweep; may be left out where there is one only.
        root: folder that holds sweeps.

    Raises:
        ConfigError: there is no such trial.
    """
    alone = TrialFolder(place(name))
    if not alone.outcome.is_file():
        folder = sweep_folder(name, root)
        return _best_trial(folder, arm), folder.export(arm)
    if arm is not None:
        raise ConfigError(f"--arm has no effect on one trial, {name}")
    return _finished_trial(alone), alone.export


def _best_trial(folder: SweepFolder, arm: str | None) -> FinishedTrial:
    import yaml

    from tunekit.export import FinishedTrial
    from tunekit.journal import replay
    from tunekit.reports import best_config_yaml

    content = yaml.safe_load(best_config_yaml(replay(folder.path), arm))
    locations = build(Locations, content.pop("locations", None) or {}, f"{folder.path}: locations")
    config = build(TrialConfig, content, str(folder.path))
    return FinishedTrial(config=config, locations=locations, folder=folder.trial(config.trial_id).path)


def _finished_trial(folder: TrialFolder) -> FinishedTrial:
    from tunekit.export import FinishedTrial

    stored = read_sealed_json(folder.outcome)
    config = stored.get("config") if stored is not None else None
    if not isinstance(config, dict):
        raise ConfigError(f"{folder.outcome} does not hold a trial's whole outcome; run the trial again")
    found = build(TrialConfig, config, str(folder.outcome))
    return FinishedTrial(config=found, locations=_locations(folder, found.trial_id), folder=folder.path)


def _locations(folder: TrialFolder, trial_id: str) -> Locations:
    """Where a trial's data and backbone were: by its note, else by the sweep that it belongs to."""
    from tunekit.journal import replay

    noted = read_json(folder.locations)
    if noted is not None:
        return build(Locations, noted, str(folder.locations))
    if folder.sweep.exists:
        record = replay(folder.sweep.path)
        if trial_id in record.trials:
            return record.sweep.arm(record.trials[trial_id].arm).locations
    return Locations()

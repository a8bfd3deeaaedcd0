"""Where sweeps and trials are: their folders by name, and what is needed to use a trained one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from tunekit.errors import ConfigError, nearest
from tunekit.schema import build, to_json
from tunekit.trial import Locations, TrialConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunekit.export import FinishedTrial

OUTCOME = "outcome.json"
LOCATIONS = "locations.json"
"""What ``tunekit trial`` leaves beside the outcome: where data and backbone were."""


def sweep_folders(root: Path) -> list[Path]:
    """The folders of the sweeps under `root`, by name."""
    from tunekit.journal import FILE_NAME

    return sorted(path.parent for path in root.glob(f"*/{FILE_NAME}"))


def sweep_folder(name: str, root: Path) -> Path:
    """The folder of a sweep given by name or path.

    Raises:
        ConfigError: there is none.
    """
    from tunekit.journal import FILE_NAME

    for folder in (root / name, Path(name)):
        if (folder / FILE_NAME).is_file():
            return folder
    known = [folder.name for folder in sweep_folders(root)]
    hint = nearest(name, known) if known else f"there are none under {root}; start one with: tunekit sweep FILE"
    raise ConfigError(f"no sweep {name!r} under {root}; {hint}" if known else f"no sweep {name!r}; {hint}")


def trial_to_export(name: str, arm: str | None, root: Path) -> tuple[FinishedTrial, Path]:
    """The trial that `name` means, and the folder to which it is exported by default.

    Args:
        name: a finished trial's folder, or a sweep by name or path; of a sweep the trial that ``tunekit best`` prints.
        arm: of the sweep; may be left out where there is one only.
        root: folder that holds sweeps.

    Raises:
        ConfigError: there is no such trial.
    """
    if not (Path(name) / OUTCOME).is_file():
        folder = sweep_folder(name, root)
        return _best_trial(folder, arm), folder / "export" / (arm or "")
    if arm is not None:
        raise ConfigError(f"--arm has no effect on one trial, {name}")
    return _trial_in(Path(name)), Path(name) / "export"


def note_locations(folder: Path, locations: Locations) -> None:
    """Leave a note in a trial's folder of where its data and backbone are, in absolute paths."""
    from tunekit.storage import write_json

    found = to_json(locations)
    for key, value in found.items():
        if value is not None and (key.endswith("_dir") or key == "backbone_path"):
            found[key] = str(Path(value).expanduser().absolute())
    write_json(folder / LOCATIONS, found)


def _best_trial(folder: Path, arm: str | None) -> FinishedTrial:
    import yaml

    from tunekit.export import FinishedTrial
    from tunekit.journal import replay
    from tunekit.reports import best_config_yaml
    from tunekit.storage import SweepFolder

    content = yaml.safe_load(best_config_yaml(replay(folder), arm))
    locations = build(Locations, content.pop("locations", None) or {}, f"{folder}: locations")
    config = build(TrialConfig, content, str(folder))
    return FinishedTrial(config=config, locations=locations, folder=SweepFolder(folder).trial(config.trial_id).path)


def _trial_in(folder: Path) -> FinishedTrial:
    from tunekit.export import FinishedTrial
    from tunekit.storage import read_json

    stored = read_json(folder / OUTCOME)
    if stored is None:
        raise ConfigError(f"{folder / OUTCOME} is torn; run the trial again")
    config = build(TrialConfig, cast("Mapping[str, object]", stored["config"]), str(folder / OUTCOME))
    return FinishedTrial(config=config, locations=_locations(folder, config.trial_id), folder=folder)


def _locations(folder: Path, trial_id: str) -> Locations:
    """Where a trial's data and backbone were: by its note, else by the sweep that it belongs to."""
    from tunekit.journal import FILE_NAME, replay
    from tunekit.storage import read_json

    noted = read_json(folder / LOCATIONS)
    if noted is not None:
        return build(Locations, noted, str(folder / LOCATIONS))
    sweep = folder.resolve().parents[1]
    if (sweep / FILE_NAME).is_file():
        record = replay(sweep)
        if trial_id in record.trials:
            return record.sweep.arm(record.trials[trial_id].arm).locations
    return Locations()

"""One configuration in this process, from a YAML file to an outcome, without Ray and without a journal."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.cli.exits import DONE, UNFINISHED, complain
from tunekit.cli.interruption import advise
from tunekit.errors import ConfigError, nearest, quoted
from tunekit.patience import listening
from tunekit.schema import JsonObject, build, to_json
from tunekit.storage import TrialFolder, write_json
from tunekit.trial import FIGURES, EpochReport, Locations, TrialConfig
from tunekit.wording import percent

if TYPE_CHECKING:
    from rich.console import Console


def load_trial(path: Path) -> tuple[TrialConfig, Locations]:
    """Read a configuration as ``tunekit best`` prints it: a TrialConfig's blocks, and `locations`.

    Options and training settings that are left out take their defaults.

    Raises:
        ConfigError: anything is wrong with it; names file and key.
    """
    from tunekit.sweep import located, read_yaml

    content, lines = read_yaml(path)
    try:
        return _checked(content, path)
    except ConfigError as error:
        raise type(error)(located(str(error), str(path), lines)) from None


def _checked(content: JsonObject, path: Path) -> tuple[TrialConfig, Locations]:
    """The configuration in the content of a file."""
    from tunekit.sweep.parameters import field_names, method_class

    if "arms" in content:
        raise ConfigError(f"{path} is a sweep file, not one configuration; run it with: tunekit sweep {path}")
    valid = (*field_names(TrialConfig), "locations")
    for key in content:
        if key not in valid:
            raise ConfigError(f"{path}: unknown key {quoted(key)}; {nearest(str(key), valid)}")
    locations = build(Locations, content.pop("locations", None) or {}, f"{path}: locations")
    method = method_class(str(content.get("method")))
    defaults = method.training_defaults()
    if defaults and isinstance(content.get("training", {}), dict):
        content["training"] = {**defaults, **content.get("training", {})}
    config = build(TrialConfig, content, str(path))
    options: object = build(method.Config, config.options, f"{path}: options")
    return build(TrialConfig, {**to_json(config), "options": to_json(options)}, str(path)), locations


def run_alone(config: TrialConfig, locations: Locations, folder: TrialFolder, *, test: bool) -> int:
    """Run it and print each epoch and the outcome; the exit code of the command line."""
    from tunekit.cli.console import quiet_for

    how_to_go_on = "The same command goes on from the last epoch."
    advise(lambda: how_to_go_on)
    try:
        with quiet_for(lambda: folder.log if folder.path.is_dir() else None) as console:
            return _run(config, locations, folder, test=test, console=console)
    except KeyboardInterrupt:
        complain(f"interrupted\n{how_to_go_on}")
        return UNFINISHED
    except (SystemExit, GeneratorExit) as error:  # of the trial's own code; nothing of ours ends like this
        complain(f"trial {config.trial_id} ended its process with {type(error).__name__}: {error}")
        return UNFINISHED


def _run(config: TrialConfig, locations: Locations, folder: TrialFolder, *, test: bool, console: Console) -> int:
    from tunekit.execution.notices import Notices
    from tunekit.training import run_trial

    def tell(report: EpochReport) -> None:
        loss = f"loss {report.metrics['train/loss']:.4f}  " if "train/loss" in report.metrics else ""
        dev = percent(report.value, decimals=2)
        console.print(f"epoch {report.epoch:3}  {loss}dev {dev}  {report.duration_s:.1f} s")

    say = partial(console.print, markup=False, soft_wrap=True)
    say(f"trial {config.trial_id}: {config.method} on {config.task.name}, seed {config.seed}, in {folder.path}")
    with listening(Notices(say).take):
        outcome = run_trial(config, folder=folder.path, locations=locations, test=test, on_epoch=tell)
    _note_locations(folder, locations)
    if outcome.state == "FAILED":
        say(f"FAILED: {outcome.reason}")
        return UNFINISHED
    say(f"{outcome.state}: best dev {percent(outcome.value or 0, decimals=2)} at epoch {outcome.best_epoch}")
    for key, value in outcome.metrics.items():
        if key.startswith(("dev/", "test/")):
            is_score = key.rpartition("/")[2] not in FIGURES
            say(f"  {key:28} {percent(value, decimals=2) if is_score else f'{value:.4g}'}")
    say(f"written: {folder.outcome}")
    return DONE


def _note_locations(folder: TrialFolder, locations: Locations) -> None:
    """Keep in the trial's folder where its data and backbone are, as absolute paths, for ``tunekit export``.

    A path that begins with a variable or ``~`` is kept as it was written.
    """
    found = to_json(locations)
    for key, value in found.items():
        if value is not None and (key.endswith("_dir") or key == "backbone_path") and not value.startswith(("$", "~")):
            found[key] = str(Path(value).absolute())
    write_json(folder.locations, found)

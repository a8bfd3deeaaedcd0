"""One configuration in this process, from a YAML file to an outcome, without Ray and without a journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from tunekit.config import ConfigError, EpochReport, Locations, TrialConfig, build, nearest, to_json
from tunekit.sweep import read_yaml
from tunekit.sweep.model import field_names, method_config_class


def load_trial(path: Path) -> tuple[TrialConfig, Locations]:
    """Read a configuration as ``tunekit best`` prints it: a TrialConfig's blocks, and `locations`.

    Options and training settings that are left out take their defaults.

    Raises:
        ConfigError: anything is wrong with it; names file and key.
    """
    content, _ = read_yaml(path)
    valid = (*field_names(TrialConfig), "locations")
    for key in content:
        if key not in valid:
            raise ConfigError(f"{path}: unknown key {key!r}; {nearest(key, valid)}")
    locations = build(Locations, content.pop("locations", None) or {}, f"{path}: locations")
    config = build(TrialConfig, content, str(path))
    options = build(method_config_class(config.method), config.options, f"{path}: options")
    return build(TrialConfig, {**to_json(config), "options": to_json(options)}, str(path)), locations


def run_solo(config: TrialConfig, locations: Locations, folder: Path, *, test: bool) -> int:
    """Run it and print each epoch and the outcome; the exit code of the command line."""
    from tunekit.training import run_trial

    console = Console(highlight=False)
    console.print(f"trial {config.trial_id}: {config.method} on {config.task.name}, seed {config.seed}, in {folder}")

    def tell(report: EpochReport) -> None:
        loss = report.metrics.get("train/loss", float("nan"))
        dev = 100 * report.value
        console.print(f"epoch {report.epoch:3}  loss {loss:.4f}  dev {dev:.2f}  {report.duration_s:.1f} s")

    outcome = run_trial(config, folder=folder, locations=locations, test=test, on_epoch=tell)
    if outcome.state == "FAILED":
        console.print(f"FAILED: {outcome.reason}")
        return 1
    console.print(f"{outcome.state}: best dev {100 * (outcome.value or 0):.2f} at epoch {outcome.best_epoch}")
    for key, value in _scores(outcome.metrics):
        console.print(f"  {key:28} {100 * value:.2f}")
    console.print(f"written: {folder / 'outcome.json'}")
    return 0


def _scores(metrics: Any) -> list[tuple[str, float]]:
    return [(key, value) for key, value in metrics.items() if key.startswith(("dev/", "test/"))]

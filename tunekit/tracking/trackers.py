"""What every tracker can do, and where each is made. Each keeps to its own client's words and files."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tunekit.errors import ConfigError
from tunekit.storage import SweepFolder
from tunekit.sweep import Sweep, TrackingConfig

if TYPE_CHECKING:
    from tunekit.tracking.history import SweepHistory, TrialHistory

PACKAGES = {"mlflow": "mlflow", "wandb": "wandb"}
"""The module that a tracker needs; the extra of tunekit that brings it has the tracker's name."""


class Tracker(Protocol):
    """Shows a sweep somewhere else. Called by one thread, one call at a time; may raise whatever its client raises."""

    @property
    def name(self) -> str:
        """As in the sweep file."""

    @property
    def takes_unfinished(self) -> bool:
        """Whether it shows a trial while it runs; else it is told of a trial when that has ended."""

    @property
    def place(self) -> str:
        """Where a person finds what it was told, and how to open it."""

    def begin(self, history: SweepHistory) -> None:
        """Find what it holds of the sweep, or make room for it. Called again after each failure."""

    def bring_up(self, trial: TrialHistory) -> str | int | None:
        """Take what is new of a trial, so that it holds each step once.

        Args:
            trial: with `is_new`, all of it, and the tracker may hold any part; else it holds what it took before.

        Returns:
            What it wants to remember of the trial.
        """

    def end(self, history: SweepHistory, *, is_done: bool) -> None:
        """The sweep is done, or goes on another time."""

    def hand_in(self, report: Path) -> None:
        """Keep the files of a report, if it has a place for them; after `end`."""


def made(name: str, folder: SweepFolder, config: TrackingConfig) -> Tracker:
    """The tracker called `name`; its client is loaded when it begins."""
    if name == "tensorboard":
        from tunekit.tracking.tensorboard import TensorBoard

        return TensorBoard(folder)
    if name == "mlflow":
        from tunekit.tracking.mlflow import Mlflow

        return Mlflow(folder, config.mlflow)
    from tunekit.tracking.wandb import Wandb

    return Wandb(folder, config.wandb)


def places(sweep: Sweep, folder: SweepFolder) -> tuple[str, ...]:
    """Where each tracker of `sweep` shows it, and how to open it.

    Raises:
        ConfigError: a variable that one of them names is not set.
    """
    return tuple(made(name, folder, sweep.tracking).place for name in sweep.tracking)


def require_installed(names: Iterable[str]) -> None:
    """Refuse trackers whose package is not there.

    Raises:
        ConfigError: one is missing; names it and how to install it.
    """
    for name in names:
        if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None:
            raise ConfigError(
                f"tracking: {name} needs a package that is not installed; install it with: pip install "
                f"'tunekit[{name}]' (or leave {name} out of `tracking`)"
            )


def usable(sweep: Sweep, folder: SweepFolder) -> tuple[str, ...]:
    """The trackers that `sweep` asks for, which can all be used here.

    Raises:
        ConfigError: the package, the key or the address of one is missing.
    """
    names = tuple(sweep.tracking)
    require_installed(names)
    require_keys(names, folder, sweep.tracking)
    places(sweep, folder)
    return names


def require_keys(names: Iterable[str], folder: SweepFolder, config: TrackingConfig) -> None:
    """Refuse trackers that have no key to be told with.

    Raises:
        ConfigError: one lacks it; says what to do.
    """
    if "wandb" in names:
        from tunekit.tracking.wandb import Wandb

        Wandb(folder, config.wandb).require_key()

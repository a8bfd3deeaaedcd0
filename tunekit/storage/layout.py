"""Where everything of a sweep is: each path by name.

======================  ===============================================================================
``journal.jsonl``       what happened; the only truth
``lock``                held by the driver
``sweep.yaml``          the sweep file as it is run, paths absolute
``logs/driver.log``     what the driver and its libraries print
``report/``             tables and configurations
``trials/TRIAL_ID/``    a trial's checkpoints, outcome, test scores and predictions
``test_examples/``      what trials were asked on test, once for each language
``tensorboard/``        the same as the journal, for TensorBoard
``wandb/``              the same for W&B, if the sweep asks for it
======================  ===============================================================================

In an object store ``journal/`` and ``lock/`` stand in the place of the first two, and ``driver.log`` is a copy that is
sent at the end of a run: it is written on the driver's machine, below :func:`tunekit.storage.cache_folder`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tunekit.errors import ConfigError, nearest, quoted
from tunekit.storage import objects
from tunekit.storage.digests import cache_folder
from tunekit.storage.places import AnyPath, own_folder, place

JOURNAL = "journal.jsonl"
"""The journal's name in a folder."""
LOG = "logs/driver.log"
SEGMENTS = "journal"
"""The prefix of its segments in an object store."""
TRIALS = "trials"
"""The folder of a sweep that holds those of its trials."""
BYTES_AT_WORK = 40
"""Of a trial's folder for each trained parameter, in fp32: three checkpoints of it and of two moments of the optimiser
(the last, the one before, and the next, which is written beside them), and its best value."""


def bytes_at_work(num_parameters: float) -> int:
    """What a trial with so many trained parameters has on the disk at most while it runs."""
    return int(BYTES_AT_WORK * num_parameters)


@dataclass(frozen=True)
class TrialFolder:
    """The files of one trial."""

    path: AnyPath

    @property
    def last(self) -> AnyPath:
        """After each epoch: all that is needed to go on; deleted when the trial has finished."""
        return self.path / "last.pt"

    @property
    def previous(self) -> AnyPath:
        """What `last` was before: used if `last` is torn or not there yet, and deleted with it."""
        return self.path / "previous.pt"

    @property
    def best(self) -> AnyPath:
        """Trained parameters at the best epoch on dev."""
        return self.path / "best.pt"

    @property
    def outcome(self) -> AnyPath:
        """Once finished: the outcome, the reports of all epochs and the configuration."""
        return self.path / "outcome.json"

    @property
    def test(self) -> AnyPath:
        """Once scored on test: the scores."""
        return self.path / "test.json"

    @property
    def predictions(self) -> AnyPath:
        """Beside the scores: what was predicted for each test example."""
        return self.path / "test_predictions.json.gz"

    def test_examples(self, name: str) -> AnyPath:
        """Examples that the trial was asked on test: beside all trials of its sweep; in its own folder without one."""
        own = self.path if self.path.parent.name != TRIALS else self.path.parent.parent
        return own / "test_examples" / f"{part_of_a_path(name)}.json.gz"

    @property
    def locations(self) -> AnyPath:
        """Where data and backbone were, for a trial outside any sweep."""
        return self.path / "locations.json"

    @property
    def export(self) -> AnyPath:
        """The folder of an exported adapter, for a trial that is exported by itself."""
        return self.path / "export"

    @property
    def log(self) -> Path:
        """What the trial and its libraries print, for a trial outside any sweep; on this machine."""
        return own_folder(self.path, cache_folder()) / "trial.log"

    @property
    def sweep(self) -> SweepFolder:
        """The sweep that the trial belongs to, if it belongs to one."""
        return SweepFolder((self.path.resolve() if isinstance(self.path, Path) else self.path).parents[1])


@dataclass(frozen=True)
class SweepFolder:
    """The files of one sweep."""

    path: AnyPath

    @property
    def name(self) -> str:
        """The sweep's name: the last part of its path."""
        is_named = self.path.name not in ("", "..") or not isinstance(self.path, Path)
        return self.path.name if is_named else self.path.resolve().name

    @property
    def journal(self) -> AnyPath:
        """What happened: a file, or the prefix of its segments."""
        return self.path / (JOURNAL if isinstance(self.path, Path) else SEGMENTS)

    @property
    def lock(self) -> AnyPath:
        """Held by the driver."""
        return self.path / "lock"

    @property
    def sweep_file(self) -> AnyPath:
        """The sweep file as it is run."""
        return self.path / "sweep.yaml"

    @property
    def driver_log(self) -> Path:
        """What the driver and its libraries print, on the driver's machine."""
        return own_folder(self.path, cache_folder()) / LOG

    @property
    def kept_driver_log(self) -> AnyPath:
        """The same, where the sweep is: in an object store a copy, made at the end of a run."""
        return self.path / LOG

    @property
    def report(self) -> AnyPath:
        """The folder of tables and configurations."""
        return self.path / "report"

    @property
    def optuna(self) -> Path:
        """A copy of the searches as an Optuna storage, on this machine."""
        return own_folder(self.path, cache_folder()) / "optuna.db"

    @property
    def tensorboard(self) -> Path:
        """What TensorBoard reads, one folder for each trial, on this machine; made of the journal alone."""
        return own_folder(self.path, cache_folder()) / "tensorboard"

    @property
    def mlflow(self) -> Path:
        """The folder of MLflow's ``mlflow.db`` where no server is named: beside the sweeps, which share it."""
        return own_folder(self.path, cache_folder()).absolute().parent

    @property
    def wandb(self) -> Path:
        """The folder in which W&B keeps its runs, on this machine."""
        return own_folder(self.path, cache_folder()) / "wandb"

    def export(self, arm: str | None) -> AnyPath:
        """The folder of an exported adapter."""
        return self.path / "export" / (part_of_a_path(arm) if arm else "")

    def trial(self, trial_id: str) -> TrialFolder:
        """The folder of a trial."""
        return TrialFolder(self.path / TRIALS / part_of_a_path(trial_id))

    @property
    def exists(self) -> bool:
        """Whether a sweep was launched here; not yet if its journal is still empty."""
        path = self.journal
        if not isinstance(path, Path):
            return bool(objects.names(path))
        return path.is_file() and path.stat().st_size > 0


def part_of_a_path(name: str) -> str:
    """`name`, which becomes one part of a path and so must not lead out of its folder.

    Names in a sweep file are checked when it is read; a journal may come from elsewhere.

    Raises:
        ConfigError: it is no name for a file.
    """
    if name in ("", ".", "..") or any(sign in "/\\" or not sign.isprintable() for sign in name):
        raise ConfigError(f"{quoted(name)} cannot name a file or a folder; was the journal written by tunekit?")
    return name


def sweep_folders(root: AnyPath) -> list[SweepFolder]:
    """The folders of the sweeps under `root`, by name."""
    if isinstance(root, Path):
        found = [SweepFolder(path.parent) for path in sorted(root.glob(f"*/{JOURNAL}"))]
    else:
        found = [SweepFolder(root / name) for name in objects.names(root)]
    return [folder for folder in found if folder.exists]


def sweep_folder(name: str, root: AnyPath) -> SweepFolder:
    """The folder of a sweep given by name or path.

    Raises:
        ConfigError: there is none.
    """
    for path in (place(name),) if "://" in name else (root / name, place(name)):
        if SweepFolder(path).exists:
            return SweepFolder(path)
    known = [folder.name for folder in sweep_folders(root)]
    if not known:
        raise ConfigError(f"no sweep {name!r}; there are none under {root}; start one with: tunekit sweep FILE")
    raise ConfigError(f"no sweep {name!r} under {root}; {nearest(name, known)}")

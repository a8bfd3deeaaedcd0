"""Weights & Biases' runs: one for each trial, written when the trial has ended.

A run of W&B is a file and several threads of its own client, so none is kept open while trials run: each is opened,
filled and closed at once, with a step for each epoch. Offline, a run is a folder that ``wandb sync`` sends later. A
file of ours in the folder says that the run is whole; what a killed driver has left without it is written again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunekit.errors import ConfigError
from tunekit.storage import SweepFolder, make_folder, read_json, remove_folder, write_json
from tunekit.sweep import WandbConfig
from tunekit.tracking.history import SweepHistory, TrialHistory
from tunekit.wording import one_line, printable

if TYPE_CHECKING:
    from wandb import Run

PROJECT = "tunekit"
"""The project of sweeps that name none."""
WHOLE = "tunekit.json"
"""Our file in the folder of a whole run: what it holds."""
SETTINGS = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
"""Variables that its client reads, set where the user has not: no errors are reported to its makers."""


class Wandb:
    """Writes the runs of one sweep."""

    name = "wandb"
    takes_unfinished = False

    def __init__(self, folder: SweepFolder, config: WandbConfig | None) -> None:
        self._config = config or WandbConfig()
        self._folder, self._name = folder.wandb, folder.name
        self._sweep_id = ""
        self._whole: dict[str, dict[str, object]] = {}
        """What the runs hold that were there when it began, by trial_id."""

    @property
    def place(self) -> str:
        """Where its runs are."""
        if self._mode == "offline":
            return f"{self._folder}; send them with: wandb sync {self._folder}/offline-run-*"
        return f"W&B's project {self._project}, group {self._name}"

    @property
    def _project(self) -> str:
        return self._config.project or os.environ.get("WANDB_PROJECT") or PROJECT

    @property
    def _mode(self) -> Literal["online", "offline"]:
        named = self._config.mode or os.environ.get("WANDB_MODE")
        return "offline" if named in ("offline", "dryrun") else "online"

    def require_key(self) -> None:
        """Refuse to run online without a key: the client would ask for one, in the middle of a sweep.

        Raises:
            ConfigError: there is none.
        """
        if self._mode == "offline":
            return
        import wandb

        try:  # whether the key is right, the server says later; a sweep begins without waiting for it
            has_key = wandb.login(prompt=False, verify=False)
        except wandb.errors.Error as error:
            raise ConfigError(f"tracking: wandb cannot use its key: {one_line(str(error))}") from error
        if not has_key:
            raise ConfigError(
                "tracking: wandb has no key to run online with; run `wandb login` or set WANDB_API_KEY, or write "
                "`tracking: {wandb: {mode: offline}}` and send the runs later with `wandb sync`"
            )

    def begin(self, history: SweepHistory) -> None:
        """Find the runs that are there, and remove those that a killed driver did not finish."""
        for key, value in SETTINGS.items():
            os.environ.setdefault(key, value)
        self.require_key()
        self._sweep_id, self._whole = history.sweep_id, {}
        make_folder(self._folder)
        trials = {self._run_id(trial): trial for trial in history.trials.values()}
        for run in sorted(self._folder.glob("*run-*-*")):
            trial = trials.get(run.name.removeprefix("offline-").split("-")[2])  # run-TIME-ID, and perhaps a part
            if trial is not None:
                self._look_at(trial, run)

    def _look_at(self, trial: TrialHistory, run: Path) -> None:
        """Note what a run holds; one that is not whole, or of an end that was taken back, is removed."""
        held = read_json(run / WHOLE)
        if held is not None and held.get("state") == trial.state:
            before = self._whole.get(trial.trial_id, {})
            is_tested = bool(held.get("tested") or before.get("tested"))
            self._whole[trial.trial_id] = {"state": trial.state, "tested": is_tested}
        elif run.name.startswith("offline-"):
            remove_folder(run)

    def bring_up(self, trial: TrialHistory) -> str:
        """Write the run of an ended trial; its test scores go to a second part of it, if they came later."""
        held = self._whole.pop(trial.trial_id, {})
        assert trial.end is not None
        has_run = not trial.is_new or held.get("state") == trial.state
        has_test = trial.has_test or held.get("tested") is True
        if not has_run:
            self._write(trial, part="")
        elif trial.test is not None and not has_test:
            self._write(trial, part="test")
        return trial.trial_id

    def end(self, history: SweepHistory, *, is_done: bool) -> None:
        """Nothing is left to do: every run is closed."""

    def hand_in(self, report: Path) -> None:
        """A report has no place there."""

    def _run_id(self, trial: TrialHistory) -> str:
        """Trials of equal configurations have one name in all sweeps; their runs must not."""
        return f"{self._sweep_id[:6]}{trial.trial_id}"

    def _write(self, trial: TrialHistory, *, part: str) -> None:
        """Open a run, fill it, close it, and say that it is whole.

        Args:
            trial: which.
            part: empty for the whole run, ``test`` to add test scores to one that is there.
        """
        run = self._open(trial, part)
        folder = Path(run.settings.sync_dir)
        assert trial.end is not None
        if not part:
            for epoch in trial.epochs:
                run.log(dict(epoch.values), step=epoch.number)
            run.summary.update({"state": trial.state, "best_epoch": trial.end.best_epoch, "value": trial.end.value})
            if trial.end.reason:
                run.summary["reason"] = printable(trial.end.reason, limit=1_000)
        if trial.test is not None:
            run.summary.update(dict(trial.test.scores))
        run.finish(exit_code=int(trial.state == "FAILED"))
        held = {"trial_id": trial.trial_id, "state": trial.state, "tested": trial.test is not None}
        write_json(folder / WHOLE, held)

    def _open(self, trial: TrialHistory, part: str) -> Run:
        import wandb

        settings = wandb.Settings(
            console="off", disable_git=True, save_code=False, silent=True, x_disable_stats=True,
            x_disable_meta=True, x_sync_dir_suffix=part,
        )  # fmt: skip
        draw = {} if trial.draw is None else {"draw": trial.draw}
        config = {"arm": trial.arm, "method": trial.method, "seed": trial.seed, **draw, **trial.params}
        more = {"point": trial.number, "point_id": trial.point_id, "trial_id": trial.trial_id, "phase": trial.phase}
        return wandb.init(
            project=self._project,
            entity=self._config.entity,
            mode=self._mode,
            dir=self._folder.parent,
            id=self._run_id(trial),
            name=f"{trial.arm}/{trial.label}",
            group=self._name,
            job_type=trial.arm,
            tags=[trial.arm[:64], trial.phase],
            config=json.loads(json.dumps({**config, "tunekit": more})),
            reinit="create_new",
            resume="allow" if self._mode == "online" else None,
            settings=settings,
        )

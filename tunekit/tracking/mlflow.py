"""MLflow's runs: one for the sweep, and below it one for each trial, with a step for each epoch.

Runs are found again by their tags, and steps by MLflow's own history of each metric, so whatever a killed driver has
sent is neither lost nor sent twice. Nothing of MLflow's global state (an active run, a tracking URI) is used.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tunekit.errors import TrackerError
from tunekit.storage import SweepFolder, put_new
from tunekit.sweep import MlflowConfig
from tunekit.tracking.history import SweepHistory, TrialHistory
from tunekit.trial import path_here
from tunekit.wording import printable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

EXPERIMENT = "tunekit"
"""The experiment of sweeps that name none."""
DATABASE = "mlflow.db"
"""Of runs for which no server is named."""
MOST_METRICS, MOST_RUNS = 900, 1_000
"""In one request, at most."""
OURS = "tunekit."
"""How the names of our tags begin."""
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
"""Variables that MLflow reads, set where the user has not: nothing is reported to its makers, no run prints a line
with its address, and a server that is down is known to be down in a minute."""
_STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAILED": "FAILED"}


class Mlflow:
    """Writes the runs of one sweep."""

    name = "mlflow"
    takes_unfinished = True

    def __init__(self, folder: SweepFolder, config: MlflowConfig | None) -> None:
        config = config or MlflowConfig()
        self._folder, self._name = folder, folder.name
        self._experiment = config.experiment or EXPERIMENT
        named = config.uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._uri = path_here(named) if named else f"sqlite:///{folder.mlflow / DATABASE}"
        self._is_own = not named
        self._known: dict[str, Run] = {}
        """Runs that were there when it began, by trial_id."""
        self._parent_id = ""

    @property
    def place(self) -> str:
        """How to open it."""
        if self._is_own:
            return f"mlflow ui --backend-store-uri {self._uri}   (experiment {self._experiment})"
        return f"MLflow's experiment {self._experiment}"  # the address may hold a password

    def begin(self, history: SweepHistory) -> None:
        """Find the runs of the sweep, or make the one that stands for all of it."""
        self._client = self._connected()
        self._experiment_id = self._find_experiment()
        self._sweep_id, runs = history.sweep_id, list(self._runs(history.sweep_id))
        parents = [run for run in runs if "trial_id" not in _ours(run)]
        parent = parents[0] if parents else self._make_parent(history)
        self._parent_id = parent.info.run_id
        self._log_params(self._parent_id, _params_of_sweep(history), parent)
        if parent.info.status != "RUNNING":
            self._client.update_run(self._parent_id, status="RUNNING")
        self._known = {}
        for run in (run for run in runs if "trial_id" in _ours(run)):
            if self._known.setdefault(_ours(run)["trial_id"], run) is not run:
                self._client.delete_run(run.info.run_id)  # made twice, because the first answer was lost

    def bring_up(self, trial: TrialHistory) -> str:
        """Send what is new; gives the run's name."""
        run_id, known = str(trial.handle or ""), None
        if trial.is_new:
            known = self._known.pop(trial.trial_id, None)
            run_id = known.info.run_id if known is not None else self._make_run(trial)
            self._log_params(run_id, _params_of(trial), known)
        if known is not None and _is_whole(known, trial):
            return run_id
        metrics = list(_metrics(trial))
        if known is not None and metrics:
            metrics = self._lacking(known, metrics)
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + MOST_METRICS])
        self._say_how_it_stands(run_id, trial, known)
        return run_id

    def end(self, history: SweepHistory, *, is_done: bool) -> None:
        """Say of the sweep's run that it is over, or that it was stopped."""
        end_ms = int(1000 * history.last_event_at)
        self._client.set_terminated(self._parent_id, "FINISHED" if is_done else "KILLED", end_ms)

    def hand_in(self, report: Path) -> None:
        """Put the report's files beside the sweep's run."""
        self._client.log_artifacts(self._parent_id, str(report), "report")

    # -- finding and making runs ---------------------------------------------------------------------------------

    def _connected(self) -> MlflowClient:
        for key, value in SETTINGS.items():
            os.environ.setdefault(key, value)
        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.WARNING)  # a new database tells of each of its tables
        from mlflow import MlflowClient

        if self._is_own:
            self._make_database()
        return MlflowClient(tracking_uri=self._uri)

    def _make_database(self) -> None:
        """Make the database whole before anybody uses it: one whose tables a kill left half made is of no use."""
        from mlflow import MlflowClient

        path = self._folder.mlflow / DATABASE
        if path.exists():
            return
        with TemporaryDirectory(prefix="tunekit-") as scratch:
            made = Path(scratch) / DATABASE
            MlflowClient(tracking_uri=f"sqlite:///{made}").search_experiments()
            put_new(made, path)

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            place = (self._folder.mlflow / "mlartifacts").as_uri() if self._is_own else None
            try:
                return str(self._client.create_experiment(self._experiment, artifact_location=place))
            except MlflowException:  # another sweep has just made it
                found = self._client.get_experiment_by_name(self._experiment)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise TrackerError(
                f"MLflow's experiment {self._experiment!r} is deleted; restore it, or name another by "
                "tracking.mlflow.experiment"
            )
        return str(found.experiment_id)

    def _runs(self, sweep_id: str) -> Iterator[Run]:
        """The runs of the sweep that are there, oldest first."""
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                f"tags.`{OURS}sweep_id` = '{sweep_id}'",
                max_results=MOST_RUNS,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _make_parent(self, history: SweepHistory) -> Run:
        sweep = history.sweep
        tags = {"sweep": self._name, "sweep_id": self._sweep_id, "arms": ", ".join(arm.name for arm in sweep.arms)}
        tags["version"] = str(history.versions.get("tunekit", "unknown"))
        return self._create(history.launched_at, self._name, tags)

    def _make_run(self, trial: TrialHistory) -> str:
        draw = {} if trial.draw is None else {"draw": str(trial.draw)}
        tags = {"sweep": self._name, "sweep_id": self._sweep_id, "trial_id": trial.trial_id, "arm": trial.arm}
        tags |= {"point": str(trial.number), "point_id": trial.point_id, "seed": str(trial.seed), **draw}
        tags |= {"phase": trial.phase, "state": "RUNNING"}
        name = f"{trial.arm}/{trial.label}"
        run = self._create(trial.created_at, name, tags, {"mlflow.parentRunId": self._parent_id})
        return str(run.info.run_id)

    def _create(self, start: float, name: str, tags: Mapping[str, str], more: Mapping[str, str] | None = None) -> Run:
        tags = {**{f"{OURS}{key}": value for key, value in tags.items()}, **(more or {})}
        return self._client.create_run(self._experiment_id, int(1000 * start), tags, run_name=name)

    def _log_params(self, run_id: str, params: Mapping[str, object], known: Run | None) -> None:
        """Send the parameters that a run lacks; one whose driver was killed right after it was made has none."""
        from mlflow.entities import Param

        held = {} if known is None else known.data.params
        lacking = [Param(key, str(value)) for key, value in params.items() if key not in held]
        if lacking:
            self._client.log_batch(run_id, params=lacking)

    # -- what a run lacks ----------------------------------------------------------------------------------------

    def _lacking(self, run: Run, metrics: list[Metric]) -> list[Metric]:
        """Those of `metrics` that a run of an earlier process does not hold."""
        held = {
            (key, metric.step)
            for key in {metric.key for metric in metrics} & run.data.metrics.keys()
            for metric in self._client.get_metric_history(run.info.run_id, key)
        }
        return [metric for metric in metrics if (metric.key, metric.step) not in held]

    def _say_how_it_stands(self, run_id: str, trial: TrialHistory, known: Run | None) -> None:
        """State and status, after the metrics: who reads them finds all of the run."""
        if trial.end is None:
            if known is not None and known.info.status != "RUNNING":  # it had failed, and is tried again
                self._client.update_run(run_id, status="RUNNING")
                self._client.set_tag(run_id, f"{OURS}state", "RUNNING")
            return
        from mlflow.entities import RunTag

        tags = _at_the_end(trial)
        if trial.end.reason:
            tags["reason"] = printable(trial.end.reason, limit=1_000)
        self._client.log_batch(run_id, tags=[RunTag(f"{OURS}{key}", value) for key, value in tags.items()])
        if not trial.has_end:
            self._client.set_terminated(run_id, _STATUS[trial.end.state], int(1000 * trial.end.time))


def _ours(run: Run) -> dict[str, str]:
    """Our tags of a run."""
    return {key.removeprefix(OURS): value for key, value in run.data.tags.items() if key.startswith(OURS)}


def _at_the_end(trial: TrialHistory) -> dict[str, str]:
    """Tags that are written after all metrics."""
    return {"state": trial.state, "num_epochs": str(trial.num_epochs), "tested": str(trial.test is not None)}


def _is_whole(run: Run, trial: TrialHistory) -> bool:
    """Whether a run of an earlier process holds all of an ended trial, its status too."""
    tags, is_closed = _ours(run), trial.end is not None and run.info.status == _STATUS[trial.end.state]
    return is_closed and all(tags.get(key) == value for key, value in _at_the_end(trial).items())


def _metrics(trial: TrialHistory) -> Iterator[Metric]:
    """What is new of a trial, as MLflow takes it."""
    from mlflow.entities import Metric

    for epoch in trial.epochs:
        for key, value in epoch.values.items():
            yield Metric(_key(key), float(value), int(1000 * epoch.time), epoch.number)
    if trial.test is not None and not trial.has_test:
        for key, value in trial.test.scores.items():
            yield Metric(_key(key), float(value), int(1000 * trial.test.time), trial.test.epoch)


def _key(name: str) -> str:
    """The name of a metric, such as ``test/zh(tw)/accuracy``, with ``_`` for the signs that MLflow refuses."""
    return re.sub(r"[^/\w.\- :]", "_", name)


def _params_of(trial: TrialHistory) -> dict[str, object]:
    draw = {} if trial.draw is None else {"draw": trial.draw}
    return {"arm": trial.arm, "method": trial.method, "seed": trial.seed, **draw, **trial.params}


def _params_of_sweep(history: SweepHistory) -> dict[str, object]:
    sweep = history.sweep
    search = {"searcher": sweep.search.searcher, "num_trials": sweep.search.num_trials}
    return {**search, "scheduler": sweep.scheduler.name, "selection": sweep.selection}

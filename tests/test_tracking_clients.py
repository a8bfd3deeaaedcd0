"""MLflow's and W&B's own clients, offline: what they hold after a sweep, after kills, and what their files say."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from simulation import Killed
from test_tracking import Step, run, small, steps_of_journal

from tunekit.errors import ConfigError
from tunekit.journal import replay
from tunekit.storage import SweepFolder
from tunekit.sweep import MlflowConfig, WandbConfig
from tunekit.tracking import send, usable
from tunekit.tracking.mlflow import Mlflow, _key
from tunekit.tracking.telling import _read
from tunekit.tracking.wandb import Wandb


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the person who runs the tests."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("NETRC", os.devnull)


# -- MLflow ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow makes the tables of a new one in seconds; tests take a copy."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def root(tmp_path: Path, empty_database: Path) -> Path:
    """A folder of sweeps, with MLflow's database beside them."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return tmp_path


def client(root: Path) -> Any:
    """MLflow's own, on the database of `root`."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")


def runs_of_mlflow(root: Path) -> tuple[Any, list[Any]]:
    """The run of the one sweep in `root`, and those of its trials."""
    found = client(root)
    experiment = found.get_experiment_by_name("tunekit")
    runs = list(found.search_runs([experiment.experiment_id], max_results=1000))
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    return parent, children


def steps_of_mlflow(root: Path) -> Counter[Step]:
    """What MLflow has of each trial."""
    found: Counter[Step] = Counter()
    _, children = runs_of_mlflow(root)
    for one in children:
        for key in one.data.metrics:
            history = client(root).get_metric_history(one.info.run_id, key)
            found.update((one.data.tags["tunekit.trial_id"], key, metric.step) for metric in history)
    return found


def test_mlflow_holds_a_run_for_the_sweep_and_one_for_each_trial(root: Path) -> None:
    folder = run(small(["mlflow"], num_trials=3), root / "s", "mlflow")
    parent, children = runs_of_mlflow(root)
    assert (parent.info.run_name, parent.info.status) == ("s", "FINISHED")
    assert parent.data.params["searcher"] == "random"
    trials = replay(folder.path).trials
    assert {run.data.tags["tunekit.trial_id"] for run in children} == trials.keys()
    for one in children:
        trial = trials[one.data.tags["tunekit.trial_id"]]
        tags = {key.removeprefix("tunekit."): value for key, value in one.data.tags.items()}
        assert (tags["arm"], tags["point"], tags["seed"]) == (trial.arm, str(trial.number), str(trial.seed))
        assert (tags["state"], tags["point_id"], tags["sweep"]) == (trial.state, trial.point_id, "s")
        assert one.info.status == "FINISHED" and one.info.run_name == f"{trial.arm}/{trial.number:04d}-{trial.trial_id}"
        assert one.data.params["learning_rate"] == str(trial.params["learning_rate"])
    found = steps_of_mlflow(root)
    assert found == steps_of_journal(folder) and max(found.values()) == 1


class Dying:
    """MLflow's client in a process that is killed at its nth request: before it is sent, or when it is answered."""

    def __init__(self, inner: Any, left: int, *, is_sent: bool) -> None:
        self.inner, self.left, self.is_sent = inner, left, is_sent

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **keywords: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self.is_sent:
                raise Killed
            answer = getattr(self.inner, name)(*args, **keywords)
            if self.left == 0:
                raise Killed
            return answer

        return call


@pytest.mark.parametrize("is_sent", [True, False])
def test_mlflow_holds_each_step_once_whenever_the_driver_was_killed(
    is_sent: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(small([], num_trials=1), root / "s")
    connected = Mlflow._connected
    num_kills = 0
    for left in range(3, 60, 2):
        monkeypatch.setattr(Mlflow, "_connected", lambda self, left=left: Dying(connected(self), left, is_sent=is_sent))
        try:
            send(folder, ["mlflow"], str)
            break
        except Killed:
            num_kills += 1
    monkeypatch.undo()
    assert num_kills >= 3
    send(folder, ["mlflow"], str)
    found = steps_of_mlflow(root)
    assert found == steps_of_journal(folder) and max(found.values()) == 1


def test_a_run_that_mlflow_was_asked_for_twice_is_there_once(root: Path) -> None:
    folder = run(small([], num_trials=1), root / "s")
    tracker, history = Mlflow(folder, None), _read(folder)
    tracker.begin(history)
    trial = next(iter(history.trials.values()))
    tracker._make_run(trial)
    tracker._make_run(trial)
    send(folder, ["mlflow"], str)
    _, children = runs_of_mlflow(root)
    assert Counter(run.data.tags["tunekit.trial_id"] for run in children)[trial.trial_id] == 1


def test_two_sweeps_of_one_name_have_runs_of_their_own(root: Path, empty_database: Path) -> None:
    uri = {"mlflow": {"uri": f"sqlite:///{root}/mlflow.db"}}
    for place in ("a", "b"):
        run(small(uri, num_trials=1), root / place / "s", "mlflow")
    found = client(root)
    runs = found.search_runs([found.get_experiment_by_name("tunekit").experiment_id], max_results=1000)
    assert sum("mlflow.parentRunId" not in run.data.tags for run in runs) == 2


def test_where_mlflow_is_may_be_a_variable_and_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "https://me:pass-word@host")
    tracker = Mlflow(SweepFolder(tmp_path / "s"), MlflowConfig(uri="$OURS"))
    assert tracker._uri == "https://me:pass-word@host" and "pass-word" not in tracker.place
    monkeypatch.delenv("OURS")
    with pytest.raises(ConfigError, match="'OURS' is not set"):
        Mlflow(SweepFolder(tmp_path / "s"), MlflowConfig(uri="$OURS"))
    assert Mlflow(SweepFolder(tmp_path / "s"), None)._uri == f"sqlite:///{tmp_path}/mlflow.db"


# -- W&B -------------------------------------------------------------------------------------------------------------


def records_of_wandb(path: Path) -> Iterator[Any]:
    """The records of a run's file, a log in LevelDB's form: blocks of 32 KiB; CRC, length and kind before each part."""
    from wandb.proto import wandb_internal_pb2

    content, place, whole = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        if not kind:
            return
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def runs_of_wandb(folder: SweepFolder) -> tuple[Counter[Step], dict[str, dict[str, Any]]]:
    """Steps that the runs in `folder` hold, and their summaries by trial."""
    steps: Counter[Step] = Counter()
    summaries: dict[str, dict[str, Any]] = {}
    for path in folder.wandb.glob("offline-run-*/*.wandb"):
        trial_id = ""
        for record in records_of_wandb(path):
            trial_id = record.run.run_id[6:] or trial_id
            items = _items(record.history.item)
            steps.update((trial_id, key, record.history.step.num) for key in items)
            summaries.setdefault(trial_id, {}).update(_items(record.summary.update))
    del summaries[""]  # of records before the run's own
    return steps, summaries


def _items(items: Any) -> dict[str, Any]:
    """Keys and values that are ours; W&B's own begin with a line."""
    found = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}
    return {key: value for key, value in found.items() if not key.startswith("_")}


def test_wandb_writes_a_run_for_each_trial_without_a_network(tmp_path: Path) -> None:
    sweep = small({"tensorboard": False, "wandb": {"mode": "offline"}}, num_trials=1)
    folder = run(sweep, tmp_path / "s", *usable(sweep, SweepFolder(tmp_path / "s")))
    steps, summaries = runs_of_wandb(folder)
    trials = replay(folder.path).trials
    expected = steps_of_journal(folder)
    assert steps == Counter({step: number for step, number in expected.items() if not step[1].startswith("test/")})
    for trial_id, trial in trials.items():
        assert summaries[trial_id]["state"] == trial.state
        tested = {key: value for key, value in summaries[trial_id].items() if key.startswith("test/")}
        assert tested == (trial.test_scores or {})

    before = sorted(path.name for path in folder.wandb.glob("offline-run-*"))
    killed = next(folder.wandb.glob("offline-run-*/tunekit.json"))
    killed.unlink()  # a driver that was killed before the run was whole
    send(folder, [], str)
    after = sorted(path.name for path in folder.wandb.glob("offline-run-*"))
    assert len(set(before) - set(after)) <= 1 and len(after) == len(before)
    assert runs_of_wandb(folder) == (steps, summaries)


def test_wandb_gets_test_scores_that_come_later_and_no_epoch_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from builders import JournalBuilder, definition

    monkeypatch.setenv("WANDB_MODE", "offline")
    built = JournalBuilder(tmp_path / "s", definition())
    trial_id = built.complete("finetune", {"learning_rate": 1e-3}, 0.8)
    unfinished = built.create("finetune", {"learning_rate": 2e-3})
    built.report(unfinished, [0.5])
    folder = SweepFolder(tmp_path / "s")
    send(folder, ["wandb"], str)
    steps, summaries = runs_of_wandb(folder)
    assert {step[0] for step in steps} == {trial_id}, "a run is written when its trial has ended"
    built.test(trial_id, {"en": 0.7})
    send(folder, ["wandb"], str)
    send(folder, ["wandb"], str)
    assert len(list(folder.wandb.glob("offline-run-*"))) == 2
    later, more = runs_of_wandb(folder)
    assert later == steps and max(later.values()) == 1
    assert more[trial_id] == {**summaries[trial_id], "test/en/accuracy": 0.7, "test/en/other": 0.35}


def test_wandb_without_a_key_is_refused_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(wandb, "login", lambda *, prompt, verify: prompt or verify)
    with pytest.raises(ConfigError, match=r"wandb has no key .*mode: offline"):
        usable(small(["wandb"]), SweepFolder(tmp_path / "s"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert usable(small(["wandb"]), SweepFolder(tmp_path / "s")) == ("wandb",)
    assert "wandb sync" in Wandb(SweepFolder(tmp_path / "s"), WandbConfig()).place


def test_wandbs_server_is_not_asked_before_a_sweep_begins_and_a_key_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    def refuse(**_: object) -> None:
        raise wandb.errors.UsageError("the key must have 40 characters or more")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert usable(small(["wandb"]), SweepFolder(tmp_path / "s")) == ("wandb",)
    monkeypatch.setattr(wandb, "login", refuse)
    with pytest.raises(ConfigError, match="wandb cannot use its key: the key must have 40"):
        usable(small(["wandb"]), SweepFolder(tmp_path / "s"))


def test_a_run_of_mlflow_that_a_kill_left_without_parameters_gets_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Mlflow, "_log_params", lambda *_: None)
        folder = run(small(["mlflow"], num_trials=2), root / "s", "mlflow")
    assert not any(one.data.params for one in runs_of_mlflow(root)[1])
    send(folder, ["mlflow"], str)
    parent, children = runs_of_mlflow(root)
    assert parent.data.params["searcher"] == "random"
    assert all("learning_rate" in one.data.params for one in children)
    assert max(steps_of_mlflow(root).values()) == 1


def test_a_language_whose_name_mlflow_refuses_is_sent_under_another() -> None:
    from mlflow.utils.validation import _validate_metric_name

    name = _key("test/zh(tw)/accuracy")
    _validate_metric_name(name)
    assert name == "test/zh_tw_/accuracy" and _key("dev/en/f1") == "dev/en/f1"

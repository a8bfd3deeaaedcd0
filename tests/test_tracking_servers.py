"""TensorBoard and MLflow as a person opens them: their own servers, asked over HTTP what they show of a sweep; and a
driver that is really killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from local_cluster import free_port
from test_tracking import run, small, steps_of_journal, steps_of_tensorboard

from tunekit.journal import replay
from tunekit.storage import SweepFolder
from tunekit.tracking import send

pytestmark = pytest.mark.slow


@contextmanager
def served(*words: str, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process of its own, ended with all that it started."""
    environment = {**os.environ, **variables}
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [sys.executable, *words], stdout=said, stderr=said, env=environment, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def asked(process: subprocess.Popen[bytes], address: str, content: Any = None) -> Any:
    """What a server answers, once it does; JSON as values."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read().decode()
                return json.loads(text) if "json" in response.headers["Content-Type"] else text
        except OSError as error:
            assert process.poll() is None and time.monotonic() < end, error
            time.sleep(0.1)


def test_tensorboard_shows_the_curves_and_the_settings_of_a_sweep(tmp_path: Path) -> None:
    folder, port = run(small(), tmp_path / "s", "tensorboard"), free_port()
    words = ("-m", "tensorboard.main", "--logdir", str(folder.tensorboard), "--host", "127.0.0.1", "--port", str(port))
    once = ("--load_fast", "false", "--reload_task", "blocking", "--reload_interval", "0")
    trials = replay(folder.path).trials
    runs = {f"{trial.arm}/{trial.number:04d}-{trial.trial_id}": trial for trial in trials.values()}
    with served(*words, *once, log=tmp_path / "log") as process:
        plugin = f"http://127.0.0.1:{port}/data/plugin"
        tags = asked(process, f"{plugin}/scalars/tags")
        assert tags.keys() == runs.keys()
        for name, trial in runs.items():
            expected = {"objective", "dev/en/accuracy", *(trial.test_scores or {})}
            assert tags[name].keys() == expected
        name, trial = next(iter(runs.items()))
        query = urllib.parse.urlencode({"run": name, "tag": "objective"})
        curve = asked(process, f"{plugin}/scalars/scalars?{query}")
        assert [step for _, step, _ in curve] == list(trial.reports)
        assert [value for _, _, value in curve] == pytest.approx([r.value for r in trial.reports.values()], abs=1e-6)

        columns = asked(process, f"{plugin}/hparams/experiment", {"experimentName": ""})
        settings = {info["name"]: info["type"] for info in columns["hparamInfos"]}
        assert settings["arm"] == "DATA_TYPE_STRING" and settings["learning_rate"] == "DATA_TYPE_FLOAT64"
        assert {"seed", "batch_size", "prompt_length"} < settings.keys()
        wanted = {"allowedStatuses": ["STATUS_SUCCESS"], "startIndex": 0, "sliceSize": 1000, "colParams": []}
        groups = asked(process, f"{plugin}/hparams/session_groups", {"experimentName": "", **wanted})["sessionGroups"]
        shown = {group["sessions"][0]["name"]: group for group in groups}
        assert shown.keys() == runs.keys(), "each trial is a row of the HPARAMS tab"
        assert shown[name]["hparams"]["learning_rate"] == pytest.approx(trial.params["learning_rate"])
        found = {metric["name"]["tag"]: metric["value"] for metric in shown[name]["metricValues"]}
        assert found["objective"] == pytest.approx(list(trial.reports.values())[-1].value, abs=1e-6)


def test_mlflow_shows_the_runs_of_a_sweep(tmp_path: Path) -> None:
    folder, port = run(small([], num_trials=1), tmp_path / "s"), free_port()
    database = f"sqlite:///{tmp_path}/mlflow.db"
    send(folder, ["mlflow"], str)
    words = ("-m", "mlflow", "server", "--backend-store-uri", database, "--host", "127.0.0.1", "--port", str(port))
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }  # its jobs would outlive it
    with served(*words, "--workers", "1", log=tmp_path / "log", **quiet) as process:
        address = f"http://127.0.0.1:{port}"
        assert "<html" in asked(process, address).lower(), "the page of its UI"
        api = f"{address}/ajax-api/2.0/mlflow"
        experiment = asked(process, f"{api}/experiments/get-by-name?experiment_name=tunekit")["experiment"]
        search = {"experiment_ids": [experiment["experiment_id"]], "max_results": 1000}
        runs = asked(process, f"{api}/runs/search", search)["runs"]
        trials = replay(folder.path).trials
        parents = [each for each in runs if "mlflow.parentRunId" not in _tags(each)]
        assert [each["info"]["run_name"] for each in parents] == ["s"]
        children = {_tags(each)["tunekit.trial_id"]: each for each in runs if "mlflow.parentRunId" in _tags(each)}
        assert children.keys() == trials.keys()
        for trial_id, trial in trials.items():
            last = {metric["key"]: metric["value"] for metric in children[trial_id]["data"]["metrics"]}
            assert last["objective"] == list(trial.reports.values())[-1].value
            assert {key: last[key] for key in trial.test_scores or {}} == (trial.test_scores or {})
        # And through that server a second time: nothing is there twice.
        sent_again(folder, address)
        run_id = children[trial_id]["info"]["run_id"]
        query = urllib.parse.urlencode({"run_id": run_id, "metric_key": "objective", "max_results": 1000})
        history = asked(process, f"{api}/metrics/get-history?{query}")["metrics"]
        assert [metric["step"] for metric in history] == list(trial.reports)
        assert len(asked(process, f"{api}/runs/search", search)["runs"]) == len(runs)


def sent_again(folder: SweepFolder, address: str) -> None:
    """`tunekit track` with a server in its environment."""
    words = [sys.executable, "-m", "tunekit", "track", str(folder.path), "--to", "mlflow"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": address, "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=180)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith("mlflow: ") and "experiment tunekit" in done.stdout


def _tags(run: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


def _until(condition: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + 180
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.1)


def test_after_a_real_kill_and_a_resume_each_step_is_there_once(tmp_path: Path, backbone: Path) -> None:
    from test_tracking_clients import steps_of_mlflow

    folder = SweepFolder(tmp_path / "s")
    tests = Path(__file__).parent
    command = [sys.executable, str(tests / "sweep_driver.py"), str(folder.path), str(backbone), "--track", "mlflow"]
    environment = {**os.environ, "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}", "MLFLOW_DISABLE_TELEMETRY": "true"}

    def num_reports() -> int:
        assert isinstance(folder.journal, Path)
        return folder.journal.read_bytes().count(b'"event":"reported"') if folder.exists else 0

    for number in (3, 12):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            _until(lambda number=number: num_reports() >= number, process)  # type: ignore[misc]
            process.kill()
            process.communicate()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    expected = steps_of_journal(folder)
    assert steps_of_tensorboard(folder) == expected and max(expected.values()) == 1
    assert steps_of_mlflow(tmp_path) == expected

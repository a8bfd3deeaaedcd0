"""A sweep on a Ray cluster of two nodes that tunekit did not start, with token authentication on.

Both nodes are on this machine, each a ``ray start`` of its own with a raylet and workers of its own.
"""

from __future__ import annotations

import contextlib
import json
import math
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakes
import pytest
import yaml
from local_cluster import Cluster, family, free_port, processes, signal_all, started, wait_for, without_token
from sweep_driver import tiny_sweep

from tunekit.errors import ConfigError
from tunekit.journal import FILE_NAME, SweepRecord, read_events, replay
from tunekit.schema import to_json
from tunekit.sweep import ResourcesConfig

HERE = Path(__file__).parent
CLI = [sys.executable, "-c", "from tunekit.cli import main; main()"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with started(Cluster) as running:
        yield running


@pytest.mark.ray
@pytest.mark.timeout(600)  # a machine with much else to do takes its time
def test_a_node_killed_half_way_costs_its_trials_at_most_one_epoch_each_and_nothing_else(
    cluster: Cluster, backbone: Path, tmp_path: Path
) -> None:
    second = cluster.start_second()
    folder, log = tmp_path / "sweep", tmp_path / "log"
    methods = ["--method", "fakes:CountedFinetune", "--prompt-method", "fakes:CountedPTuningV2"]
    command = [sys.executable, str(HERE / "sweep_driver.py"), str(folder), str(backbone), "--ray", *methods]
    command += ["--address", cluster.address, "--trials", "5", "--epochs", "24"]
    with log.open("wb") as output:
        driver = subprocess.Popen(command, env=cluster.environment, stdout=output, stderr=output)
    try:
        doomed = _freeze(folder, second.pid, lambda: driver.poll() is not None)
        assert doomed, log.read_text()[-3000:]
        cluster.kill(second)
        assert driver.wait(timeout=240) == 0, log.read_text()[-3000:]
    finally:
        driver.kill()
        driver.wait()

    record, events = replay(folder), list(read_events(folder / FILE_NAME))
    assert len({e["worker"].rpartition("@")[2] for e in events if e["event"] == "started"}) == 2
    finished = [e["trial_id"] for e in events if e["event"] == "finished"]
    assert len(finished) == len(set(finished)) == len(record.trials)
    assert sum(trial.phase == "search" for trial in record.trials.values()) == 10
    assert {trial.state for trial in record.trials.values()} <= {"COMPLETE", "PRUNED"}
    interrupted = {trial_id for trial_id, trial in record.trials.items() if trial.num_interruptions}
    assert interrupted and doomed <= interrupted
    for trial_id, wasted in _wasted_epochs(record, cluster.updates).items():
        assert 0 <= wasted <= (1 if trial_id in interrupted else 0), record.trials[trial_id]


def _freeze(folder: Path, node: int, is_over: Callable[[], bool]) -> set[str]:
    """Stop the node's clock while it trains, one trial or more being finished; gives the trials that it has in hand."""
    while not is_over():
        wait_for(lambda: is_over() or _in_hand(folder, node), what="a trial on the second node")
        signal_all(family(node), signal.SIGSTOP)
        time.sleep(0.5)  # messages that it sent before must have arrived
        doomed = _in_hand(folder, node)
        if doomed:
            return doomed
        signal_all(family(node), signal.SIGCONT)
    return set()


def _in_hand(folder: Path, node: int) -> set[str]:
    """The trials under way on a node, with two epochs behind them; none before another trial is finished."""
    if not (folder / FILE_NAME).exists():
        return set()
    trials = replay(folder).trials
    if all(trial.state == "RUNNING" for trial in trials.values()):
        return set()
    started = (e for e in read_events(folder / FILE_NAME) if e["event"] == "started")
    pids = {e["trial_id"]: int(e["worker"].rpartition(":")[2].partition("@")[0]) for e in started}
    under_way = {t: pid for t, pid in pids.items() if trials[t].state == "RUNNING" and len(trials[t].reports) >= 2}
    members = family(node) if under_way else []
    return {trial_id for trial_id, pid in under_way.items() if pid in members}


def _wasted_epochs(record: SweepRecord, updates: Path) -> dict[str, float]:
    """For each trial the work that was done but did not count, in epochs; exact, batch by batch."""
    done = Counter(updates.read_text().splitlines())
    wasted = {}
    for trial_id, trial in record.trials.items():
        training = trial.config["training"]
        trained = done.pop(f"{training['learning_rate']!r} {trial.seed}")
        wasted[trial_id] = trained / math.ceil(fakes.SIZES["train"] / training["batch_size"]) - len(trial.reports)
    assert not done, "somebody trained what no trial asked for"
    return wasted


@pytest.mark.slow
@pytest.mark.ray
def test_a_cluster_that_does_not_know_our_token_is_one_clear_error(
    cluster: Cluster, backbone: Path, tmp_path: Path
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(to_json(tiny_sweep(backbone).definition)))
    once = {"RAY_NUM_REDIS_GET_RETRIES": "1"}  # Ray asks 20 times, a second apart; one refusal says as much
    wrong = {**cluster.environment, **once, "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    del wrong["RAY_AUTH_TOKEN_PATH"]
    missing = {**cluster.environment, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "nowhere")}
    none = {**without_token(tmp_path), **once, "PYTHONPATH": cluster.environment["PYTHONPATH"]}
    cases = {
        "wrong": (wrong, "a token that we do not have"),
        "missing": (missing, f"cannot be opened or is empty: {tmp_path}/nowhere"),
        "none": (none, "a token that we do not have"),
    }
    runs = {}
    for name, (environment, _) in cases.items():
        where = ["--root", str(tmp_path / "runs"), "--address", cluster.address]
        command = [*CLI, "sweep", str(file), "--name", name, *where]
        pipe = subprocess.PIPE
        runs[name] = subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    for name, (_, expected) in cases.items():
        said, _ = runs[name].communicate(timeout=200)
        assert runs[name].returncode == 2, said
        assert expected in " ".join(said.split()) and cluster.address in said, said
        assert "Traceback" not in said and "gcs_client" not in said, said  # Ray's own complaints are in the log


@pytest.mark.parametrize("form", ["host:port", "auto"])
def test_an_address_where_nobody_answers_is_refused_at_once(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunekit.execution import ray_nodes as nodes

    nobody = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("RAY_ADDRESS", nobody)
    with pytest.raises(ConfigError, match=r"cannot join the Ray cluster at .*: nothing answers there \("):
        nodes.require_reachable(nobody if form == "host:port" else "auto")


@pytest.mark.parametrize("address", ["ray://10.0.0.12:10001", "10.0.0.12", ":6379", "host:port"])
def test_what_is_not_the_address_of_a_cluster_is_refused_with_a_right_one(address: str) -> None:
    from tunekit.execution import ray_nodes as nodes

    with pytest.raises(ConfigError, match=r"is not the address of a cluster.*10\.0\.0\.12:6379"):
        nodes.require_reachable(address)


def test_a_node_that_does_not_see_the_folder_or_runs_another_tunekit_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tunekit.execution import ray_nodes as nodes
    from tunekit.version import __version__

    def view(version: str, *, sees_folder: bool) -> nodes.View:
        return nodes.View(host="there", version=version, sees_folder=sees_folder)

    answers: dict[str, Any] = {"a": None, "b": view(__version__, sees_folder=False)}
    monkeypatch.setattr(nodes, "alive", lambda: [{"NodeID": n, "NodeManagerHostname": f"host-{n}"} for n in answers])
    monkeypatch.setattr(nodes, "ask", lambda node, work, token: answers[node] or work(token))
    monkeypatch.setattr(nodes.ray, "get", lambda answer, timeout: answer)
    with nodes.token_in(tmp_path) as token:
        with pytest.raises(ConfigError, match=rf"node host-b does not see {tmp_path}.*--root"):
            nodes.require_same_world(token)
        answers["b"] = view("0.0.1", sees_folder=True)
        with pytest.raises(ConfigError, match=r"node host-b has tunekit 0\.0\.1"):
            nodes.require_same_world(token)
        del answers["b"]
        nodes.require_same_world(token)
        assert nodes.look(token).sees_folder and not nodes.look(tmp_path / "elsewhere" / token.name).sees_folder
        token.write_text("of another sweep")
        assert not nodes.look(token).sees_folder
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_node_that_ends_while_it_is_asked_is_left_out_and_one_that_cannot_answer_is_refused(
    is_gone: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tunekit.execution import ray_nodes as nodes

    there = ["a", "b"]

    def get(answer: object, timeout: float) -> object:
        if answer is None:
            if is_gone:
                there.remove("b")
            raise RuntimeError("The task is not schedulable")
        return answer

    monkeypatch.setattr(nodes, "alive", lambda: [{"NodeID": n, "NodeManagerHostname": f"host-{n}"} for n in there])
    monkeypatch.setattr(nodes, "ask", lambda node, work, token: None if node == "b" else work(token))
    monkeypatch.setattr(nodes.ray, "get", get)
    refused = pytest.raises(ConfigError, match="node host-b cannot run tunekit: The task is not schedulable")
    with nodes.token_in(tmp_path) as token, contextlib.nullcontext() if is_gone else refused:
        nodes.require_same_world(token)


@pytest.mark.parametrize(
    ("types", "grows"),
    [
        ({"ab12": "node_ab12", "cd34": "node_cd34"}, False),  # started by hand, each a type of its own
        ({"ab12": "head"}, True),
        ({"ab12": "node_ab12", "cd34": "worker"}, True),
        ({}, False),  # nobody says anything
    ],
)
def test_a_cluster_that_starts_nodes_by_itself_is_told_from_one_that_does_not(
    types: dict[str, str], grows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunekit.execution import ray_nodes as nodes

    monkeypatch.setattr(nodes, "_node_types", lambda: types)
    monkeypatch.setattr(nodes, "STATUS_S", 0.0)
    monkeypatch.setattr(nodes, "draining", frozenset)
    assert nodes.has_autoscaler() == grows
    monkeypatch.setattr(
        nodes, "alive", lambda: [{"NodeID": "ab12", "NodeManagerHostname": "h", "Resources": {"CPU": 1.0}}]
    )
    fits, large = ResourcesConfig(cpu=1), ResourcesConfig(cpu=1, gpu=1)
    assert (nodes.room(fits), nodes.room(large)) == (1, 0)
    nodes.require_room(fits, may_grow=True)
    with contextlib.nullcontext() if grows else pytest.raises(ConfigError, match="no node offers it"):
        nodes.require_room(large, may_grow=True)
    with pytest.raises(ConfigError, match=r"a trial takes 1 CPU, 1 GPU, but no node offers it \(h: 1 CPU, 0 GPU\)"):
        nodes.require_room(large, may_grow=False)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_slot_without_work_gives_its_resources_back_and_another_is_asked_for_when_there_is_work_again(
    cluster: Cluster, backbone: Path, tmp_path: Path
) -> None:
    second = cluster.start_second()
    folder, log = tmp_path / "sweep", tmp_path / "log"
    command = [sys.executable, str(HERE / "sweep_driver.py"), str(folder), str(backbone), "--ray", "--idle", "0.5"]
    command += ["--address", cluster.address, "--trials", "1", "--epochs", "60", "--workers", "2"]
    command += ["--method", "fakes:Slow"]  # the other arm's trial is over long before
    counts: list[int] = []
    with log.open("wb") as output:
        driver = subprocess.Popen(command, env=cluster.environment, stdout=output, stderr=output)
    try:
        while driver.poll() is None:
            counts.append(
                sum("ray::Slot" in command or "ray::ResourceTrainable" in command for *_, command in processes())
            )
            time.sleep(0.2)
        assert driver.returncode == 0, log.read_text()[-3000:]
    finally:
        driver.kill()
        driver.wait()
        cluster.kill(second)
    turns = [count for count, before in zip(counts, [0, *counts], strict=False) if count != before]
    assert turns[:4] == [1, 2, 1, 2] or turns[:3] == [2, 1, 2], turns
    workers = {event["worker"] for event in read_events(folder / FILE_NAME) if event["event"] == "started"}
    assert len(workers) == 3, "a new process for the one that had left"
    assert not any(trial.num_interruptions for trial in replay(folder).trials.values())


# -- a cluster that grows and shrinks ----------------------------------------------------------------------------------


class GrowingCluster(Cluster):
    """A head of one CPU, whose autoscaler may start two nodes of one CPU each, and ends those that are idle."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.address = "127.0.0.1:6379"  # Ray's fake provider of nodes knows no other
        self.environment |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}

    def start_head(self) -> None:
        worker = {"resources": {"CPU": 1, "object_store_memory": 80_000_000}, "min_workers": 0, "max_workers": 2}
        provider = {"type": "fake_multinode", "use_node_id_as_ip": True}
        provider |= {"disable_node_updaters": True, "disable_launch_config_check": True}
        commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
        content = {
            "cluster_name": "growing",
            "max_workers": 2,
            "upscaling_speed": 1.0,
            "idle_timeout_minutes": 0.1,
            "provider": provider,
            "auth": {},
            "head_node_type": "ray.head.default",
            "available_node_types": {
                "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
                "worker": {**worker, "node_config": {}},
            },
            "file_mounts": {},
            "cluster_synced_files": [],
            "file_mounts_sync_continuously": False,
            "rsync_exclude": [],
            "rsync_filter": [],
            **{f"{name}_commands": [] for name in commands},
        }
        file = self.folder / "cluster.yaml"
        file.write_text(yaml.safe_dump(content))
        ports = [f"--{name}={free_port()}" for name in ("ray-client-server-port", "dashboard-port")]
        scaling = [f"--autoscaling-config={file}", f"--temp-dir={self.folder}/ray", "--include-dashboard=false"]
        self._start("--head", "--port=6379", *scaling, *ports)

    def num_nodes(self) -> int:
        """Nodes that run now: each has a raylet."""
        ours = set(family(self._nodes[0].pid))
        return sum(pid in ours and Path(command.split()[0]).name == "raylet" for pid, _, command in processes())


@pytest.fixture
def growing() -> Iterator[GrowingCluster]:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 6379)) == 0:
            pytest.skip("something listens on port 6379 of this machine, and Ray's fake provider can use no other")
    with started(GrowingCluster) as running:
        yield running


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_cluster_that_starts_with_its_head_alone_grows_to_what_the_sweep_can_use_and_shrinks(
    growing: GrowingCluster, backbone: Path, tmp_path: Path
) -> None:
    folder, log = tmp_path / "sweep", tmp_path / "log"
    command = [sys.executable, str(HERE / "sweep_driver.py"), str(folder), str(backbone), "--ray"]
    command += ["--address", growing.address, "--workers", "3", "--trials", "8", "--epochs", "24"]
    num_nodes = [growing.num_nodes()]
    with log.open("wb") as output:
        driver = subprocess.Popen(command, env=growing.environment, stdout=output, stderr=output)
    try:
        while driver.poll() is None:
            num_nodes.append(growing.num_nodes())
            time.sleep(0.5)
        assert driver.returncode == 0, log.read_text()[-3000:]
        wait_for(lambda: growing.num_nodes() == 1, what="a cluster without idle nodes", seconds=60)
    finally:
        driver.kill()
        driver.wait()
    assert num_nodes[0] == 1 and max(num_nodes) == 3
    assert "there is room for 1 of 3 workers now" in log.read_text()
    record = replay(folder)
    started = [event["worker"] for event in read_events(folder / FILE_NAME) if event["event"] == "started"]
    assert len(set(started)) >= 3, "new nodes are used"
    assert {trial.state for trial in record.trials.values()} <= {"COMPLETE", "PRUNED"}
    assert not any(trial.num_interruptions for trial in record.trials.values())


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_the_doctor_joins_a_cluster_and_says_who_is_let_in_and_what_each_node_sees(
    cluster: Cluster, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tunekit", "doctor", "--json", "--address", cluster.address, "--root", "runs"]
    Path(cluster.environment["RAY_AUTH_TOKEN_PATH"]).chmod(0o600)
    done = subprocess.run(command, cwd=tmp_path, env=cluster.environment, capture_output=True, text=True, timeout=300)
    rows = {row["name"]: row for row in json.loads(done.stdout) if row["part"] == "Ray"}
    ours = f"node {socket.gethostname()}"
    assert {"token", "cluster", "authentication", ours} == rows.keys(), (rows, done.stderr)
    has_little_disk = rows[ours]["cure"] == "free some space there"  # this machine, whatever else it holds
    assert rows[ours].pop("level") == ("warning" if has_little_disk else "ok"), rows
    assert {row.get("level", "ok") for row in rows.values()} == {"ok"}, rows
    assert "who has none is refused" in rows["authentication"]["found"]
    assert not list(tmp_path.iterdir())

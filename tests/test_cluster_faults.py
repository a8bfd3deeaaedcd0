"""What a sweep on a cluster lives through: nodes that come, are called back or die, and a head that dies."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_cluster import HERE, Cluster, family, started, wait_for

from tunekit.journal import FILE_NAME, read_events, replay

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]

PACKED = ("--method", "fakes:PackedPTuningV2", "--prompt-method", "fakes:PackedPTuningV2")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with started(Cluster) as running:
        yield running


class Run:
    """A sweep on the cluster, driven by a process beside it."""

    def __init__(self, cluster: Cluster, backbone: Path, folder: Path, *options: str) -> None:
        self.folder, self.log = folder, folder.with_suffix(".log")
        command = [sys.executable, str(HERE / "sweep_driver.py"), str(folder), str(backbone), "--ray"]
        command += ["--address", cluster.address, "--scheduler", "none", "--searcher", "random", *options]
        with self.log.open("ab") as output:
            self.driver = subprocess.Popen(command, env=cluster.environment, stdout=output, stderr=output)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exception: object) -> None:
        self.driver.kill()
        self.driver.wait()

    def wait_for_trial_on(self, node: subprocess.Popen[bytes], *, num_epochs: int) -> None:
        """Until a trial that is under way on a node has so many epochs behind it."""
        wait_for(lambda: self.is_over or self._is_on(node, num_epochs), what="a trial on the node", log=self.log)
        assert not self.is_over, self.log.read_text()[-3000:]

    def _is_on(self, node: subprocess.Popen[bytes], num_epochs: int) -> bool:
        if not (self.folder / FILE_NAME).exists():
            return False
        trials = replay(self.folder).trials
        started = {e["trial_id"]: e["worker"] for e in self.events("started")}
        pids = {t: int(w.rpartition(":")[2].partition("@")[0]) for t, w in started.items()}
        under_way = {
            pids[t] for t, trial in trials.items() if t in pids and _is_at(trial.state, trial.reports, num_epochs)
        }
        return bool(under_way & set(family(node.pid)))

    @property
    def is_over(self) -> bool:
        return self.driver.poll() is not None

    def events(self, kind: str) -> list[dict[str, str]]:
        return [dict(event) for event in read_events(self.folder / FILE_NAME) if event["event"] == kind]

    def require_all_ended_once(self) -> None:
        """The driver has ended well, and every trial is COMPLETE, once."""
        assert self.driver.wait(timeout=300) == 0, self.log.read_text()[-3000:]
        trials = replay(self.folder).trials
        finished = [event["trial_id"] for event in self.events("finished")]
        assert len(finished) == len(set(finished)) == len(trials)
        assert {trial.state for trial in trials.values()} == {"COMPLETE"}


def _is_at(state: str, reports: object, num_epochs: int) -> bool:
    return state == "RUNNING" and len(reports) >= num_epochs  # type: ignore[arg-type]


def test_a_node_that_joins_is_used_at_once_and_when_it_dies_all_that_it_packed_goes_on_elsewhere(
    cluster: Cluster, backbone: Path, tmp_path: Path
) -> None:
    with Run(cluster, backbone, tmp_path / "run", *PACKED, "--trials", "6", "--epochs", "40") as run:
        wait_for(lambda: run.is_over or ((run.folder / FILE_NAME).exists() and run.events("started")), what="a trial")
        second, joined_at = cluster.start_second(), time.monotonic()
        run.wait_for_trial_on(second, num_epochs=2)
        assert time.monotonic() - joined_at < 90, "a few seconds on a machine without other work"
        cluster.kill(second)
        run.require_all_ended_once()
        reasons = [event["reason"] for event in run.events("interrupted")]
    assert reasons and all(reason.startswith("its worker died in epoch") for reason in reasons)


def test_trials_on_a_node_that_is_called_back_move_at_the_end_of_an_epoch_and_count_no_failure(
    cluster: Cluster, backbone: Path, tmp_path: Path
) -> None:
    second = cluster.start_second()
    options = ("--trials", "3", "--epochs", "60", "--retries", "0", "--workers", "2")
    with Run(cluster, backbone, tmp_path / "run", *options) as run:
        run.wait_for_trial_on(second, num_epochs=2)
        _call_back(cluster, seconds=30)
        wait_for(lambda: run.is_over or run.events("interrupted"), what="trials given back")
        time.sleep(2 if not run.is_over else 0)
        cluster.kill(second)
        run.require_all_ended_once()
        reasons = {event["reason"] for event in run.events("interrupted")}
        nodes = [event["worker"].rpartition("@")[2] for event in run.events("started")]
    assert reasons == {"its node will be ended"}
    assert nodes[-1] == nodes[0] or len(set(nodes)) == 2


def _call_back(cluster: Cluster, *, seconds: int) -> None:
    """As a cloud does with a spot instance: the node that is not the head takes nothing new, and ends soon."""
    code = (
        "import ray, sys\n"
        "ray.init(address=sys.argv[1], log_to_driver=False)\n"
        "print(next(n['NodeID'] for n in ray.nodes() if 'node:__internal_head__' not in n['Resources']))\n"
    )
    asked = [sys.executable, "-c", code, cluster.address]
    node = subprocess.run(asked, env=cluster.environment, capture_output=True, text=True, check=True).stdout.split()[-1]
    ray = str(Path(sys.executable).with_name("ray"))
    reason = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "called back"]
    command = [ray, "drain-node", "--address", cluster.address, "--node-id", node, *reason]
    command += ["--deadline-remaining-seconds", str(seconds)]
    subprocess.run(command, env=cluster.environment, check=True, capture_output=True)


def test_after_the_death_of_the_head_the_same_command_goes_on(cluster: Cluster, backbone: Path, tmp_path: Path) -> None:
    options = ("--trials", "2", "--epochs", "60", "--retries", "0", "--workers", "1")
    head = cluster.head
    with Run(cluster, backbone, tmp_path / "run", *options) as run:
        run.wait_for_trial_on(head, num_epochs=2)
        cluster.kill(head)
        code = run.driver.wait(timeout=240)
        said = run.log.read_text()
        before = {trial_id: len(trial.reports) for trial_id, trial in replay(run.folder).trials.items()}
    assert code == 1 and "SweepInterrupted: Ray ended before the sweep was done" in said, (code, said[-3000:])
    cluster.start_head()
    with Run(cluster, backbone, tmp_path / "run", *options) as run:
        run.require_all_ended_once()
        epochs = {trial_id: len(trial.reports) for trial_id, trial in replay(run.folder).trials.items()}
        reported = [(event["trial_id"], event["report"]["epoch"]) for event in run.events("reported")]  # type: ignore[index]
    assert len(reported) == len(set(reported)) and all(epochs[trial_id] >= found for trial_id, found in before.items())
    with contextlib.suppress(ProcessLookupError):
        assert run.driver.returncode != -signal.SIGABRT

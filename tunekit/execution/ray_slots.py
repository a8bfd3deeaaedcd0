"""Trials as Ray Tune trainables with reused actors, on a local Ray or on a running cluster.

Ray Tune places trials, restarts those whose worker died and keeps actors warm. It decides nothing and remembers
nothing: what to try and when to stop comes from :class:`tunekit.search.Search`, and Tune's own experiment state is
thrown away. A restarted trial finds its checkpoint in its folder, on storage that every node sees.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tunekit.execution import ray_nodes as nodes
from tunekit.execution.protocol import Courier, Job, Message, SweepInterrupted, perform, worker_name
from tunekit.schema import build, canonical_json
from tunekit.search import Assignment, Search


class Trainable(tune.Trainable):
    """One worker: keeps its caches from trial to trial and forwards a job's messages, one a ``step``."""

    _cache: Any = None

    def setup(self, config: dict[str, Any]) -> None:
        """Take up a job; the caches of earlier jobs in this process stay."""
        import torch

        from tunekit.training import WorkerCache

        torch.set_num_threads(int(config["num_threads"]))
        if Trainable._cache is None:
            Trainable._cache = WorkerCache()
        job = build(Job, json.loads(config["job"]), "job")
        node = ray.get_runtime_context().get_node_id()
        self._messages = perform(job, Trainable._cache, name=worker_name(node))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up another job on a warm worker."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """The job's next message."""
        message = next(self._messages)
        return {"message": canonical_json(message), "done": message.is_last}  # as text: Tune flattens mappings

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing: the trial keeps its checkpoints in its own folder."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing, for the same reason."""


def _message(result: dict[str, Any]) -> Message:
    return build(Message, json.loads(result["message"]), "message")


class _Bridge:
    """What Tune's searcher, scheduler and callbacks share: assignments by Tune's own trial names."""

    def __init__(self, search: Search, folder: Path) -> None:
        self.search = search
        self.folder = folder
        self.courier = Courier(search, folder)
        self.assignments: dict[str, Assignment] = {}
        self.fatal: BaseException | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Tune pickles its searcher into an experiment state that nobody will read; the journal stays here."""
        return (str, ())

    def __deepcopy__(self, memo: dict[int, Any]) -> _Bridge:
        return self

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Remember what must stop the sweep; Tune would wrap or swallow it."""
        try:
            yield
        except BaseException as error:
            self.fatal = self.fatal or error


class _Asker(Searcher):  # type: ignore[misc, unused-ignore]
    """Tune's searcher: hands out assignments."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__(metric="value", mode="max")
        self._bridge = bridge

    def suggest(self, trial_id: str) -> Any:
        """The next job, None to be asked later, FINISHED at the end."""
        bridge = self._bridge
        if bridge.fatal is not None:
            return Searcher.FINISHED
        with bridge.guarded():
            assignment = bridge.search.next_trial()
            if assignment is None:
                return Searcher.FINISHED if bridge.search.is_done else None
            bridge.assignments[trial_id] = assignment
            threads = math.ceil(bridge.search.sweep.resources.cpu)
            job = Job.of(assignment, bridge.folder, tokens_per_step=bridge.search.sweep.resources.tokens_per_step)
            return {"job": canonical_json(job), "num_threads": threads}
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The last word on a trial, also the last message of one that ended by itself."""
        bridge = self._bridge
        assignment = bridge.assignments.pop(trial_id, None)
        if assignment is None or bridge.fatal is not None:
            return
        with bridge.guarded():
            if error:
                retries = bridge.search.sweep.resources.retries
                bridge.courier.lost(assignment, f"its worker died {retries + 1} times")
            elif result is not None and "message" in result:
                bridge.courier.deliver(assignment, _message(result))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal remembers."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""


class _Decider(FIFOScheduler):  # type: ignore[misc, unused-ignore]
    """Tune's scheduler: passes reports on and stops whom the search stops."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Continue, or stop early."""
        bridge = self._bridge
        assignment = bridge.assignments.get(trial.trial_id)
        if assignment is None or bridge.fatal is not None:
            return str(TrialScheduler.STOP)
        with bridge.guarded():
            goes_on = bridge.courier.deliver(assignment, _message(result))
            if not goes_on:
                bridge.assignments.pop(trial.trial_id)
            return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)
        return str(TrialScheduler.STOP)


class _Watcher(tune.Callback):
    """Writes interruptions into the journal."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker died; Tune takes its trial up again."""
        assignment = self._bridge.assignments.get(trial.trial_id)
        if assignment is not None:
            with self._bridge.guarded():
                self._bridge.search.interrupted(assignment.trial, "its worker died")


class _Stopper(tune.Stopper):
    """Ends the experiment once the sweep cannot go on."""

    def __init__(self, bridge: _Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Whether all trials must stop now."""
        return self._bridge.fatal is not None


def run_on_ray(search: Search, folder: Path, *, address: str | None, num_workers: int | None) -> list[str]:
    """Run the sweep to its end on Ray.

    Args:
        search: replayed and ready.
        folder: the sweep's, on storage that every node sees.
        address: of a running cluster (``auto``, ``host:port``); None starts a Ray on this machine for this run alone.
        num_workers: trials at once; as many as the resources allow if not given.

    Returns:
        Problems that are not trials' failures, for the user.

    Raises:
        ConfigError: the cluster cannot be reached, or cannot hold a single trial, or a node does not see `folder`.
        SweepInterrupted, StorageError: the sweep cannot go on now; it can be resumed.
    """
    resources = search.sweep.resources
    nodes.connect(address, resources, num_workers)
    try:
        room = nodes.room(resources)
        if address is not None:
            nodes.require_same_world(folder)
        return _fit(search, folder, min(num_workers or room, room))
    finally:
        ray.shutdown()


def _fit(search: Search, folder: Path, num_workers: int) -> list[str]:
    bridge = _Bridge(search, folder)
    scratch = Path(tempfile.mkdtemp(prefix="tunekit-ray-"))
    request = {"CPU": search.sweep.resources.cpu, "GPU": search.sweep.resources.gpu}
    if search.sweep.resources.memory:
        request["memory"] = search.sweep.resources.memory
    tuner = tune.Tuner(
        tune.with_resources(Trainable, {key: need for key, need in request.items() if need}),
        tune_config=tune.TuneConfig(
            search_alg=_Asker(bridge),
            scheduler=_Decider(bridge),
            num_samples=-1,
            max_concurrent_trials=num_workers,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            verbose=0,
            callbacks=[_Watcher(bridge)],
            stop=_Stopper(bridge),
            failure_config=tune.FailureConfig(max_failures=search.sweep.resources.retries),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False, checkpoint_frequency=0),
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if bridge.fatal is not None:
        raise bridge.fatal
    if not search.is_done:
        raise SweepInterrupted("Ray Tune stopped before the sweep was done")
    return bridge.courier.problems

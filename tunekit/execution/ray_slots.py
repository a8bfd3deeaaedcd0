"""Slots as Ray Tune trials, on a local Ray or on a running cluster.

Ray Tune asks for slots, places them where the cluster has room, and tells when one died. It decides nothing and
remembers nothing: what to try and when to stop comes from :class:`tunekit.search.Search`, and Tune's own experiment
state is thrown away. Tune runs in a thread of its own; the calling thread alone touches the search and its journal. It
talks to the slots through a :class:`~tunekit.execution.mailbox.Mailbox`.
"""

from __future__ import annotations

import math
import os
import queue
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tunekit import patience
from tunekit.errors import DeviceLost
from tunekit.execution import ray_nodes as nodes
from tunekit.execution.departure import REASON, Departure, end_soon, heed
from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.driver import Driver, Messages
from tunekit.execution.mailbox import Mailbox
from tunekit.execution.protocol import Leaving, Notice, Reply, SlotMessage, SweepInterrupted, worker_name
from tunekit.execution.ray_start import nothing_copied, shut_down
from tunekit.execution.slot import Trials, serve
from tunekit.execution.step_sizes import LOST_DEVICE
from tunekit.schema import canonical_json
from tunekit.search import Search
from tunekit.storage import AnyPath, absolute, place
from tunekit.sweep import ResourcesConfig

STEP_S = 30.0
"""How long a slot serves before it tells Tune that it is alive. Tune takes milliseconds to answer, and longer the more
slots there are: with 1,000 slots it would do nothing else if each came every two seconds."""
IDLE_S = 10.0
"""A slot of a cluster that has had nothing to do for so long gives its resources back."""
MAX_SLOTS = 10_000
"""At once, where no number of workers is given."""


# -- on a worker -------------------------------------------------------------------------------------------------------


class Slot(tune.Trainable):
    """A slot: one warm process that serves until it is told to leave."""

    def setup(self, config: Mapping[str, object]) -> None:
        """Get ready to serve."""
        with suppress(OSError):  # Tune moves into a folder of its own, where no relative $VARIABLE of a path would lead
            os.chdir(str(config["working_folder"]))
        self._name, self._token = str(self.trial_id), place(str(config["token"]))
        self._mailbox = ray.get_actor(str(config["mailbox"]))
        self._is_known, self._departure = False, Departure()
        self._has_failed = False
        heed(self._departure, self._say_that_it_leaves)
        self._node = str(ray.get_runtime_context().get_node_id())
        self._worker = worker_name(self._node)
        self._gpu_share = float(str(config["gpu_share"]))
        trials = self.make_trials(int(str(config["num_threads"])))
        self._replies = serve(self._name, trials, self, worker=self._worker, departure=self._departure)

        def tell(text: str, topic: str) -> None:
            self.post(SlotMessage(slot=self._name, worker=self._worker, content=Notice(text=text, topic=topic)))

        patience.listen(tell)

    def make_trials(self, num_threads: int) -> Trials:
        """What runs this slot's trials; a subclass that simulates them may do without torch."""
        import torch

        from tunekit.training import Pack, WorkerCache

        torch.set_num_threads(num_threads)
        return Pack(WorkerCache(), gpu_share=self._gpu_share)

    def step(self) -> dict[str, bool]:
        """Serve for a while."""
        if not self._is_known:
            self._ask(canonical_json({"view": nodes.look(self._token), "node": self._node}))
            self._is_known = True
        end = time.monotonic() + STEP_S
        try:
            for _ in self._replies:
                if time.monotonic() > end:
                    return {"done": False}
        except DeviceLost as error:
            self._has_failed = True
            end_soon()
            raise RuntimeError(f"{LOST_DEVICE}: {error}") from error
        except BaseException:
            self._has_failed = True
            raise
        return {"done": True}

    def _say_that_it_leaves(self) -> None:
        if self._is_known and not self._has_failed:  # Ray ends a failed one by the same signal, and that is a death
            self.post(SlotMessage(slot=self._name, worker=self._worker, content=Leaving(reason=REASON)))

    def post(self, message: SlotMessage) -> None:
        """Leave a message for the driver."""
        self._mailbox.post.remote(self._name, message.to_text())

    def ask(self, message: SlotMessage) -> Reply:
        """The driver's reply to a message."""
        return Reply.from_text(self._ask(message.to_text()))

    def _ask(self, text: str) -> str:
        return str(ray.get(self._mailbox.ask.remote(self._name, text)))

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, object]:
        """Nothing: trials keep their checkpoints in their own folders."""
        return {}

    def load_checkpoint(self, checkpoint: Mapping[str, object] | None) -> None:
        """Nothing, for the same reason."""


# -- Tune's thread -----------------------------------------------------------------------------------------------------


class _TuneController(Protocol):
    """What is used here of Tune's controller."""

    def get_trials(self) -> list[Trial]: ...
    def stop_trial(self, trial: Trial) -> None: ...


class _Ended(BaseException):
    """Raised inside Tune's loop to end it at once."""


class _Shared:
    """What Tune's thread and the driver's share."""

    def __init__(self, config: Mapping[str, object]) -> None:
        self.config = dict(config)
        self.num_wanted = 0
        """Slots to have, pending ones included; written by the driver."""
        self.is_over = threading.Event()
        self.lost: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        """Slots that died, and why."""
        self.to_end: queue.SimpleQueue[str] = queue.SimpleQueue()
        """Slots that hang."""

    def __reduce__(self) -> tuple[type[str], tuple[()]]:
        """Tune pickles its searcher into an experiment state that nobody will read."""
        return (str, ())

    def __deepcopy__(self, memo: dict[int, object]) -> _Shared:
        return self

    def require_open(self) -> None:
        """Raises _Ended once the sweep is over."""
        if self.is_over.is_set():
            raise _Ended


class _Asker(Searcher):  # type: ignore[misc, unused-ignore]
    """Tune's searcher: asks for as many slots as are wanted."""

    def __init__(self, shared: _Shared) -> None:
        super().__init__(metric="done", mode="max")
        self._shared = shared
        self._slots: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, object] | None:
        """Another slot, or None to be asked later."""
        self._shared.require_open()
        if len(self._slots) >= self._shared.num_wanted:
            return None
        self._slots.add(trial_id)
        return self._shared.config

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        """A slot has left, died or was withdrawn."""
        self._slots.discard(trial_id)

    def num_surplus(self) -> int:
        """Slots beyond those wanted."""
        return len(self._slots) - self._shared.num_wanted

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal remembers."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""


class _Withdrawer(FIFOScheduler):  # type: ignore[misc, unused-ignore]
    """Tune's scheduler: takes back requests for slots that are not wanted any more, so that no node starts for them."""

    def __init__(self, asker: _Asker) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._asker = asker

    def choose_trial_to_run(self, tune_controller: _TuneController) -> None:
        """Leave the choice to Tune, which starts slots in the order in which they were asked for."""
        surplus = self._asker.num_surplus()
        if surplus > 0:
            pending = [trial for trial in tune_controller.get_trials() if trial.status == "PENDING"]
            for trial in pending[-surplus:]:
                tune_controller.stop_trial(trial)


class _Watcher(tune.Callback):
    """Tells the driver of slots that died, and ends Tune's loop."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: object) -> None:
        """End the loop once the sweep is over, and before that the processes of slots that hang."""
        self._shared.require_open()
        while not self._shared.to_end.empty():
            slot = self._shared.to_end.get()
            for actor in [t.temporary_state.ray_actor for t in trials if t.trial_id == slot]:
                if actor is not None:
                    ray.kill(actor)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """A slot died."""
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace") if trial.error_file else ""
        self._shared.lost.put((trial.trial_id, nodes.reason_of_death(text)))


class SlotPool:
    """Slots that come and go as they are wanted; a context manager around the thread in which Tune runs.

    Args:
        resources: what each slot takes.
        config: what each slot is told when it starts.
        max_slots: at most so many.
        slot: what each is.
    """

    def __init__(
        self, resources: ResourcesConfig, config: Mapping[str, object], *, max_slots: int, slot: type[Slot] = Slot
    ) -> None:
        self._shared, self._slot = _Shared(config), slot
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(resources, max_slots), name="ray-tune", daemon=True)

    def want(self, number: int) -> None:
        """Have so many slots from now on, as far as the cluster has room; those at work are not stopped."""
        self._shared.num_wanted = number

    def take_lost(self) -> list[tuple[str, str]]:
        """The slots that died since the last call, and why.

        Raises:
            SweepInterrupted: Tune has ended.
        """
        if not self._thread.is_alive():
            why = f": {self._failure}" if self._failure is not None else ""
            raise SweepInterrupted(f"Ray Tune stopped before the sweep was done{why}") from self._failure
        found = []
        while not self._shared.lost.empty():
            found.append(self._shared.lost.get())
        return found

    def end(self, slot: str) -> None:
        """End the process of a slot, soon; `take_lost` then tells of it."""
        self._shared.to_end.put(slot)

    def __enter__(self) -> SlotPool:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._shared.is_over.set()
        self._thread.join(timeout=30)

    def _run(self, resources: ResourcesConfig, max_slots: int) -> None:
        try:
            scratches = tempfile.TemporaryDirectory(prefix="tunekit-ray-", ignore_cleanup_errors=True)
            with scratches as scratch, nothing_copied():
                self._tuner(resources, max_slots, scratch).fit()
        except _Ended:
            pass
        except BaseException as error:
            self._failure = error

    def _tuner(self, resources: ResourcesConfig, max_slots: int, scratch: str) -> tune.Tuner:
        request = {"CPU": resources.cpu, "GPU": resources.gpu, "memory": resources.memory or 0}
        asker = _Asker(self._shared)
        return tune.Tuner(
            tune.with_resources(self._slot, {key: need for key, need in request.items() if need}),
            tune_config=tune.TuneConfig(
                search_alg=asker,
                scheduler=_Withdrawer(asker),
                num_samples=-1,
                max_concurrent_trials=max_slots,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                verbose=0,
                callbacks=[_Watcher(self._shared)],
                failure_config=tune.FailureConfig(max_failures=0),  # a new slot takes the place of one that died
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False, checkpoint_frequency=0),
            ),
        )


# -- the driver's thread -----------------------------------------------------------------------------------------------


def run_on_ray(
    search: Search,
    folder: AnyPath,
    *,
    address: str | None,
    num_workers: int | None,
    notify: Callable[[str], None],
    slot: type[Slot] = Slot,
) -> list[str]:
    """Run the sweep to its end on Ray.

    Args:
        search: replayed and ready.
        folder: the sweep's, on storage that every node sees.
        address: of a running cluster (``auto``, ``host:port``); None starts a Ray on this machine for this run alone.
        num_workers: slots at once; as many as the cluster has room for, and a few more if it can grow, if not given.
        notify: called with a sentence that the user should read now.
        slot: what runs trials; a benchmark may simulate them.

    Returns:
        Problems that are not trials' failures, for the user.

    Raises:
        ConfigError: the cluster cannot be reached, or cannot hold a single trial, or a node does not see `folder`, or
            the data have changed.
        SweepInterrupted, StorageError: the sweep cannot go on now; it can be resumed.
    """
    resources = search.sweep.resources
    folder = absolute(folder)  # a slot may work in another folder than this process
    try:
        nodes.connect(address, resources, num_workers)
        with nodes.token_in(folder) as token:
            nodes.require_room(resources, may_grow=address is not None)
            if address is not None:
                nodes.require_same_world(token)
            cluster = nodes.Nodes(resources=resources, token=token, is_fixed=address is None)
            dispatcher = Dispatcher(search, folder, idle_s=None if address is None else IDLE_S, notify=notify)
            _drive(dispatcher, cluster, num_workers=num_workers, notify=notify, slot=slot)
            return dispatcher.problems
    except RayError as error:
        raise SweepInterrupted(f"Ray ended before the sweep was done: {nodes.last_line(str(error))}") from error
    finally:
        shut_down()


def _drive(
    dispatcher: Dispatcher,
    cluster: nodes.Nodes,
    *,
    num_workers: int | None,
    notify: Callable[[str], None],
    slot: type[Slot],
) -> None:
    name = f"tunekit-mailbox-{uuid.uuid4().hex}"
    beside_us = NodeAffinitySchedulingStrategy(node_id=ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": name, "num_cpus": 0, "max_concurrency": MAX_SLOTS + 2, "scheduling_strategy": beside_us}
    mailbox = ray.remote(Mailbox).options(**options).remote()
    threads = math.ceil(cluster.resources.cpu)
    config = {
        "mailbox": name,
        "token": str(cluster.token),
        "num_threads": threads,
        "gpu_share": min(1.0, cluster.resources.gpu) or 1.0,
        "working_folder": os.getcwd(),
    }

    def exchange(replies: Messages, timeout_s: float) -> Messages:
        messages: Messages = ray.get(mailbox.exchange.remote(replies, timeout_s))  # type: ignore[attr-defined]
        return messages

    with SlotPool(cluster.resources, config, max_slots=num_workers or MAX_SLOTS, slot=slot) as pool:
        Driver(dispatcher, pool=pool, cluster=cluster, num_workers=num_workers, notify=notify).run(exchange)

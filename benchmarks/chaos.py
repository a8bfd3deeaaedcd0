"""A sweep on a cluster of three nodes on this machine, under faults drawn at random; it must end as if there were none.

    python benchmarks/chaos.py --faults 100 --seed 1
    python benchmarks/chaos.py --faults 10 --seed 2 --kinds worker_killed driver_killed

The nodes are three ``ray start`` with token authentication. Each fault is drawn from `KINDS`, and the next comes when
the sweep has recovered from it: when the trials that it hit were taken up again, or a new epoch was reported. At the
end every trial has finished exactly once, none is RUNNING, and the scores of all trials, the points chosen and their
test scores are those of the same sweep that ran undisturbed in one process. A table says how long each kind took.

``disk_full`` needs a small file system of its own, which only root can mount; elsewhere it is left out, and said.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measuring

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import chaos_world  # noqa: E402
import fakes  # noqa: E402
from local_cluster import Cluster, family, processes, signal_all, wait_for  # noqa: E402

from tunekit.journal import SweepRecord, replay  # noqa: E402

PATIENCE_S = 180.0
"""A fault that the sweep has not recovered from after so long has ended it."""
DISK_BYTES = 96 * 2**20
MAX_NODES = 4
CLOCK_BACK_S = -3600.0


@dataclass
class Tail:
    """The whole lines of a journal as they come, each read once."""

    path: Path
    offset: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> list[dict[str, Any]]:
        """All events so far."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read()
            end = content.rfind(b"\n") + 1
            self.offset += end
            self.events += [json.loads(line) for line in content[:end].splitlines()]
        return self.events

    def in_hand(self) -> dict[str, int]:
        """The process that trains each trial now, by the trial's name."""
        found: dict[str, int] = {}
        for event in self.read():
            if event["event"] == "started":
                found[event["trial_id"]] = int(event["worker"].rpartition(":")[2].partition("@")[0])
            elif event["event"] in ("finished", "interrupted", "tested"):
                found.pop(event["trial_id"], None)
            elif event["event"] == "resumed":
                found.clear()
        return found


class Scene:
    """The cluster, the driver and the sweep's folder, and what can be done to them.

    Args:
        place: a short path; the cluster's files are kept there.
        folder: the sweep's.
        words: of the command line.
    """

    def __init__(self, place: Path, folder: Path, words: argparse.Namespace) -> None:
        self.place, self.folder, self.words = place, folder, words
        self.random = random.Random(words.seed)
        self.backbone = fakes.save_backbone(place / "tiny")
        self.tail = Tail(folder / "journal.jsonl")
        self.driver: subprocess.Popen[bytes] | None = None
        self.clock_s = 0.0
        self.cluster = Cluster(place)
        short = {chaos_world.SHORT: str(place / "short")}
        self.cluster.environment |= {chaos_world.PACE: str(words.pace), **short}
        self.cluster.environment["PYTHONPATH"] += os.pathsep + str(HERE)
        self.nodes: list[subprocess.Popen[bytes]] = []

    def start_cluster(self) -> None:
        """A head and two more nodes, of one CPU each."""
        self.cluster.start_head()
        self.nodes = [self.cluster.start_second() for _ in range(2)]

    def start_driver(self) -> None:
        """The same command each time."""
        with (self.place / "driver.log").open("ab") as log:
            environment = {**self.cluster.environment, chaos_world.CLOCK: str(self.clock_s)}
            self.driver = subprocess.Popen(
                [*_command(self.words, self.folder, self.backbone), "--address", self.cluster.address],
                env=environment, stdout=log, stderr=log,
            )  # fmt: skip

    def end_driver(self, number: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        assert self.driver is not None
        self.driver.send_signal(number)
        self.driver.wait(timeout=PATIENCE_S)

    def is_over(self) -> bool:
        """Whether the driver has ended."""
        return self.driver is not None and self.driver.poll() is not None

    def busy_workers(self) -> list[int]:
        """Processes that train now."""
        ours = {pid for pid, _, command in processes() if "ray::" in command}
        return sorted(ours & set(self.tail.in_hand().values()))

    def a_worker(self) -> int | None:
        """One of them, with its trials under way; None if the sweep is over before."""
        wait_for(lambda: self.is_over() or self.busy_workers(), what="a worker that trains", seconds=PATIENCE_S)
        found = self.busy_workers()
        return self.random.choice(found) if found else None

    def said(self) -> str:
        """The last that the driver said."""
        return (self.place / "driver.log").read_text(errors="replace")[-3000:]


# -- faults: each does its harm and gives what tells that the sweep has recovered --------------------------------------

Recovered = Callable[[], bool]


def _taken_up_again(scene: Scene, worker: int) -> Recovered:
    """The trials of a process run elsewhere, or have ended."""
    hit = {trial for trial, pid in scene.tail.in_hand().items() if pid == worker}
    seen = len(scene.tail.read())

    def recovered() -> bool:
        later = scene.tail.read()[seen:]
        again = {e["trial_id"] for e in later if e["event"] in ("started", "finished", "tested")}
        return hit <= again

    return recovered


def _goes_on(scene: Scene) -> Recovered:
    """A new epoch or end of a trial is in the journal."""
    seen = len(scene.tail.read())
    return lambda: any(e["event"] in ("reported", "finished", "tested") for e in scene.tail.read()[seen:])


def _signalled(scene: Scene, worker: int, number: signal.Signals) -> Recovered:
    recovered = _taken_up_again(scene, worker)
    signal_all([worker], number)
    return recovered


def worker_killed(scene: Scene, worker: int) -> Recovered:
    """A worker process dies."""
    return _signalled(scene, worker, signal.SIGKILL)


def worker_terminated(scene: Scene, worker: int) -> Recovered:
    """A worker gets the signal that a spot instance gives before it goes."""
    return _signalled(scene, worker, signal.SIGTERM)


def worker_hangs(scene: Scene, worker: int) -> Recovered:
    """A worker stops without dying; the watchdog ends it."""
    return _signalled(scene, worker, signal.SIGSTOP)


def checkpoint_torn(scene: Scene, worker: int) -> Recovered:
    """The last checkpoints of a worker's trials are cut short, and it dies."""
    recovered = worker_killed(scene, worker)
    for path in _checkpoints(scene, worker):
        os.truncate(path, path.stat().st_size // 2)
    return recovered


def checkpoint_lost(scene: Scene, worker: int) -> Recovered:
    """The last checkpoints of a worker's trials are gone, and it dies."""
    recovered = worker_killed(scene, worker)
    for path in _checkpoints(scene, worker):
        path.unlink()
    return recovered


def _checkpoints(scene: Scene, worker: int) -> list[Path]:
    trials = [trial for trial, pid in scene.tail.in_hand().items() if pid == worker]
    paths = [scene.folder / "trials" / trial / "last.pt" for trial in trials]
    return [path for path in paths if path.exists()]


def driver_killed(scene: Scene, worker: int) -> Recovered:
    """The driver dies; the same command goes on."""
    scene.end_driver(signal.SIGKILL)
    scene.start_driver()
    return _goes_on(scene)


def driver_terminated(scene: Scene, worker: int) -> Recovered:
    """The driver is told to stop; the same command goes on."""
    scene.end_driver(signal.SIGTERM)
    scene.start_driver()
    return _goes_on(scene)


def journal_torn(scene: Scene, worker: int) -> Recovered:
    """The driver dies while it writes a line."""
    scene.end_driver(signal.SIGKILL)
    with (scene.folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"n":1,"event":"reported","trial_id":"')
    scene.start_driver()
    return _goes_on(scene)


def clock_goes_back(scene: Scene, worker: int) -> Recovered:
    """The driver goes on where the clock is an hour behind, or right again."""
    scene.end_driver(signal.SIGTERM)
    scene.clock_s = CLOCK_BACK_S - scene.clock_s
    scene.start_driver()
    return _goes_on(scene)


def node_killed(scene: Scene, worker: int) -> Recovered:
    """A machine is gone, all its processes at once."""
    if len(scene.nodes) < 2:
        scene.nodes.append(scene.cluster.start_second())
    node = scene.nodes.pop(scene.random.randrange(len(scene.nodes)))
    members = family(node.pid)
    checks = [_taken_up_again(scene, pid) for pid in set(scene.tail.in_hand().values()) if pid in members]
    scene.cluster.kill(node)
    return lambda: all(check() for check in checks)


def node_added(scene: Scene, worker: int) -> Recovered:
    """A machine comes, and is used."""
    if len(scene.nodes) + 1 >= MAX_NODES:
        scene.cluster.kill(scene.nodes.pop(0))
    node = scene.cluster.start_second()
    scene.nodes.append(node)
    seen = len(scene.tail.read())

    def recovered() -> bool:
        workers = {e["worker"] for e in scene.tail.read()[seen:] if e["event"] == "started"}
        members = family(node.pid)
        return any(int(worker.rpartition(":")[2].partition("@")[0]) in members for worker in workers)

    return recovered


def head_killed(scene: Scene, worker: int) -> Recovered:
    """The head is gone, and the cluster with it; it is started again, and so is the same command."""
    assert scene.driver is not None
    scene.cluster.stop()
    scene.driver.kill()
    scene.driver.wait()
    scene.start_cluster()
    scene.start_driver()
    return _goes_on(scene)


def disk_full(scene: Scene, worker: int) -> Recovered:
    """Nothing can be written for a while."""
    filler = scene.folder.parent / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):  # a buffer would fail again when it is closed
        while True:
            file.write(bytes(2**16))
    time.sleep(scene.random.uniform(1, 4))
    filler.unlink()
    return _goes_on(scene)


def memory_short(scene: Scene, worker: int) -> Recovered:
    """An update is told that memory does not suffice; it is made in smaller steps."""
    flag = Path(scene.cluster.environment[chaos_world.SHORT])
    flag.touch()
    goes_on = _goes_on(scene)
    return lambda: not flag.exists() and goes_on()


KINDS: dict[str, Callable[[Scene, int], Recovered]] = {
    kind.__name__: kind
    for kind in (
        worker_killed, worker_terminated, worker_hangs, checkpoint_torn, checkpoint_lost, driver_killed,
        driver_terminated, journal_torn, clock_goes_back, node_killed, node_added, head_killed, disk_full,
        memory_short,
    )
}  # fmt: skip


# -- the run -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """One fault, and how long the sweep took to recover."""

    kind: str
    recovery_s: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Disturb a sweep, compare it with an undisturbed one, print what was seen."""
    words = _parser().parse_args(arguments)
    words.points = words.points or max(2, words.faults * 3 // 4)
    print(f"{measuring.conditions()}\n", flush=True)
    with _places() as (place, folder, has_disk):
        kinds = [kind for kind in words.kinds if has_disk or kind != "disk_full"]
        if len(kinds) < len(words.kinds):
            print("left out: disk_full: only root can mount a small file system for it", flush=True)
        scene = Scene(place, folder, words)
        expected = _undisturbed(scene)
        started = time.monotonic()
        faults = _disturbed(scene, kinds)
        makespan_s = time.monotonic() - started
        record = replay(folder)
        problems = [*differences(record, expected), *_not_once(scene.tail.read())]
    print(render(faults, record, makespan_s))
    if len(faults) < words.faults:
        problems.append(f"the sweep was over after {len(faults)} of {words.faults} faults; give it more --points")
    for problem in problems:
        print(f"WRONG: {problem}")
    sys.exit(1 if problems else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--faults", type=int, default=100)
    add("--seed", type=int, default=1, help="of the faults' kinds and moments")
    add("--kinds", nargs="+", choices=sorted(KINDS), default=list(KINDS))
    add("--points", type=int, help="of each of two arms (default: three quarters of --faults)")
    add("--epochs", type=int, default=8)
    add("--pace", type=float, default=0.1, help="seconds that each of six updates of an epoch takes longer")
    return parser


@contextmanager
def _places() -> Iterator[tuple[Path, Path, bool]]:
    """A folder for the cluster, one for the sweep, and whether the latter's file system is small."""
    with ExitStack() as stack:
        place = Path(tempfile.mkdtemp(prefix="tk-"))
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        disk = place / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
        is_small = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        if is_small:
            stack.callback(subprocess.run, ["umount", "-l", str(disk)], check=False)
        yield place, disk / "sweep", is_small


def _command(words: argparse.Namespace, folder: Path, backbone: Path) -> list[str]:
    script = [sys.executable, str(HERE / "chaos_world.py"), str(folder), str(backbone)]
    return [*script, "--points", str(words.points), "--epochs", str(words.epochs)]


def _undisturbed(scene: Scene) -> SweepRecord:
    """The same sweep in one process, without a pause."""
    folder = scene.place / "undisturbed"
    environment = {**scene.cluster.environment, chaos_world.PACE: "0"}
    done = subprocess.run(
        _command(scene.words, folder, scene.backbone), env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"the undisturbed sweep failed: {done.stderr[-3000:]}")
    return replay(folder)


def _disturbed(scene: Scene, kinds: Sequence[str]) -> list[Fault]:
    """Run the sweep under faults to its end."""
    faults: list[Fault] = []
    try:
        scene.start_cluster()
        scene.start_driver()
        while len(faults) < scene.words.faults and (worker := scene.a_worker()) is not None:
            time.sleep(scene.random.uniform(0, 1))
            # Each kind once before any comes again.
            kind = kinds[len(faults)] if len(faults) < len(kinds) else scene.random.choice(list(kinds))
            begun = time.monotonic()
            recovered = KINDS[kind](scene, worker)
            wait_for(lambda check=recovered: check() or scene.is_over(),  # type: ignore[misc]
                     what=f"recovery from {kind}", seconds=PATIENCE_S, log=scene.place / "driver.log")  # fmt: skip
            faults.append(Fault(kind, time.monotonic() - begun))
            print(f"{len(faults)}: {kind}: {faults[-1].recovery_s:.1f} s", file=sys.stderr, flush=True)
        assert scene.driver is not None
        if scene.driver.wait(timeout=3600):
            sys.exit(f"the driver ended with {scene.driver.returncode}: {scene.said()}")
    finally:
        if scene.driver is not None:
            scene.driver.kill()
            scene.driver.wait()
        scene.cluster.stop()
    return faults


def differences(found: SweepRecord, expected: SweepRecord) -> list[str]:
    """Where a sweep that was disturbed tells something else than the undisturbed one."""
    said = []
    for name, trial in {**expected.trials, **found.trials}.items():
        if name not in found.trials or name not in expected.trials:
            said.append(f"trial {name} is in one of the two sweeps only")
            continue
        other = expected.trials[name]
        if trial.state != "COMPLETE":
            said.append(f"trial {name} is {trial.state}: {trial.reason}")
        if {e: r.value for e, r in trial.reports.items()} != {e: r.value for e, r in other.reports.items()}:
            said.append(f"trial {name} has other scores on dev")
        if trial.test_scores != other.test_scores:
            said.append(f"trial {name} has other scores on test: {trial.test_scores}, not {other.test_scores}")
    return said


def _not_once(events: Sequence[dict[str, Any]]) -> list[str]:
    finished = [event["trial_id"] for event in events if event["event"] == "finished"]
    return [f"trial {name} finished {finished.count(name)} times" for name in set(finished) if finished.count(name) > 1]


def render(faults: Sequence[Fault], record: SweepRecord, makespan_s: float) -> str:
    """A table of the kinds, and what became of the trials."""
    rows = []
    for kind in KINDS:
        seconds = [fault.recovery_s for fault in faults if fault.kind == kind]
        if seconds:
            rows.append((kind, str(len(seconds)), f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}"))
    states = [trial.state for trial in record.trials.values()]
    tested = sum(trial.test_scores is not None for trial in record.trials.values())
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    table = measuring.table(("fault", "n", "recovery s: median", "largest"), rows)
    return f"{table}\n\n{len(faults)} faults in {makespan_s:.0f} s; {len(states)} trials: {counts}; {tested} tested"


if __name__ == "__main__":
    main()

"""What a sweep of many short trials costs beside the trials: trials sleep, and all the rest is real.

    python benchmarks/scale.py ray --trials 10000 --slots 16          # one-second trials through Ray, 11 minutes
    python benchmarks/scale.py virtual --trials 10000 --slots 1000    # 1,000 at once, in virtual time
    python benchmarks/scale.py tune --trials 500 --slots 16           # stock Ray Tune with the same sleeping trials

`ray` runs `tunekit.execution.ray_slots.run_on_ray` with slots that sleep; searcher, scheduler, journal, dispatcher,
mailbox and Ray Tune are those of any sweep. `virtual` runs the same driver against slots of its own process, whose
clock goes on by the seconds that trials would take and by the processor time that the driver takes; so the makespan
holds what trials wait for the driver, and neither the network nor the disk.

The ideal makespan gives the same trials, in the same order, to slots that never wait. "Added" is what the makespan has
beyond it, from the first trial's start to the last one's end; on Ray it holds the start of the slots' processes.

Milliseconds are for each trial: "driver" is the processor time of the driver's thread, the searcher's draw included;
"tune" that of the thread in which Ray Tune runs; "process" that of the driver's process, both included; "mailbox" and
"others" that of Ray's processes. They stay the same on a busy machine, which the makespan does not.
"""

from __future__ import annotations

import argparse
import cProfile
import heapq
import json
import os
import pstats
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import measuring
import simulated
from driver import Drawing

from tunekit.execution.dispatcher import Dispatcher
from tunekit.execution.driver import Driver
from tunekit.journal import Event, Journal, read_events
from tunekit.search import Search
from tunekit.sweep import Sweep

Row = dict[str, float | str]


# -- what is measured ------------------------------------------------------------------------------------------------


class Span:
    """From the first event of a sweep's trials to the last one: wall and processor seconds, as the driver sees them.

    Args:
        num_tested: trials whose test scores end the sweep.
    """

    def __init__(self, num_tested: int) -> None:
        self._num_tested = num_tested
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def note(self, event: Event) -> None:
        """Called by the driver's thread for each event that is on the disk."""
        if event["event"] == "created" and not self._first:
            self._first = _clocks()
        if event["event"] == "tested":
            self._num_tested -= 1
            if not self._num_tested:
                self._last = _clocks()

    def seconds(self, clock: str) -> float:
        """What a clock has gone on by in between."""
        return self._last.get(clock, 0.0) - self._first.get(clock, 0.0)


def _clocks() -> dict[str, float]:
    """Wall, and processor seconds: of this thread, of Ray Tune's, of this process, of Ray's other processes."""
    clocks = {"wall": time.perf_counter(), "driver": time.thread_time(), "process": time.process_time()}
    for thread in threading.enumerate():
        if thread.name == "ray-tune" and thread.ident is not None:
            clocks["tune"] = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    for command, seconds in measuring.processor_seconds(os.getpid()):
        kind = "mailbox" if command.startswith("ray::Mailbox") else "others"
        clocks[kind] = clocks.get(kind, 0.0) + seconds
    return clocks


def ideal_s(durations: Iterable[float], num_slots: int) -> float:
    """The makespan if slots never waited: each trial, in this order, on the slot that is free first.

    >>> ideal_s([1.0, 1.0, 1.0, 2.0], 2)
    3.0
    """
    free_at = [0.0] * num_slots
    for duration in durations:
        heapq.heapreplace(free_at, free_at[0] + duration)
    return max(free_at)


@dataclass
class Waits:
    """What slots lost, as the journal tells by the times of its events; in seconds."""

    starts: list[float]
    """From the first trial's creation to each slot's first trial: its process starts."""
    gaps: list[float]
    """Between the end of a trial and the start of the next one in the same slot."""
    excess: list[float]
    """From a trial's start to its end, beyond what its epochs took."""


def waits(journal: Path) -> Waits:
    """Read them off a journal of trials that ended, none of them twice."""
    found, begun, started, ended = Waits([], [], []), 0.0, {}, {}
    epochs_s: dict[str, float] = {}
    for event in read_events(journal):
        kind, trial_id, at = event["event"], event.get("trial_id", ""), _seconds(event["time"])
        if kind == "created":
            begun = begun or at
        elif kind == "started":
            slot = event["worker"]
            (found.gaps if slot in ended else found.starts).append(at - ended.get(slot, begun))
            started[trial_id] = at, slot
        elif kind == "reported":
            epochs_s[trial_id] = epochs_s.get(trial_id, 0.0) + event["report"]["duration_s"]
        elif kind == "finished":
            since, slot = started[trial_id]
            found.excess.append(at - since - epochs_s[trial_id])
            ended[slot] = at
    return found


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def resumed_s(folder: Path, sweep: Sweep) -> float:
    """Wall seconds to take the sweep up again: replay the journal, and rebuild searchers and schedulers."""
    started = time.perf_counter()
    with Journal(folder) as journal:
        Search(sweep, journal)
    return time.perf_counter() - started


# -- the three ways --------------------------------------------------------------------------------------------------


def run_ray(words: argparse.Namespace, sweep: Sweep, folder: Path) -> Row:
    """Sleeping slots on a Ray of this machine."""
    from tunekit.execution.ray_slots import run_on_ray

    os.environ[simulated.EPOCH_S] = repr(words.seconds / words.epochs)
    span = Span(len(sweep.arms))
    started = time.perf_counter()
    with simulated.open_journal(folder, sweep) as journal:
        search, drawing = Search(sweep, journal, on_event=span.note), Drawing()
        options: dict[str, Any] = {"num_workers": words.slots, "slot": simulated.SleepingSlot}
        run_on_ray(search, folder, address=None, notify=print, **options)
        durations = _durations(search)
    whole_s = time.perf_counter() - started
    wall_s, lost = span.seconds("wall"), waits(journal.path)
    row = _row(words, durations, makespan_s=wall_s, driver_s=span.seconds("driver"), draw_s=drawing.seconds)
    row["slots start after s, mean"] = statistics.fmean(lost.starts)
    for name, seconds in {"to the next trial ms": lost.gaps, "beyond the epochs ms": lost.excess}.items():
        row[f"{name}, median"] = 1000 * statistics.median(seconds)
        row[f"{name}, 99 %"] = 1000 * sorted(seconds)[int(0.99 * (len(seconds) - 1))]
    for clock in ("tune", "process", "mailbox", "others"):
        row[f"{clock} ms"] = 1000 * span.seconds(clock) / len(durations)
    return row | {"whole command s": whole_s}


def run_virtual(words: argparse.Namespace, sweep: Sweep, folder: Path) -> Row:
    """The driver against slots in virtual time."""
    with simulated.open_journal(folder, sweep) as journal:
        search, drawing = Search(sweep, journal), Drawing()
        epoch_s, exchange_s = words.seconds / words.epochs, words.exchange_ms / 1000
        slots = simulated.VirtualSlots(words.slots, epoch_s=epoch_s, exchange_s=exchange_s)
        dispatcher = Dispatcher(search, folder)
        driver = Driver(dispatcher, pool=slots, cluster=slots, num_workers=words.slots, notify=print)
        driver.run(slots.exchange)
        durations = _durations(search)
    row = _row(words, durations, makespan_s=slots.now, driver_s=slots.driver_s, draw_s=drawing.seconds)
    return row | {
        "messages": slots.num_messages,
        "messages/exchange": slots.num_messages / slots.num_exchanges,
        "most messages/s": slots.num_messages / slots.driver_s,
    }


def _durations(search: Search) -> list[float]:
    return [trial.duration_s for trial in search.record.trials.values()]


def _row(
    words: argparse.Namespace, durations: Sequence[float], *, makespan_s: float, driver_s: float, draw_s: float
) -> Row:
    ideal = ideal_s(durations, words.slots)
    return {
        "trials": len(durations),
        "slots": words.slots,
        "trial s": statistics.fmean(durations),
        "ideal s": ideal,
        "makespan s": makespan_s,
        "added %": 100 * (makespan_s / ideal - 1),
        "driver ms": 1000 * driver_s / len(durations),
        "of it draw ms": 1000 * draw_s / len(durations),
        "driver % of makespan": 100 * driver_s / makespan_s,
    }


def run_tune(words: argparse.Namespace, sweep: Sweep, folder: Path) -> Row:
    """Stock Ray Tune: random search, and trials that sleep and report as often."""
    import ray
    from ray import tune

    epoch_s, epochs = words.seconds / words.epochs, words.epochs

    class Sleeping(tune.Trainable):  # type: ignore[misc, unused-ignore]
        def setup(self, config: dict[str, Any]) -> None:
            self._epoch = 0

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._epoch = 0
            return True

        def step(self) -> dict[str, Any]:
            time.sleep(epoch_s)
            self._epoch += 1
            return {"value": simulated.CURVES[30][self._epoch - 1], "done": self._epoch >= epochs}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Nothing."""

    ray.init(address="local", num_cpus=words.slots, include_dashboard=False, log_to_driver=False)
    started = time.perf_counter(), time.process_time()
    tuner = tune.Tuner(
        tune.with_resources(Sleeping, {"CPU": 1}),
        param_space={"learning_rate": tune.loguniform(1e-6, 1.0)},
        tune_config=tune.TuneConfig(num_samples=words.trials, reuse_actors=words.reuse),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    num_errors = tuner.fit().num_errors
    wall_s, process_s = time.perf_counter() - started[0], time.process_time() - started[1]
    ray.shutdown()
    if num_errors:
        sys.exit(f"{num_errors} trials failed")
    row = _row(words, [words.seconds] * words.trials, makespan_s=wall_s, driver_s=0.0, draw_s=0.0)
    kept = {key: row[key] for key in ("trials", "slots", "trial s", "ideal s", "makespan s", "added %")}
    return kept | {"process ms": 1000 * process_s / words.trials}


# -- the command -----------------------------------------------------------------------------------------------------

WAYS = {"ray": run_ray, "virtual": run_virtual, "tune": run_tune}


def measure(words: argparse.Namespace, folder: Path) -> Row:
    """One run in an empty folder, with what it leaves behind."""
    sweep = simulated.sweep_of(words.trials, searcher=words.searcher, scheduler=words.scheduler, epochs=words.epochs)
    with ExitStack() as stack:
        if words.profile:
            profile = stack.enter_context(cProfile.Profile())
            stack.callback(lambda: pstats.Stats(profile).sort_stats("tottime").print_stats(30))
        row = WAYS[words.way](words, sweep, folder)
    row["peak MiB"] = measuring.peak_bytes() / 2**20
    journal = folder / "journal.jsonl"
    if journal.exists():
        size = journal.stat().st_size
        row |= {"journal MB": size / 1e6, "journal bytes/trial": size / float(row["trials"])}
        row["resume s"] = resumed_s(folder, sweep)
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    words = _parser().parse_args(arguments)
    if not words.json:
        print(f"{measuring.conditions()}\n")
    with tempfile.TemporaryDirectory(dir=words.folder) as scratch:
        row = measure(words, Path(scratch) / "scale")
    row["load"] = os.getloadavg()[0]
    if words.json:
        print(json.dumps(row))
        return
    shown = [
        (name, f"{value:,.2f}".removesuffix(".00") if not isinstance(value, str) else value)
        for name, value in row.items()
    ]
    print(measuring.table(["figure", words.way], shown))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--trials", type=int, default=1000, help="an even number, shared by two arms (default 1000)")
    parser.add_argument("--slots", type=int, default=16, help="trials at once (default 16)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a trial that is not stopped early (default 1)")
    parser.add_argument("--epochs", type=int, default=1, help="reports of such a trial (default 1)")
    parser.add_argument("--searcher", default="tpe")
    parser.add_argument("--scheduler", default="asha")
    parser.add_argument(
        "--exchange-ms",
        type=float,
        default=0.0,
        help="`virtual`: what fetching messages takes beside the driver's work",
    )
    parser.add_argument("--reuse", action="store_true", help="`tune`: with reuse_actors=True")
    parser.add_argument("--folder", type=Path, help="where the journal lies for the time of the run (default: /tmp)")
    parser.add_argument("--profile", action="store_true", help="show where the driver's thread spends its time")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


if __name__ == "__main__":
    main()

"""What the benchmarks of training share: the memory of a tree of processes, means and spreads, tables, conditions."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

SAMPLE_S = 0.2
"""Seconds between two looks at the memory of all processes."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
RAY_WORKER = re.compile(r"ray::\w*Trainable\b")
"""How Ray names a process in which Tune trains. Ray's own processes and those that wait for work have other names."""


@dataclass
class TreeMemory:
    """Resident memory of a process and all its descendants, as sampled while they ran.

    Pages that two processes share are counted for both.
    """

    peak_bytes: int = 0
    """The highest sum over all processes at one moment."""
    by_process: dict[int, int] = field(default_factory=dict)
    """The peak of each process, by its id."""
    workers: set[int] = field(default_factory=set)
    """Those in which Ray Tune trained."""

    def add(self, sizes: Mapping[int, int], workers: Iterable[int]) -> None:
        """Take in one look: bytes of each process, and which of them are Ray's workers."""
        self.peak_bytes = max(self.peak_bytes, sum(sizes.values()))
        for process, size in sizes.items():
            self.by_process[process] = max(size, self.by_process.get(process, 0))
        self.workers.update(workers)

    def workers_bytes(self, root: int) -> int:
        """The sum of the peaks of all workers; of process `root` where Ray had none."""
        chosen = self.workers or {root}
        return sum(self.by_process.get(process, 0) for process in chosen)


class Sampler:
    """Samples the memory of process `root` and its descendants in a thread of its own, until it is left."""

    def __init__(self, root: int) -> None:
        self.root, self.memory = root, TreeMemory()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            tree = descendants(self.root, _parents())
            sizes = {process: size for process in tree if (size := _resident_bytes(process))}
            self.memory.add(sizes, [process for process in sizes if is_ray_worker(_command(process))])
            self._is_over.wait(SAMPLE_S)


def descendants(root: int, parents: Mapping[int, int]) -> set[int]:
    """`root` and all processes below it; `parents` gives the parent of each process.

    >>> sorted(descendants(2, {2: 1, 3: 2, 4: 3, 5: 1}))
    [2, 3, 4]
    """
    children: dict[int, list[int]] = {}
    for process, parent in parents.items():
        children.setdefault(parent, []).append(process)
    found, waiting = set(), [root]
    while waiting:
        process = waiting.pop()
        if process not in found:
            found.add(process)
            waiting += children.get(process, [])
    return found


def is_ray_worker(command: str) -> bool:
    """Whether a process that is called so trains for Ray Tune.

    >>> is_ray_worker("ray::ResourceTrainable.train()"), is_ray_worker("ray::DashboardAgent")
    (True, False)
    """
    return RAY_WORKER.match(command) is not None


def _parents() -> dict[int, int]:
    """The parent of every process of this machine."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            # The name stands in brackets and may hold blanks and brackets itself.
            found[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
    return found


def _resident_bytes(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def processor_seconds(root: int) -> list[tuple[str, float]]:
    """The command of each process below `root`, and the processor seconds that it has taken."""
    found = []
    for process in descendants(root, _parents()) - {root}:
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        found.append((_command(process), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")))
    return found


def peak_bytes() -> int:
    """The highest resident memory of this process until now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@dataclass(frozen=True)
class Ended:
    """How a process of a measurement ended."""

    code: int
    wall_s: float
    peak_tree_bytes: int
    peak_workers_bytes: int


def run_watched(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Ended:
    """Run `command` to its end, its output in `log`, and sample the memory of it and its descendants."""
    start = time.perf_counter()
    with log.open("w") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, env=dict(environment or os.environ))
        with Sampler(child.pid) as sampler:
            code = child.wait()
    wall_s = time.perf_counter() - start
    return Ended(code, wall_s, sampler.memory.peak_bytes, sampler.memory.workers_bytes(child.pid))


def shared_folder() -> Path:
    """The folder with ``data/`` and ``models/``: ``$TUNEKIT_SHARED``, else ``shared`` beside the repository."""
    named = os.environ.get("TUNEKIT_SHARED")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared"


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation; the latter is 0 of one value.

    >>> mean_and_spread([0.5])
    (0.5, 0.0)
    """
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def pooled_spread(groups: Iterable[Sequence[float]]) -> float | None:
    """The standard deviation inside groups of values, pooled over the groups; None if no group has two values."""
    pairs = [(statistics.variance(group), len(group) - 1) for group in groups if len(group) > 1]
    if not pairs:
        return None
    return float((sum(v * n for v, n in pairs) / sum(n for _, n in pairs)) ** 0.5)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def missing(modules: Sequence[str]) -> list[str]:
    """Those of `modules` that are not installed here."""
    return [module for module in modules if find_spec(module) is None]


def conditions() -> str:
    """Version, commit, machine and load: what a figure is worth nothing without."""
    import torch
    import transformers

    import tunekit

    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"tunekit {tunekit.__version__} ({git.stdout.strip() or 'no commit'}), Python {platform.python_version()}, "
        f"torch {torch.__version__}, transformers {transformers.__version__}; {platform.machine()}, "
        f"{os.cpu_count()} cores{gpu}; load {os.getloadavg()[0]:.1f}"
    )

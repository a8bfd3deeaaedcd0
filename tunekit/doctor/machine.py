"""The machine: processors, memory, open files, shared memory, room for temporary files, the clock."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tunekit import storage
from tunekit.doctor.findings import Finding, Patient, ok, warning, wrong
from tunekit.errors import StorageError
from tunekit.wording import in_bytes, plural

GIB = 1024**3
LITTLE_MEMORY, TOO_LITTLE_MEMORY = 4 * GIB, GIB
LITTLE_DISK, TOO_LITTLE_DISK = 10 * GIB, GIB
FEW_FILES, TOO_FEW_FILES = 4096, 512
SHARED_MEMORY = GIB // 2
"""Twice what a Ray that tunekit starts takes for its object store."""
LONGEST_TEMPORARY = 40
"""Characters. Ray puts sockets some 65 characters below this folder, and the system allows 107."""
FIRST_YEAR = 2025
"""A clock that shows an earlier year was never set."""

CGROUPS = Path("/sys/fs/cgroup")


def machine(patient: Patient) -> Iterator[Finding]:
    """Everything of this machine that a sweep needs beside its libraries and its folder."""
    yield processors(_cores(), limit=processor_limit(), asked=os.environ.get("OMP_NUM_THREADS"))
    yield memory(free_memory(), memory_limit())
    yield open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))
    yield from shared_memory(Path("/dev/shm"))
    yield temporary_files(Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()))
    yield clock(time.time())


def _cores() -> int:
    with contextlib.suppress(AttributeError):  # Linux alone knows which cores a process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processors(cores: int, *, limit: float | None, asked: str | None) -> Finding:
    """How many cores this process may use, against the container's limit and the threads that libraries will take."""
    name = "processors"
    threads = int(asked) if asked and asked.isdecimal() else None
    said = plural(cores, "core") + (f", OMP_NUM_THREADS={asked}" if asked else "")
    if limit is None or limit >= cores:
        if threads is not None and threads > cores:
            return warning(name, said, f"set OMP_NUM_THREADS to at most {cores}: more threads than cores only wait")
        return ok(name, said)
    said = f"{said}, of which the container may use {limit:g}"
    fits = max(1, math.floor(limit))
    if threads is not None and threads <= max(1, math.ceil(limit)):
        return ok(name, said)
    cure = f"set OMP_NUM_THREADS={fits}, and give Ray that many (ray start --num-cpus={fits}, or --workers)"
    return warning(name, said, cure)


def processor_limit(folder: Path = CGROUPS) -> float | None:
    """How many cores the container may use at once; None without a limit."""
    quota, _, period = (_first_line(folder / "cpu.max") or "").partition(" ")
    if not quota:  # version 1 of cgroups
        quota = _first_line(folder / "cpu" / "cpu.cfs_quota_us") or ""
        period = _first_line(folder / "cpu" / "cpu.cfs_period_us") or ""
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        return int(quota) / int(period)
    return None


def memory(free: int | None, limit: int | None) -> Finding:
    """Bytes of memory that are free, and how many of them the container may use."""
    name = "memory"
    if free is None:
        return warning(name, "the system does not say how much is free", "look yourself, with top or a monitor")
    usable = free if limit is None else min(free, limit)
    said = f"{in_bytes(free)} free" + (f", the container may use {in_bytes(limit)}" if limit is not None else "")
    cure = "end other programs, or run fewer trials at once (--workers)"
    if usable < TOO_LITTLE_MEMORY:
        return wrong(name, said, cure)
    return warning(name, said, cure) if usable < LITTLE_MEMORY else ok(name, said)


def free_memory(file: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that programs can still take; None where the system does not say."""
    for line in (_text(file) or "").splitlines():
        key, _, rest = line.partition(":")
        if key == "MemAvailable":
            return int(rest.split()[0]) * 1024
    with contextlib.suppress(ValueError, OSError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def memory_limit(folder: Path = CGROUPS) -> int | None:
    """Bytes that the container may still take; None without a limit."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        most, now = (_first_line(folder / name) or "" for name in (limit, used))
        if most.isdecimal() and int(most) < 1 << 60:  # version 1 writes a huge number where there is none
            return max(0, int(most) - (int(now) if now.isdecimal() else 0))
    return None


def open_files(soft: int, hard: int) -> Finding:
    """How many files and connections a process may have open; Ray needs one or more for each worker."""
    endless = resource.RLIM_INFINITY
    said = "no limit" if soft == endless else f"at most {plural(soft, 'open file')}"
    if soft == endless or soft >= FEW_FILES:
        return ok("open files", said)
    best = 65536 if hard == endless else min(65536, hard)
    cure = f"ulimit -n {best}" if best > soft else "ask who runs the machine for a higher hard limit (ulimit -Hn)"
    return (wrong if soft < TOO_FEW_FILES else warning)("open files", said, f"{cure}, before tunekit and `ray start`")


def shared_memory(folder: Path) -> Iterator[Finding]:
    """The size of the memory in which Ray keeps its objects; nothing where the system has none of that name."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return
    size = found.f_blocks * found.f_frsize
    if size >= SHARED_MEMORY:
        yield ok("shared memory", f"{in_bytes(size)} at {folder}")
        return
    cure = "start the container with --shm-size=2g; Ray would use the disk in its place, which is slow"
    yield warning("shared memory", f"{in_bytes(size)} at {folder}", cure)


def temporary_files(folder: Path) -> Finding:
    """Where Ray and others keep their temporary files."""
    name = "temporary files"
    if len(str(folder)) > LONGEST_TEMPORARY:
        cure = "set RAY_TMPDIR to a folder with a short path, such as /tmp: Ray's sockets do not fit otherwise"
        return wrong(name, f"{folder} ({len(str(folder))} characters)", cure)
    return disk(name, folder, "set RAY_TMPDIR and TMPDIR to a disk with room")


def disk(name: str, folder: Path, cure: str) -> Finding:
    """How much is free where `folder` lies; it need not be there yet."""
    try:
        free = storage.free_bytes(storage.nearest_folder(folder))
    except StorageError as error:
        return wrong(name, str(error), cure)
    said = f"{in_bytes(free)} free at {folder}"
    if free < TOO_LITTLE_DISK:
        return wrong(name, said, cure)
    return warning(name, said, cure) if free < LITTLE_DISK else ok(name, said)


def clock(now_s: float) -> Finding:
    """Whether the clock was ever set: with a wrong one no secure connection can be made."""
    now = datetime.fromtimestamp(now_s, UTC)
    said = f"{now:%Y-%m-%d %H:%M} UTC"
    if now.year < FIRST_YEAR:
        return wrong("clock", said, "set the clock (timedatectl set-ntp true)")
    return ok("clock", said)


def _first_line(file: Path) -> str | None:
    text = _text(file)
    return text.partition("\n")[0].strip() if text is not None else None


def _text(file: Path) -> str | None:
    with contextlib.suppress(StorageError):
        return storage.read_text(file)
    return None
